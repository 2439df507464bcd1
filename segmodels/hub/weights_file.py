"""A weights file by someone unknown, looked through before Keras reads it: plain arrays, and nothing else.

HDF5 can do much that weights never need. A file can name other files of the machine as its data, point into itself in
circles, claim arrays of any size, pack them like a bomb, or ask for plug-ins. Here each object's description is read,
none of its data; what Keras itself does not write is refused. Loads no Keras.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
from h5py import h5a, h5d, h5g, h5l, h5o, h5s, h5t

from segmodels.errors import UserError

#: The first bytes of an HDF5 file; where they come later, something else stands before them.
SIGNATURE = b"\x89HDF\r\n\x1a\n"

#: The largest file that is looked at.
MOST_BYTES = 8 << 30

#: Groups and arrays in a file; a network of 1,000 layers has some 8,000.
MAX_OBJECTS = 50_000

#: Groups within each other; each network within a network takes two or three.
MAX_DEPTH = 40

#: Axes of an array.
MAX_AXES = 8

#: Attributes of a group or an array; Keras writes one.
MAX_ATTRIBUTES = 4

#: Bytes of a number.
MAX_ITEM = 8


class _Refused(Exception):
    """Why a file is not taken."""


def check_weights_file(path: str | Path, *, most_bytes: int = MOST_BYTES) -> dict[str, tuple[int, ...]]:
    """Look through a weights file; returns the shape of each array by its path in the file.

    Args:
        path: an HDF5 file.
        most_bytes: of the file.

    Raises:
        UserError: no HDF5 file, one that is cut short or too large, or one that holds anything but groups and plain
            arrays of numbers, each stored in one piece of its own: links to elsewhere, data in other files, virtual or
            packed arrays, texts and objects, more bytes declared than there are, groups in circles, too many of them.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > most_bytes:
            raise UserError(f"{path} has {size:,} bytes, more than the {most_bytes:,} allowed: refused")
        with path.open("rb") as file:
            if file.read(len(SIGNATURE)) != SIGNATURE:
                raise UserError(_damaged(path, "it is no HDF5 file"))
        with h5py.File(path, "r") as opened:
            if opened.userblock_size:
                raise _Refused("other data stand before its own")
            found = dict(_arrays(opened.id, size))
    except _Refused as error:
        raise UserError(f"{path} is refused as weights: {error}") from None
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except PermissionError:
        raise UserError(f"{path} cannot be read: no permission") from None
    except (OSError, RuntimeError, ValueError, TypeError, KeyError, OverflowError, SystemError, MemoryError) as error:
        raise UserError(_damaged(path, " ".join(str(error).split())[:160])) from None  # h5py has no class of its own
    return found


def _damaged(path: Path, reason: str) -> str:
    return f"{path} is damaged or does not fit any network ({reason}): copy or download it again"


def _arrays(root: Any, size: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Every array of a file of `size` bytes, checked, with its shape. Raises `_Refused`."""
    seen: set[int] = set()
    objects = declared = 0
    waiting: list[tuple[str, Any, int]] = [("", h5g.open(root, b"/"), 0)]
    while waiting:
        name, item, depth = waiting.pop()
        objects += 1
        if objects + len(waiting) > MAX_OBJECTS:
            raise _Refused(f"it holds more than the {MAX_OBJECTS:,} groups and arrays allowed")
        _check_object(item, name, seen)
        if isinstance(item, h5g.GroupID):
            if depth > MAX_DEPTH:
                raise _Refused(f"its groups are more than {MAX_DEPTH} deep")
            children = _children(item, name, MAX_OBJECTS - objects - len(waiting))
            waiting += [(path, child, depth + 1) for path, child in children]
        elif isinstance(item, h5d.DatasetID):
            shape, nbytes = _check_array(item, name, size)
            declared += nbytes
            if declared > size:
                raise _Refused(f"its arrays claim {declared:,} bytes, but the file has {size:,}")
            yield name, shape
        else:
            raise _Refused(f"{name!a} is neither a group nor an array")


def _check_object(item: Any, name: str, seen: set[int]) -> None:
    """Raise `_Refused` where an object was met before, or has attributes that Keras does not write."""
    about = h5o.get_info(item)
    if about.addr in seen or about.rc > 1:
        raise _Refused(f"{name!a} is in it twice, as in a circle")
    seen.add(about.addr)
    if about.num_attrs > MAX_ATTRIBUTES:
        raise _Refused(f"{name!a} has {about.num_attrs:,} attributes")
    for number in range(about.num_attrs):
        attribute = h5a.open(item, index=number)
        if attribute.get_type().get_class() != h5t.STRING or (
            attribute.get_space().get_simple_extent_type() != h5s.SCALAR
        ):
            raise _Refused(f"{name!a} has an attribute that is no text")


def _children(group: Any, name: str, most: int) -> list[tuple[str, Any]]:
    """What a group holds itself, by path; links to elsewhere are not followed. Raises `_Refused`."""
    links: list[tuple[bytes, int]] = []

    def take(child: bytes, link: Any) -> bool | None:
        links.append((child, link.type))
        return True if len(links) > most else None  # True ends it; an exception would not come through HDF5

    group.links.iterate(take, info=True)
    if len(links) > most:
        raise _Refused(f"it holds more than the {MAX_OBJECTS:,} groups and arrays allowed")
    found = []
    for child, kind in links:
        text = child.decode("utf-8", "replace")
        if not 0 < len(text) <= 255 or not text.isprintable() or "/" in text or text in (".", ".."):
            raise _Refused(f"{text[:60]!a} is no name for a group or an array")
        path = f"{name}/{text}" if name else text
        if kind != h5l.TYPE_HARD:
            words = {h5l.TYPE_SOFT: "a link", h5l.TYPE_EXTERNAL: "a link to another file"}
            raise _Refused(f"{path[:80]!a} is {words.get(kind, 'a link of an unknown kind')}")
        found.append((path, h5o.open(group, child)))
    return found


def _check_array(array: Any, name: str, size: int) -> tuple[tuple[int, ...], int]:
    """Shape and bytes of an array in a file of `size` bytes. Raises `_Refused`."""
    what = f"{name[:80]!a}"
    layout = array.get_create_plist()
    if layout.get_external_count():
        raise _Refused(f"{what} has its data in another file")
    if layout.get_layout() == h5d.VIRTUAL:
        raise _Refused(f"{what} is put together from other arrays")
    if layout.get_nfilters():
        raise _Refused(f"{what} is packed, which weights never are")
    if layout.get_layout() not in (h5d.CONTIGUOUS, h5d.COMPACT):
        raise _Refused(f"{what} is in pieces, which weights never are")
    item = _item_size(array)
    if item is None:
        raise _Refused(f"{what} holds something else than numbers")
    space = array.get_space()
    if space.get_simple_extent_type() not in (h5s.SCALAR, h5s.SIMPLE) or array.rank > MAX_AXES:
        raise _Refused(f"{what} is no array of at most {MAX_AXES} axes")
    shape = tuple(int(side) for side in array.shape)
    claimed = math.prod(shape) * item
    if claimed > size or claimed != array.get_storage_size():
        raise _Refused(f"{what} claims {claimed:,} bytes, but {array.get_storage_size():,} are there")
    offset = array.get_offset() if layout.get_layout() == h5d.CONTIGUOUS else None
    if offset is not None and offset + claimed > size:
        raise _Refused(f"the data of {what} reach beyond the end of the file")
    return shape, claimed


def _item_size(array: Any) -> int | None:
    """Bytes of each number; None of anything else. bfloat16 is two bytes that HDF5 has no name for."""
    kind = array.get_type()
    family, item = kind.get_class(), kind.get_size()
    if family == h5t.OPAQUE:
        return item if item == 2 else None
    if family not in (h5t.INTEGER, h5t.FLOAT, h5t.ENUM) or not 0 < item <= MAX_ITEM:
        return None
    number = array.dtype
    # A truth value is an enumeration of one byte.
    fits = (number.kind in "iuf" and number.itemsize == item) or (number.kind == "b" and item == 1)
    return item if fits else None
