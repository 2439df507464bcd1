"""A result as GeoJSON that QuPath opens, with classes, colours and measurements."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segmodels.data.convert import usable_labels
from segmodels.data.dataset import IGNORE, ClassLabel
from segmodels.data.datasets.qupath import FRAME, IGNORED
from segmodels.files import write_text
from segmodels.prediction.export.edges import outlines
from segmodels.prediction.export.settings import Settings, objects, within_mask
from segmodels.prediction.masks import background
from segmodels.prediction.measure import measurements, rounded
from segmodels.prediction.postprocess import Components, suited_method

if TYPE_CHECKING:
    from segmodels.prediction.result import Result

#: QuPath's class for what does not count, in QuPath's grey.
IGNORE_CLASS = ClassLabel("Ignore*", "#B4B4B4")

#: What QuPath shows of an object; where it lies it knows itself.
SHOWN = ("instance", "area", "area_um2", "perimeter", "perimeter_um", "eccentricity", "mean_intensity", "confidence")


def write_geojson(result: Result, path: Path, *, name: str, settings: Settings) -> list[Path]:
    """A feature an object, then the regions of what is of no object, or of another class than the object around it."""
    document = {"type": "FeatureCollection", "features": features(result, settings)}
    write_text(path, json.dumps(document, separators=(",", ":"), allow_nan=False))
    return [path]


def features(result: Result, settings: Settings) -> list[dict[str, Any]]:
    """The features of a result, which QuPath's objects come from: drawn in this order they are its mask.

    Objects are detections, of which QuPath can show any number, unless they are just what hangs together: then they
    are annotations, which people can change, as is all else.
    """
    instances, labels = objects(result, settings), result.labels
    behind = background(labels)
    nothing = -1 if behind is None else behind
    known = {number: _classified(label) for number, label in enumerate(usable_labels(labels))}
    known[IGNORE] = _classified(IGNORE_CLASS)
    rows = measurements(
        instances, result.mask, result.image, labels, confidence=result.confidence, micrometres=settings.micrometres
    )
    # Object 0 is what is of none, which belongs to no class.
    names = [label.name for label in labels]
    class_of = np.full(int(instances.max(initial=0)) + 1, -1)
    for row in rows:
        class_of[row["instance"]] = names.index(row["class"])
    drawn = within_mask(instances, result)
    parts: dict[int, list[list[np.ndarray]]] = {}
    for number, rings in outlines(drawn, 0):
        parts.setdefault(number, []).append(rings)
    kind = "annotation" if isinstance(settings.method or suited_method(labels), Components) else "detection"
    found = []
    for row in rows:
        number = row["instance"]
        measured = {key: value for key, value in rounded(row).items() if key in SHOWN}
        found.append(_feature(parts[number], kind, known[int(class_of[number])], measured))
    rest = np.where(result.mask == class_of[drawn], nothing, result.mask.astype(np.int64))
    return found + [_feature([rings], "annotation", known[value], {}) for value, rings in outlines(rest, nothing)]


def _feature(
    parts: list[list[np.ndarray]], kind: str, classification: dict[str, Any], measured: dict[str, Any]
) -> dict[str, Any]:
    polygons = [[[*ring, ring[0]] for ring in map(np.ndarray.tolist, rings)] for rings in parts]
    several = len(polygons) > 1
    properties: dict[str, Any] = {"objectType": kind, "classification": classification}
    if measured:
        properties["measurements"] = measured
    return {
        "type": "Feature",
        "geometry": {
            "type": "MultiPolygon" if several else "Polygon", "coordinates": polygons if several else polygons[0],
        },
        "properties": properties,
    }  # fmt: skip


def _classified(label: ClassLabel) -> dict[str, Any]:
    """A class as QuPath has it; one of ours must not be called as QuPath's own for what does not count."""
    own = label is not IGNORE_CLASS and label.name.lower() in (IGNORED, FRAME)
    return {"name": f"{label.name} class" if own else label.name, "color": list(label.rgb)}
