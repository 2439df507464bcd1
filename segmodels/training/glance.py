"""What a list of runs needs of their files, read raw and kept until the file changes. Loads no Keras.

The files may hold anything: what comes out is a number or a text of the kind that is asked for, or None.
"""

from __future__ import annotations

import csv
import json
import math
import reprlib
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from segmodels.models.architectures import ARCHITECTURES
from segmodels.recipe import Recipe
from segmodels.training.notes import Notes, notes_of, plain

#: The most bytes of a file that is read.
LIMIT = 2_000_000
#: Files of which is kept what was read; a run has five.
KEPT = 20_000
#: The last second before the year 10000, since 1970.
_LATEST = 253_402_300_799

T = TypeVar("T")
_kept: dict[Path, tuple[tuple[int, ...], Any]] = {}
_lock = threading.Lock()


@dataclass(frozen=True)
class RecipeGlance:
    """What a run trains; `problem` is a line on what is wrong with its recipe, or empty."""

    data: str | None = None
    architecture: str | None = None
    backbone: str | None = None
    image_size: int | None = None
    problem: str = ""


@dataclass(frozen=True)
class StatusGlance:
    """Where a run stands, by its `status.json`; see `overview.Row`."""

    state: str
    error: str | None
    heartbeat: Any
    epoch: int
    epochs: int
    best_epoch: int | None
    mean_iou: float | None
    created: float | None
    started: float | None
    ended: float | None
    waiting_for: str | None
    place: int | None


@dataclass(frozen=True)
class History:
    """The epochs that a run has finished, None where the file is damaged or too long; and the sum of their seconds,
    None where no row says it."""

    epochs: int | None = 0
    seconds: float | None = None


def recipe_at(path: Path) -> RecipeGlance | None:
    """What a `recipe.json` says; None where there is none."""
    return _look(path, _recipe, RecipeGlance(problem="its recipe.json is damaged"))


def status_at(path: Path) -> StatusGlance | None:
    """What a `status.json` says; None where it is missing or damaged."""
    return _look(path, _status, None)


def notes_at(path: Path) -> Notes:
    """What a `notes.json` says."""
    return _look(path, lambda content: notes_of(json.loads(content)), Notes()) or Notes()


def accuracy_at(path: Path, epoch: int | None) -> float | None:
    """The pixel accuracy of a `metrics.json`, if it is that of this epoch."""
    found = _look(path, _accuracy, None)
    return found[1] if found is not None and found[0] == epoch else None


def history_at(path: Path) -> History:
    """What a `metrics.csv` says."""
    return _look(path, _history, History(None)) or History()


def _look(path: Path, parse: Callable[[bytes], T], damaged: T) -> T | None:
    """What `parse` makes of a file, kept by its path, time, size and inode; None where there is no such file."""
    try:
        state = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError):
        return damaged
    signature = (state.st_mtime_ns, state.st_size, state.st_ino, state.st_dev)
    known = _kept.get(path)
    if known is not None and known[0] == signature:
        return known[1]
    value = damaged
    if stat.S_ISREG(state.st_mode) and state.st_size <= LIMIT:
        try:
            with path.open("rb") as file:
                value = parse(file.read(LIMIT))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, RecursionError, csv.Error):
            value = damaged
    with _lock:
        _kept.pop(path, None)
        while len(_kept) >= KEPT:
            del _kept[next(iter(_kept))]
        _kept[path] = (signature, value)
    return value


def _recipe(content: bytes) -> RecipeGlance:
    document = json.loads(content)
    if not isinstance(document, dict):
        raise ValueError
    said = {**{name: Recipe.model_fields[name].default for name in ("architecture", "backbone")}, **document}
    data, architecture, backbone = (_text(said.get(name)) for name in ("data", "architecture", "backbone"))
    size = _whole(said.get("image_size"))
    problem = ""
    if unknown := [name for name in document if name not in Recipe.model_fields]:
        problem = f"its recipe has the field {reprlib.repr(plain(unknown[0]))}, which this version does not know"
    elif architecture is not None and architecture not in ARCHITECTURES:
        problem = f"its recipe has the architecture {reprlib.repr(architecture)}, which this version does not know"
    elif None in (data, architecture, backbone, size):
        problem = "its recipe.json is damaged"
    return RecipeGlance(data, architecture, backbone, size, problem)


def _status(content: bytes) -> StatusGlance | None:
    said = json.loads(content)
    if not isinstance(said, dict) or not isinstance(said.get("state"), str):
        return None
    best = said.get("best")
    best = best if isinstance(best, dict) else {}
    return StatusGlance(
        state=said["state"],
        error=_text(said.get("error")),
        heartbeat=said.get("heartbeat"),
        epoch=_whole(said.get("epoch")) or 0,
        epochs=_whole(said.get("epochs")) or 0,
        best_epoch=_whole(best.get("epoch")),
        mean_iou=_number(best.get("mean_iou")),
        created=time_of(said.get("created")),
        started=time_of(said.get("started")),
        ended=time_of(said.get("ended")),
        waiting_for=_text(said.get("waiting_for")),
        place=_whole(said.get("place")),
    )


def _accuracy(content: bytes) -> tuple[int | None, float | None] | None:
    said = json.loads(content)
    figures = said.get("validation") if isinstance(said, dict) else None
    if not isinstance(figures, dict):
        return None
    return _whole(said.get("epoch")), _number(figures.get("pixel_accuracy"))


def _history(content: bytes) -> History:
    lines = content.decode("utf-8", "replace").splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):  # it is still being written
        lines.pop()
    rows = csv.reader(lines)
    header = next(rows, [])
    places = {name: place for place, name in enumerate(header)}
    epochs, found = 0, []
    for row in rows:
        if _cell(row, places.get("epoch")).isdecimal():
            epochs += 1
        with suppress(ValueError):
            found.append(float(_cell(row, places.get("seconds"))))
    total = sum(found)
    return History(epochs, total if found and math.isfinite(total) else None)


def _cell(row: list[str], place: int | None) -> str:
    return row[place] if place is not None and place < len(row) else ""


def _text(value: Any) -> str | None:
    return plain(value[:1000]) if isinstance(value, str) else None


def _whole(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < 2**53 else None


def _number(value: Any) -> float | None:
    return float(value) if type(value) in (int, float) and abs(value) < 1e300 else None


def time_of(value: Any) -> float | None:
    """Seconds since 1970 that a calendar can show."""
    return float(value) if type(value) in (int, float) and 0 <= value <= _LATEST else None
