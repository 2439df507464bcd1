"""The parts of the Models page, and how a button leads from one to another."""

from __future__ import annotations

import streamlit as st

#: In the page's address too.
KEY = "models-part"
ALL, PULL, PUSH, IMPORT = "Models", "Pull", "Push", "Import"
PARTS = (ALL, PULL, PUSH, IMPORT)
#: The model that is shown, in the address.
MODEL = "model"
PAGE = "pages/5_Models.py"


def show_model(name: str | None) -> None:
    """Show a model from the next rerun on, or all of them; to be called by a widget's callback."""
    st.session_state[f"{KEY}-next"] = ALL
    if name is None:
        st.query_params.pop(MODEL, None)
    else:
        st.query_params[MODEL] = name


def show_push(name: str) -> None:
    """Show the form that pushes a model; to be called by a widget's callback."""
    st.session_state[f"{KEY}-next"] = PUSH
    st.session_state["push-model"] = name


def take_next() -> None:
    """Do what was asked for, before the widgets are drawn that it is of."""
    if (part := st.session_state.pop(f"{KEY}-next", None)) is not None:
        st.session_state[KEY] = part
