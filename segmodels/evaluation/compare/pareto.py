"""Which models are worth their cost: those that no other beats in both."""

from __future__ import annotations

import math
from collections.abc import Sequence


def pareto_front(costs: Sequence[float | None], scores: Sequence[float | None]) -> list[bool]:
    """Whether each point is on the Pareto front: no other costs as little and scores as high, and is better in one.

    Args:
        costs: less is better.
        scores: more is better; as many as the costs.

    Returns:
        One for each; of points that are equal in both all or none are on the front. A point whose cost or score is None
        or NaN never is.
    """
    points = [
        (cost, -score, place)
        for place, (cost, score) in enumerate(zip(costs, scores, strict=True))
        if cost is not None and score is not None and not math.isnan(cost) and not math.isnan(score)
    ]
    front, best, last = [False] * len(costs), math.inf, None
    for cost, loss, place in sorted(points):
        if loss < best or (cost, loss) == last or last is None:
            front[place], best, last = True, loss, (cost, loss)
    return front
