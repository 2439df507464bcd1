"""A large picture made small, row after row: what `resize_image` gives, without the picture in memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from segmodels.prediction.tiling import Rows

#: Numbers of the rows that are looked at together.
_BLOCK = 8_000_000


def reduce_picture(
    picture: Rows, height: int, width: int, each: Callable[[int, int], None] = lambda done, total: None
) -> np.ndarray:
    """Resize a picture as `resize_image` does, within 1 of 255, to uint8 `(height, width, 3)`.

    Every row of the picture is read once. The triangles that weigh the rows reach over two rows of the result, so that
    these and the next are under way at a time.

    Args:
        each: told after every block of rows how many are read, and of how many.
    """
    tall, across = picture.shape[:2]
    scale = tall / height
    reach = max(1.0, scale)  # how far a triangle goes to each side, in rows of the picture
    centres = (np.arange(height) + 0.5) * scale
    firsts = np.maximum(0, (centres - reach + 0.5).astype(np.int64))
    ends = np.minimum(tall, (centres + reach + 0.5).astype(np.int64))
    found = np.empty((height, width, 3), np.uint8)
    under_way: dict[int, np.ndarray] = {}
    begun = 0  # rows of the result
    block = max(1, _BLOCK // (3 * across))
    for top in range(0, tall, block):
        bottom = min(tall, top + block)
        rows = picture[top:bottom].reshape(bottom - top, -1).astype(np.float32)
        while begun < height and firsts[begun] < bottom:
            under_way[begun] = np.zeros(3 * across, np.float32)
            begun += 1
        for line in list(under_way):
            places = np.arange(firsts[line], ends[line])
            weights = np.maximum(0, 1 - np.abs((places + 0.5 - centres[line]) / reach))
            weights = (weights / weights.sum()).astype(np.float32)
            part = (places >= top) & (places < bottom)
            if part.any():
                under_way[line] += weights[part] @ rows[places[part][0] - top : places[part][-1] + 1 - top]
            if ends[line] <= bottom:
                found[line] = _across(under_way.pop(line), width)
        each(bottom, tall)
    return found


def _across(row: np.ndarray, width: int) -> np.ndarray:
    """One row, float32 `(columns x 3)`, at another width: uint8 `(width, 3)`."""
    channels = np.ascontiguousarray(row.reshape(-1, 3).T)
    narrow = np.asarray(Image.fromarray(channels).resize((width, 3), Image.Resampling.BILINEAR))
    return np.clip(np.round(narrow.T), 0, 255).astype(np.uint8)
