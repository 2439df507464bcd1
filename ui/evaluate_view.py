"""Evaluate one model: what on, the work in a process of its own, and the report that is kept of it."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import streamlit as st

from segmodels.data.dataset import SPLITS, Dataset
from segmodels.durations import duration
from segmodels.errors import UserError
from segmodels.evaluation.reports import DOCUMENT, Report, kept_report, load_report, report_folder
from segmodels.hub.checkpoint import read_spec
from segmodels.training.runs import find_checkpoint
from ui.data_choice import choose_data
from ui.evaluation_data import evaluated_dataset, evaluated_root, trained_by
from ui.frame import in_place, plain
from ui.links import linked_selectbox
from ui.models import Model, usable_models
from ui.report_view import report_view
from ui.worker_view import LOOK, Question

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
        recipe = trained_by(self.model)
        if self.root and (self.data, self.root) != (recipe.get("data"), recipe.get("root")):
            words += ["--root", self.root]  # that of the recipe is known, with its split
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


def evaluate_view() -> None:
    """Draw the choices, what evaluates, and the report."""
    with in_place():
        if (wanted := _choose()) is None:
            return
        report, fresh = wanted.kept()
        question = wanted.question
        if question.is_asked:
            running = question.ask().state == "running"
            st.fragment(_look, run_every=LOOK if running else None)(question, running)
        else:
            with in_place():
                _offer(wanted, report, fresh)
        if report is not None:
            report_view(report, model=wanted.model, key=KEY)


def _choose() -> Wanted | None:
    left, right = st.columns(2, gap="large")
    with left:
        model = _choose_model()
    if model is None:
        return None
    recipe = trained_by(model.path)
    _begin_with(model.path, recipe.get("data"), recipe.get("root"))
    with right:
        chosen = choose_data(key=f"{KEY}-data")
    if chosen is None:
        return None
    data, root = chosen
    split_place, size_place, width_place = st.columns([2, 2, 1], gap="large", vertical_alignment="bottom")
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
    return Wanted(model.path, data, evaluated_root(model.path, data, root), split, at, width)


def _choose_model() -> Model | None:
    models = usable_models()
    asked = st.query_params.get(f"{KEY}-model", "")
    if asked not in models and (epoch := _kept_epoch(asked)):
        models[asked] = epoch
    if not models:
        st.info("There is no trained model yet.", icon=":material/flag:")
        st.page_link("pages/2_Train.py", label="Train one", icon=":material/arrow_forward:")
    titles = {**{name: model.title for name, model in models.items()}, OTHER: "Another checkpoint …"}
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


def _offer(wanted: Wanted, report: Report | None, fresh: bool) -> None:
    """The button, and when what there is was made."""
    ours = [label.name for label in read_spec(wanted.model).labels]
    theirs = [label.name for label in wanted.dataset.classes]
    if ours != theirs:
        raise UserError(
            f"the model knows the classes {', '.join(ours[:12])}, but {wanted.dataset.name} has "
            f"{', '.join(theirs[:12])}: choose a data set with its own classes"
        )
    pictures = len(wanted.dataset.samples(wanted.split))
    if not pictures:
        raise UserError(f"{wanted.dataset.name} has no {wanted.split} split: choose another split")
    act, said = st.columns([1, 4], vertical_alignment="center")
    if report is None:
        said.caption(f"{pictures:,} pictures of the {wanted.split} split. It is worked out in a process of its own.")
    else:
        said.caption(_made(report))
    act.button(
        "Evaluate" if report is None else "Evaluate again",
        type="primary" if report is None else "secondary",
        icon=":material/analytics:" if report is None else ":material/refresh:",
        key=f"{KEY}-start",
        on_click=_start,
        args=(wanted.question,),
        width="stretch",
    )
    if report is None:
        return
    if not fresh:
        st.warning("This is of earlier weights: the model has learned on since.", icon=":material/history:")
    elif wanted.width and report.document["boundary"].get("width") != wanted.width:
        st.info(
            f"The report is of another boundary width than {wanted.width} pixels: evaluate again for that.",
            icon=":material/border_style:",
        )


def _made(report: Report) -> str:
    """When it was made."""
    try:
        written = (report.folder / DOCUMENT).stat().st_mtime
    except OSError:
        return ""
    return f"Evaluated on {datetime.fromtimestamp(written):%Y-%m-%d at %H:%M}"


def _look(question: Question, was_running: bool) -> None:
    """How far the process is; the whole page once that changes."""
    if not question.is_asked:
        st.rerun()  # stopped, or done where somebody else looked
    answer = question.ask()
    if answer.state == "done":
        question.cancel()  # known by its report from now on
        st.rerun()
    if was_running != (answer.state == "running"):
        st.rerun()
    if answer.state == "running":
        done, total = _progress(question, answer.said)
        said = f"{done:,} of {total:,} pictures" if total else "loading the model and the first pictures"
        st.progress(done / total if total else 0.0, f"Evaluating: {said} · {duration(answer.seconds)}")
        st.button("Stop", icon=":material/stop:", key=f"{KEY}-stop", on_click=question.cancel)
    else:
        st.error(plain(answer.error), icon=":material/error:")
        with st.container(horizontal=True):
            st.button("Try again", icon=":material/refresh:", key=f"{KEY}-again", on_click=_start, args=(question,))
            st.button("Close", icon=":material/close:", key=f"{KEY}-close", on_click=question.cancel)


def _progress(question: Question, said: str) -> tuple[int, int]:
    """How far it is by what was said last of that: it names skipped pictures too."""
    found = progress_of(said)
    words, known = st.session_state.get(f"{KEY}-progress", (None, (0, 0)))
    if not found[1] and words == question.words and said:
        return known
    st.session_state[f"{KEY}-progress"] = (question.words, found)
    return found


def _start(question: Question) -> None:
    question.cancel()  # what failed before is tried again
    question.ask()


def progress_of(said: str) -> tuple[int, int]:
    """Pictures done and all of them, from a line such as "evaluating test: 40 of 253"; 0, 0 for another."""
    found = re.fullmatch(r"evaluating \w+: (\d{1,9}) of (\d{1,9})", said)
    return (min(int(found[1]), int(found[2])), int(found[2])) if found and int(found[2]) else (0, 0)
