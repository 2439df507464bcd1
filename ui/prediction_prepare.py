"""The file that ONNX Runtime needs is made by a process of its own, once a model has predicted without it.

Nobody waits for it: the model goes on with Keras, and from the next picture on it is faster.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import streamlit as st

from segmodels.device import device
from segmodels.engines import chosen_engine
from segmodels.hub.checkpoint import weights_written
from segmodels.hub.onnx_model import PACKAGES
from segmodels.prediction.engines.onnx_engine import is_made
from ui.frame import plain
from ui.prediction_choice import How, Model
from ui.worker_view import LOOK, Question

#: Seconds that it may take. It is made to its end, also where nobody looks any more: it is kept for all.
LIMIT = 900.0

#: The models whose files were begun in this process, with the time of the weights that they were begun for.
_begun: dict[Path, int] = {}
_guard = threading.Lock()


def is_wanted(how: How) -> bool:
    """Whether the file would be used: where it was asked for, or on a processor, if it can be made here at all."""
    if how.engine != "auto":
        return how.engine != "keras"
    return device().kind == "cpu" and chosen_engine() == "tensorflow" and all(map(find_spec, PACKAGES))


def prepare(path: Path) -> None:
    """Begin to make the file of a model; returns at once. One is made at a time, and each once, even where it fails."""
    with _guard:
        written = weights_written(path)
        if _begun.get(path) == written or any(is_running(other) for other in _begun):
            return
        question(path).cancel()  # how it ended for earlier weights
        question(path).ask()
        _begun[path] = written


def prepare_again(path: Path) -> None:
    """The same where it failed before."""
    with _guard:
        _begun.pop(path, None)
    prepare(path)


def is_running(path: Path) -> bool:
    """Whether the file of a model is being made."""
    return question(path).is_asked and question(path).ask().state == "running"


def question(path: Path) -> Question:
    terms = {"limit": LIMIT, "patience": LIMIT, "keep": False}  # the file itself is what is kept
    return Question("prepare", "engines", ("engines", str(path)), "Preparing", 30.0, terms=terms)


def prepare_view(models: Sequence[Model], how: How) -> None:
    """A line for each model whose file is being made, or could not be."""
    if not is_wanted(how):
        return
    for number, model in enumerate(models):
        if question(model.path).is_asked and not is_made(model.path):
            running = is_running(model.path)
            st.fragment(_look, run_every=LOOK if running else None)(model, number, running)


def _look(model: Model, number: int, was_running: bool) -> None:
    asked = question(model.path)
    answer = asked.ask() if asked.is_asked else None
    if was_running and (answer is None or answer.state != "running"):
        st.rerun()  # the whole page, which then stops looking
    if answer is not None and answer.state == "running":
        st.caption(
            f"{plain(model.name)} is being made ready for ONNX Runtime, which is faster here: {answer.seconds:.0f} s. "
            "Until then it predicts with Keras."
        )
    elif answer is not None and answer.state == "failed":
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"{plain(model.name)} predicts with Keras, since ONNX Runtime cannot: {plain(answer.error)}")
            st.button(
                "Try again", icon=":material/refresh:", key=f"prepare-{number}", type="tertiary",
                on_click=prepare_again, args=(model.path,),
            )  # fmt: skip
