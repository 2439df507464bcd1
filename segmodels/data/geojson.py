"""QuPath's GeoJSON: objects with an area, a class and its colour, in pixels of the whole picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segmodels.data.shapes import Shape, label_name, points_of
from segmodels.errors import UserError
from segmodels.files import read_json

#: Bytes of a file: 100,000 cells take about as much.
LARGEST = 200_000_000


@dataclass(frozen=True)
class Classification:
    """What class an object is of, "" for none, and the colour QuPath shows it in (`#RRGGBB`), "" where it says none."""

    name: str
    colour: str


def looks_like_geojson(path: Path) -> bool:
    """Whether the first 4 kB of a file have the words of GeoJSON. Never raises."""
    try:
        with path.open("rb") as file:
            head = b"".join(file.read(4096).split())
    except OSError:
        return False
    return b'"type":"Feature' in head or (b'"type":"' in head and b'"coordinates":' in head)


def read_features(path: Path) -> list[Any]:
    """The features of a collection, of a list, or the only one, unchecked.

    Raises:
        UserError: no such file, over `LARGEST`, no JSON, or none of these.
    """
    document = read_json(path, limit=LARGEST)
    if isinstance(document, list):
        return document
    kind = document.get("type") if isinstance(document, dict) else None
    if kind == "FeatureCollection" and isinstance(document.get("features"), list):
        return document["features"]
    if kind == "Feature":
        return [document]
    if kind in ("Polygon", "MultiPolygon"):
        return [{"geometry": document}]
    raise UserError(f"{path}: no GeoJSON with features; export the objects as GeoJSON")


def classification_of(feature: object) -> Classification:
    """An object's class: of several names ("Tumor", "Positive") all together, "Tumor: Positive", as QuPath shows them.

    Other programs write a feature's class as its `name`; QuPath's own objects, which say what type they are, may have
    names too, but those are no classes.
    """
    properties = feature.get("properties") if isinstance(feature, dict) else None
    if not isinstance(properties, dict):
        return Classification("", "")
    given = properties.get("classification")
    record: dict[str, Any] = given if isinstance(given, dict) else {"name": given}
    foreign = "objectType" not in properties and not isinstance(given, dict)
    for value in (
        record.get("name"), record.get("names"), properties.get("classificationNames"),
        properties.get("name") if foreign else None,
    ):  # fmt: skip
        texts = value if isinstance(value, list) else [value]
        name = label_name(": ".join(text.strip() for text in texts if isinstance(text, str) and text.strip()))
        if name:
            return Classification(name, _colour(record))
    return Classification("", "")


def shapes_of(feature: object, label: str, number: int) -> list[Shape]:
    """The areas of a feature, one object of this number; holes keep what was drawn before.

    Raises:
        UserError: no area (a point, a line), or one that cannot be drawn.
    """
    geometry = feature.get("geometry") if isinstance(feature, dict) else None
    kind, coordinates = (
        (geometry.get("type"), geometry.get("coordinates")) if isinstance(geometry, dict) else ("", None)
    )
    if kind not in ("Polygon", "MultiPolygon"):
        raise UserError(f"a {kind!r:.40} has no area" if kind else "a feature without geometry")
    parts = [coordinates] if kind == "Polygon" else coordinates
    if not isinstance(parts, list) or not parts or not all(isinstance(rings, list) and rings for rings in parts):
        raise UserError(f"a {kind} without coordinates")
    return [
        Shape(label, _ring(rings[0]), holes=tuple(_ring(ring) for ring in rings[1:]), instance=number)
        for rings in parts
    ]


def _ring(values: object) -> np.ndarray:
    """A ring's corners, each once: float64 `(n, 2)`; a third coordinate does not count."""
    if isinstance(values, list):
        values = [value[:2] if isinstance(value, list) else value for value in values]
        if len(values) > 1 and values[0] == values[-1]:
            values = values[:-1]
    return points_of(values)


def _colour(record: dict[str, Any]) -> str:
    """From `[red, green, blue]`, or from one signed number of four bytes as older versions write it."""
    rgb = record.get("color", record.get("colour"))
    if isinstance(rgb, list) and len(rgb) == 3 and all(type(part) is int and 0 <= part <= 255 for part in rgb):
        return "#{:02X}{:02X}{:02X}".format(*rgb)
    packed = record.get("colorRGB")
    return f"#{packed & 0xFFFFFF:06X}" if type(packed) is int and abs(packed) < 1 << 32 else ""
