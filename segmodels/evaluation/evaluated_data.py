"""On what a model is evaluated: its recipe, with the data that it is evaluated on. Loads no Keras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segmodels.data.datasets import data_name, is_folder
from segmodels.errors import UserError
from segmodels.recipe import Recipe
from segmodels.training.runs import SPLIT, owner


def kept_split(checkpoint: Path) -> Path:
    """Where it is kept how the data of a checkpoint was split, if it is."""
    return (owner(checkpoint) or checkpoint) / SPLIT


def evaluated_recipe(model: Path, fields: dict[str, Any], data: str | None, root: str | Path | None) -> Recipe:
    """What a model was trained by, on the data that it is evaluated on; its `dataset()` is that.

    Args:
        model: a checkpoint directory. The recipe of its run, where it is in one, also knows the folder of the data, and
            how it was split for the training: what was trained on must not be tested on. A mean of checkpoints keeps
            that.
        fields: of the recipe that the checkpoint names.
        data: a data set's name; that of the recipe where None.
        root: its folder, where it has files.

    Raises:
        UserError: an unknown name, a recipe of which a field is wrong, or one of a checkpoint that is in no run and
            names a folder.
    """
    run = owner(model)
    if run:
        settled = {name: fields[name] for name in ("class_weights",) if name in fields}
        fields = {**Recipe.load(run / "recipe.json").model_dump(), **settled}
    else:  # it may be anybody's: which folders of this computer are opened is not for it to say
        fields = {name: value for name, value in fields.items() if name not in ("root", "split_file")}
        if not data and (named := fields.get("data")) and is_folder(str(named)):
            raise UserError(f"{model} says that it was trained on {str(named)[:200]!r}: name the data set to use")
    if data and data_name(data) != fields.get("data"):
        fields = {**fields, "data": data, "root": None, "form": None, "split_file": None}
    elif root in (None, fields.get("root")) and (split := kept_split(model)).is_file():
        fields = {**fields, "split_file": str(split)}
    if root is not None:
        fields = {**fields, "root": str(root)}
    # Pretrained weights are not looked for, nor is anything of what they were trained by.
    tuned = ("freeze_epochs", "fine_tune_rate", "backbone_rate", "layer_decay")
    return Recipe(**{**{name: value for name, value in fields.items() if name not in tuned}, "weights": "none"})
