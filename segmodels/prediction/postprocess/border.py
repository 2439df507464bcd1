"""Objects by a class for their borders: where two touch there is border between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import cv2
import numpy as np
from pydantic import Field

from segmodels.data.dataset import ClassLabel
from segmodels.prediction.postprocess.method import Method, class_called
from segmodels.prediction.postprocess.watershed import watershed


class BorderWatershed(Method):
    """A watershed on the probability of the inside: of every class but those called background and border.

    The objects with their borders are the foreground. Within it the probability of the inside, smoothed, rises towards
    the middle of each object and is low on the borders: each of its peaks is an object, unless the way to a higher one
    leads over a saddle hardly lower than itself.
    """

    name: ClassVar[str] = "border"

    foreground: float = Field(
        default=0.5, ge=0, le=1, description="least probability of not being background, of a pixel of an object"
    )
    smoothing: float = Field(default=1.5, ge=0, le=20, description="sigma of the Gaussian over the inside, in pixels")
    depth: float = Field(
        default=0.07, ge=0, le=1, description="how much less likely the saddle between two objects is than either"
    )

    def _find(self, probabilities: np.ndarray, labels: Sequence[ClassLabel]) -> np.ndarray:
        objects = 1 - probabilities[..., class_called("background", labels, type(self))]
        inside = objects - probabilities[..., class_called("border", labels, type(self))]
        if self.smoothing:
            inside = cv2.GaussianBlur(inside, (0, 0), self.smoothing)
        surface = np.round(inside.clip(0, 1) * 255).astype(np.uint8)
        return watershed(surface, objects >= self.foreground, depth=round(self.depth * 255))
