"""Outlines of a mask: polygons that `segmodels.data.shapes.draw` turns back into exactly this mask."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from PIL import Image, ImageDraw

from segmodels.data.regions import regions
from segmodels.data.shapes import Shape


def trace(
    mask: np.ndarray, names: Mapping[int, str], instances: np.ndarray | None = None, *, background: int = 0
) -> list[Shape]:
    """Polygons whose drawing, in their order, is the mask again, to the pixel.

    A region is what hangs together edge to edge in one class and one object. Its polygon runs through the centres of
    the pixels at its rim (Suzuki and Abe's border following in OpenCV, straight runs cut to their ends) and covers its
    holes; what lies in them is painted later. So a region comes after the one around it, which always reaches higher
    up: the order is that of their top rows.

    Args:
        mask: uint8 `(height, width)`.
        names: the label of every value of the mask; of `background` too, which is painted where it fills a hole.
        instances: int32 `(height, width)`, object numbers, 0 for none, which become `Shape.instance`.
        background: the value of what no shape covers.

    Returns:
        shapes of kind "polygon"; a part of one or two pixels repeats its points to have three.

    Raises:
        KeyError: a value of the mask without a name.
    """
    values = mask.astype(np.int64) if instances is None else mask + instances.astype(np.int64) * 256
    pieces, boxes = regions(values)
    canvas = Image.new("I", (mask.shape[1], mask.shape[0]), background)
    pen = ImageDraw.Draw(canvas)
    shapes = []
    for piece in np.argsort(boxes[:, 1], kind="stable").tolist():
        left, top, width, height = boxes[piece].tolist()
        inside = pieces[top : top + height, left : left + width] == piece
        x, y = left + int(inside[0].argmax()), top
        value = int(values[y, x])
        # All of a region lies in each polygon before it or none of it does: one pixel stands for all.
        if canvas.getpixel((x, y)) == value:
            continue
        outline = cv2.findContours(inside.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0][0][:, 0]
        points = np.resize(outline, (max(len(outline), 3), 2)) + np.array([left, top])
        pen.polygon(points.ravel().tolist(), fill=value, outline=value)
        shapes.append(Shape(names[value % 256], points.astype(np.float64), instance=value // 256 or None))
    return shapes
