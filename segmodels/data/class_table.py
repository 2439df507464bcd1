"""From what a mask's pixels hold, numbers or colours, to class ids: exact, else the nearest if near, else ignored.

Near misses come from smoothed edges and from JPEG. A table says which values it did not know, for `inspect`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from segmodels.data.dataset import IGNORE

#: The greatest distance, in grey values or in RGB, at which a value still counts as the nearest known one.
TOLERANCE = 24

#: Numbers below 0 and over 255 are all unknown, as one.
_OVER = 256


@dataclass(frozen=True)
class Unknown:
    """A value of a mask that the table does not have.

    Attributes:
        value: the number, or the colour as `#RRGGBB`.
        pixels: how many have it.
        nearest: the nearest known value, written likewise.
        distance: from it.
        taken: whether it counts as the nearest one; else its pixels are ignored.
    """

    value: str
    pixels: int
    nearest: str
    distance: float
    taken: bool


class NumberTable:
    """Class ids by number.

    Where the known numbers lie far apart (0 and 255), those near to one count as it: within a quarter of the least gap
    between two, at most `TOLERANCE`. Numbers in a row leave no such room.
    """

    def __init__(self, numbers: Mapping[int, int]) -> None:
        """`numbers`: class id, or `IGNORE`, by number from 0 to 255. One at least."""
        self.classes: tuple[object, ...] = tuple(numbers.items())
        self._known = np.array(sorted(numbers))
        gaps = np.diff(self._known)
        self._near = min(TOLERANCE, int(gaps.min()) // 4) if len(gaps) else 0
        self._ids = np.full(_OVER + 1, IGNORE, np.uint8)
        for value in range(_OVER):
            nearest, distance = self._nearest(value)
            if distance <= self._near:
                self._ids[value] = numbers[nearest]

    def ids(self, values: np.ndarray) -> np.ndarray:
        """Class ids, uint8, of numbers of any integer type and shape."""
        return self._ids[_bounded(values)]

    def unknown(self, values: np.ndarray) -> list[Unknown]:
        """The numbers in a mask that the table does not have, by frequency."""
        counts = np.bincount(_bounded(values).ravel(), minlength=_OVER + 1)
        counts[self._known] = 0
        found = []
        for value in np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)].tolist():
            nearest, distance = self._nearest(value)
            name = str(value) if value < _OVER else "outside 0 to 255"
            found.append(Unknown(name, int(counts[value]), str(nearest), distance, distance <= self._near))
        return found

    def _nearest(self, value: int) -> tuple[int, int]:
        distances = np.abs(self._known - value)
        place = int(distances.argmin())
        return int(self._known[place]), int(distances[place])


class ColourTable:
    """Class ids by colour, looked up by the colour's 24 bits."""

    def __init__(self, colours: Mapping[str, int]) -> None:
        """`colours`: class id, or `IGNORE`, by `#RRGGBB`. One at least."""
        self.classes: tuple[object, ...] = tuple(colours.items())
        self._names = list(colours)
        self._known = np.array([list(bytes.fromhex(name[1:])) for name in colours], np.float32)
        self._class_ids = np.array([*colours.values()], np.uint16)
        # Class id + 1; 0 where a colour was not met yet. Untouched pages of zeros take no memory.
        self._table = np.zeros(1 << 24, np.uint16)
        self._table[pack(self._known.astype(np.uint8))] = self._class_ids + 1

    def ids(self, colours: np.ndarray) -> np.ndarray:
        """Class ids uint8 `(…)` of colours uint8 `(…, 3)`."""
        packed = pack(colours)
        found = self._table[packed]
        if not found.all():
            new = np.unique(packed[found == 0])
            nearest, distances = self._nearest(new)
            taken = np.where(distances <= TOLERANCE, self._class_ids[nearest], IGNORE)
            # Kept for the next mask: threads write the same values.
            self._table[new] = taken + 1
            found = self._table[packed]
        return (found - 1).astype(np.uint8)

    def unknown(self, colours: np.ndarray) -> list[Unknown]:
        """The colours in a mask that the table does not have, by frequency."""
        values, counts = np.unique(pack(colours), return_counts=True)
        new = ~np.isin(values, pack(self._known.astype(np.uint8)))
        values, counts = values[new], counts[new]
        nearest, distances = self._nearest(values)
        return [
            Unknown(
                hex_of(int(values[i])),
                int(counts[i]),
                self._names[nearest[i]],
                float(distances[i]),
                bool(distances[i] <= TOLERANCE),
            )
            for i in np.argsort(-counts, kind="stable").tolist()
        ]

    def _nearest(self, packed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The place of the nearest known colour and its distance, for each packed colour."""
        nearest, distances = np.zeros(len(packed), np.int64), np.zeros(len(packed), np.float32)
        for start in range(0, len(packed), 65536):  # a photograph has hundreds of thousands
            part = slice(start, start + 65536)
            away = ((unpack(packed[part]).astype(np.float32)[:, None] - self._known) ** 2).sum(axis=-1)
            nearest[part] = away.argmin(axis=1)
            distances[part] = np.sqrt(away.min(axis=1))
        return nearest, distances


def pack(colours: np.ndarray) -> np.ndarray:
    """Colours uint8 `(…, 3)` as 24-bit numbers uint32 `(…)`, red highest."""
    red, green, blue = (colours[..., channel].astype(np.uint32) for channel in range(3))
    return (red << 16) | (green << 8) | blue


def unpack(packed: np.ndarray) -> np.ndarray:
    """24-bit numbers `(…)` as colours uint8 `(…, 3)`."""
    return np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=-1).astype(np.uint8)


def hex_of(packed: int) -> str:
    """`#RRGGBB` of a 24-bit number."""
    return f"#{packed:06X}"


def _bounded(values: np.ndarray) -> np.ndarray:
    """Numbers as indices of 0 to 255, and `_OVER` for all others."""
    if values.dtype == np.uint8:
        return values
    return np.where((values < 0) | (values > 255), _OVER, values).astype(np.int64)
