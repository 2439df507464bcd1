"""COCO's JSON: one file lists pictures, categories and the objects in the pictures, as polygons or as run lengths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from segmodels.data.rle import decode_within, lengths
from segmodels.data.shapes import Shape, label_name, points_of
from segmodels.errors import UserError
from segmodels.files import read_json

#: Bytes of a file: COCO's own `instances_train2017.json` has 470 million.
LARGEST = 500_000_000


@dataclass(frozen=True)
class CocoPicture:
    """What a file says of one picture.

    Attributes:
        name: of its file, as it stands there: hostile.
        size: height and width as they stand there.
        objects: its annotations in the file's order, unchecked.
    """

    name: str
    size: tuple[object, object]
    objects: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class CocoFile:
    """A file's pictures, the names of its categories by number in the numbers' order, and what was left out and why."""

    pictures: list[CocoPicture]
    categories: dict[int | str, str]
    problems: dict[str, list[str]]


def looks_like_coco(path: Path) -> bool:
    """Whether the first and the last 64 kB of a file have the words of COCO's format. Never raises."""
    try:
        with path.open("rb") as file:
            text = file.read(1 << 16)
            file.seek(max(len(text), path.stat().st_size - (1 << 16)))
            text += file.read()
    except OSError:
        return False
    words = (b'"images"', b'"annotations"', b'"categories"', b'"image_id"', b'"category_id"')
    return text.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") and sum(word in text for word in words) >= 2


def read_coco(path: Path) -> CocoFile:
    """Read a file and sort its objects by picture; a record that cannot be used is among the problems, by kind.

    Raises:
        UserError: no such file, over `LARGEST`, no JSON, or no lists of pictures and categories.
    """
    document = read_json(path, limit=LARGEST)
    lists = {}
    for part in ("images", "categories", "annotations"):
        records = document.get(part) if isinstance(document, dict) else None
        if not isinstance(records, list):
            raise UserError(f"{path}: there is no list of {part}; export it as COCO JSON")
        lists[part] = records
    problems: dict[str, list[str]] = {}

    def tell(kind: str, message: str) -> None:
        problems.setdefault(kind, []).append(message)

    pictures: dict[int | str, CocoPicture] = {}
    for record in lists["images"]:
        number, name = _id(record, "id"), record.get("file_name") if isinstance(record, dict) else None
        if number is None or not isinstance(name, str) or not name.strip():
            tell("picture", f"the picture {record!r:.80} has no id or no file name")
        elif number in pictures:
            tell("picture", f"two pictures have the id {number!r:.40}")
        else:
            pictures[number] = CocoPicture(name, (record.get("height"), record.get("width")))
    used = set()
    for record in lists["annotations"]:
        picture = _id(record, "image_id")
        if picture is None or picture not in pictures:
            tell("unknown-picture", f"the annotation {_called(record)} is of no picture in the file")
        else:
            pictures[picture].objects.append(record)
            used.add(_id(record, "category_id"))
    return CocoFile(list(pictures.values()), _categories(lists["categories"], used, tell), problems)


def shapes_of(record: dict[str, Any], file: CocoFile, height: int, width: int, number: int) -> list[Shape]:
    """An annotation's shapes, which share the object number `number`, for a picture of this size.

    Polygons of one annotation are its parts; they may be flat lists of x and y, or pairs. A crowd is an object too.

    Raises:
        UserError: an unknown category, no mask, or one that cannot be drawn.
    """
    category = _id(record, "category_id")
    label = file.categories.get(category) if category is not None else None
    if label is None:
        raise UserError(f"annotation {_called(record)}: its category is not in the file")
    segmentation = record.get("segmentation")
    try:
        if isinstance(segmentation, dict):
            if lengths(segmentation)[:2] != (height, width):
                raise UserError(f"its run lengths are for another size than the picture's {width}x{height}")
            left, top, inside = decode_within(segmentation)
            corner = np.array([[left, top]], np.float64)
            return [Shape(label, corner, "bitmap", bitmap=inside, instance=number)] if inside.size else []
        if not isinstance(segmentation, list) or not segmentation:
            raise UserError("it has no mask")
        rings = segmentation if isinstance(segmentation[0], list) else [segmentation]
        return [Shape(label, points_of(_pairs(ring)), instance=number) for ring in rings]
    except UserError as error:
        raise UserError(f"annotation {_called(record)}: {error}") from None


def _categories(
    records: list[Any], used: set[int | str | None], tell: Callable[[str, str], None]
) -> dict[int | str, str]:
    found: dict[int | str, str] = {}
    groups: dict[str, set[object]] = {}
    for record in records:
        number, name = _id(record, "id"), record.get("name") if isinstance(record, dict) else None
        if number is None or not isinstance(name, str) or not name.strip():
            tell("category", f"the category {record!r:.80} has no id or no name")
        elif number in found:
            tell("category", f"two categories have the id {number!r:.40}")
        else:
            found[number] = label_name(name)
            group = record.get("supercategory")
            if isinstance(group, str):
                groups.setdefault(label_name(group), set()).add(number)
    for number, name in list(found.items()):
        # Roboflow lists the project as a category that no object has and to which all others belong.
        if number not in used and groups.get(name, set()) - {number}:
            del found[number]
    return dict(sorted(found.items(), key=lambda entry: (isinstance(entry[0], str), entry[0])))


def _id(record: object, key: str) -> int | str | None:
    """A number or name that identifies something, None where it is neither."""
    value = record.get(key) if isinstance(record, dict) else None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, (int, str)) and not isinstance(value, bool) else None


def _called(record: object) -> str:
    return repr(_id(record, "id"))[:40]


def _pairs(ring: object) -> object:
    """x and y in turn as pairs; what is already pairs, or neither, as it is."""
    if isinstance(ring, list) and ring and not isinstance(ring[0], list):
        if len(ring) % 2:
            raise UserError(f"a polygon of {len(ring)} numbers: x and y must come in pairs")
        return [ring[place : place + 2] for place in range(0, len(ring), 2)]
    return ring
