"""Outlines that people drew, and their pixels: drawing them is LabelMe's rule to the pixel.

LabelMe (Wada, labelme/utils/shape.py) fills each shape and its outline with Pillow, in the order of the file, so that a
later shape covers an earlier one. Coordinates are x to the right and y down, in pixels from the top left corner.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

from segmodels.data.dataset import IGNORE
from segmodels.errors import UserError

Kind = Literal["polygon", "rectangle", "circle", "line", "linestrip", "point", "bitmap"]

#: LabelMe's width of a line and radius of a point, in pixels.
LINE_WIDTH, POINT_RADIUS = 10, 5

#: Coordinates beyond this are a mistake, not a shape that runs out of the picture.
FARTHEST = 1_000_000.0

#: The greatest radius of a circle; above it Pillow's numbers overflow and it draws for minutes.
WIDEST = 100_000.0

#: The greatest way of a polygon's outline up and down within the rows of a tall picture: two seconds' work.
LONGEST, TALL = 5_000_000.0, 8_000


@dataclass(frozen=True, eq=False)
class Shape:
    """One labelled shape.

    Attributes:
        label: the class's name as the file has it.
        points: float64 `(n, 2)`, x and y: three or more corners of a polygon, two or more of a line strip; two
            opposite corners of a rectangle or bitmap; the ends of a line; centre and a point on the rim of a circle.
        kind: what the points are.
        holes: of a polygon, each float64 `(n, 2)`; they keep what was drawn before.
        bitmap: bool `(height, width)` whose top left pixel lies on the first of `points`, where kind is "bitmap".
        instance: shapes of one number are one object; None is an object of its own.
    """

    label: str
    points: np.ndarray
    kind: Kind = "polygon"
    holes: tuple[np.ndarray, ...] = ()
    bitmap: np.ndarray | None = None
    instance: int | None = None


#: How many points each kind has at least, and at most.
POINTS: dict[Kind, tuple[int, int | None]] = {
    "polygon": (3, None), "rectangle": (2, 2), "circle": (2, 2), "line": (2, 2), "linestrip": (2, None),
    "point": (1, 1), "bitmap": (1, 2),
}  # fmt: skip


def points_of(values: object, kind: Kind = "polygon") -> np.ndarray:
    """Coordinates from a file as float64 `(n, 2)`.

    Raises:
        UserError: not pairs of numbers, not finite, absurdly far away, wide or long, too few or too many.
    """
    try:
        points = np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError):
        points = np.empty(0)
    least, most = POINTS[kind]
    if points.ndim != 2 or points.shape[-1] != 2:
        raise UserError(f"a {kind} needs points of x and y")
    if len(points) < least or (most is not None and len(points) > most):
        raise UserError(f"a {kind} of {len(points)} points; it needs {least}{' or more' if most is None else ''}")
    if not np.isfinite(points).all():
        raise UserError(f"a {kind} with a coordinate that is no number")
    if np.abs(points).max() > FARTHEST:
        raise UserError(f"a {kind} with a coordinate of {np.abs(points).max():.3g}, far outside of any picture")
    if kind == "polygon" and np.abs(np.diff(points[:, 1].clip(0, TALL))).sum() > LONGEST:
        raise UserError(f"a {kind} of {len(points):,} points whose outline is longer than any picture needs")
    if kind == "circle" and np.hypot(*(points[1] - points[0])) > WIDEST:
        raise UserError(f"a circle with a radius of over {WIDEST:,.0f}, far wider than any picture")
    return points


def label_name(text: str) -> str:
    """A label from a file as one line of at most 100 characters that can be written as UTF-8."""
    return " ".join(text.encode("utf-8", "replace").decode("utf-8").split())[:100]


def draw(
    shapes: Iterable[Shape], ids: Mapping[str, int], height: int, width: int, *, background: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Draw shapes in their order, the later over the earlier.

    Args:
        ids: the class id of each label, `IGNORE` for what does not count; a label that is not in it is not drawn.

    Returns:
        class ids uint8 `(height, width)`, `background` where nothing was drawn, and object numbers int32
        `(height, width)`, from 1 in the order of the shapes, 0 where there is none. Ignored shapes are no objects.
    """
    mask = Image.new("L", (width, height), background)
    instances = Image.new("I", (width, height), 0)
    numbers: dict[int, int] = {}
    count = 0
    for shape in shapes:
        class_id = ids.get(shape.label)
        if class_id is None:
            continue
        number = 0
        if class_id not in (background, IGNORE):
            if shape.instance is None or shape.instance not in numbers:
                count += 1
                number = count
                if shape.instance is not None:
                    numbers[shape.instance] = number
            else:
                number = numbers[shape.instance]
        _paint(mask, shape, class_id)
        _paint(instances, shape, number)
    return np.array(mask), np.array(instances, np.int32)


def _paint(canvas: Image.Image, shape: Shape, value: int) -> None:
    """Fill one shape, outline included."""
    if shape.kind == "bitmap" or shape.holes:
        left, top, stencil = _stencil(shape, canvas.size)
        if stencil is not None:
            canvas.paste(value, (left, top), stencil)
        return
    pen = ImageDraw.Draw(canvas)
    if shape.kind == "polygon":
        # As a flat list, which Pillow reads three times as fast as pairs.
        pen.polygon(shape.points.ravel().tolist(), fill=value, outline=value)
        return
    points = [tuple(point) for point in shape.points.tolist()]
    if shape.kind == "rectangle":
        (x0, y0), (x1, y1) = points
        pen.rectangle([min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)], fill=value, outline=value)
    elif shape.kind in ("line", "linestrip"):
        pen.line(points, fill=value, width=LINE_WIDTH)
    else:
        x, y = points[0]
        radius = float(np.hypot(*(shape.points[1] - shape.points[0]))) if shape.kind == "circle" else POINT_RADIUS
        pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=value, outline=value)


def _stencil(shape: Shape, size: tuple[int, int]) -> tuple[int, int, Image.Image | None]:
    """A bitmap, or a polygon less its holes, as a stencil and where it lies; None where it is outside the picture."""
    if shape.bitmap is not None:
        left, top = (round(value) for value in shape.points[0].tolist())
        return left, top, Image.fromarray(shape.bitmap.astype(np.uint8) * 255)
    low = np.maximum(np.floor(shape.points.min(axis=0)) - 1, 0)
    high = np.minimum(np.ceil(shape.points.max(axis=0)) + 2, size)
    if (high <= low).any():
        return 0, 0, None
    left, top = int(low[0]), int(low[1])
    stencil = Image.new("L", (int(high[0]) - left, int(high[1]) - top), 0)
    pen = ImageDraw.Draw(stencil)
    pen.polygon(_moved(shape.points, low), fill=255, outline=255)
    for hole in shape.holes:
        pen.polygon(_moved(hole, low), fill=0, outline=0)
    # The outline of a hole belongs to the shape, as a hole is what the shape goes around.
    for hole in shape.holes:
        pen.line([*_moved(hole, low), _moved(hole, low)[0]], fill=255)
    return left, top, stencil


def _moved(points: np.ndarray, by: np.ndarray) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in points - by]
