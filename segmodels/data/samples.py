"""Pictures whose samples Pillow cannot hold: several channels of more than eight bits each, floats, separate planes.

Microscopes write such TIFFs. Pillow takes the upper half of each sample of 16 bits, or refuses; here they are read as
they stand, and made eight bits by the same rule as a grey picture of many bits.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from PIL import ExifTags, Image

from segmodels.errors import UserError

if TYPE_CHECKING:
    from tifffile import TiffPage

#: The samples of one picture take no more bytes than this: 64 megapixels of RGBA in 16 bits.
MAX_BYTES = 512_000_000

#: Compressions of a TIFF that cannot unpack to more than the picture takes: none, LZW, Deflate (two numbers), PackBits,
#: Zstandard. The others bring pictures of their own with sizes of their own.
_COMPRESSIONS = (1, 5, 8, 32946, 32773, 50000)
#: Colour spaces of a TIFF: grey with white as 0, grey with black as 0, RGB, CMYK.
WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _CMYK = 0, 1, 2, 5

#: How Pillow calls what a PNG of several channels of 16 bits holds.
DEEP_PNG = ("RGB;16B", "RGBA;16B", "LA;16B")

#: Rows worked on at a time, in samples: what is counted in float64 takes eight times its size.
_STRIPE = 1 << 22


def to_eight_bits(values: np.ndarray, bits: int = 16) -> np.ndarray:
    """Samples of any type as uint8 of the same shape.

    Whole numbers up to 255 stay as they are. Larger ones are divided by what `bits` bits hold, whatever the largest of
    them is, so that two pictures of one camera stay alike. Anything else (floats, negative numbers, more bits) is
    spread from its least to its greatest value; NaN and infinity count as 0.
    """
    stripes = _stripes(values)
    low = min(float(part.min()) for part in map(_finite, stripes))
    high = max(float(part.max()) for part in map(_finite, stripes))
    most = (1 << bits) - 1
    if values.dtype.kind in "iub" and low >= 0 and high <= max(most, 255):
        if high <= 255:
            return values.astype(np.uint8)
        table = np.round(np.arange(most + 1) / (most / 255)).astype(np.uint8)
        return _by_stripes(values, lambda part: table[part])
    if not math.isfinite(high - low):  # more than float64 holds
        return to_eight_bits(values / 4)
    return _by_stripes(
        values, lambda part: np.round((_finite(part).astype(np.float64) - low) / max(high - low, 1e-12) * 255)
    )


def _by_stripes(values: np.ndarray, work: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    out = np.empty(values.shape, np.uint8)
    for part, target in zip(_stripes(values), _stripes(out), strict=True):
        target[:] = work(part)
    return out


def _stripes(values: np.ndarray) -> list[np.ndarray]:
    rows = max(1, _STRIPE // max(1, values[0].size))
    return [values[top : top + rows] for top in range(0, len(values), rows)]


def _finite(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind in "iub":
        return values
    with np.errstate(invalid="ignore"):  # a NaN may be of the kind that signals
        return np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)


def deep_png(data: bytes, transparent: object) -> Image.Image:
    """A PNG of two to four channels of 16 bits each, whose size was checked, with 8 bits a channel.

    Args:
        data: the file.
        transparent: the one colour that is not seen, in 16 bits a channel, as Pillow tells it.
    """
    import imagecodecs

    values = imagecodecs.png_decode(data)
    picture = Image.fromarray(to_eight_bits(values))
    if picture.mode == "RGB" and isinstance(transparent, tuple) and len(transparent) == 3:
        seen = (values != np.array(transparent, values.dtype)).any(axis=-1)
        picture.putalpha(Image.fromarray(seen.astype(np.uint8) * 255))
    return picture


def is_deep_tiff(image: Image.Image) -> bool:
    """Whether an opened TIFF has several channels, of more than eight bits."""
    tags = image.tag_v2  # type: ignore[attr-defined]
    bits = tags.get(ExifTags.Base.BitsPerSample, (1,))
    return int(tags.get(ExifTags.Base.SamplesPerPixel, 1)) > 1 and max(bits, default=1) > 8


def deep_tiff(file: BinaryIO, directory: int, label: str, most_pixels: int) -> Image.Image:
    """The picture of one directory of a TIFF: of one, two, three or four channels, with 8 bits a channel.

    Raises:
        Image.DecompressionBombError: more pixels than `most_pixels`.
        UserError: more channels, another colour space or a compression that is not read here.
        Exception: what tifffile and NumPy raise over damage, of many types.
    """
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it finds wrong is told once, by who asked
    file.seek(0)
    with tifffile.TiffFile(file) as tiff:
        page = tiff.pages[directory]
        assert isinstance(page, tifffile.TiffPage)
        planes, depth, height, width, channels = page.shaped
        if height * width > most_pixels:
            raise Image.DecompressionBombError
        _check(page, label)
        if depth != 1 or not page.size:
            raise ValueError(f"{depth} layers of {width} x {height} pixels")
        values = page.asarray(maxworkers=1).reshape(planes, height, width, channels)
        picture = _picture(np.moveaxis(values, 0, 2).reshape(height, width, planes * channels), page, label)
        picture.getexif()[ExifTags.Base.Orientation] = _orientation(page)
        return picture


def _check(page: TiffPage, label: str) -> None:
    """Refuse what would take too much memory or is not known to be harmless."""
    kind, size = (page.dtype.kind, page.dtype.itemsize) if page.dtype is not None else ("", 0)
    space, compression = int(page.photometric), int(page.compression)
    if kind not in ("b", "u", "i", "f"):
        raise UserError(f"{label}: its samples are of no type that is read here: save it with 8 or 16 bits a channel")
    if space not in (WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _CMYK):
        raise UserError(f"{label}: a TIFF of colour space {space} in this form is not read: save it as RGB")
    if compression not in _COMPRESSIONS:
        raise not_unpacked(label, compression)
    for pieces in (page.shaped, page.chunks):
        if math.prod(pieces) * size > MAX_BYTES:
            raise UserError(f"{label}: its samples take more than {MAX_BYTES // 1_000_000} MB: save it with 8 bits")


def not_unpacked(label: str, compression: int) -> UserError:
    """What a person is told whose TIFF is compressed in a way that is not read here."""
    return UserError(f"{label}: a TIFF with compression {compression} is not read: save it with LZW or Deflate")


def _picture(values: np.ndarray, page: TiffPage, label: str) -> Image.Image:
    """Samples `(height, width, channels)` as a Pillow picture of 8 bits."""
    space, extra = int(page.photometric), tuple(page.extrasamples)
    wanted = {_RGB: 3, _CMYK: 4}.get(space, 1)
    if space <= _BLACK_IS_ZERO and values.shape[-1] == 3:
        wanted = 3  # ImageJ saves three channels so
    others = values.shape[-1] - wanted
    alpha = others > 0 and len(extra) >= others and int(extra[-others]) in (1, 2) and wanted != 4
    if others < 0 or (others > 0 and wanted == 1 and not alpha):
        raise UserError(f"{label}: a picture of {values.shape[-1]} channels: save one, or three as RGB")
    bits = int(page.bitspersample)  # those of 9 to 15 bits are packed, so that the file says what they can hold
    eight = to_eight_bits(values[..., : wanted + alpha], bits if 8 < bits < 16 else 16)
    if space == WHITE_IS_ZERO:
        eight[..., :wanted] = 255 - eight[..., :wanted]
    if space == _CMYK:
        return Image.fromarray(eight, "CMYK")
    if alpha and int(extra[-others]) == 1 and wanted == 3:  # the colours are multiplied by it
        return Image.frombytes("RGBa", eight.shape[1::-1], eight.tobytes()).convert("RGBA")
    return Image.fromarray(eight[..., 0] if eight.shape[-1] == 1 else np.ascontiguousarray(eight))


def _orientation(page: TiffPage) -> int:
    tag = page.tags.get(int(ExifTags.Base.Orientation))
    return tag.value if tag is not None and tag.value in range(1, 9) else 1
