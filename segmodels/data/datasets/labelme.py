"""Pictures with shapes drawn in LabelMe: a JSON file for each.

The format is that of LabelMe 3 to 5 (Wada, labelme/_label_file.py); what other tools write in its manner is read too.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from segmodels.data.dataset import Finding, Sample
from segmodels.data.datasets.label_ids import label_ids
from segmodels.data.datasets.own import split_of
from segmodels.data.datasets.pictures import Pictures, files_below, ids_of
from segmodels.data.datasets.polygon_folder import PolygonFolder
from segmodels.data.datasets.read_once import read_once
from segmodels.data.datasets.shape_findings import shape_findings
from segmodels.data.images import MAX_PIXELS, read_image, read_mask
from segmodels.data.label_files import MAX_NAME, find_label_file, read_label_file
from segmodels.data.shapes import Kind, Shape, points_of
from segmodels.errors import UserError
from segmodels.files import read_json

#: Bytes of a file, with the picture that may be embedded in it.
LARGEST = 200_000_000

#: Pixels of all mask shapes of a file together: a few kilobytes can claim billions.
MAX_BITMAPS = 4 * MAX_PIXELS

#: The kind of shape for each `shape_type`. X-AnyLabeling's "rotation" has four corners.
KINDS: Mapping[str | None, Kind] = {
    None: "polygon", "polygon": "polygon", "rectangle": "rectangle", "circle": "circle", "line": "line",
    "linestrip": "linestrip", "point": "point", "mask": "bitmap", "oriented_rectangle": "polygon",
    "rotation": "polygon",
}  # fmt: skip

_HEAD = re.compile(rb'"(imagePath|imageData)"\s*:|"shapes"\s*:\s*\[')


class LabelMeFolder(PolygonFolder):
    """JSON files, and the pictures that they name or hold.

    A `labels.txt` gives the order of the classes; without one they are sorted by name. `__ignore__` is ignored and
    `_background_` is class 0. Shapes of one label and `group_id` are one object.
    """

    form = "labelme"

    @classmethod
    def recognise(cls, root: Path) -> str | None:
        files = [path for path in files_below(root) if path.suffix.lower() == ".json"]
        if not any(_is_labelme(path) for path in files[:50]):
            return None
        return f"{len(files)} JSON files with LabelMe's shapes in them"

    def collect(self) -> list[tuple[Sample, str]]:
        files = files_below(self.root)
        pictures = Pictures(self.root, files)
        annotations = [path for path in files if path.suffix.lower() == ".json"]
        known, wrong = read_once(annotations, _summary, kind="labelme-1")
        self._problems = [
            Finding("annotation", self._place(path), text.removeprefix(f"{path}: "), "left out")
            for path, text in wrong.items()
        ]
        #: The JSON file of each picture; of an embedded one, of itself.
        paired: dict[Path, Path] = {}
        used: dict[str, str] = {}
        for path, summary in known.items():
            if summary is None:  # a JSON file of something else
                continue
            name, embedded, labels = summary
            picture = self._picture(path, name, embedded, pictures)
            if picture in paired:
                also = self._place(paired[picture])
                self._problems.append(
                    Finding("double-annotation", self._place(path), f"{also} is for the same picture", "left out")
                )
            elif picture is not None:
                paired[picture] = path
                used |= dict.fromkeys(labels, self._place(path))
        self._need(paired)
        self.classes, self._ids = label_ids(sorted(used), self._label_file(used))
        names = ids_of(paired, self.root)
        return sorted(
            (
                (
                    Sample(names[picture], image_path=None if picture == path else picture, mask_path=path),
                    split_of(picture.relative_to(self.root)) or split_of(path.relative_to(self.root)),
                )
                for picture, path in paired.items()
            ),
            key=lambda entry: entry[0].id,
        )

    def _picture(self, path: Path, name: str, embedded: bool, pictures: Pictures) -> Path | None:
        """The picture of a JSON file: named, else embedded (then the file itself), else of the same name, else None."""
        text = f"its picture {name[:80]!a} is not there"
        try:
            found = pictures.called(name, path) if name else None
            found = found or (path if embedded else pictures.beside(path))
        except UserError as error:
            found, text = path if embedded else None, str(error)
        if found is None:
            self._problems.append(Finding("no-picture", self._place(path), text, "left out"))
        return found

    def _label_file(self, used: Mapping[str, str]) -> Any:
        path = find_label_file(self.root)
        if path is None:
            return None
        try:
            file = read_label_file(path)
        except UserError as error:
            self._problems.append(
                Finding("label-file", self._place(path), str(error), "the classes are sorted by name")
            )
            return None
        known = label_ids((), file)[1]
        for label, place in used.items():
            if label not in known:
                message = f"the label {label!r} is not in {self._place(path)}"
                self._problems.append(Finding("unknown-label", place, message, "it is a class after the others"))
        return file

    @property
    def ids(self) -> dict[str, int]:
        return self._ids

    def size(self, sample: Sample) -> tuple[int, int]:
        if sample.image_path is not None:
            return super().size(sample)
        height, width = self.read_image(sample).shape[:2]
        return height, width

    def read_image(self, sample: Sample) -> np.ndarray:
        if sample.image_path is not None:
            return super().read_image(sample)
        assert sample.mask_path is not None
        encoded = _document(sample.mask_path).get("imageData")
        return read_image(_decoded(encoded, "imageData"), name=f"{sample.mask_path}, imageData")

    def inspect(self, sample: Sample) -> list[Finding]:
        assert sample.mask_path is not None
        try:
            document, (height, width) = _document(sample.mask_path), self.size(sample)
        except UserError:  # reading it says so
            return []
        where = self._place(sample.mask_path)
        found = shape_findings(where, *read_shapes(document), height, width)
        stated = document.get("imageWidth"), document.get("imageHeight")
        if None not in stated and stated != (width, height):
            message = f"drawn on a picture of {stated[0]!s:.9}x{stated[1]!s:.9}, but it is {width}x{height}"
            found.append(Finding("size-mismatch", where, message, "the shapes are drawn where they stand"))
        return found

    def _read(self, sample: Sample) -> tuple[list[Shape], list[str]]:
        assert sample.mask_path is not None
        return read_shapes(_document(sample.mask_path))


def read_shapes(document: Mapping[str, Any]) -> tuple[list[Shape], list[str]]:
    """The shapes of a LabelMe document in its order, and what is wrong with each of those left out."""
    shapes, problems = [], []
    objects: dict[tuple[str, str], int] = {}
    pixels = 0
    for number, entry in enumerate(document["shapes"], start=1):
        try:
            if pixels > MAX_BITMAPS:
                raise UserError(f"the masks before it have more than the {MAX_BITMAPS:,} pixels allowed")
            shape = _shape(entry, objects)
        except UserError as error:
            problems.append(f"shape {number}: {error}")
        else:
            pixels += shape.bitmap.size if shape.bitmap is not None else 0
            shapes.append(shape)
    return shapes, problems


def _shape(entry: object, objects: dict[tuple[str, str], int]) -> Shape:
    """One shape; `objects` numbers the pairs of label and `group_id`, which LabelMe takes for one object."""
    if not isinstance(entry, dict):
        raise UserError("no shape, but something else")
    label = _label(entry)
    kind = entry.get("shape_type")
    if not isinstance(kind, str | None) or kind not in KINDS:
        raise UserError(f"{str(kind)[:40]!a} is no shape_type that can be drawn")
    corners = entry.get("points")
    # X-AnyLabeling gives all four corners of a rectangle.
    four = kind == "rectangle" and isinstance(corners, list) and len(corners) == 4
    drawn: Kind = "polygon" if four else KINDS[kind]
    points = points_of(corners, drawn)
    bitmap = None
    if drawn == "bitmap":
        bitmap = read_mask(_decoded(entry.get("mask"), "mask"), name="its mask") > 0
    group = entry.get("group_id")
    instance = None if group is None else objects.setdefault((label, repr(group)), len(objects))
    return Shape(label, points, drawn, bitmap=bitmap, instance=instance)


def _label(entry: Mapping[str, Any]) -> str:
    label = entry.get("label")
    text = " ".join(label.split()) if isinstance(label, str) else ""
    if not text or len(text) > MAX_NAME or not text.isprintable():
        raise UserError(f"a label must be a name of 1 to {MAX_NAME} printable characters")
    return text


def _decoded(encoded: object, what: str) -> bytes:
    try:
        return base64.b64decode(encoded if isinstance(encoded, str) else "", validate=False)
    except (binascii.Error, ValueError):
        raise UserError(f"its {what} is no base64 text") from None


def _document(path: Path) -> dict[str, Any]:
    """The document of a file that was LabelMe's when the folder was opened."""
    document = read_json(path, limit=LARGEST)
    if not _has_shapes(document):
        raise UserError(f"{path}: no list of shapes in it any more")
    return document


def _summary(path: Path) -> list[Any] | None:
    """What opening the folder needs of a file: the picture's name, whether it is embedded, and the labels in use."""
    document = read_json(path, limit=LARGEST)
    if not _has_shapes(document):
        return None
    name = document.get("imagePath")
    labels: dict[str, None] = {}
    for entry in document["shapes"]:
        try:
            labels.setdefault(_label(entry) if isinstance(entry, dict) else "")
        except UserError:  # `inspect` tells it
            continue
    labels.pop("", None)
    return [name if isinstance(name, str) else "", bool(document.get("imageData")), list(labels)]


def _has_shapes(document: object) -> bool:
    keys = ("imagePath", "imageData", "version", "flags")
    return (
        isinstance(document, dict) and isinstance(document.get("shapes"), list) and any(key in document for key in keys)
    )


def _is_labelme(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return _HEAD.search(file.read(4096)) is not None
    except OSError:
        return False
