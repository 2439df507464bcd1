"""From logits to a mask: the most likely class of each pixel, and how sure that is."""

from __future__ import annotations

import cv2
import numpy as np

#: Logits that are looked at together: so many stay in a core's cache.
_BLOCK = 131_072


def most_likely(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The most likely class, the first of several that are equally so, and its probability, the highest of the softmax:
    uint8 and float32 `(height, width)`.

    Args:
        logits: float32 `(height, width, classes)`. Where one is no number the probability is none either, and the class
            is 0.
    """
    *shape, classes = logits.shape
    pixels = np.ascontiguousarray(logits, np.float32).reshape(-1, classes)
    found, ids = np.empty(len(pixels), np.float32), np.zeros(len(pixels), np.uint8)
    step = max(1, _BLOCK // classes)
    for start in range(0, len(pixels), step):
        part = slice(start, start + step)
        # A row a class: NumPy is several times faster along long rows than over a few neighbours.
        rows = cv2.transpose(pixels[part]).reshape(classes, -1)
        rows -= rows.max(axis=0)
        for label in range(classes - 1, 0, -1):
            np.copyto(ids[part], label, where=rows[label] == 0)
        np.copyto(ids[part], 0, where=rows[0] == 0)
        cv2.exp(rows, rows)
        np.add.reduce(rows, axis=0, out=found[part])
    # The numerator is exp(0), as the highest logit was taken from all of them.
    return ids.reshape(shape), np.reciprocal(found, out=found).reshape(shape)
