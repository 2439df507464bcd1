"""What is compared: a member is a network or a model, an entry is one of its seeds and what was found of it. Loads no
Keras."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segmodels.conducted import document_of
from segmodels.errors import UserError
from segmodels.evaluation.reports import Report, load_report
from segmodels.training.rows import Row, read_rows
from segmodels.training.runs import Run, find_checkpoint, is_run, runs_folder

#: The files of an entry's results.
FAILURE, SPEED, HISTORY, RECIPE, TRAINING = "failure.json", "speed.json", "history.csv", "recipe.json", "training.json"
CHECKPOINT = "checkpoint.json"
#: The most members, and runs of each.
MOST_MEMBERS, MOST_SEEDS = 64, 20


@dataclass(frozen=True)
class Member:
    """One of what is compared.

    Attributes:
        name: what the table calls it; no two have the same.
        recipe: the fields that its runs are trained by, but for the seed; None of a model that is there already.
        model: the checkpoint or run that is there already; None of what is trained here.
        runs: the directory of the run of each seed, None before it is made; of a model that is there, one None.
    """

    name: str
    recipe: dict[str, Any] | None = None
    model: str | None = None
    runs: tuple[str | None, ...] = (None,)

    def __post_init__(self) -> None:
        """`ValueError` where a field is of another type: a comparison's file may be anybody's."""
        object.__setattr__(self, "runs", tuple(self.runs))
        kinds = (self.name, str), (self.recipe, dict | None), (self.model, str | None)
        if not all(isinstance(value, kind) for value, kind in kinds) or (self.recipe is None) == (self.model is None):
            raise ValueError("a member is a name with a recipe or a model")
        if not self.runs or not all(isinstance(run, str | None) and "\0" not in (run or "") for run in self.runs):
            raise ValueError("a member has paths of runs, or None")
        if self.recipe is not None and type(self.recipe.get("seed", 0)) is not int:
            raise ValueError("a recipe's seed is a number")


@dataclass(frozen=True)
class Entry:
    """A member with one of its seeds: how far it is, and what was found.

    Attributes:
        member: its number, and `seed`, the number of its run among the member's.
        name: of the member.
        state: "waiting", "training", "trained", "evaluated", or "failed".
        said: the reason where it failed, else how far it is, in a line.
        folder: of its results.
        run: the run, where it is one.
    """

    member: int
    seed: int
    name: str
    state: str
    said: str
    folder: Path
    run: Run | None = None

    @property
    def report(self) -> Report | None:
        """Its report on the comparison's split; None before it is evaluated."""
        with suppress(UserError):
            return load_report(self.folder)
        return None

    @property
    def speed(self) -> dict[str, Any]:
        """What the model costs to use, as `measure_speed` gives it; empty before it is measured."""
        return document_of(self.folder / SPEED)

    @property
    def training(self) -> dict[str, Any]:
        """What its training took: seconds, images_per_second, peak_memory_bytes, epochs, best_epoch, device, backend,
        precision; empty of a model that was not trained here."""
        return document_of(self.folder / TRAINING)

    @property
    def history(self) -> list[Row]:
        """`metrics.csv` of its run: a row an epoch."""
        return read_rows(self.folder / HISTORY)

    @property
    def checkpoint(self) -> Path | None:
        """The checkpoint directory that was evaluated, whose kept predictions are the masks; None before that. It may
        have been deleted since."""
        path = document_of(self.folder / CHECKPOINT).get("path")
        return Path(path) if isinstance(path, str) and "\0" not in path else None

    @property
    def other_pictures(self) -> int:
        """How many of the pictures that it was evaluated on are not the comparison's: a run keeps the split that it was
        trained with, so that it is tested on nothing that it has seen."""
        found = document_of(self.folder / CHECKPOINT).get("other_pictures")
        return found if type(found) is int else 0

    @property
    def recipe(self) -> dict[str, Any]:
        """The recipe that it was trained by, as far as it is known."""
        return document_of(self.folder / RECIPE)


def check_members(members: Sequence[Member]) -> None:
    """`UserError` where there are none, too many, or two of one name."""
    if not members:
        raise UserError("nothing to compare: name architectures, recipes or models")
    if len(members) > MOST_MEMBERS or any(len(member.runs) > MOST_SEEDS for member in members):
        raise UserError(f"a comparison takes up to {MOST_MEMBERS} members with {MOST_SEEDS} seeds each")
    names = [member.name for member in members]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"two of the compared are called {twice!r}: name each once")


def checkpoint_of(entry: Entry, member: Member) -> Path:
    """The checkpoint directory of an entry; `UserError` where it is gone, or not there yet."""
    return entry.run.checkpoint() if entry.run is not None and not member.model else find_checkpoint(member.model or "")


def run_of(member: Member, seed: int) -> Run | None:
    """The run of a seed of a member; None before it is made, and of a checkpoint that is none."""
    path = member.runs[seed]
    if member.model is not None:
        with suppress(UserError):
            found = find_checkpoint(member.model)
            path = str(found.parent) if found.name == "best" else None
    if path is None or not is_run(Path(path)):
        return None
    run = Run(path)
    # Of a foreign comparison no run is taken that another folder has: it could be paused, or go on.
    return run if member.model is not None or run.path.parent == runs_folder().resolve() else None


def state_of_run(run: Run, *, trained_here: bool) -> tuple[str, str]:
    """The state of an entry before it is evaluated, and a line on how far its run is."""
    status = run.status()
    state, epoch, epochs = status["state"], status.get("epoch") or 0, status.get("epochs")
    best = status.get("best") or {}
    figure = f", validation mean IoU {best['mean_iou']:.3f}" if best.get("epoch") else ""
    if state == "finished" or (not trained_here and run.has_best):
        return "trained", f"{state}{figure}"
    if state == "failed":
        return "failed", str(status.get("error") or "its training failed")
    if state == "queued":
        return "waiting", str(status.get("phase") or "waiting for its turn")
    return "training", f"{state}, {epoch} of {epochs} epochs{figure}"
