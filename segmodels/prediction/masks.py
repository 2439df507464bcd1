"""Masks as pictures: overlays for people, indexed PNGs for programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from segmodels.data.dataset import IGNORE, ClassLabel
from segmodels.files import replacing

#: What ignored pixels are drawn in.
IGNORE_COLOUR = (255, 255, 255)


def palette(labels: Sequence[ClassLabel]) -> np.ndarray:
    """The colour of every mask value: uint8 `(256, 3)`; `IGNORE` is white, values without a class black."""
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(labels)] = [label.rgb for label in labels]
    colours[IGNORE] = IGNORE_COLOUR
    return colours


def foreground(labels: Sequence[ClassLabel]) -> list[int]:
    """The ids of all classes but one called background."""
    return [index for index, label in enumerate(labels) if label.name != "background"]


def background(labels: Sequence[ClassLabel]) -> int | None:
    """The id of the class called background; None where there is none."""
    return next((index for index, label in enumerate(labels) if label.name == "background"), None)


def overlay(
    image: np.ndarray,
    mask: np.ndarray,
    labels: Sequence[ClassLabel],
    *,
    opacity: float = 0.5,
    shown: Sequence[int] | None = None,
) -> np.ndarray:
    """Lay a mask's colours over a picture.

    Args:
        image: uint8 `(height, width, 3)`.
        mask: uint8 `(height, width)`; ignored pixels stay as in the picture.
        labels: names and colours of the classes.
        opacity: of the colours, 0 to 1.
        shown: class ids that are drawn; where None all but the background, which is best seen as it is.

    Returns:
        uint8 `(height, width, 3)`.
    """
    drawn = np.zeros(256, np.float32)
    drawn[list(foreground(labels) if shown is None else shown)] = opacity
    share = drawn[mask][..., None]
    return np.round(image * (1 - share) + palette(labels)[mask] * share).astype(np.uint8)


def side_by_side(
    image: np.ndarray, truth: np.ndarray, prediction: np.ndarray, labels: Sequence[ClassLabel]
) -> np.ndarray:
    """Picture, truth and prediction beside each other: uint8 `(height, 3 * width, 3)`."""
    return np.concatenate([image, overlay(image, truth, labels), overlay(image, prediction, labels)], axis=1)


def indexed_mask(mask: np.ndarray, labels: Sequence[ClassLabel]) -> Image.Image:
    """A palette picture: the pixel values are the class ids, and viewers show the classes' colours."""
    picture = Image.fromarray(mask)
    picture.putpalette(palette(labels).tobytes())
    return picture


def write_indexed_mask(path: Path, mask: np.ndarray, labels: Sequence[ClassLabel]) -> None:
    """Write class ids, uint8 `(height, width)`, as an indexed PNG."""
    with replacing(path) as part:
        indexed_mask(mask, labels).save(part, format="PNG")


def write_image(path: Path, image: np.ndarray) -> None:
    """Write uint8 RGB `(height, width, 3)` as PNG."""
    with replacing(path) as part:
        Image.fromarray(image).save(part, format="PNG")
