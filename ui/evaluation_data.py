"""The data set of an evaluation, as `evaluate` opens it: split as it was for the model's training."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from segmodels.data.dataset import Dataset
from segmodels.evaluation.evaluated_data import evaluated_recipe
from segmodels.hub.checkpoint import read_spec
from segmodels.recipe import Recipe


def recipe_on(model: Path, data: str | None, root: str | None) -> Recipe:
    """What `evaluate` opens the data by: its `root` is where it looks."""
    return evaluated_recipe(model, read_spec(model).recipe, data, root)


@st.cache_resource(max_entries=16, show_spinner="Looking through the data set …", ttl=300)
def evaluated_dataset(model: Path, data: str, root: str | None) -> Dataset:
    """The data set opened; `UserError` where it is not there."""
    return recipe_on(model, data, root).dataset()
