"""One tile or strip of a TIFF: from its bytes in the file to RGB, as `read_image` shows the whole picture."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from segmodels.data.images import rgb
from segmodels.prediction.large.directory import COMPRESSIONS, Directory

#: What Pillow calls the kinds of pictures that it decodes here, and pictures of so many samples.
_PILLOW = {"JPEG 2000": "JPEG2000", "WebP": "WEBP"}
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}

#: What a fourth sample is, by TIFF's number, as Pillow names such pictures.
_ALPHA = {0: "RGBX", 1: "RGBa", 2: "RGBA"}


def decode_segment(data: bytes, directory: Directory, rows: int) -> np.ndarray:
    """Decode a segment: uint8 RGB `(rows, segment width, 3)`.

    16-bit samples are divided by 257, also where none of the picture is over 255: the whole of it is not known.

    Args:
        data: as it lies in the file; a segment of no bytes is black.
        rows: of the segment that lie in the picture; what it has below that is dropped.

    Raises:
        ValueError: damaged, or it holds something else than the directory says. What the codecs of imagecodecs raise
            comes through.
    """
    shape = rows, directory.segment_width, directory.samples
    if not data:
        return np.zeros((*shape[:2], 3), np.uint8)
    kind = COMPRESSIONS[directory.compression]
    if kind == "JPEG":
        samples = _filled(_jpeg(data, directory), shape)
    elif kind in _PILLOW:
        samples = _filled(_opened(data, directory, _PILLOW[kind]), shape)
    else:
        samples = _plain(data, directory, shape)
    return _as_rgb(samples, directory)


def _plain(data: bytes, directory: Directory, shape: tuple[int, int, int]) -> np.ndarray:
    """Any compression of bytes, and the differences of neighbours."""
    unpacked = _decompress(directory.compression)(data, directory.segment_bytes)
    dtype = np.dtype(f"{directory.order}u{directory.bits // 8}")
    count = shape[0] * shape[1] * shape[2]
    if len(unpacked) < count * dtype.itemsize:
        raise ValueError(f"{len(unpacked):,} of {count * dtype.itemsize:,} bytes")
    samples = np.frombuffer(unpacked, dtype, count).reshape(shape).astype(dtype.newbyteorder("="), copy=False)
    if directory.predictor == 2:
        from imagecodecs import delta_decode

        samples = delta_decode(samples, axis=-2)
    return samples


def _decompress(compression: int) -> Callable[[bytes, int], bytes | bytearray]:
    """A function of the bytes and of the most that may come out."""
    if compression == 1:
        return lambda data, _: data
    import imagecodecs

    decode = {
        5: imagecodecs.lzw_decode,
        8: imagecodecs.deflate_decode,
        32946: imagecodecs.deflate_decode,
        32773: imagecodecs.packbits_decode,
        50000: imagecodecs.zstd_decode,
    }[compression]
    return lambda data, most: decode(data, out=most)


def _jpeg(data: bytes, directory: Directory) -> np.ndarray:
    """A JPEG whose size was looked up before it was decoded."""
    from imagecodecs import jpeg_decode

    height, width, samples = _jpeg_shape(data)
    if width > directory.segment_width or height > directory.segment_height or samples != directory.samples:
        raise ValueError(f"a JPEG of {width} x {height} pixels and {samples} samples")
    if b"\xff\xd9" not in data[-64:]:  # the decoder would fill up with grey
        raise ValueError("a JPEG that is cut short")
    # RGB without a transform is what Aperio's scanners write; JFIF always is YCbCr.
    colours = directory.samples == 3
    stored = 2 if directory.photometric == 2 and data[6:10] != b"JFIF" else None
    return jpeg_decode(
        data, tables=directory.jpeg_tables or None, colorspace=stored, outcolorspace=2 if colours else None
    ).reshape(height, width, samples)


def _opened(data: bytes, directory: Directory, form: str) -> np.ndarray:
    """A picture of a kind that Pillow knows, whose size was looked up before it was decoded."""
    with Image.open(io.BytesIO(data), formats=[form]) as picture:
        width, height = picture.size
        if width > directory.segment_width or height > directory.segment_height or picture.mode not in _MODES.values():
            raise ValueError(f"a picture of {width} x {height} pixels of mode {picture.mode}")
        return np.asarray(picture.convert(_MODES[directory.samples])).reshape(height, width, directory.samples)


def _filled(found: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Samples in the shape of their segment; black where they are fewer."""
    found = found[: shape[0]]
    if found.shape == shape:
        return found
    whole = np.zeros(shape, np.uint8)
    whole[: len(found), : found.shape[1]] = found
    return whole


def _jpeg_shape(data: bytes) -> tuple[int, int, int]:
    """Height, width and samples by the frame header of a JPEG of 8 bits (ITU T.81, B.2.2)."""
    place = 2
    while data[:2] == b"\xff\xd8" and place + 10 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF or marker == 0x01 or 0xD0 <= marker <= 0xD8:  # filling, and markers without a length
            place += 1 if marker == 0xFF else 2
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = (int.from_bytes(data[place + at : place + at + 2], "big") for at in (5, 7))
            if data[place + 4] != 8 or min(height, width) < 1:
                break
            return height, width, data[place + 9]
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    raise ValueError("no JPEG of 8 bits")


def _as_rgb(samples: np.ndarray, directory: Directory) -> np.ndarray:
    """Samples `(rows, columns, 1, 3 or 4)` of 8 or 16 bits as uint8 RGB."""
    if directory.bits == 16:  # v / 257 to the nearest, in whole numbers
        samples = ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if directory.samples == 4:
        mode = _ALPHA.get(directory.extra, "RGBA")
        return rgb(Image.frombuffer(mode, samples.shape[1::-1], np.ascontiguousarray(samples), "raw", mode, 0, 1))
    if directory.samples == 3:
        return samples
    grey = samples[..., 0]
    if directory.photometric == 3:
        assert directory.colours is not None
        return directory.colours[grey]
    return np.repeat((255 - grey if directory.photometric == 0 else grey)[..., None], 3, axis=-1)
