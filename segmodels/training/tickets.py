"""The tickets of the queue: small files, one a run that trains or waits to train, whose numbers are the line."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, field
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic.dataclasses import dataclass

from segmodels.errors import UserError
from segmodels.files import explain_disk_errors, read_json, write_json
from segmodels.home import home

#: Seconds that a started process has to arrive in the line before it counts as lost.
START_GRACE = 60.0
#: What of the environment a run needs to be the same when somebody else starts it again.
_VARIABLES = ("KERAS_BACKEND", "SEGMODELS_DATA", "SEGMODELS_WEIGHTS_DIR")


@dataclass(frozen=True)
class Ticket:
    """A run's place in the line.

    Attributes:
        number: the order; a run that comes later has a higher one.
        run: its directory.
        devices: keys of those that it may use, in the order of its preference.
        device: the one that it has; None while it waits.
        launched: it has a process of its own, which others may start again; else it belongs to a terminal.
        arrived: its process has come as far as the line.
        starts: how often its process was started without arriving.
        started: when it was last, in seconds since 1970.
        folder: the working directory of whoever launched it.
        variables: what of their environment it needs.
    """

    number: int
    run: str
    devices: tuple[str, ...]
    device: str | None = None
    launched: bool = False
    arrived: bool = False
    starts: int = 0
    started: float = field(default_factory=time.time)
    folder: str = field(default_factory=os.getcwd)
    variables: dict[str, str] = field(
        default_factory=lambda: {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    )

    @property
    def path(self) -> Path:
        return queue_folder() / f"{self.number:08d}.json"

    @property
    def alive(self) -> bool:
        """Whether its process is at work."""
        return is_held(Path(self.run) / "lock")

    @property
    def starting(self) -> bool:
        """Whether its process was started and may still arrive."""
        return self.launched and not self.arrived and abs(time.time() - self.started) < START_GRACE

    def save(self) -> None:
        write_json(self.path, asdict(self))


def queue_folder() -> Path:
    return home() / "queue"


def is_held(path: Path) -> bool:
    """Whether a process holds the lock of this file."""
    if not path.exists():
        return False
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):
        return True
    lock.release()
    return False


def next_number(line: list[Ticket]) -> int:
    return line[-1].number + 1 if line else 1


def tickets(run: Path | None = None) -> list[Ticket]:
    """The tickets in their order, or those of one run; a damaged one counts for nothing."""
    found = []
    for path in sorted(queue_folder().glob("*.json")):
        with suppress(UserError, TypeError, ValueError):
            found.append(Ticket(**{**read_json(path), "number": int(path.stem)}))
    return [ticket for ticket in found if run is None or ticket.run == str(run)]


@contextmanager
def whole_line() -> Iterator[list[Ticket]]:
    """The tickets, for nobody else to change meanwhile, without those whose run is over."""
    folder = queue_folder()
    with explain_disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lock")
        try:
            lock.acquire(timeout=30)
        except Timeout:
            raise UserError(f"{folder / 'lock'} is held by a process that hangs: end that, and try again") from None
    try:
        line = []
        for ticket in tickets():
            done = ticket.device is not None or not ticket.launched
            if (done and not ticket.alive) or not (Path(ticket.run) / "recipe.json").is_file():
                ticket.path.unlink(missing_ok=True)
            else:
                line.append(ticket)
        yield line
    finally:
        lock.release()
