"""Outlines along the edges of pixels: where the pixel at x, y reaches from x to x + 1 and from y to y + 1."""

from __future__ import annotations

import numpy as np

from segmodels.data.regions import regions

#: How far within the edges an outline runs, as a share of a pixel: 1 / `STEPS`.
STEPS = 100


def outlines(values: np.ndarray, skipped: int) -> list[tuple[int, list[np.ndarray]]]:
    """The outline of each region, what hangs together edge to edge in one value, and those of its holes.

    They run a hundredth of a pixel within the region. So a polygon never touches itself, nor another one, where two
    pixels only meet at a corner, which GeoJSON forbids; every corner lies in the pixel that it belongs to, so that
    `segmodels.data.shapes.draw`, which draws from pixel to pixel, makes the same region of it; and so does a program
    that fills the pixels whose middle is inside. QuPath keeps two decimals.

    Args:
        values: whole numbers `(height, width)`.
        skipped: the value that is not outlined.

    Returns:
        for each region its value, and rings float64 `(n, 2)` of x and y, each corner once: the outer one, from its
        upper left corner on to the right, and then holes, the other way round.
    """
    pieces, _ = regions(values)
    first = np.unique(pieces, return_index=True)[1]
    value = values.ravel()[first].tolist()
    x, y, piece = _corners(np.where(values == skipped, -1, pieces))
    # Every line of corners in a row, of one piece and height, is sides and gaps in turn: two by two they are sides.
    order = np.lexsort((x, y, piece))
    x, y, piece = x[order], y[order], piece[order]
    upright = np.lexsort((y, x, piece))
    across = np.empty_like(upright)
    across[upright] = upright.reshape(-1, 2)[:, ::-1].ravel()
    rings: dict[int, list[np.ndarray]] = {}
    points, owner, next_side = np.stack([x, y], axis=1) / STEPS, piece.tolist(), across.tolist()
    seen = bytearray(len(owner))
    for start in range(len(owner)):
        if seen[start]:
            continue
        ring, corner = [], start
        while not seen[corner]:
            end = corner ^ 1
            seen[corner] = seen[end] = 1
            ring += [corner, end]
            corner = next_side[end]
        # From top to bottom the first ring of a piece is the one around it.
        found = rings.setdefault(owner[start], [])
        found.append(points[ring[::-1] if found else ring])
    return [(value[number], found) for number, found in rings.items()]


def _corners(pieces: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where outlines turn, in steps from the top left, and the piece that each is of; -1 is no piece."""
    framed = np.pad(pieces, 1, constant_values=-1)
    found = []
    # At each place where four pixels meet, from each of the four: there is a corner where it is of another piece than
    # both its neighbours, or of the same as they but not as the one across.
    for down in (0, 1):
        for right in (0, 1):
            own, beside, above, across = (
                framed[v : v + len(framed) - 1, h : h + framed.shape[1] - 1]
                for v, h in ((down, right), (down, 1 - right), (1 - down, right), (1 - down, 1 - right))
            )
            turns = (own >= 0) & ((own == beside) == (own == above)) & ~((own == beside) & (own == across))
            y, x = np.nonzero(turns)
            found.append((x * STEPS + 2 * right - 1, y * STEPS + 2 * down - 1, own[y, x]))
    x, y, piece = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return x, y, piece
