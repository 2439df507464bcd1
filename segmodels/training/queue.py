"""The queue: one run a device at a time, in the order in which they came. Loads no Keras.

A run may need several devices at once. It takes all of them in one go, so none waits for another while it has some; and
from its turn on they are kept for it, so that runs which need but one of them cannot go before it for ever.

Every run that trains or waits to train has a ticket, a small file in the home's `queue/`; their order is the line.
Nobody serves it: each waiting process looks at the tickets before its own, under one lock, and takes a device when it
is its turn. So there is no server that could be down, and no clock that could be wrong. Whether a ticket's process
lives is told by its run's own lock, which the operating system frees however a process ends: the next in line notices
within `POLL` seconds. A waiting process that is lost, as when the machine starts anew, leaves its ticket behind, and
whoever looks next starts it again in its old place (`launch.revive`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from segmodels.device import split_key
from segmodels.errors import UserError
from segmodels.files import sweep
from segmodels.training.tickets import Ticket, next_number, queue_folder, tickets, whole_line

#: Seconds between two looks of a waiting process.
POLL = 0.5
#: How often a process is started that never arrives.
STARTS = 3


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


def join(run: Path, devices: Sequence[str], *, launched: bool) -> Place:
    """Put a run at the end of the line.

    Args:
        run: its directory.
        devices: keys of those that it may use, in the order of its preference.
        launched: whether its process is started by the caller and may be started again; else it is the caller's own.

    Raises:
        UserError: it stands in line already.
    """
    with whole_line() as line:
        if any(ticket.run == str(run) for ticket in line):
            raise UserError(f"run {run.name} waits already: `runs list` shows its place")
        sweep(queue_folder())
        ticket = Ticket(next_number(line), str(run), tuple(devices), launched=launched, arrived=not launched, starts=1)
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
                stays = reason == "signal" and any(ticket.launched for ticket in tickets(run))
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
    if not tickets(run):
        return
    try:
        with whole_line():  # or else a move that is under way might write its ticket again
            _drop(run)
    except UserError:  # a process that hangs has the line: that must not keep a device
        _drop(run)


def _drop(run: Path) -> None:
    for ticket in tickets(run):
        ticket.path.unlink(missing_ok=True)


def move(run: Path, to: int) -> int:
    """Put a waiting run at another place among those that wait.

    One file is replaced by that: whoever looks, and whenever this process is killed, meets the old order or the new.

    Args:
        run: its directory.
        to: how many that wait shall be before it; 0 makes it the next, and more than there are the last.

    Returns:
        The place that it has now.

    Raises:
        UserError: the run does not wait.
    """
    with whole_line() as line:
        waiting = [ticket for ticket in line if ticket.device is None]
        mine = next((ticket for ticket in waiting if ticket.run == str(run)), None)
        if mine is None:
            raise UserError(f"run {run.name} does not wait in the queue: `runs list` shows which do")
        others = [ticket for ticket in waiting if ticket.run != mine.run]
        to = max(0, min(to, len(others)))
        if waiting.index(mine) != to:
            line = [ticket for ticket in line if ticket.run != mine.run]
            replace(mine, rank=_between(line, line.index(others[to]) if to < len(others) else len(line))).save()
        return to


def _between(line: list[Ticket], place: int) -> tuple[int, int]:
    """The rank of a ticket that shall stand in a line before the one that has this place now."""
    if place == len(line):
        return next_number(line), 1
    behind = line[place].order
    before = line[place - 1].order if place else behind - 2
    return ((before + behind) / 2).as_integer_ratio()


def lost() -> tuple[list[Ticket], list[Ticket]]:
    """The launched runs whose process is gone before its turn came: those that the caller starts again now, and those
    that were started too often without arriving, which have left the line."""
    if not any(queue_folder().glob("*.json")):
        return [], []
    again, hopeless = [], []
    with whole_line() as line:
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


def waiting_paths() -> list[Path]:
    """The directories of the runs that stand in line, in their order."""
    return [Path(ticket.run) for ticket in tickets() if ticket.device is None and not ticket.over]


def waiting_runs() -> list[str]:
    """Their ids; two runs in folders of one name have the same."""
    return [path.name for path in waiting_paths()]


def waiting(run: Path) -> Ticket | None:
    """The ticket of a run that stands in line; None of any other."""
    return next((ticket for ticket in tickets(run) if ticket.device is None), None)


def withdraw(run: Path) -> bool:
    """Take a run out of the line whose process is gone; False of any other, which leaves by itself when asked to."""
    if waiting(run) is None:
        return False
    with whole_line():
        ticket = waiting(run)
        if ticket is None or ticket.starting or ticket.alive:
            return False
        ticket.path.unlink(missing_ok=True)
        return True


def at_work() -> dict[str, str]:
    """The id of the run on each device that has one."""
    return {
        device: Path(ticket.run).name for ticket in tickets() if ticket.device and ticket.alive for device in ticket.has
    }


def ahead(devices: Sequence[str]) -> Place:
    """Where a run would stand that came now and could use these devices; its `device` is one that is free."""
    line = tickets()
    return _place(Ticket(next_number(line), "", tuple(devices)), line)


def _arrive(run: Path, devices: Sequence[str]) -> None:
    """Say that the run's process is there; one that nobody put in line comes to its end."""
    with whole_line() as line:
        mine = [ticket for ticket in line if ticket.run == str(run)]
        if mine:
            replace(mine[0], device=None, arrived=True, starts=0).save()
    if not mine:
        join(run, devices, launched=False)


def _look(run: Path) -> Place | None:
    """A run's place now; its device is taken with that. None where it has no ticket any more."""
    with whole_line() as line:
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
    taken = {device for ticket in having for device in ticket.has}
    waiting = []
    for ticket in line:
        if ticket.order < mine.order and ticket.device is None and (ticket.starting or ticket.alive):
            waiting.append(ticket)
            # Who came before has the first choice, and is about to take it; or waits for some of several devices, of
            # which the others are kept for it.
            taken |= set(split_key(_free(ticket, taken) or ticket.devices[0])) if ticket.devices else set()
    if (free := _free(mine, taken)) is not None:
        return Place(free)
    having = [ticket for ticket in having if ticket.has & mine.may_have]
    waiting = [ticket for ticket in waiting if ticket.may_have & mine.may_have]
    last = waiting[-1:] or having
    return Place(None, len(having) + len(waiting), " or ".join(Path(ticket.run).name for ticket in last))


def _free(ticket: Ticket, taken: Set[str]) -> str | None:
    """The first key of a ticket of which no device is taken."""
    return next((key for key in ticket.devices if taken.isdisjoint(split_key(key))), None)
