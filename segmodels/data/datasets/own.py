"""Data sets of one's own: a folder in one of the forms that annotation tools and papers use.

Each form is one file in this folder and one entry in `FORMS`. `recognise` tells which forms a folder has; a form given
by name is taken as it is.
"""

from __future__ import annotations

import importlib
import re
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from segmodels.data.dataset import SPLITS, Dataset, Sample
from segmodels.data.split import split_by_source
from segmodels.errors import UserError, choose
from segmodels.files import being_written

#: Names of folders and list files that stand for a split.
SPLIT_NAMES = {
    "train": "train", "training": "train",
    "val": "validation", "valid": "validation", "validation": "validation", "dev": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip


@dataclass(frozen=True)
class Form:
    """A row of `FORMS`: where its class is, what people call it, and how its files lie (Markdown)."""

    module: str
    type_name: str
    title: str
    layout: str

    def load(self) -> type[OwnDataset]:
        return getattr(importlib.import_module(f"segmodels.data.datasets.{self.module}"), self.type_name)


#: The forms, from the most to the least specific: where two fit, the earlier is the likelier.
FORMS: dict[str, Form] = {
    "monuseg": Form(
        "aperio",
        "AperioFolder",
        "MoNuSeg: TIFF and Aperio XML",
        "`1.tif` and ImageScope's `1.xml` beside it, or in `Tissue Images/` and `Annotations/`",
    ),
    "labelme": Form(
        "labelme",
        "LabelMeFolder",
        "LabelMe JSON",
        "`1.jpg` and LabelMe's `1.json` beside it",
    ),
    "coco": Form(
        "coco",
        "CocoFolder",
        "COCO JSON",
        "pictures and one JSON in COCO's format, polygons or run lengths",
    ),
    "via": Form(
        "via",
        "ViaFolder",
        "VGG Image Annotator JSON",
        "pictures and `via_region_data.json` of the VGG Image Annotator",
    ),
    "qupath": Form(
        "qupath",
        "QuPathFolder",
        "QuPath GeoJSON",
        "`1.png` and QuPath's `1.geojson` beside it",
    ),
    "voc": Form(
        "voc_masks",
        "VocFolder",
        "Pascal VOC palette PNGs",
        "`JPEGImages/`, `SegmentationClass/` and `ImageSets/Segmentation/` as Pascal VOC has them",
    ),
    "colours": Form(
        "colour_masks",
        "ColourMaskFolder",
        "colour-coded masks",
        "`images/1.jpg` and `masks/1.png` in colours, which `label_colors.txt`, `classes.json` or YAML names",
    ),
    "masks": Form(
        "integer_masks",
        "IntegerMaskFolder",
        "masks of class numbers",
        "`images/1.jpg` and `masks/1.png`, a grey or palette picture of class numbers; names in `labels.txt`",
    ),
    "arrays": Form(
        "arrays",
        "ArrayFolder",
        "NumPy arrays",
        "`images.npy` and `masks.npy`, or one `.npz` with both",
    ),
}


class OwnDataset(Dataset):
    """A folder in one form. A subclass says whether a folder is one, lists its pictures and reads their masks.

    Pictures in folders named train, val or test, or in list files of these names, belong to those splits. A missing
    validation part is split off from the training one; where no split is marked at all, a tenth of the sources becomes
    the test split and another the validation split.
    """

    form: ClassVar[str]
    licence = "your own data"
    root: Path

    def __init__(self, root: str | Path, *, split_seed: int = 0, name: str | None = None) -> None:
        """Open the folder and list its pictures; `name` is what it is called, the folder's own name by default.

        Raises:
            UserError: no such folder, or nothing of this form in it.
        """
        super().__init__(root, split_seed=split_seed)
        check_folder(self.root)
        self.name = name or self.root.name
        self.title = self.name
        self.source = self.name
        self.description = FORMS[self.form].title
        found = self.collect()
        if not found:
            raise UserError(f"{self.root}: no picture with {FORMS[self.form].title} found in it")
        self._splits = _split(found, split_seed)

    @classmethod
    @abstractmethod
    def recognise(cls, root: Path) -> str | None:
        """What makes `root` look like this form ("20 pictures, masks of colours by classes.json"), or None.

        Quick, also on a folder of 20,000 files: it looks at names and at the heads of a few files. Never raises.
        """

    @abstractmethod
    def collect(self) -> list[tuple[Sample, str]]:
        """Every sample, sorted by id, with the split that is marked for it or "". Called once, when it is opened.

        Ids are unique: the path below the root without suffix, or shorter where that is unique. Also sets `classes`.
        """

    def listed(self, split: str) -> list[Sample]:
        return self._splits[choose("split", split, SPLITS)]


def recognise(root: Path) -> dict[str, str]:
    """The forms that a folder has and what speaks for each, the likeliest first.

    Raises:
        UserError: no such folder.
    """
    check_folder(root)
    found = {name: form.load().recognise(root) for name, form in FORMS.items()}
    return {name: evidence for name, evidence in found.items() if evidence}


def open_own(root: str | Path, *, form: str | None = None, split_seed: int = 0, name: str | None = None) -> OwnDataset:
    """Open a folder of one's own data in the form given, or in the one that it is recognised to have.

    Raises:
        UserError: no form or more than one recognised, or what opening it in that form raises.
    """
    root = Path(root)
    if form is None:
        found = recognise(root)
        if not found:
            raise UserError(
                f"{root}: no known form of a data set in it; there are {', '.join(FORMS)}: arrange it as one of them, "
                "for example images/ and masks/ with files of the same names"
            )
        if len(found) > 1:
            seen = "; ".join(f"{name} ({evidence})" for name, evidence in found.items())
            raise UserError(f"{root} holds more than one form: {seen}; say which with --form {'|'.join(found)}")
        form = next(iter(found))
    return FORMS[choose("form", form, list(FORMS))].load()(root, split_seed=split_seed, name=name)


def check_folder(root: Path) -> None:
    """`UserError` unless `root` is a folder that can be read and is not empty."""
    if being_written(root):
        raise UserError(
            f"{root}: it is being written just now: open it when that is done; if that was broken off, write it again"
        )
    if not root.exists():
        raise UserError(f"{root}: no such folder")
    if not root.is_dir():
        raise UserError(f"{root}: a file, not a folder")
    if root == Path(root.anchor) or root.parts[1:2] in (("proc",), ("sys",), ("dev",)):
        raise UserError(f"{root}: a folder of the system, not of a data set; name the folder of the pictures")
    try:
        empty = next(root.iterdir(), None) is None
    except OSError:
        raise UserError(f"{root}: the folder cannot be read; check its permissions") from None
    if empty:
        raise UserError(f"{root}: the folder is empty")


def split_of(path: Path) -> str:
    """The split that a path below the root stands for by one of its folders ("val/images/1.png"), or ""."""
    for part in path.parts[:-1]:
        for word in re.split(r"[^a-z]+", part.lower()):
            if word in SPLIT_NAMES:
                return SPLIT_NAMES[word]
    return ""


def _split(found: list[tuple[Sample, str]], seed: int) -> dict[str, list[Sample]]:
    """The marked splits; what is missing is split off by source."""
    splits: dict[str, list[Sample]] = {split: [sample for sample, of in found if of == split] for split in SPLITS}
    unmarked = [sample for sample, of in found if not of]
    if not any(splits.values()):
        return split_by_source(unmarked, seed=seed)
    splits["train"] = sorted([*splits["train"], *unmarked], key=lambda sample: sample.id)
    if not splits["validation"]:
        splits |= split_by_source(splits["train"], seed=seed, shares={"train": 0.9, "validation": 0.1})
    return splits
