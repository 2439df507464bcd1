"""Start a training in a process of its own, which outlives whoever started it. Loads no Keras."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from segmodels.device import choose_pool
from segmodels.errors import UserError
from segmodels.files import explain_disk_errors
from segmodels.home import home
from segmodels.hosted import check_training, limits
from segmodels.process import start
from segmodels.recipe import Recipe
from segmodels.training.changes import wanted_change
from segmodels.training.placed import displace
from segmodels.training.preflight import check
from segmodels.training.queue import join, leave, lost
from segmodels.training.runs import ALIVE, NOT_WAITING, Run, check_resumable, list_runs
from segmodels.training.start import make_run

#: Seconds between two looks at a run whose time is limited.
LOOK = 1.0


def launch(
    recipe: Recipe,
    devices: str | None = None,
    *,
    path: str | Path | None = None,
    made: Callable[[Run], None] = lambda run: None,
) -> Run:
    """Create a run, put it in the queue and start its trainer, which waits for its turn; returns at once.

    Args:
        recipe: what to train.
        devices: which it may use, as `choose_pool` reads it.
        path: the run directory; by default a new folder in the home's `runs/`.
        made: told of the run before it is in the queue, so that who is killed in between finds it again.

    Raises:
        UserError: the recipe cannot train, is more than a hosted app trains, there is no such device, or the run cannot
            be written.
    """
    _check_hosted(recipe)
    check(recipe)
    chosen = choose_pool(devices)
    run = make_run(recipe, path)
    made(run)
    _queue(run, chosen)
    return run


def relaunch(run: Run, devices: str | None = None) -> None:
    """Put a run that was paused, stopped or interrupted at the end of the queue; `UserError` for any other, and for all
    but one of those who do so at once."""
    check_resumable(run)
    _check_hosted(run.recipe_now.model_copy(update=wanted_change(run.path)))
    chosen = choose_pool(devices)
    run.wait(5)  # its process has said that it ended, and is about to leave the queue
    _queue(run, chosen, again=True)


def queue_forgotten(run: Run, devices: str | None = None) -> bool:
    """Put a run in the queue that was made for it, by somebody who was killed before it stood there; False of any
    other."""
    if not run.was_forgotten:
        return False
    _queue(run, choose_pool(devices))
    return True


def revive() -> list[Run]:
    """Start those in the queue whose process is gone, each in its old place, as after a new start of the machine.

    Whoever shows runs or adds one calls this; where no run waits it costs nothing, and who may not write in the home
    leaves it to others. What waits to be sent to the Hub is tried again too, in a process of its own.

    Returns:
        The runs that were started.
    """
    started: list[Run] = []
    with suppress(UserError):
        again, hopeless = lost()
        for ticket in hopeless:
            _failed(Run(ticket.run), "its process ended before its turn came, several times")
        for ticket in again:
            run = Run(ticket.run)
            if run.status()["state"] != "queued":  # it ended, but had no time to leave
                leave(run.path)
                continue
            folder = Path(ticket.folder)
            _start(run, ticket.variables, folder if folder.is_dir() else None)
            started.append(run)
    if (home() / "outbox").is_dir():
        from segmodels.hub.finished.outbox import start_sender  # finished runs that could not be sent before

        with suppress(UserError):
            start_sender()
    return started


def _check_hosted(recipe: Recipe) -> None:
    """`UserError` where a hosted app trains no such recipe, or has enough to train."""
    check_training(recipe)
    most = limits().runs
    if most is not None and sum(run.state in ALIVE for run in list_runs()) >= most:
        raise UserError(f"hosted demo: {most} runs train or wait already: try again when one has ended")


def _queue(run: Run, devices: Sequence[str], *, again: bool = False) -> None:
    displace(run.path)
    place = join(run.path, devices, launched=True)
    try:
        if again:
            check_resumable(run)  # somebody else may have had it trained meanwhile
            run.take_request()  # what was asked of the trainer before is no concern of the next
        now = place.status if place.waits_for else {"phase": "starting", **NOT_WAITING}
        run.write_status(state="queued", error=None, **now)
        _start(run)
    except BaseException:
        leave(run.path)
        raise


def _start(run: Run, variables: dict[str, str] | None = None, folder: Path | None = None) -> None:
    with explain_disk_errors(run.path), (run.path / "log.txt").open("ab") as log:
        process = start(
            ["train", "--resume", str(run.path)],
            variables={**(variables or {}), "SEGMODELS_HOME": str(home()), "PYTHONUNBUFFERED": "1"},
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,  # a closed terminal or a stopped server does not take it along
        )
    threading.Thread(target=_reap, args=(run, process), name=f"reap-{run.id}", daemon=True).start()


def _reap(run: Run, process: subprocess.Popen) -> None:
    """Wait, so that no zombie is left; a process that failed before it took its run says so in the status.

    One that was killed (its code is negative) has not failed, and keeps its place in the queue.
    """
    code = _ended(run, process)
    try:
        if code > 0 and run.status().get("state") == "queued" and not run.locked():
            leave(run.path)
            _failed(run, f"the trainer ended with exit code {code}")
    except (OSError, UserError):
        pass  # the run was deleted meanwhile


def _ended(run: Run, process: subprocess.Popen) -> int:
    """Wait for the process, and return its exit code. A run that trains for longer than it may is asked to stop."""
    if (minutes := limits().minutes) is None:
        return process.wait()
    end: float | None = None
    while True:
        with suppress(subprocess.TimeoutExpired):
            return process.wait(LOOK)
        with suppress(OSError, UserError):
            if end is None and run.state == "running":
                end = time.monotonic() + 60 * minutes
            elif end is not None and time.monotonic() > end:
                run.request("stop")
                end = float("inf")


def _failed(run: Run, reason: str) -> None:
    """Write why a trainer did not come to its turn: the last line of its log, or else `reason`."""
    lines = [line for line in run.log(20).splitlines() if line.strip()]
    run.write_status(state="failed", error=lines[-1] if lines else reason, phase="failed", **NOT_WAITING)
