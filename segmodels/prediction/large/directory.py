"""What a TIFF says of one of its pages: the size, the kind and where the segments lie. Nothing in it is believed.

A file of some hundred bytes can claim a picture of 10^18 pixels and segments of gigabytes. Every number is held against
a bound and against the file's length before anything is made of that size.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np

from segmodels.data.pages import directory_of
from segmodels.errors import UserError
from segmodels.prediction.large.tags import Tags

#: Bounds on what is read: pixels, rows or columns of a page, its segments (tiles or strips), bytes of one once decoded.
MAX_PIXELS = 1 << 33
MAX_SIDE = 1 << 22
MAX_SEGMENTS = 1 << 21
MAX_SEGMENT_BYTES = 64 << 20

#: Bytes of a segment that an uncompressed strip is cut into: any row of it can be found without those before.
_PART_BYTES = 4 << 20

#: The compressions that are read, by TIFF's number; 33005 is JPEG 2000 of Aperio's scanners, without YCbCr.
COMPRESSIONS = {
    1: "none", 5: "LZW", 7: "JPEG", 8: "deflate", 32773: "packbits", 32946: "deflate", 33005: "JPEG 2000",
    34712: "JPEG 2000", 50000: "zstd", 50001: "WebP",
}  # fmt: skip

#: Those whose segments are pictures with a head of their own, and the samples that these may have.
_OWN_PICTURES = {"JPEG": (1, 3), "JPEG 2000": (1, 3), "WebP": (3, 4)}

#: Photometric interpretations that are read, with the samples a pixel may have in each: grey (either way round), RGB
#: with or without alpha, palette, YCbCr (in JPEG).
_KINDS = {0: (1,), 1: (1,), 2: (3, 4), 3: (1,), 6: (3,)}


@dataclass(frozen=True)
class Directory:
    """One page of a TIFF, checked.

    Attributes:
        width, height: of the picture.
        bits: of a sample, 8 or 16; `samples`: of a pixel, 1, 3 or 4.
        compression, photometric, predictor, extra: TIFF's numbers; `extra` is what a fourth sample is: 0 nothing, 1
            alpha that was multiplied in, 2 alpha.
        segment_height, segment_width: of a tile or strip; the last strip has fewer rows.
        tiled: whether these are tiles.
        offsets, counts: where each segment begins in the file, and its bytes: int64 `(segments,)`, row by row.
        jpeg_tables: what all JPEG segments share, or nothing.
        colours: of a palette, uint8 `(256, 3)`.
        order: of the bytes, "<" or ">".
    """

    width: int
    height: int
    bits: int
    samples: int
    compression: int
    photometric: int
    predictor: int
    extra: int
    segment_height: int
    segment_width: int
    tiled: bool
    offsets: np.ndarray
    counts: np.ndarray
    jpeg_tables: bytes
    colours: np.ndarray | None
    order: str

    @property
    def across(self) -> int:
        """Segments side by side."""
        return -(-self.width // self.segment_width)

    @property
    def segment_bytes(self) -> int:
        """Of a whole segment once decoded."""
        return self.segment_height * self.segment_width * self.samples * self.bits // 8


def read_directory(file: BinaryIO, page: int, name: str) -> Directory:
    """Read and check what a TIFF says of a page.

    Args:
        page: counted from 0, without smaller copies, as `data.pages` counts; the first is a slide at its full size.
        name: what messages call the file.

    Raises:
        UserError: no TIFF, damaged, too large, or of a kind that is not read by region; it says what to do.
    """
    tags = Tags(file, directory_of(file, page, name), name)
    height, width = tags.number(257, 0), tags.number(256, 0)
    if min(height, width) < 1 or max(height, width) > MAX_SIDE or height * width > MAX_PIXELS:
        raise UserError(
            f"{name}: a TIFF of {width:,} x {height:,} pixels cannot be read; "
            f"crop it or save it smaller, with at most {MAX_PIXELS:,} pixels"
        )
    kind = _kind(tags)
    tiled = 322 in tags.entries
    segment_height = tags.number(323, 0) if tiled else min(tags.number(278, height), height)
    segment_width = tags.number(322, 0) if tiled else width
    if min(segment_height, segment_width) < 1:
        raise tags.damaged("segments without a size")
    # What is not compressed can be entered at any row.
    row_bytes = segment_width * kind["samples"] * kind["bits"] // 8
    parts = 1 if tiled or kind["compression"] != 1 else -(-segment_height * row_bytes // _PART_BYTES)
    if segment_height * row_bytes // parts > MAX_SEGMENT_BYTES:
        what = "tile" if tiled else "strip"
        raise UserError(
            f"{name}: each {what} of {segment_width:,} x {segment_height:,} pixels would have to be decoded whole: "
            "save it as a TIFF in tiles of 256 x 256 pixels"
        )
    segments = -(-height // segment_height) * -(-width // segment_width)
    if segments > MAX_SEGMENTS:
        raise UserError(f"{name}: {segments:,} segments are too many: save it as a TIFF in tiles of 256 x 256 pixels")
    offsets, counts = (tags.values(code, segments)[:segments] for code in ((324, 325) if tiled else (273, 279)))
    if len(offsets) != segments or len(counts) != segments:
        raise tags.damaged(f"{len(offsets)} offsets and {len(counts)} lengths of {segments} segments")
    found = Directory(
        **kind,
        width=width,
        height=height,
        segment_height=segment_height,
        segment_width=segment_width,
        tiled=tiled,
        offsets=offsets,
        counts=counts,
        jpeg_tables=tags.values(347, 1 << 16).astype(np.uint8).tobytes(),
        colours=_colours(tags) if kind["photometric"] == 3 else None,
        order=tags.order,
    )
    _check_segments(found, tags)
    return _in_parts(found, row_bytes, name) if parts > 1 else found


def _kind(tags: Tags) -> dict[str, int]:
    """What the samples are. Raises `UserError` where such are not read by region."""
    bits, samples = tags.number(258, 1), tags.number(277, 1)
    compression, photometric, predictor = tags.number(259, 1), tags.number(262, -1), tags.number(317, 1)
    extra = tags.values(338, 16)

    def refused(what: str) -> UserError:
        return UserError(
            f"{tags.name}: {what} are not read by region: "
            "save it as a grey or RGB TIFF of 8 or 16 bits, in tiles and with deflate"
        )

    if tags.number(284, 1) != 1 and samples > 1:
        raise refused("colours that are stored apart (planar)")
    if bits not in (8, 16) or tags.number(339, 1) != 1:
        raise refused(f"samples of {bits} bits or with a sign")
    if samples not in _KINDS.get(photometric, ()) or (bits == 16 and photometric in (3, 6)):
        raise refused(f"{samples} samples a pixel of kind {photometric}")
    if compression not in COMPRESSIONS or predictor not in (1, 2) or tags.number(266, 1) != 1:
        raise refused(f"pictures of compression {compression} (predictor {predictor})")
    own = COMPRESSIONS[compression]
    if own in _OWN_PICTURES and (bits != 8 or samples not in _OWN_PICTURES[own] or photometric == 3):
        raise refused(f"{own} pictures of {samples} samples and {bits} bits")
    if photometric == 6 and compression != 7:
        raise refused("YCbCr pictures without JPEG")
    if tags.number(274, 1) != 1:
        raise refused("pictures that are stored turned or mirrored (orientation)")
    return {
        "bits": bits,
        "samples": samples,
        "compression": compression,
        "photometric": photometric,
        "predictor": predictor if compression in (5, 8, 32946, 50000) else 1,
        "extra": int(extra[0]) if extra.size else 2,
    }


def _colours(tags: Tags) -> np.ndarray:
    values = tags.values(320, 3 * 256)
    if values.size != 3 * 256:
        raise tags.damaged(f"a palette of {values.size} values")
    return (values.reshape(3, 256).T >> 8).astype(np.uint8)


def _check_segments(found: Directory, tags: Tags) -> None:
    """Segments lie in the file, and none is longer than what it can hold, or shorter where it is not compressed."""
    inside = (found.offsets <= tags.size) & (found.counts <= tags.size - np.minimum(found.offsets, tags.size))
    if not inside.all():
        raise UserError(f"{tags.name}: the TIFF is cut short or damaged: get it anew")
    if found.counts.max() > 2 * found.segment_bytes + (1 << 16) and found.compression != 1:
        raise tags.damaged(f"a segment of {found.counts.max():,} bytes")


def _in_parts(found: Directory, row_bytes: int, name: str) -> Directory:
    """Uncompressed strips as more and shorter ones, all of the same number of rows but for the last of the picture."""
    wanted = max(1, _PART_BYTES // row_bytes)
    strips = len(found.offsets)
    rows = wanted if strips == 1 else next(rows for rows in range(wanted, 0, -1) if found.segment_height % rows == 0)
    tops = np.arange(0, found.height, rows)
    if len(tops) > MAX_SEGMENTS:
        raise UserError(f"{name}: {len(tops):,} parts are too many: save it as a TIFF in tiles of 256 x 256 pixels")
    strip, row = np.divmod(tops, found.segment_height)
    before = row * row_bytes
    lengths = np.minimum(found.counts[strip] - before, rows * row_bytes)
    return replace(found, segment_height=rows, offsets=found.offsets[strip] + before, counts=np.maximum(lengths, 0))
