"""Who is told how a training goes: nobody, a terminal, a log, or several."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
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


class Log(Reporter):
    """A run's `log.txt`: each line with its time, and passed on to another reporter."""

    def __init__(self, path: Path, other: Reporter) -> None:
        self.path, self.other = path, other

    def note(self, text: str) -> None:
        self._write(text)
        self.other.note(text)

    def progress(self, done: int, total: int, what: str) -> None:
        self.other.progress(done, total, what)

    def step(self, row: dict[str, Any], steps: int) -> None:
        self.other.step(row, steps)

    def epoch(self, row: dict[str, Any], epochs: int) -> None:
        self._write(epoch_line(row, epochs))
        self.other.epoch(row, epochs)

    def _write(self, text: str) -> None:
        with suppress(OSError), self.path.open("a", encoding="utf-8") as file:  # no line is worth a training
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text}\n")


def epoch_line(row: dict[str, Any], epochs: int) -> str:
    """A row of `metrics.csv` as one line of text."""
    return (
        f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}  "
        f"loss {row['loss']:.4f}  mean IoU {row['mean_iou']:.4f}  |  "
        f"validation: loss {row['val_loss']:.4f}  accuracy {row['val_pixel_accuracy']:.4f}  "
        f"mean IoU {row['val_mean_iou']:.4f}  |  {row['images_per_second']:.1f} images/s, {row['seconds']:.0f} s"
    )
