"""Pulling a model from the Hub by its name, whether there is a newer one of it, and what is kept of the Hub."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import streamlit as st

from segmodels.hosted import limits
from segmodels.hub.names import COMMIT, ModelName, parse_model
from segmodels.hub.pulled import Pulled, pulled_models
from ui.frame import plain
from ui.models_links import show_model
from ui.models_parts import size
from ui.models_work import begin, problem_view, taken_token, token_field, told, work, work_view
from ui.worker_view import Question

PULL, UPDATE = "pull", "update"


def pull_view() -> None:
    """Draw the form, how far a pull is, and what was pulled before."""
    st.text_input(
        "Name", key="pull-name", bind="query-params", max_chars=300, placeholder="owner/name, or owner/name@revision",
        help="As the Hub has it. A revision is a branch, a tag or a commit; left out it is main",
    )  # fmt: skip
    token_field(PULL)
    st.caption("Private models need a token. What comes is checked before it is used, and nothing of it is run.")
    st.button("Pull", type="primary", icon=":material/cloud_download:", key="pull-start", on_click=_pull)
    problem_view(PULL)
    work_view(PULL, pulled_view)
    _kept()


def _pull() -> None:
    """A callback: pull what the form says."""
    with told(PULL):
        try:
            name = parse_model(st.session_state.get("pull-name") or "")
        finally:
            secrets = taken_token(PULL)  # also where the name is wrong: it is not left in its field
        begin(pulling(name), secrets)


def pulling(name: ModelName) -> Question:
    return work(PULL, ("pull", str(name)), f"Pulling {name}")


def pulled_view(document: dict[str, Any], said: str) -> None:
    """What a pull brought."""
    name, commit = str(document.get("model", "")), str(document.get("commit", ""))
    kept = next((each for each in pulled_models() if each.commit == commit), None)
    if kept is None:
        st.warning(f"{plain(name)} came, and is gone again.", icon=":material/search_off:")
        return
    if "Until then" in said:  # the Hub could not be reached
        st.warning(plain(said), icon=":material/cloud_off:")
    else:
        st.success(f"{plain(str(kept))} is here, at commit {plain(commit[:12])}.", icon=":material/check_circle:")
    st.button("Look at it", icon=":material/arrow_forward:", key="pull-show", on_click=show_model, args=(str(kept),))


def _kept() -> None:
    there = pulled_models()
    if not there:
        return
    st.markdown("#### Kept of the Hub")
    rows = [
        {
            "Model": str(each),
            "Commit": each.commit[:12],
            "Pulled": datetime.fromtimestamp(min(max(each.pulled, 0), 4e9)),
            "Size": size(each.size),
        }
        for each in there
    ]
    chosen = st.dataframe(
        rows, hide_index=True, key=f"kept-{hash(tuple((each.name, each.commit) for each in there))}",
        on_select="rerun", selection_mode="single-row", alt="Models that were pulled",
        column_config={"Pulled": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm")},
    )  # fmt: skip
    total = size(sum(each.size for each in there))
    delete = "" if limits().hosted else " or to delete it"
    st.caption(f"{len(there)} kept, {plain(total)} in all. Choose a row to look at a model{delete}.")
    for place in chosen.selection.rows:
        if place < len(there):
            st.button(
                f"Look at {plain(str(there[place]))}", icon=":material/visibility:", key="kept-show",
                on_click=show_model, args=(str(there[place]),),
            )  # fmt: skip


def update_view(kept: Pulled) -> None:
    """Whether the Hub has a newer commit of a pulled model; it is asked only when a person wants to know."""
    st.caption(f"Commit {plain(kept.commit)}, {_revisions(kept)}. It stays as it is until you pull another.")
    if not kept.revisions:
        return
    token_field(UPDATE)
    st.button("Check for an update", icon=":material/update:", key="update-start", on_click=_check, args=(kept,))
    problem_view(UPDATE)
    work_view(
        UPDATE, lambda document, said: _newer(kept, document) if "newer" in document else pulled_view(document, said)
    )


def _revisions(kept: Pulled) -> str:
    names = ", ".join(kept.revisions)
    return f"which was {plain(names)} when it was pulled" if names else "which no branch or tag was when it was pulled"


def _check(kept: Pulled) -> None:
    with told(UPDATE):
        begin(work(UPDATE, ("pull", str(kept), "--check"), f"Asking for {kept}"), taken_token(UPDATE))


def _newer(kept: Pulled, document: dict[str, Any]) -> None:
    if document.get("model") != str(kept):
        return  # it was asked of another
    commit = document.get("newer")
    if not isinstance(commit, str) or not COMMIT.fullmatch(commit):
        st.success("What is here is the newest.", icon=":material/check_circle:")
        return
    st.info(f"Commit {plain(commit)} is newer.", icon=":material/new_releases:")
    st.button(
        "Pull it", icon=":material/cloud_download:", key="update-pull", on_click=_update, args=(kept,),
        help="The one that is here is kept beside it",
    )  # fmt: skip


def _update(kept: Pulled) -> None:
    with told(UPDATE):
        begin(work(UPDATE, ("pull", str(kept)), f"Pulling {kept}"), taken_token(UPDATE))  # typed once more
