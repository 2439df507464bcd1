"""Logits at another size, whole or in bands of rows."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

#: Numbers of a band: what a large picture needs in memory at once.
BAND = 4_000_000


def resize_logits(logits: np.ndarray, height: int, width: int, *, rows: slice = slice(None)) -> np.ndarray:
    """Resize float32 `(h, w, classes)` bilinearly to `(height, width, classes)`, or to some `rows` of that.

    Pixel centres lie at halves and edges are held, as in Pillow, OpenCV (`INTER_LINEAR`), PyTorch
    (`align_corners=False`) and `tf.image.resize`. It needs no engine and compiles nothing for each new size. Some rows
    alone, which OpenCV does not give, are one sum of two neighbours with weights along each side.
    """
    if rows == slice(None) or rows == slice(0, height):
        return cv2.resize(logits, (width, height), interpolation=cv2.INTER_LINEAR).reshape(height, width, -1)
    return _along(_along(logits, 0, height, rows), 1, width, slice(None))


def bands(height: int, across: int) -> Iterator[slice]:
    """Slices of rows that together cover a picture, each of `across` numbers: logits of 64 megapixels would take
    gigabytes at once."""
    rows = max(1, BAND // across)
    for start in range(0, height, rows):
        yield slice(start, min(start + rows, height))


def _along(values: np.ndarray, axis: int, size: int, part: slice) -> np.ndarray:
    length = values.shape[axis]
    if length == size:
        return values[part] if axis == 0 else values
    centre = np.clip((np.arange(size, dtype=np.float32)[part] + 0.5) * (length / size) - 0.5, 0, length - 1)
    below = np.floor(centre).astype(np.intp)
    share = (centre - below).astype(values.dtype).reshape(-1, *[1] * (values.ndim - axis - 1))
    first = np.take(values, below, axis)
    second = np.take(values, np.minimum(below + 1, length - 1), axis)
    second -= first
    second *= share
    first += second
    return first
