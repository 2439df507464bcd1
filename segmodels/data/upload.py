"""A person's own data set, brought as one archive: unpacked whole and harmless, or not at all.

Unlike the archives of known sources (`segmodels.data.archive`) nothing is known about it, so that nothing it says is
believed: neither its suffix nor a name, a size or a checksum in it.
"""

from __future__ import annotations

import gzip
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from segmodels.data.archive import Refused, is_printable
from segmodels.data.dataset import Progress
from segmodels.data.disk import Report, Stop, make_folder, need_space
from segmodels.data.members import Limits, Member, places
from segmodels.data.tar_archive import TarArchive
from segmodels.data.zip_archive import ZipArchive
from segmodels.errors import UserError
from segmodels.files import replacing

#: What an upload may unpack to unless it is told otherwise: files and folders, their bytes, and how many times its own
#: size. Zeros deflate to a 1028th; binary masks of pets as 64-bit integers, to a 320th.
MAX_MEMBERS = 100_000
MAX_BYTES = 16 << 30
MAX_RATIO = 500.0

#: How the archives begin that are recognised only to say that they are not taken.
_OTHERS = {
    b"7z\xbc\xaf\x27\x1c": "7-Zip",
    b"Rar!\x1a\x07": "RAR",
    b"\xfd7zXZ\x00": "xz",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "Zstandard",
}


def unpack_upload(
    source: Path | BinaryIO,
    folder: Path,
    *,
    name: str,
    progress: Progress | None = None,
    stop: Stop | None = None,
    max_members: int = MAX_MEMBERS,
    max_bytes: int = MAX_BYTES,
    max_ratio: float = MAX_RATIO,
) -> Path:
    """Unpack a zip, tar or tar.gz archive into one new `folder`, which appears whole or not at all, and return it.

    Every member is checked before the first byte is written, and again while it is. If everything lies in one folder,
    that folder's content is what is unpacked; what file managers leave behind (`__MACOSX`, `.DS_Store`, `Thumbs.db` …)
    is left out. Names that are not UTF-8 are taken for cp437 in a zip and Latin-1 in a tar. Only one process at a time
    may unpack to a folder: hold a lock.

    Args:
        source: a file, or one that is open for reading and seeking, which stays open.
        folder: what it becomes; a folder that is there is replaced as a whole.
        name: what the person calls the archive, for messages.
        progress: called with bytes done, bytes in all, and what is being done.
        stop: asked often; once it returns True this ends with `segmodels.data.disk.Stopped`.
        max_members: files and folders.
        max_bytes: their unpacked bytes together.
        max_ratio: unpacked bytes over those of the archive, where they are more than `members.HARMLESS`.

    Raises:
        Stopped: `stop` returned True; nothing is left of the unpacked files.
        UserError: no such archive, or a damaged one; a password; links, devices or archives in it; names that lead
            outside or are one on many disks; more than is allowed; too little space on the disk.
    """
    report = Report(progress, stop)
    limits = Limits(max_members, max_bytes, max_ratio)
    shown = "".join(letter if is_printable(letter) else "?" for letter in name[:80]) or "the archive"
    with _explained(shown), _opened(source, shown) as file:
        size = file.seek(0, 2)
        archive = _recognised(file, limits)
        members: list[Member] = []
        for member, _ in archive.members():
            members.append(member)
            report(min(file.tell(), size), size, f"checking {shown}")
        paths = places(members, limits)
        make_folder(folder.parent)
        need_space(folder.parent, _space(members, paths))
        with replacing(folder) as beside:
            _write(archive, members, paths, beside, report, f"unpacking {shown}")
    return folder


@contextmanager
def _opened(source: Path | BinaryIO, shown: str) -> Iterator[BinaryIO]:
    if not isinstance(source, Path):
        yield source
        return
    try:
        file = source.open("rb")
    except OSError as error:
        raise UserError(f"{shown} cannot be read ({source}: {error.strerror}): choose another file") from None
    with file:
        yield file


def _recognised(file: BinaryIO, limits: Limits) -> ZipArchive | TarArchive:
    """The archive in a file, by how it begins."""
    file.seek(0)
    start = file.read(tarfile.BLOCKSIZE)
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return ZipArchive(file, limits)
    if start.startswith(b"\x1f\x8b"):
        return TarArchive(file, limits, gzipped=True)
    for magic, other in _OTHERS.items():
        if start.startswith(magic):
            raise Refused(f"it is a {other} archive: pack the files as zip, tar or tar.gz")
    try:
        tarfile.TarInfo.frombuf(start, "utf-8", "surrogateescape")  # the checksum of a header is as good as a magic
    except tarfile.HeaderError:
        raise Refused("it is no zip, tar or tar.gz archive" if start else "it is an empty file") from None
    return TarArchive(file, limits, gzipped=False)


def _space(members: list[Member], paths: list[str | None]) -> int:
    """The bytes that the files take on a disk: whole blocks, and one for each entry and each folder."""
    kept = [(member, path) for member, path in zip(members, paths, strict=True) if path is not None]
    folders = {path.rpartition("/")[0] for _, path in kept}
    return sum(-(-member.size // 4096) * 4096 + 4096 for member, _ in kept) + 4096 * len(folders)


def _write(
    archive: ZipArchive | TarArchive,
    members: list[Member],
    paths: list[str | None],
    folder: Path,
    report: Report,
    what: str,
) -> None:
    """Write the members that have a path: their bytes alone, with the rights of any new file or folder."""
    total = sum(member.size for member, path in zip(members, paths, strict=True) if path is not None)
    done = 0
    made: set[Path] = set()

    def make(path: Path) -> None:
        if path not in made:
            path.mkdir(parents=True, exist_ok=True)
            made.add(path)

    make(folder)
    again = archive.members()
    for expected, relative in zip(members, paths, strict=True):
        member, content = next(again, (None, iter(())))
        if member != expected:
            raise Refused("it changes while it is read")
        if relative is None:
            continue
        path = folder / relative
        if expected.is_folder:
            make(path)
            continue
        make(path.parent)
        try:
            file = path.open("xb")
        except FileExistsError:
            raise Refused(f"{relative[:80]!a} is there already under another spelling: rename one") from None
        with file:
            for piece in content:
                file.write(piece)
                done += len(piece)
                report(done, total, what)
    if next(again, None) is not None:  # a tar is read to its end, where gzip has its checksum
        raise Refused("it changes while it is read")
    report(total, total, what)


@contextmanager
def _explained(shown: str) -> Iterator[None]:
    """Turn what is raised over a bad archive into one line that names it."""
    try:
        yield
    except Refused as error:
        raise UserError(f"{shown} is refused: {error}") from None
    except (
        zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, struct.error,
        EOFError, ValueError, OverflowError, NotImplementedError,
    ) as error:  # fmt: skip
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise UserError(f"{shown} is not a whole archive ({reason}): make it anew or upload it again") from None
    except OSError as error:
        raise UserError(f"{shown} cannot be unpacked here ({error.strerror or error}): choose another place") from None
