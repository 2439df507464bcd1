"""What an archive that a person brings says it holds, and where in a folder each of its members goes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from segmodels.data.archive import Refused, check_name, is_printable

#: What is unpacked to no more than this is no bomb, however well it was packed.
HARMLESS = 256 << 20

#: Folders within each other; none needs more, and removing a folder takes an open file for each.
MAX_DEPTH = 32

#: What a person can do who knows the archive to be harmless.
_INSTEAD = "if that is right, unpack it yourself and name the folder"

#: What file managers leave behind; "Icon\r" is macOS's.
_JUNK = re.compile(r"(^|/)(__MACOSX(/|$)|(\._[^/]*|\.DS_Store|Thumbs\.db|desktop\.ini|Icon\r)$)", re.IGNORECASE)

_ARCHIVE = re.compile(r"\.(zip|tar|gz|tgz|bz2|tbz2?|xz|txz|zst|7z|rar)$", re.IGNORECASE)


@dataclass(frozen=True)
class Member:
    """One entry of an archive: its name with `/` between the parts, its unpacked bytes, and whether it is a folder."""

    name: str
    size: int
    is_folder: bool


@dataclass(frozen=True)
class Limits:
    """What an archive may unpack to: files and folders, their bytes, and how many times its own size that may be."""

    members: int
    bytes: int
    ratio: float

    def check_count(self, count: int) -> None:
        """Raise `Refused` where there are more members than allowed."""
        if count > self.members:
            raise Refused(f"it holds more than the {self.members:,} files and folders allowed: {_INSTEAD}")

    def check_size(self, unpacked: int, packed: int, what: str = "it") -> None:
        """Raise `Refused` where `packed` bytes of an archive became, or are said to become, too many."""
        if unpacked > self.bytes:
            raise Refused(f"{what} unpacks to more than the {self.bytes:,} bytes allowed: {_INSTEAD}")
        if unpacked > HARMLESS and unpacked > self.ratio * packed:
            raise Refused(f"{what} unpacks to more than {self.ratio:g} times its size, as a bomb does: {_INSTEAD}")


def decode_name(name: bytes, otherwise: str) -> str:
    """The text of a member's name: UTF-8 where it is valid UTF-8, else in the encoding `otherwise`.

    A backslash becomes `/`, as which some packers of Windows mean it.
    """
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError:
        text = name.decode(otherwise)
    return text.replace("\\", "/")


def places(members: Sequence[Member], limits: Limits) -> list[str | None]:
    """Where each member goes, as a path relative to the folder, with `/` between its parts; None for what is left out.

    Left out are the marks of file managers. A part of a name that cannot be shown is replaced by `file-0001` and its
    suffix, the same for the same stem, so that a picture and its mask stay a pair. If everything lies in one folder,
    the paths begin below it.

    Raises:
        Refused: a name that is absolute, climbs, is too long or deep, or has control characters; an archive in the
            archive; two members of one name, whatever its case and composition; no file at all; too many.
    """
    renamed: dict[str, int] = {}
    split = [_parts(member, renamed) for member in members]
    used = [parts for parts in split if parts is not None]
    files = [parts for parts, member in zip(split, members, strict=True) if parts and not member.is_folder]
    if not files:
        raise Refused("it holds no file: pack pictures and masks in it")
    _check_distinct(members, split, limits)
    top = len({parts[0] for parts in used if parts}) == 1 and all(len(parts) > 1 for parts in files)
    return ["/".join(parts[top:]) if parts is not None else None for parts in split]


def _parts(member: Member, renamed: dict[str, int]) -> list[str] | None:
    """The checked parts of a member's name, or None where it is left out."""
    name = member.name
    junk = _JUNK.search(name)
    # What can only not be shown is mended below; what a terminal or a path would obey is not.
    if control := re.search(r"[\x00-\x1f\x7f]", name.removesuffix("Icon\r")):
        raise Refused(f"{name[:80]!a} has a control character ({ord(control[0])}) in its name")
    parts = [_shown(part, renamed) for part in name.split("/")]
    check_name("/".join(parts))
    if junk:
        return None
    parts = [part for part in parts if part not in ("", ".")]
    if len(parts) > MAX_DEPTH:
        raise Refused(f"{name[:80]!a} lies more than {MAX_DEPTH} folders deep")
    if not member.is_folder:
        if not parts:
            raise Refused(f"{name[:80]!a} is no usable file name")
        if _ARCHIVE.search(parts[-1]):
            raise Refused(f"{name[:80]!a} is an archive within the archive: unpack it first and pack everything as one")
    return parts


def _shown(part: str, renamed: dict[str, int]) -> str:
    """A part of a name as it is, or a plain one in its place where it has what cannot be shown."""
    if is_printable(part):
        return part
    suffix = re.search(r"(\.[A-Za-z0-9]{1,8})?$", part)
    assert suffix is not None
    number = renamed.setdefault(part[: suffix.start()], len(renamed) + 1)
    return f"file-{number:04d}{suffix[0]}"


def _check_distinct(members: Sequence[Member], split: Sequence[list[str] | None], limits: Limits) -> None:
    """Refuse two members that are one on some file system, and more folders than there may be members."""
    seen: dict[str, tuple[str, bool]] = {}
    for member, parts in zip(members, split, strict=True):
        for depth, _ in enumerate(parts or (), start=1):
            assert parts is not None
            entry = "/".join(parts[:depth]), depth < len(parts) or member.is_folder
            known = seen.setdefault(_folded(entry[0]), entry)
            if known[1] != entry[1]:
                raise Refused(f"{entry[0][:80]!a} is a file and a folder at once")
            if known == entry and known is not entry and not known[1]:
                raise Refused(f"{entry[0][:80]!a} is in it twice: pack it once")
            if known != entry:
                raise Refused(f"{known[0][:80]!a} and {entry[0][:80]!a} would be one on many disks: rename one")
        limits.check_count(len(seen))


def _folded(path: str) -> str:
    """What two paths have in common that differ only in case or in how their letters are composed."""
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())
