"""The models that can predict: those that ship or were pulled, and the best epoch of every run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from segmodels.errors import UserError
from segmodels.home import home
from segmodels.hub.checkpoint import SPEC
from segmodels.training.runs import list_runs


@dataclass(frozen=True)
class Model:
    """A checkpoint directory and what a list calls it."""

    title: str
    path: Path


def usable_models() -> dict[str, Model]:
    """By the name that deep links use: shipped checkpoints first, then runs, newest first."""
    models = {
        folder.name: Model(folder.name, folder) for folder in sorted(home().glob("*/")) if (folder / SPEC).is_file()
    }
    for run in list_runs():
        if not run.has_best:
            continue
        try:
            best = run.status().get("best") or {}
        except UserError:
            best = {}
        figure = f" · mean IoU {best['mean_iou']:.3f}" if best.get("epoch") else ""
        models[run.id] = Model(f"{run.id}{figure}", run.best)
    return models
