"""The boundary loss: what is wrong counts by how far from the true border it lies.

Kervadec et al. 2019, "Boundary loss for highly unbalanced segmentation", arXiv:1812.07032. To be added to another loss
by a small weight, such as dice+0.01*boundary: alone it is content with few pixels that are right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from segmodels.data.dataset import IGNORE
from segmodels.training.losses.counting import counted_ids, mean_over_classes, one_hot, softmax


def boundary(masks: Any, logits: Any, distances: Any, class_weights: Sequence[float] | None = None) -> Any:
    """Mean over the counted pixels of distance (softmax - truth), in pixels; mean over the classes in the masks.

    The paper drops the truth's part, which no weight of the network changes, and so has losses below 0; with it the
    loss is 0 where all is right. All classes take part, where the paper takes those in the foreground: with two the
    background says the same as the object.

    Args:
        distances: of `signed_distances`, `(batch, height, width, classes)`.
    """
    from segmodels.backend import ops

    ids, counted = counted_ids(masks, logits)
    truth = one_hot(ids, counted, logits.shape[-1])
    each = ops.cast(distances, "float32") * (softmax(logits) - truth) * counted[..., None]
    each = ops.sum(each, axis=(0, 1, 2)) / ops.maximum(ops.sum(counted), 1.0)
    return mean_over_classes(each, ops.sum(truth, axis=(0, 1, 2)), class_weights)


def signed_distances(masks: np.ndarray, classes: int) -> np.ndarray:
    """How far each pixel is from the border of each class: negative inside, positive outside, in pixels.

    A border runs between two pixels, half a pixel from the middle of both. Ignored pixels are of no class, so where a
    class meets them there is no border; they themselves are 0, and so is all of a class that a picture has no border
    of: it is missing, or fills the picture.

    Args:
        masks: uint8 `(batch, height, width)`.

    Returns:
        float32 `(batch, height, width, classes)`.
    """
    distances = np.zeros((*masks.shape, classes), np.float32)
    for mask, found in zip(masks, distances, strict=True):
        known = mask != IGNORE
        for number in range(classes):
            inside = mask == number
            outside = known & ~inside
            if inside.any() and outside.any():
                signed = np.where(inside, 0.5 - distance_to(outside), distance_to(inside) - 0.5)
                found[..., number] = np.where(known, signed, 0)
    return distances


def distance_to(pixels: np.ndarray) -> np.ndarray:
    """From the middle of each pixel to that of the nearest marked one: float32 `(height, width)`.

    Args:
        pixels: bool `(height, width)`, some of them true.
    """
    import cv2

    distances = cv2.distanceTransform((~pixels).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # OpenCV's last digit hangs on where the array lies in memory. Their squares are whole numbers, which mends it.
    return np.sqrt(np.rint(distances**2))
