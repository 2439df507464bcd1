"""Cleaning maps: what is too small to be an object goes, and holes in objects are closed.

Pixels touch along their edges: what only meets at a corner is apart.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segmodels.data.regions import regions


def remove_small(instances: np.ndarray, smallest: int) -> np.ndarray:
    """Leave out objects of fewer than `smallest` pixels and number the others anew.

    Args:
        instances: whole numbers `(height, width)`, 0 for none.

    Returns:
        int32 `(height, width)`, from 1 without gaps in the order in which the objects are read.
    """
    numbers, first, places, pixels = np.unique(instances, return_index=True, return_inverse=True, return_counts=True)
    kept = np.flatnonzero((numbers > 0) & (pixels >= smallest))
    names = np.zeros(len(numbers), np.int32)
    names[kept[np.argsort(first[kept])]] = np.arange(1, len(kept) + 1)
    return names[places].reshape(instances.shape)


def fill_holes(instances: np.ndarray, largest: int) -> np.ndarray:
    """Close holes of up to `largest` pixels: what no object has, and one object alone surrounds.

    Args:
        instances: int32 `(height, width)`, 0 for none. What reaches the edge of the picture is no hole.

    Returns:
        a new map of the same form.
    """
    pieces, boxes = regions(instances)
    height, width = instances.shape
    left, top, wide, high = boxes.T
    inner = (left > 0) & (top > 0) & (left + wide < width) & (top + high < height)
    empty = np.zeros(len(boxes), bool)
    empty[pieces[instances == 0]] = True
    # The lowest and the highest number along the rim of each piece: one object surrounds it where they are the same.
    low, high = np.full(len(boxes), np.iinfo(np.int32).max), np.zeros(len(boxes), np.int64)
    for here, there in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        for piece, beside, number in (
            (pieces[here], instances[here], instances[there]),
            (pieces[there], instances[there], instances[here]),
        ):
            rim = (beside == 0) & (number > 0)
            np.minimum.at(low, piece[rim], number[rim])
            np.maximum.at(high, piece[rim], number[rim])
    hole = empty & inner & (low == high) & (np.bincount(pieces.ravel(), minlength=len(boxes)) <= largest)
    return np.where(hole[pieces], high[pieces], instances).astype(np.int32)


def clean_mask(
    mask: np.ndarray, things: Sequence[int], *, background: int, smallest: int, largest_hole: int
) -> np.ndarray:
    """Clean the classes of a mask that are things; the other classes stay as they are.

    Args:
        mask: uint8 `(height, width)`.
        things: class ids; a piece of one with fewer than `smallest` pixels becomes `background`, and background of up
            to `largest_hole` pixels within one becomes that class.

    Returns:
        uint8 `(height, width)`.
    """
    pieces = connected(mask, things)
    filled = np.where(mask == background, fill_holes(pieces, largest_hole), pieces)
    kept = remove_small(filled, smallest)
    class_of = np.zeros(int(filled.max(initial=0)) + 1, np.uint8)
    class_of[pieces.ravel()] = mask.ravel()
    result = np.where(np.isin(mask, list(things)), np.uint8(background), mask)
    return np.where(kept > 0, class_of[filled], result)


def connected(mask: np.ndarray, things: Sequence[int]) -> np.ndarray:
    """Number the pieces of some classes: int32 `(height, width)`, from 1 in the order in which they are read, 0 in
    other classes. Pieces of two classes are two, also where they touch."""
    pieces, _ = regions(mask)
    return remove_small(np.where(np.isin(mask, list(things)), pieces + 1, 0), 1)
