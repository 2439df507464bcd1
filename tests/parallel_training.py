"""Trainings on one device and on two that share the CPU, in one process: prints their loss curves as JSON.

Run as `python parallel_training.py FOLDER RECIPE NAME …`; a name is `one` or `two`, or as `two-one` a training that is
paused on two devices after `PAUSED` steps and resumed on one.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

import segmodels.backend  # noqa: F401 (before the engine)
from segmodels.device import device
from segmodels.recipe import Recipe
from segmodels.training.parallel import make_parallel
from segmodels.training.reporter import Reporter
from segmodels.training.runs import Run
from segmodels.training.start import make_run
from segmodels.training.trainer import Interrupted, Trainer

#: Steps before a pause, in the middle of an epoch of 4.
PAUSED = 6


class Losses(Reporter):
    """Keeps the loss of every step, whole."""

    def __init__(self, most: int | None) -> None:
        self.losses: list[float] = []
        self.most = most

    def step(self, row: dict[str, Any], steps: int) -> None:
        self.losses.append(row["loss"])

    def wanted(self) -> str | None:
        return "pause" if self.most is not None and len(self.losses) >= self.most - 1 else None


def main(folder: Path, recipe: Recipe, names: list[str]) -> dict[str, Any]:
    devices = {"one": None, "two": make_parallel([device()] * 2)}

    def go(run: Run, on: str, *, resume: bool, most: int | None = None) -> list[float]:
        told, status = Losses(most), {}  # type: ignore[var-annotated]
        trainer = Trainer(
            recipe, run, update=status.update, wanted=told.wanted, reporter=told, resume=resume, parallel=devices[on]
        )
        try:
            trainer.fit()
        except Interrupted:
            assert most is not None
        found.setdefault("parallel", {})[on] = status.get("parallel")
        return told.losses

    found: dict[str, Any] = {}
    for name in names:
        run, (first, _, second) = make_run(recipe, folder / name), name.partition("-")
        losses = go(run, first, resume=False, most=PAUSED if second else None)
        if second:
            losses += go(run, second, resume=True)
        history = run.history()
        with np.load(run.last / "variables.npz") as stored:
            variables = [stored[key].astype(float) for key in sorted(stored.files)]
        found[name] = {
            "losses": losses,
            "validation": [row["val_loss"] for row in history],
            "accuracy": [row["val_pixel_accuracy"] for row in history],
            "confusion": [int(row) for row in _confusion(run)],
            "variables": [float(np.abs(values).sum()) for values in variables],
        }
    return found


def _confusion(run: Run) -> list[str]:
    """The counts of the last validation."""
    return (run.path / "confusion.csv").read_text().splitlines()[-1].split(",")[1:]


if __name__ == "__main__":
    place, fields, *which = sys.argv[1:]
    print(json.dumps(main(Path(place), Recipe(**json.loads(fields)), which)))
