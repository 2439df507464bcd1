"""Tiles: square windows of one size on a picture, and the way back from the tiles to the picture. Pure NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np

from segmodels.data.dataset import IGNORE
from segmodels.errors import UserError, choose

#: What happens where the picture's side is not made up of whole steps: the last tile is filled up by reflection, is
#: moved back inside the picture, or is left out.
Edge = Literal["pad", "shift", "drop"]


@dataclass(frozen=True)
class Tiling:
    """How any picture is cut: tiles of `size` pixels a side, a new one every `stride` pixels.

    `foreground` is the least share of a tile's pixels that are neither background nor ignored; tiles with fewer are
    left out of the training.
    """

    size: int
    stride: int
    edge: Edge = "shift"
    foreground: float = 0.0

    def grid(self, height: int, width: int) -> Tiles:
        """The tiles of a picture; see `tile_grid`."""
        return tile_grid(height, width, self.size, self.stride, self.edge)


@dataclass(frozen=True)
class Tiles:
    """Where the tiles of one picture lie, row by row.

    Attributes:
        height, width: of the picture.
        size: side of a tile.
        tops, lefts: the first rows and columns of the tiles, int64, rising; each top goes with each left. A tile may
            reach beyond the last row or column.
    """

    height: int
    width: int
    size: int
    tops: np.ndarray
    lefts: np.ndarray

    def __len__(self) -> int:
        return len(self.tops) * len(self.lefts)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """The first row and column of each tile."""
        return iter((int(top), int(left)) for top, left in self.positions)

    @cached_property
    def positions(self) -> np.ndarray:
        """The first row and column of each tile: int64 `(tiles, 2)`."""
        return np.stack(np.meshgrid(self.tops, self.lefts, indexing="ij"), axis=-1).reshape(-1, 2)

    def cut(self, picture: np.ndarray, *, fill: int | None = None) -> np.ndarray:
        """The tiles of a picture or mask, `(height, width, …)` to `(tiles, size, size, …)`; `fill` as in `window`."""
        if picture.shape[:2] != (self.height, self.width):
            raise ValueError(f"tiles of {self.height} x {self.width} do not fit a picture of {picture.shape[:2]}")
        return np.stack([window(picture, top, left, self.size, fill=fill) for top, left in self])


def tile_grid(height: int, width: int, size: int, stride: int, edge: Edge = "shift") -> Tiles:
    """Lay tiles over a picture: 1000 x 1000 in tiles of 256 every 144 pixels are 36 with "drop", 49 otherwise.

    Along a side that is shorter than a tile there is one tile, filled up by reflection, whatever the rule.

    Args:
        edge: "pad": the last tile reaches beyond the picture and is filled up by reflection; "shift": it is moved back
            so that it ends with the picture; "drop": it is left out, and the picture's last pixels are in no tile.

    Raises:
        UserError: a side below 1, a stride that is not within 1 and the size, an unknown rule.
    """
    choose("edge rule", edge, get_args(Edge))
    if min(height, width, size) < 1:
        raise UserError(f"a picture of {width}x{height} pixels cannot be cut into tiles of {size}: sides begin at 1")
    if not 1 <= stride <= size:
        raise UserError(f"a stride of {stride} does not fit tiles of {size} pixels: choose one from 1 to {size}")
    return Tiles(height, width, size, _starts(height, size, stride, edge), _starts(width, size, stride, edge))


def window(picture: np.ndarray, top: int, left: int, size: int, *, fill: int | None = None) -> np.ndarray:
    """A square of a picture `(height, width, …)`: a view where it lies inside, else a filled-up copy.

    Outside, the picture goes on as its mirror image (the border itself is not repeated), as often as needed; with
    `fill` that value stands there instead, as `IGNORE` does for masks.
    """
    height, width = picture.shape[:2]
    if 0 <= top <= height - size and 0 <= left <= width - size:
        return picture[top : top + size, left : left + size]
    rows, columns = np.arange(top, top + size), np.arange(left, left + size)
    cut = picture[_mirrored(rows, height)][:, _mirrored(columns, width)]
    if fill is not None:
        cut[(rows < 0) | (rows >= height)] = fill
        cut[:, (columns < 0) | (columns >= width)] = fill
    return cut


def merge(parts: np.ndarray, tiles: Tiles, *, weight: np.ndarray | None = None) -> np.ndarray:
    """Put tiles back together: where several cover a pixel their mean counts.

    Args:
        parts: one array a tile, `(tiles, size, size, …)`.
        weight: what each pixel of a tile counts, `(size, size)`, over 0; alike where None.

    Returns:
        `(height, width, …)` of the same dtype, whole numbers rounded; 0 where no tile lies (`covered`).
    """
    if parts.shape[:3] != (len(tiles), tiles.size, tiles.size):
        raise ValueError(f"{len(tiles)} tiles of {tiles.size} pixels cannot be merged from {parts.shape}")
    shape = (tiles.height, tiles.width, *parts.shape[3:])
    total, weights = np.zeros(shape), np.zeros((tiles.height, tiles.width))
    weight = np.ones((tiles.size, tiles.size)) if weight is None else weight
    wide = weight.reshape(*weight.shape, *[1] * (parts.ndim - 3))
    for part, (top, left) in zip(parts, tiles, strict=True):
        inside = np.s_[: tiles.height - top, : tiles.width - left]
        place = np.s_[top : top + tiles.size, left : left + tiles.size]
        total[place] += (part * wide)[inside]
        weights[place] += weight[inside]
    total /= np.where(weights > 0, weights, 1).reshape(*weights.shape, *[1] * (parts.ndim - 3))
    return (np.round(total) if parts.dtype.kind in "iub" else total).astype(parts.dtype)


def covered(tiles: Tiles) -> np.ndarray:
    """Which pixels lie in a tile: bool `(height, width)`."""
    found = np.zeros((tiles.height, tiles.width), bool)
    for top, left in tiles:
        found[top : top + tiles.size, left : left + tiles.size] = True
    return found


def foreground_shares(mask: np.ndarray, tiles: Tiles, background: int | None) -> np.ndarray:
    """The share of each tile's pixels that are neither `background` (where there is such a class) nor ignored.

    Args:
        mask: class ids, uint8 `(height, width)`. What a tile fills up outside of it counts as ignored.

    Returns:
        float64 `(tiles,)`, 0 to 1.
    """
    counted = mask != IGNORE
    if background is not None:
        counted &= mask != background
    sums = np.zeros((tiles.height + 1, tiles.width + 1), np.int64)  # a summed-area table: four look-ups a tile
    sums[1:, 1:] = counted.cumsum(axis=0, dtype=np.int64).cumsum(axis=1)
    top, left = tiles.positions.T
    bottom, right = np.minimum(top + tiles.size, tiles.height), np.minimum(left + tiles.size, tiles.width)
    found = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
    return found / tiles.size**2


def _starts(length: int, size: int, stride: int, edge: Edge) -> np.ndarray:
    if length <= size:
        return np.zeros(1, np.int64)
    steps = (length - size) // stride
    starts = np.arange(steps + 1, dtype=np.int64) * stride
    rest = length - size - starts[-1]
    if rest and edge != "drop":
        starts = np.append(starts, length - size if edge == "shift" else starts[-1] + stride)
    return starts


def _mirrored(places: np.ndarray, length: int) -> np.ndarray:
    """Any whole numbers as places within 0 and `length` - 1, turning round at both ends."""
    if length == 1:
        return np.zeros_like(places)
    places = places % (2 * length - 2)
    return np.minimum(places, 2 * length - 2 - places)
