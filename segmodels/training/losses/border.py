"""U-Net's cross-entropy, in which the background between touching objects counts most.

Ronneberger et al. 2015, "U-Net", arXiv:1505.04597, equation 2: a pixel x weighs
w(x) = w_c(x) + w0 exp(-(d1(x) + d2(x))^2 / (2 sigma^2)), with d1 and d2 its distances to the nearest object and to the
one after that. w_c, which makes up for rare classes, are the class weights.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from segmodels.data.dataset import IGNORE
from segmodels.training.losses.counting import counted_ids, mean_over_pixels
from segmodels.training.losses.distance import distance_to
from segmodels.training.losses.pixelwise import negative_log_likelihood

#: Where d1 + d2 is this many sigmas the second summand is w0 times 1.5e-8: nothing, for a float32.
REACH = 6


def border_cross_entropy(masks: Any, logits: Any, weights: Any, class_weights: Sequence[float] | None = None) -> Any:
    """Mean of -log p(true class) over the counted pixels, each weighted by its class and its place.

    Args:
        weights: of `border_weights`, `(batch, height, width)`; added to what the class weighs.
    """
    from segmodels.backend import ops

    ids, counted = counted_ids(masks, logits)
    each = negative_log_likelihood(ids, logits)
    return mean_over_pixels(each, ids, counted, logits, class_weights, more=ops.cast(weights, "float32"))


def border_weights(
    masks: np.ndarray, classes: int, *, background: int | None = 0, w0: float = 10.0, sigma: float = 5.0
) -> np.ndarray:
    """What pixels between objects weigh on top, where only their classes are known.

    The objects are the connected parts (by sides and corners) of every class but the background, so there must be
    background between them: objects that touch are one. A class for borders counts as objects too.

    Args:
        masks: uint8 `(batch, height, width)`; ignored pixels are of no object.
        background: its class; None where every class stands for something.
        w0: the weight where two objects meet. sigma: how far it reaches, in pixels.

    Returns:
        float32 `(batch, height, width)`, from 0 to w0.
    """
    return np.stack([instance_border_weights(_instances(mask, background), w0=w0, sigma=sigma) for mask in masks])


def instance_border_weights(instances: np.ndarray, *, w0: float = 10.0, sigma: float = 5.0) -> np.ndarray:
    """w0 exp(-(d1 + d2)^2 / (2 sigma^2)) for each pixel, d1 and d2 its distances to the two nearest objects.

    Distances are between the middles of pixels, and 0 to the object that a pixel is of: it weighs more where its object
    comes near another. Where there is one object or none the weights are 0.

    Args:
        instances: `(height, width)`, whole numbers that tell the objects apart; 0 is none.

    Returns:
        float32 `(height, width)`.
    """
    from scipy.ndimage import find_objects

    nearest, second = (np.full(instances.shape, np.inf, np.float32) for _ in range(2))
    margin = math.ceil(REACH * sigma)
    for number, box in enumerate(find_objects(instances), start=1):
        if box is None:
            continue
        # Farther than the margin an object changes nothing, so its distances are needed around it only.
        around = tuple(slice(max(0, side.start - margin), side.stop + margin) for side in box)
        distance = distance_to(instances[around] == number)
        second[around] = np.minimum(second[around], np.maximum(nearest[around], distance))
        nearest[around] = np.minimum(nearest[around], distance)
    return np.float32(w0) * np.exp(-((nearest + second) ** 2) / np.float32(2 * sigma**2))


def _instances(mask: np.ndarray, background: int | None) -> np.ndarray:
    """Connected parts of the classes, numbered from 1: int32 `(height, width)`."""
    import cv2

    instances, count = np.zeros(mask.shape, np.int32), 0
    for number in np.unique(mask):
        if number in (background, IGNORE):
            continue
        parts, labels = cv2.connectedComponents((mask == number).astype(np.uint8), connectivity=8)
        instances[labels > 0] = labels[labels > 0] + count
        count += parts - 1  # OpenCV counts what is of no part as one
    return instances
