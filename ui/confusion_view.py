"""The confusion matrix of a report, and the worst pictures of one of its cells."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from segmodels.errors import UserError
from segmodels.evaluation.reports import Report
from ui.confusion_chart import CALLED, CELL, COUNTS, KINDS, TRUTH, confusion_chart
from ui.frame import in_place, plain
from ui.links import linked_selectbox
from ui.report_counts import counts_of
from ui.report_pictures import Ranked, ReportPictures, ranked_view

#: The name of the list in the address.
PLACE = "confusion"


@st.fragment
def confusion_view(report: Report, pictures: ReportPictures | None, key: str) -> None:
    """Draw both; a click on a cell chooses it, and so do two boxes.

    Args:
        pictures: None where they cannot be read: then the matrix alone.
    """
    counts = np.array(report.document["confusion_matrix"], np.int64)
    names = distinct([row["name"] for row in report.document["classes"]])
    first = names[0], names[0]
    if (worst := most_confused(counts)) is not None:
        first = names[worst[0]], names[worst[1]]
    kind_place, truth_place, called_place = st.columns([2, 1, 1], gap="small", vertical_alignment="bottom")
    with kind_place:
        kind = st.segmented_control(
            "Confusion matrix", list(KINDS), default=COUNTS, required=True, key=f"{key}-confusion", bind="query-params"
        )
    with truth_place:
        truth = names.index(linked_selectbox("Truth", names, key=f"{key}-truth", default=first[0]))
    with called_place:
        called = names.index(linked_selectbox("Called", names, key=f"{key}-called", default=first[1]))
    with st.container(width=min(1400, 240 + 130 * len(names))):
        st.altair_chart(
            confusion_chart(counts, names, kind, (truth, called), dark=st.context.theme.type == "dark"),
            key=f"{key}-matrix",
            on_select=lambda: _choose(key, names),
            selection_mode=CELL,
            width="stretch",
        )
    unit = f"Percent {KINDS[kind]}" if kind != COUNTS else "Pixels, shaded by their square root"
    st.caption(f"{unit}. A click on a cell lists its pictures.")
    with in_place():
        _pictures(report, pictures, truth, called, names)


def _choose(key: str, names: list[str]) -> None:
    """Take the cell that was clicked into the boxes."""
    points = _points(st.session_state.get(f"{key}-matrix"))
    if points and points[-1].get(TRUTH) in names and points[-1].get(CALLED) in names:
        st.session_state[f"{key}-truth"], st.session_state[f"{key}-called"] = points[-1][TRUTH], points[-1][CALLED]


def _points(state: Any) -> list[dict[str, Any]]:
    """The selected cells; a browser may have sent anything."""
    try:
        return [point for point in state["selection"][CELL] if isinstance(point, dict)]
    except (KeyError, TypeError):
        return []


def _pictures(report: Report, pictures: ReportPictures | None, truth: int, called: int, names: list[str]) -> None:
    found = counts_of(report).confused(truth, called)
    what = f"**{plain(names[truth])}** called **{plain(names[called])}**"
    if not found:
        st.caption(f"No pixel of {what}.")
        return
    order = "most such pixels first" if truth != called else "those with the most pixels that are right first"
    st.markdown(f"{what}: {order}")
    if pictures is None:
        raise UserError("the pictures cannot be shown: their data set is not here")
    ranked = [Ranked(each.id, f"{each.pixels:,} px, {100 * each.share:.3g} %") for each in found]
    ranked_view(pictures, ranked, PLACE)


def most_confused(counts: np.ndarray) -> tuple[int, int] | None:
    """The cell off the diagonal with the most pixels, truth and prediction; None where nothing is confused."""
    wrong = counts - np.diag(counts.diagonal())
    if not wrong.any():
        return None
    truth, called = np.unravel_index(int(wrong.argmax()), wrong.shape)
    return int(truth), int(called)


def distinct(names: list[str]) -> list[str]:
    """The names of classes, told apart where two are the same."""
    return [name if names.count(name) == 1 else f"{name} ({number})" for number, name in enumerate(names)]
