"""Masks as run lengths, as COCO writes them: down the columns, from left to right, background first.

The compressed form is that of the COCO API (Lin and Dollar, common/maskApi.c): each length from the fourth on is
written as its difference to the one two before, and each number as characters of five bits, the lowest first, from "0"
on, with a sixth bit where more follow.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from segmodels.data.images import MAX_PIXELS
from segmodels.errors import UserError

#: Five bits a character: numbers within ±2**34, far beyond `MAX_PIXELS`.
MOST_CHARACTERS = 7


def encode(mask: np.ndarray) -> dict[str, Any]:
    """Encode bool `(height, width)` as `{"size": [height, width], "counts": str}`."""
    flat = np.asarray(mask, bool).ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(changes, prepend=0, append=flat.size)
    if flat.size and flat[0]:
        counts = np.concatenate([[0], counts])
    return {"size": [int(side) for side in np.shape(mask)], "counts": _compressed(counts)}


def encode_each(values: np.ndarray) -> Iterator[tuple[int, dict[str, Any], int, tuple[int, int, int, int]]]:
    """Encode the pixels of every value of integers `(height, width)`, in one pass for all of them.

    Yields:
        the value, its run lengths as `encode` gives them, how many pixels it has, and the left, top, width and height
        of the box around them; in the order of the values.
    """
    height, width = values.shape
    flat = values.ravel(order="F")
    starts = np.flatnonzero(np.concatenate([[True], flat[1:] != flat[:-1]]))
    ends = np.append(starts[1:], flat.size)
    order = np.argsort(flat[starts], kind="stable")
    cuts = np.flatnonzero(np.diff(flat[starts[order]])) + 1
    for runs in np.split(order, cuts):
        first, last = starts[runs], ends[runs] - 1
        edges = np.stack([first, ends[runs]], axis=1).ravel()
        counts = np.diff(edges, prepend=0, append=flat.size)
        rle = {"size": [height, width], "counts": _compressed(counts if counts[-1] else counts[:-1])}
        left, right = int(first[0]) // height, int(last[-1]) // height
        # A run that goes on in the next column reaches the bottom of one and the top of the other.
        whole = (first // height != last // height).any()
        top, bottom = (0, height - 1) if whole else (int((first % height).min()), int((last % height).max()))
        yield int(flat[first[0]]), rle, int((last + 1 - first).sum()), (left, top, right + 1 - left, bottom + 1 - top)


def decode(rle: object) -> np.ndarray:
    """Decode `{"size": [height, width], "counts": …}`, where `counts` is a compressed string or a list of lengths.

    Returns:
        bool `(height, width)`.

    Raises:
        UserError: another structure, over `MAX_PIXELS`, or lengths that do not add up to the size.
    """
    height, width, counts = lengths(rle)
    inside = np.zeros(len(counts), bool)
    inside[1::2] = True
    return np.ascontiguousarray(np.repeat(inside, counts).reshape(width, height).T)


def decode_within(rle: object) -> tuple[int, int, np.ndarray]:
    """Decode only the box around what is inside; raises as `decode`.

    Returns:
        the box's left and top, and bool `(height, width)` of the box, 0 x 0 where nothing is inside.
    """
    height, _, counts = lengths(rle)
    starts = np.cumsum(counts) - counts
    inside = np.flatnonzero(counts[1::2]) * 2 + 1
    if not len(inside):
        return 0, 0, np.zeros((0, 0), bool)
    # Whole columns first, as the lengths run down them.
    left, right = int(starts[inside[0]]) // height, (int(starts[inside[-1]] + counts[inside[-1]]) - 1) // height
    ends = np.clip(starts + counts - left * height, 0, (right + 1 - left) * height)
    values = np.zeros(len(counts), bool)
    values[1::2] = True
    columns = np.repeat(values, np.diff(ends, prepend=0)).reshape(-1, height)
    rows = np.flatnonzero(columns.any(axis=0))
    top, bottom = int(rows[0]), int(rows[-1])
    return left, top, np.ascontiguousarray(columns[:, top : bottom + 1].T)


def lengths(rle: object) -> tuple[int, int, np.ndarray]:
    """Height, width and the lengths of the runs, int64 `(n,)`, checked but not laid out; raises as `decode`."""
    if not isinstance(rle, dict):
        raise UserError("a run-length mask needs size and counts")
    size, counts = rle.get("size"), rle.get("counts")
    if not isinstance(size, (list, tuple)) or len(size) != 2 or not all(_is_side(side) for side in size):
        raise UserError("a run-length mask needs a size of two whole numbers, height and width")
    height, width = size
    if height * width > MAX_PIXELS:
        raise UserError(f"a run-length mask of over {MAX_PIXELS // 1_000_000} megapixels")
    if isinstance(counts, (str, bytes)):
        values = _decompressed(counts)
    elif isinstance(counts, list):
        values = _whole_numbers(counts)
    else:
        raise UserError("the counts of a run-length mask must be a string or a list of whole numbers")
    # Each is bounded before they are added up, so that the sum cannot wrap around.
    if (len(values) and (values.min() < 0 or values.max() > height * width)) or values.sum() != height * width:
        raise UserError(f"the counts of a run-length mask do not add up to its {width}x{height} pixels")
    return height, width, values


def _is_side(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _whole_numbers(counts: list[object]) -> np.ndarray:
    try:
        values = np.asarray(counts) if counts else np.empty(0, np.int64)
    except (TypeError, ValueError, OverflowError):
        values = np.empty(0)
    if values.ndim != 1 or values.dtype.kind not in "iu" or any(isinstance(count, bool) for count in counts):
        raise UserError("the counts of a run-length mask must be whole numbers")
    return values.clip(max=np.iinfo(np.int64).max).astype(np.int64)


def _compressed(counts: np.ndarray) -> str:
    values = counts.astype(np.int64)
    values[3:] -= counts[1:-2]
    characters = np.zeros((len(values), MOST_CHARACTERS), np.uint8)
    used = np.ones((len(values), MOST_CHARACTERS), bool)
    for place in range(MOST_CHARACTERS):
        bits = values & 0x1F
        values >>= 5
        # A number ends once its sign is the highest bit written.
        more = np.where(bits & 0x10, values != -1, values != 0)
        characters[:, place] = bits + 0x20 * more + ord("0")
        used[:, place + 1 :] &= more[:, None]
    return characters[used].tobytes().decode("ascii")


def _decompressed(text: str | bytes) -> np.ndarray:
    wrong = UserError("the counts of a run-length mask are no compressed string of COCO's")
    try:
        raw = text.encode("ascii") if isinstance(text, str) else text
    except UnicodeEncodeError:
        raise wrong from None
    codes = np.frombuffer(raw, np.uint8).astype(np.int64) - ord("0")
    if not len(codes):
        return codes
    if codes.min() < 0 or codes.max() > 0x3F or codes[-1] & 0x20:
        raise wrong
    ends = np.flatnonzero(codes & 0x20 == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    characters = ends - starts + 1
    if characters.max() > MOST_CHARACTERS:
        raise wrong
    place = np.arange(len(codes)) - np.repeat(starts, characters)
    values = np.add.reduceat((codes & 0x1F) << (5 * place), starts)
    values -= np.where(codes[ends] & 0x10, np.int64(1) << (5 * characters), 0)
    # The first of each chain of differences stands as it is; the very first length is in neither.
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values
