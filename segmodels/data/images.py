"""Reading pictures and masks that people and cameras made, safely.

A picture is hostile until it has been decoded within bounds: its kind is checked against a list, its pixel count before
any pixel is decoded, and whatever Pillow raises becomes one line.
"""

from __future__ import annotations

import io
from contextlib import nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageOps

from segmodels.data.opened import FORMATS, MAX_PIXELS, Opened, name_of
from segmodels.data.pages import pages
from segmodels.data.samples import WHITE_IS_ZERO, to_eight_bits
from segmodels.errors import UserError

__all__ = [
    "FORMATS", "MAX_PIXELS", "encoded", "fitted", "page_count", "read_image", "read_image_at", "read_mask",
    "read_mask_colours", "read_mask_values", "resize_image", "resize_mask", "rgb",
]  # fmt: skip


def read_image(source: Path | bytes | BinaryIO, *, name: str | None = None, page: int = 0) -> np.ndarray:
    """Read any picture as a person sees it: uint8 RGB `(height, width, 3)`.

    Grey, palette, RGBA (over white), CMYK, 16-bit and EXIF-rotated pictures all become RGB 0..255, upright; of an
    animation the first frame is taken. `name` is what messages call the picture, `page` the page of a TIFF, from 0.

    Raises:
        UserError: no picture, truncated, of an unknown kind, over `MAX_PIXELS`, or without such a page.
    """
    with Opened(source, name, page=page, seen=True) as image:
        return rgb(image)


def page_count(source: Path | bytes | BinaryIO) -> int:
    """How many pages `read_image` can be asked for: those of a TIFF that are no reduced copies or masks, else 1.

    Nothing is decoded, so that a page may still turn out to be damaged. Raises `UserError` where no file can be read.
    """
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        with nullcontext(file) if not isinstance(file, (str, Path)) else Path(file).open("rb") as opened:
            return max(1, sum(1 for _ in pages(opened)))
    except OSError as error:
        raise UserError(f"{name_of(source)} cannot be read: {error.strerror or error}") from None


def read_image_at(path: Path, height: int, width: int) -> tuple[np.ndarray, tuple[int, int]]:
    """What `read_image` and `resize_image` give, in less time, and the height and width that the picture has.

    A JPEG of four times the size or more is decoded at a half, a quarter or an eighth, which takes a fraction of the
    time. It keeps twice the size in both directions, so that what comes out differs by some 0.1 of 255 in the mean. Any
    other picture comes out the same to the bit.
    """
    opened = Opened(path, None, (2 * width, 2 * height), seen=True)
    with opened as image:
        turned = _turned(image)
        if opened.part is None:
            picture = _seen(image).resize((width, height), Image.Resampling.BILINEAR)
        else:  # the last row and column may be filled up, which is known of the picture as it is stored
            stored = (height, width) if turned else (width, height)
            picture = _seen(image.resize(stored, Image.Resampling.BILINEAR, box=opened.part))
        return np.asarray(picture), opened.size if turned else opened.size[::-1]


def rgb(image: Image.Image) -> np.ndarray:
    """A Pillow picture of any mode as a person sees it: upright, uint8 RGB `(height, width, 3)`."""
    return np.asarray(_seen(image), dtype=np.uint8)


def _turned(image: Image.Image) -> bool:
    """Whether a camera was held upright, so that height and width change places."""
    return image.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8)


def _seen(image: Image.Image) -> Image.Image:
    stored: Any = getattr(image, "tag_v2", {})
    if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:  # else it would be copied
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        image = _grey(image, stored)
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        shown = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", shown.size, "white"), shown)
    return image if image.mode == "RGB" else image.convert("RGB")


def _grey(image: Image.Image, tags: Any) -> Image.Image:
    """Grey of many bits as grey of eight, by the `tags` of a TIFF."""
    bits = 12 if tags.get(ExifTags.Base.BitsPerSample) in (12, (12,)) else 16  # of 16 bits, Pillow's mode
    eight = to_eight_bits(np.asarray(image), bits)
    if tags.get(ExifTags.Base.PhotometricInterpretation) == WHITE_IS_ZERO:  # Pillow turns those of 8 bits, no others
        eight = 255 - eight
    return Image.fromarray(eight)


def read_mask(source: Path | bytes | BinaryIO, *, name: str | None = None) -> np.ndarray:
    """Read a mask's stored values: uint8 `(height, width)`, palette indices and grey values as they stand.

    Raises:
        UserError: as `read_image`, and where the file holds colours or values over 255 instead of class ids.
    """
    opened = Opened(source, name)
    with opened as image:
        values = _numbers(image, opened)
        if values.size and (values.min() < 0 or values.max() > 255):
            raise UserError(f"{opened.label}: mask value {values.max()} is over 255")
        return values.astype(np.uint8)


def read_mask_values(source: Path | bytes | BinaryIO, *, name: str | None = None) -> np.ndarray:
    """Read a mask's stored numbers of any size: uint8, uint16 or int32 `(height, width)`.

    As `read_mask`, but numbers may exceed 255, a picture in colours whose channels are all equal counts as grey, and
    transparency is dropped. Raises `UserError` as `read_image`, and where the file holds colours.
    """
    opened = Opened(source, name)
    with opened as image:
        if image.mode in ("LA", "PA"):
            return np.ascontiguousarray(np.asarray(image)[..., 0])
        if image.mode in ("RGB", "RGBA"):
            pixels = np.asarray(image)
            if (pixels[..., 1:3] == pixels[..., :1]).all():
                return np.ascontiguousarray(pixels[..., 0])
        return _numbers(image, opened)


def read_mask_colours(source: Path | bytes | BinaryIO, *, name: str | None = None) -> np.ndarray:
    """Read a mask's stored colours: uint8 `(height, width, 3)`; those of a palette looked up, transparency dropped.

    Unlike in `read_image` nothing is turned or laid over white. Raises `UserError` as that does.
    """
    with Opened(source, name) as image:
        return np.asarray(image.convert("RGB"), np.uint8)


def _numbers(image: Image.Image, opened: Opened) -> np.ndarray:
    """The stored numbers of a mask: `(height, width)`, of any integer type."""
    if image.mode == "1":
        return np.asarray(image, dtype=np.uint8)
    if image.mode not in ("L", "P", "I") and not image.mode.startswith("I;16"):
        raise UserError(f"{opened.label}: a mask holds one class id a pixel, but this is a {image.mode} picture")
    return np.asarray(image) // opened.grey_step


def resize_image(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize uint8 `(h, w, 3)`, bilinear with anti-aliasing: how every model here sees a picture at another size."""
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def resize_mask(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize uint8 class ids or int32 object numbers `(h, w)` by taking the nearest value: they are never mixed."""
    if mask.shape == (height, width):
        return mask
    return np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))


def fitted(height: int, width: int, side: int) -> tuple[int, int]:
    """Height and width in the same proportion with no side longer than `side`; never larger than they are."""
    scale = min(1.0, side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def encoded(picture: np.ndarray | Image.Image, form: str, **how: int) -> bytes:
    """The bytes of a file of a picture, or of a map of numbers; `form` and `how` are Pillow's."""
    buffer = io.BytesIO()
    opened = picture if isinstance(picture, Image.Image) else Image.fromarray(np.ascontiguousarray(picture))
    opened.save(buffer, form, **how)
    return buffer.getvalue()
