"""Evaluate one model: what on, the work in a process of its own, and the report that is kept of it."""

from __future__ import annotations

import re
from datetime import datetime

import streamlit as st

from segmodels.durations import duration
from segmodels.errors import UserError
from segmodels.evaluation.reports import DOCUMENT, Report
from segmodels.hub.checkpoint import read_spec
from ui.evaluate_choice import KEY, Wanted, choose_evaluation
from ui.frame import in_place, plain
from ui.report_view import report_view
from ui.worker_view import LOOK, Question


def evaluate_view() -> None:
    """Draw the choices, what evaluates, and the report."""
    with in_place():
        if (wanted := choose_evaluation()) is None:
            return
        report, fresh = wanted.kept()
        question = wanted.question
        if question.is_asked:
            running = question.ask().state == "running"
            st.fragment(_look, run_every=LOOK if running else None)(question, running)
        else:
            with in_place():
                _offer(wanted, report, fresh)
        if report is not None:
            report_view(report, model=wanted.model, key=KEY)


def _offer(wanted: Wanted, report: Report | None, fresh: bool) -> None:
    """The button, and when what there is was made."""
    ours = [label.name for label in read_spec(wanted.model).labels]
    theirs = [label.name for label in wanted.dataset.classes]
    if ours != theirs:
        raise UserError(
            f"the model knows the classes {', '.join(ours[:12])}, but {wanted.dataset.name} has "
            f"{', '.join(theirs[:12])}: choose a data set with its own classes"
        )
    pictures = len(wanted.dataset.samples(wanted.split))
    if not pictures:
        raise UserError(f"{wanted.dataset.name} has no {wanted.split} split: choose another split")
    act, said = st.columns([1, 4], vertical_alignment="center")
    if report is None:
        said.caption(f"{pictures:,} pictures of the {wanted.split} split. It is worked out in a process of its own.")
    else:
        said.caption(_made(report))
    act.button(
        "Evaluate" if report is None else "Evaluate again",
        type="primary" if report is None else "secondary",
        icon=":material/analytics:" if report is None else ":material/refresh:",
        key=f"{KEY}-start",
        on_click=_start,
        args=(wanted.question,),
        width="stretch",
    )
    if report is None:
        return
    if not fresh:
        st.warning(
            "This is of earlier weights, or of pictures that were seen in another way: evaluate again.",
            icon=":material/history:",
        )
    elif wanted.width and report.document["boundary"].get("width") != wanted.width:
        st.info(
            f"The report is of another boundary width than {wanted.width} pixels: evaluate again for that.",
            icon=":material/border_style:",
        )


def _made(report: Report) -> str:
    """When it was made."""
    try:
        written = (report.folder / DOCUMENT).stat().st_mtime
    except OSError:
        return ""
    return f"Evaluated on {datetime.fromtimestamp(written):%Y-%m-%d at %H:%M}"


def _look(question: Question, was_running: bool) -> None:
    """How far the process is; the whole page once that changes."""
    if not question.is_asked:
        st.rerun()  # stopped, or done where somebody else looked
    answer = question.ask()
    if answer.state == "done":
        question.cancel()  # known by its report from now on
        st.rerun()
    if was_running != (answer.state == "running"):
        st.rerun()
    if answer.state == "running":
        done, total = _progress(question, answer.said)
        said = f"{done:,} of {total:,} pictures" if total else "loading the model and the first pictures"
        st.progress(done / total if total else 0.0, f"Evaluating: {said} · {duration(answer.seconds)}")
        st.button("Stop", icon=":material/stop:", key=f"{KEY}-stop", on_click=question.cancel)
    else:
        st.error(plain(answer.error), icon=":material/error:")
        with st.container(horizontal=True):
            st.button("Try again", icon=":material/refresh:", key=f"{KEY}-again", on_click=_start, args=(question,))
            st.button("Close", icon=":material/close:", key=f"{KEY}-close", on_click=question.cancel)


def _progress(question: Question, said: str) -> tuple[int, int]:
    """How far it is by what was said last of that: it names skipped pictures too."""
    found = progress_of(said)
    words, known = st.session_state.get(f"{KEY}-progress", (None, (0, 0)))
    if not found[1] and words == question.words and said:
        return known
    st.session_state[f"{KEY}-progress"] = (question.words, found)
    return found


def _start(question: Question) -> None:
    question.cancel()  # what failed before is tried again
    question.ask()


def progress_of(said: str) -> tuple[int, int]:
    """Pictures done and all of them, from a line such as "evaluating test: 40 of 253"; 0, 0 for another."""
    found = re.fullmatch(r"evaluating \w+: (\d{1,9}) of (\d{1,9})", said)
    return (min(int(found[1]), int(found[2])), int(found[2])) if found and int(found[2]) else (0, 0)
