"""Where runs go: one table of launchers, which all do the same four things. Loads no Keras.

Adding one, such as a scheduler's, is a file with a class that has the methods of `Launcher`, and an entry of
`LAUNCHERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from segmodels.cluster.connection import missing_ray
from segmodels.errors import UserError, choose
from segmodels.recipe import Recipe
from segmodels.training.launchers.local import open_local
from segmodels.training.launchers.ray import open_ray
from segmodels.training.placed import LOCAL, Resources, displace, placed
from segmodels.training.runs import ALIVE, ENDED_BY, NOT_WAITING, Run


class Launcher(Protocol):
    """What a launcher does with runs, which all live in run directories that anybody can read.

    Attributes:
        words: the options of the command line by which other work, such as an evaluation, goes to the same place.
    """

    words: list[str]

    def start(self, recipe: Recipe, *, path: str | Path | None = None, made: Callable[[Run], None] = ...) -> Run:
        """Make a run, in a folder of its own or at `path`, and have it trained; returns at once. `made` is told of it
        before it stands in any line.

        `UserError` where the recipe cannot train or there is nothing to train it on.
        """
        ...

    def watch(self, run: Run) -> str | None:
        """What the run waits for, in a few words, as only the launcher can tell; None of one that trains or has ended.

        Where the launcher finds that nobody will ever train it, it writes that into the run's status.
        """
        ...

    def stop(self, run: Run, how: str = "stop") -> None:
        """Ask for an end: "stop", or "pause" to go on later; `UserError` where nobody is at work."""
        ...

    def resume(self, run: Run) -> None:
        """Have a run go on that has ended before its last epoch, wherever it trained before; returns at once."""
        ...


@dataclass(frozen=True)
class LauncherRow:
    """A row of `LAUNCHERS`.

    Attributes:
        purpose: what it is, in a few words.
        open: gives the launcher for a block.
        missing: what has to be installed to use it here, in a line; None where all is there.
    """

    purpose: str
    open: Callable[[Resources], AbstractContextManager[Launcher]]
    missing: Callable[[], str | None]


#: By the name that `--on` takes.
LAUNCHERS: dict[str, LauncherRow] = {
    LOCAL: LauncherRow("this machine, one run a device at a time", open_local, lambda: None),
    "ray": LauncherRow("a Ray cluster, as many runs at a time as it has room for", open_ray, missing_ray),
}


@contextmanager
def opened(on: str = LOCAL, resources: Resources | None = None) -> Iterator[Launcher]:
    """A launcher by its name, for the block.

    Args:
        on: a name of `LAUNCHERS`.
        resources: what each run may use.

    Raises:
        UserError: no such launcher, or one that cannot be used here.
    """
    row = LAUNCHERS[choose("launcher", on, tuple(LAUNCHERS))]
    if said := row.missing():
        raise UserError(said)
    with row.open(resources or Resources()) as launcher:
        yield launcher


def stop(run: Run, how: str = "stop") -> None:
    """Ask a run for its end, "stop" or "pause", wherever it went; `UserError` where nobody is at work."""
    where = placed(run.path)
    if where is None or run.locked() or run.state not in (*ALIVE, "interrupted"):
        run.request(how)
        return
    try:
        with opened(where.on, where.resources) as launcher:
            launcher.stop(run, how)
    except UserError:  # the cluster is gone, and the run's place with it
        displace(run.path)
        run.write_status(state=ENDED_BY[how], phase=ENDED_BY[how], **NOT_WAITING)


def settle(run: Run) -> None:
    """Find out whether a run that went elsewhere is still there, and say in its status where it is not.

    Raises:
        UserError: it is there: it trains, or its turn will come.
    """
    where = placed(run.path)
    if where is None or (state := run.state) not in (*ALIVE, "interrupted"):
        return
    if not run.locked():
        try:
            with opened(where.on, where.resources) as launcher:
                waits = launcher.watch(run)
        except UserError as error:  # no cluster any more
            displace(run.path)
            run.write_status(state="interrupted", error=str(error), phase="interrupted", **NOT_WAITING)
            return
        if waits is None and not run.locked():
            return
    raise UserError(f"run {run.id} is {state} on {where.on}: stop it first (`runs stop {run.id}`)")
