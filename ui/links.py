"""Widgets whose choice is in the page's address, so that a link opens what its sender saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st


def linked_selectbox(
    label: str,
    options: Sequence[str],
    *,
    key: str,
    default: str | None = None,
    format_func: Callable[[str], str] = str,
    help: str | None = None,
) -> str:
    """A selectbox bound to the query parameter `key` by the option itself.

    Streamlit's own binding writes what `format_func` shows, which changes (a run's state, a figure) and breaks links.
    A link to an option that is gone opens `default`, or the first.
    """
    if st.session_state.get(key) not in options:
        asked = st.query_params.get(key)
        st.session_state[key] = asked if asked in options else default or options[0]
    picked = st.selectbox(label, options, key=key, format_func=format_func, help=help)
    st.query_params[key] = picked
    return picked
