"""Opening a picture that nobody has to trust: its kind, its size and its work are bounded before it is decoded."""

from __future__ import annotations

import io
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Any, BinaryIO

from PIL import ExifTags, Image

from segmodels.data.jpeg_scans import MAX_SCANS, has_too_many_scans
from segmodels.data.pages import directory_of, is_tiff, no_page
from segmodels.data.samples import DEEP_PNG, deep_png, deep_tiff, is_deep_tiff, not_unpacked
from segmodels.errors import UserError

#: What is accepted, as Pillow names it. Formats that run other programs (EPS) or nest others are left out on purpose.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM")

#: More pixels than this are refused before they are decoded: a few kilobytes can claim billions.
MAX_PIXELS = 64_000_000

#: A longer side is refused: a JPEG's can be no longer, and nothing shows such a picture.
MAX_SIDE = 65_500

#: A compression of a TIFF that Pillow knows by name alone: its libtiff does without.
_WEBP_IN_TIFF = 50001


class Opened:
    """An opened picture whose kind and pixel count are allowed; every failure inside becomes a `UserError`."""

    def __init__(
        self,
        source: Path | bytes | BinaryIO,
        name: str | None,
        enough: tuple[int, int] | None = None,
        *,
        page: int = 0,
        seen: bool = False,
    ) -> None:
        self.source = source
        self.enough = enough  # a width and height that do, where a decoder can give a smaller picture
        self.part: tuple[float, float, float, float] | None = None  # of a smaller one: where the picture lies in it
        self.label = name or name_of(source)
        self.page = page
        self.seen = seen  # by a person, and not the numbers of a mask

    def __enter__(self) -> Image.Image:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._open(self.source if isinstance(self.source, (str, Path)) else io.BytesIO(self._bytes()))
        except UserError:
            raise
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

    def _bytes(self) -> bytes:
        """What an open file holds: Pillow would close it, but it belongs to who opened it."""
        assert not isinstance(self.source, Path)
        if isinstance(self.source, bytes):
            return self.source
        self.source.seek(0)
        return self.source.read()

    def _open(self, source: Path | BinaryIO) -> None:
        try:
            self._load(source)
        except BaseException:
            if hasattr(self, "image"):
                self.image.close()
            raise

    def _load(self, source: Path | BinaryIO) -> None:
        try:
            self.image: Any = Image.open(source, formats=FORMATS)
            self._turn_to_page()
        except (Image.UnidentifiedImageError, SyntaxError, KeyError):  # SyntaxError: Pillow has no such mode
            if not self.seen:
                raise
            with nullcontext(source) if not isinstance(source, (str, Path)) else Path(source).open("rb") as file:
                file.seek(0)
                if not is_tiff(file.read(4)):
                    raise
                directory = directory_of(file, self.page, self.label)
                self._take(deep_tiff(file, directory, self.label, MAX_PIXELS))
            return
        self.size = width, height = self.image.size
        if width * height > MAX_PIXELS:
            raise Image.DecompressionBombError
        if max(width, height) > MAX_SIDE:
            raise UserError(f"{self.label}: {width} x {height} pixels, a side over {MAX_SIDE:,}; crop it")
        self._check_work()
        if self.seen and (deep := self._deep()):
            self._take(deep)
            return
        # Pillow spreads grey of two and four bits over 0..255; a mask's ids have to be brought together again.
        stored = str(self.image.tile[0].args) if self.image.tile else ""
        self.grey_step = {"L;2": 85, "L;4": 17}.get(stored, 1)
        if self.enough:
            drafted = self.image.draft(None, self.enough)
            self.part = drafted[1] if drafted and self.image.size != self.size else None
        self.image.load()

    def _turn_to_page(self) -> None:
        """Take the page that is asked for, of a picture that was opened."""
        if self.image.format == "TIFF":
            if directory := directory_of(self.image.fp, self.page, self.label):
                self.image.seek(directory)
        elif self.page:
            raise no_page(self.label, self.page, 1)

    def _check_work(self) -> None:
        """Refuse what claims much less than decoding it would take."""
        if self.image.format in ("JPEG", "MPO"):  # the latter holds several
            place = self.image.fp.tell()
            if has_too_many_scans(self.image.fp):
                raise UserError(f"{self.label}: a JPEG of more than {MAX_SCANS} scans, as in a bomb; save it anew")
            self.image.fp.seek(place)
        if self.image.format == "TIFF":
            tags = self.image.tag_v2
            if tags.get(ExifTags.Base.Compression) == _WEBP_IN_TIFF:
                raise not_unpacked(self.label, _WEBP_IN_TIFF)
            sides = tags.get(ExifTags.Base.TileWidth, 0), tags.get(ExifTags.Base.TileLength, 0)
            if sides[0] * sides[1] > MAX_PIXELS:
                raise Image.DecompressionBombError

    def _deep(self) -> Image.Image | None:
        """The picture with its samples taken exactly, where Pillow would cut them, else None."""
        file = self.image.fp
        if self.image.format == "TIFF" and is_deep_tiff(self.image):
            return deep_tiff(file, self.image.tell(), self.label, MAX_PIXELS)
        if self.image.format == "PNG" and self.image.tile and self.image.tile[0].args in DEEP_PNG:
            file.seek(0)
            deep = deep_png(file.read(), self.image.info.get("transparency"))
            deep.getexif()[ExifTags.Base.Orientation] = self.image.getexif().get(ExifTags.Base.Orientation, 1)
            return deep
        return None

    def _take(self, image: Image.Image) -> None:
        """Go on with another picture of the same content."""
        if hasattr(self, "image"):
            self.image.close()
        self.image, self.size = image, image.size

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self.image.close()
        if isinstance(error, Exception) and not isinstance(error, (UserError, MemoryError)):
            # Pillow reads some parts, such as EXIF, only when they are asked for.
            raise UserError(f"{self.label}: the picture is damaged ({_one_line(error)})") from None


def name_of(source: Path | bytes | BinaryIO) -> str:
    """What messages call a picture that has no other name; one line, whatever the name of its file."""
    name = str(source if isinstance(source, (str, Path)) else getattr(source, "name", "picture"))
    return "".join(letter if letter.isprintable() else "?" for letter in name)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
