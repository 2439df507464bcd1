"""Answers that need Keras, for a process that must not load it. Loads no Keras.

A verb of the command line runs in a short-lived process and its JSON document is kept on disk: the next time the answer
is there at once. Whoever wants it asks again every second or so; when nobody has asked for a while, the process ends.

A question about training on this machine, as `estimate` answers it, has the device for its process; so has work that
is as heavy, such as `evaluate`, which says how far it is.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

import segmodels
from segmodels.device import known_devices
from segmodels.engines import chosen_engine
from segmodels.errors import UserError
from segmodels.files import read_json, write_json
from segmodels.home import home
from segmodels.process import WITHOUT_GPU, own_words, start

#: Seconds that a process may take, and one that trains.
LIMIT, TRAINING_LIMIT = 120.0, 300.0
#: Seconds after the last question when a process is no longer wanted.
PATIENCE = 15.0
#: Lines of a process's standard error that are remembered.
HEARD = 200
#: Answers kept of each kind; the oldest go first.
KEPT = 200
#: Seconds for which an answer is good that was found beside a training, which made it slow.
DISTURBED = 600.0


@dataclass(frozen=True)
class Answer:
    """What is known so far: `document` when done, a line in `error` when failed.

    Attributes:
        seconds: since it was asked first, while it is running.
        said: the last line that its process wrote to standard error; of an answer from disk, none.
    """

    state: Literal["running", "done", "failed"]
    document: Any = None
    error: str = ""
    seconds: float = 0.0
    said: str = ""


@dataclass
class _Job:
    """A process at work, or why there is no answer, or one that is not worth keeping on disk."""

    training: bool = False
    limit: float | None = None
    patience: float | None = None
    keep: bool = True
    started: float = field(default_factory=time.monotonic)
    asked: float = field(default_factory=time.monotonic)
    error: str = ""
    dropped: bool = False
    document: Any = None
    done: float = 0.0
    said: deque[str] = field(default_factory=lambda: deque(maxlen=HEARD))

    @property
    def last(self) -> str:
        return self.said[-1] if self.said else ""

    @property
    def over(self) -> bool:
        """Whether its answer is no longer good."""
        return self.keep and self.document is not None and time.monotonic() - self.done > DISTURBED


_jobs: dict[Path, _Job] = {}
_lock = threading.Lock()


def ask(
    kind: str,
    words: Sequence[str],
    *,
    training: bool = False,
    limit: float | None = None,
    patience: float | None = None,
    keep: bool = True,
    secrets: Mapping[str, str] | None = None,
) -> Answer:
    """The answer of `python -m segmodels WORDS --json`: from disk, or else from a process that is started if none is.

    Returns at once. A failure is remembered until `cancel`, so that asking again does not start the same again.

    Args:
        kind: folder of the answers in the home's cache.
        words: of the command line, the verb first.
        training: whether it is about training here: its process may use the device and takes up to `TRAINING_LIMIT`
            seconds, and an answer that says `alone` false is kept in memory only, for `DISTURBED` seconds.
        limit: seconds that its process may take instead.
        patience: seconds after the last question when the process ends, instead of `PATIENCE`.
        keep: whether the answer is kept on disk; else it is known until `cancel` forgets it, and asking then starts
            the work anew.
        secrets: variables of the environment of the process, such as a token, where this starts it. They are no part of
            the question, are kept nowhere, and what the process says is rid of them.
    """
    place = _place(kind, words, training)
    with _lock:
        job = _jobs.get(place)
        if job is None or job.over:
            if keep and (kept := _kept(place)) is not None:
                return Answer("done", kept)
            job = _jobs[place] = _Job(training, limit, patience, keep)
            work = (place, job, list(words), dict(secrets or {}))
            threading.Thread(target=_work, args=work, name=f"worker-{kind}", daemon=True).start()
        job.asked = time.monotonic()
        if job.error:
            return Answer("failed", error=job.error)
        if job.document is not None:
            return Answer("done", job.document, said=job.last)
        return Answer("running", seconds=job.asked - job.started, said=job.last)


def is_asked(kind: str, words: Sequence[str], *, training: bool = False) -> bool:
    """Whether somebody asked it and the process is at work, or its end is not forgotten yet; starts nothing."""
    with _lock:
        return _place(kind, words, training) in _jobs


def count_at_work(kind: str) -> int:
    """How many processes answer a question of a kind now, whoever asked."""
    with _lock:
        return sum(place.parent.name == kind and not job.error and job.document is None for place, job in _jobs.items())


def cancel(kind: str, words: Sequence[str], *, training: bool = False) -> None:
    """End the process of a question, if there is one, and forget how it ended."""
    with _lock:
        job = _jobs.pop(_place(kind, words, training), None)
    if job is not None:
        job.dropped = True  # its thread ends the process


def _place(kind: str, words: Sequence[str], training: bool) -> Path:
    """The file of an answer: another question, another version or changed code is another file; of one about training
    another device or engine too."""
    package = Path(segmodels.__file__).parent
    sources = list((package / "models").glob("*.py"))
    about: list[Any] = []
    if training:
        sources += (package / "training").rglob("*.py")
        about = [[device.name for device in known_devices()], chosen_engine()]
    code = max((path.stat().st_mtime_ns for path in sources), default=0)
    key = json.dumps([segmodels.__version__, code, *about, *words])
    return home() / "cache" / kind / f"{hashlib.sha256(key.encode()).hexdigest()}.json"


def _kept(place: Path) -> Any:
    try:
        document = read_json(place)
    except UserError:  # not there, or damaged: then it is made anew
        return None
    return document if isinstance(document, dict) else None


def _work(place: Path, job: _Job, words: list[str], secrets: dict[str, str]) -> None:
    """Run the process to its end and keep its answer."""
    error = ""
    try:
        document = _run(job, words, secrets)
        disturbed = job.training and isinstance(document, dict) and document.get("alone") is False
        if disturbed or not job.keep:
            job.done, job.document = time.monotonic(), document
        else:
            write_json(place, document)
            _sweep(place.parent)
    except UserError as mistake:
        error = str(mistake)
    except OSError as problem:
        error = f"the worker could not run: {problem.strerror or problem}"
    with _lock:
        if _jobs.get(place) is job:
            if error and not job.dropped:
                job.error = error
            elif job.document is None:
                del _jobs[place]


def _run(job: _Job, words: list[str], secrets: dict[str, str]) -> Any:
    """The document that the process prints; `UserError` where it prints none."""
    pipe = subprocess.PIPE
    usual, variables = (TRAINING_LIMIT, {}) if job.training else (LIMIT, WITHOUT_GPU)
    limit = usual if job.limit is None else job.limit
    with start([*words, "--json"], variables={**variables, **secrets}, stdout=pipe, stderr=pipe) as process:
        errors, process.stderr = process.stderr, None  # heard line by line as they come
        hearing = threading.Thread(target=_hear, args=(errors, job, secrets), name="worker-hearing", daemon=True)
        hearing.start()
        while True:
            try:
                output, _ = process.communicate(timeout=0.2)
                break
            except subprocess.TimeoutExpired:
                now = time.monotonic()
                late = now - job.started > limit
                patience = PATIENCE if job.patience is None else job.patience
                job.dropped = job.dropped or now - job.asked > patience
                if late or job.dropped:
                    process.kill()
                if late:
                    raise UserError(f"no answer within {limit:.0f} seconds: try again, or try a smaller one") from None
    hearing.join(timeout=5)  # longer only where a child of the process, which outlived it, holds the pipe
    if process.returncode:
        said = list(job.said)
        raise UserError((own_words(said) or said or [f"the worker ended with exit code {process.returncode}"])[-1])
    try:
        return json.loads(_without(secrets, output.decode(errors="replace")))
    except ValueError:
        raise UserError("the worker's answer was no JSON document: try again") from None


def _hear(errors: IO[bytes], job: _Job, secrets: dict[str, str]) -> None:
    """Note the lines that a process writes, until it ends."""
    with errors:
        for line in errors:
            if said := line.decode(errors="replace").strip():
                job.said.append(_without(secrets, said))


def _without(secrets: Mapping[str, str], text: str) -> str:
    for secret in filter(None, secrets.values()):
        text = text.replace(secret, "…")
    return text


def _sweep(folder: Path) -> None:
    """Keep the newest answers only."""
    with contextlib.suppress(OSError):
        for old in sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)[:-KEPT]:
            old.unlink(missing_ok=True)
