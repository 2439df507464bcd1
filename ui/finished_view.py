"""Whether somebody finished a training already: its weights on the Hub, and the button that takes them instead.

Looking and taking are done by processes of their own, which are looked at once a second.
"""

from __future__ import annotations

import shlex
import time

import streamlit as st

from segmodels.data.disk import megabytes
from segmodels.hub.finished.settings import hub_repository
from segmodels.recipe import Recipe
from ui.frame import in_place, plain
from ui.train_links import WATCH, show_part
from ui.worker_view import LOOK, Question

#: Seconds for which it is believed what was found.
GOOD = 120.0
#: What the session knows: the question that was asked last and when, and what is being taken.
_ASKED, _TAKING = "finished-asked", "finished-taking"


def finished_view(recipe: Recipe) -> None:
    """A line on the finished weights of a recipe; nothing where no repository is set to look in."""
    with in_place():
        if (repository := hub_repository()) is None:
            return
        taking: Question | None = st.session_state.get(_TAKING)
        question = taking or _asked(repository, recipe)
        running = question.ask().state == "running"
        show = _taken if taking else _found
        st.fragment(show, run_every=LOOK if running else None)(question, repository, recipe, running)


def take_choice() -> bool:
    """Whether a comparison takes finished weights instead of training; no choice where no repository is set."""
    if (repository := hub_repository()) is None:
        return False
    return st.toggle(
        f"Take finished weights from {plain(repository)}", value=True, key="compare-finished",
        help="Where somebody trained the same recipe on the same pictures, their weights are checked and taken instead "
        "of training again",
    )  # fmt: skip


def _asked(repository: str, recipe: Recipe) -> Question:
    """The question about a recipe; the one before it, or that is too old, is forgotten."""
    words = ("cache", "find", *shlex.split(recipe.command())[4:])
    doing = f"Looking in {repository}"
    question = Question(
        "finished", f"finished-{repository.replace('/', '--')}", words, doing, usual=4.0, terms={"keep": False}
    )
    before, at = st.session_state.get(_ASKED, (None, 0.0))
    if before is not None and (before != question or time.monotonic() - at > GOOD):
        before.cancel()
    if before != question or time.monotonic() - at > GOOD:
        st.session_state[_ASKED] = question, time.monotonic()
    return question


def _found(question: Question, repository: str, recipe: Recipe, was_running: bool) -> None:
    answer = question.ask()
    if was_running and answer.state != "running":
        st.rerun()  # the whole page, which then stops looking
    if answer.state == "running":
        st.caption(f":material/cloud_sync: Looking for finished weights in {plain(repository)} …")
    elif answer.state == "failed":
        st.caption(f":material/cloud_off: {plain(answer.error)}")
    elif (offer := answer.document["offer"]) is None:
        st.caption(f":material/cloud: {plain(repository)} has no finished weights of this recipe and data.")
    else:
        said, button = st.columns([5, 2], vertical_alignment="center")
        said.success(
            f"Finished weights of this recipe are at **{plain(repository)}**: mean IoU {offer['mean_iou']:.4f}, "
            f"{megabytes(offer['bytes'])}.",
            icon=":material/cloud_done:",
        )
        button.button(
            "Take them", icon=":material/download:", key="finished-take", on_click=_take, args=(repository, recipe),
            width="stretch", help="Bring and check them: a finished run, as if it had been trained here",
        )  # fmt: skip


def _take(repository: str, recipe: Recipe) -> None:
    words = ("cache", "take", *shlex.split(recipe.command())[4:])
    terms = {"keep": False, "limit": 3600.0, "patience": 60.0}
    question = Question("finished-taking", "taken", words, f"Taking them from {repository}", usual=15.0, terms=terms)
    question.cancel()  # how it ended before is forgotten
    st.session_state[_TAKING] = question


def _taken(question: Question, repository: str, recipe: Recipe, was_running: bool) -> None:
    answer = question.ask()
    if was_running and answer.state != "running":
        st.rerun()
    if answer.state == "running":
        st.progress(min(0.95, answer.seconds / question.usual), plain(f"{question.doing} … {answer.seconds:.0f} s"))
        st.button("Stop", icon=":material/stop:", key="finished-stop", on_click=_forget, args=(question,))
    elif answer.state == "done" and (run := answer.document["run"]):
        _forget(question)
        show_part(WATCH, run)
        st.rerun()
    else:
        st.error(plain(answer.error or f"{repository} cannot be reached, or has them no more"), icon=":material/error:")
        st.button("Close", icon=":material/close:", key="finished-close", on_click=_forget, args=(question,))


def _forget(question: Question) -> None:
    question.cancel()
    st.session_state.pop(_TAKING, None)
