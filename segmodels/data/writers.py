"""The forms that data sets can be written in, as `segmodels.data.datasets` reads them back.

All have a `classes.json` with the classes' numbers, names and colours: the formats themselves do not say which class is
number 0, nor what colours the classes have.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segmodels.data.dataset import IGNORE, ClassLabel
from segmodels.data.datasets.polygon_folder import BACKGROUND, IGNORED
from segmodels.data.datasets.voc_masks import voc_colour
from segmodels.data.rle import encode_each
from segmodels.data.trace import trace
from segmodels.files import write_json, write_text
from segmodels.prediction.masks import indexed_mask

#: What the folders and lists of the splits are called.
FOLDERS = {"train": "train", "validation": "val", "test": "test"}


@dataclass(frozen=True, eq=False)
class Item:
    """One sample: its file name, split, the suffix of its picture, mask uint8 and objects int32 `(height, width)`."""

    name: str
    split: str
    suffix: str
    mask: np.ndarray
    instances: np.ndarray | None


class Writer(ABC):
    """Writes a data set in one form into a folder."""

    def __init__(self, folder: Path, classes: Sequence[ClassLabel]) -> None:
        """`folder` is empty; `classes` have names that are there once."""
        self.folder = folder
        self.classes = classes
        #: Whether class 0 is what lies behind everything, not a thing of its own.
        self.has_background = classes[0].name.lower() == "background"

    @abstractmethod
    def add(self, item: Item) -> Path:
        """Write what is known of a sample; returns where its picture belongs."""

    def finish(self) -> None:
        """Write what belongs to all."""
        rows: list[dict[str, Any]] = []
        for number, label in enumerate(self.classes):
            # Of two classes of one colour only the first can keep it: a label file has each once.
            alone = label.colour.upper() not in [row.get("color") for row in rows]
            rows.append({"id": number, "name": label.name} | ({"color": label.colour.upper()} if alone else {}))
        write_json(self.folder / "classes.json", {"classes": [*rows, {"id": IGNORE, "name": IGNORED}]})


class MaskWriter(Writer):
    """`train/images` and `train/masks`: indexed PNGs of class numbers in the classes' colours."""

    def add(self, item: Item) -> Path:
        folder = self.folder / FOLDERS[item.split]
        _save(indexed_mask(item.mask, self.classes), folder / "masks" / f"{item.name}.png")
        return folder / "images" / f"{item.name}{item.suffix}"


class VocWriter(Writer):
    """`JPEGImages`, `SegmentationClass` in VOC's palette, lists of the splits in `ImageSets/Segmentation`."""

    def __init__(self, folder: Path, classes: Sequence[ClassLabel]) -> None:
        super().__init__(folder, classes)
        self._lists: dict[str, list[str]] = {}

    def add(self, item: Item) -> Path:
        mask = Image.fromarray(item.mask)
        mask.putpalette(b"".join(bytes.fromhex(voc_colour(number)[1:]) for number in range(256)))
        _save(mask, self.folder / "SegmentationClass" / f"{item.name}.png")
        self._lists.setdefault(item.split, []).append(item.name)
        return self.folder / "JPEGImages" / f"{item.name}{item.suffix}"

    def finish(self) -> None:
        super().finish()
        for split, names in self._lists.items():
            path = self.folder / "ImageSets" / "Segmentation" / f"{FOLDERS[split]}.txt"
            write_text(path, "".join(f"{name}\n" for name in names))
        write_text(self.folder / "class_names.txt", "".join(f"{label.name}\n" for label in self.classes))


class LabelMeWriter(Writer):
    """A JSON file of traced polygons beside each picture. The parts of an object share their `group_id`."""

    def __init__(self, folder: Path, classes: Sequence[ClassLabel]) -> None:
        super().__init__(folder, classes)
        self.names = {**{number: label.name for number, label in enumerate(classes)}, IGNORE: IGNORED}
        if self.has_background:
            self.names[0] = BACKGROUND

    def add(self, item: Item) -> Path:
        picture = self.folder / FOLDERS[item.split] / f"{item.name}{item.suffix}"
        write_text(picture.with_suffix(".json"), json.dumps(self.document(item), ensure_ascii=False))
        return picture

    def document(self, item: Item) -> dict[str, Any]:
        """What the file of a sample says, whose picture is beside it."""
        height, width = item.mask.shape
        # A class 0 of its own is outlined too; other tools know nothing of what no shape covers.
        shapes = trace(item.mask, self.names, item.instances, background=0 if self.has_background else -1)
        return {
            "version": "5.0.1",
            "flags": {},
            "shapes": [
                {
                    "label": shape.label, "points": shape.points.astype(int).tolist(), "group_id": shape.instance,
                    "shape_type": shape.kind, "flags": {},
                }
                for shape in shapes
            ],
            "imagePath": f"{item.name}{item.suffix}",
            "imageData": None,
            "imageHeight": height,
            "imageWidth": width,
        }  # fmt: skip

    def finish(self) -> None:
        super().finish()
        labels = [IGNORED, *(name for number, name in self.names.items() if number != IGNORE)]
        write_text(self.folder / "labels.txt", "".join(f"{label}\n" for label in labels))


class CocoWriter(Writer):
    """`annotations/instances_train.json` with run lengths, and the pictures in `train`.

    An object is an annotation, and one more for each further class in it; of what belongs to no object each class of a
    picture is one. Ignored pixels are a category of their own.
    """

    def __init__(self, folder: Path, classes: Sequence[ClassLabel]) -> None:
        super().__init__(folder, classes)
        self._images: dict[str, list[dict[str, Any]]] = {}
        self._annotations: dict[str, list[dict[str, Any]]] = {}
        self._ignores = False

    def add(self, item: Item) -> Path:
        height, width = item.mask.shape
        images = self._images.setdefault(item.split, [])
        annotations = self._annotations.setdefault(item.split, [])
        file_name = f"{item.name}{item.suffix}"
        images.append({"id": len(images) + 1, "file_name": file_name, "height": height, "width": width})
        objects = item.mask.astype(np.int64)
        if item.instances is not None:
            objects += item.instances.astype(np.int64) * 256
        for value, rle, area, box in encode_each(objects):
            class_id = value % 256
            if class_id == 0 and self.has_background:
                continue
            self._ignores |= class_id == IGNORE
            annotations.append(
                {
                    "id": len(annotations) + 1, "image_id": len(images), "category_id": self._category(class_id),
                    "segmentation": rle, "area": area, "bbox": box, "iscrowd": 0,
                }
            )  # fmt: skip
        return self.folder / FOLDERS[item.split] / file_name

    def finish(self) -> None:
        super().finish()
        for split in self._images:
            path = self.folder / "annotations" / f"instances_{FOLDERS[split]}.json"
            write_text(path, json.dumps(self.document(split), ensure_ascii=False))

    def document(self, split: str) -> dict[str, Any]:
        """What the file of a split says, of the samples that were added."""
        classes = list(enumerate(self.classes))[self.has_background :]
        categories = [{"id": self._category(number), "name": label.name} for number, label in classes]
        if self._ignores:
            categories.append({"id": self._category(IGNORE), "name": IGNORED})
        return {"images": self._images[split], "annotations": self._annotations[split], "categories": categories}

    def _category(self, class_id: int) -> int:
        """COCO counts from 1."""
        return class_id if self.has_background else class_id + 1


#: The forms by name.
WRITERS: dict[str, type[Writer]] = {
    "masks": MaskWriter, "coco": CocoWriter, "labelme": LabelMeWriter, "voc": VocWriter
}  # fmt: skip


def _save(mask: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    mask.save(path, format="PNG")
