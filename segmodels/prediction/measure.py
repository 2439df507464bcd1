"""Measuring objects: a row an object of how large, how round and how bright it is, and where it lies."""

from __future__ import annotations

import csv
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from segmodels.data.dataset import ClassLabel
from segmodels.errors import UserError
from segmodels.files import replacing

#: What rows have, in this order; those in `OPTIONAL` only where `measurements` says so.
COLUMNS = (
    "instance", "class", "area", "area_um2", "perimeter", "perimeter_um", "eccentricity", "mean_intensity",
    "confidence", "x", "y", "left", "top", "width", "height",
)  # fmt: skip
OPTIONAL = ("area_um2", "perimeter_um", "confidence")

#: What a spreadsheet may take for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

#: Decimals of the numbers in a file.
DECIMALS = 4

#: Classes that are no kind of object: an object is of another one if it has but a pixel of that.
_NO_KIND = ("background", "border")


def measurements(
    instances: np.ndarray,
    mask: np.ndarray,
    image: np.ndarray,
    labels: Sequence[ClassLabel],
    *,
    confidence: np.ndarray | None = None,
    micrometres: float | None = None,
) -> list[dict[str, Any]]:
    """Measure every object of a picture.

    Args:
        instances: the objects, whole numbers `(height, width)`, 0 where there is none; numbers may be left out.
        mask: class ids, uint8 `(height, width)`.
        image: uint8 RGB `(height, width, 3)`.
        labels: the classes.
        confidence: of each pixel, float `(height, width)`, 0 to 1.
        micrometres: the side of a pixel.

    Returns:
        a row an object, in the order of their numbers:

        - `instance`: its number; `class`: the name of the class of most of its pixels, of those but background and
          border where it has any, "" where all of them are ignored
        - `area`: pixels; `area_um2`: µm², only with `micrometres`
        - `perimeter`: pixels, estimated from how the pixels at its rim lie to each other (Benkrid and Crookes 2000),
          within 5 % for a disc; `perimeter_um`: µm, only with `micrometres`
        - `eccentricity`: of the ellipse with the second moments of its pixels' middles, 0 (a circle) to 1 (a line)
        - `mean_intensity`: 0 to 255, of the luminance; `confidence`: the mean, 0 to 1, only where it is given
        - `x`, `y`: the centroid, where the middle of the picture's first pixel is 0, 0
        - `left`, `top`, `width`, `height`: of the box around it, in pixels

    Raises:
        UserError: `micrometres` is not a size.
    """
    check_micrometres(micrometres)
    inside = np.flatnonzero(instances)
    numbers, places = np.unique(instances.ravel()[inside], return_inverse=True)
    if not len(numbers):
        return []
    classes = _classes(places, mask.ravel()[inside], len(numbers), labels)
    area = np.bincount(places)
    brightness = np.bincount(places, cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).ravel()[inside]) / area
    certainty = None if confidence is None else np.bincount(places, confidence.ravel()[inside]) / area
    # Without gaps in the numbers, whatever they are: scikit-image makes room for every number there might be.
    dense = np.zeros(instances.size, np.int32)
    dense[inside] = places + 1
    shape = _shapes(dense.reshape(instances.shape))
    rows = []
    for place, number in enumerate(numbers.tolist()):
        top, left, bottom, right = (int(shape[f"bbox-{side}"][place]) for side in range(4))
        perimeter = float(shape["perimeter"][place])
        row: dict[str, Any] = {"instance": number, "class": classes[place], "area": int(area[place])}
        if micrometres is not None:
            row["area_um2"] = row["area"] * micrometres**2
        row["perimeter"] = perimeter
        if micrometres is not None:
            row["perimeter_um"] = perimeter * micrometres
        row |= {"eccentricity": float(shape["eccentricity"][place]), "mean_intensity": float(brightness[place])}
        if certainty is not None:
            row["confidence"] = float(certainty[place])
        row |= {"x": float(shape["centroid-1"][place]), "y": float(shape["centroid-0"][place])}
        rows.append(row | {"left": left, "top": top, "width": right - left, "height": bottom - top})
    return rows


def check_micrometres(micrometres: float | None) -> None:
    """`UserError` unless it is the side of a pixel, or None."""
    if micrometres is not None and not (math.isfinite(micrometres) and micrometres > 0):
        raise UserError(f"a pixel of {micrometres} µm: give its side in micrometres, such as 0.25")


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]], optional: Collection[str] = ()) -> None:
    """Write rows of `measurements` as a UTF-8 table, fractions with `DECIMALS` decimals.

    The name of a class that a spreadsheet would take for a formula has a `'` before it.

    Args:
        optional: those of `OPTIONAL` that the head has where there are no rows to tell.
    """
    head = list(rows[0]) if rows else [name for name in COLUMNS if name not in OPTIONAL or name in optional]
    with replacing(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, head, lineterminator="\n")
        table.writeheader()
        table.writerows(rounded(row) | {"class": _harmless(row["class"])} for row in rows)


def _harmless(name: str) -> str:
    return f"'{name}" if name.startswith(_FORMULA) else name


def rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as files have it: fractions with `DECIMALS` decimals."""
    return {name: round(value, DECIMALS) if isinstance(value, float) else value for name, value in row.items()}


def _classes(places: np.ndarray, values: np.ndarray, count: int, labels: Sequence[ClassLabel]) -> list[str]:
    """The class of each object, by the object and the class id of every pixel of one."""
    names = [label.name for label in labels]
    columns = len(names) + 1  # the last for what is ignored
    pixels = np.bincount(places * columns + np.minimum(values, len(names)), minlength=count * columns)
    pixels = pixels.reshape(count, columns)[:, :-1]
    for name in _NO_KIND:
        if name in names:
            column = names.index(name)
            pixels[pixels.sum(axis=1) > pixels[:, column], column] = 0
    known = pixels.sum(axis=1) > 0
    return [names[most] if known[place] else "" for place, most in enumerate(pixels.argmax(axis=1).tolist())]


def _shapes(instances: np.ndarray) -> dict[str, np.ndarray]:
    from skimage.measure import regionprops_table

    return regionprops_table(instances, properties=("bbox", "centroid", "perimeter", "eccentricity"))
