"""Objects as what hangs together in one class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from pydantic import Field

from segmodels.data.dataset import ClassLabel
from segmodels.prediction.masks import foreground
from segmodels.prediction.postprocess.cleaning import connected
from segmodels.prediction.postprocess.method import Method, class_called


class Components(Method):
    """The connected components of each class of things in the mask of the most likely classes."""

    name: ClassVar[str] = "components"

    things: tuple[str, ...] | None = Field(
        default=None, description="the classes that are things; all but background where left out"
    )

    def _find(self, probabilities: np.ndarray, labels: Sequence[ClassLabel]) -> np.ndarray:
        things = foreground(labels)
        if self.things is not None:
            things = [class_called(name, labels, type(self)) for name in self.things]
        return connected(probabilities.argmax(axis=-1).astype(np.uint8), things)
