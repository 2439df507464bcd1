"""Varying a batch of training pictures. Masks are moved with their pictures and never interpolated."""

from __future__ import annotations

import numpy as np

from segmodels.data.images import resize_image, resize_mask

#: The smallest share of a picture's sides that `light` cuts out and enlarges to the whole.
ZOOM = 0.85
#: How far `light` moves brightness (as a share of 255) and contrast (as a factor) at most.
BRIGHTNESS, CONTRAST = 0.08, 0.15


def light(
    images: np.ndarray, masks: np.ndarray, generator: np.random.Generator, *, any_orientation: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Mirror, zoom in a little, and change brightness and contrast a little: what another photo of the same might show.

    Each picture is mirrored left to right with probability one half. Where `any_orientation` is true (tissue, aerial
    pictures) it is mirrored top to bottom and, if square, transposed with probability one half too, which together
    makes all eight orientations equally likely.

    Args:
        images: uint8 `(batch, height, width, 3)`; masks: uint8 `(batch, height, width)`. Both are changed in place.
    """
    turns = [lambda x: x[:, ::-1]]
    if any_orientation:
        turns.append(lambda x: x[::-1])
        if images.shape[1] == images.shape[2]:
            turns.append(lambda x: x.swapaxes(0, 1))
    for index in range(len(images)):
        image, mask = _zoom(images[index], masks[index], generator)
        for turn, wanted in zip(turns, generator.random(len(turns)) < 0.5, strict=True):
            if wanted:
                image, mask = turn(image), turn(mask)
        images[index] = _tone(generator)[image]
        masks[index] = mask
    return images, masks


def _zoom(image: np.ndarray, mask: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Cut out a part of the same shape and enlarge it to the whole."""
    height, width = mask.shape
    share = generator.uniform(ZOOM, 1)
    h, w = round(height * share), round(width * share)
    top, left = generator.integers(0, [height - h + 1, width - w + 1])
    part = np.s_[top : top + h, left : left + w]
    return resize_image(image[part].copy(), height, width), resize_mask(mask[part].copy(), height, width)


def _tone(generator: np.random.Generator) -> np.ndarray:
    """A table of 256 new values for brightness and contrast; one look-up a pixel does both."""
    contrast = generator.uniform(1 - CONTRAST, 1 + CONTRAST)
    brightness = generator.uniform(-BRIGHTNESS, BRIGHTNESS) * 255
    values = (np.arange(256) - 127.5) * contrast + 127.5 + brightness
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


#: The table of presets by the name that recipes use.
AUGMENTATIONS = {"none": None, "light": light}
