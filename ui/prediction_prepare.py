"""Offering to make the files that ONNX Runtime needs, by a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import streamlit as st

from segmodels.device import device
from ui.frame import plain
from ui.prediction_choice import How, Model
from ui.worker_view import LOOK, Question

#: Seconds that it may take, and for which nobody may have looked.
LIMIT, PATIENCE = 900.0, 60.0
#: Whether the files are being made for this session, in the session.
PREPARING = "preparing"


def prepare_view(models: Sequence[Model], how: How) -> None:
    """A line with a button where a file is not there and would be used; until it is, the model predicts with Keras."""
    from segmodels.prediction.engines.onnx_engine import is_made

    wanted = how.engine in ("onnx", "openvino") or (how.engine == "auto" and device().kind == "cpu")
    missing = [model for model in models if not is_made(model.path)]
    if not missing or not wanted or find_spec("onnxruntime") is None:
        st.session_state.pop(PREPARING, None)
        return
    running = PREPARING in st.session_state and question(missing[0].path).ask().state == "running"
    st.fragment(_look, run_every=LOOK if running else None)(missing, running)


def question(path: Path) -> Question:
    terms = {"limit": LIMIT, "patience": PATIENCE, "keep": False}  # the file itself is what is kept
    return Question("prepare", "engines", ("engines", str(path)), "Preparing", 30.0, terms=terms)


def _look(missing: Sequence[Model], was_running: bool) -> None:
    """How far it is with the first of them, or the button that begins it: one after the other."""
    model, asked = missing[0], question(missing[0].path)
    answer = asked.ask() if PREPARING in st.session_state else None
    if answer is not None and answer.state == "running":
        if not was_running:
            st.rerun()  # the whole page, which then looks at it every second
        st.progress(min(0.95, answer.seconds / asked.usual), f"Preparing {plain(model.name)} … {answer.seconds:.0f} s")
        return
    if answer is not None:
        asked.cancel()  # it is forgotten: whether the file is there is seen from the file
        if answer.state == "failed":
            st.session_state.pop(PREPARING, None)
            st.session_state["prepare-failed"] = answer.error
        elif not was_running:  # it is done, and there is no file: it is not asked for ever
            st.session_state.pop(PREPARING, None)
        st.rerun()  # the whole page, which then predicts with it
    if error := st.session_state.pop("prepare-failed", ""):
        st.error(plain(error), icon=":material/error:")
    names = plain(model.name) if len(missing) == 1 else f"{len(missing)} models"
    with st.container(horizontal=True, vertical_alignment="center"):
        verb = "predicts" if len(missing) == 1 else "predict"
        st.caption(f"{names} {verb} with Keras; ONNX Runtime would be faster here.")
        st.button(
            "Prepare for fast prediction", icon=":material/bolt:", key="prepare", type="tertiary", on_click=_begin,
            help="Takes some seconds a model, once",
        )  # fmt: skip


def _begin() -> None:
    st.session_state[PREPARING] = True
