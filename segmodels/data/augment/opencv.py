"""The calls into OpenCV. Each works in the thread that calls it, without Python's lock.

OpenCV's own threads are switched off: the loader has as many as are worth it, and TensorFlow's need the cores too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from segmodels.data.dataset import IGNORE

cv2.setNumThreads(1)

#: The logarithm of the light that each grey level stands for; one level up, since there is none of 0.
LOG_LIGHT = np.log((np.arange(256) + 1) / 256).astype(np.float32)


def warp(
    image: np.ndarray, mask: np.ndarray, matrix: np.ndarray, shifts: Sequence[np.ndarray] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """Move pixels: pictures are interpolated linearly, masks take the nearest value and are `IGNORE` outside.

    Outside the picture goes on as its reflection. No loss sees what stands there, but the pixels beside it and every
    normalisation do, and a flat border is nothing that a camera shows.

    Args:
        image: uint8 `(height, width, 3)`; mask: uint8 `(height, width)`.
        matrix: `(3, 3)`, from a pixel's new place to its old one, about the picture's middle.
        shifts: each float32 `(cells, cells, 2)`, spread over the picture by cubics, and added to the new place first.

    Returns:
        new arrays of the same shapes.
    """
    height, width = mask.shape
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    affine = matrix[:2].copy()
    affine[:, 2] += middle - affine[:, :2] @ middle
    if not shifts:
        size, linear, nearest = (width, height), cv2.INTER_LINEAR, cv2.INTER_NEAREST
        return (
            cv2.warpAffine(image, affine, size, None, linear | cv2.WARP_INVERSE_MAP, cv2.BORDER_REFLECT_101),
            cv2.warpAffine(mask, affine, size, None, nearest | cv2.WARP_INVERSE_MAP, cv2.BORDER_CONSTANT, IGNORE),
        )
    places = np.zeros((height, width, 2), np.float32)
    for grid in shifts:
        places += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    places[..., 0] += np.arange(width, dtype=np.float32)
    places[..., 1] += np.arange(height, dtype=np.float32)[:, None]
    x, y = cv2.split(cv2.transform(places, affine))
    return (
        cv2.remap(image, x, y, cv2.INTER_LINEAR, None, cv2.BORDER_REFLECT_101),
        cv2.remap(mask, x, y, cv2.INTER_NEAREST, None, cv2.BORDER_CONSTANT, IGNORE),
    )


def recolour(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Multiply colours by a matrix `(4, 4)`: exact to rounding where channels do not mix, else to one grey level."""
    if np.array_equal(matrix[:3, :3], matrix[0, 0] * np.eye(3)) and np.ptp(matrix[:3, 3]) == 0:
        values = np.arange(256) * matrix[0, 0] + matrix[0, 3]
        return cv2.LUT(image, np.clip(np.round(values), 0, 255).astype(np.uint8))
    return cv2.transform(image, matrix[:3])


def restain(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Multiply the logarithms of light by a matrix `(4, 4)`."""
    matrix = matrix[:3].copy()
    matrix[:, 3] += math.log(256)
    light = cv2.exp(cv2.transform(cv2.LUT(image, LOG_LIGHT), matrix))
    return cv2.addWeighted(light, 1, light, 0, -1, dtype=cv2.CV_8U)


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Blur by a Gaussian of a standard deviation in pixels, over 0; it is cut off at three of them."""
    return cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)


def add_noise(image: np.ndarray, sigma: float, generator: np.random.Generator) -> np.ndarray:
    """Add Gaussian noise of a standard deviation in grey levels, rounded and clipped."""
    noise = generator.standard_normal(image.shape, np.float32)
    return cv2.scaleAdd(noise, sigma, image.astype(np.float32)).round().clip(0, 255).astype(np.uint8)


def blend(image: np.ndarray, other: np.ndarray, weight: float) -> np.ndarray:
    """`weight` of a picture and the rest to 1 of another, rounded."""
    return cv2.addWeighted(image, weight, other, 1 - weight, 0)
