"""What training reads: a prepared split as pictures of one size, or as tiles of pictures of any size."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from segmodels.data.dataset import IGNORE, Dataset
from segmodels.data.tiles import Tiling, foreground_shares, window
from segmodels.errors import UserError

Indices = np.ndarray | slice


class Prepared(ABC):
    """A prepared split: so many units of training, each a picture and a mask of `size` x `size` pixels.

    Attributes:
        dataset: where it comes from.
        split: "train", "validation" or "test".
        size: side of what `read` gives.
        skipped: `{"id", "reason"}` of every sample that could not be used.
        fingerprint: digest of the content it was made from.
    """

    def __init__(self, dataset: Dataset, split: str, size: int, index: dict[str, Any], fingerprint: str) -> None:
        self.dataset, self.split, self.size, self.fingerprint = dataset, split, size, fingerprint
        self.skipped: list[dict[str, str]] = index["skipped"]

    @property
    @abstractmethod
    def ids(self) -> list[str]:
        """What each unit is called: the sample's id, and for a tile where it lies in its picture."""

    def __len__(self) -> int:
        """How many units there are."""
        return len(self.ids)

    @abstractmethod
    def read(self, indices: Indices, generator: np.random.Generator | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Copies of the chosen units: images uint8 `(n, size, size, 3)`, masks uint8 `(n, size, size)`.

        With a `generator` tiles are moved a little at random, as training wants; whole pictures stay as they are.
        """

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        images, masks = self.read(np.array([index]))
        return images[0], masks[0]


class PreparedPictures(Prepared):
    """Every picture as a whole, resized.

    Attributes:
        images: uint8 `(count, size, size, 3)`, a memory map.
        masks: uint8 `(count, size, size)`, a memory map.
    """

    def __init__(
        self, folder: Path, dataset: Dataset, split: str, size: int, index: dict[str, Any], fingerprint: str
    ) -> None:
        super().__init__(dataset, split, size, index, fingerprint)
        self._ids: list[str] = index["ids"]
        self.images = np.load(folder / "images.npy", mmap_mode="r")
        self.masks = np.load(folder / "masks.npy", mmap_mode="r")

    @property
    def ids(self) -> list[str]:
        return self._ids

    def read(self, indices: Indices, generator: np.random.Generator | None = None) -> tuple[np.ndarray, np.ndarray]:
        return np.array(self.images[indices]), np.array(self.masks[indices])


class PreparedTiles(Prepared):
    """Windows into pictures of any size, which stand one after the other in two flat files: nothing is stored twice.

    Attributes:
        tiling: how the pictures are cut.
        pictures: the sample ids, in the files' order.
        shapes: height and width of each picture, int64 `(pictures, 2)`.
        picture_of: the number of the picture that each tile is cut from, int64 `(tiles,)`.
        positions: first row and column of each tile in its picture, int64 `(tiles, 2)`.
    """

    def __init__(
        self, folder: Path, dataset: Dataset, split: str, tiling: Tiling, index: dict[str, Any], fingerprint: str
    ) -> None:
        super().__init__(dataset, split, tiling.size, index, fingerprint)
        self.tiling = tiling
        self.pictures: list[str] = index["ids"]
        self.shapes = np.array(index["shapes"], np.int64)
        self._starts = np.concatenate([[0], np.cumsum(self.shapes.prod(axis=1))])
        self._images = np.memmap(folder / "images.bin", np.uint8, "r", shape=(int(self._starts[-1]), 3))
        self._masks = np.memmap(folder / "masks.bin", np.uint8, "r", shape=(int(self._starts[-1]),))
        kept = [self._kept(number) for number in range(len(self.pictures))]
        self.picture_of = np.repeat(np.arange(len(self.pictures)), [len(positions) for positions in kept])
        self.positions = np.concatenate(kept)
        if not len(self.positions):
            raise UserError(
                f"no tile of the {self.split} split of {self.dataset.name} has {tiling.foreground:g} of its pixels in "
                "the foreground: lower tile_foreground"
            )

    def __len__(self) -> int:
        return len(self.positions)

    @cached_property
    def ids(self) -> list[str]:
        """The sample's id and where the tile begins, such as `slide-7@144,0` for row 144, column 0."""
        places = zip(self.picture_of, self.positions, strict=True)
        return [f"{self.pictures[number]}@{top},{left}" for number, (top, left) in places]

    def picture(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """A whole picture, uint8 `(height, width, 3)`, and its mask, `(height, width)`; both are read-only views."""
        height, width = self.shapes[number]
        part = slice(self._starts[number], self._starts[number + 1])
        return self._images[part].reshape(height, width, 3), self._masks[part].reshape(height, width)

    def read(self, indices: Indices, generator: np.random.Generator | None = None) -> tuple[np.ndarray, np.ndarray]:
        """See `Prepared.read`. What lies outside a picture is its mirror image, and ignored in the mask.

        With a `generator` each tile is moved by up to half a stride up or down and to either side, but not further out
        of its picture than the tiles themselves reach: over the epochs every place is seen in every position.
        """
        numbers, positions, size = self.picture_of[indices], self.positions[indices], self.tiling.size
        if generator is not None:
            positions = self._moved(numbers, positions, generator)
        images = np.empty((len(numbers), size, size, 3), np.uint8)
        masks = np.empty((len(numbers), size, size), np.uint8)
        for place, (number, (top, left)) in enumerate(zip(numbers, positions.tolist(), strict=True)):
            image, mask = self.picture(number)
            images[place] = window(image, top, left, size)
            masks[place] = window(mask, top, left, size, fill=IGNORE)
        return images, masks

    def _kept(self, number: int) -> np.ndarray:
        """The positions of a picture's tiles, without those that show too little."""
        tiles = self.tiling.grid(*self.shapes[number].tolist())
        if not self.tiling.foreground:
            return tiles.positions
        shares = foreground_shares(self.picture(number)[1], tiles, self.dataset.background)
        return tiles.positions[shares >= self.tiling.foreground]

    def _moved(self, numbers: np.ndarray, positions: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        half = self.tiling.stride // 2
        steps = generator.integers(-half, half, positions.shape, endpoint=True)
        last = np.maximum(positions, np.maximum(self.shapes[numbers] - self.tiling.size, 0))
        return np.clip(positions + steps, 0, last)
