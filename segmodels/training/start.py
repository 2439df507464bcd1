"""The weights that a fork begins with, kept in its own run from when it is made. Loads no Keras.

The checkpoint that a recipe names may hold a better epoch, or be deleted, before the run's turn comes.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from segmodels.data.dataset import Dataset
from segmodels.errors import UserError
from segmodels.evaluation.evaluated_data import kept_split
from segmodels.files import read_json, replacing
from segmodels.hub.checkpoint import SPEC, WEIGHTS, read_spec
from segmodels.hub.linked import link_checkpoint
from segmodels.hub.names import is_model_name
from segmodels.recipe import Recipe
from segmodels.training.runs import Run, find_checkpoint


def make_run(recipe: Recipe, path: str | Path | None = None) -> Run:
    """Make a run directory as `Run.create` does, with the weights that it starts from.

    Raises:
        UserError: it cannot be written, or what it starts from is not there.
    """
    run = Run.create(recipe, path)
    if recipe.start_from:
        try:
            kept_start(run, recipe.start_from)
        except BaseException:
            shutil.rmtree(run.path, ignore_errors=True)
            raise
    return run


def kept_start(run: Run, name: str) -> Path:
    """The checkpoint directory in a run that holds what it starts from; it is made from `name` where there is none."""
    start = run.path / "start"
    if (start / SPEC).is_file():
        return start
    with replacing(start, make_folder=False) as part:
        link_checkpoint(lambda: find_checkpoint(name), part, lambda _: (SPEC, WEIGHTS), called=name)
    return start


def known_before(recipe: Recipe, dataset: Dataset) -> int:
    """How many pictures of the validation split were trained on by what a recipe starts from, as far as that is known
    here: the first epochs look too good on them, and the best one is then no better than the start."""
    name = recipe.start_from
    if not name or is_model_name(name):
        return 0
    try:
        checkpoint = find_checkpoint(name)
        if read_spec(checkpoint).recipe.get("data") != recipe.data:
            return 0
        told = read_json(kept_split(checkpoint))["splits"]["train"]
        return len({sample.id for sample in dataset.samples("validation")} & set(told))
    except (UserError, KeyError, TypeError):  # it is not here any more, or how it was split is not known
        return 0
