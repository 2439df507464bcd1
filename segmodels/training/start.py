"""The weights that a fork begins with, and those of a training's teachers, kept in its own run from when it is made.
Loads no Keras.

The checkpoint that a recipe names may hold a better epoch, or be deleted, before the run's turn comes.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from segmodels.data.dataset import Dataset
from segmodels.errors import UserError
from segmodels.evaluation.evaluated_data import kept_split
from segmodels.files import read_json, replacing, write_json
from segmodels.hub.checkpoint import SPEC, WEIGHTS, read_spec
from segmodels.hub.lineage import LED_TO, TEACHERS, recipes_of
from segmodels.hub.linked import link_checkpoint
from segmodels.hub.names import is_model_name
from segmodels.recipe import Recipe
from segmodels.training.runs import Run, find_checkpoint


def make_run(recipe: Recipe, path: str | Path | None = None) -> Run:
    """Make a run directory as `Run.create` does, with the weights that it starts from and those of its teachers.

    Raises:
        UserError: it cannot be written, or what it starts from, or a teacher, is not there.
    """
    run = Run.create(recipe, path)
    try:
        if recipe.start_from:
            kept_start(run, recipe.start_from)
        kept_teachers(run)
    except BaseException:
        shutil.rmtree(run.path, ignore_errors=True)
        raise
    return run


def kept_start(run: Run, name: str) -> Path:
    """The checkpoint directory in a run that holds what it starts from; it is made from `name` where there is none."""
    return _kept(name, run.path / "start")


def kept_teachers(run: Run) -> list[Path]:
    """The checkpoint directories in a run that hold its teachers, in the order of its recipe; made where there are
    none. Beside each are the recipes that led to it."""
    folder = run.path / TEACHERS
    if run.recipe.teachers and not folder.is_dir():
        with replacing(folder, make_folder=False) as part:
            part.mkdir()
            for number, name in enumerate(run.recipe.teachers):
                checkpoint = find_checkpoint(name)
                write_json(_kept(name, part / str(number)) / LED_TO, recipes_of(checkpoint))
    return [folder / str(number) for number in range(len(run.recipe.teachers or ()))]


def _kept(name: str, folder: Path) -> Path:
    """The checkpoint that `name` says, in a folder; made where there is none."""
    if not (folder / SPEC).is_file():
        with replacing(folder, make_folder=False) as part:
            link_checkpoint(lambda: find_checkpoint(name), part, lambda _: (SPEC, WEIGHTS), called=name)
    return folder


def known_before(recipe: Recipe, name: str, dataset: Dataset) -> int:
    """How many pictures of the validation split were trained on by a checkpoint that a recipe starts from or learns
    from, as far as that is known here: the first epochs look too good on them, and the best one is then no better."""
    if is_model_name(name):
        return 0
    try:
        checkpoint = find_checkpoint(name)
        if read_spec(checkpoint).recipe.get("data") != recipe.data:
            return 0
        told = read_json(kept_split(checkpoint))["splits"]["train"]
        return len({sample.id for sample in dataset.samples("validation")} & set(told))
    except (UserError, KeyError, TypeError):  # it is not here any more, or how it was split is not known
        return 0
