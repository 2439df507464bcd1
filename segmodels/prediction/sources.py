"""The pictures that a person names: files, folders of them, and zip archives.

Each becomes a source with a name of its own, for messages and for the files of its results. What cannot be read becomes
a source too, which says why when it is asked for: one failure never stops the rest.
"""

from __future__ import annotations

import io
import os
import threading
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from segmodels.data.archive import Refused, is_printable
from segmodels.data.datasets import pictures
from segmodels.data.members import Limits, Member, places
from segmodels.data.upload import MAX_BYTES, MAX_MEMBERS, MAX_RATIO
from segmodels.data.zip_archive import ZipArchive
from segmodels.errors import UserError
from segmodels.files import state_of

#: How the names of pictures end, in a folder or an archive; a file that is named by itself may end in anything.
SUFFIXES = pictures.SUFFIXES | {".jpe", ".jfif", ".mpo", ".apng", ".dib", ".btf", ".svs", ".pbm", ".pnm"}

#: A picture in an archive is unpacked into memory up to this size: 64 megapixels of RGBA in 16 bits, and some.
MAX_PICTURE_BYTES = 600 << 20

#: Bytes of a name without its suffix, so that the endings of results have room.
_LONGEST = 150


class Place(Protocol):
    """Where a picture lies, in words that another process understands: a dataclass of text and numbers."""

    def opened(self) -> AbstractContextManager[Path | bytes]:
        """What `Source.read` gives, for the block. Raises `UserError` where there is none to be had."""

    def state(self) -> tuple[object, ...]:
        """What changes when another picture is there."""


@dataclass(frozen=True)
class OnDisk:
    """A file by its absolute path, or a member of an archive by its number there."""

    file: str
    member: int | None = None

    @contextmanager
    def opened(self) -> Iterator[Path | bytes]:
        yield Path(self.file) if self.member is None else _archive(Path(self.file)).read(self.member)

    def state(self) -> tuple[object, ...]:
        return self.file, self.member, state_of([Path(self.file)])


@dataclass(frozen=True)
class Source:
    """One picture: `name` is unique among those found with it and fit for a file, `origin` says where it lies, and
    `place` says it to another process; None of one that was sent, or where there is none to be had."""

    name: str
    origin: str
    _read: Callable[[], Path | bytes]
    place: Place | None = None

    def read(self) -> Path | bytes:
        """The file, or its bytes where it lies in an archive. Raises `UserError` where there is none to be had."""
        return self._read()


def pictures_in(paths: Sequence[Path]) -> list[Source]:
    """The pictures of files, folders and zip archives, in the order of `paths`, those of a folder by name.

    Folders are gone through with all below them. What lies in a folder is called by its way from there
    (`plates/a.png` is `plates-a.png`), and by the folder too where several are named. Two names that differ only in
    suffix or case would share the files of their results: the later one gets a number. Nothing is decoded here.
    """
    return named([(path.name, found_in(path)) for path in map(Path, paths)])


def uploaded_pictures(files: Sequence[tuple[str, bytes]]) -> list[Source]:
    """The same for files that somebody sent, as their names and bytes; those in archives are unpacked one by one."""
    found: list[tuple[str, Sequence[Found]]] = []
    for sent, data in files:
        name = PurePosixPath(sent.replace("\\", "/")).name or "picture"
        found.append((name, _in_zip(name, data) if is_zip(data[:4]) else [Found((name,), name, _always(data))]))
    return named(found)


@dataclass(frozen=True)
class Found:
    """A picture before it has its name: the parts of its way from what was named."""

    parts: tuple[str, ...]
    origin: str
    read: Callable[[], Path | bytes]
    place: Place | None = None


def found_in(path: Path) -> Sequence[Found]:
    """The pictures of a file, a folder or a zip archive, before they have their names."""
    try:
        if path.is_dir():
            return _in_folder(path)
        with path.open("rb") as file:
            if is_zip(file.read(4)):
                return _in_zip(str(path), path)
    except FileNotFoundError:
        return [failing(path.name, str(path), f"{path}: no such file")]
    except OSError as error:
        return [failing(path.name, str(path), f"{path} cannot be read: {error.strerror or error}")]
    return [Found((path.name,), str(path), _always(path), OnDisk(str(path.absolute())))]


def _in_folder(folder: Path) -> Sequence[Found]:
    files = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__MACOSX"]
        files += [Path(place, name) for name in names if is_picture(name) and not name.startswith(".")]
    if not files:
        return [failing(folder.name, str(folder), f"{folder} holds no picture: name a folder that does")]
    ways = sorted((file.relative_to(folder).parts, file) for file in files)
    return [Found(parts, str(file), _always(file), OnDisk(str(file.absolute()))) for parts, file in ways]


def _in_zip(shown: str, source: Path | bytes) -> Sequence[Found]:
    name = Path(shown).name
    try:
        archive = _Archive(name, source)
        kept = [(place, number) for number, place in enumerate(archive.places) if place and is_picture(place)]
        kept = [(place, number) for place, number in kept if not archive.members[number].is_folder]
        if not kept:
            raise UserError(f"{name} holds no picture: pack some in it")
    except UserError as error:
        return [failing(name, shown, str(error))]
    return [
        Found(
            tuple(place.split("/")),
            f"{shown}/{place}",
            lambda number=number: archive.read(number),  # type: ignore[misc]
            OnDisk(str(source.absolute()), number) if isinstance(source, Path) else None,
        )
        for place, number in kept
    ]


@lru_cache(maxsize=4)
def _archive(path: Path) -> _Archive:
    """An archive that is looked through once in this process, for those who know a picture by its `Place` alone."""
    return _Archive(path.name, path)


class _Archive:
    """A zip archive whose members were all checked; they are unpacked when they are asked for, best in their order."""

    def __init__(self, name: str, source: Path | bytes) -> None:
        """Raises `UserError` where a member lies, leads outside, is an archive, a link, locked, or too large."""
        self._name, self._source = name, source
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self._next = 0  # the member that comes next in the file that is open
        limits = Limits(MAX_MEMBERS, MAX_BYTES, MAX_RATIO)
        with _explained(name), self._open() as file:
            self.members = [member for member, _ in ZipArchive(file, limits).members()]
            self.places = places(self.members, limits)
        self._limits = limits
        self._last = max((n for n, place in enumerate(self.places) if place and is_picture(place)), default=0)

    def _open(self) -> BinaryIO:
        return io.BytesIO(self._source) if isinstance(self._source, bytes) else self._source.open("rb")

    def read(self, number: int) -> bytes:
        """The bytes of a member. Raises `UserError` where they are damaged, too many, or the archive has changed."""
        member = self.members[number]
        if member.size > MAX_PICTURE_BYTES:
            megabytes = f"{MAX_PICTURE_BYTES >> 20} MB"
            raise UserError(
                f"{member.name[-80:]!a} in {self._name} has more than {megabytes}: unpack the archive first"
            )
        with self._lock, _explained(self._name):
            try:
                data = b"".join(self._content(number, member))
            except BaseException:
                self._close()  # where the next one begins is not known any more
                raise
            if number == self._last:
                self._close()
            return data

    def _content(self, number: int, member: Member) -> Iterable[bytes]:
        """The pieces of a member, found by going on from the one before."""
        if self._file is None or number < self._next:
            self._close()
            self._file = self._open()
            self._going = ZipArchive(self._file, self._limits).members()
            self._next = 0
        found: tuple[Member | None, Iterator[bytes]] = None, iter(())
        while self._next <= number:
            found = next(self._going, (None, iter(())))
            self._next += 1
        if found[0] != member:
            raise Refused("it changed after it was looked through")
        return found[1]

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn what is raised over a bad archive into one line that names it."""
    shown = _plain(name)
    try:
        yield
    except Refused as error:
        raise UserError(f"{shown} is refused: {error}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OverflowError, NotImplementedError) as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise UserError(f"{shown} is not a whole archive ({reason}): make it anew") from None
    except OSError as error:
        raise UserError(f"{shown} cannot be read: {error.strerror or error}") from None


def named(found: Sequence[tuple[str, Sequence[Found]]]) -> list[Source]:
    """Sources with names of their own: those that are free first, so that no number takes a name from another."""
    holders = sum(len(each) > 1 or each[0].parts != (name,) for name, each in found if each)
    wished = []
    for name, each in found:
        for one in each:
            before = (PurePosixPath(name).stem,) if holders > 1 and one.parts != (name,) else ()
            wished.append(_fit((*before, *one.parts)))
    taken = {_folded(name) for name in wished}
    seen: set[str] = set()
    sources = []
    for name, one in zip(wished, (one for _, each in found for one in each), strict=True):
        stem, suffix = _split(name)
        number = 2
        while _folded(name) in seen or (number > 2 and _folded(name) in taken):
            name = f"{stem}-{number}{suffix}"
            number += 1
        seen.add(_folded(name))
        sources.append(Source(name, one.origin, one.read, one.place))
    return sources


def _fit(parts: tuple[str, ...]) -> str:
    """A way as one file name: its parts joined, what cannot be shown replaced, its end kept where it is too long."""
    stem, suffix = _split(_plain("-".join(parts)))
    stem = stem.encode()[-_LONGEST:].decode("utf-8", "ignore").lstrip("-. ")
    return (stem or "picture") + suffix[:16]


def _plain(text: str) -> str:
    return "".join(letter if is_printable(letter) and letter not in '/\\:*?"<>|' else "_" for letter in text)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", _split(name)[0]).casefold()


def _split(name: str) -> tuple[str, str]:
    """A file's name and its suffix."""
    suffix = PurePosixPath(name).suffix
    return name.removesuffix(suffix), suffix


def failing(name: str, origin: str, reason: str) -> Found:
    """What cannot be read, and says why when it is asked for."""

    def read() -> Path | bytes:
        raise UserError(reason)

    return Found((name or "picture",), origin, read)


def _always(what: Path | bytes) -> Callable[[], Path | bytes]:
    return lambda: what


def is_zip(start: bytes) -> bool:
    """Whether a file is a zip archive, by its first four bytes."""
    return start in (b"PK\x03\x04", b"PK\x05\x06")


def is_picture(name: str) -> bool:
    """Whether a name ends as those of pictures do."""
    return _split(name)[1].lower() in SUFFIXES
