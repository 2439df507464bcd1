"""Reading pictures and masks that people and cameras made, safely.

A picture is hostile until it has been decoded within bounds: its kind is checked against a list, its pixel count before
any pixel is decoded, and whatever Pillow raises becomes one line.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageOps

from segmodels.errors import UserError

#: What is accepted, as Pillow names it. Formats that run other programs (EPS) or nest others are left out on purpose.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM")

#: More pixels than this are refused before they are decoded: a few kilobytes can claim billions.
MAX_PIXELS = 64_000_000


def read_image(source: Path | bytes | BinaryIO, *, name: str | None = None) -> np.ndarray:
    """Read any picture as a person sees it: uint8 RGB `(height, width, 3)`.

    Grey, palette, RGBA (over white), CMYK, 16-bit and EXIF-rotated pictures all become RGB 0..255, upright; of an
    animation the first frame is taken. `name` is what messages call the picture.

    Raises:
        UserError: no picture, truncated, of an unknown kind, or over `MAX_PIXELS`.
    """
    with _opened(source, name) as image:
        return rgb(image)


def read_image_at(path: Path, height: int, width: int) -> tuple[np.ndarray, tuple[int, int]]:
    """What `read_image` and `resize_image` give, in less time, and the height and width that the picture has.

    A JPEG of four times the size or more is decoded at a half, a quarter or an eighth, which takes a fraction of the
    time. It keeps twice the size in both directions, so that what comes out differs by some 0.1 of 255 in the mean. Any
    other picture comes out the same to the bit.
    """
    opened = _opened(path, None, (2 * width, 2 * height))
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
    if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:  # else it would be copied
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        image = Image.fromarray(_to_eight_bits(np.asarray(image)))
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        shown = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", shown.size, "white"), shown)
    return image if image.mode == "RGB" else image.convert("RGB")


def read_mask(source: Path | bytes | BinaryIO, *, name: str | None = None) -> np.ndarray:
    """Read a mask's stored values: uint8 `(height, width)`, palette indices and grey values as they stand.

    Raises:
        UserError: as `read_image`, and where the file holds colours or values over 255 instead of class ids.
    """
    opened = _opened(source, name)
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
    opened = _opened(source, name)
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
    with _opened(source, name) as image:
        return np.asarray(image.convert("RGB"), np.uint8)


def _numbers(image: Image.Image, opened: _opened) -> np.ndarray:
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


class _opened:
    """An opened picture whose kind and pixel count are allowed; every failure inside becomes a `UserError`."""

    def __init__(
        self, source: Path | bytes | BinaryIO, name: str | None, enough: tuple[int, int] | None = None
    ) -> None:
        self.source = source
        self.enough = enough  # a width and height that do, where a decoder can give a smaller picture
        self.part: tuple[float, float, float, float] | None = None  # of a smaller one: where the picture lies in it
        self.label = name or _name_of(source)

    def __enter__(self) -> Image.Image:
        source = io.BytesIO(self.source) if isinstance(self.source, bytes) else self.source
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.image = Image.open(source, formats=FORMATS)
                self.size = width, height = self.image.size
                if width * height > MAX_PIXELS:
                    self.image.close()
                    raise Image.DecompressionBombError
                # Pillow spreads grey of two and four bits over 0..255; a mask's ids have to be brought together again.
                stored = str(self.image.tile[0].args) if self.image.tile else ""
                self.grey_step = {"L;2": 85, "L;4": 17}.get(stored, 1)
                if self.enough:
                    drafted = self.image.draft(None, self.enough)
                    self.part = drafted[1] if drafted and self.image.size != self.size else None
                self.image.load()
        except FileNotFoundError:
            raise UserError(f"{self.label}: no such file") from None
        except IsADirectoryError:
            raise UserError(f"{self.label}: a folder, not a picture") from None
        except Image.DecompressionBombError:
            raise UserError(
                f"{self.label}: more than {MAX_PIXELS // 1_000_000} megapixels; crop it or save it smaller"
            ) from None
        except Image.UnidentifiedImageError:
            raise UserError(f"{self.label}: not a picture of a known kind ({', '.join(FORMATS)})") from None
        except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error and more
            raise UserError(f"{self.label}: the picture is truncated or damaged ({_one_line(error)})") from None
        return self.image

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self.image.close()
        if isinstance(error, Exception) and not isinstance(error, (UserError, MemoryError)):
            # Pillow reads some parts, such as EXIF, only when they are asked for.
            raise UserError(f"{self.label}: the picture is damaged ({_one_line(error)})") from None


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


def _to_eight_bits(values: np.ndarray) -> np.ndarray:
    """Integer samples as they are or by their full 16-bit range; anything else from its least to its greatest value."""
    whole = values.dtype.kind in "iub"
    values = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if whole and low >= 0 and high <= 255:
        return values.astype(np.uint8)
    if whole and low >= 0 and high <= 65535:
        return np.round(values / 257).astype(np.uint8)
    return np.round((values - low) / max(high - low, 1e-12) * 255).astype(np.uint8)


def _name_of(source: Path | bytes | BinaryIO) -> str:
    if isinstance(source, (str, Path)):
        return str(source)
    return str(getattr(source, "name", "picture"))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
