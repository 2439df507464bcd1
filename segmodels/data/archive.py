"""Unpacking archives that nobody has to trust: a folder appears whole and harmless, or not at all.

It is unpacked beside its place and renamed as a whole, so that an interruption leaves nothing that looks complete.
"""

from __future__ import annotations

import gzip
import re
import shutil
import tarfile
import unicodedata
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from segmodels.data.dataset import Progress
from segmodels.data.disk import Report, Stop, make_folder, need_space, size_of
from segmodels.errors import UserError
from segmodels.files import replacing

#: What archives may hold unless `unpack` is told otherwise; Oxford-IIIT Pet has about 26,000 members and 1 GB.
MAX_MEMBERS = 200_000
MAX_BYTES = 8 << 30


def unpack(
    archives: Sequence[Path],
    folder: Path,
    progress: Progress | None = None,
    stop: Stop | None = None,
    *,
    check: Callable[[Path], None] | None = None,
    max_members: int = MAX_MEMBERS,
    max_bytes: int = MAX_BYTES,
) -> Path:
    """Unpack `.tar.gz` archives into one new `folder`, which appears whole or not at all, and return it.

    Every member of every archive is checked before the first byte is written, and again while it is. `progress` counts
    the bytes of the archives that have been read. Only one process at a time may unpack to a folder: hold a lock.

    Args:
        archives: the files, unpacked one over the other.
        folder: what it becomes; a folder that is there is replaced as a whole.
        check: called with the unpacked folder before it takes its name; what it raises ends the work.
        max_members: files and folders in all archives together.
        max_bytes: their unpacked bytes together.

    Raises:
        Stopped: `stop` returned True; nothing is left of the unpacked files.
        UserError: an archive that is damaged, holds links or devices, would write outside `folder`, or is larger than
            allowed; too little space on the disk.
    """
    report = Report(progress, stop)
    make_folder(folder.parent)
    _remove_leftovers(folder)
    need_space(folder.parent, _go_through(archives, None, report, max_members, max_bytes))
    with replacing(folder) as beside:
        beside.mkdir()
        _go_through(archives, beside, report, max_members, max_bytes)
        if check is not None:
            check(beside)
    return folder


def _remove_leftovers(folder: Path) -> None:
    """Remove what an unpacking that was killed left beside `folder`."""
    left = re.compile(rf"\.{re.escape(folder.name)}\.[0-9a-f]{{8}}\.part")
    for path in folder.parent.iterdir():
        if left.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)


def _go_through(archives: Sequence[Path], into: Path | None, report: Report, max_members: int, max_bytes: int) -> int:
    """Check every member of every archive, write it to `into` unless that is None, and return the disk space it takes.

    The first member that does not pass ends it with `UserError`.
    """
    before, whole = 0, sum(size_of(archive) for archive in archives)
    members = unpacked = space = 0
    for archive in archives:
        what = f"{'checking' if into is None else 'unpacking'} {archive.name}"
        with _explain_damage(archive), archive.open("rb") as packed, _Metered(fileobj=packed) as plain:
            # As a stream: read once from front to back, so nothing seeks past the meter.
            with tarfile.open(fileobj=plain, mode="r|") as tar:
                while (member := tar.next()) is not None:
                    check_kind(member)
                    check_name(member.name)
                    members += 1
                    unpacked += member.size
                    if members > max_members:
                        raise Refused(f"more than the {max_members:,} members allowed")
                    if unpacked > max_bytes:
                        raise Refused(f"unpacks to more than the {max_bytes:,} bytes allowed")
                    plain.allow(member.size)
                    space += -(-member.size // 4096) * 4096 + 4096  # whole blocks, and one for the entry itself
                    # macOS's tar adds a "._NAME" beside every NAME; they are no data, and Oxford's archive has many.
                    if into is not None and not member.name.rpartition("/")[2].startswith("._"):
                        _write(tar, member, into / member.name)
                    report(before + packed.tell(), whole, what)
            # The checksum of the whole stands at the end, behind the padding at which tarfile stops.
            while plain.read(1 << 18):
                pass
        before += size_of(archive)
        report(before, whole, what)
    return space


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    """Write a checked file or folder: its bytes alone, with the rights of any new file, whatever the archive says."""
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    packed = tar.extractfile(member)
    assert packed is not None  # check_kind lets only plain files pass
    with packed, path.open("wb") as file:
        shutil.copyfileobj(packed, file, 1 << 18)


class Refused(Exception):
    """An archive holds something that no data set needs; the message says what."""


class _Metered(gzip.GzipFile):
    """A stream that refuses to be read further than the members so far account for.

    tarfile reads a member's long name or extended header into memory whatever length it claims, before anyone is asked;
    here such a claim ends after a mebibyte, and so does what follows the last member.
    """

    HEADERS = 1 << 20
    left = HEADERS

    def allow(self, size: int) -> None:
        """Let a member's `size` bytes and the next member's headers be read."""
        self.left = size + self.HEADERS

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.left -= len(data)
        if self.left < 0:
            raise Refused("more data than its members account for")
        return data


def check_kind(member: tarfile.TarInfo) -> None:
    """Refuse any member but plain files and folders: no data set needs others."""
    if member.issym() or member.islnk():
        raise Refused(f"{member.name[:80]!a} is a link")
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE) or member.issparse():
        raise Refused(f"{member.name[:80]!a} is neither a plain file nor a folder")


def check_name(name: str) -> None:
    """Refuse any name but a plain relative one, whose parts `/` separates."""
    parts = name.split("/")
    if name.startswith("/") or ".." in parts or "\\" in name or re.match(r"[A-Za-z]:", name):
        raise Refused(f"{name[:80]!a} would be written outside the folder")
    if ":" in name or not is_printable(name) or len(name) > 1000 or any(len(part.encode()) > 255 for part in parts):
        raise Refused(f"{name[:80]!a} is no usable file name")


def is_printable(name: str) -> bool:
    """Whether a name shows as what it is, on one line; unlike `str.isprintable` it takes spaces of any width."""
    return all(letter.isprintable() or unicodedata.category(letter) == "Zs" for letter in name)


@contextmanager
def _explain_damage(archive: Path) -> Iterator[None]:
    """Turn what is raised over a bad archive into one line that names it."""
    try:
        yield
    except Refused as error:
        raise UserError(f"{archive.name}: {error}; refused") from None
    except FileNotFoundError as error:
        raise UserError(f"{error.filename or archive}: no such file") from None
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise UserError(f"{archive.name}: a member is a file and a folder at once; refused") from None
    except (tarfile.TarError, EOFError, OverflowError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{archive}: not a whole .tar.gz archive ({error}); delete it and download it again") from None
