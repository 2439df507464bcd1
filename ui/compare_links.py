"""The parts of the Compare page, and how a button leads from one to another."""

from __future__ import annotations

import streamlit as st

#: In the page's address too.
ALL, NEW, EVALUATE = "Comparisons", "New comparison", "Evaluate a model"
PARTS = (ALL, NEW, EVALUATE)


def show_comparison(comparison: str) -> None:
    """Show a comparison from the next rerun on; to be called by a widget's callback, or before a rerun."""
    st.session_state["comparison-next"] = comparison


def take_next() -> None:
    """Do what `show_comparison` asked for, before the widgets are drawn that it is of."""
    if st.session_state.get("part", ALL) not in PARTS:  # the Train page has parts too
        del st.session_state["part"]
    if (comparison := st.session_state.pop("comparison-next", None)) is not None:
        st.session_state["part"] = ALL
        st.session_state["comparison"] = comparison
