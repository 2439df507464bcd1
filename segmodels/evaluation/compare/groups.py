"""Groups of models that cannot be told apart, and the letters that say so in a table."""

from __future__ import annotations

import math
import string
from collections.abc import Iterable, Sequence

import numpy as np

LETTERS = string.ascii_lowercase + string.ascii_uppercase


def groups(
    names: Sequence[str],
    values: Sequence[float] | np.ndarray,
    different: Iterable[tuple[str, str]],
    higher: bool = True,
) -> list[list[str]]:
    """The largest sets of models in which no two differ.

    By insertion and absorption (Piepho 2004, Journal of Computational and Graphical Statistics 13): all models are one
    set; each pair that differs splits the sets that hold both, and a set that another holds is dropped.

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
    sets = [frozenset(names)] if len(names) else []
    for pair in different:
        parts = {part for one in sets for part in ([one - {name} for name in pair] if one.issuperset(pair) else [one])}
        sets = [part for part in parts if not any(part < other for other in parts)]
    return sorted((sorted(one, key=rank.__getitem__) for one in sets), key=lambda group: [rank[name] for name in group])


def letters(
    names: Sequence[str],
    values: Sequence[float] | np.ndarray,
    different: Iterable[tuple[str, str]],
    higher: bool = True,
) -> dict[str, str]:
    """A compact letter display: models that share a letter cannot be told apart. Arguments as of `groups`.

    The best group is `a`. After `z` come `A` to `Z`, then `a1` to `Z1`, `a2` and so on.
    """
    found: dict[str, str] = dict.fromkeys(names, "")
    for i, group in enumerate(groups(names, values, different, higher)):
        rounds, place = divmod(i, len(LETTERS))
        for name in group:
            found[name] += f"{LETTERS[place]}{rounds or ''}"
    return found
