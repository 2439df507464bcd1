"""Folders of pictures and masks of class numbers: a grey value or palette index a pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from segmodels.data.class_table import NumberTable
from segmodels.data.dataset import IGNORE
from segmodels.data.datasets.mask_folder import LEAST_SHARE, MaskFolder, masks_in, numbered
from segmodels.data.datasets.mask_values import MaskValues
from segmodels.data.datasets.voc_masks import voc_folders
from segmodels.data.images import read_mask_values
from segmodels.data.label_files import Label, LabelFile, find_label_file

BACKGROUND, FOREGROUND = Label("background"), Label("foreground")


class IntegerMaskFolder(MaskFolder):
    """Masks whose values are class numbers; pictures in colours with three equal channels count as grey.

    The classes are those of the label file: by its ids, or by the places of its names, counted from 0; from 1 where the
    masks have as many numbers more, with 0 as the background if it occurs. Without a label file each value that occurs
    is a class, in their order. 255 is `IGNORE`, but where the masks hold 0 and 255 alone and there are two classes at
    most, which are then these. Values of no class are ignored, or taken as the nearest where the numbers are far apart.
    """

    form = "masks"

    @classmethod
    def recognise(cls, root: Path) -> str | None:
        if voc_folders(root) or not (found := masks_in(root)) or found[0] != cls.form:
            return None
        label_path = find_label_file(root)
        named = f", classes by {label_path.name}" if label_path else ""
        return f"{len(found[1].pairs)} pictures with masks of class numbers{named}"

    def stored(self, path: Path) -> np.ndarray:
        return read_mask_values(path)

    def find_classes(self) -> None:
        labels, doubts = classes_by_values(self.values("numbers", self.stored), self.labels)
        for doubt in doubts:
            self.doubt(*doubt)
        self.classes, ids = numbered(labels)
        self.table = NumberTable(ids)


#: What is odd about the numbers of masks: kind, message and action of a finding.
Doubt = tuple[str, str, str]


def classes_by_values(
    values: MaskValues, labels: LabelFile | None, *, at_least: int = 0
) -> tuple[dict[int, Label], list[Doubt]]:
    """The label of each number in masks, by the rules of `IntegerMaskFolder`, and what is odd.

    `at_least` so many numbers from 0 on are classes where no label file says so, whether they occur or not.
    """
    if at_least < 2 and zero_and_255(values) and (two := two_labels(labels)):
        doubt = ("0-and-255", "the masks hold 0 and 255 instead of class numbers", "read as 0 and 1")
        return {0: two[0], IGNORE: two[1]}, [doubt]
    if labels is None:
        return {value: Label(f"class {value}") for value in sorted({*occurring(values), *range(at_least)})}, []
    numbers = labels.numbers()
    last = len(numbers)
    beyond = [value for value in values.pixels if value >= last and value != IGNORE]
    if labels.has_ids or beyond != [last] or values.share(last) < LEAST_SHARE:
        return numbers, []
    # As many names as numbers but for 0: they are counted from 1.
    numbers = labels.numbers(first=1)
    action = "the names are counted from 1"
    if 0 in values.pixels:
        numbers[0] = BACKGROUND
        action += ", 0 is the background"
    message = f"the masks hold numbers up to {last}, the label file has {last} names"
    return numbers, [("numbers-from-1", message, action)]


def zero_and_255(values: MaskValues) -> bool:
    """Whether masks hold 0 and 255 for no and yes, and nothing else but what smoothing and JPEG make of them."""
    between = [value for value in values.pixels if value not in (0, IGNORE)]
    if IGNORE not in values.pixels or max(values.pixels) > IGNORE or min(values.pixels) < 0:
        return False
    if not between:
        return True
    share = sum(values.share(value) for value in between)
    return share < 0.2 and len(between) >= 4 and min(between) < 64 and max(between) >= 192


def two_labels(labels: LabelFile | None) -> tuple[Label, Label] | None:
    """The labels of 0 and 255 in masks of these, or None where a label file has others in mind."""
    if labels is None:
        return BACKGROUND, FOREGROUND
    counted = [label for label in labels.numbers().values() if not label.ignored]
    if len(counted) != len(labels.numbers()) or len(counted) > 2 or (labels.has_ids and IGNORE in labels.numbers()):
        return None
    return (counted[0], counted[1]) if len(counted) == 2 else (BACKGROUND, counted[0])


def occurring(values: MaskValues) -> list[int]:
    """The numbers that are classes where no label file says so: all in a dense row, else those that are not rare."""
    found = [value for value in values.pixels if 0 <= value < IGNORE]
    if not found:
        return [0]
    if max(found) < 2 * len(found):
        return found
    return [value for value in found if values.share(value) >= LEAST_SHARE] or found[:1]
