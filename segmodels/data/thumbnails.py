"""Small forms of samples for a grid: made once and kept in the home, so that ten thousand can be leafed through."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segmodels.data.dataset import Dataset, Sample
from segmodels.data.images import encoded, fitted, resize_image, resize_mask
from segmodels.errors import UserError
from segmodels.files import replacing
from segmodels.home import home

#: The longest side in pixels: sharp at the width that a grid shows, and small to send.
SIDE = 360
#: Changes when what is kept is made otherwise.
VERSION = 1


@dataclass(frozen=True)
class Thumbnail:
    """A small picture and its mask.

    Attributes:
        image: a JPEG.
        mask: a PNG of one channel whose values are the class ids.
        size: width and height of the sample itself.
    """

    image: bytes
    mask: bytes
    size: tuple[int, int]


def thumbnail(dataset: Dataset, sample: Sample) -> Thumbnail:
    """The small form of a sample: the one that is kept, or made anew where its files have changed.

    Raises:
        UserError: the sample cannot be read, or picture and mask differ in size.
    """
    path = _path(dataset, sample)
    if found := _kept(path):
        return found
    image, mask = dataset.read_image(sample), dataset.read_mask(sample)
    height, width = image.shape[:2]
    if mask.shape != (height, width):
        raise UserError(
            f"{sample.id}: the picture is {width}x{height} but its mask is {mask.shape[1]}x{mask.shape[0]}; they must "
            "be of one size"
        )
    small = fitted(height, width, SIDE)
    made = Thumbnail(
        encoded(resize_image(image, *small), "JPEG", quality=85),
        encoded(resize_mask(mask, *small), "PNG", compress_level=6),
        (width, height),
    )
    _keep(path, made)
    return made


def _path(dataset: Dataset, sample: Sample) -> Path:
    """Where it is kept: by what is read and how, and by when the files were written."""
    facts = f"{VERSION} {SIDE} {dataset.state(sample)}"
    digest = hashlib.blake2b(facts.encode(), digest_size=16).hexdigest()
    return home() / "thumbnails" / digest[:2] / f"{digest}.bin"


def _kept(path: Path) -> Thumbnail | None:
    """What is kept there; None where that is nothing, or damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    numbers = np.frombuffer(content[:16], "<u4").tolist() if len(content) >= 16 else [0, 0, 0, 0]
    width, height, first, second = numbers
    if not width or len(content) != 16 + first + second:
        return None
    return Thumbnail(content[16 : 16 + first], content[16 + first :], (width, height))


def _keep(path: Path, made: Thumbnail) -> None:
    head = np.array([*made.size, len(made.image), len(made.mask)], "<u4").tobytes()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            part.write_bytes(head + made.image + made.mask)
    except (OSError, UserError):  # a full disk: it is made anew the next time
        return
