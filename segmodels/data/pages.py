"""Which directories of a TIFF are its pages.

A TIFF is a chain of directories, each of one picture. Some are reduced copies of another one (the levels of a pyramid,
a thumbnail) or a mask that belongs to another one: those are no pages. The chain is followed here by hand, and no
further than the file can hold: a directory may point anywhere, back to itself too.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO

from segmodels.errors import UserError

#: More pages than this are not counted.
MAX_PAGES = 65_536

#: Tags of TIFF 6.0, section 8, and of its first edition, by their numbers.
_NEW_SUBFILE_TYPE, _SUBFILE_TYPE = 254, 255
#: Bits of the former: a reduced copy, a mask. The latter says with 2 that it is a reduced copy.
_REDUCED, _MASK = 1, 4
_OLD_REDUCED = 2


def is_tiff(start: bytes) -> bool:
    """Whether a file that begins with these bytes, four or more, is a TIFF or a BigTIFF."""
    return start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def pages(file: BinaryIO) -> Iterator[int]:
    """Of each page of a TIFF the number of its directory in the chain, from 0; if all are copies, then all of them.

    They are found one by one, so that the first costs no more in a file of thousands. The chain ends where it breaks.
    """
    found = False
    copies = []
    for number, kept in enumerate(islice(_directories(file), MAX_PAGES)):
        if kept:
            found = True
            yield number
        else:
            copies.append(number)
    if not found:
        yield from copies


def directory_of(file: BinaryIO, page: int, label: str) -> int:
    """The number of the directory of a page. Raises `UserError` where there is no such page; it says how many are."""
    found = next(islice(pages(file), page, None), None) if page >= 0 else None
    if found is None and page != 0:
        raise no_page(label, page, max(1, sum(1 for _ in pages(file))))
    return found or 0  # of a file without any, the reader says what is wrong with it


def no_page(label: str, page: int, count: int) -> UserError:
    """What a person is told who asks for a page that is not there."""
    there = "the only one is page 0" if count == 1 else f"there are {count:,}, from 0 to {count - 1}"
    return UserError(f"{label} has no page {page}: {there}")


def _directories(file: BinaryIO) -> Iterator[bool]:
    """Of each directory in turn, whether it is a page."""
    size = file.seek(0, 2)
    file.seek(0)
    start = file.read(16)
    if not is_tiff(start):
        return
    order = "<" if start[:1] == b"I" else ">"
    big = start[2:4] in (b"+\0", b"\0+")
    # How the number of entries, one entry and a place in the file are written; an entry ends with its value.
    count_form, entry, place_form = (order + "Q", 20, order + "Q") if big else (order + "H", 12, order + "I")
    place = _number(place_form, start[8:16] if big else start[4:8])
    left = size  # directories lie side by side: together they are no longer than the file
    seen = set()
    while place and place not in seen:
        seen.add(place)
        if place >= size:
            return
        file.seek(place)
        count = _number(count_form, file.read(struct.calcsize(count_form)))
        left -= count * entry
        if not count or left < 0:
            return
        entries = file.read(count * entry)
        if len(entries) < count * entry:
            return
        yield _is_page(entries, entry, order)
        place = _number(place_form, file.read(struct.calcsize(place_form)))


def _is_page(entries: bytes, entry: int, order: str) -> bool:
    for at in range(0, len(entries), entry):
        tag, kind = struct.unpack_from(order + "HH", entries, at)
        if tag > _SUBFILE_TYPE:  # they are in order
            break
        if tag in (_NEW_SUBFILE_TYPE, _SUBFILE_TYPE) and kind in (3, 4):  # of 16 or 32 bits, at the front of its field
            value = _number(order + ("H" if kind == 3 else "I"), entries[at + (entry - 4) // 2 + 4 :][:4])
            if value & (_REDUCED | _MASK) if tag == _NEW_SUBFILE_TYPE else value == _OLD_REDUCED:
                return False
    return True


def _number(form: str, data: bytes) -> int:
    """The number at the front of `data`, or 0 where the file ended."""
    size = struct.calcsize(form)
    return int(struct.unpack(form, data[:size])[0]) if len(data) >= size else 0
