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
from PIL import Image, ImageOps

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


def rgb(image: Image.Image) -> np.ndarray:
    """A Pillow picture of any mode as a person sees it: upright, uint8 RGB `(height, width, 3)`."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        image = Image.fromarray(_to_eight_bits(np.asarray(image)))
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        shown = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", shown.size, "white"), shown)
    return np.asarray(image.convert("RGB"), dtype=np.uint8)


def read_mask(source: Path | bytes | BinaryIO, *, name: str | None = None) -> np.ndarray:
    """Read a mask's stored values: uint8 `(height, width)`, palette indices and grey values as they stand.

    Raises:
        UserError: as `read_image`, and where the file holds colours or values over 255 instead of class ids.
    """
    opened = _opened(source, name)
    with opened as image:
        label = opened.label
        if image.mode == "1":
            return np.asarray(image, dtype=np.uint8)
        if image.mode not in ("L", "P", "I", "I;16"):
            raise UserError(f"{label}: a mask holds one class id a pixel, but this is a {image.mode} picture")
        values = np.asarray(image) // opened.grey_step
        if values.size and (values.min() < 0 or values.max() > 255):
            raise UserError(f"{label}: mask value {values.max()} is over 255")
        return values.astype(np.uint8)


def resize_image(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize uint8 `(h, w, 3)`, bilinear with anti-aliasing: how every model here sees a picture at another size."""
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def resize_mask(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize uint8 `(h, w)` by taking the nearest value: class ids are never mixed."""
    if mask.shape == (height, width):
        return mask
    return np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))


class _opened:
    """An opened picture whose kind and pixel count are allowed; every failure inside becomes a `UserError`."""

    def __init__(self, source: Path | bytes | BinaryIO, name: str | None) -> None:
        self.source = source
        self.label = name or _name_of(source)

    def __enter__(self) -> Image.Image:
        source = io.BytesIO(self.source) if isinstance(self.source, bytes) else self.source
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.image = Image.open(source, formats=FORMATS)
                width, height = self.image.size
                if width * height > MAX_PIXELS:
                    self.image.close()
                    raise Image.DecompressionBombError
                # Pillow spreads grey of two and four bits over 0..255; a mask's ids have to be brought together again.
                stored = str(self.image.tile[0].args) if self.image.tile else ""
                self.grey_step = {"L;2": 85, "L;4": 17}.get(stored, 1)
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
