"""The models that can predict: those that ship or were imported, those that were pulled, and the best epoch of every
run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from segmodels.errors import UserError
from segmodels.home import home
from segmodels.hub.checkpoint import SPEC
from segmodels.hub.pulled import Pulled, pulled_models
from segmodels.training.runs import Run, list_runs


@dataclass(frozen=True)
class Model:
    """A checkpoint directory and what a list calls it.

    Attributes:
        kind: where it is from: "here" of one that ships or was imported.
        pulled: the commit that it is, of one that was pulled.
        run: of which it is the best epoch.
    """

    title: str
    path: Path
    kind: Literal["here", "pulled", "run"] = "here"
    pulled: Pulled | None = None
    run: Run | None = None


def usable_models() -> dict[str, Model]:
    """By the name that deep links use: shipped and imported checkpoints, then pulled ones, then runs, newest first."""
    models = {
        folder.name: Model(folder.name, folder) for folder in sorted(home().glob("[!.]*/")) if (folder / SPEC).is_file()
    }
    for pulled in pulled_models():
        name = str(pulled)
        models[name] = Model(name, pulled.path, "pulled", pulled)
    for run in list_runs():
        if not run.has_best:
            continue
        try:
            best = run.status().get("best") or {}
        except UserError:
            best = {}
        figure = f" · mean IoU {best['mean_iou']:.3f}" if best.get("epoch") else ""
        models[run.id] = Model(f"{run.id}{figure}", run.best, "run", run=run)
    return models
