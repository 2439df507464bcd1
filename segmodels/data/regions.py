"""Regions: the parts of a map that hang together."""

from __future__ import annotations

import cv2
import numpy as np


def regions(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number the parts of equal value that hang together edge to edge.

    Returns:
        int32 `(height, width)`, from 0; and int32 `(parts, 4)`, the left, top, width and height of each.
    """
    height, width = values.shape
    # Pixels with the joints between them: a joint is there where its two pixels are equal.
    grid = np.zeros((2 * height - 1, 2 * width - 1), np.uint8)
    grid[::2, ::2] = 1
    grid[::2, 1::2] = values[:, 1:] == values[:, :-1]
    grid[1::2, ::2] = values[1:] == values[:-1]
    _, numbers, boxes, _ = cv2.connectedComponentsWithStats(grid, connectivity=4)
    boxes = boxes[1:, :4]  # number 0 is the joints that are not there
    return numbers[::2, ::2] - 1, np.concatenate([boxes[:, :2] // 2, (boxes[:, 2:] + 1) // 2], axis=1)
