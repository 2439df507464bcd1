"""A model whose predictions stand beside the masks of a data set on Browse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from segmodels.data.dataset import Dataset, Sample
from segmodels.errors import UserError
from segmodels.hub.checkpoint import read_spec
from segmodels.prediction.stored import StoredPredictions
from ui import cached
from ui.frame import in_place, plain
from ui.links import linked_selectbox
from ui.models import Model, usable_models

#: The choice of no model, in the page's address too.
NONE = "none"


@dataclass(frozen=True)
class Against:
    """A model that was chosen, and what is kept of its predictions."""

    name: str
    model: Model
    stored: StoredPredictions


def choose_model(dataset: Dataset) -> Against | None:
    """A box with the models that know the classes of a data set; returns the one that was chosen."""
    fitting = {name: model for name, model in usable_models().items() if _fits(model, dataset)}
    titles = {NONE: "none", **{name: model.title for name, model in fitting.items()}}
    chosen = linked_selectbox(
        "Beside a model's masks",
        list(titles),
        key="against",
        format_func=titles.__getitem__,
        help="Those of your models that know the classes of this data set"
        if fitting
        else "No model knows the classes of this data set yet: train one",
    )
    if chosen == NONE:
        st.query_params.pop("against", None)
        return None
    return Against(chosen, fitting[chosen], StoredPredictions(fitting[chosen].path, dataset))


def predict_missing(against: Against, samples: Sequence[Sample]) -> dict[str, float]:
    """Say how many pictures are predicted, and offer to predict the others.

    Returns:
        how far those that are predicted are from the truth, by id.
    """
    found, left = against.stored.look(samples)
    missing = len(left)
    said, act = st.columns([5, 2], vertical_alignment="center")
    mean = f", {100 * sum(found.values()) / len(found):.1f} % of a picture not as in its mask" if found else ""
    said.caption(f"{plain(against.name)}: {len(found)} of {len(samples)} pictures predicted{mean}")
    if missing and act.button(f"Predict {missing} pictures", icon=":material/draw:", key="predict-split"):
        with in_place():
            _predict(against, samples)
            st.rerun()
    return found


def _predict(against: Against, samples: Sequence[Sample]) -> None:
    """Predict under a bar; whatever is clicked meanwhile ends it, and what is done is kept."""
    predictor = cached.predictor(against.model.path)
    if StoredPredictions(against.model.path, against.stored.dataset).folder != against.stored.folder:
        raise UserError(f"{against.name} has learned on while it was loaded: predict again")
    place = st.empty()
    with place.container(horizontal=True, vertical_alignment="center"):
        bar = st.progress(0.0, "predicting …")
        st.button("Stop", icon=":material/stop:", key="stop-predicting")

    def progress(done: int, total: int, what: str) -> None:
        bar.progress(done / total, f"{what}: {done} of {total}")

    against.stored.predict(predictor, samples, progress=progress)
    place.empty()


def _fits(model: Model, dataset: Dataset) -> bool:
    try:
        labels = read_spec(model.path).labels
    except UserError:
        return False
    return [label.name for label in labels] == [label.name for label in dataset.classes]
