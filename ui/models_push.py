"""Pushing a model to the Hub, and where finished runs are sent by themselves."""

from __future__ import annotations

import os
import re
from typing import Any

import streamlit as st

from segmodels.errors import UserError
from segmodels.hosted import check_pushing
from segmodels.hub.names import COMMIT, ModelName, parse_model
from ui.frame import in_place, plain
from ui.links import linked_selectbox
from ui.models import usable_models
from ui.models_parts import size
from ui.models_sharing import sharing_view
from ui.models_work import begin, problem_view, taken_token, token_field, told, work, work_view
from ui.worker_view import Question

PUSH = "push"


def push_view() -> None:
    """Draw the form, how far a push is, what came of it, and the shared repository."""
    check_pushing()
    models = usable_models()
    if models:
        _form(models)
    else:
        st.info("There is no model yet that could be pushed.", icon=":material/flag:")
    problem_view(PUSH)
    work_view(PUSH, _pushed)
    with st.expander("Finished runs, sent by themselves", icon=":material/sync:"), in_place():
        sharing_view()


def _form(models: dict[str, Any]) -> None:
    left, right = st.columns(2, gap="medium")
    with left:
        linked_selectbox("Model", list(models), key="push-model", format_func=lambda name: models[name].title)
    right.text_input(
        "Repository", key="push-to", max_chars=200, placeholder="owner/name",
        help="It is made where it is not there yet. The owner is you, or an organisation of yours",
    )  # fmt: skip
    left, right = st.columns(2, gap="medium")
    left.text_input("Branch", key="push-branch", max_chars=200, placeholder="main", help="Made where it is not there")
    right.text_input("Message", key="push-message", max_chars=200, placeholder="of the commit; may be left empty")
    with st.container(horizontal=True):
        st.checkbox("Private", key="push-private", help="Of a new repository: only you and your organisation see it")
        st.checkbox(
            "As a pull request", key="push-pull-request", help="For its owner to accept; nothing changes before"
        )
    token_field(PUSH)
    st.button("Push", type="primary", icon=":material/cloud_upload:", key="push-start", on_click=_push)


def _push() -> None:
    """A callback: push what the form says."""
    with told(PUSH):
        secrets = taken_token(PUSH)
        begin(asked(st.session_state), secrets)


def asked(form: Any) -> Question:
    """What the form's values ask for; `UserError` where they make no sense."""
    model = usable_models().get(form.get("push-model"))
    if model is None:
        raise UserError("the model is not here any more: choose another")
    text = str(form.get("push-to") or "").strip()
    if not text:
        raise UserError("there is no repository to push to: write owner/name")
    name = parse_model(text)
    branch = str(form.get("push-branch") or "").strip()
    if "@" in text:
        raise UserError(f"{text[:80]} names a revision: leave it out, and name the branch in its own field")
    words = ["push", str(model.path), name.repository]
    words += ["--private"] if form.get("push-private") else []
    words += ["--revision", parse_model(name.repository, branch).revision] if branch else []
    words += ["--pull-request"] if form.get("push-pull-request") else []
    message = " ".join(str(form.get("push-message") or "").split())
    words += [f"--message={message}"] if message else []
    return work(PUSH, words, f"Pushing to {name.repository}")


def _pushed(document: dict[str, Any], _: str) -> None:
    """Where it is now: an address that is made here of checked parts, whatever the Hub has answered."""
    name = parse_model(str(document.get("repository", "")))
    commit, count, amount = str(document.get("commit", "")), document.get("files"), document.get("bytes")
    parts = [f"{plain(name.repository)} has it{' already' if count == 0 else ''}"]
    if COMMIT.fullmatch(commit):
        parts.append(f"at commit {commit[:12]}")
    if count and isinstance(count, int) and isinstance(amount, int):
        parts.append(f"({count} files, {plain(size(amount))})")
    st.success(f"{' '.join(parts)}.", icon=":material/check_circle:")
    number = re.search(r"/discussions/(\d{1,9})$", str(document.get("pull_request") or ""))
    label = "The pull request at the Hub" if number else "The repository at the Hub"
    if address := hub_address(name, f"discussions/{number[1]}" if number else ""):
        st.link_button(label, address, icon=":material/open_in_new:")


def hub_address(name: ModelName, below: str = "") -> str | None:
    """The page of a repository; None where `HF_ENDPOINT` is no web address."""
    endpoint = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
    if not re.fullmatch(r"https?://[\w.:/\[\]-]{1,200}", endpoint, re.ASCII):
        return None
    return "/".join(filter(None, (endpoint, name.repository, below)))
