"""Reading a zip archive from someone unknown.

`zipfile` reads the directory at the end. It is not believed: every member is compared with the header before its data,
and inflated here in pieces, so that a byte more than it claims, a wrong checksum or two members that share their data
are found before they do harm.
"""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, BinaryIO, cast

from segmodels.data.archive import Refused
from segmodels.data.members import Limits, Member, decode_name

#: Bytes read, and bytes inflated, at a time.
CHUNK = 1 << 20

#: The names of the compression methods one meets, from PKWARE's APPNOTE.TXT, section 4.4.5.
_METHODS = {9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "xz", 98: "PPMd"}

#: Bits of a member's flags: encrypted, compressed patch data, strongly encrypted, the name is UTF-8, masked headers.
_ENCRYPTED, _PATCH, _STRONGLY, _UTF_8, _MASKED = 1 << 0, 1 << 5, 1 << 6, 1 << 11, 1 << 13

_LOCAL_HEADER = struct.Struct("<4s2xHH16xHH")  # signature, flags, method, lengths of the name and the extra field


class ZipArchive:
    """A zip archive; `members` goes through it in the order of its data, as often as wanted."""

    def __init__(self, file: BinaryIO, limits: Limits) -> None:
        """Read the directory of an open, seekable `file`. Raises `Refused` or what `zipfile` raises over damage."""
        file.seek(0, 2)
        self._file, self._limits, self._size = file, limits, file.tell()
        directory = zipfile.ZipFile(cast(IO[bytes], _Directory(file, limits)))
        self._entries = sorted(directory.infolist(), key=lambda entry: entry.header_offset)
        for entry in self._entries:
            entry.filename = decode_name(_raw_name(entry), "cp437")
        self._end = directory.start_dir

    def members(self) -> Iterator[tuple[Member, Iterator[bytes]]]:
        """Every member, checked, with its unpacked bytes in pieces, to be taken before the next member or never.

        Raises:
            Refused: a link, a password, an unknown compression, a bomb, members that overlap or lie about themselves.
            zipfile.BadZipFile, zlib.error: damage.
        """
        self._limits.check_count(len(self._entries))
        end = unpacked = 0
        for entry in self._entries:
            member = _member(entry)
            self._limits.check_size(member.size, entry.compress_size, f"{member.name[:80]!a}")
            unpacked += member.size
            self._limits.check_size(unpacked, self._size)
            if not 0 <= entry.header_offset < self._end:
                raise zipfile.BadZipFile(f"no data of {entry.filename[:80]!a}")
            if entry.header_offset < end:
                raise Refused(f"{member.name[:80]!a} shares its bytes with another member, as in a bomb")
            start = self._data_start(entry)
            end = start + entry.compress_size
            if end > self._end:
                raise zipfile.BadZipFile(f"the data of {member.name[:80]!a} reach into the directory")
            yield member, self._content(entry, start)

    def _data_start(self, entry: zipfile.ZipInfo) -> int:
        """Where a member's data begin, behind its own header, which must say what the directory says."""
        self._file.seek(entry.header_offset)
        header = self._file.read(_LOCAL_HEADER.size)
        if len(header) < _LOCAL_HEADER.size or not header.startswith(b"PK\x03\x04"):
            raise zipfile.BadZipFile(f"no data of {entry.filename[:80]!a}")
        _, flags, method, name_length, extra_length = _LOCAL_HEADER.unpack(header)
        if self._file.read(name_length) != _raw_name(entry) or method != entry.compress_type:
            raise Refused(f"its directory and the header of {entry.filename[:80]!a} contradict each other")
        if flags & (_ENCRYPTED | _STRONGLY):
            raise Refused(_locked(entry.filename))
        return entry.header_offset + _LOCAL_HEADER.size + name_length + extra_length

    def _content(self, entry: zipfile.ZipInfo, start: int) -> Iterator[bytes]:
        """The unpacked bytes: as many as claimed, with the right checksum, or an error."""
        self._file.seek(start)
        size = checksum = 0
        for piece in (self._inflated if entry.compress_type else self._stored)(entry.compress_size):
            size += len(piece)
            if size > entry.file_size:
                raise Refused(f"{entry.filename[:80]!a} unpacks to more than the {entry.file_size:,} bytes it claims")
            checksum = zlib.crc32(piece, checksum)
            yield piece
        if size != entry.file_size or checksum != entry.CRC:
            raise zipfile.BadZipFile(f"{entry.filename[:80]!a} has a wrong checksum or length")

    def _stored(self, left: int) -> Iterator[bytes]:
        while left:
            piece = self._file.read(min(left, CHUNK))
            if not piece:
                raise zipfile.BadZipFile("it ends early")
            left -= len(piece)
            yield piece

    def _inflated(self, left: int) -> Iterator[bytes]:
        inflating = zlib.decompressobj(-zlib.MAX_WBITS)
        packed = b""
        while not inflating.eof:
            if not packed and left:
                packed = self._file.read(min(left, CHUNK))
                left -= len(packed)
            piece = inflating.decompress(packed, CHUNK)
            if not piece and not packed and not inflating.eof:
                raise zipfile.BadZipFile("the data of a member end early")
            packed = inflating.unconsumed_tail
            if piece:
                yield piece
        if left or inflating.unused_data:
            raise zipfile.BadZipFile("the data of a member go on behind their end")


class _Directory:
    """The file as `zipfile` sees it, which reads the whole directory at once and keeps an object for every entry."""

    def __init__(self, file: BinaryIO, limits: Limits) -> None:
        self.seek, self.tell, self._read, self._limits = file.seek, file.tell, file.read, limits
        self._most = (1 << 20) + 300 * limits.members

    def read(self, size: int = -1) -> bytes:
        data = self._read(self._most + 1 if size < 0 else min(size, self._most + 1))
        if len(data) > self._most:
            raise Refused(f"its directory is longer than {self._limits.members:,} files and folders need")
        self._limits.check_count(data.count(b"PK\x01\x02"))  # the signature of an entry
        return data


def _member(entry: zipfile.ZipInfo) -> Member:
    """What the directory says about a member. Raises `Refused` where that is enough to refuse it."""
    name = entry.filename
    kind = stat.S_IFMT(entry.external_attr >> 16)  # of Unix; other systems write 0
    if stat.S_ISLNK(kind):
        raise Refused(f"{name[:80]!a} is a link")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise Refused(f"{name[:80]!a} is neither a plain file nor a folder")
    if entry.flag_bits & (_ENCRYPTED | _STRONGLY | _MASKED) or entry.compress_type == 99:
        raise Refused(_locked(name))
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or entry.flag_bits & _PATCH:
        method = _METHODS.get(entry.compress_type, f"method {entry.compress_type}")
        raise Refused(f"{name[:80]!a} is compressed with {method}: make the archive anew with the usual one, deflate")
    if entry.compress_type == zipfile.ZIP_STORED and entry.compress_size != entry.file_size:
        raise Refused(f"{name[:80]!a} claims two sizes")
    is_folder = name.endswith("/") or stat.S_ISDIR(kind)
    if is_folder and entry.file_size:
        raise Refused(f"{name[:80]!a} is a file and a folder at once")
    return Member(name, entry.file_size, is_folder)


def _raw_name(entry: zipfile.ZipInfo) -> bytes:
    """The bytes of a name, which `zipfile` takes for cp437, where each byte is a letter, unless a flag says UTF-8."""
    return entry.orig_filename.encode("utf-8" if entry.flag_bits & _UTF_8 else "cp437")


def _locked(name: str) -> str:
    return f"{name[:80]!a} is locked with a password: make the archive anew without one"
