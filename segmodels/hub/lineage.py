"""What led to a checkpoint: the trainings before its own, and the checkpoints that it is the mean of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segmodels.errors import UserError
from segmodels.files import read_json, whole
from segmodels.hub.checkpoint import SPEC, read_spec
from segmodels.training.runs import Run, find_checkpoint, owner

#: Trainings before the last one that are told of, and checkpoints of a mean.
MOST_BEFORE, MOST_AVERAGED = 5, 100
#: Entries of `metrics.json`: the recipes of the trainings before, the first one first; what was averaged.
TRAININGS, AVERAGED = "trainings", "averaged"


def trainings_before(checkpoint: Path) -> list[dict[str, Any]]:
    """The recipes of the trainings that led to what a checkpoint's own began with, the first one first, as far back as
    they are here; of a checkpoint by itself those that its `metrics.json` tells."""
    run = owner(checkpoint)
    if run is None:
        told = metrics_of(checkpoint).get(TRAININGS)
        if not isinstance(told, list) or not all(isinstance(recipe, dict) for recipe in told):
            return []
        return told[-MOST_BEFORE:]
    found: list[dict[str, Any]] = []
    while len(found) < MOST_BEFORE and run and (run / "start" / SPEC).is_file():
        recipe = read_spec(run / "start").recipe
        if not recipe:
            break
        found.insert(0, recipe)
        try:
            run = owner(find_checkpoint(Run(run).recipe.start_from or ""))
        except UserError:
            break
    return found


def averaged(metrics: Mapping[str, Any]) -> list[str]:
    """What a checkpoint is the mean of, by its `metrics.json`; empty where it is none."""
    told = metrics.get(AVERAGED)
    if not isinstance(told, list) or not all(isinstance(name, str) for name in told):
        return []
    return told[:MOST_AVERAGED]


def metrics_of(folder: Path) -> dict[str, Any]:
    """The `metrics.json` of a checkpoint directory; empty where there is none."""
    path = whole(folder) / "metrics.json"
    document = read_json(path) if path.is_file() else {}
    return document if isinstance(document, dict) else {}
