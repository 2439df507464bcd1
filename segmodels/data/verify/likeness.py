"""Pictures that show the same although their pixels differ: compressed anew, resized, brightened, trimmed by a hair.

A picture is known by its thumbnail of 32 x 32 grey means. Two are taken for one only if they agree twice: in the large
(the thumbnails correlate), which finds the candidates, and in detail (what remains of them without their blurred
selves), which tells pictures of one layout apart, such as roads under skies or slides of one stain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

SIDE = 32

#: The least correlations. Measured on photos, streets, aerial pictures, tissue and frames of films: the same picture
#: saved at JPEG quality 10 and half its size, or brightened by a quarter, has over 0.9 and 0.86; trimmed by 3 % mostly
#: over 0.85 and 0.8. Other pictures reach 0.83 at most in the large, and then 0.17 in detail.
COARSE, DETAIL = 0.85, 0.8

#: A thumbnail whose grey values spread less than this shows nothing to compare.
FLAT = 2.0

#: Pictures compared at once, against all others: 512 x 20,000 correlations take 40 MB.
BLOCK = 512

#: Of the candidates of a picture only so many are looked at in detail.
CANDIDATES = 8


def thumbnail(image: np.ndarray) -> np.ndarray:
    """Means of grey values over a grid: uint8 `(32, 32)` of uint8 `(height, width, 3)`."""
    return np.asarray(Image.fromarray(image).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX))


@dataclass(frozen=True)
class Likeness:
    """A picture of one side that looks like one of the other.

    `row` and `column` are their places, `found` counts the pictures of the other side that it looks like (up to
    `CANDIDATES`), of which this is the likest.
    """

    row: int
    column: int
    detail: float
    found: int


def alike(rows: Sequence[np.ndarray], columns: Sequence[np.ndarray]) -> list[Likeness]:
    """Of the thumbnails in `rows` those that look like one in `columns`, each with the likest."""
    if not rows or not columns:
        return []
    known = np.concatenate([_coarse(columns[start : start + BLOCK]) for start in range(0, len(columns), BLOCK)])
    found: list[Likeness] = []
    for start in range(0, len(rows), BLOCK):
        correlation = _coarse(rows[start : start + BLOCK]) @ known.T
        for row in np.flatnonzero(correlation.max(axis=1) >= COARSE).tolist():
            best = np.argsort(-correlation[row], kind="stable")[:CANDIDATES]
            best = best[correlation[row, best] >= COARSE]
            detail = _fine([columns[column] for column in best.tolist()]) @ _fine([rows[start + row]])[0]
            if (same := int((detail >= DETAIL).sum())) > 0:
                likest = int(detail.argmax())
                found.append(Likeness(start + row, int(best[likest]), float(detail[likest]), same))
    return found


def _coarse(thumbnails: Sequence[np.ndarray]) -> np.ndarray:
    """Means of 2 x 2, since all are compared with all: unit rows, of zeros where there is nothing to compare."""
    half = SIDE // 2
    stack = np.stack(thumbnails).astype(np.float32)
    rows = _unit(stack.reshape(-1, half, 2, half, 2).mean(axis=(2, 4)))
    rows[stack.std(axis=(1, 2)) < FLAT] = 0
    return rows


def _fine(thumbnails: Sequence[np.ndarray]) -> np.ndarray:
    """What differs from the mean of the 5 x 5 around: unit rows."""
    stack = np.stack(thumbnails).astype(np.float32)
    wide = np.pad(stack, ((0, 0), (2, 2), (2, 2)), mode="edge")
    blurred = sum(wide[:, y : y + SIDE, x : x + SIDE] for y in range(5) for x in range(5)) / np.float32(25)
    return _unit(stack - blurred)


def _unit(pictures: np.ndarray) -> np.ndarray:
    """Rows of mean 0 and length 1, so that products are correlations: float32 `(count, values)`."""
    rows = pictures.reshape(len(pictures), -1)
    rows = rows - rows.mean(axis=1, keepdims=True)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
