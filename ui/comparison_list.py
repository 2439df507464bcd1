"""All comparisons, and the one that is looked at."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

import streamlit as st

from segmodels.evaluation.compare.comparison import Comparison, list_comparisons
from ui.compare_links import NEW
from ui.frame import plain
from ui.links import linked_selectbox


def choose_comparison() -> Comparison | None:
    """A box of all there are, newest first, linked in the address; None, after a line on it, where there is none."""
    told_problems()
    found = {comparison.id: comparison for comparison in list_comparisons()}
    asked = st.query_params.get("comparison")
    if asked is not None and asked not in found:
        st.warning(
            f"There is no comparison {plain(asked[:100])} any more: it was deleted, or is damaged.",
            icon=":material/search_off:",
        )
    if not found:
        st.query_params.pop("comparison", None)
        st.info(f"No comparison yet: the tab {NEW} starts one.", icon=":material/flag:")
        return None
    titles = {name: f"{comparison.title}{_when(comparison)}" for name, comparison in found.items()}
    picked = linked_selectbox("Comparison", list(found), key="comparison", format_func=titles.__getitem__)
    return found[picked]


def told_problems() -> None:
    """What went wrong, or what was done, when a button was pushed."""
    for problem in st.session_state.pop("comparison-problems", []):
        st.error(plain(problem), icon=":material/error:")
    if gone := st.session_state.pop("comparison-deleted", None):
        st.success(f"{plain(gone)} is deleted; its runs are still there.", icon=":material/delete:")


def _when(comparison: Comparison) -> str:
    """After its title; nothing where the file has a number that is no time."""
    with suppress(ValueError, OverflowError, OSError):
        return f" · {datetime.fromtimestamp(comparison.created):%Y-%m-%d %H:%M}"
    return ""
