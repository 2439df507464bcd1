"""What predicts, and how: models, engine, test-time augmentation, and what is done to the mask afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import streamlit as st

from segmodels.data.datasets import DATASETS, dataset_type, is_folder
from segmodels.hub.checkpoint import read_spec, weights_written
from segmodels.prediction.result import Refinement
from ui.frame import plain
from ui.links import linked_selectbox
from ui.models import usable_models

#: Models side by side.
MOST = 6
#: The one that a page without a choice begins with, where it is there: it is for the photos that most have at hand.
FIRST = "pets"
#: The models, in the address, with commas between.
MODEL = "model"


@dataclass(frozen=True)
class Model:
    """A model that was chosen: the name that the address has, its checkpoint directory, and what it was trained on."""

    name: str
    path: Path
    data: str | None


@dataclass(frozen=True)
class How:
    """How pictures are predicted.

    Attributes:
        engine: "auto", or a name of `segmodels.prediction.engines.ENGINES`.
        tta: names of `segmodels.prediction.views.VIEWS`, with commas between; "none" for the picture as it is, and
            nothing for the model's own.
        refinement: of the masks.
    """

    engine: str = "auto"
    tta: str = ""
    refinement: Refinement = field(default_factory=Refinement)

    def engine_for(self, path: Path) -> str:
        """The engine that a model is predicted with now: Keras, as long as the file that another needs is not made."""
        from segmodels.prediction.engines import suited
        from segmodels.prediction.engines.onnx_engine import is_made

        wanted = suited(path) if self.engine == "auto" else self.engine
        return wanted if wanted == "keras" or is_made(path) else "keras"

    def key(self, model: Model) -> tuple[str, int, str, str]:
        """Says what a prediction depends on beside the picture and what is done afterwards.

        A file that is made meanwhile changes nothing of it: what was predicted, selected or corrected stays.
        """
        return str(model.path), weights_written(model.path), self.engine, self.tta


def choose_models() -> list[Model]:
    """A box for one to six of them; none where there is no model, after saying what to do."""
    there = usable_models()
    if not there:
        st.info("There is no trained model yet.", icon=":material/flag:")
        st.page_link("pages/2_Train.py", label="Train one", icon=":material/arrow_forward:")
        return []
    if "models" not in st.session_state:
        first = FIRST if FIRST in there else next(iter(there))
        st.session_state["models"] = _asked(list(there)) or [first]
    st.session_state["models"] = [name for name in st.session_state["models"] if name in there]
    names = st.multiselect(
        "Models", list(there), key="models", max_selections=MOST, format_func=lambda name: there[name].title,
        placeholder="Choose up to six", select_all=False,
    )  # fmt: skip
    st.query_params[MODEL] = ",".join(names)
    if not names:
        st.info("Choose a model.", icon=":material/touch_app:")
    chosen = [Model(name, there[name].path, _trained_on(there[name].path)) for name in names]
    _terms(chosen)
    return chosen


def _trained_on(path: Path) -> str | None:
    """The data set that a checkpoint names; no folder, as it is not for a stranger's model to say which are opened."""
    data = read_spec(path).recipe.get("data")
    return data if isinstance(data, str) and data and not is_folder(data) else None


def _terms(models: Sequence[Model]) -> None:
    """Say which models may not be used for business, as their data may not."""
    for data in dict.fromkeys(model.data for model in models):
        if data in DATASETS and "NC" in (kind := dataset_type(data)).licence:
            named = ", ".join(model.name for model in models if model.data == data)
            st.caption(
                f":material/copyright: {plain(named)}: learnt from {plain(kind.title)}, {plain(kind.licence)}; not for "
                "commercial use"
            )


def _asked(there: Sequence[str]) -> list[str]:
    """Those that a link names; a name may have a comma of its own."""
    given = st.query_params.get(MODEL, "")
    names = [given] if given in there else given.split(",")
    return [name for name in dict.fromkeys(names) if name in there][:MOST]


def choose_how() -> How:
    """Widgets for all of it in an expander, each in the address."""
    from segmodels.prediction.engines import ENGINES
    from segmodels.prediction.views import PLAIN, VIEWS

    engines = ["auto", *(name for name, engine in ENGINES.items() if all(map(find_spec, engine.packages)))]
    asked = any(name in st.query_params for name in ("threshold", "smallest", "hole", "tta", "engine"))
    with st.expander("Refine", st.session_state.setdefault("refine-open", asked), icon=":material/tune:"):
        sure, small, hole = st.columns(3, gap="medium")
        threshold = sure.slider(
            "Least confidence", 0.0, 1.0, 0.0, 0.01, key="threshold", bind="query-params",
            help="Pixels of which the model is less sure are ignored",
        )  # fmt: skip
        smallest = small.number_input(
            "Smallest region (pixels)", 0, 10_000_000, 0, key="smallest", bind="query-params",
            help="Smaller pieces of a class become background",
        )  # fmt: skip
        largest = hole.number_input(
            "Largest hole (pixels)", 0, 10_000_000, 0, key="hole", bind="query-params",
            help="Background of up to so many pixels within one piece is filled",
        )  # fmt: skip
        views, computes = st.columns([2, 1], gap="medium")
        tta = views.pills(
            "Test-time augmentation", [PLAIN, *VIEWS], selection_mode="multi", key="tta", bind="query-params",
            on_change=_none_stands_alone,
            help="The picture is seen mirrored, turned and at other scales too, and the answers are averaged: a little "
            "better, and as many times slower. Without a choice the model's own, where it has some; none is the "
            "picture as it is, once",
        )  # fmt: skip
        with computes:
            engine = linked_selectbox(
                "Engine", engines, key="engine",
                help="auto: on a processor ONNX Runtime, whose file is made after the first picture; else Keras",
            )  # fmt: skip
    if engine == "auto":
        st.query_params.pop("engine", None)
    st.session_state["tta-before"] = list(tta)
    seen_as = PLAIN if PLAIN in tta else ",".join(tta)
    return How(engine, seen_as, Refinement(threshold, int(smallest), int(largest)))


def _none_stands_alone() -> None:
    """Of "none" and other views keep what was clicked last."""
    from segmodels.prediction.views import PLAIN

    chosen = list(st.session_state["tta"])
    if PLAIN in chosen and len(chosen) > 1:
        others = [name for name in chosen if name != PLAIN]
        st.session_state["tta"] = others if st.session_state.get("tta-before") == [PLAIN] else [PLAIN]
