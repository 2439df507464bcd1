"""What a checkpoint directory may hold when it travels: these files and no others."""

from __future__ import annotations

import re
from pathlib import Path

from segmodels.data.disk import megabytes
from segmodels.errors import UserError
from segmodels.hub.checkpoint import SPEC, WEIGHTS

#: The files by name, and the most bytes that one may have.
CONTENTS = {
    SPEC: 4 << 20,
    WEIGHTS: 4 << 30,
    "metrics.json": 16 << 20,
    "history.csv": 16 << 20,
    "README.md": 1 << 20,
}
#: Pictures beside them: how they are called, the most bytes of one, and how many there may be.
PREVIEW = re.compile(r"previews/[\w.-]{1,100}\.png", re.ASCII)
PREVIEW_BYTES, MOST_PREVIEWS = 16 << 20, 50
#: All that may lie in a checkpoint directory: what travels, what was made of it here, and what file managers leave.
BESIDE = {*CONTENTS, "previews", "evaluations", "model.onnx", "split.json", ".DS_Store", "Thumbs.db"}
#: Without these it is no checkpoint.
NEEDED = (SPEC, WEIGHTS)


def contents_of(folder: Path) -> list[str]:
    """The files of a checkpoint directory that travel, by their path in it."""
    previews = sorted(f"previews/{path.name}" for path in folder.glob("previews/*.png"))
    there = [path for path in CONTENTS if (folder / path).is_file()]
    return there + [path for path in previews if PREVIEW.fullmatch(path)][:MOST_PREVIEWS]


def check_contents(folder: Path, called: str | Path) -> None:
    """`UserError` where a folder lacks a file that a checkpoint needs, or has one that nobody would take."""
    if missing := [path for path in NEEDED if not (folder / path).is_file()]:
        raise UserError(f"{called} has no {missing[0]}: copy the checkpoint again")
    for path in contents_of(folder):
        size, most = (folder / path).stat().st_size, most_bytes(path) or 0
        if size > most:
            raise UserError(f"{called}: {path} has {megabytes(size)}, more than the {megabytes(most)} allowed")


def check_target(folder: Path) -> None:
    """`UserError` where a checkpoint directory that is to be written would replace anything else."""
    if folder.exists() and not (folder / SPEC).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is there and is no checkpoint directory: name a new folder")
    others = sorted(path.name for path in folder.iterdir() if path.name not in BESIDE) if folder.exists() else []
    if others:
        raise UserError(f"{folder} holds {others[0]} beside a checkpoint, which would be lost: name a new folder")


def most_bytes(path: str) -> int | None:
    """The most bytes that a file of a checkpoint may have; None where it belongs to none."""
    return CONTENTS.get(path, PREVIEW_BYTES if PREVIEW.fullmatch(path) else None)
