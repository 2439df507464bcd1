"""What an export is to know besides the result, and the objects that it is of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from segmodels.data.dataset import IGNORE
from segmodels.prediction.masks import background
from segmodels.prediction.measure import check_micrometres

if TYPE_CHECKING:
    from segmodels.prediction.postprocess import Method
    from segmodels.prediction.result import Result


@dataclass(frozen=True, eq=False)
class Settings:
    """How a result is exported.

    Attributes:
        micrometres: the side of a pixel, for areas in µm²; None where it is not known.
        method: how objects are found; the one that suits the classes where None.
        instances: the objects where they were found before, int32 `(height, width)`, 0 for none; found where None.

    Raises:
        UserError: `micrometres` is not a size.
    """

    micrometres: float | None = None
    method: Method | None = None
    instances: np.ndarray | None = None

    def __post_init__(self) -> None:
        check_micrometres(self.micrometres)


def objects(result: Result, settings: Settings) -> np.ndarray:
    """The objects that are in the mask: int32 `(height, width)`, by their numbers, 0 for none.

    One is left out where the mask has nothing of it, as small ones were removed or what is not sure is ignored.
    """
    instances = result.instances(settings.method) if settings.instances is None else settings.instances
    kept = np.zeros(int(instances.max(initial=0)) + 1, bool)
    kept[instances[_of_things(result)]] = True
    return np.where(kept[instances], instances, 0)


def within_mask(instances: np.ndarray, result: Result) -> np.ndarray:
    """The objects without their pixels that the mask calls background or ignores, such as holes that were closed."""
    return np.where(_of_things(result), instances, 0)


def _of_things(result: Result) -> np.ndarray:
    behind = background(result.labels)
    return (result.mask != IGNORE) & (result.mask != (IGNORE if behind is None else behind))
