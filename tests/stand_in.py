"""`python -m tests.stand_in VERB …`: the command line with a trainer that needs no engine, so that a test of who trains
when takes no longer than that takes. It "trains" until a file `go` lies in the run directory. And what such tests use.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from segmodels.recipe import Recipe
from segmodels.training import queue
from segmodels.training.runs import Run, list_runs
from segmodels.training.tickets import queue_folder


class Interrupted(Exception):
    """As the real trainer's."""


class Trainer:
    """Has the real trainer's face; leaves `times.json` with when it began and ended, and which GPU it saw."""

    def __init__(self, recipe: Recipe, run: Run, *, wanted: Callable[[], str | None], **_: Any) -> None:
        self.run, self.wanted = run, wanted

    def fit(self) -> None:
        began = time.time()
        try:
            while not (self.run.path / "go").exists():
                if reason := self.wanted():
                    raise Interrupted(reason)
                time.sleep(0.02)
        finally:
            times = {"began": began, "ended": time.time(), "gpu": os.environ.get("CUDA_VISIBLE_DEVICES")}
            (self.run.path / "times.json").write_text(json.dumps(times))


def start(words: Sequence[str], *, variables: dict[str, str] | None = None, **streams: Any) -> subprocess.Popen:
    """In place of `segmodels.process.start`."""
    root = Path(__file__).parents[1]
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-m", "tests.stand_in", *words],
        stdin=subprocess.DEVNULL,
        env={**os.environ, **(variables or {}), "PYTHONPATH": path},
        **streams,
    )


def install() -> None:
    """Put the stand-in where `train` looks for the trainer, and let `launch` start processes that do so too."""
    from segmodels.training import launch, train

    queue.POLL = 0.1
    module: Any = types.ModuleType("segmodels.training.trainer")
    module.Trainer, module.Interrupted = Trainer, Interrupted
    sys.modules["segmodels.training.trainer"] = module
    train._device, train._versions, launch.start = lambda *_: "stand-in", lambda: "none", start  # type: ignore[assignment]


def wait(condition: Callable[[], Any], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def go(*runs: Run) -> None:
    """Let these runs end as soon as they have begun."""
    for run in runs:
        (run.path / "go").touch()


def times(run: Run) -> dict[str, Any]:
    """When a run, once it has finished, began and ended, and which GPU it saw."""
    wait(lambda: run.state == "finished" and not run.locked())
    return json.loads((run.path / "times.json").read_text())


def ticket_files() -> list[Path]:
    return sorted(queue_folder().glob("*.json"))


@pytest.fixture
def stand_ins(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Launched runs have stand-ins for trainers, which are gone afterwards."""
    monkeypatch.setattr("segmodels.training.launch.start", start)
    yield
    for path in ticket_files():
        path.unlink()  # whoever waits ends
    go(*list_runs())
    wait(lambda: not any(run.locked() for run in list_runs()))


if __name__ == "__main__":
    from segmodels.cli import main

    install()
    sys.exit(main())
