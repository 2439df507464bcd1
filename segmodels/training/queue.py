"""The queue: one run a device at a time, in the order in which they came. Loads no Keras.

Every run that trains or waits to train has a ticket, a small file in the home's `queue/`; their numbers are the line.
Nobody serves it: each waiting process looks at the tickets before its own, under one lock, and takes a device when it
is its turn. So there is no server that could be down, and no clock that could be wrong. Whether a ticket's process
lives is told by its run's own lock, which the operating system frees however a process ends: the next in line notices
within `POLL` seconds. A waiting process that is lost, as when the machine starts anew, leaves its ticket behind, and
whoever looks next starts it again in its old place (`launch.revive`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, field, replace
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic.dataclasses import dataclass

from segmodels.errors import UserError
from segmodels.files import explain_disk_errors, read_json, sweep, write_json
from segmodels.home import home

#: Seconds between two looks of a waiting process.
POLL = 0.5
#: Seconds that a started process has to arrive in the line before it counts as lost.
START_GRACE = 60.0
#: How often a process is started that never arrives.
STARTS = 3
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


@dataclass(frozen=True)
class Place:
    """Where a run stands: the free `device` when it is its turn, else how many are `ahead` and whom it waits for: the
    run before it in the line or, at its head, those that have the devices."""

    device: str | None = None
    ahead: int = 0
    waits_for: str | None = None

    @property
    def status(self) -> dict[str, str | int | None]:
        """What `status.json` of a run says that waits here."""
        return {"phase": f"waiting for {self.waits_for}", "place": self.ahead, "waiting_for": self.waits_for}


@dataclass(frozen=True)
class Turn:
    """How waiting ended: with a `device`, or for a `reason`; `stays` where the run keeps its place in the line."""

    device: str | None = None
    reason: str | None = None
    stays: bool = False


def queue_folder() -> Path:
    return home() / "queue"


def join(run: Path, devices: Sequence[str], *, launched: bool) -> Place:
    """Put a run at the end of the line.

    Args:
        run: its directory.
        devices: keys of those that it may use, in the order of its preference.
        launched: whether its process is started by the caller and may be started again; else it is the caller's own.
    """
    with _line() as line:
        sweep(queue_folder())
        ticket = Ticket(_next(line), str(run), tuple(devices), launched=launched, arrived=not launched, starts=1)
        ticket.save()
        return _place(ticket, line)


@contextmanager
def turn(
    run: Path, devices: Sequence[str], *, wanted: Callable[[], str | None], waits: Callable[[Place], None]
) -> Iterator[Turn]:
    """Wait until a device is free for a run and nobody waited longer for it, and keep it for the block.

    The caller holds the run's lock, by which others know that it lives.

    Args:
        run: its directory. Where it was put in line by `join`, it keeps that place and those devices.
        devices: keys of those that it may use.
        wanted: returns a reason to wait no longer, "stop", "pause" or "signal", or None.
        waits: told the run's place at first and whenever it changes.
    """
    _arrive(run, devices)
    place, stays = Place(), False
    try:
        while True:
            if reason := wanted():
                # A machine that shuts down says "signal" to everyone: what was launched goes on when it is up again.
                stays = reason == "signal" and any(ticket.launched for ticket in _tickets(run))
                yield Turn(reason=reason, stays=stays)
                return
            now = _look(run)
            if now is None:  # its ticket was taken away
                yield Turn(reason="stop")
                return
            if now.device is not None:
                yield Turn(now.device)
                return
            if now != place:
                place = now
                waits(place)
            time.sleep(POLL)
    finally:
        if not stays:
            leave(run)


def leave(run: Path) -> None:
    """Take a run out of the line, or free its device."""
    for ticket in _tickets(run):
        ticket.path.unlink(missing_ok=True)


def lost() -> tuple[list[Ticket], list[Ticket]]:
    """The launched runs whose process is gone before its turn came: those that the caller starts again now, and those
    that were started too often without arriving, which have left the line."""
    if not any(queue_folder().glob("*.json")):
        return [], []
    again, hopeless = [], []
    with _line() as line:
        for ticket in line:
            if ticket.device is not None or ticket.starting or ticket.alive:
                continue
            if ticket.starts >= STARTS:
                ticket.path.unlink(missing_ok=True)
                hopeless.append(ticket)
            else:
                started = replace(ticket, arrived=False, starts=ticket.starts + 1, started=time.time())
                started.save()
                again.append(started)
    return again, hopeless


def waiting(run: Path) -> Ticket | None:
    """The ticket of a run that stands in line; None of any other."""
    return next((ticket for ticket in _tickets(run) if ticket.device is None), None)


def withdraw(run: Path) -> bool:
    """Take a run out of the line whose process is gone; False of any other, which leaves by itself when asked to."""
    if waiting(run) is None:
        return False
    with _line():
        ticket = waiting(run)
        if ticket is None or ticket.starting or ticket.alive:
            return False
        ticket.path.unlink(missing_ok=True)
        return True


def at_work() -> dict[str, str]:
    """The id of the run on each device that has one."""
    return {ticket.device: Path(ticket.run).name for ticket in _tickets() if ticket.device and ticket.alive}


def ahead(devices: Sequence[str]) -> Place:
    """Where a run would stand that came now and could use these devices; its `device` is one that is free."""
    line = _tickets()
    return _place(Ticket(_next(line), "", tuple(devices)), line)


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


def _arrive(run: Path, devices: Sequence[str]) -> None:
    """Say that the run's process is there; one that nobody put in line comes to its end."""
    with _line() as line:
        mine = [ticket for ticket in line if ticket.run == str(run)]
        if mine:
            replace(mine[0], device=None, arrived=True, starts=0).save()
    if not mine:
        join(run, devices, launched=False)


def _look(run: Path) -> Place | None:
    """A run's place now; its device is taken with that. None where it has no ticket any more."""
    with _line() as line:
        mine = next((ticket for ticket in line if ticket.run == str(run)), None)
        if mine is None:
            return None
        place = _place(mine, line)
        if place.device is not None:
            replace(mine, device=place.device).save()
        return place


def _place(mine: Ticket, line: list[Ticket]) -> Place:
    """A ticket's place behind those that have a device and those that came before it."""
    having = [ticket for ticket in line if ticket.device is not None and ticket.alive]
    taken = {ticket.device for ticket in having}
    waiting = []
    for ticket in line:
        if ticket.number < mine.number and ticket.device is None and (ticket.starting or ticket.alive):
            waiting.append(ticket)
            # Who came before has the first choice, and is about to take it.
            taken |= {next((device for device in ticket.devices if device not in taken), None)}
    if free := next((device for device in mine.devices if device not in taken), None):
        return Place(free)
    having = [ticket for ticket in having if ticket.device in mine.devices]
    waiting = [ticket for ticket in waiting if set(ticket.devices) & set(mine.devices)]
    last = waiting[-1:] or having
    return Place(None, len(having) + len(waiting), " or ".join(Path(ticket.run).name for ticket in last))


def _next(line: list[Ticket]) -> int:
    return line[-1].number + 1 if line else 1


def _tickets(run: Path | None = None) -> list[Ticket]:
    """The tickets in their order, or those of one run; a damaged one counts for nothing."""
    found = []
    for path in sorted(queue_folder().glob("*.json")):
        with suppress(UserError, TypeError, ValueError):
            found.append(Ticket(**{**read_json(path), "number": int(path.stem)}))
    return [ticket for ticket in found if run is None or ticket.run == str(run)]


@contextmanager
def _line() -> Iterator[list[Ticket]]:
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
        for ticket in _tickets():
            done = ticket.device is not None or not ticket.launched
            if (done and not ticket.alive) or not (Path(ticket.run) / "recipe.json").is_file():
                ticket.path.unlink(missing_ok=True)
            else:
                line.append(ticket)
        yield line
    finally:
        lock.release()
