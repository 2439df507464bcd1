"""VGG Image Annotator's JSON: region data of versions 1 and 2, and the project files of version 2.

One file lists pictures by a key; each has a file name and its regions, a list in version 2 and an object in version 1.
A region has a shape and attributes that the person who drew it made up; one of them is the class.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segmodels.data.label_files import MAX_NAME
from segmodels.data.shapes import FARTHEST, Kind, Shape, points_of
from segmodels.errors import UserError
from segmodels.files import read_json

#: Bytes of a file.
LARGEST = 200_000_000

#: What a project file calls the pictures.
PROJECT = "_via_img_metadata"

#: Names that speak for an attribute where several are used alike.
CLASS_NAMES = ("class", "label", "category", "type", "name", "object", "species")

#: The side of the polygon that stands for an ellipse, in pixels, and how many it has at least and at most.
SIDE, FEWEST, MOST = 2.0, 16, 360


@dataclass(frozen=True)
class ViaPicture:
    """A picture's file name as it stands there, hostile, and its regions, unchecked."""

    name: str
    regions: list[Any]


def read_via(path: Path) -> list[ViaPicture] | None:
    """The pictures of a file, or None where it is JSON of something else.

    Raises:
        UserError: no such file, over `LARGEST`, no JSON.
    """
    document = read_json(path, limit=LARGEST)
    if isinstance(document, dict) and isinstance(document.get(PROJECT), dict):
        document = document[PROJECT]
    if not isinstance(document, dict):
        return None
    entries = [entry for entry in document.values() if isinstance(entry, dict) and "regions" in entry]
    found = []
    for entry in entries:
        name, regions = entry.get("filename"), entry["regions"]
        regions = list(regions.values()) if isinstance(regions, dict) else regions
        if isinstance(name, str) and name.strip():
            found.append(ViaPicture(name, regions if isinstance(regions, list) else []))
    return found or None


def attribute_values(region: object) -> dict[str, str]:
    """The attributes of a region that say something, as text; of ticked boxes the one that is ticked."""
    attributes = region.get("region_attributes") if isinstance(region, dict) else None
    if not isinstance(attributes, dict):
        return {}
    return {name: text for name, value in attributes.items() if (text := _text(value))}


def _text(value: object) -> str:
    if isinstance(value, dict):
        ticked = [name for name, on in value.items() if on is True]
        value = ticked[0] if len(ticked) == 1 else ""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return ""
    try:
        text = " ".join(str(value).split())
    except ValueError:  # a number of thousands of digits
        return ""
    return text if len(text) <= MAX_NAME and text.isprintable() else ""


def class_attribute(regions: Iterable[object]) -> str | None:
    """The attribute that is the class: given most often, then called like one, then of the fewest values.

    One whose values are nearly all different numbers or describes the regions: it is taken only if there is no other.
    """
    values: dict[str, Counter[str]] = {}
    for region in regions:
        for name, text in attribute_values(region).items():
            values.setdefault(name, Counter())[text] += 1
    kinds = {name: found for name, found in values.items() if 2 * len(found) <= found.total()} or values

    def merit(name: str) -> tuple[int, bool, int]:
        return kinds[name].total(), name.strip().lower() in CLASS_NAMES, -len(kinds[name])

    return max(kinds, key=merit) if kinds else None


def region_shape(region: object, label: str) -> Shape:
    """The shape of a region. Raises `UserError` where it is none that can be drawn."""
    shape = region.get("shape_attributes") if isinstance(region, dict) else None
    if not isinstance(shape, dict):
        raise UserError("it has no shape")
    name = shape.get("name")
    if name in ("polygon", "polyline"):
        kind: Kind = "polygon" if name == "polygon" else "linestrip"
        return Shape(label, points_of(_pairs(shape.get("all_points_x"), shape.get("all_points_y")), kind), kind)
    if name == "rect":
        x, y, width, height = _numbers(shape, "x", "y", "width", "height")
        return Shape(label, points_of([(x, y), (x + width, y + height)], "rectangle"), "rectangle")
    if name == "circle":
        x, y, radius = _numbers(shape, "cx", "cy", "r")
        return Shape(label, points_of([(x, y), (x + radius, y)], "circle"), "circle")
    if name == "ellipse":
        return Shape(label, points_of(_ellipse(shape)))
    if name == "point":
        return Shape(label, points_of([_numbers(shape, "cx", "cy")], "point"), "point")
    raise UserError(f"{str(name)[:40]!a} is no shape that can be drawn")


def _pairs(xs: object, ys: object) -> list[tuple[object, object]]:
    if not isinstance(xs, list) or not isinstance(ys, list) or len(xs) != len(ys):
        raise UserError("it needs as many x as y")
    return list(zip(xs, ys, strict=True))


def _numbers(shape: Mapping[str, Any], *names: str) -> list[float]:
    """Finite numbers by name."""
    try:
        found = [float(shape[name]) for name in names]
    except (KeyError, TypeError, ValueError, OverflowError):
        raise UserError(f"a {shape['name']} needs the numbers {', '.join(names)}") from None
    if not all(abs(value) <= FARTHEST for value in found):  # nor is NaN
        raise UserError(f"a {shape['name']} with a number that is none, or far outside of any picture")
    return found


def _ellipse(shape: Mapping[str, Any]) -> np.ndarray:
    """A polygon along an ellipse: float64 `(n, 2)`. `theta` turns it, in radians; version 1 has none."""
    x, y, a, b, theta = _numbers({"theta": 0.0, **shape}, "cx", "cy", "rx", "ry", "theta")
    corners = int(np.clip(2 * np.pi * max(abs(a), abs(b)) / SIDE, FEWEST, MOST))
    angles = np.arange(corners) * (2 * np.pi / corners)
    along, across = a * np.cos(angles), b * np.sin(angles)
    return np.stack(
        [x + along * np.cos(theta) - across * np.sin(theta), y + along * np.sin(theta) + across * np.cos(theta)], axis=1
    )
