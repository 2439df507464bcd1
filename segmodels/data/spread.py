"""A few of many, at equal distances."""

from __future__ import annotations


def spread(total: int, count: int) -> list[int]:
    """Up to `count` of the places 0 to `total - 1`, the first and the last among them; all where there are no more.

    Of one that is asked for it is the first. In whole numbers, so that it is the same on every machine.
    """
    if count >= total:
        return list(range(total))
    return [number * (total - 1) // max(count - 1, 1) for number in range(count)]
