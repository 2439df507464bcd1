"""Who is told how a training goes: nobody, a terminal, or a log."""

from __future__ import annotations

from typing import Any


class Reporter:
    """Every method is called from the training loop and must be quick. This one keeps silent; others override."""

    def note(self, text: str) -> None:
        """Something worth a line."""

    def progress(self, done: int, total: int, what: str) -> None:
        """A long preparation moves on."""

    def step(self, row: dict[str, Any], steps: int) -> None:
        """A step is done: its row of `steps.csv` and the steps of an epoch."""

    def epoch(self, row: dict[str, Any], epochs: int) -> None:
        """An epoch is done and validated: its row of `metrics.csv`."""
