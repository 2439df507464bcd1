"""All searches, and the one that is looked at."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

import streamlit as st

from segmodels.search.search import Search, list_searches
from ui.frame import plain
from ui.links import linked_selectbox

#: The choice, in the page's address too.
KEY = "search-id"


def choose_search() -> Search | None:
    """A box of all there are, newest first, linked in the address; None, after a line on it, where there is none."""
    for problem in st.session_state.pop("search-problems", []):
        st.error(plain(problem), icon=":material/error:")
    if gone := st.session_state.pop("search-deleted", None):
        st.success(f"{plain(gone)} is deleted; its runs are still there.", icon=":material/delete:")
    if (next_one := st.session_state.pop("search-next", None)) is not None:
        st.session_state[KEY] = next_one
    found = {search.id: search for search in list_searches()}
    asked = st.query_params.get(KEY)
    if asked is not None and asked not in found:
        st.warning(
            f"There is no search {plain(asked[:100])} any more: it was deleted, or is damaged.",
            icon=":material/search_off:",
        )
    if not found:
        st.query_params.pop(KEY, None)
        st.info("No search yet: the form below starts one.", icon=":material/flag:")
        return None
    titles = {name: f"{search.title}{_when(search)}" for name, search in found.items()}
    return found[linked_selectbox("Search of hyper-parameters", list(found), key=KEY, format_func=titles.__getitem__)]


def _when(search: Search) -> str:
    """After its title; nothing where the file has a number that is no time."""
    with suppress(ValueError, OverflowError, OSError):
        return f" · {datetime.fromtimestamp(search.created):%Y-%m-%d %H:%M}"
    return ""
