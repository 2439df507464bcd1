"""What an augmentation does to one picture: a few versions of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segmodels.data.augment.parse import parse_augmentation


def preview(
    images: Sequence[np.ndarray],
    masks: Sequence[np.ndarray],
    text: str,
    *,
    count: int = 6,
    seed: int = 0,
    any_orientation: bool,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Augmented versions of the first picture.

    Args:
        images: uint8 `(height, width, 3)`, all of one shape; the first is mixed with the others by MixUp and CutMix.
        masks: uint8 `(height, width)`, one a picture.
        text: the augmentation as a recipe has it.
        count: how many versions.
        seed: of the versions; the first ones are the same whatever their count.
        any_orientation: whether the pictures may be turned upside down and by 90 degrees.

    Returns:
        `count` pairs of image and mask, of the shapes given.

    Raises:
        UserError: a text that is no augmentation.
    """
    augmentation = parse_augmentation(text)
    batch = np.stack(images), np.stack(masks)
    versions = []
    for number in range(count):
        generator = np.random.default_rng([seed, number])
        varied_images, varied_masks = augmentation(*batch, generator, any_orientation=any_orientation)
        versions.append((varied_images[0], varied_masks[0]))
    return versions
