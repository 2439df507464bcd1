"""Rows of the CSV files that a trainer adds to while others read them."""

from __future__ import annotations

import csv
import os
import threading
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: A row by column; numbers as numbers, and None for what is none.
Row = dict[str, Any]

#: Files whose rows are kept, so that a look at a file that has grown reads only what is new.
KEPT_FILES = 64


@dataclass
class _File:
    """What was read of a file: up to where, and what the end looked like, by which a file that was replaced is told."""

    inode: int
    columns: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    offset: int = 0
    tail: bytes = b""


_files: OrderedDict[Path, _File] = OrderedDict()
_lock = threading.Lock()


def read_rows(path: Path) -> list[Row]:
    """The rows of a CSV file; a last line that is still being written is left out.

    Of a damaged file what can be read: a value that is no number is None. A file that has only grown since the last
    look is read on from there, whoever looked. The list is the caller's own, its rows are not to be changed.
    """
    try:
        with path.open("rb") as file, _lock:
            known = _known(path, file)
            _read_on(file, known)
            _files[path] = known
            _files.move_to_end(path)
            while len(_files) > KEPT_FILES:
                _files.popitem(last=False)
            return list(known.rows)
    except OSError:
        return []


def _known(path: Path, file: Any) -> _File:
    """What is kept of a file, or a new beginning where it is not the one that was read."""
    state = os.fstat(file.fileno())
    known = _files.get(path)
    if known and known.inode == state.st_ino and known.offset <= state.st_size:
        file.seek(known.offset - len(known.tail))
        if file.read(len(known.tail)) == known.tail:
            return known
    file.seek(0)
    return _File(state.st_ino)


def _read_on(file: Any, known: _File) -> None:
    new = file.read()
    new = new[: new.rfind(b"\n") + 1]
    if not new:
        return
    known.offset += len(new)
    known.tail = new[-200:]
    lines = new.decode("utf-8", "replace").splitlines(keepends=True)
    with suppress(csv.Error):  # a field without an end; the rows before it are good
        for values in csv.reader(lines):
            if not known.columns:
                known.columns = values
            elif values:
                known.rows.append(_row(known.columns, values))


def _row(columns: list[str], values: list[str]) -> Row:
    values = [*values, *[""] * (len(columns) - len(values))]
    return {name: _number(text) for name, text in zip(columns, values, strict=False) if name}


def _number(text: str) -> float | int | None:
    try:
        number = int(text)
        return number if abs(number) < 2**63 else None  # beyond that it is damage, and in the end no float
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return None
