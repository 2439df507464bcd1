"""The runs that wait for a device, in their order, which can be changed."""

from __future__ import annotations

import streamlit as st

from segmodels.errors import UserError
from segmodels.training.queue import move, waiting_runs
from segmodels.training.runs import find_run
from ui.frame import plain

#: Seconds between two looks.
LOOK = 2.0


def queue_view() -> None:
    """Draw them where there are any; the page looks again by itself while there are."""
    if waiting_runs():
        st.fragment(_line, run_every=LOOK)()


def _line() -> None:
    line = waiting_runs()
    if not line:
        st.rerun()  # the whole page, which then stops looking
    with st.expander(f"{len(line)} waiting", icon=":material/format_list_numbered:", expanded=len(line) > 1):
        for place, run_id in enumerate(line):
            name, up, down = st.columns([8, 1, 1], vertical_alignment="center")
            name.page_link("pages/2_Train.py", label=f"{place + 1}. {plain(run_id)}", query_params={"run": run_id})
            for column, icon, to, word in (
                (up, "arrow_upward", place - 1, "earlier"),
                (down, "arrow_downward", place + 1, "later"),
            ):
                column.button(
                    "\N{ZERO WIDTH SPACE}", icon=f":material/{icon}:", key=f"{word}-{run_id}", help=f"{run_id} {word}",
                    disabled=not 0 <= to < len(line), on_click=_move, args=(run_id, to),
                )  # fmt: skip
    if problem := st.session_state.pop("queue-problem", None):
        st.warning(plain(problem), icon=":material/info:")


def _move(run_id: str, to: int) -> None:
    try:
        move(find_run(run_id).path, to)
    except UserError as error:  # its turn came meanwhile
        st.session_state["queue-problem"] = str(error)
