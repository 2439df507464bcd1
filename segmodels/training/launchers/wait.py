"""Stay with a run that trains elsewhere, and tell how it goes as if it trained here."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from segmodels.training.reporter import Reporter
from segmodels.training.rows import Row
from segmodels.training.runs import ALIVE, Run
from segmodels.training.signals import asked_by_signal

if TYPE_CHECKING:
    from segmodels.training.launchers import Launcher

#: Seconds between two looks at the run directory, and between two questions to the launcher.
LOOK, ASK = 0.5, 5.0
#: Seconds in which a run whose worker died should be at work again.
AGAIN = 120.0


def wait(launcher: Launcher, run: Run, reporter: Reporter) -> str:
    """Wait until a run has ended; returns its state.

    The first Ctrl-C asks the run to stop, and a second one leaves it; SIGTERM has it paused.
    """
    told = _Told(run, reporter)
    asked, lost, ends = 0.0, None, False
    with asked_by_signal() as wanted:
        while True:
            state = run.state
            told.look()
            if not ends and (how := wanted()):
                ends = True
                launcher.stop(run, "pause" if how == "signal" else how)
            lost = (lost or time.monotonic()) if state == "interrupted" else None
            if state not in (*ALIVE, "interrupted") or (lost and time.monotonic() - lost > AGAIN):
                run.wait(10)
                told.look()
                return run.state
            if time.monotonic() - asked > ASK:
                asked = time.monotonic()
                told.waits(launcher.watch(run))
            time.sleep(LOOK)


class _Told:
    """What a reporter was told of a run already."""

    def __init__(self, run: Run, reporter: Reporter) -> None:
        self.run, self.reporter = run, reporter
        self.epochs = len(run.history())
        self.step, self.waited = 0, ""

    def look(self) -> None:
        """Tell of the steps and epochs that are new."""
        status, history = self.run.status(), self.run.history()
        epochs = int(status.get("epochs") or 0)
        for row in history[self.epochs :]:
            self.reporter.epoch(row, epochs)
        self.epochs = len(history)
        if (step := int(status.get("step") or 0)) != self.step and (steps := self.run.steps()):
            self.step = step
            done = [row for row in steps if row.get("epoch") == steps[-1].get("epoch")]
            means = {f"running_{name}": _mean(done, name) for name in ("loss", "mean_iou")}
            self.reporter.step({**steps[-1], **means}, int(status.get("steps_per_epoch") or 1))

    def waits(self, what: str | None) -> None:
        """Tell what it waits for, once."""
        if what and what != self.waited:
            self.reporter.note(f"{self.run.id} waits for {what}")
        self.waited = what or ""


def _mean(rows: list[Row], name: str) -> float:
    values = [row[name] for row in rows if isinstance(row.get(name), int | float)]
    return sum(values) / len(values) if values else math.nan
