"""The weights that a fork begins with, kept in its own run from when it is made. Loads no Keras.

The checkpoint that a recipe names may hold a better epoch, or be deleted, before the run's turn comes.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from segmodels.errors import UserError
from segmodels.files import replacing, whole
from segmodels.hub.checkpoint import SPEC, WEIGHTS
from segmodels.recipe import Recipe
from segmodels.training.runs import Run, find_checkpoint

#: How often a checkpoint is taken again that was replaced meanwhile.
TRIES = 20


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
    for _ in range(TRIES):
        with suppress(_Replaced), replacing(start, make_folder=False) as part:
            part.mkdir()
            _take(name, part)
            return start
    raise UserError(f"{name} has no {WEIGHTS}, or is replaced again and again: start from another checkpoint")


class _Replaced(Exception):
    """Another checkpoint took the place of the one that was being taken."""


def _take(name: str, folder: Path) -> None:
    try:
        source = whole(find_checkpoint(name))
        before = source.stat()
        for file in (SPEC, WEIGHTS):
            _link((source / file).resolve(strict=True), folder / file)
        # Only so both are of one epoch, and of the one that is named.
        same = os.path.samestat(before, whole(find_checkpoint(name)).stat())
    except FileNotFoundError:
        raise _Replaced from None
    if not same:
        raise _Replaced


def _link(source: Path, target: Path) -> None:
    """Another name for a file, which is never written in place; a copy where the disk is another."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)
