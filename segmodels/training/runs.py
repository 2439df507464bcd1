"""Runs on disk: the run directory, its status, and who is allowed to write it. Loads no Keras.

The app, the command line and the trainer are separate processes that meet only in these files.
"""

from __future__ import annotations

import os
import re
import reprlib
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from segmodels.data.datasets import DATASETS, portable_name
from segmodels.errors import UserError
from segmodels.files import explain_disk_errors, read_json, slug, user_path, whole, write_json
from segmodels.home import home
from segmodels.hub.names import is_model_name
from segmodels.recipe import Recipe
from segmodels.training.changes import changes_of, in_force, wanted_change
from segmodels.training.placed import in_line
from segmodels.training.queue import leave, waiting, withdraw
from segmodels.training.reporter import Reporter
from segmodels.training.rows import Row, read_rows
from segmodels.training.tickets import START_GRACE, holding, is_held

#: States in which a trainer should be alive; if its lock is free it was interrupted.
ALIVE = ("queued", "running")
#: The state that a request leads to.
ENDED_BY = {"stop": "stopped", "pause": "paused"}
#: What `status.json` says of a run's place in the queue once it does not wait.
NOT_WAITING: dict[str, Any] = {"place": None, "waiting_for": None}
#: What is counted with, or shown as text, of `status.json`; a field of another type is as one that is not there.
STATUS_TYPES: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("epoch", "epochs", "step", "steps_per_epoch", "place", "memory_bytes", "peak_memory_bytes"), int),
    **dict.fromkeys(("seconds_left", "images_per_second", "gpu_use", "started", "ended", "created"), (int, float)),
    **dict.fromkeys(("error", "phase", "waiting_for", "device", "precision", "backend"), str),
    "best": dict,
}
#: Numbers in `status.json` are below this, and not negative; up to here a float has every whole one.
LARGEST = 2**53
#: How the data was split for the training: in a run, and beside a checkpoint that was made here of some.
SPLIT = "split.json"
#: States from which `resume` continues.
RESUMABLE = ("paused", "stopped", "interrupted", "failed")


def runs_folder() -> Path:
    return home() / "runs"


class Run:
    """A run directory, wherever it was started. Anyone may read; only the trainer, which holds the lock, writes."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).resolve()

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def best(self) -> Path:
        """The checkpoint directory of the best epoch so far."""
        return self.path / "best"

    @property
    def has_best(self) -> bool:
        return (whole(self.best) / "segmodels.json").is_file()

    @property
    def last(self) -> Path:
        """The state to resume from."""
        return self.path / "last"

    @property
    def split(self) -> Path:
        """The file that says which picture is in which split, once the training has begun."""
        return self.path / SPLIT

    def snapshot(self, epoch: int) -> Path:
        """The checkpoint directory of an epoch whose weights are kept."""
        return self.path / "epochs" / f"{epoch:04d}"

    def kept_epochs(self) -> list[int]:
        """The epochs whose weights are kept as checkpoints, the best one among them."""
        found = {
            int(path.parent.name) for path in self.path.glob("epochs/*/segmodels.json") if path.parent.name.isdecimal()
        }
        best = self._best_epoch()
        return sorted(found | ({best} if best and self.has_best else set()))

    def _best_epoch(self) -> int | None:
        """Which epoch `best/` holds. Itself says so: the status follows it later."""
        with suppress(UserError, AttributeError):
            epoch = read_json(whole(self.best) / "metrics.json").get("epoch")
            return epoch if type(epoch) is int else None
        return None

    def checkpoint(self, epoch: int | None = None) -> Path:
        """The checkpoint directory of an epoch, or of the best; `UserError` where none is kept."""
        if epoch is None:
            if not self.has_best:
                raise UserError(
                    f"run {self.id} ({self.state}) has no checkpoint yet: it is written after the first epoch"
                )
            return self.best
        if epoch not in (kept := self.kept_epochs()):
            has = f"of epochs {', '.join(map(str, kept))}" if kept else "none"
            raise UserError(f"run {self.id} has no weights of epoch {epoch}: it keeps {has}")
        return self.snapshot(epoch) if self.snapshot(epoch).is_dir() else whole(self.best)

    @property
    def recipe(self) -> Recipe:
        return Recipe.load(self.path / "recipe.json")

    @property
    def recipe_now(self) -> Recipe:
        """The recipe as it stands after all that was changed while the run went."""
        return in_force(self.recipe, changes_of(self.path))

    @classmethod
    def create(cls, recipe: Recipe, path: str | Path | None = None) -> Run:
        """Make a run directory that holds the recipe and the state `queued`.

        Raises:
            UserError: `path` holds a run already, or cannot be written.
        """
        if path is None:
            runs_folder_ = runs_folder()
            stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
            encoder = "" if recipe.backbone == "none" else f"-{recipe.backbone}"
            name = f"{stamp}-{_short(recipe.data)}-{recipe.architecture}{encoder}"
            candidates: Iterator[Path] = (runs_folder_ / f"{name}{f'-{n}' if n else ''}" for n in range(1000))
        else:
            path = user_path(path)
            if (path / "recipe.json").exists():
                raise UserError(f"{path} holds a run already: continue it with --resume, or choose another folder")
            if path.exists() and not path.is_dir():
                raise UserError(f"{path} is a file: name a new folder for the run")
            if path.is_dir() and any(path.iterdir()):
                raise UserError(f"{path} is not empty: choose a new folder for the run")
            candidates = iter((path,))
        for candidate in candidates:
            with explain_disk_errors(candidate):
                candidate.parent.mkdir(parents=True, exist_ok=True)
                try:
                    candidate.mkdir(exist_ok=path is not None)
                except FileExistsError:
                    continue
                run = cls(candidate)
                run.write_status(state="queued", epoch=0, epochs=recipe.epochs, step=0, created=time.time())
                recipe.save(run.path / "recipe.json")  # last: a folder without it is no run
                return run
        raise UserError(f"cannot make a folder for the run below {runs_folder()}")

    def status(self) -> dict[str, Any]:
        """`status.json` as it stands, with `state` corrected to "interrupted" where nobody is at work any more.

        A run in the queue whose process is gone stays "queued": whoever looks next starts it again.
        """
        return corrected(self._read_status, self.locked, self._will_start)

    def _read_status(self) -> dict[str, Any] | None:
        """`status.json` without a judgement, or None where it is missing or damaged."""
        try:
            status = read_json(self.path / "status.json")
        except UserError:
            return None
        if not isinstance(status, dict) or not isinstance(status.get("state"), str):
            return None
        return {key: value for key, value in status.items() if _makes_sense(key, value)}

    def _will_start(self) -> bool:
        ticket = waiting(self.path)
        return in_line(self.path) if ticket is None else ticket.launched

    @property
    def state(self) -> str:
        return self.status()["state"]

    @property
    def was_made_only(self) -> bool:
        """Whether no trainer ever took it, nor was asked to wait."""
        status = self._read_status() or {}
        return status.get("state") == "queued" and "phase" not in status

    @property
    def was_forgotten(self) -> bool:
        """Whether it was made, and whoever made it was killed before it stood in any line."""
        return self.was_made_only and waiting(self.path) is None and not in_line(self.path) and not self.locked()

    def write_status(self, **changes: Any) -> None:
        """Change some fields of `status.json`, as a whole file, and set its heartbeat to now."""
        self.write("status.json", {**(self._read_status() or {}), **changes, "heartbeat": time.time()})

    def write(self, name: str, document: Any) -> None:
        """Replace a JSON file of the run; `UserError` where the run was deleted, whose folder is not made again."""
        if not self.path.is_dir():
            raise UserError(f"there is no run {self.id} any more")
        write_json(self.path / name, document, make_folder=False)

    def history(self) -> list[Row]:
        """`metrics.csv`: a row an epoch."""
        return read_rows(self.path / "metrics.csv")

    def steps(self) -> list[Row]:
        """`steps.csv`: a row a step."""
        return read_rows(self.path / "steps.csv")

    def confusions(self) -> list[Row]:
        """`confusion.csv`: the counts of every validation, by `truth-prediction`."""
        return read_rows(self.path / "confusion.csv")

    def log(self, lines: int = 200) -> str:
        """The end of `log.txt`."""
        try:
            with (self.path / "log.txt").open("rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - 200 * lines))
                text = file.read().decode("utf-8", "replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def request(self, what: str) -> None:
        """Ask the trainer to "stop" or "pause" after its present step, or to wait no longer. `UserError` where none is
        at work."""
        if (state := self.state) not in ALIVE:
            raise UserError(f"run {self.id} is {state}: there is nothing to {what}")
        if state == "queued" and withdraw(self.path):  # nobody is there to ask
            self.write_status(state=ENDED_BY[what], phase=ENDED_BY[what], **NOT_WAITING)
        else:
            self.write("request.json", {"request": what})

    def take_request(self) -> str | None:
        """What was asked of the trainer, once; None where nothing was."""
        try:
            wanted = read_json(self.path / "request.json").get("request")
        except (UserError, AttributeError):
            return None
        finally:
            (self.path / "request.json").unlink(missing_ok=True)
        return wanted if wanted in ENDED_BY else None

    def wait(self, seconds: float = 120.0) -> str:
        """Wait until no trainer is at work any more, nor ending, `seconds` at most; returns the state then."""
        end = time.monotonic() + seconds
        while (self.state in ALIVE or self.locked()) and time.monotonic() < end:
            time.sleep(0.2)
        return self.state

    def delete(self) -> None:
        """Remove the directory for good, of a run that waits too. `UserError` while a trainer is at work in it.

        `trash.delete` is what can be undone.
        """
        from segmodels.training.trash import remove

        remove(self)

    def give_up(self) -> None:
        """Leave the queue, before the run is removed; `UserError` while a trainer is at work in it."""
        if self.state == "queued" and waiting(self.path):
            self.request("stop")
            self.wait(10)
        if (state := self.state) in ALIVE:
            raise UserError(f"run {self.id} is {state}: stop it first")
        leave(self.path)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for this process; `UserError` where another does.

        The operating system frees the lock however the process ends, which a stored process id cannot tell.
        """
        if not self.path.is_dir():  # which the lock would make again
            raise UserError(f"there is no run {self.id} any more")
        with holding(self.path, f"run {self.id} is already being trained by another process"):
            yield

    def locked(self) -> bool:
        """Whether a trainer holds the run."""
        return is_held(self.path / "lock")


def check_resumable(run: Run) -> None:
    """`UserError` unless the run has ended before its last epoch, or was asked for more."""
    status = run.status()
    if status.get("taken"):
        raise UserError(f"run {run.id} was taken finished from the Hub: it cannot go on, start a new run from it")
    more = wanted_change(run.path).get("epochs", 0) > int(status.get("epoch") or 0)
    if (state := status["state"]) not in RESUMABLE and not (state == "finished" and more):
        raise UserError(f"run {run.id} is {state}: only a {', '.join(RESUMABLE)} run can be resumed")


def _makes_sense(key: str, value: Any) -> bool:
    """Whether a field of `status.json` is of the type, and a number of the size, that whoever reads it expects."""
    kind = STATUS_TYPES.get(key)
    if kind is None or value is None:
        return True
    if key == "best":
        return (
            isinstance(value, dict)
            and type(value.get("epoch")) is int
            and isinstance(value.get("mean_iou"), float)
            and 0 <= value["epoch"] < LARGEST
            and 0 <= value["mean_iou"] <= 1
        )
    if not isinstance(value, kind) or isinstance(value, bool):
        return False
    return not isinstance(value, int | float) or 0 <= value < LARGEST


def corrected(
    read: Callable[[], dict[str, Any] | None], locked: Callable[[], bool], will_start: Callable[[], bool]
) -> dict[str, Any]:
    """A status with its `state` as it is: "interrupted" where nobody is at work any more, though it says so.

    Args:
        read: gives `status.json`, or None where it is missing or damaged.
        locked: whether a trainer holds the run.
        will_start: whether the run stands in line and somebody will start it.
    """
    status = read() or {"state": "interrupted", "error": "its status.json is missing or damaged"}
    if status["state"] in ALIVE and not locked():
        fresh = False
        with suppress(TypeError, OverflowError):  # a heartbeat that is no time
            fresh = time.time() - status.get("heartbeat", 0) < START_GRACE
        if status["state"] == "running" or not (fresh or will_start()):
            # Read once more: the trainer may have finished between the two looks.
            status = read() or status
            if status["state"] in ALIVE:
                status = {**status, "state": "interrupted", "error": status.get("error") or "its process ended"}
    return status


def is_run(path: Path) -> bool:
    """Whether a folder is a run's: a recipe alone may be anybody's."""
    return (path / "recipe.json").is_file() and (path / "status.json").is_file()


def is_shown(path: Path) -> bool:
    """Whether a folder among the runs is listed: its name is not hidden, and UTF-8, which is all that a page or a JSON
    document can say."""
    return path.name[0] != "." and not any("\ud800" <= character <= "\udfff" for character in path.name)


def list_runs() -> list[Run]:
    """All runs of the home, newest first."""
    folder = runs_folder()
    found = [path for path in folder.iterdir() if is_shown(path) and is_run(path)] if folder.is_dir() else []
    return [Run(path) for path in sorted(found, key=lambda path: path.name, reverse=True)]


def find_run(name: str | Path) -> Run:
    """A run by its id or its directory; `UserError` where there is none."""
    for path in (Path(name), runs_folder() / str(name)) if str(name) else ():
        with suppress(OSError):  # a name too long for a file is no run's
            if is_run(path):
                return Run(path)
    raise UserError(f"there is no run {reprlib.repr(str(name))}: `python -m segmodels runs list` names them")


def find_checkpoint(name: str | Path, reporter: Reporter | None = None) -> Path:
    """The checkpoint directory that a MODEL names: itself, one below the home, of a run its best epoch, or the one
    that is given as `RUN@EPOCH`, or of `hf://owner/name@revision` what is kept of it, or else is pulled now.

    Args:
        reporter: told how far a pull is.
    """
    if is_model_name(str(name)):
        from segmodels.hub.pull import pulled_or_pull

        return pulled_or_pull(str(name), reporter)
    path = Path(name).expanduser()
    places = [path, home() / str(name)] if re.fullmatch(r"[\w.+-]+", str(name)) else [path]
    for place in places:
        with suppress(OSError):
            if (whole(place) / "segmodels.json").is_file():
                return place
    readings: list[tuple[str, int | None]] = [(str(name), None)]  # a folder may be called so, too
    if found := re.fullmatch(r"(.+)@(\d{1,9})", str(name), re.DOTALL):
        readings.append((found[1], int(found[2])))
    for run, epoch in readings:
        try:
            there = find_run(Path(run).expanduser())
        except UserError:
            continue
        return there.checkpoint(epoch)
    raise UserError(
        f"{reprlib.repr(str(name))} is neither a checkpoint directory nor a run: give a folder with a "
        "segmodels.json, an id of `python -m segmodels runs list`, or hf://owner/name"
    )


def owner(checkpoint: Path) -> Path | None:
    """The directory of the run that a checkpoint directory lies in; None of one by itself."""
    kept = checkpoint.parent
    run = kept if checkpoint.name == "best" else kept.parent if kept.name == "epochs" else None
    return run if run and is_run(run) else None


def whereabouts() -> dict[str, Any]:
    """Which process on which host writes a run, for people to read; liveness is the lock's."""
    return {"pid": os.getpid(), "host": socket.gethostname()}


def _short(data: str) -> str:
    """What a data set is called in the name of a run: a folder by its last part, without prefixes and slashes."""
    return data if data in DATASETS else slug(portable_name(data).rpartition(":")[2].rpartition("/")[2], most=40)
