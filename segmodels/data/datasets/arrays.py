"""Data sets in NumPy arrays: `images.npy` and `masks.npy`, `X_train.npy` and `y_train.npy`, or an `.npz` of these."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segmodels.data.array_files import Stored, stored_arrays
from segmodels.data.class_table import NumberTable
from segmodels.data.dataset import IGNORE, Finding, Sample
from segmodels.data.datasets.integer_masks import classes_by_values
from segmodels.data.datasets.mask_folder import numbered, unknown_findings
from segmodels.data.datasets.mask_values import mask_values
from segmodels.data.datasets.own import SPLIT_NAMES, OwnDataset
from segmodels.data.datasets.pictures import files_below
from segmodels.data.images import MAX_PIXELS
from segmodels.data.label_files import find_label_file, read_label_file
from segmodels.errors import UserError

#: Words in the names of arrays.
IMAGE_WORDS = frozenset(("image", "images", "img", "imgs", "x", "input", "inputs", "picture", "pictures", "photos"))
MASK_WORDS = frozenset(("mask", "masks", "label", "labels", "y", "target", "targets", "annotations", "gt", "seg"))

#: Pictures looked at to tell how numbers stand for brightness.
_PROBES = 16


@dataclass(frozen=True)
class ArrayPair:
    """Pictures and their masks in two arrays, the same number of each.

    Attributes:
        name: what the ids begin with: folder, `.npz` file, split and what else the names share.
        split: that the names say, or "".
        images: `(n, h, w)`, `(n, h, w, c)` or `(n, c, h, w)` of 1, 3 or 4 channels.
        masks: `(n, h, w)`, with one channel, or with one a class.
    """

    name: str
    split: str
    images: Stored
    masks: Stored


class ArrayFolder(OwnDataset):
    """Pictures and masks in arrays, read through memory maps.

    Pictures are uint8, or floats of 0 to 1, -1 to 1 or 0 to 255, or uint16 of the full range: which of these is
    decided once for each array. The masks hold class numbers as in `IntegerMaskFolder`, or one channel a class, of
    which the greatest counts; where all channels are 0 the pixel is ignored.
    """

    form = "arrays"

    @classmethod
    def recognise(cls, root: Path) -> str | None:
        try:
            pairs, _ = _pairs(root)
        except (UserError, OSError, ValueError):
            return None
        if not pairs:
            return None
        count = sum(pair.images.shape[0] for pair in pairs if pair.images.shape)
        names = ", ".join(sorted({pair.images.path.name for pair in pairs})[:3])
        return f"{count} pictures in arrays ({names})"

    def collect(self) -> list[tuple[Sample, str]]:
        pairs, self._findings = _pairs(self.root)
        self._arrays: dict[str, tuple[_Images, _Masks]] = {}
        found: list[tuple[Sample, str]] = []
        for pair in pairs:
            try:
                images, masks = _Images(pair.images), _Masks(pair.masks, pair.images)
            except UserError as error:
                self._findings.append(self._wrong(pair, error))
                continue
            self._arrays[pair.name] = images, masks
            width = len(str(len(images.array) - 1))
            for index in range(len(images.array)):
                sample = Sample(
                    f"{pair.name}/{index:0{width}d}", image_path=pair.images.path, mask_path=pair.masks.path
                )
                found.append((sample, pair.split))
        if not found and self._findings:
            raise UserError(f"{self._findings[0].where}: {self._findings[0].message}")
        if found:
            self._find_classes([sample for sample, _ in found])
        return found

    def _wrong(self, pair: ArrayPair, error: UserError) -> Finding:
        where = pair.images.path.relative_to(self.root).as_posix()
        return Finding("unreadable", where, str(error), "left out")

    def _find_classes(self, samples: list[Sample]) -> None:
        path = find_label_file(self.root)
        files = list(dict.fromkeys(sample.mask_path for sample in samples if sample.mask_path))
        values = mask_values(samples, self._numbers, files, kind="arrays " + " ".join(self._arrays))
        if not values.pixels:
            reason = next(iter(values.problems.values()), "they have no pixels")
            raise UserError(f"{self.root}: no mask can be read, first: {reason}")
        channels = max((masks.classes for _, masks in self._arrays.values()), default=0)
        labels, doubts = classes_by_values(values, read_label_file(path) if path else None, at_least=channels)
        self._findings += [Finding(kind, files[0].name, message, action) for kind, message, action in doubts]
        self.classes, ids = numbered(labels)
        self._table = NumberTable(ids)

    def read_image(self, sample: Sample) -> np.ndarray:
        images, index = self._place(sample)
        return images[0].read(index)

    def read_mask(self, sample: Sample) -> np.ndarray:
        return self._table.ids(self._numbers(sample))

    def _numbers(self, sample: Sample) -> np.ndarray:
        arrays, index = self._place(sample)
        return arrays[1].read(index)

    def _place(self, sample: Sample) -> tuple[tuple[_Images, _Masks], int]:
        name, _, index = sample.id.rpartition("/")
        return self._arrays[name], int(index)

    def reading(self) -> tuple[object, ...]:
        scales = [(name, images.low, images.high) for name, (images, _) in self._arrays.items()]
        return (self.form, scales, self._table.classes, [label.name for label in self.classes])

    def inspect(self, sample: Sample) -> list[Finding]:
        try:
            numbers = self._numbers(sample)
        except UserError:  # whoever reads the sample is told
            return []
        return unknown_findings(self._table.unknown(numbers), numbers, sample.id, sample.id)

    def inspect_files(self) -> list[Finding]:
        """Arrays without a partner, or that cannot be read; numbers that are not plain class numbers."""
        return self._findings


class _Images:
    """An array of pictures, and how its numbers stand for brightness: from `low` for black to `high` for white."""

    def __init__(self, stored: Stored) -> None:
        self.label = stored.label
        shape, kind = stored.shape, stored.dtype.kind
        if kind not in "uifb":
            raise UserError(f"{self.label} holds {stored.dtype}, not numbers")
        if len(shape) == 4 and shape[-1] not in (1, 3, 4) and shape[1] in (1, 3, 4):
            self._first = True
            _, _, height, width = shape
        elif len(shape) == 3 or (len(shape) == 4 and shape[-1] in (1, 3, 4)):
            self._first = False
            _, height, width = shape[:3]
        else:
            raise UserError(f"{self.label} has the shape {shape}; pictures need (n, height, width, 1, 3 or 4)")
        if not 0 < height * width <= MAX_PIXELS or not shape[0]:
            raise UserError(f"{self.label} has the shape {shape}: no pictures, or too large ones")
        self.array = stored.open()
        self.low, self.high = self._range()

    def _range(self) -> tuple[float, float]:
        array = self.array
        if array.dtype == np.uint8:
            return 0.0, 255.0
        if array.dtype == np.bool_:
            return 0.0, 1.0
        probes = np.linspace(0, len(array) - 1, min(_PROBES, len(array))).astype(int)
        parts = [np.asarray(array[i], np.float64) for i in probes]
        finite = [part[np.isfinite(part)] for part in parts]
        least = min((float(part.min()) for part in finite if part.size), default=0.0)
        most = max((float(part.max()) for part in finite if part.size), default=0.0)
        if array.dtype.kind == "f" and most <= 1.001:
            if least >= -0.001:
                return 0.0, 1.0
            if least >= -1.001:
                return -1.0, 1.0
        if least >= 0 and most <= 255.5:
            return 0.0, 255.0
        if least >= 0 and most <= 65535 and array.dtype.kind in "ui":
            return 0.0, 65535.0
        raise UserError(
            f"{self.label} holds {least:.4g} to {most:.4g}; pictures need 0 to 255, or 0 to 1 or -1 to 1 as floats"
        )

    def read(self, index: int) -> np.ndarray:
        """One picture: uint8 RGB `(height, width, 3)`."""
        values = np.asarray(self.array[index])
        if self._first:
            values = np.moveaxis(values, 0, -1)
        if values.ndim == 2:
            values = values[..., None]
        values = values[..., :3]  # of four channels the last is transparency
        if values.dtype != np.uint8:
            numbers = values.astype(np.float32)
            if not np.isfinite(numbers).all():
                raise UserError(f"{self.label}: picture {index} has values that are no numbers")
            scale = 255 / (self.high - self.low)
            values = np.clip(np.rint((numbers - self.low) * scale), 0, 255).astype(np.uint8)
        return np.ascontiguousarray(np.broadcast_to(values, (*values.shape[:2], 3)))


class _Masks:
    """An array of masks that fits one of pictures: class numbers, or one channel a class."""

    def __init__(self, stored: Stored, images: Stored) -> None:
        self.label = stored.label
        if stored.dtype.kind not in "uifb":
            raise UserError(f"{self.label} holds {stored.dtype}, not numbers")
        count = images.shape[0] if images.shape else 0
        shape = stored.shape
        if not shape or shape[0] != count:
            raise UserError(f"{self.label} has {shape[0] if shape else 0} masks for {count} pictures")
        #: How many channels there are, one a class; 0 where the masks hold class numbers.
        self.classes = 0
        self._axis: int | None = None
        if len(shape) == 4:
            picture = set(_sizes(images.shape))
            if shape[1:3] in picture:
                self._axis = -1
            elif shape[2:] in picture:
                self._axis = 0
            else:
                raise UserError(f"{self.label} has the shape {shape}, the pictures {images.shape}: sizes differ")
            channels = shape[-1] if self._axis else shape[1]
            if not 0 < channels < IGNORE:
                raise UserError(f"{self.label} has the shape {shape}: {channels} channels are no classes")
            self.classes = channels if channels > 1 else 0
        elif len(shape) != 3 or shape[1:] not in _sizes(images.shape):
            raise UserError(
                f"{self.label} has the shape {shape}, the pictures {images.shape}; masks need (n, height, width), "
                "or one channel a class behind"
            )
        self.array = stored.open()

    def read(self, index: int) -> np.ndarray:
        """One mask's numbers, integers `(height, width)`."""
        values = np.asarray(self.array[index])
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise UserError(f"{self.label}: mask {index} has values that are no numbers")
        if self.classes:
            numbers = values.argmax(axis=self._axis)
            return np.where(values.any(axis=self._axis), numbers, IGNORE).astype(np.uint8)
        if self._axis is not None:
            values = values.squeeze(self._axis)
        if values.dtype.kind == "f":
            whole = np.rint(values)
            if not np.allclose(values, whole, atol=1e-3):
                raise UserError(f"{self.label}: mask {index} has fractions; masks need whole class numbers")
            return np.clip(whole, -1, 256).astype(np.int32)
        return values.astype(np.uint8) if values.dtype == np.bool_ else values


def _sizes(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Height and width of the pictures in an array, as its shape may be meant."""
    if len(shape) == 3:
        return [shape[1:]]
    if shape[-1] in (1, 3, 4):
        return [shape[1:3]]
    return [shape[2:]]


def _pairs(root: Path) -> tuple[list[ArrayPair], list[Finding]]:
    """The arrays below the root in pairs, sorted by name, and those without a partner or that cannot be read."""
    images: dict[tuple[str, str, str], Stored] = {}
    masks: dict[tuple[str, str, str], Stored] = {}
    findings = []
    for path in files_below(root):
        if path.suffix.lower() not in (".npy", ".npz"):
            continue
        where = path.relative_to(root).as_posix()
        try:
            arrays = stored_arrays(path)
        except UserError as error:
            findings.append(Finding("unreadable", where, str(error), "left out"))
            continue
        for array in arrays:
            kind, split, rest = _meaning(array.name)
            below = path.relative_to(root).with_suffix("") if array.member else path.relative_to(root).parent
            split = split or _split_in(below.parts)
            key = ("" if str(below) == "." else below.as_posix(), split, rest)
            taken = images if kind == "image" else masks
            if not kind:
                continue
            if key in taken:
                message = f"{array.name} stands for the same as {taken[key].name}"
                findings.append(Finding("name-clash", where, message, f"{taken[key].name} is taken"))
            else:
                taken[key] = array
    findings += [
        Finding("no-mask" if key in images else "no-picture", array.path.relative_to(root).as_posix(),
                f"the array {array.name} has no partner", "left out")
        for key, array in {**images, **masks}.items()
        if (key in images) != (key in masks)
    ]  # fmt: skip
    pairs: list[ArrayPair] = []
    for key in sorted(images.keys() & masks.keys()):
        folder, split, rest = key
        name = "/".join(part for part in (folder, images[key].name if rest or not split else split) if part)
        if any(pair.name == name for pair in pairs):  # "a.npz" beside a folder "a"
            name += f" {len(pairs)}"
        pairs.append(ArrayPair(name, split, images[key], masks[key]))
    return pairs, findings


def _meaning(name: str) -> tuple[str, str, str]:
    """Of an array's name: "image", "mask" or "", the split in it or "", and what else is in it.

    ("image", "train", "") of "X_train", ("mask", "", "fold 1") of "fold1_masks".
    """
    words = re.findall(r"[a-z]+|\d+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower())
    kind, split, rest = "", "", []
    for word in words:
        bare = next((s for s in SPLIT_NAMES if word in (f"x{s}", f"y{s}")), "")  # "xtrain"
        for part in (word[0], bare) if bare else (word,):
            if part in IMAGE_WORDS and not kind:
                kind = "image"
            elif part in MASK_WORDS and not kind:
                kind = "mask"
            elif part in SPLIT_NAMES:
                split = SPLIT_NAMES[part]
            else:
                rest.append(part)
    return kind, split, " ".join(rest)


def _split_in(parts: Iterable[str]) -> str:
    words = [word for part in parts for word in re.findall(r"[a-z]+", part.lower())]
    return next((SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES), "")
