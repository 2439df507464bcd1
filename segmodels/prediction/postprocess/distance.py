"""Objects by their shape: round ones that touch are parted where they are narrow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import cv2
import numpy as np
from pydantic import Field

from segmodels.data.dataset import ClassLabel
from segmodels.prediction.postprocess.method import Method, class_called
from segmodels.prediction.postprocess.watershed import watershed

#: Levels of the surface a pixel of distance.
LEVELS = 16


class DistanceWatershed(Method):
    """A watershed on the distance to the background, where no class tells borders.

    Every class but background is the foreground. The distance to the nearest pixel outside of it, smoothed, has a peak
    in the middle of each round object; two whose saddle is hardly narrower than the smaller of them are one.
    """

    name: ClassVar[str] = "distance"

    foreground: float = Field(
        default=0.5, ge=0, le=1, description="least probability of not being background, of a pixel of an object"
    )
    smoothing: float = Field(default=1.0, ge=0, le=20, description="sigma of the Gaussian over distances, in pixels")
    depth: float = Field(
        default=0.5, ge=0, le=100, description="how much narrower, in pixels from its middle, the neck between two is"
    )

    def _find(self, probabilities: np.ndarray, labels: Sequence[ClassLabel]) -> np.ndarray:
        within = 1 - probabilities[..., class_called("background", labels, type(self))] >= self.foreground
        distance = cv2.distanceTransform(within.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        if self.smoothing:
            distance = cv2.GaussianBlur(distance, (0, 0), self.smoothing)
        surface = np.round(distance.clip(0, 65_535 / LEVELS) * LEVELS).astype(np.uint16)
        return watershed(surface, within, depth=round(self.depth * LEVELS))
