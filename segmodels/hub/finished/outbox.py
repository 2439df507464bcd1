"""What is to be sent to the Hub: the best weights of finished runs, in the background, as soon as there is a network.

`home()/outbox/FINGERPRINT.json` says which run, and where to. A process of its own, `python -m segmodels cache send`,
sends what is there, one at a time in a home; what cannot be sent stays, with the reason, until whoever starts a run or
shows one starts the sender again. Loads no Keras.
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from segmodels.errors import UserError
from segmodels.files import explain_disk_errors, read_json, sweep, whole, write_json
from segmodels.home import home
from segmodels.hosted import limits
from segmodels.hub.finished.fingerprint import content, described, digest
from segmodels.hub.finished.offers import FOLDER
from segmodels.hub.finished.sending import about_run, send_run, unfit
from segmodels.hub.finished.settings import hub_repository
from segmodels.hub.names import parse_model
from segmodels.hub.repository import Unreachable
from segmodels.process import start
from segmodels.training.reporter import Reporter
from segmodels.training.runs import Run, is_run
from segmodels.training.start import kept_teachers
from segmodels.training.tickets import is_held

#: Seconds until an entry that could not be sent is tried again in the background.
AGAIN = 300.0
#: Seconds in which a sender that was started is not started once more.
STARTING = 20.0
#: Bytes of the log from which on only its end is kept, and how much of it.
LONG, END = 1_000_000, 100_000

Outcome = Literal["sent", "there", "dropped", "waiting"]


@dataclass(frozen=True)
class Waiting:
    """An entry: a run that is to be sent.

    Attributes:
        fingerprint: of its training.
        repository: `owner/name`.
        run: its directory.
        epoch: of its best checkpoint, which may be another by the time that it is sent.
        about: what `finished.json` will say of it.
        queued, tried: when, in seconds since 1970; `tried` is 0 before the first time.
        error: why it could not be sent the last time.
    """

    fingerprint: str
    repository: str
    run: str
    epoch: int
    about: dict[str, Any] = field(default_factory=dict, repr=False)
    queued: float = field(default_factory=time.time)
    tried: float = 0.0
    error: str = ""

    @property
    def path(self) -> Path:
        return outbox_folder() / f"{self.fingerprint}.json"

    @property
    def due(self) -> bool:
        """Whether it is to be tried in the background."""
        return not 0 <= time.time() - self.tried < AGAIN

    def save(self) -> None:
        write_json(self.path, asdict(self))


@dataclass(frozen=True)
class Sent:
    """What became of an entry: "sent" now, "there" before, "dropped", or "waiting"; and a line on it."""

    fingerprint: str
    repository: str
    run: str
    outcome: Outcome
    said: str


def outbox_folder() -> Path:
    return home() / "outbox"


def waiting() -> list[Waiting]:
    """What is to be sent, in the order in which it came; damaged entries are left out."""
    found = []
    for path in outbox_folder().glob("*.json"):
        with suppress(UserError):
            found.append(_read(path))
    return sorted(found, key=lambda entry: entry.queued)


def queue_finished(run: Run, reporter: Reporter) -> None:
    """Have the best weights of a finished run sent, where a repository is set; returns before that is done.

    Whatever is in the way is a line for `reporter`: a training that is finished has not failed.
    """
    try:
        if (repository := hub_repository()) is None or not limits().pushing:
            return
        if reason := unfit(run):
            reporter.note(f"not sent to {repository}: {reason}")
            return
        recipe = run.recipe
        dataset = recipe.model_copy(update={"split_file": str(run.split)}).dataset()
        best = read_json(whole(run.best) / "metrics.json")
        if content(recipe, dataset)["train"] != best["data_fingerprint"]:
            reporter.note(f"not sent to {repository}: the data was changed while it was trained on")
            return
        begun = run.path / "start" if recipe.start_from else None
        trained = described(recipe, dataset, start=begun, teachers=kept_teachers(run))
        key = digest(trained)
        entry = Waiting(key, repository, str(run.path), best["epoch"], {**about_run(run), "trained": trained})
        if not any(is_run(Path(known.run)) for known in waiting() if known.fingerprint == key):
            entry.save()
        reporter.note(f"its best weights are sent to {repository} in the background, as {FOLDER}/{key[:12]}…")
        start_sender(at_once=True)
    except Exception as error:
        reporter.note(f"its best weights were not queued for the Hub: {_line(error)}")


def start_sender(*, at_once: bool = False) -> bool:
    """Start a process that sends what is due, where something is and none is at work; it outlives this one.

    Args:
        at_once: also where one was started a moment ago.
    """
    folder = outbox_folder()
    if not any(entry.due for entry in waiting()) or is_held(folder / "lock"):
        return False
    started = folder / "started"
    if not at_once and 0 <= time.time() - _changed(started) < STARTING:
        return False
    with explain_disk_errors(folder), (folder / "log.txt").open("ab") as log:
        started.touch()
        quiet = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "PYTHONUNBUFFERED": "1"}
        process = start(
            ["cache", "send", "--due"],
            variables={**quiet, "SEGMODELS_HOME": str(home())},
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
        )
    # Waited for, so that no zombie is left while this process lives.
    threading.Thread(target=process.wait, name="reap-sender", daemon=True).start()
    return True


def send(*, due: bool = False, reporter: Reporter | None = None, endpoint: str | None = None) -> list[Sent]:
    """Send what waits, one after the other.

    Args:
        due: only what was not tried in the last minutes; and where another process sends, this one leaves it to that.
        reporter: told how far it is, and what became of each.
        endpoint: of the Hub; `HF_ENDPOINT` by default.

    Raises:
        UserError: another process is sending, or the home cannot be written to.
    """
    told, done = reporter or Reporter(), dict[str, Sent]()
    while entries := [entry for entry in waiting() if entry.fingerprint not in done and (entry.due or not due)]:
        try:
            with _alone() as damaged:
                for line in damaged:
                    told.note(line)
                _send_all(entries, done, told, endpoint)
        except Timeout:
            if due:
                break
            raise UserError("another process is sending just now: `cache send` again when it is done") from None
    return list(done.values())


@contextmanager
def _alone() -> Iterator[list[str]]:
    """Hold the outbox for the block, without entries that say nothing, which are told of; `Timeout` where another
    process holds it."""
    folder = outbox_folder()
    lock = FileLock(folder / "lock")
    with explain_disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    try:
        sweep(folder)
        _shorten(folder / "log.txt")
        dropped = []
        for path in folder.glob("*.json"):
            try:
                _read(path)
            except UserError as error:
                path.unlink(missing_ok=True)
                dropped.append(f"dropped: {error}")
        yield dropped
    finally:
        lock.release()


def _send_all(entries: list[Waiting], done: dict[str, Sent], told: Reporter, endpoint: str | None) -> None:
    away: dict[str, str] = {}  # repositories that could not be asked: nobody waits for each of their runs
    for entry in entries:
        outcome: Outcome
        try:
            if entry.repository in away:
                raise Unreachable(away[entry.repository])
            outcome, said = _send(entry, endpoint)
            entry.path.unlink(missing_ok=True)
        except Exception as error:
            outcome, said = "waiting", _line(error)
            if isinstance(error, Unreachable):
                away[entry.repository] = said
            if entry.path.exists():
                replace(entry, tried=time.time(), error=said).save()
        done[entry.fingerprint] = Sent(entry.fingerprint, entry.repository, entry.run, outcome, said)
        told.note(f"{outcome}: {Path(entry.run).name} to {entry.repository}: {said}")


def _send(entry: Waiting, endpoint: str | None) -> tuple[Outcome, str]:
    run = Run(entry.run)
    if reason := unfit(run, entry.epoch):
        return "dropped", reason
    return send_run(run, entry.repository, entry.fingerprint, entry.about, endpoint=endpoint)


def _read(path: Path) -> Waiting:
    """An entry; `UserError` where it is damaged."""
    found = read_json(path, limit=10_000_000)
    try:
        entry = Waiting(**found)
        texts = entry.fingerprint, entry.run, entry.error
        numbers = entry.queued, entry.tried
        if not all(isinstance(text, str) and "\0" not in text for text in texts):
            raise TypeError
        if not all(isinstance(number, int | float) for number in numbers) or not isinstance(entry.about, dict):
            raise TypeError
        if path.stem != entry.fingerprint or not re.fullmatch("[0-9a-f]{64}", path.stem):
            raise ValueError
        return replace(entry, repository=parse_model(entry.repository).repository)
    except (TypeError, ValueError, AttributeError, UserError):
        raise UserError(f"{path} is damaged: what it says is not sent") from None


def _line(error: BaseException) -> str:
    """An error in a line, without what may be a token."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"
    if token := os.environ.get("HF_TOKEN", "").strip():
        text = text.replace(token, "…")
    return re.sub(r"\bhf_\w{8,}", "hf_…", text)[:500]


def _changed(path: Path) -> float:
    with suppress(OSError):
        return path.stat().st_mtime
    return 0.0


def _shorten(log: Path) -> None:
    """Keep the end of a long log."""
    with suppress(OSError):
        if log.stat().st_size > LONG:
            end = log.read_bytes()[-END:]
            with log.open("r+b") as file:  # in place: this process's standard error goes on into it
                file.truncate()
                file.write(end.partition(b"\n")[2])
