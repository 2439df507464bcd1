"""Logits at another size."""

from __future__ import annotations

import numpy as np


def resize_logits(logits: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize float32 `(h, w, classes)` bilinearly to `(height, width, classes)`.

    Pixel centres lie at halves and edges are held, as in Pillow, OpenCV (`INTER_LINEAR`), PyTorch
    (`align_corners=False`) and `tf.image.resize`. Each side is one sum of two neighbours with weights, which needs no
    engine and compiles nothing for each new size.
    """
    for axis, size in ((0, height), (1, width)):
        if logits.shape[axis] != size:
            logits = _along(logits, axis, size)
    return logits


def _along(values: np.ndarray, axis: int, size: int) -> np.ndarray:
    length = values.shape[axis]
    centre = np.clip((np.arange(size, dtype=np.float32) + 0.5) * (length / size) - 0.5, 0, length - 1)
    below = np.floor(centre).astype(np.intp)
    share = (centre - below).astype(values.dtype).reshape(-1, *[1] * (values.ndim - axis - 1))
    first = np.take(values, below, axis)
    second = np.take(values, np.minimum(below + 1, length - 1), axis)
    second -= first
    second *= share
    first += second
    return first
