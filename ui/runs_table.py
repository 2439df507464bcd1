"""All runs in a table: found by words, state, data and tags; what is chosen is watched, tagged or deleted."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import streamlit as st

from segmodels.durations import duration
from segmodels.errors import UserError
from segmodels.hosted import limits
from segmodels.training.notes import read_notes, write_notes
from segmodels.training.overview import Row, overview, select
from segmodels.training.runs import Run
from segmodels.training.trash import delete, deleted, purge, restore
from ui.figures import memory
from ui.frame import in_place, plain
from ui.hosted import is_own
from ui.run_view import BADGES
from ui.train_links import WATCH, show_part


def told_problems() -> None:
    """What went wrong when a button was pushed, on whatever part of the page that is now."""
    for problem in st.session_state.pop("table-problems", []):
        st.error(plain(problem), icon=":material/error:")


def runs_table() -> None:
    """Draw the filters, the table, what can be done with its rows, and what was deleted."""
    rows = overview()
    if not rows:
        st.info("No run yet: the tab New run starts one.", icon=":material/flag:")
    else:
        _runs(rows)
    _deleted()


def _runs(rows: list[Row]) -> None:
    found = _filtered(rows)
    st.caption(f"{len(found)} of {len(rows)} runs. Choose rows to do something with them.")
    shown = st.dataframe(
        [_cells(row) for row in found],
        hide_index=True,
        # Rows are chosen by their places: where these are of other runs, none is chosen.
        key=f"runs-table-{hash(tuple(row.id for row in found))}",
        on_select="rerun",
        selection_mode="multi-row",
        column_config={
            "Mean IoU": st.column_config.NumberColumn(format="%.4f"),
            "Begun": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm"),
            "Tags": st.column_config.ListColumn(),
        },
        alt="All runs",
    )
    chosen = [found[place] for place in shown.selection.rows if place < len(found)]
    with st.container(horizontal=True, vertical_alignment="bottom"), in_place():
        if len(chosen) == 1:
            st.button("Watch it", icon=":material/visibility:", on_click=show_part, args=(WATCH, chosen[0].id))
        elif chosen:
            st.button(
                "Draw their curves", icon=":material/show_chart:", on_click=_over_each_other,
                args=([row.id for row in chosen],),
            )  # fmt: skip
        if chosen and all(is_own(row.id) for row in chosen):
            _tag(chosen)
            _delete(chosen)


def _filtered(rows: list[Row]) -> list[Row]:
    words, state, data, tag = st.columns([3, 2, 2, 2])
    text = words.text_input("Search", key="search", placeholder="words of name, note, tags", bind="query-params")
    states = state.multiselect("State", list(BADGES), key="states", placeholder="any", bind="query-params")
    sets = sorted({row.data for row in rows if row.data})
    chosen = data.selectbox("Data", [None, *sets], key="of-data", format_func=lambda name: name or "any")
    known = sorted({each for row in rows for each in row.tags})
    tags = tag.multiselect("Tags", known, key="of-tags", placeholder="any")
    return select(rows, text=text or "", states=states, data=chosen, tags=tags)


def _cells(row: Row) -> dict[str, Any]:
    encoder = f" on {row.backbone}" if row.backbone and row.backbone != "none" else ""
    return {
        "Run": row.id,
        "State": row.state if row.readable else f"{row.state}: {row.problem}",
        "Data": row.data,
        "Network": f"{row.architecture or '?'}{encoder}",
        "Size": row.image_size,
        "Epoch": f"{row.epoch} / {row.epochs}",
        "Mean IoU": row.mean_iou,
        "Best epoch": row.best_epoch,
        "Begun": datetime.fromtimestamp(row.created) if row.created else None,
        "Took": duration(row.seconds) if row.seconds else None,
        "Tags": list(row.tags),
        "Note": row.note[:200],
    }


def _over_each_other(ids: list[str]) -> None:
    st.session_state["beside"] = ids[1:10]
    show_part(WATCH, ids[0])


def _tag(chosen: list[Row]) -> None:
    with st.popover("Tag", icon=":material/sell:"):
        st.text_input("Tag", key="new-tag", max_chars=40, label_visibility="collapsed", placeholder="a word")
        st.button("Add it", key="add-tag", on_click=_add_tag, args=(chosen,))


def _add_tag(chosen: list[Row]) -> None:
    if tag := st.session_state["new-tag"].strip():
        _each(chosen, lambda run: write_notes(run, tags=[*read_notes(run).tags, tag]))


def _delete(chosen: list[Row]) -> None:
    with st.popover("Delete", icon=":material/delete:"):
        st.caption("These and all that they hold; they can be had back for a week:")
        st.caption("\n".join(f"- {plain(row.id)}" for row in chosen[:20]))
        if len(chosen) > 20:
            st.caption(f"and {len(chosen) - 20} more")
        st.button("Yes, delete them", key="delete-rows", type="primary", on_click=_each, args=(chosen, delete))


def _each(chosen: list[Row], act: Any) -> None:
    """Do something with every run; what goes wrong with one stops no other."""
    problems = []
    for row in chosen:
        try:
            act(Run(row.path))
        except UserError as error:
            problems.append(str(error))
    st.session_state["table-problems"] = problems


def _deleted() -> None:
    gone = [entry for entry in deleted() if is_own(entry.id)]
    if not gone:
        return
    with st.expander(f"{len(gone)} deleted, which can be had back for a week", icon=":material/delete:"):
        for entry in gone[:50]:
            name, back = st.columns([5, 1], vertical_alignment="center")
            when = datetime.fromtimestamp(entry.when).strftime("%Y-%m-%d %H:%M")
            name.caption(f"{plain(entry.id)} · deleted {when}")
            back.button("Restore", key=f"restore-{entry.path}", on_click=restore_run, args=(entry.id,))
        if limits().hosted:  # others' are among what is removed
            return
        st.button(
            "Remove all of them for good", icon=":material/delete_forever:", key="empty", on_click=_empty,
            help="Frees their place on the disk; there is no way back",
        )  # fmt: skip


def _empty() -> None:
    try:
        removed = purge(0)
        st.toast(f"{removed.runs} runs removed, {memory(removed.bytes)} freed.")
    except UserError as error:
        st.session_state["table-problems"] = [str(error)]
    st.session_state.pop("just-deleted", None)


def restore_run(run_id: str) -> None:
    """A button's callback: have a deleted run back."""
    try:
        restore(run_id)
    except UserError as error:
        st.session_state["table-problems"] = [str(error)]
    st.session_state.pop("just-deleted", None)
