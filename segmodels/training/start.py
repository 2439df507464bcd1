"""The weights that a fork begins with, kept in its own run from when it is made. Loads no Keras.

The checkpoint that a recipe names may hold a better epoch, or be deleted, before the run's turn comes.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from segmodels.files import replacing
from segmodels.hub.checkpoint import SPEC, WEIGHTS
from segmodels.hub.linked import link_checkpoint
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
