"""List files of splits: `train.txt`, `val.txt` and `test.txt`, a picture a line, at most three folders below.

A line is a picture's name or path, with or without suffix; or the paths of a picture and of its mask; numbers behind
the name do not count. Paths are those of the machine where the list was written: names are compared, nothing is opened
by them.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from segmodels.data.dataset import SPLITS, Finding
from segmodels.data.datasets.own import SPLIT_NAMES
from segmodels.data.datasets.pictures import SUFFIXES

#: A larger list is none.
MAX_BYTES = 100_000_000

#: Pascal VOC's lists for other tasks than segmentation.
_OTHER_TASKS = frozenset(("main", "layout", "action"))

_ENDING = "|".join(suffix[1:] for suffix in sorted(SUFFIXES))
_TWO_PATHS = re.compile(rf"(.+\.(?:{_ENDING}))[\s,;]+(.+\.(?:{_ENDING}))", re.IGNORECASE)
_NAME_AND_NUMBERS = re.compile(r"(\S+)((?:\s+[-+]?\d+)+)")


@dataclass(frozen=True)
class Listed:
    """A line of a list: the split, the picture's and perhaps the mask's path as they stand there, with `/` alone."""

    split: str
    image: str
    mask: str = ""


@dataclass
class SplitLists:
    """The lines of the lists of a folder, those of "train" first and of "test" last, and lists that cannot be read."""

    entries: list[Listed] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def read_split_lists(root: Path) -> SplitLists:
    """Read the list files of the folder nearest to the root that has some.

    `trainval.txt` counts as the training list where there is no `train.txt`.
    """
    lists = SplitLists()
    for folder in folders_below(root, 3):
        if folder.name.lower() in _OTHER_TASKS:
            continue
        found = {split: path for path in _texts(folder) if (split := SPLIT_NAMES.get(path.stem.lower()))}
        whole = next((path for path in _texts(folder) if path.stem.lower() == "trainval"), None)
        if whole is not None:
            found.setdefault("train", whole)
        if not found:
            continue
        for split in SPLITS:
            if split in found:
                _read(found[split], split, root, lists)
        if lists.entries:
            break
    return lists


def stem(path: str) -> str:
    """The name of a listed path without folders, and without suffix if it is a picture's."""
    name = PurePosixPath(path).name
    bare, suffix = os.path.splitext(name)  # noqa: PTH122
    return bare if suffix.lower() in SUFFIXES else name


def folders_below(root: Path, levels: int) -> list[Path]:
    """A folder and those down to some levels below it, the nearest first; links and hidden ones are passed over."""
    found, level = [root], [root]
    for _ in range(levels):
        below: list[Path] = []
        for folder in level[:1000]:
            try:
                entries = [entry for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
            except OSError:
                continue
            below += sorted(Path(entry.path) for entry in entries if not entry.name.startswith("."))
        level = below
        found += level
    return found


def _texts(folder: Path) -> list[Path]:
    try:
        names = [entry.name for entry in os.scandir(folder) if entry.name.lower().endswith(".txt") and entry.is_file()]
    except OSError:
        return []
    return [folder / name for name in sorted(names)]


def _read(path: Path, split: str, root: Path, lists: SplitLists) -> None:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"over {MAX_BYTES // 1_000_000} MB")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)[:100]
        where = path.relative_to(root).as_posix()
        lists.findings.append(
            Finding("bad-list", where, f"the list of a split cannot be read: {reason}", "passed over")
        )
        return
    for line in text.split("\n"):
        line = line.strip().replace("\\", "/")
        if not line or line.startswith("#"):
            continue
        if two := _TWO_PATHS.fullmatch(line):
            lists.entries.append(Listed(split, two[1], two[2]))
        elif numbered := _NAME_AND_NUMBERS.fullmatch(line):
            lists.entries.append(Listed(split, numbered[1]))
        else:
            lists.entries.append(Listed(split, line))
