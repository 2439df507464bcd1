"""The tags of a page of a TIFF, read without believing any offset or count (TIFF 6.0, Adobe 1992; BigTIFF 2007)."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np

from segmodels.data.pages import directory_of
from segmodels.errors import UserError

#: More tags than this no directory has.
MAX_TAGS = 4096

#: Types of a tag's values that are whole numbers without a sign, and plain bytes.
_TYPES = {1: "u1", 3: "u2", 4: "u4", 7: "u1", 13: "u4", 16: "u8", 18: "u8"}


class Tags:
    """The tags of one directory, by its number in the chain; their values are read when they are asked for.

    Raises:
        UserError: the file is no TIFF, or is cut short or damaged.
    """

    def __init__(self, file: BinaryIO, number: int, name: str) -> None:
        self.file, self.name = file, name
        self.size = file.seek(0, 2)
        head = self._bytes(0, 8)
        self.order = {b"II": "<", b"MM": ">"}.get(head[:2], "")
        if not self.order or self._number(head[2:4]) not in (42, 43):
            raise UserError(f"{name}: not a TIFF")
        self.big = self._number(head[2:4]) == 43
        offset = self._number(self._bytes(8, 8) if self.big else head[4:8])
        for _ in range(number):
            offset = self._next(offset)
        self._read(offset)

    def _next(self, offset: int) -> int:
        """Where the directory after the one at `offset` is."""
        head, entry, place = (8, 20, 8) if self.big else (2, 12, 4)
        return self._number(self._bytes(offset + head + entry * self._number(self._bytes(offset, head)), place))

    def _read(self, offset: int) -> None:
        # Of a tag: its code, the type and number of its values, and these or, where they do not fit, their offset.
        long = f"{self.order}u8" if self.big else f"{self.order}u4"
        form = [("code", f"{self.order}u2"), ("type", f"{self.order}u2"), ("count", long), ("value", f"V{long[-1]}")]
        entry = np.dtype(form)
        head = 8 if self.big else 2
        tags = self._number(self._bytes(offset, head))
        if not 1 <= tags <= MAX_TAGS:
            raise self.damaged(f"{tags} tags in a page")
        block = self._bytes(offset + head, tags * entry.itemsize)
        inside = offset + head + entry.itemsize - entry["value"].itemsize
        self.entries: dict[int, tuple[int, int, bytes, int]] = {}
        for place, row in enumerate(np.frombuffer(block, entry)):
            found = int(row["type"]), int(row["count"]), row["value"].tobytes(), inside + place * entry.itemsize
            self.entries.setdefault(int(row["code"]), found)

    def values(self, code: int, most: int) -> np.ndarray:
        """A tag's values as int64, none where it is not there. Raises `UserError` for more than `most` of them."""
        if code not in self.entries:
            return np.empty(0, np.int64)
        kind, count, value, place = self.entries[code]
        if kind not in _TYPES or count > most:
            raise self.damaged(f"{count} values of type {kind} in tag {code}")
        dtype = np.dtype(self.order + _TYPES[kind])
        length = count * dtype.itemsize
        found = np.frombuffer(self._bytes(place if length <= len(value) else self._number(value), length), dtype)
        if found.size and found.max() > np.iinfo(np.int64).max:
            raise self.damaged(f"a value of {found.max()} in tag {code}")
        return found.astype(np.int64)

    def number(self, code: int, default: int) -> int:
        """A tag's value; of several that are alike, as the bits of each sample are, the one."""
        found = self.values(code, 16)
        if (found != found[:1]).any():
            raise UserError(
                f"{self.name}: its samples are not alike (tag {code}): save it as grey or RGB of 8 or 16 bits"
            )
        return int(found[0]) if found.size else default

    def damaged(self, what: str) -> UserError:
        return UserError(f"{self.name}: the TIFF is damaged ({what})")

    def _bytes(self, offset: int, length: int) -> bytes:
        if offset + length > self.size:
            raise UserError(f"{self.name}: the TIFF is cut short or damaged: get it anew")
        self.file.seek(offset)
        return self.file.read(length)

    def _number(self, value: bytes) -> int:
        return int.from_bytes(value, "little" if self.order == "<" else "big")


def page_size(path: Path, page: int = 0) -> tuple[int, int] | None:
    """The height and width that a TIFF claims for a page; None where the file is none or has no such page."""
    try:
        with path.open("rb") as file:
            tags = Tags(file, directory_of(file, page, str(path)), str(path))
            return tags.number(257, 0), tags.number(256, 0)
    except (OSError, ValueError, UserError):
        return None
