"""A PNG written row by row, so that the picture never is in memory as a whole (PNG, W3C 2003; ISO/IEC 15948)."""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO

import numpy as np

#: Bytes that are compressed at once.
_BLOCK = 1 << 20


class PngWriter:
    """Writes class ids with a palette, or RGB, of 8 bits, to an open file; `close` ends the PNG, not the file.

    Ids are stored as they are; of colours the difference to the row above, which a photograph's rows share much with.

    Args:
        palette: the colour of every value, uint8 `(256, 3)`; RGB where None.
    """

    def __init__(self, file: BinaryIO, height: int, width: int, *, palette: np.ndarray | None = None) -> None:
        self._file = file
        self._left = height
        self._shape = (width,) if palette is not None else (width, 3)
        self._above = None if palette is not None else np.zeros((1, *self._shape), np.uint8)
        # Colours hardly become smaller by more work; ids do, and take little of it.
        self._packer = zlib.compressobj(6 if palette is not None else 2)
        file.write(b"\x89PNG\r\n\x1a\n")
        self._chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3 if palette is not None else 2, 0, 0, 0))
        if palette is not None:
            self._chunk(b"PLTE", palette.astype(np.uint8).tobytes())

    def write(self, rows: np.ndarray) -> None:
        """Add rows below those before: uint8 `(rows, width)` of ids, or `(rows, width, 3)`."""
        if rows.dtype != np.uint8 or rows.shape[1:] != self._shape or len(rows) > self._left:
            raise ValueError(f"{rows.dtype} {rows.shape} does not fit a PNG of {self._left} more rows of {self._shape}")
        if not len(rows):
            return
        self._left -= len(rows)
        lines = np.empty((len(rows), 1 + rows[0].size), np.uint8)
        if self._above is None:
            lines[:, 0] = 0  # the filter "none"
            lines[:, 1:] = rows
        else:
            lines[:, 0] = 2  # the filter "up"
            lines[0, 1:] = (rows[0] - self._above[0]).ravel()
            lines[1:, 1:] = (rows[1:] - rows[:-1]).reshape(len(rows) - 1, rows[0].size)
            self._above = rows[-1:].copy()
        stream = memoryview(lines.data).cast("B")
        for start in range(0, len(stream), _BLOCK):
            self._data(self._packer.compress(stream[start : start + _BLOCK]))

    def close(self) -> None:
        """End the PNG. Raises `ValueError` where rows are missing."""
        if self._left:
            raise ValueError(f"{self._left} rows are missing")
        self._data(self._packer.flush())
        self._chunk(b"IEND", b"")

    def _data(self, packed: bytes) -> None:
        if packed:
            self._chunk(b"IDAT", packed)

    def _chunk(self, kind: bytes, content: bytes) -> None:
        self._file.write(
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )
