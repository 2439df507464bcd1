"""The launcher of this machine: its queue, and a process for each run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from segmodels.recipe import Recipe
from segmodels.training.launch import launch, queue_forgotten, relaunch
from segmodels.training.placed import Resources
from segmodels.training.runs import Run


class LocalLauncher:
    """See `segmodels.training.launchers.Launcher`."""

    def __init__(self, resources: Resources) -> None:
        self.devices = resources.devices
        self.words: list[str] = []

    def start(
        self, recipe: Recipe, *, path: str | Path | None = None, made: Callable[[Run], None] = lambda run: None
    ) -> Run:
        return launch(recipe, self.devices, path=path, made=made)

    def watch(self, run: Run) -> str | None:
        status = run.status()
        return status.get("waiting_for") if status["state"] == "queued" else None

    def stop(self, run: Run, how: str = "stop") -> None:
        run.request(how)

    def resume(self, run: Run) -> None:
        if not queue_forgotten(run, self.devices):
            relaunch(run, self.devices)


@contextmanager
def open_local(resources: Resources) -> Iterator[LocalLauncher]:
    """The launcher of this machine for the block; its runs outlive it."""
    yield LocalLauncher(resources)
