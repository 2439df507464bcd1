"""The runs that wait for a device, in their order, which can be changed."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from segmodels.errors import UserError
from segmodels.training.queue import move, waiting_paths
from segmodels.training.runs import runs_folder
from ui.frame import plain
from ui.hosted import is_own

#: Seconds between two looks.
LOOK = 2.0


def queue_view() -> None:
    """Draw them where there are any; the page looks again by itself while there are."""
    if waiting_paths():
        st.fragment(_line, run_every=LOOK)()


def _line() -> None:
    line = waiting_paths()
    if not line:
        st.rerun()  # the whole page, which then stops looking
    with st.expander(f"{len(line)} waiting", icon=":material/format_list_numbered:", expanded=len(line) > 1):
        for place, path in enumerate(line):
            name, up, down = st.columns([8, 1, 1], vertical_alignment="center")
            label = f"{place + 1}. {plain(path.name)}"
            if path.parent == runs_folder().resolve():
                name.page_link("pages/2_Train.py", label=label, query_params={"run": path.name})
            else:  # which no page shows
                name.markdown(label, help=plain(str(path)))
            for column, icon, to, word in (
                (up, "arrow_upward", place - 1, "earlier"),
                (down, "arrow_downward", place + 1, "later"),
            ):
                column.button(
                    "\N{ZERO WIDTH SPACE}", icon=f":material/{icon}:", key=f"{word}-{path}",
                    help=f"{plain(path.name)} {word}",
                    disabled=not (0 <= to < len(line) and is_own(path.name)), on_click=_move, args=(path, to),
                )  # fmt: skip
    if problem := st.session_state.pop("queue-problem", None):
        st.warning(plain(problem), icon=":material/info:")


def _move(path: Path, to: int) -> None:
    try:
        move(path, to)
    except UserError as error:  # its turn came meanwhile
        st.session_state["queue-problem"] = str(error)
