"""What a recipe leaves open, settled once when its run begins, and kept for as often as it is resumed."""

from __future__ import annotations

from typing import Any

import numpy as np

from segmodels.data.class_weights import suggested_weights
from segmodels.data.dataset import IGNORE
from segmodels.data.prepared import Prepared
from segmodels.device import device
from segmodels.errors import UserError
from segmodels.files import read_json, write_json
from segmodels.recipe import Recipe
from segmodels.training.memory import fitting_batch_size
from segmodels.training.runs import Run

#: Units of training whose masks are counted at once.
CHUNK = 64


def settle(recipe: Recipe, run: Run, train: Prepared) -> Recipe:
    """The recipe with its precision, class weights and batch size as values; `settled.json` keeps them.

    `class_weights` come from the masks to train on, with mean 1 over the classes that occur in them.
    """
    path = run.path / "settled.json"
    if path.exists():
        return recipe.model_copy(update=_checked(recipe, read_json(path)))
    document = settled(recipe, train)
    write_json(path, document)
    return recipe.model_copy(update=_checked(recipe, document))


def settled(recipe: Recipe, train: Prepared) -> dict[str, Any]:
    """Values for what a recipe leaves open: `precision`, and `class_weights` and `batch_size` where they are."""
    classes = len(train.dataset.classes)
    document: dict[str, Any] = {"precision": device().precision if recipe.precision == "auto" else recipe.precision}
    if isinstance(recipe.class_weights, str):
        weights = suggested_weights(count_pixels(train, classes), recipe.class_weights)
        document["class_weights"] = tuple(round(float(weight), 6) for weight in weights)
    if recipe.batch_size == "auto":
        fitting = fitting_batch_size(recipe.model_copy(update=document), classes)
        document["batch_size"] = min(fitting, len(train))
    return document


def _checked(recipe: Recipe, document: Any) -> dict[str, Any]:
    """The settled fields as a recipe has them; `UserError` where the file was damaged or changed."""
    try:
        whole = Recipe(**{**recipe.model_dump(), **document})
    except (TypeError, UserError) as error:
        raise UserError(f"settled.json of the run is damaged: delete it to settle anew ({error})") from None
    return {name: getattr(whole, name) for name in ("precision", "class_weights", "batch_size")}


def count_pixels(data: Prepared, classes: int) -> np.ndarray:
    """How many pixels of each class each unit of training has: int64 `(units, classes)`."""
    counts = np.zeros((len(data), classes), np.int64)
    for start in range(0, len(data), CHUNK):
        _, masks = data.read(slice(start, start + CHUNK))
        for offset, mask in enumerate(masks):
            counts[start + offset] = np.bincount(mask.ravel(), minlength=IGNORE + 1)[:classes]
    return counts
