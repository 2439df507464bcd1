"""Pictures with COCO JSON files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from segmodels.data.coco import CocoFile, CocoPicture, looks_like_coco, read_coco, shapes_of
from segmodels.data.dataset import Finding, Sample
from segmodels.data.datasets.label_ids import class_numbers, label_ids
from segmodels.data.datasets.own import split_of
from segmodels.data.datasets.pictures import Pictures, files_below, ids_of
from segmodels.data.datasets.polygon_folder import PolygonFolder
from segmodels.data.datasets.shape_findings import shape_findings
from segmodels.data.shapes import Shape, draw
from segmodels.errors import UserError

#: COCO gives out several files on the same pictures; these hold no masks of objects, or the same ones once more.
_OTHER_TASKS = re.compile(r"(captions|person_keypoints|image_info|panoptic|stuff)_")

#: Roboflow writes several changed copies of one picture, "cat_jpg.rf.0123….jpg": they are of one source.
_ROBOFLOW = re.compile(r"(.+)\.rf\.[0-9a-zA-Z]{16,}$")


class CocoFolder(PolygonFolder):
    """One or several JSON files, with their pictures anywhere in the folder; objects are drawn in the file's order.

    Classes are the categories in the order of their numbers, told apart by name, and those of further files after them.
    A crowd is drawn as one object of its class. A picture belongs to the split that its JSON file is named for, or else
    the folder of either.
    """

    form = "coco"

    @classmethod
    def recognise(cls, root: Path) -> str | None:
        found = _coco_files(files_below(root.absolute()), most=50)
        return f"COCO JSON: {', '.join(path.name for path in found[:3])}" if found else None

    def collect(self) -> list[tuple[Sample, str]]:
        files = files_below(self.root)
        pictures = Pictures(self.root, files)
        self._problems: list[Finding] = []
        self._listed: dict[str, tuple[CocoFile, CocoPicture]] = {}
        origin: dict[Path, Path] = {}
        said: dict[Path, tuple[CocoFile, CocoPicture]] = {}
        labels: dict[str, None] = {}
        # Files of a split come first: what else lists the same pictures says nothing new.
        for path in sorted(_coco_files(files), key=lambda path: not self._split_of(path)):
            try:
                file = read_coco(path)
            except UserError as error:
                self._tell("unreadable", path, [str(error).removeprefix(f"{path}: ")])
                continue
            for kind, problems in file.problems.items():
                self._tell(kind, path, problems)
            labels |= dict.fromkeys(file.categories.values())
            missing, twice = [], []
            for entry in file.pictures:
                try:
                    picture = pictures.called(entry.name, path)
                except UserError as error:
                    missing.append(str(error))
                    continue
                if picture is None:
                    missing.append(f"the picture {entry.name[:80]!a} is not there")
                elif picture in origin:
                    twice.append(f"{self._place(picture)} is in {self._place(origin[picture])} already")
                else:
                    origin[picture], said[picture] = path, (file, entry)
            self._tell("no-picture", path, missing)
            self._tell("listed-twice", path, twice)
        self._need(origin)
        self.classes, self._ids = label_ids(labels, class_numbers(self.root))
        found = []
        for picture, name in ids_of(origin, self.root).items():
            copy = _ROBOFLOW.match(picture.stem)
            sample = Sample(name, "", copy.group(1) if copy else "", picture, origin[picture])
            self._listed[name] = said[picture]
            found.append((sample, self._split_of(origin[picture]) or self._split_of(picture)))
        return sorted(found, key=lambda entry: entry[0].id)

    @property
    def ids(self) -> dict[str, int]:
        return self._ids

    def _read(self, sample: Sample) -> tuple[list[Shape], list[str]]:
        problems: list[str] = []
        return list(self._shapes(sample, problems)), problems

    def inspect(self, sample: Sample) -> list[Finding]:
        assert sample.mask_path is not None
        problems: list[str] = []
        try:
            height, width = self.size(sample)
            shapes = [shape for shape in self._shapes(sample, problems) if shape.kind != "bitmap"]
        except UserError:  # reading it says so
            return []
        where = self._place(sample.mask_path)
        found = shape_findings(where, shapes, problems, height, width)
        said = self._listed[sample.id][1].size
        if said not in ((height, width), (None, None)):
            message = f"the picture is {width}x{height} but is said to be {said[1]!r:.20}x{said[0]!r:.20}"
            found.append(Finding("said-size", where, message, "the outlines are drawn as they stand"))
        return found

    def _drawn(self, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        # One shape after another: hundreds of large masks at once would not fit in memory.
        return draw(self._shapes(sample, []), self.ids, *self.size(sample))

    def _shapes(self, sample: Sample, problems: list[str]) -> Iterator[Shape]:
        """The shapes of a picture; what is wrong with each that is left out is added to `problems`."""
        file, picture = self._listed[sample.id]
        height, width = self.size(sample)
        for number, record in enumerate(picture.objects):
            try:
                yield from shapes_of(record, file, height, width, number)
            except UserError as error:
                problems.append(str(error))

    def _split_of(self, path: Path) -> str:
        """The split that a file's own name or its folders stand for, or ""."""
        inside = path.relative_to(self.root)
        return split_of(inside / "in") if path.suffix.lower() == ".json" else split_of(inside)


def _coco_files(files: list[Path], most: int | None = None) -> list[Path]:
    """The files of objects among some; `most` limits how many are looked into."""
    named = [path for path in files if path.suffix.lower() == ".json" and not _OTHER_TASKS.match(path.name)]
    likely = re.compile(r"coco|instances|annot|train|val|test", re.IGNORECASE)
    named.sort(key=lambda path: not likely.search(path.name))
    return sorted(path for path in named[:most] if looks_like_coco(path))
