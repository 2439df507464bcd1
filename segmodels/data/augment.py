"""Varying a batch of training pictures. Masks are moved, never interpolated."""

from __future__ import annotations

import numpy as np


def light(
    images: np.ndarray, masks: np.ndarray, generator: np.random.Generator, *, any_orientation: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Mirror each picture of a batch left to right with probability one half.

    Where `any_orientation` is true (tissue, aerial pictures) it is mirrored top to bottom and, if square, transposed
    with probability one half too, which together makes all eight orientations equally likely.

    Args:
        images: uint8 `(batch, height, width, 3)`; masks: uint8 `(batch, height, width)`. Both are changed in place.
    """
    moves = [lambda x: x[:, ::-1]]
    if any_orientation:
        moves.append(lambda x: x[::-1])
        if images.shape[1] == images.shape[2]:
            moves.append(lambda x: x.swapaxes(0, 1))
    chosen = generator.random((len(images), len(moves))) < 0.5
    for index, row in enumerate(chosen):
        for move, wanted in zip(moves, row, strict=True):
            if wanted:
                images[index] = move(images[index]).copy()
                masks[index] = move(masks[index]).copy()
    return images, masks


#: The table of presets by the name that recipes use.
AUGMENTATIONS = {"none": None, "light": light}
