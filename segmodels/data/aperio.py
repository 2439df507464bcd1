"""Outlines as Aperio ImageScope writes them: XML with layers of regions, each a list of vertices in pixels."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

import numpy as np

from segmodels.data.shapes import label_name, points_of
from segmodels.errors import UserError

#: Bytes of a file; a picture of 1000x1000 pixels with 400 outlines takes 4 million.
LARGEST = 100_000_000

_VERTEX = re.compile(rb"<Vertex\b[^<>]*/>")


@dataclass(frozen=True, eq=False)
class Region:
    """One outline.

    Attributes:
        label: what its layer is called; "" where nothing says so.
        points: float64 `(n, 2)`, x and y of three or more vertices.
        negative: whether it is cut out of its layer (Aperio's "negative ROA").
    """

    label: str
    points: np.ndarray
    negative: bool


def read_regions(path: Path) -> tuple[list[Region], list[str]]:
    """The regions of a file, layer by layer; in each those to be cut out come last, else they keep the file's order.

    Returns:
        the regions, and what is wrong with each of those left out.

    Raises:
        UserError: no such file, over `LARGEST`, no XML, or XML with a document type or entities, which these files
            never have and attacks do.
    """
    regions, problems = [], []
    for layer in _layers(path, _content(path)):
        for number, outline in enumerate(sorted(layer.outlines, key=lambda outline: outline.negative), start=1):
            try:
                points = outline.points()
            except UserError as error:
                problems.append(f"region {outline.number or number}: {error}")
            else:
                regions.append(Region(layer.label, points, outline.negative))
    return regions, problems


def read_labels(path: Path) -> list[str]:
    """What the layers of a file that have regions are called, each once; quicker than all and raises the same."""
    layers = _layers(path, _VERTEX.sub(b"", _content(path)))
    return list(dict.fromkeys(layer.label for layer in layers if layer.outlines))


@dataclass
class _Outline:
    number: str
    negative: bool
    #: x and y of each in turn, as they are written.
    vertices: list[str] = field(default_factory=list)

    def points(self) -> np.ndarray:
        """float64 `(n, 2)`; raises `UserError`."""
        try:
            values = np.array(self.vertices, np.float64)
        except ValueError:
            raise UserError("a polygon with a coordinate that is no number") from None
        return points_of(values.reshape(-1, 2))


@dataclass
class _Layer:
    """An `Annotation` element. `attributes` are the names and values of its own, which come before its regions."""

    name: str
    attributes: list[tuple[str, str]] = field(default_factory=list)
    outlines: list[_Outline] = field(default_factory=list)

    @property
    def label(self) -> str:
        """Its name, else the first attribute's value, else the name of an attribute other than "Description"."""
        names = [name for name, _ in self.attributes if name.lower() != "description"]
        return label_name(next((t for t in (self.name, *(value for _, value in self.attributes), *names) if t), ""))


def _content(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise UserError(f"{path}: {size:,} bytes is more than the {LARGEST:,} allowed for such a file")
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None


def _layers(path: Path, content: bytes) -> list[_Layer]:
    """Go through `Annotations/Annotation/Regions/Region/Vertices/Vertex` without building a tree of it."""
    layers: list[_Layer] = []
    outline: _Outline | None = None  # the one we are in

    def begin(tag: str, attributes: dict[str, str]) -> None:
        nonlocal outline
        if tag == "Vertex":  # the only frequent one
            if outline is not None:
                outline.vertices.append(attributes.get("X", ""))
                outline.vertices.append(attributes.get("Y", ""))
        elif tag == "Annotation":
            layers.append(_Layer(attributes.get("Name", "").strip()))
            outline = None
        elif tag == "Region" and layers:
            outline = _Outline(attributes.get("Id", ""), attributes.get("NegativeROA", "0") == "1")
            layers[-1].outlines.append(outline)
        elif tag == "Attribute" and layers and outline is None:
            layers[-1].attributes.append((attributes.get("Name", "").strip(), attributes.get("Value", "").strip()))

    def refuse(*_: object) -> None:
        raise UserError(f"{path}: XML with a document type or entities is refused; export it anew")

    parser = expat.ParserCreate()
    parser.StartElementHandler = begin
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, LookupError, ValueError) as error:  # the last two: an unknown encoding
        raise UserError(f"{path}: not valid XML; it may be damaged ({' '.join(str(error).split())[:80]})") from None
    return layers
