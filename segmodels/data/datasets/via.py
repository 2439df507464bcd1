"""Pictures with regions drawn in the VGG Image Annotator."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

from segmodels.data.dataset import IGNORE, Finding, Sample
from segmodels.data.datasets.label_ids import label_ids
from segmodels.data.datasets.own import split_of
from segmodels.data.datasets.pictures import Pictures, files_below, ids_of
from segmodels.data.datasets.polygon_folder import IGNORED, PolygonFolder
from segmodels.data.shapes import Shape
from segmodels.data.via import PROJECT, attribute_values, class_attribute, read_via, region_shape
from segmodels.errors import UserError

#: The class of regions where none has any attribute.
OBJECT = "object"

_HEAD = re.compile(rb'"(shape_attributes|region_attributes|file_attributes|' + PROJECT.encode() + rb')"\s*:')


class ViaFolder(PolygonFolder):
    """One or several JSON files, with their pictures anywhere in the folder.

    The class is the value of the attribute that `segmodels.data.via.class_attribute` finds in all files together; the
    classes are sorted by name. A region without a value is of the only class if there is just one, else ignored.
    """

    form = "via"

    @classmethod
    def recognise(cls, root: Path) -> str | None:
        files = [path for path in files_below(root) if path.suffix.lower() == ".json"]
        found = [path.name for path in files[:50] if _is_via(path)]
        return f"regions of the VGG Image Annotator: {', '.join(found[:3])}" if found else None

    def collect(self) -> list[tuple[Sample, str]]:
        files = files_below(self.root)
        pictures = Pictures(self.root, files)
        self._problems: list[Finding] = []
        #: The regions of each picture, and the file they are from.
        self._regions: dict[Path, list[Any]] = {}
        origin: dict[Path, Path] = {}
        for path in files:
            if path.suffix.lower() != ".json":
                continue
            try:
                entries = read_via(path)
            except UserError as error:
                self._tell("annotation", path, [str(error).removeprefix(f"{path}: ")])
                continue
            missing, twice = [], []
            for entry in entries or ():
                try:
                    picture = pictures.called(entry.name, path)
                    wrong = f"the picture {entry.name[:80]!a} is not there"
                except UserError as error:
                    picture, wrong = None, str(error)
                if picture is None:
                    missing.append(wrong)
                elif picture in origin:
                    twice.append(f"{self._place(picture)} is in {self._place(origin[picture])} already")
                else:
                    self._regions[picture], origin[picture] = entry.regions, path
            self._tell("no-picture", path, missing)
            self._tell("double-annotation", path, twice)
        self._need(origin)
        self._find_classes(origin)
        return sorted(
            (
                (
                    Sample(name, image_path=picture, mask_path=origin[picture]),
                    split_of(picture.relative_to(self.root)) or split_of(origin[picture].relative_to(self.root)),
                )
                for picture, name in ids_of(origin, self.root).items()
            ),
            key=lambda entry: entry[0].id,
        )

    def _find_classes(self, origin: dict[Path, Path]) -> None:
        self._attribute = class_attribute(region for regions in self._regions.values() for region in regions)
        bare: Counter[Path] = Counter()
        labels = set()
        for picture, regions in self._regions.items():
            for region in regions:
                label = attribute_values(region).get(self._attribute or "")
                if label is None:
                    bare[origin[picture]] += 1
                else:
                    labels.add(label)
        self.classes, self._ids = label_ids(sorted(labels or {OBJECT}), None)
        counted = [label for label in labels or {OBJECT} if self._ids[label] not in (0, IGNORE)]
        #: The label of regions that have none.
        self._usual = counted[0] if len(counted) == 1 else IGNORED
        for path, count in bare.items() if self._attribute else ():
            message = f"{count:,} regions have no {self._attribute!r}"
            only = self._usual != IGNORED
            action = f"they are taken as {self._usual!r}, the only class" if only else "those pixels are ignored"
            self._problems.append(Finding("no-class", self._place(path), message, action))

    @property
    def ids(self) -> dict[str, int]:
        return self._ids

    def reading(self) -> tuple[object, ...]:
        return (self._attribute, self._usual, *self.ids.items())

    def _read(self, sample: Sample) -> tuple[list[Shape], list[str]]:
        """The shapes of a picture, and what is wrong with each region left out."""
        assert sample.image_path is not None
        shapes, problems = [], []
        for number, region in enumerate(self._regions[sample.image_path], start=1):
            label = attribute_values(region).get(self._attribute or "", self._usual)
            try:
                shapes.append(region_shape(region, label))
            except UserError as error:
                problems.append(f"{sample.image_path.name}, region {number}: {error}")
        return shapes, problems


def _is_via(path: Path) -> bool:
    """Whether the first 64 kB of a file have the words of VIA's format; in a project its settings come first."""
    try:
        with path.open("rb") as file:
            text = file.read(1 << 16)
    except OSError:
        return False
    return _HEAD.search(text) is not None
