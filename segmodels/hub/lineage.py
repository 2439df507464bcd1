"""What led to a checkpoint: the trainings before its own, the checkpoints that it is the mean of, and its teachers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segmodels.errors import UserError
from segmodels.files import read_json, whole
from segmodels.hub.checkpoint import SPEC, read_spec
from segmodels.hub.names import is_model_name, parse_model
from segmodels.hub.pulled import find_pulled
from segmodels.training.runs import Run, find_checkpoint, owner

#: Trainings before the last one that are told of, checkpoints of a mean, and teachers or members.
MOST_BEFORE, MOST_AVERAGED, MOST_OTHERS = 5, 100, 8
#: Entries of `metrics.json`: the recipes of the trainings before, the first one first; what the
#: weights are the mean of, or those that the training began with.
TRAININGS, AVERAGED, BEGAN_WITH_MEAN = "trainings", "averaged", "began_with_mean"
#: And what its last training learned from beside the masks; the folder of a run that has them is called so, too.
TEACHERS = "teachers"
#: And the models that it is an ensemble of.
MEMBERS = "members"
#: Beside a teacher in a run: the recipes of the trainings that led to it, the first one first.
LED_TO = "recipes.json"


def trainings_before(checkpoint: Path, most: int = MOST_BEFORE) -> list[dict[str, Any]]:
    """The recipes of the trainings that led to what a checkpoint's own began with, the first one first, as far back as
    they are here and `most` at once; of a checkpoint by itself those that its `metrics.json` tells."""
    run = owner(checkpoint)
    if run is None:
        told = metrics_of(checkpoint).get(TRAININGS)
        if not isinstance(told, list) or not all(isinstance(recipe, dict) for recipe in told):
            return []
        return told[-most:] if most else []
    recipe = read_spec(run / "start").recipe if (run / "start" / SPEC).is_file() else {}
    if not recipe or not most:
        return []
    begun = _begun_with(run)
    return [*(trainings_before(begun, most - 1) if begun else []), recipe]


def mean_before(checkpoint: Path) -> list[str]:
    """What the checkpoint is the mean of that the training of this one began with; empty where that was none. Of a
    checkpoint by itself what its `metrics.json` tells."""
    run = owner(checkpoint)
    if run is None:
        return averaged(metrics_of(checkpoint), BEGAN_WITH_MEAN)
    begun = _begun_with(run)
    return averaged(metrics_of(begun)) if begun and owner(begun) is None else []


def taught_by(run: Run) -> dict[str, Any]:
    """What the `metrics.json` of a run tells of its teachers, if it has any: each one's name, and the recipes of the
    trainings that led to it; and the share of the loss that is theirs."""
    recipe = run.recipe
    if not recipe.teachers:
        return {}
    told = [
        {"name": portable(name), "recipes": read_json(run.path / TEACHERS / str(number) / LED_TO)}
        for number, name in enumerate(recipe.teachers)
    ]
    return {TEACHERS: told, "teacher_weight": recipe.teacher_weight}


def recipes_of(checkpoint: Path) -> list[dict[str, Any]]:
    """The recipes of all trainings that led to a checkpoint, its own last."""
    return [*trainings_before(checkpoint), with_teachers(read_spec(checkpoint).recipe, metrics_of(checkpoint))]


def with_teachers(recipe: Mapping[str, Any], metrics: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe of a spec, which names no other checkpoint, with the names of its teachers as a command has them."""
    if not (teachers := others_of(metrics, TEACHERS)):
        return dict(recipe)
    weight = metrics.get("teacher_weight")
    told = f"{weight:g}" if isinstance(weight, (int, float)) else "0.5"
    return {**recipe, "teachers": ",".join(" ".join(name.split()) for name, _ in teachers), "teacher_weight": told}


def others_of(metrics: Mapping[str, Any], key: str) -> list[tuple[str, list[dict[str, Any]]]]:
    """The name and the recipes of each of the `TEACHERS` or `MEMBERS`, by a `metrics.json`; empty where there are
    none."""
    told = metrics.get(key)
    if not isinstance(told, list) or not all(isinstance(each, dict) for each in told):
        return []
    return [
        (each["name"], each["recipes"][: MOST_BEFORE + 1])
        for each in told[:MOST_OTHERS]
        if isinstance(each.get("name"), str)
        and isinstance(each.get("recipes"), list)
        and all(isinstance(recipe, dict) for recipe in each["recipes"])
    ]


def portable(name: str) -> str:
    """The name of a checkpoint without the folders of a path."""
    is_path = not name.startswith("hf://") and re.search(r"[/\\]", name)
    return re.split(r"[/\\]", name)[-1] if is_path else name


def _begun_with(run: Path) -> Path | None:
    """The checkpoint that a run began with; None where there was none, or it is not here any more. Asks no Hub."""
    try:
        name = Run(run).recipe.start_from
        if not name:
            return None
        if is_model_name(name):
            kept = find_pulled(parse_model(name))
            return kept.path if kept else None
        return find_checkpoint(name)
    except UserError:
        return None


def averaged(metrics: Mapping[str, Any], key: str = AVERAGED) -> list[str]:
    """What a checkpoint is the mean of, by its `metrics.json`, or its training began with the mean of; else empty."""
    told = metrics.get(key)
    if not isinstance(told, list) or not all(isinstance(name, str) for name in told):
        return []
    return told[:MOST_AVERAGED]


def metrics_of(folder: Path) -> dict[str, Any]:
    """The `metrics.json` of a checkpoint directory; empty where there is none."""
    path = whole(folder) / "metrics.json"
    document = read_json(path) if path.is_file() else {}
    return document if isinstance(document, dict) else {}
