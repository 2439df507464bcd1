"""What can be found wrong with a recipe before a run is made of it, in a moment and without an engine."""

from __future__ import annotations

from segmodels.errors import UserError
from segmodels.models.architectures import NAMED_WEIGHTS
from segmodels.models.weights import given_file
from segmodels.recipe import Recipe


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
