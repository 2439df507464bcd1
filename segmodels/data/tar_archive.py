"""Reading a tar or tar.gz archive from someone unknown.

`tarfile` decodes the headers, one block at a time. The walk from header to header is done here: `tarfile`'s own takes
long names and extended headers into memory whatever length they claim, follows chains of them until the stack ends, and
takes a damaged header for the end of the archive.
"""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Iterator
from typing import BinaryIO

from segmodels.data.archive import Refused, check_kind
from segmodels.data.members import Limits, Member, decode_name

#: Bytes read at a time.
CHUNK = 1 << 20

#: A member's long name or extended header may have this many bytes.
MAX_HEADER = 1 << 20

_BLOCK = tarfile.BLOCKSIZE


class TarArchive:
    """A tar archive, perhaps in gzip; `members` goes through it from front to back, as often as wanted."""

    def __init__(self, file: BinaryIO, limits: Limits, *, gzipped: bool) -> None:
        """Take an open, seekable `file`."""
        self._file, self._limits, self._gzipped = file, limits, gzipped

    def members(self) -> Iterator[tuple[Member, Iterator[bytes]]]:
        """Every member, checked, with its bytes in pieces, to be taken before the next member or never.

        Raises:
            Refused: a link or device, a bomb, headers without end, data behind the end.
            tarfile.TarError, OSError, EOFError, zlib.error, ValueError: damage.
        """
        self._file.seek(0)
        stream: BinaryIO = gzip.GzipFile(fileobj=self._file, mode="rb") if self._gzipped else self._file  # type: ignore
        walk = _Walk(stream, self._file, self._limits)
        count = 0
        while (member := walk.next_member()) is not None:
            count += 1
            self._limits.check_count(count)
            content = walk.content(member.size)
            yield member, content
            for _ in content:  # what was not taken
                pass
            walk.skip_padding(member.size)
        walk.finish()


class _Walk:
    """One way through a stream, which counts all that comes out of it."""

    def __init__(self, stream: BinaryIO, packed: BinaryIO, limits: Limits) -> None:
        self._stream, self._packed, self._limits = stream, packed, limits
        self._position = 0

    def _read(self, size: int) -> bytes:
        """`size` bytes, fewer only at the end. Everything counts, headers too."""
        data = self._stream.read(size)
        self._position += len(data)
        self._limits.check_size(self._position, self._packed.tell())
        return data

    def _read_all(self, size: int) -> bytes:
        data = self._read(size)
        if len(data) < size:
            raise tarfile.ReadError("it ends early")
        return data

    def next_member(self) -> Member | None:
        """The next member, or None at the end mark, without which an archive was cut off."""
        long_name, extended = b"", dict[bytes, bytes]()
        while (block := self._read_all(_BLOCK)) != bytes(_BLOCK):
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            if header.size < 0:
                raise tarfile.ReadError("a negative size")
            if header.type == tarfile.GNUTYPE_LONGNAME:
                long_name = self._header_data(header.size).partition(b"\0")[0]
            elif header.type in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
                extended |= _records(self._header_data(header.size))
            elif header.type in (tarfile.XGLTYPE, tarfile.GNUTYPE_LONGLINK):
                self._header_data(
                    header.size
                )  # comments of git, and targets of links, which are refused when they come
            else:
                name = extended.get(b"path") or long_name or header.name.encode("utf-8", "surrogateescape")
                return self._member(header, name, extended)
        return None

    def _member(self, header: tarfile.TarInfo, name: bytes, extended: dict[bytes, bytes]) -> Member:
        header.name = decode_name(name, "latin-1")
        check_kind(header)
        if any(key.startswith(b"GNU.sparse") for key in extended):
            raise Refused(f"{header.name[:80]!a} is neither a plain file nor a folder")
        size = 0 if header.isdir() else _number(extended.get(b"size", b"%d" % header.size))
        self._limits.check_size(size, size, f"{header.name[:80]!a}")
        return Member(header.name, size, header.isdir())

    def _header_data(self, size: int) -> bytes:
        if size > MAX_HEADER:
            raise Refused(f"a header of {size:,} bytes")
        return self._read_all(-(-size // _BLOCK) * _BLOCK)[:size]

    def content(self, left: int) -> Iterator[bytes]:
        """The bytes of a member."""
        while left:
            piece = self._read_all(min(left, CHUNK))
            left -= len(piece)
            yield piece

    def skip_padding(self, size: int) -> None:
        """Read on to the block behind a member of `size` bytes."""
        self._read_all(-size % _BLOCK)

    def finish(self) -> None:
        """Read on to the end, where gzip has its checksum. Only padding may follow the end mark."""
        while data := self._read(CHUNK):
            if data.strip(b"\0"):
                raise Refused("it goes on behind its end: of several archives in one file only the first would be read")


def _records(data: bytes) -> dict[bytes, bytes]:
    """The `LENGTH KEY=VALUE` lines of an extended header (POSIX pax). Raises `ValueError` where they are none."""
    records = {}
    position = 0
    while position < len(data):
        space = data.index(b" ", position, position + 20)
        end = position + _number(data[position:space])
        if not space + 1 < end <= len(data) or data[end - 1] != ord("\n"):
            raise ValueError("an extended header of a wrong length")
        key, _, value = data[space + 1 : end - 1].partition(b"=")
        records[key] = value
        position = end
    return records


def _number(text: bytes) -> int:
    if not text.isdigit() or len(text) > 20:
        raise ValueError(f"{text[:20]!r} is no number")
    return int(text)
