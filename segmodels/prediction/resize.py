"""Logits at another size, whole or in bands of rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

#: Rows of a band: what a large picture needs in memory at once.
BAND = 128


def resize_logits(logits: np.ndarray, height: int, width: int, *, rows: slice = slice(None)) -> np.ndarray:
    """Resize float32 `(h, w, classes)` bilinearly to `(height, width, classes)`, or to some `rows` of that.

    Pixel centres lie at halves and edges are held, as in Pillow, OpenCV (`INTER_LINEAR`), PyTorch
    (`align_corners=False`) and `tf.image.resize`. Each side is one sum of two neighbours with weights, which needs no
    engine and compiles nothing for each new size.
    """
    return _along(_along(logits, 0, height, rows), 1, width, slice(None))


def bands(height: int) -> Iterator[slice]:
    """Slices of rows that together cover a picture: logits of 64 megapixels would take gigabytes at once."""
    for start in range(0, height, BAND):
        yield slice(start, min(start + BAND, height))


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
