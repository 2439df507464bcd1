"""What every way of finding objects in a network's answer is: a checked document, called with probabilities."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from segmodels.data.dataset import ClassLabel
from segmodels.errors import UserError, explain
from segmodels.prediction.postprocess.cleaning import fill_holes, remove_small


class Method(BaseModel):
    """One way from the probabilities of the classes to objects. Immutable; every field is checked when it is made.

    Raises:
        UserError: for the first field that is wrong, naming it, its value and what is allowed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    #: By which `METHODS` knows it.
    name: ClassVar[str]

    smallest: int = Field(default=30, ge=0, le=10**9, description="objects of fewer pixels are left out")
    largest_hole: int = Field(default=100, ge=0, le=10**9, description="holes of up to so many pixels are closed")

    def __init__(self, /, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise explain(error, f"{type(self).name} field", type(self)) from None

    def __call__(self, probabilities: np.ndarray, labels: Sequence[ClassLabel]) -> np.ndarray:
        """Find the objects of a picture.

        Args:
            probabilities: float32 `(height, width, classes)`, 0 to 1, which sum to 1 over the classes.
            labels: the classes.

        Returns:
            the instance map: int32 `(height, width)`, objects from 1 without gaps in the order in which they are read,
            0 where there is none.

        Raises:
            UserError: the classes are not such as the method needs.
        """
        if probabilities.ndim != 3 or probabilities.shape[-1] != len(labels):
            raise ValueError(f"probabilities of shape {probabilities.shape} for {len(labels)} classes")
        found = self._find(probabilities, labels)
        return remove_small(fill_holes(found, self.largest_hole), self.smallest)

    @abstractmethod
    def _find(self, probabilities: np.ndarray, labels: Sequence[ClassLabel]) -> np.ndarray:
        """The objects before they are cleaned: int32 `(height, width)`, 0 for none."""


def class_called(name: str, labels: Sequence[ClassLabel], method: type[Method]) -> int:
    """The id of the class of a name; `UserError` where there is none."""
    names = [label.name for label in labels]
    if name not in names:
        raise UserError(f"the method {method.name} needs a class called {name}, and there are {', '.join(names)}")
    return names.index(name)
