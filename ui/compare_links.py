"""The parts of the Compare page, and how a button leads from one to another."""

from __future__ import annotations

import streamlit as st

#: In the page's address too. The key is the page's own: what a page has under a key, the next one finds there.
KEY = "compare-part"
ALL, NEW, EVALUATE, SEARCHES = "Comparisons", "New comparison", "Evaluate a model", "Searches"
PARTS = (ALL, NEW, EVALUATE, SEARCHES)


def show_comparison(comparison: str) -> None:
    """Show a comparison from the next rerun on; to be called by a widget's callback, or before a rerun."""
    st.session_state["comparison-next"] = comparison


def take_next() -> None:
    """Do what `show_comparison` asked for, before the widgets are drawn that it is of."""
    if (comparison := st.session_state.pop("comparison-next", None)) is not None:
        st.session_state[KEY] = ALL
        st.session_state["comparison"] = comparison
