"""Pascal VOC's layout: `JPEGImages`, `SegmentationClass` with palette PNGs, `ImageSets/Segmentation` with lists."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from segmodels.data.class_table import ColourTable, NumberTable, Unknown
from segmodels.data.dataset import IGNORE, Finding
from segmodels.data.datasets.mask_folder import MaskFolder, mode_of, numbered
from segmodels.data.datasets.pictures import SUFFIXES
from segmodels.data.images import read_mask_colours, read_mask_values
from segmodels.data.label_files import Label
from segmodels.data.split_lists import folders_below

#: The classes of Pascal VOC 2012 by number.
VOC_CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip

#: The colour of the outlines of objects, which do not count.
OUTLINE = "#E0E0C0"


class VocFolder(MaskFolder):
    """Masks in palette pictures by number, or in VOC's colours as CVAT writes them; 255 or the outlines do not count.

    The classes are those of the label file (LabelMe's `class_names.txt`, CVAT's `labelmap.txt`), or else VOC's own.
    Pictures without a mask are no defect here: only some of a VOC set are segmented.
    """

    form = "voc"
    table: VocTable

    @classmethod
    def recognise(cls, root: Path) -> str | None:
        folders = voc_folders(root)
        if not folders:
            return None
        try:
            masks = sum(1 for path in folders[0].iterdir() if path.suffix.lower() in SUFFIXES)
        except OSError:
            return None
        return f"{masks} masks in {folders[0].name} beside JPEGImages" if masks else None

    def stored(self, path: Path) -> np.ndarray:
        return read_mask_colours(path) if mode_of(path) in ("RGB", "RGBA") else read_mask_values(path)

    def find_classes(self) -> None:
        labels = self.labels.numbers() if self.labels else {i: Label(name) for i, name in enumerate(VOC_CLASSES)}
        shown = {number: replace(label, colour=label.colour or voc_colour(number)) for number, label in labels.items()}
        self.classes, ids = numbered(shown)
        self.table = VocTable(ids, {label.colour: ids[number] for number, label in shown.items() if label.colour})

    def inspect_files(self) -> list[Finding]:
        bare = [finding for finding in self.found.findings if finding.kind == "no-mask"]
        others = [finding for finding in super().inspect_files() if finding.kind != "no-mask"]
        if bare:
            message = f"{len(bare)} pictures have no mask, first {bare[0].where}"
            others.append(Finding("no-mask", "JPEGImages", message, "left out"))
        return others


class VocTable:
    """Class ids by number or by colour, as the mask comes."""

    def __init__(self, numbers: dict[int, int], colours: dict[str, int]) -> None:
        self._numbers = NumberTable(numbers)
        self._colours = ColourTable({OUTLINE: IGNORE, **colours})
        self.classes = (self._numbers.classes, self._colours.classes)

    def _table(self, stored: np.ndarray) -> NumberTable | ColourTable:
        return self._colours if stored.ndim == 3 else self._numbers

    def ids(self, stored: np.ndarray) -> np.ndarray:
        return self._table(stored).ids(stored)

    def unknown(self, stored: np.ndarray) -> list[Unknown]:
        return self._table(stored).unknown(stored)


def voc_folders(root: Path) -> list[Path]:
    """The folders `SegmentationClass…` with `JPEGImages` beside them, at most two folders below the root."""
    found = []
    for folder in folders_below(root, 2):
        try:
            below = [path for path in sorted(folder.iterdir()) if path.is_dir()]
        except OSError:
            continue
        if any(path.name.lower() == "jpegimages" for path in below):
            found += [path for path in below if path.name.lower().startswith("segmentationclass")]
    return found


def voc_colour(number: int) -> str:
    """The colour of a number in VOC's palette: its bits, three by three, dealt out to red, green and blue."""
    channels = [0, 0, 0]
    for bit in range(8):
        for channel in range(3):
            channels[channel] |= (number >> (3 * bit + channel) & 1) << (7 - bit)
    return "#" + "".join(f"{value & 255:02X}" for value in channels)
