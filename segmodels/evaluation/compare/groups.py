"""Groups of models that cannot be told apart, and the letters that say so in a table."""

from __future__ import annotations

import math
import string
from collections.abc import Iterable, Sequence

import numpy as np

LETTERS = string.ascii_lowercase + string.ascii_uppercase

#: So many groups are given. There may be 3 ** (models / 3), which nobody reads.
MOST = 500


def groups(
    names: Sequence[str],
    values: Sequence[float] | np.ndarray,
    different: Iterable[tuple[str, str]],
    higher: bool = True,
) -> list[list[str]]:
    """The largest sets of models in which no two differ.

    All of them up to `MOST`. Where there are more, enough of them that any two models that do not differ are together
    in one: what a reader asks of the groups then holds as well, and there are at most as many as such pairs.

    Args:
        names, values: of the models; a model whose value is NaN comes last.
        different: pairs of names, either way round.
        higher: whether a higher value is better.

    Returns:
        Names from best to worst in each group, and the groups by their best model, then the next and so on. Every model
        is in at least one; groups may overlap.
    """
    order = sorted(range(len(names)), key=lambda i: (math.isnan(values[i]), -values[i] if higher else values[i]))
    rank = {names[i]: place for place, i in enumerate(order)}
    # A set of models is an integer with the bits of their ranks. Of each model: those that do not differ from it.
    alike = [(1 << len(names)) - 1] * len(names)
    for one, other in different:
        alike[rank[one]] &= ~(1 << rank[other])
        alike[rank[other]] &= ~(1 << rank[one])
    sets = _all_sets(alike)
    found = sorted(_ranks(one) for one in (_some_sets(alike) if sets is None else sets))
    return [[names[order[place]] for place in group] for group in found]


def letters(
    names: Sequence[str],
    values: Sequence[float] | np.ndarray,
    different: Iterable[tuple[str, str]],
    higher: bool = True,
) -> dict[str, str]:
    """A compact letter display (Piepho 2004, Journal of Computational and Graphical Statistics 13): models share a
    letter where they cannot be told apart, and only there. Arguments as of `groups`.

    The best group is `a`. After `z` come `A` to `Z`, then `a1` to `Z1`, `a2` and so on.
    """
    found: dict[str, str] = dict.fromkeys(names, "")
    for i, group in enumerate(groups(names, values, different, higher)):
        rounds, place = divmod(i, len(LETTERS))
        for name in group:
            found[name] += f"{LETTERS[place]}{rounds or ''}"
    return found


def _all_sets(alike: Sequence[int]) -> set[int] | None:
    """All sets of models without two that differ that are in no other such set; None where they are over `MOST`.

    Model by model. Each set of the models so far is a part of another one of all models, so that they never get fewer:
    once they are too many, they stay so.
    """
    sets = {0} if alike else set()
    for new, near in enumerate(alike):
        so_far = (2 << new) - 1
        grown = {one for one in sets if one & ~near}
        for one in sets:
            both = one & near | 1 << new
            others = near & so_far & ~both  # who does not differ from the new one: may one of them join?
            if all(both & ~alike[other] for other in _ranks(others)):
                grown.add(both)
        if len(grown) > MOST:
            return None
        sets = grown
    return sets


def _some_sets(alike: Sequence[int]) -> list[int]:
    """As many such sets as it takes for each two models that do not differ, the best models first."""
    sets: list[int] = []
    together = [0] * len(alike)  # of each model: with whom it is in a set
    for place, near in enumerate(alike):
        while missing := near & ~together[place]:
            one, free = 1 << place, near & ~(1 << place)
            while free:  # whoever may join, those first that it is not with yet
                joins = _ranks(free & missing or free)[0]
                one |= 1 << joins
                free &= alike[joins] & ~(1 << joins)
            for member in _ranks(one):
                together[member] |= one
            sets.append(one)
    return sets


def _ranks(one: int) -> list[int]:
    """The ranks in a set, best first."""
    found = []
    while one:
        found.append((one & -one).bit_length() - 1)
        one &= one - 1
    return found
