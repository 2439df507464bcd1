"""All runs at a glance, hundreds of them: a row each, from their files as they are. Loads no Keras.

What was read of a file is kept until the file changes, so that the second look costs little more than asking the disk
what has changed. Nothing that lies in a run directory, and no run that is deleted meanwhile, makes this fail.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from segmodels.files import explain_disk_errors, whole
from segmodels.training.glance import (
    RecipeGlance,
    StatusGlance,
    accuracy_at,
    history_at,
    notes_at,
    recipe_at,
    status_at,
    time_of,
)
from segmodels.training.notes import FILE
from segmodels.training.runs import ALIVE, RESUMABLE, corrected, is_shown, runs_folder
from segmodels.training.tickets import START_GRACE, is_held, tickets

#: Every state that a run may be in.
STATES = (*ALIVE, *RESUMABLE, "finished")


@dataclass(frozen=True)
class Row:
    """A run in the list; None, and 0 of epochs, where something is not known.

    Attributes:
        id: its name, and `path`, its directory.
        state: as `Run.status` gives it, and so `error`.
        data: of its recipe, as are `architecture`, `backbone` and `image_size`.
        epoch: how many are finished, of `epochs`.
        best_epoch: the best so far; `mean_iou` and `pixel_accuracy` are its validation's.
        created: in seconds since 1970, as is `ended`: of a run that was interrupted, when it was last heard of.
        seconds: spent on its finished epochs.
        note: what a person wrote about it, as are `tags`.
        waiting_for: of a run in the queue, whom it waits for, and `place`, how many are before it.
        readable: whether its recipe is whole and of this version; else `problem` says in a line what is wrong.
    """

    id: str
    path: Path
    state: str
    error: str | None = None
    data: str | None = None
    architecture: str | None = None
    backbone: str | None = None
    image_size: int | None = None
    epoch: int = 0
    epochs: int = 0
    best_epoch: int | None = None
    mean_iou: float | None = None
    pixel_accuracy: float | None = None
    created: float | None = None
    ended: float | None = None
    seconds: float | None = None
    note: str = ""
    tags: tuple[str, ...] = ()
    waiting_for: str | None = None
    place: int | None = None
    readable: bool = True
    problem: str = ""


def overview() -> list[Row]:
    """A row for every run of the home, newest first; also for one of which only a part can be read.

    Raises:
        UserError: the folder of the runs cannot be read.
    """
    folder = runs_folder().resolve()
    if not folder.is_dir():
        return []
    with explain_disk_errors(folder):
        found = [path for path in folder.iterdir() if is_shown(path)]

    @cache
    def launched() -> set[Path]:
        return {Path(ticket.run) for ticket in tickets() if ticket.device is None and ticket.launched}

    rows = [row for path in found if (row := _row(path, launched))]
    return sorted(rows, key=lambda row: (row.created or 0, row.id), reverse=True)


def select(
    rows: Iterable[Row],
    text: str = "",
    states: Collection[str] = (),
    data: str | None = None,
    architecture: str | None = None,
    tags: Collection[str] = (),
) -> list[Row]:
    """The rows that are wanted, in their order; what is left empty asks for nothing.

    Args:
        rows: of `overview`.
        text: words, each of which occurs in the id, the data, the architecture, the backbone, the note or a tag.
        states: one of which the run is in.
        data: its data set, and `architecture`, its architecture.
        tags: all of which the run has. Upper and lower case are the same, here and in `text`.
    """
    words, wanted = text.casefold().split(), {tag.casefold() for tag in tags}
    return [
        row
        for row in rows
        if (not states or row.state in states)
        and (data is None or row.data == data)
        and (architecture is None or row.architecture == architecture)
        and wanted <= {tag.casefold() for tag in row.tags}
        and (not words or _has(row, words))
    ]


def _has(row: Row, words: list[str]) -> bool:
    places = (row.id, row.data or "", row.architecture or "", row.backbone or "", row.note, *row.tags)
    said = "\n".join(places).casefold()
    return all(word in said for word in words)


def _row(path: Path, launched: Callable[[], set[Path]]) -> Row | None:
    """The row of a directory; None where it is no run's, or not one yet."""
    if path.is_symlink():
        path = Path(os.path.realpath(path))  # as `Run` has it
    recipe, status = recipe_at(path / "recipe.json"), status_at(path / "status.json")
    if recipe is None and (status is None or _is_new(status)):
        return None

    def read() -> dict[str, Any] | None:
        nonlocal status
        status = status_at(path / "status.json")
        return vars(status) if status else None

    now = corrected(read, lambda: is_held(path / "lock"), lambda: path in launched())
    state, error = now["state"], now["error"]
    if status is None and not path.is_dir():  # it was deleted meanwhile
        return None
    problem = recipe.problem if recipe else "its recipe.json is missing"
    if status is None and not problem and not os.path.lexists(path / "status.json"):
        problem = "its status.json is missing"
    recipe, notes = recipe or RecipeGlance(), notes_at(path / FILE)
    known, history = status or _UNKNOWN, history_at(path / "metrics.csv")
    return Row(
        id=path.name,
        path=path,
        state=state,
        error=error,
        data=recipe.data,
        architecture=recipe.architecture,
        backbone=recipe.backbone,
        image_size=recipe.image_size,
        epoch=known.epoch if history.epochs is None else history.epochs,
        epochs=known.epochs,
        best_epoch=known.best_epoch,
        mean_iou=known.mean_iou,
        pixel_accuracy=_accuracy(path, known.best_epoch) if known.best_epoch else None,
        created=known.created if known.created is not None else _made(path),
        ended=_ended(state, known),
        seconds=history.seconds,
        note=notes.note,
        tags=notes.tags,
        waiting_for=known.waiting_for,
        place=known.place,
        readable=not problem,
        problem=problem,
    )


_UNKNOWN = StatusGlance("interrupted", None, None, 0, 0, None, None, None, None, None, None, None)


def _is_new(status: StatusGlance) -> bool:
    """Whether a run is just being made: its recipe is written last."""
    beat = time_of(status.heartbeat)
    return beat is not None and abs(time.time() - beat) < START_GRACE


def _accuracy(run: Path, epoch: int) -> float | None:
    return accuracy_at(whole(run / "best") / "metrics.json", epoch)


def _made(path: Path) -> float | None:
    """When a run was made of which no status tells it."""
    for place in (path / "recipe.json", path):
        with suppress(OSError):
            return time_of(place.stat().st_mtime)
    return None


def _ended(state: str, status: StatusGlance) -> float | None:
    if state in ALIVE:
        return None
    if status.ended is not None and status.ended >= (status.started or 0):
        return status.ended
    return time_of(status.heartbeat)
