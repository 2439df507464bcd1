"""The tickets of the queue: small files, one a run that trains or waits to train, whose order is the line."""

from __future__ import annotations

import errno
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, field
from fractions import Fraction
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import PositiveInt
from pydantic.dataclasses import dataclass

from segmodels.device import split_key
from segmodels.errors import UserError
from segmodels.files import explain_disk_errors, read_json, sweep, write_json
from segmodels.home import home

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

#: Seconds that a started process has to arrive in the line before it counts as lost.
START_GRACE = 60.0
#: What of the environment a run needs to be the same when somebody else starts it again.
_VARIABLES = ("KERAS_BACKEND", "SEGMODELS_DATA", "SEGMODELS_WEIGHTS_DIR")


@dataclass(frozen=True)
class Ticket:
    """A run's place in the line.

    Attributes:
        number: the name of its file; a run that comes later has a higher one.
        run: its directory.
        devices: keys of those that it may use, in the order of its preference; one key may stand for several devices
            that it has at once (`segmodels.device.choose_pool`).
        device: the key that it has; None while it waits.
        launched: it has a process of its own, which others may start again; else it belongs to a terminal.
        arrived: its process has come as far as the line.
        starts: how often its process was started without arriving.
        started: when it was last, in seconds since 1970.
        folder: the working directory of whoever launched it.
        variables: what of their environment it needs.
        rank: a fraction that stands for the number in the order, of a run that was moved; there is always another one
            between two, so that one file says all of a move.
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
    rank: tuple[int, PositiveInt] | None = None

    @property
    def order(self) -> Fraction:
        """Where it stands in the line: behind all with a lower one."""
        return Fraction(*(self.rank or (self.number, 1)))

    @property
    def has(self) -> frozenset[str]:
        """The devices that it has."""
        return frozenset(split_key(self.device)) if self.device else frozenset()

    @property
    def may_have(self) -> frozenset[str]:
        """All devices of its keys."""
        return frozenset(device for key in self.devices for device in split_key(key))

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

    @property
    def over(self) -> bool:
        """Whether its run has ended or is gone."""
        done = self.device is not None or not self.launched
        return (done and not self.alive) or not (Path(self.run) / "recipe.json").is_file()

    def save(self) -> None:
        write_json(self.path, asdict(self))


def queue_folder() -> Path:
    return home() / "queue"


@contextmanager
def holding(folder: Path, taken: str) -> Iterator[None]:
    """Hold the file `lock` of a folder for this process, without what killed processes left half-written there.

    Args:
        taken: what the `UserError` says where another process holds it.
    """
    lock = FileLock(folder / "lock")
    try:
        with explain_disk_errors(folder):
            lock.acquire(timeout=2)  # longer than a look by `is_held` takes
    except Timeout:
        raise UserError(taken) from None
    try:
        sweep(folder)
        yield
    finally:
        lock.release()


def is_held(path: str | Path) -> bool:
    """Whether a process holds the lock of this file."""
    if fcntl is not None:  # as FileLock does, but shared: two that look do not take each other for the holder
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        except OSError as error:
            return not isinstance(error, (FileNotFoundError, NotADirectoryError))
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
        except OSError as error:
            if error.errno != errno.ENOSYS:  # a disk without such locks, where FileLock has another way
                return True
        finally:
            os.close(descriptor)
    if not Path(path).exists():
        return False
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):
        return True
    lock.release()
    return False


def next_number(line: list[Ticket]) -> int:
    """A number behind everybody's place."""
    return 1 + max((max(ticket.number, math.floor(ticket.order)) for ticket in line), default=0)


def tickets(run: Path | None = None) -> list[Ticket]:
    """The tickets in their order, or those of one run; a damaged one counts for nothing."""
    found = []
    for path in sorted(queue_folder().glob("*.json")):
        with suppress(UserError, TypeError, ValueError):
            found.append(Ticket(**{**read_json(path), "number": int(path.stem)}))
    found.sort(key=lambda ticket: ticket.order)
    return [ticket for ticket in found if run is None or ticket.run == str(run)]


@contextmanager
def whole_line() -> Iterator[list[Ticket]]:
    """The tickets, for nobody else to change meanwhile, without those whose run is over."""
    with hold(queue_folder()):
        line = []
        for ticket in tickets():
            if ticket.over:
                ticket.path.unlink(missing_ok=True)
            else:
                line.append(ticket)
        yield line


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Have a folder, which is made where there is none, for this process alone; `UserError` where that cannot be."""
    with explain_disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lock")
        try:
            lock.acquire(timeout=30)
        except Timeout:
            raise UserError(f"{folder / 'lock'} is held by a process that hangs: end that, and try again") from None
    try:
        yield
    finally:
        lock.release()
