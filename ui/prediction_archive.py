"""The pictures of a zip archive that somebody uploaded: they are read in memory, and nothing is written."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import PurePosixPath

from segmodels.data.archive import Refused
from segmodels.data.members import Limits, Member, places
from segmodels.data.zip_archive import ZipArchive
from segmodels.errors import UserError
from ui.prediction_picture import Chosen

#: How a zip archive begins: with a member, or without any.
MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
#: What an archive may unpack to.
LIMITS = Limits(members=5_000, bytes=4 << 30, ratio=500.0)
#: The endings of pictures; what has another one is left out.
ENDINGS = {
    ".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm",
}  # fmt: skip


def pictures_of_archive(content: bytes, *, name: str, identity: str) -> list[Chosen]:
    """The pictures of an archive in the order of their names, none of which is unpacked yet.

    Args:
        content: the bytes of the archive.
        name: what messages call it.
        identity: says which archive it is.

    Raises:
        UserError: it is damaged or a bomb, or there is no picture in it.
    """
    with _explained(name):
        members = [member for member, _ in ZipArchive(io.BytesIO(content), LIMITS).members()]
        paths = places(members, LIMITS)
    found = {
        path: place
        for place, (member, path) in enumerate(zip(members, paths, strict=True))
        if path and not member.is_folder and PurePosixPath(path).suffix.lower() in ENDINGS
    }
    if not found:
        raise UserError(f"{name} has no picture in it: pack files such as JPEG, PNG or TIFF")
    return [
        Chosen(path, f"{identity}/{path}", partial(_unpacked, content, members[found[path]], found[path], name))
        for path in sorted(found)
    ]


def _unpacked(content: bytes, member: Member, place: int, name: str) -> bytes:
    with _explained(f"{member.name} of {name}"):
        for at, (found, pieces) in enumerate(ZipArchive(io.BytesIO(content), LIMITS).members()):
            if at == place and found == member:
                return b"".join(pieces)
    raise UserError(f"{member.name} is not in {name} any more: upload it again")


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn what is raised over a bad archive into one line that names it."""
    try:
        yield
    except Refused as error:
        raise UserError(f"{name} is refused: {error}") from None
    except (
        zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, OverflowError, NotImplementedError,
    ) as error:  # fmt: skip
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise UserError(f"{name} is not a whole archive ({reason}): make it anew and drop it again") from None
