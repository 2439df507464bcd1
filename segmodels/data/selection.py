"""Which pictures of a split are looked at, and in which order."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from segmodels.data.statistics import Statistics

#: Orders that every data set has, and the one for pictures that a model has predicted.
LISTED, LARGEST, SMALLEST, DISAGREEMENT = "as listed", "largest first", "smallest first", "least as predicted first"


@dataclass(frozen=True)
class Selection:
    """What is asked for.

    Attributes:
        classes: only pictures that have all of these.
        defect: only pictures with a finding of this kind; those that cannot be read are among them.
        least_side: only pictures whose shorter side has so many pixels.
        order: one of `orders`.
    """

    classes: tuple[str, ...] = ()
    defect: str | None = None
    least_side: int = 0
    order: str = LISTED


def orders(classes: Collection[str], *, predicted: bool = False) -> list[str]:
    """The orders for these classes: by size, by how far predictions are off, by the share that a class has."""
    by_class = [f"{way} {name}" for name in classes for way in ("most", "least")]
    return [LISTED, *([DISAGREEMENT] if predicted else []), LARGEST, SMALLEST, *by_class]


def select(
    statistics: Statistics,
    wanted: Selection,
    defects: Mapping[str, Collection[str]] | None = None,
    disagreement: Mapping[str, float] | None = None,
) -> list[str]:
    """The ids of the pictures that are asked for, in their order; of equals the one listed first comes first.

    Pictures that cannot be used are of no size and have no class; sorted, they come last.

    Args:
        statistics: of the split.
        wanted: what is asked for; classes that the split does not have are in no picture.
        defects: ids by the kind of a finding, where the files were checked.
        disagreement: how far a model's prediction is from the truth, by id; those without one come last.
    """
    kept = np.ones(len(statistics.ids), bool)
    if wanted.defect is not None:
        found = set((defects or {}).get(wanted.defect, ()))
        kept = np.array([sample in found for sample in statistics.ids], bool)
    kept &= statistics.sizes.min(axis=1, initial=2**62) >= wanted.least_side
    for name in wanted.classes:
        column = statistics.classes.index(name) if name in statistics.classes else None
        kept &= statistics.pixels[:, column] > 0 if column is not None else False
    places = np.flatnonzero(kept)
    ranks = _ranks(statistics, wanted.order, disagreement or {})[places]
    return [statistics.ids[place] for place in places[np.argsort(ranks, kind="stable")]]


def _ranks(statistics: Statistics, order: str, disagreement: Mapping[str, float]) -> np.ndarray:
    """A number for every picture by which they are sorted, the least first."""
    if order == LISTED:
        return np.zeros(len(statistics.ids))
    if order == DISAGREEMENT:
        return np.array([-disagreement.get(sample, -1.0) for sample in statistics.ids])
    areas = statistics.sizes.prod(axis=1).astype(float)
    usable = areas > 0
    if order in (LARGEST, SMALLEST):
        return np.where(usable, areas if order == SMALLEST else -areas, np.inf)
    way, _, name = order.partition(" ")
    if way in ("most", "least") and name in statistics.classes:
        shares = statistics.pixels[:, statistics.classes.index(name)] / np.maximum(1, statistics.pixels.sum(axis=1))
        return np.where(usable, shares if way == "least" else -shares, np.inf)
    return np.zeros(len(statistics.ids))
