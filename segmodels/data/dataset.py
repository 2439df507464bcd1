"""What a data set is: classes, samples in splits, and how to read one."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from segmodels.data.images import read_image, read_image_at, read_mask, resize_image, resize_mask
from segmodels.errors import UserError, choose
from segmodels.files import state_of, user_path

#: The mask value that no loss, metric, plot or export counts.
IGNORE = 255

#: Told how far something long is: done, total, and what it is.
Progress = Callable[[int, int, str], None]

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

    `group` is its kind, of which every part of a split gets its share (a breed, a tissue). `source` is what it comes
    from (a patient, a place, a film): the samples of one source stay on one side of a split, or the score is a leak; an
    empty one stands for the sample alone. The paths are None where pictures are generated.
    """

    id: str
    group: str = ""
    source: str = ""
    image_path: Path | None = field(default=None, compare=False)
    mask_path: Path | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Finding:
    """One defect of a data set, for `datasets verify`.

    Attributes:
        kind: a short name such as "unreadable", "wrong-suffix", "size-mismatch", "unknown-colour".
        where: the file, relative to the root, or the sample's id.
        message: what is wrong, in one line.
        action: what will be done about it: "skipped", "read all the same", "those pixels are ignored" …
        sample: the id of the sample it belongs to, where it belongs to one.
        split: of that sample.
    """

    kind: str
    where: str
    message: str
    action: str
    sample: str = ""
    split: str = ""


class Dataset(ABC):
    """A data set opened at its place.

    A subclass states the facts below, for all its instances or for each, implements `listed`, and where its pictures
    are not plain image and mask files, `read_image` and `read_mask`. Constructing one checks that the files are there
    and raises `UserError` if not.
    """

    name: str
    title: str
    description: str
    licence: str
    source: str
    classes: tuple[ClassLabel, ...]
    #: Whether its objects are numbered (`read_instances`): evaluating then compares objects too.
    has_instances: bool = False
    #: How a model sees its pictures unless a recipe says otherwise: resized as a whole, or in tiles of native pixels.
    sampling: Literal["resize", "tiles"] = "resize"
    #: Whether a picture may be mirrored upside down or turned by 90 degrees without becoming an unlikely one.
    any_orientation: bool = False
    #: Bytes that `download` brings; 0 where there is nothing to bring.
    download_size: ClassVar[int] = 0

    def __init__(self, root: str | Path | None = None, *, split_seed: int = 0) -> None:
        """`root` is the folder of the files; generated sets have none and take no notice of it."""
        self.root = user_path(root) if root is not None else None
        self.split_seed = split_seed
        #: The samples of each split where a split file was given (`segmodels.data.split`).
        self.given_split: dict[str, list[Sample]] | None = None

    @property
    def background(self) -> int | None:
        """The id of the class called background; None where every class stands for something."""
        return next((number for number, label in enumerate(self.classes) if label.name == "background"), None)

    @abstractmethod
    def listed(self, split: str) -> list[Sample]:
        """The samples of "train", "validation" or "test" as the data set itself splits them, in a fixed order."""

    def samples(self, split: str) -> list[Sample]:
        """The samples of "train", "validation" or "test", in a fixed order; by the split file if one was given."""
        if self.given_split is not None:
            return self.given_split[choose("split", split, SPLITS)]
        return self.listed(split)

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

    def inspect(self, sample: Sample) -> list[Finding]:
        """What is odd about one sample and `read` puts right or passes over, such as a colour in no table."""
        return []

    def inspect_files(self) -> list[Finding]:
        """What is odd about the whole: files in no list, a label file that does not fit, clashing names."""
        return []

    @classmethod
    def download(cls, progress: Progress | None = None) -> Path:
        """Bring the files from their official source, or find them brought; returns their folder.

        Raises:
            UserError: no network, no space, wrong files; or there is nothing to bring.
        """
        raise UserError(f"{cls.name} is generated by this program: there is nothing to download")

    def read(self, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """Picture and mask, checked against each other and the classes. Raises `UserError` that names the sample."""
        image = self.read_image(sample)
        mask = self.read_mask(sample)
        self._check(sample, image.shape[:2], mask)
        return image, mask

    def read_at(self, sample: Sample, size: int) -> tuple[np.ndarray, np.ndarray]:
        """`read`, brought to `size` x `size` pixels; quicker than both, where the picture is a file of its own."""
        path = self.image_file(sample)
        if path is None:
            image, mask = self.read(sample)
            return resize_image(image, size, size), resize_mask(mask, size, size)
        image, shape = read_image_at(path, size, size)
        mask = self.read_mask(sample)
        self._check(sample, shape, mask)
        return image, resize_mask(mask, size, size)

    def image_file(self, sample: Sample) -> Path | None:
        """The file that `read_image` reads as it is; None where a picture comes to be in another way."""
        return sample.image_path if type(self).read_image is Dataset.read_image else None

    def _check(self, sample: Sample, shape: tuple[int, ...], mask: np.ndarray) -> None:
        if shape != mask.shape:
            (h, w), (mh, mw) = shape, mask.shape
            raise UserError(f"{sample.id}: the picture is {w}x{h} but its mask is {mw}x{mh}; they must be of one size")
        # The highest value alone is found in no time; counting is ten times as fast as sorting.
        if mask.max(initial=0) < len(self.classes):
            return
        present = np.flatnonzero(np.bincount(mask.ravel()))
        wrong = np.setdiff1d(present, [*range(len(self.classes)), IGNORE])
        if len(wrong):
            raise UserError(
                f"{sample.id}: mask value {wrong[0]} is no class of {self.name} "
                f"(0 to {len(self.classes) - 1}, {IGNORE} for ignore)"
            )

    def fingerprint(self, samples: Iterable[Sample]) -> str:
        """A digest of the content of these samples under this name: it changes when a byte of them does."""
        digest = hashlib.blake2b(repr((self.name, *self.reading())).encode("utf-8", "surrogateescape"), digest_size=16)
        known: dict[Path, bytes] = {}  # one file may hold the masks of all
        for sample in samples:
            digest.update(sample.id.encode("utf-8", "surrogateescape"))
            for path in (sample.image_path, sample.mask_path):
                if path is not None and path not in known:
                    known[path] = _digest(path)
                digest.update(known[path] if path is not None else b"")
        return digest.hexdigest()

    def state(self, sample: Sample) -> str:
        """A digest of what a sample is, how it is read and when its files were written, without reading them.

        Raises:
            UserError: a file of it is gone.
        """
        paths = [path for path in (sample.image_path, sample.mask_path) if path is not None]
        for path in paths:
            try:
                path.stat()
            except OSError:
                raise UserError(f"{sample.id}: {path.name} is not there any more: open the data set anew") from None
        return state_of(paths, self.name, self.split_seed, *self.reading(), sample.id)

    def reading(self) -> tuple[object, ...]:
        """What, beside the files, decides how they are read: it belongs to the fingerprint."""
        return ()


def _digest(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()
    except OSError:  # `read` says what is wrong with it
        return b""
