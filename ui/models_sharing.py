"""The repository that finished runs are sent to, so that others, and this machine later, need not train them again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import streamlit as st

from segmodels.hub.finished.outbox import Waiting, waiting
from segmodels.hub.finished.settings import VARIABLE, hub_repository, set_hub_repository
from segmodels.hub.names import parse_model
from ui.frame import in_place, plain
from ui.models_work import begin, problem_view, taken_token, token_field, told, work, work_view

SHARING = "sharing"


def sharing_view() -> None:
    """Draw where they are sent, how many wait, and a field for another."""
    st.caption(
        "The best checkpoint of a finished run is sent to a repository of yours under the fingerprint of its recipe "
        "and data. A training of the same looks there first. Without a network it waits and is sent later."
    )
    there: str | None = None
    with in_place():
        there = hub_repository()
    if there is None:
        st.markdown("Nothing is sent.")
    else:
        st.markdown(f"Sent to **{plain(there)}**.")
    _waiting(waiting())
    if os.environ.get(VARIABLE):
        st.caption(f"It is set by {plain(VARIABLE)} in the server's environment, which is changed there.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input("Repository for finished runs", key="sharing-to", max_chars=200, placeholder="owner/name")
        st.button("Send them there", icon=":material/save:", key="sharing-set", on_click=_set)
        if there is not None:
            st.button("Send nothing", icon=":material/block:", key="sharing-clear", on_click=_clear)
    st.caption("Sending needs the token of HF\\_TOKEN, or of hf auth login, where the app runs: none is kept here.")
    problem_view(SHARING)


def _waiting(entries: list[Waiting]) -> None:
    """Those that are not sent yet, and a button that sends them now."""
    if not entries:
        return
    count = len(entries)
    st.markdown(f":material/schedule: {count} {'waits' if count == 1 else 'wait'} to be sent.")
    rows = [{"Run": Path(each.run).name, "To": each.repository, "Why it waits": each.error or None} for each in entries]
    st.dataframe(rows, hide_index=True, key="sharing-waiting", alt="Finished runs that wait to be sent")
    token_field(SHARING)
    st.button("Send now", icon=":material/send:", key="sharing-send", on_click=_send)
    work_view(SHARING, lambda document, said: _sent(document))


def _send() -> None:
    with told(SHARING):
        begin(work(SHARING, ("cache", "send"), "Sending"), taken_token(SHARING))


def _sent(document: Any) -> None:
    """What became of each."""
    for each in document if isinstance(document, list) else []:
        st.caption(plain(str(each.get("said", ""))[:500]))


def _set() -> None:
    with told(SHARING):
        set_hub_repository(parse_model(st.session_state.get("sharing-to") or "").repository)


def _clear() -> None:
    with told(SHARING):
        set_hub_repository(None)
