"""What a data set is: classes, samples in splits, and how to read one."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np

from segmodels.data.images import read_image, read_mask
from segmodels.errors import UserError

#: The mask value that no loss, metric, plot or export counts.
IGNORE = 255

#: The names of the splits, in the order in which they are shown.
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class ClassLabel:
    """A class: its name and the colour it is drawn in (`#RRGGBB`)."""

    name: str
    colour: str

    @property
    def rgb(self) -> tuple[int, int, int]:
        return tuple(bytes.fromhex(self.colour[1:]))  # type: ignore[return-value]


@dataclass(frozen=True)
class Sample:
    """One picture of a data set, not read yet.

    `group` names what must stay on one side of a split and is used to stratify (a breed, a patient). The paths are None
    where pictures are generated.
    """

    id: str
    group: str = ""
    image_path: Path | None = field(default=None, compare=False)
    mask_path: Path | None = field(default=None, compare=False)


class Dataset(ABC):
    """A data set opened at its place.

    A subclass states the facts below, implements `samples`, and where its pictures are not plain image and mask files,
    `read_image` and `read_mask`. Constructing one checks that the files are there and raises `UserError` if not.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    description: ClassVar[str]
    licence: ClassVar[str]
    source: ClassVar[str]
    classes: ClassVar[tuple[ClassLabel, ...]]
    #: "resize" or "tiles": at what scale a model sees the pictures unless the recipe says otherwise.
    sampling: ClassVar[str] = "resize"
    has_instances: ClassVar[bool] = False
    #: Whether a picture may be mirrored upside down or turned by 90 degrees without becoming an unlikely one.
    any_orientation: ClassVar[bool] = False

    def __init__(self, root: str | Path | None = None, *, split_seed: int = 0) -> None:
        """`root` is the folder of the files; generated sets have none and take no notice of it."""
        self.root = Path(root).expanduser().resolve() if root is not None else None
        self.split_seed = split_seed

    @abstractmethod
    def samples(self, split: str) -> list[Sample]:
        """The samples of "train", "validation" or "test", in a fixed order."""

    def read_image(self, sample: Sample) -> np.ndarray:
        """The picture: uint8 RGB `(height, width, 3)`. Raises `UserError` where it cannot be read."""
        assert sample.image_path is not None
        return read_image(sample.image_path)

    def read_mask(self, sample: Sample) -> np.ndarray:
        """The class ids: uint8 `(height, width)`, `IGNORE` where nothing counts. Raises `UserError`."""
        assert sample.mask_path is not None
        return read_mask(sample.mask_path)

    def read_instances(self, sample: Sample) -> np.ndarray:
        """The object ids: int32 `(height, width)`, 0 for none. Only where `has_instances`."""
        raise UserError(f"{self.name} has no instance labels")

    def read(self, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """Picture and mask, checked against each other and the classes. Raises `UserError` that names the sample."""
        image = self.read_image(sample)
        mask = self.read_mask(sample)
        if image.shape[:2] != mask.shape:
            (h, w), (mh, mw) = image.shape[:2], mask.shape
            raise UserError(f"{sample.id}: the picture is {w}x{h} but its mask is {mw}x{mh}; they must be of one size")
        wrong = np.setdiff1d(np.unique(mask), [*range(len(self.classes)), IGNORE])
        if len(wrong):
            raise UserError(
                f"{sample.id}: mask value {wrong[0]} is no class of {self.name} "
                f"(0 to {len(self.classes) - 1}, {IGNORE} for ignore)"
            )
        return image, mask

    def fingerprint(self, samples: Iterable[Sample]) -> str:
        """A digest of the content of these samples: it changes when a byte of them does, and not when they move."""
        digest = hashlib.blake2b(self.name.encode(), digest_size=16)
        for sample in samples:
            digest.update(sample.id.encode())
            for path in (sample.image_path, sample.mask_path):
                if path is not None and path.is_file():
                    with path.open("rb") as file:
                        digest.update(hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest())
        return digest.hexdigest()
