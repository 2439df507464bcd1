"""What the Models page lets a process of its own do: pull, push, export, import. It says how far it is and can be
stopped; of each there is one at a time in a session.

A token goes from its field into the environment of that process and nowhere else: the field is emptied, and neither the
session nor the question of the worker has it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import streamlit as st

from segmodels import worker
from segmodels.durations import duration
from segmodels.errors import UserError
from segmodels.hosted import limits
from ui.frame import plain
from ui.worker_view import LOOK, Question

#: Seconds that such work may take, and for which nobody may have looked at it: a browser looks once a minute from a tab
#: that is hidden.
LIMIT, PATIENCE = 12 * 3600.0, 150.0
#: What a token may look like: the Hub's begin with hf_, those of another one may not.
TOKEN = re.compile(r"[!-~]{8,400}")

#: Draws what came of it: the document, and the last line that the process said.
Show = Callable[[Any, str], None]


def work(name: str, words: Sequence[str], doing: str) -> Question:
    """What is to be done by `python -m segmodels WORDS`; `name` is what the keys of its widgets begin with."""
    return Question(
        name, "models", tuple(words), doing, 60.0, terms={"limit": LIMIT, "patience": PATIENCE, "keep": False}
    )


def begin(question: Question, secrets: dict[str, str] | None = None) -> None:
    """Start it, also where it failed before; to be called by a widget's callback.

    Where somebody else is having the same done, this session waits for that too, and cannot end it.

    Raises:
        UserError: on a hosted app, where as much as may be is at work already.
    """
    leave(question.name)
    joined = question.is_asked and question.ask().state == "running"
    if not joined:
        question.cancel()
        if (most := limits().jobs) is not None and worker.count_at_work(question.kind) >= most:
            raise UserError(f"hosted demo: {most} visitors pull or export already: try again in a minute")
        worker.ask(question.kind, question.words, **question.terms, secrets=secrets)
    st.session_state[_key(question.name)] = question
    st.session_state[_joined_key(question.name)] = joined


def leave(name: str) -> None:
    """End what was begun under a name, or forget how it ended; what somebody else began goes on."""
    question = at_work(name)
    st.session_state.pop(_key(name), None)
    if question is not None and not st.session_state.get(_joined_key(name)):
        question.cancel()


def at_work(name: str) -> Question | None:
    """What was begun under a name and is not closed yet."""
    question: Question | None = st.session_state.get(_key(name))
    return question if question is not None and question.is_asked else None


def work_view(name: str, show: Show) -> None:
    """Draw how far it is, or what came of it; nothing where nothing was begun."""
    if (question := at_work(name)) is None:
        return
    answer = question.ask()
    if answer.state == "running":
        st.fragment(_look, run_every=LOOK)(question)
        return
    if answer.state == "failed":
        st.error(plain(answer.error), icon=":material/error:")
    else:
        show(answer.document, answer.said)
    st.button("Close", icon=":material/close:", key=f"{name}-close", on_click=leave, args=(name,))


def _look(question: Question) -> None:
    """How far it is; the whole page once it has ended, or was stopped."""
    if at_work(question.name) != question or (answer := question.ask()).state != "running":
        st.rerun()
    said = f": {plain(answer.said)}" if answer.said else ""
    st.progress(share_of(answer.said) or 0.0, f"{plain(question.doing)}{said} · {duration(answer.seconds)}")
    st.button("Stop", icon=":material/stop:", key=f"{question.name}-stop", on_click=leave, args=(question.name,))


def share_of(said: str) -> float | None:
    """How far a process is by a line such as "downloading owner/name: 12 of 30 MB"; None of another."""
    found = re.search(r": ([\d,]{1,20}) of ([\d,]{1,20})(?: MB)?$", said)
    if found is None:
        return None
    done, total = (int(number.replace(",", "") or 0) for number in found.groups())
    return min(1.0, done / total) if total else None


def token_field(name: str) -> None:
    """A field for a token, which is emptied once it is used."""
    # It stays in the browser until a button is pushed, and is sent also where the focus is on the eye beside it.
    there = "that of HF_TOKEN" if os.environ.get("HF_TOKEN") else "that of hf auth login, or none"
    if limits().hosted:
        there = "none, for public ones"
    st.text_input(
        "Token", type="password", key=_token_key(name), autocomplete="off", max_chars=400,
        live="0ms", on_change="ignore",
        placeholder=f"left empty: {there}",
        help="Handed to the process that does this and to nothing else: it is not stored, not logged, and this field "
        "is emptied. You make one at the Hub, in your settings; choose one that can do no more than this",
    )  # fmt: skip


def taken_token(name: str) -> dict[str, str]:
    """The variable that holds what was typed, whose field is emptied; to be called by a widget's callback.

    Without one a process has the token of whoever runs the app, but not for the visitors of a hosted one.

    Raises:
        UserError: what was typed is no token.
    """
    token = str(st.session_state.get(_token_key(name)) or "").strip()
    st.session_state[_token_key(name)] = ""
    if not token:
        return {"HF_TOKEN": "", "HF_TOKEN_PATH": os.devnull} if limits().hosted else {}
    if not TOKEN.fullmatch(token):
        raise UserError("what was typed is no token: copy it from your settings at the Hub, whole and without spaces")
    return {"HF_TOKEN": token}


@contextmanager
def told(name: str) -> Iterator[None]:
    """Keep what goes wrong in a callback, which cannot draw, for `problem_view`."""
    try:
        yield
    except UserError as error:
        st.session_state[f"{name}-problem"] = str(error)


def problem_view(name: str) -> None:
    """Say what went wrong in the last callback."""
    if problem := st.session_state.pop(f"{name}-problem", None):
        st.error(plain(problem), icon=":material/error:")


def _key(name: str) -> str:
    return f"{name}-at-work"


def _joined_key(name: str) -> str:
    return f"{name}-joined"


def _token_key(name: str) -> str:
    return f"{name}-token"
