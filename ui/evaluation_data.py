"""The data set of an evaluation, as `evaluate` opens it: split as it was for the model's training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from segmodels.data.dataset import Dataset
from segmodels.data.datasets import open_dataset
from segmodels.hub.checkpoint import read_spec
from segmodels.recipe import Recipe


def trained_by(model: Path) -> dict[str, Any]:
    """The recipe's fields of a checkpoint; of a run's, with the folder of its data."""
    if (run := _run_folder(model)) is not None:
        return Recipe.load(run / "recipe.json").model_dump()
    return read_spec(model).recipe


def evaluated_root(model: Path, data: str, root: str | None) -> str | None:
    """The folder that `evaluate` looks in: the one that is given, or that the model was trained on."""
    recipe = trained_by(model)
    return root or (recipe.get("root") if recipe.get("data") == data else None)


@st.cache_resource(max_entries=16, show_spinner="Looking through the data set …", ttl=300)
def evaluated_dataset(model: Path, data: str, root: str | None) -> Dataset:
    """The data set opened; `UserError` where it is not there.

    Args:
        root: as `evaluated_root` gives it.
    """
    recipe = trained_by(model)
    seed = recipe.get("split_seed") or 0
    if recipe.get("data") != data:
        return open_dataset(data, root, split_seed=seed)
    split_file = recipe.get("split_file")
    run = _run_folder(model)
    if run is not None and root == recipe.get("root") and (run / "split.json").is_file():
        split_file = run / "split.json"
    return open_dataset(data, root, split_seed=seed, form=recipe.get("form"), split_file=split_file)


def _run_folder(model: Path) -> Path | None:
    """The run that a checkpoint directory is of."""
    kept = model.parent
    run = kept if model.name == "best" else kept.parent if kept.name == "epochs" else None
    return run if run is not None and (run / "recipe.json").is_file() else None
