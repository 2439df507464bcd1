"""Which pictures of a split are looked at, and in which order."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from segmodels.data.statistics import Statistics

#: Orders that every data set has.
LISTED, LARGEST, SMALLEST = "as listed", "largest first", "smallest first"


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


def orders(classes: Collection[str]) -> list[str]:
    """The orders for these classes: by size, and by the share of the pixels that a class has."""
    return [LISTED, LARGEST, SMALLEST, *(f"{way} {name}" for name in classes for way in ("most", "least"))]


def select(
    statistics: Statistics, wanted: Selection, defects: Mapping[str, Collection[str]] | None = None
) -> list[str]:
    """The ids of the pictures that are asked for, in their order; of equals the one listed first comes first.

    Args:
        statistics: of the split.
        wanted: what is asked for; classes that the split does not have are in no picture.
        defects: ids by the kind of a finding, where the files were checked.
    """
    usable = np.array([sample not in statistics.problems for sample in statistics.ids], bool)
    kept = usable
    if wanted.defect is not None:
        found = set((defects or {}).get(wanted.defect, ()))
        kept = np.array([sample in found for sample in statistics.ids], bool)
    kept = kept & (statistics.sizes.min(axis=1, initial=2**62) >= wanted.least_side)
    for name in wanted.classes:
        column = statistics.classes.index(name) if name in statistics.classes else None
        kept = kept & (statistics.pixels[:, column] > 0 if column is not None else False)
    places = np.flatnonzero(kept)
    ranks = _ranks(statistics, wanted.order)[places]
    return [statistics.ids[place] for place in places[np.argsort(ranks, kind="stable")]]


def _ranks(statistics: Statistics, order: str) -> np.ndarray:
    """A number for every picture by which they are sorted, the least first."""
    areas = statistics.sizes.prod(axis=1)
    if order in (LARGEST, SMALLEST):
        return areas if order == SMALLEST else -areas
    way, _, name = order.partition(" ")
    if way in ("most", "least") and name in statistics.classes:
        shares = statistics.pixels[:, statistics.classes.index(name)] / np.maximum(1, statistics.pixels.sum(axis=1))
        return shares if way == "least" else -shares
    return np.zeros(len(statistics.ids))
