"""What is odd about the shapes of a picture: how many were left out and why, and which lie outside of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from segmodels.data.dataset import Finding
from segmodels.data.shapes import Shape


def shape_findings(
    where: str, shapes: Iterable[Shape], problems: Sequence[str], height: int, width: int
) -> list[Finding]:
    """One finding for each kind of defect, however many shapes have it.

    Args:
        where: the annotation file.
        problems: what is wrong with each shape left out.
        height, width: of the picture.
    """
    found = []
    if problems:
        more = f", and {len(problems) - 1:,} more" if len(problems) > 1 else ""
        found.append(Finding("bad-shape", where, f"{problems[0]}{more}", "those shapes are left out"))
    total, beyond, outside = 0, [], 0
    for shape in shapes:
        if shape.kind == "bitmap":
            continue
        total += 1
        low, high = shape.points.min(axis=0), shape.points.max(axis=0)
        if (high < 0).any() or low[0] >= width or low[1] >= height:
            outside += 1
        elif (low < 0).any() or high[0] > width or high[1] > height:
            beyond.append((low.min(), high.max()))
    if outside:
        message = f"{outside:,} of {total:,} shapes lie outside of the picture of {width}x{height}"
        found.append(Finding("outside", where, message, "they are not drawn"))
    if beyond:
        low, high = np.min([ends[0] for ends in beyond]), np.max([ends[1] for ends in beyond])
        message = f"{len(beyond):,} of {total:,} shapes run over the edge ({low:.1f} to {high:.1f})"
        found.append(Finding("over-the-edge", where, message, "they are clipped"))
    return found
