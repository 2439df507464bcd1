"""A picture of any size through a network in tiles, without seams, and with no more in memory than a band of tiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np

from segmodels.data.tiles import Tiles, tile_grid, window
from segmodels.prediction.resize import bands

#: Logits of a batch: uint8 `(batch, height, width, 3)` to float32 `(batch, height, width, classes)`.
Forward = Callable[[np.ndarray], np.ndarray]

#: Pixels of a batch of tiles: enough to keep a device busy, and a bound on what the network takes in memory.
BATCH_PIXELS = 1 << 19


class Rows(Protocol):
    """A picture that gives some of its rows at a time: an array, or one that lies in a file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Height, width, 3."""

    def __getitem__(self, rows: slice, /) -> np.ndarray:
        """Neighbouring rows, `picture[top:bottom]`: uint8 `(rows, width, 3)`."""


def tiled_logits(forward: Forward, image: Rows, size: int, overlap: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Predict a picture in tiles of `size` pixels that share `overlap` with the next, blended where they meet.

    The logits of a pixel are the mean over its tiles, weighted by a Gaussian around each tile's middle (as in nnU-Net,
    Isensee et al. 2021), and without the outermost quarter of the overlap where another tile goes on: what a network
    says at the very edge of a tile it says without having seen the surroundings. Where these reach no further than that
    quarter, the blended logits are those of the picture as a whole. Only one row of tiles is kept at a time.

    Args:
        image: uint8 `(height, width, 3)`, or what gives its rows as `image[top:bottom]`, of which those of one row of
            tiles are asked for at a time; along a side shorter than a tile it is filled up by reflection.
        overlap: from 0 to half the size.

    Yields:
        rows and their logits, float32 `(rows, width, classes)`, from top to bottom: those of a row of tiles, in several
        parts where they are many.
    """
    tiles = tile_grid(image.shape[0], image.shape[1], size, size - overlap, "shift")
    across = [_weights(tiles.lefts, place, size, overlap) for place in range(len(tiles.lefts))]
    weight_across = np.zeros(max(tiles.width, size), np.float32)
    for left, weight in zip(tiles.lefts, across, strict=True):
        weight_across[left : left + size] += weight
    band: np.ndarray | None = None  # sums of logits by weight, for the rows of the present tiles
    weight_down = np.zeros(size, np.float32)
    ends = [*tiles.tops[1:].tolist(), tiles.height]
    for place, (top, end) in enumerate(zip(tiles.tops.tolist(), ends, strict=True)):
        down = _weights(tiles.tops, place, size, overlap)
        for column, logits in enumerate(_row(forward, image, tiles, top)):
            if band is None:
                band = np.zeros((size, len(weight_across), logits.shape[-1]), np.float32)
            left = int(tiles.lefts[column])
            band[:, left : left + size] += logits * (down[:, None] * across[column])[..., None]
        weight_down += down
        assert band is not None
        done = end - top
        for part in bands(done, tiles.width * band.shape[-1]):
            weights = weight_down[part, None] * weight_across[: tiles.width]
            yield slice(top + part.start, top + part.stop), band[part, : tiles.width] / weights[..., None]
        band[:-done], weight_down[:-done] = band[done:], weight_down[done:]
        band[-done:], weight_down[-done:] = 0, 0


def passes(height: int, width: int, size: int, overlap: int) -> int:
    """How often `tiled_logits` asks the network."""
    tiles = tile_grid(height, width, size, size - overlap, "shift")
    return len(tiles.tops) * -(-len(tiles.lefts) // _batch(tiles))


def _batch(tiles: Tiles) -> int:
    """How many tiles the network sees at once."""
    return min(len(tiles.lefts), max(1, BATCH_PIXELS // tiles.size**2))


def _row(forward: Forward, image: Rows, tiles: Tiles, top: int) -> Iterator[np.ndarray]:
    """The logits of the tiles that begin in one row, from left to right."""
    rows = image[top : top + tiles.size]
    batch = _batch(tiles)
    for first in range(0, len(tiles.lefts), batch):
        lefts = tiles.lefts[first : first + batch]
        pictures = np.zeros((batch, tiles.size, tiles.size, 3), np.uint8)  # all of one shape: compiled once
        for place, left in enumerate(lefts.tolist()):
            pictures[place] = window(rows, 0, left, tiles.size)
        yield from forward(pictures)[: len(lefts)]


def _weights(starts: np.ndarray, place: int, size: int, overlap: int) -> np.ndarray:
    """What the rows (or columns) of one tile count: float32 `(size,)`."""
    away = (np.arange(size, dtype=np.float32) + 0.5 - size / 2) / (size / 8)
    weights = np.exp(-0.5 * away**2)
    margin = overlap // 4
    if place > 0:
        weights[:margin] = 0
    if place < len(starts) - 1:
        weights[size - margin :] = 0
    return weights
