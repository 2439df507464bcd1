"""The parts of the Train page, and how a button leads from one to another."""

from __future__ import annotations

import streamlit as st

from segmodels.training.runs import Run, runs_folder

#: In the page's address too.
NEW, WATCH, ALL = "New run", "Watch", "All runs"


def show_part(part: str, run: str | None = None) -> None:
    """Show a part of the page from the next rerun on, and in it a run; to be called by a widget's callback, or before a
    rerun."""
    st.session_state["part-next"] = part
    if run is not None:
        st.session_state["run-next"] = run


def take_next() -> None:
    """Do what `show_part` asked for, before the widgets are drawn that it is of."""
    if (part := st.session_state.pop("part-next", None)) is not None:
        st.session_state["part"] = part
    if (run := st.session_state.pop("run-next", None)) is not None:
        st.session_state["run"] = run


def run_name(run: Run) -> str:
    """How another run's recipe names this one: by its id where that is enough, else by its folder."""
    return run.id if run.path.parent == runs_folder().resolve() else str(run.path)
