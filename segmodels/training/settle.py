"""What a recipe leaves open, settled once when its run begins, and kept for as often as it is resumed."""

from __future__ import annotations

from pathlib import Path
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

#: Units of training whose masks are counted at once.
CHUNK = 64


def settle(recipe: Recipe, train: Prepared, path: Path | None = None, *, devices: int = 1) -> Recipe:
    """The recipe with its precision, class weights and batch size as values.

    `class_weights` come from the masks to train on, with mean 1 over the classes that occur in them.

    Args:
        path: the file that keeps them, and from which they are taken where it is there.
        devices: between which each batch is to be split.

    Raises:
        UserError: the file is damaged.
    """
    if path is None:
        return recipe.model_copy(update=settled(recipe, train, devices))
    if not path.exists():
        write_json(path, settled(recipe, train, devices))
    try:
        document = read_json(path)
        values = {name: document[name] for name in open_fields(recipe)}
        whole = Recipe(**{**recipe.model_dump(), **values})
        if open_fields(whole):
            raise ValueError
    except (UserError, KeyError, TypeError, ValueError):
        raise UserError(f"{path} is damaged: delete it, and what the recipe leaves open is settled anew") from None
    return whole


def open_fields(recipe: Recipe) -> list[str]:
    """The fields that a recipe leaves open."""
    left = {
        "precision": recipe.precision == "auto",
        "class_weights": isinstance(recipe.class_weights, str),
        "batch_size": recipe.batch_size == "auto",
    }
    return [name for name, is_open in left.items() if is_open]


def settled(recipe: Recipe, train: Prepared, devices: int = 1) -> dict[str, Any]:
    """Values for the fields that a recipe leaves open."""
    classes = len(train.dataset.classes)
    left = open_fields(recipe)
    document: dict[str, Any] = {}
    if "precision" in left:
        document["precision"] = device().precision
    if "class_weights" in left:
        weights = suggested_weights(count_pixels(train, classes), str(recipe.class_weights))
        document["class_weights"] = tuple(round(float(weight), 6) for weight in weights)
    if "batch_size" in left:
        fitting = fitting_batch_size(recipe.model_copy(update=document), classes, devices=devices)
        document["batch_size"] = min(fitting, len(train) // devices * devices or len(train))
    return document


def count_pixels(data: Prepared, classes: int) -> np.ndarray:
    """How many pixels of each class each unit of training has: int64 `(units, classes)`."""
    counts = np.zeros((len(data), classes), np.int64)
    for start in range(0, len(data), CHUNK):
        _, masks = data.read(slice(start, start + CHUNK))
        for offset, mask in enumerate(masks):
            counts[start + offset] = np.bincount(mask.ravel(), minlength=IGNORE + 1)[:classes]
    return counts
