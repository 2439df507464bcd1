"""How long the recipes that have a name took in this home, told from the files of its runs. Loads no Keras."""

from __future__ import annotations

import functools
import math
import statistics
from contextlib import suppress
from typing import Any

from segmodels.errors import UserError
from segmodels.files import read_json
from segmodels.named_recipes import NAMED_RECIPES, named_recipe
from segmodels.recipe import Recipe
from segmodels.training.changes import DONE
from segmodels.training.runs import Run, list_runs


def times_here() -> dict[str, float]:
    """Seconds by the name of each recipe that was trained to its end here, exactly as it stands: the epochs and their
    validations without the pauses; of several runs the median."""
    found: dict[str, list[float]] = {}
    for run in list_runs():
        with suppress(UserError):  # files that are damaged
            if (name := _name(run)) and (seconds := _seconds(run, _documents()[name]["epochs"])) is not None:
                found.setdefault(name, []).append(seconds)
    return {name: statistics.median(found[name]) for name in NAMED_RECIPES if name in found}


def _name(run: Run) -> str | None:
    """What the recipe of a run is called; the file is compared as it is, which takes a fraction of checking it."""
    document = read_json(run.path / "recipe.json", limit=1_000_000)
    if not isinstance(document, dict):
        return None
    document = {**_plain(), **document}  # a run may be older than a field
    return next((name for name, fields in _documents().items() if fields == document), None)


@functools.cache
def _plain() -> dict[str, Any]:
    return Recipe().model_dump(mode="json")


@functools.cache
def _documents() -> dict[str, dict[str, Any]]:
    """The recipes that have a name, as a run's `recipe.json` has them."""
    return {name: named_recipe(name).model_dump(mode="json") for name in NAMED_RECIPES}


def _seconds(run: Run, epochs: int) -> float | None:
    """What the epochs of a finished run took together; None of any other, of one that was changed on its way, and where
    a row is missing or damaged."""
    status = read_json(run.path / "status.json")
    if not isinstance(status, dict) or status.get("state") != "finished" or (run.path / DONE).exists():
        return None
    seconds = [row.get("seconds") for row in run.history()]
    whole = len(seconds) == epochs or status.get("ended_early") is True
    numbers = [float(value) for value in seconds if isinstance(value, int | float)]
    if not whole or not numbers or len(numbers) < len(seconds):
        return None
    total = sum(numbers)
    return total if math.isfinite(total) and min(numbers) >= 0 else None
