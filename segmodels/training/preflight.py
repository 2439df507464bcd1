"""What can be found wrong with a recipe before a run is made of it, in a moment and without an engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from segmodels.errors import UserError
from segmodels.hub.checkpoint import ArchitectureSpec, read_spec
from segmodels.models.architectures import NAMED_WEIGHTS, checked_options
from segmodels.models.weights import given_file
from segmodels.recipe import Recipe
from segmodels.training.runs import find_checkpoint


def check(recipe: Recipe) -> None:
    """`UserError` where the data set is not there, has nothing to train or validate on, or does not fit the recipe."""
    dataset = recipe.dataset()
    for split in ("train", "validation"):
        if not dataset.samples(split):
            raise UserError(f"{recipe.data} has no pictures in its {split} split")
    if isinstance(recipe.class_weights, tuple) and len(recipe.class_weights) != len(dataset.classes):
        raise UserError(
            f"recipe field class_weights has {len(recipe.class_weights)} weights, "
            f"but {recipe.data} has {len(dataset.classes)} classes"
        )
    if recipe.weights and recipe.weights not in NAMED_WEIGHTS:
        given_file(recipe.weights)
    if recipe.start_from:
        check_start(recipe, find_checkpoint(recipe.start_from))
    for name in recipe.teachers or ():
        check_teacher(recipe, name, [label.name for label in dataset.classes])


def check_start(recipe: Recipe, path: Path) -> None:
    """`UserError` where a checkpoint is of another network than the recipe's, so that none can begin with its weights.

    Its classes may be others: what tells them apart is then learned anew.
    """
    theirs = read_spec(path).architecture
    for name, ours, other in (
        ("architecture", recipe.architecture, theirs.name),
        ("backbone", recipe.backbone, theirs.backbone),
        *_options(recipe, theirs),
    ):
        if ours != other:
            raise UserError(
                f"recipe field start_from={recipe.start_from!r}: its {name} is {other}, but the recipe's is {ours}; "
                "they must be the same"
            )


def check_teacher(recipe: Recipe, name: str, classes: Sequence[str]) -> None:
    """`UserError` where nothing can be learned from a checkpoint: it has other classes than the data, or sees pictures
    at another scale."""
    theirs = read_spec(find_checkpoint(name))
    if (others := [label.name for label in theirs.classes]) != list(classes):
        raise UserError(
            f"recipe field teachers: the classes of {name} are {', '.join(others)}, but those of {recipe.data} are "
            f"{', '.join(classes)}; they must be the same, in one order"
        )
    if theirs.input.mode != recipe.sampling:
        raise UserError(
            f"recipe field teachers: {name} has learned by sampling={theirs.input.mode}, but the recipe has "
            f"sampling={recipe.sampling}; they must be the same"
        )


def _options(recipe: Recipe, theirs: ArchitectureSpec) -> Iterator[tuple[str, Any, Any]]:
    """Each option by name, as the recipe and as the checkpoint have it."""
    if (recipe.architecture, recipe.backbone) == (theirs.name, theirs.backbone):
        ours = checked_options(recipe.architecture, recipe.backbone, recipe.options).model_dump()
        other = checked_options(theirs.name, theirs.backbone, theirs.options).model_dump()
        yield from ((f"option {name}", value, other[name]) for name, value in ours.items())
