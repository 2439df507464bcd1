"""How many scans a JPEG has: each goes over the whole picture again, and a hundred bytes are enough for one."""

from __future__ import annotations

import re
from typing import BinaryIO

#: A picture that is sharpened step by step has about ten scans; libtiff, too, takes no more than a hundred.
MAX_SCANS = 100

#: A marker that ends the data of a scan (ITU T.81, table B.1): neither a stuffed byte, a restart nor a filler.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")

_END, _SCAN = 0xD9, 0xDA


def has_too_many_scans(file: BinaryIO) -> bool:
    """Whether a JPEG has more than `MAX_SCANS`. What follows its end does not count, nor do pictures in its headers."""
    file.seek(0)
    data = file.read()
    scans = 0
    at = 2  # behind the marker of the start
    while found := _MARKER.search(data, at):
        kind = data[found.start() + 1]
        if kind == _END:
            break
        scans += kind == _SCAN
        if scans > MAX_SCANS:
            return True
        at = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
    return False
