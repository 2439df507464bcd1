"""`LargePicture`: any rows of a TIFF in a file, with no more in memory than these and a bounded cache."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from segmodels.data.images import MAX_PIXELS
from segmodels.errors import UserError
from segmodels.prediction.large.directory import read_directory
from segmodels.prediction.large.segments import decode_segment
from segmodels.prediction.large.tags import page_size

#: Bytes of decoded segments that are kept: rows of tiles overlap, and a slide's segments seldom end with them.
CACHE_BYTES = 128 << 20


def is_large(path: Path, page: int = 0) -> bool:
    """Whether a file is a TIFF whose page claims more pixels than `read_image` reads, so that `LargePicture` is to read
    it, or to say in one line why it cannot. It raises nothing, and looks at some hundred bytes only."""
    height, width = page_size(path, page) or (0, 0)
    return height * width > MAX_PIXELS


class LargePicture:
    """A TIFF or BigTIFF of any size, in tiles or strips, read by region: uint8 RGB `(height, width, 3)`.

    Grey, palette, RGB and RGBA (over white) of 8 or 16 bits, uncompressed or with deflate, LZW, packbits, zstd, JPEG,
    JPEG 2000 or WebP.
    `picture[top:bottom]` are rows as of an array. For one thread; a context manager, which closes the file.

    Args:
        page: counted from 0, without smaller copies: of a slide, which scanners write with some, the first is whole.
        cache: bytes of decoded segments that are kept, those used last.

    Raises:
        UserError: no such file, no TIFF, damaged, over 2^33 pixels, or of a kind that is not read by region.
    """

    def __init__(self, path: Path, page: int = 0, *, cache: int = CACHE_BYTES) -> None:
        self.path = Path(path)
        try:
            self._file = self.path.open("rb")
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}") from None
        try:
            self._directory = read_directory(self._file, page, str(path))
        except BaseException:
            self._file.close()
            raise
        self._cache: OrderedDict[int, np.ndarray] = OrderedDict()
        self._room = cache

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, 3."""
        return self._directory.height, self._directory.width, 3

    def rows(self, top: int, bottom: int) -> np.ndarray:
        """The rows from `top` to before `bottom`, which lie in the picture: uint8 `(rows, width, 3)`.

        Raises:
            UserError: a segment is damaged, or the file became shorter.
        """
        height, width, _ = self.shape
        if not 0 <= top <= bottom <= height:
            raise ValueError(f"rows {top} to {bottom} of a picture of {height}")
        found = np.empty((bottom - top, width, 3), np.uint8)
        tall, wide = self._directory.segment_height, self._directory.segment_width
        for line in range(top // tall, -(-bottom // tall) if bottom > top else 0):
            begin, end = max(top, line * tall), min(bottom, (line + 1) * tall)
            for column in range(self._directory.across):
                left, right = column * wide, min(width, (column + 1) * wide)
                part = self._segment(line, column)[begin - line * tall : end - line * tall, : right - left]
                found[begin - top : end - top, left:right] = part
        return found

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Neighbouring rows, as `rows` gives them."""
        top, bottom, step = rows.indices(self.shape[0])
        if step != 1:
            raise ValueError("only neighbouring rows can be read")
        return self.rows(top, max(top, bottom))

    def close(self) -> None:
        self._cache.clear()
        self._file.close()

    def __enter__(self) -> LargePicture:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _segment(self, line: int, column: int) -> np.ndarray:
        """A decoded segment, from the cache where it is there."""
        place = line * self._directory.across + column
        if place in self._cache:
            self._cache.move_to_end(place)
            return self._cache[place]
        segment = self._decoded(line, place)
        self._cache[place] = segment
        self._room -= segment.nbytes
        while self._room < 0 and len(self._cache) > 1:
            self._room += self._cache.popitem(last=False)[1].nbytes
        return segment

    def _decoded(self, line: int, place: int) -> np.ndarray:
        directory = self._directory
        count = int(directory.counts[place])
        if directory.compression == 1:
            count = min(count, directory.segment_bytes)
        rows = directory.segment_height
        if not directory.tiled:
            rows = min(rows, directory.height - line * rows)
        try:
            self._file.seek(int(directory.offsets[place]))
            data = self._file.read(count)
            if len(data) < count:
                raise ValueError("the file ends early")
            return decode_segment(data, directory, rows)
        except Exception as error:  # each codec has its own
            reason = " ".join(str(error).split())[:120] or type(error).__name__
            raise UserError(f"{self.path}: the TIFF is cut short or damaged in segment {place} ({reason})") from None
