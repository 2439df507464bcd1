"""An expander for an answer that a process of its own has to find: nothing is asked until it is opened, and the process
ends when it is closed, when another question takes its place, or when Stop is pushed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from segmodels import worker
from ui.frame import plain

#: Seconds between two looks at the worker.
LOOK = 1.0


@dataclass(frozen=True)
class Question:
    """What is asked, and how it is told of.

    Attributes:
        name: what the keys of its widgets begin with.
        kind: where the worker keeps its answers.
        words: of the command line that answers it.
        doing: what the process is at, for people.
        usual: seconds that it usually takes.
        training: whether it is about training here, and may use the device.
        terms: further arguments of `worker.ask`, such as its limit.
    """

    name: str
    kind: str
    words: tuple[str, ...]
    doing: str
    usual: float
    training: bool = False
    terms: dict[str, Any] = field(default_factory=dict, hash=False)

    def ask(self) -> worker.Answer:
        training: dict[str, Any] = {"training": True} if self.training else {}
        return worker.ask(self.kind, self.words, **training, **self.terms)

    def cancel(self) -> None:
        worker.cancel(self.kind, self.words, **({"training": True} if self.training else {}))

    @property
    def is_asked(self) -> bool:
        """Whether its process is at work, or ended and was not forgotten yet."""
        return worker.is_asked(self.kind, self.words, training=self.training)

    @property
    def is_open(self) -> bool:
        return bool(st.session_state.get(f"{self.name}-open"))


def worker_view(question: Question, show: Callable[[Any], None], *, label: str, icon: str) -> None:
    """Draw the expander; `show` draws the document of the answer."""
    expander = st.expander(label, icon=icon, key=f"{question.name}-open", on_change="rerun")
    asked: Question | None = st.session_state.pop(f"{question.name}-asked", None)
    if asked is not None and (not expander.open or asked != question):
        asked.cancel()
    if expander.open:
        with expander:
            running = question.ask().state == "running"
            if running:
                st.session_state[f"{question.name}-asked"] = question
            st.fragment(_look, run_every=LOOK if running else None)(question, show, running)


def _look(question: Question, show: Callable[[Any], None], was_running: bool) -> None:
    if not question.is_open:
        st.rerun()  # stopped: the whole page, with the expander closed
    answer = question.ask()
    if was_running and answer.state != "running":
        st.rerun()  # the whole page, which then stops looking
    if answer.state == "running":
        st.progress(min(0.95, answer.seconds / question.usual), f"{question.doing} … {answer.seconds:.0f} s")
        key = f"{question.name}-stop"
        st.button("Stop", icon=":material/stop:", key=key, on_click=_stop, args=(question,))
    elif answer.state == "failed":
        st.error(plain(answer.error), icon=":material/error:")
        st.button("Try again", icon=":material/refresh:", key=f"{question.name}-again", on_click=question.cancel)
    else:
        show(answer.document)


def _stop(question: Question) -> None:
    question.cancel()
    st.session_state[f"{question.name}-open"] = False
