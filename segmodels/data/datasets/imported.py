"""A data set brought over from another library: plain pictures and masks beside one index.

An import writes `images/`, `masks/` and `index.json` once; to open the folder nothing else is needed. The files hold
the bytes as they were stored where they came from; the index says which mask value is which class.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from segmodels.data.class_table import NumberTable
from segmodels.data.dataset import IGNORE, SPLITS, ClassLabel, Dataset, Finding, Sample
from segmodels.data.datasets.own import split_of
from segmodels.data.datasets.polygon_folder import class_labels
from segmodels.data.images import FORMATS, MAX_PIXELS, read_mask_values
from segmodels.data.label_files import Label
from segmodels.data.split import split_by_source, split_off
from segmodels.errors import UserError, choose
from segmodels.files import read_json, write_json

INDEX = "index.json"
FORMAT = 1

#: The part of each group of the training samples that becomes the validation split where there is none.
VALIDATION_SHARE = 0.1

#: More encoded bytes than this are no picture or mask of a data set.
MAX_ENCODED = 256_000_000

#: So many values between 0 and 255, together in a tenth of the pixels at most, are what smoothing leaves.
_SMOOTHED = 16

#: So many of the records left out are told one by one.
MAX_TOLD = 1000

_SUFFIXES = {
    "JPEG": ".jpg", "PNG": ".png", "GIF": ".gif", "BMP": ".bmp", "TIFF": ".tif", "WEBP": ".webp", "PPM": ".ppm",
}  # fmt: skip


class ImportedDataset(Dataset):
    """What an `Import` wrote.

    The splits are those of the source. A missing validation split is split off from the training one, from every group
    its share; where there is neither validation nor test, all three are made.
    """

    root: Path

    def __init__(self, root: str | Path, *, split_seed: int = 0) -> None:
        """Open the folder of an import.

        Raises:
            UserError: no index in it, or one that is damaged.
        """
        super().__init__(root, split_seed=split_seed)
        index = read_index(self.root)
        try:
            self.name, self.title, self.description = index["name"], index["title"], index["description"]
            self.licence, self.source = index["licence"], index["source"]
            self.classes = tuple(ClassLabel(row["name"], row["colour"]) for row in index["classes"])
            numbers = {int(row["value"]): place for place, row in enumerate(index["classes"])}
            self._numbers = {**dict.fromkeys(map(int, index["ignored"]), IGNORE), **numbers}
            self._table = NumberTable(self._numbers)
            self._findings = [Finding(**row) for row in index["findings"]]
            marked = [(self._sample(row), row["split"]) for row in index["samples"]]
        except (KeyError, TypeError, ValueError, AttributeError):
            raise UserError(f"{self.root / INDEX} is damaged: remove {self.root} and download it again") from None
        self._splits = _split(sorted(marked, key=lambda pair: pair[0].id), split_seed)

    def _sample(self, row: Mapping[str, str]) -> Sample:
        for part in ("image", "mask"):
            if not re.fullmatch(rf"{part}s/[^/\\]+", row[part]):
                raise ValueError(row[part])
        image, mask = self.root / row["image"], self.root / row["mask"]
        return Sample(id=row["id"], group=row["group"], image_path=image, mask_path=mask)

    def listed(self, split: str) -> list[Sample]:
        return self._splits[choose("split", split, SPLITS)]

    def read_mask(self, sample: Sample) -> np.ndarray:
        """The class ids: uint8 `(height, width)`; `IGNORE` where a value stands for no class."""
        return self._table.ids(self._stored(sample))

    def inspect(self, sample: Sample) -> list[Finding]:
        assert sample.mask_path is not None
        values = self._stored(sample)
        where = f"masks/{sample.mask_path.name}"
        return [
            Finding(
                "unknown-value",
                where,
                f"the value {unknown.value} of {unknown.pixels / values.size:.2%} of the pixels is no class",
                f"counts as {unknown.nearest}" if unknown.taken else "those pixels are ignored",
                sample.id,
            )
            for unknown in self._table.unknown(values)
        ]

    def inspect_files(self) -> list[Finding]:
        return self._findings

    def reading(self) -> tuple[object, ...]:
        return tuple(sorted(self._numbers.items()))

    def _stored(self, sample: Sample) -> np.ndarray:
        assert sample.mask_path is not None
        return read_mask_values(sample.mask_path)


class Import:
    """A folder of pictures and masks being written, one pair after the other.

    A pair that cannot be used is left out and told by the data set's `inspect_files`; the rest goes on.
    """

    def __init__(self, folder: Path) -> None:
        """`folder` does not exist yet; it is what `segmodels.files.replacing` gives."""
        self.folder = folder
        #: How many pixels of all masks have each value, int64 `(256,)`.
        self.pixels = np.zeros(256, np.int64)
        self.samples: list[dict[str, str]] = []
        self.findings: list[dict[str, str]] = []
        self.left_out = 0
        self._taken: set[str] = set()
        for part in ("images", "masks"):
            (folder / part).mkdir(parents=True)

    def add(
        self, *, name: str, split: str, image: bytes | None, mask: bytes | None, where: str, group: str = ""
    ) -> None:
        """Write one picture and its mask as they are encoded.

        Args:
            name: what the source calls it, such as a file name; empty or already taken, it is numbered.
            split: as the source calls it; one that is unknown counts as training.
            where: what a finding calls it.
        """
        try:
            image, image_suffix = _checked(image, "the picture")
            mask, mask_suffix = _checked(mask, "the mask")
            values = read_mask_values(mask, name="the mask")
            if values.max() > 255 or values.min() < 0:
                raise UserError(f"the mask has the value {values.max()}; it may have 0 to 255")
        except UserError as error:
            self.leave_out(where, str(error))
            return
        self.pixels += np.bincount(values.ravel(), minlength=256)
        split = split_of(Path(split, "_")) or "train"
        sample_id = self._free_id(name, split)
        row = {"id": sample_id, "split": split, "group": group}
        row |= {"image": f"images/{sample_id}{image_suffix}", "mask": f"masks/{sample_id}{mask_suffix}"}
        (self.folder / row["image"]).write_bytes(image)
        (self.folder / row["mask"]).write_bytes(mask)
        self.samples.append(row)

    def leave_out(self, where: str, message: str) -> None:
        """Note a record, or a file of records, that is not imported."""
        self.left_out += 1
        if self.left_out <= MAX_TOLD:
            self._note(where, message)

    def finish(
        self, *, name: str, title: str, description: str, licence: str, source: str,
        classes: Sequence[tuple[int, ClassLabel]] | None = None, labels: Mapping[int, Label] | None = None,
    ) -> None:  # fmt: skip
        """Write the index.

        Args:
            name: by which the data set is opened.
            classes: the mask value and the label of each class, in the order of their ids, where these are known.
            labels: else the label of each mask value, where there is a list of them.

        Raises:
            UserError: nothing has been imported.
        """
        if not self.samples:
            reason = f"; the first was left out because {self.findings[0]['message']}" if self.findings else ""
            raise UserError(f"{name}: not one picture with a mask was found in it{reason}")
        if self.left_out > MAX_TOLD:
            self._note(name, f"{self.left_out - MAX_TOLD} more are like the ones before")
        rows, ignored = (classes, []) if classes else class_values(self.pixels, labels)
        write_json(
            self.folder / INDEX,
            {
                "format": FORMAT, "name": name, "title": title, "description": description, "licence": licence,
                "source": source,
                "classes": [{"value": value, "name": row.name, "colour": row.colour} for value, row in rows],
                "ignored": ignored,
                "findings": self.findings,
                "samples": self.samples,
            },
        )  # fmt: skip

    def _note(self, where: str, message: str) -> None:
        self.findings.append({"kind": "left-out", "where": where, "message": message, "action": "not imported"})

    def _free_id(self, name: str, split: str) -> str:
        """An id that is a file name everywhere: the name without folders and suffix, or a number."""
        stem = PurePosixPath(name.replace("\\", "/")).stem
        usable = stem.isprintable() and not re.search(r'[<>:"/\\|?*]', stem) and not stem.startswith(".")
        # Upper and lower case are the same file on some disks.
        if not stem.strip() or not usable or len(stem.encode()) > 200 or stem.casefold() in self._taken:
            stem = f"{split}-{len(self.samples):06d}"
            while stem.casefold() in self._taken:
                stem += "_"
        self._taken.add(stem.casefold())
        return stem


def class_values(
    pixels: np.ndarray, labels: Mapping[int, Label] | None = None
) -> tuple[list[tuple[int, ClassLabel]], list[int]]:
    """The classes that mask values stand for, in the order of their ids, and the values that stand for `IGNORE`.

    With `labels` they are those and whatever else stands in the masks. Without, 0 and 1, or 0 and 255, are background
    and foreground, the latter also where smoothing or JPEG has left values between them; else there is a class for each
    number up to the highest. Beside these, `IGNORE` is none.

    Args:
        pixels: how many have each value, integers `(256,)`.
    """
    present = set(np.flatnonzero(pixels).tolist())
    ends = {0, IGNORE}
    smoothed = len(present - ends) >= _SMOOTHED and pixels[[*ends]].sum() >= 0.9 * pixels.sum()
    if labels:
        ignored = [value for value, label in labels.items() if label.ignored]
        values = sorted({*labels, *present} - {*ignored, IGNORE})
        names = [labels[value].name if value in labels else f"class {value}" for value in values]
        rows = class_labels(names, background=None)
        given = [labels[value].colour if value in labels else None for value in values]
        drawn = [ClassLabel(row.name, colour or row.colour) for row, colour in zip(rows, given, strict=True)]
        return list(zip(values, drawn, strict=True)), ignored
    if present <= {0, 1} or present <= ends or (smoothed and ends <= present):
        values, names = [0, IGNORE if IGNORE in present else 1], ["background", "foreground"]
    else:
        values = list(range(max(present - {IGNORE}) + 1))
        names = [f"class {value}" for value in values]
    return list(zip(values, class_labels(names, background=None), strict=True)), []


def is_import(folder: Path) -> bool:
    """Whether a complete import lies in `folder`; `UserError` where something else does."""
    if (folder / INDEX).is_file():
        return True
    if folder.exists() and (not folder.is_dir() or next(folder.iterdir(), None) is not None):
        raise UserError(f"{folder} is in the way and is no import of this program: move it elsewhere")
    return False


def read_index(folder: Path) -> dict[str, Any]:
    """The index of an import. Raises `UserError` where it is missing, damaged or of a later format."""
    index = read_json(folder / INDEX, limit=1_000_000_000)
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        raise UserError(f"{folder / INDEX} is no index that this version reads: remove {folder} and download it again")
    return index


def _split(marked: Sequence[tuple[Sample, str]], seed: int) -> dict[str, list[Sample]]:
    splits = {split: [sample for sample, of in marked if of == split] for split in SPLITS}
    train = splits["train"]
    if not splits["validation"] and not splits["test"]:
        return split_by_source(train, seed=seed)
    if not splits["validation"]:
        apart = split_off([sample.group for sample in train], VALIDATION_SHARE, seed)
        splits["validation"] = [sample for sample, chosen in zip(train, apart, strict=True) if chosen]
        splits["train"] = [sample for sample, chosen in zip(train, apart, strict=True) if not chosen]
    return splits


def _checked(encoded: bytes | None, what: str) -> tuple[bytes, str]:
    """The bytes of a picture and its suffix, by its head alone; `UserError` where it is none or too large."""
    if not encoded:
        raise UserError(f"{what} is not there")
    if len(encoded) > MAX_ENCODED:
        raise UserError(f"{what} has {len(encoded):,} bytes, more than the {MAX_ENCODED:,} allowed")
    try:
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
            (width, height), suffix = image.size, _SUFFIXES[image.format or ""]
    except Image.DecompressionBombError:
        width = height = MAX_PIXELS
    except Exception:  # Pillow raises OSError, SyntaxError, ValueError, struct.error and more
        raise UserError(f"{what} is no picture of a known kind ({', '.join(FORMATS)})") from None
    if width * height > MAX_PIXELS:
        raise UserError(f"{what} has over {MAX_PIXELS // 1_000_000} megapixels")
    return encoded, suffix
