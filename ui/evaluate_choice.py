"""What is to be evaluated: a model, the data, and how its masks are compared with the truth."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from segmodels.data.dataset import SPLITS, Dataset
from segmodels.errors import UserError
from segmodels.evaluation.reports import Report, kept_report, load_report, report_folder
from segmodels.hosted import limits
from segmodels.hub.names import is_model_name
from segmodels.training.runs import find_checkpoint
from ui.data_choice import choose_data
from ui.evaluation_data import evaluated_dataset, recipe_on
from ui.frame import plain
from ui.links import linked_selectbox
from ui.models import Model, usable_models
from ui.worker_view import Question

#: What the keys of the widgets, and their parameters in the address, begin with.
KEY = "evaluate"
#: The choice of a checkpoint that is in no list.
OTHER = "other"
#: Seconds that an evaluation may take, and for which nobody may have looked at it: a browser looks once a minute from a
#: tab that is hidden.
LIMIT, PATIENCE = 24 * 3600.0, 150.0
SIZES = {"native": "each picture's own", "model": "the model's"}


@dataclass(frozen=True)
class Wanted:
    """What is to be evaluated, and how."""

    model: Path
    data: str
    root: str | None
    split: str
    at: str
    width: int | None

    @property
    def dataset(self) -> Dataset:
        return evaluated_dataset(self.model, self.data, self.root)

    @property
    def question(self) -> Question:
        words = ["evaluate", str(self.model), "--data", self.data, "--split", self.split, "--at", self.at, "--masks"]
        words += ["--root", self.root] if self.root else []
        if self.width:
            words += ["--boundary-width", str(self.width)]
        terms = {"limit": LIMIT, "patience": PATIENCE, "keep": False}  # the report itself is what is kept
        return Question(KEY, "evaluations", tuple(words), "Evaluating", 60.0, training=True, terms=terms)

    def kept(self) -> tuple[Report | None, bool]:
        """The report that there is, and whether it is of the model as it is now."""
        if (report := kept_report(self.model, self.data, self.root, self.split, self.at)) is not None:
            return report, True
        with suppress(UserError):
            return load_report(report_folder(self.model, self.data, self.root, self.split, self.at)), False
        return None, False


def choose_evaluation() -> Wanted | None:
    """Widgets for all of it, each in the page's address; None after saying what to do."""
    left, right = st.columns(2, gap="small")
    with left:
        model = _choose_model()
    if model is None:
        return None
    own = recipe_on(model.path, None, None)
    _begin_with(model.path, own.data, own.root)
    with right:
        chosen = choose_data(key=f"{KEY}-data")
    if chosen is None:
        return None
    data, root = chosen
    split_place, size_place, width_place = st.columns([2, 2, 1], gap="small", vertical_alignment="bottom")
    with split_place:
        split = linked_selectbox("Split", SPLITS, key=f"{KEY}-split", default="test")
    with size_place:
        at = linked_selectbox(
            "Compared at the size",
            list(SIZES),
            key=f"{KEY}-at",
            format_func=SIZES.__getitem__,
            help="The model always sees a picture at its own scale; this is where its mask is compared with the truth.",
        )
    with width_place:
        width = _choose_width()
    return Wanted(model.path, data, recipe_on(model.path, data, root).root, split, at, width)


def _choose_model() -> Model | None:
    models = usable_models()
    asked = st.query_params.get(f"{KEY}-model", "")
    if asked not in models and (epoch := _kept_epoch(asked)):
        models[asked] = epoch
    if not models:
        st.info("There is no trained model yet.", icon=":material/flag:")
        st.page_link("pages/2_Train.py", label="Train one", icon=":material/arrow_forward:")
    titles = {name: model.title for name, model in models.items()}
    if limits().folders:
        titles[OTHER] = "Another checkpoint …"
    if not titles:
        return None
    if asked and asked not in titles:
        st.warning(f"{plain(asked[:100])} is not here any more.", icon=":material/search_off:")
    name = linked_selectbox("Model", list(titles), key=f"{KEY}-model", format_func=titles.__getitem__)
    if name != OTHER:
        return models[name]
    typed = st.text_input(  # not in the address: a link does not choose what is opened on this computer
        "Checkpoint directory, run, or run with epoch",
        key=f"{KEY}-checkpoint",
        placeholder="/path/to/a/checkpoint, or 20260101-120000-unet@3",
    ).strip()
    if is_model_name(typed):
        raise UserError(f"{typed} is not here yet: pull it on the Models page")
    return Model(typed, find_checkpoint(typed)) if typed else None


def _kept_epoch(name: str) -> Model | None:
    """The checkpoint of RUN@EPOCH, which a link may name; no paths."""
    if re.fullmatch(r"[\w.+-]+@\d{1,9}", name):
        with suppress(UserError):
            return Model(name, find_checkpoint(name))
    return None


def _begin_with(model: Path, data: str | None, root: str | None) -> None:
    """Begin with the data that a model was trained on, each time another model is chosen; but as a link says."""
    key = f"{KEY}-data"
    first = f"{key}-of" not in st.session_state
    if st.session_state.get(f"{key}-of") == model:
        return
    st.session_state[f"{key}-of"] = model
    if data is None:
        return
    st.session_state[f"{key}-folder"] = data if Path(data).is_absolute() else None
    st.session_state[f"{key}-root-{data}"] = root or ""
    if not (first and key in st.query_params):
        st.session_state[key] = data


def _choose_width() -> int | None:
    key = f"{KEY}-width"
    if key not in st.session_state:
        asked = st.query_params.get(key, "")
        st.session_state[key] = int(asked) if re.fullmatch(r"[1-9]\d{0,3}", asked) else None
    width = st.number_input(
        "Boundary width",
        1,
        9999,
        step=1,
        key=key,
        placeholder="auto",
        help="Pixels around an outline within which outlines are compared; auto is 0.75 % of a picture's diagonal.",
    )
    if width:
        st.query_params[key] = str(width)
    else:
        st.query_params.pop(key, None)
    return width
