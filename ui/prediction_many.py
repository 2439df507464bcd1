"""Many pictures: predicted under a bar, then a table with a row a picture, each of which opens its picture."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ui.frame import in_place, plain
from ui.prediction_batch import Job, Row, kept_rows, left, work
from ui.prediction_choice import How, Model
from ui.prediction_download import Wanted, long_zip_view
from ui.prediction_picture import Chosen
from ui.prediction_result import predict
from ui.prediction_several import several_view
from ui.prediction_view import prediction_view

#: Seconds between two drawings of the table while it grows.
EVERY = 2.0
#: The batch that was stopped, in the session.
STOPPED = "many-stopped"


def many_view(models: Sequence[Model], pictures: Sequence[Chosen], how: How) -> None:
    """Predict what is left, and draw what is known; one picture that fails never stops the rest."""
    jobs = [Job(chosen, model, how) for chosen in pictures for model in models]
    batch = hash(tuple(job.key for job in jobs))
    if todo := left(jobs):
        _progress(jobs, todo, batch)
    there = [job for job in jobs if job.key in kept_rows()]
    if not there:
        return
    opened = _table(there, several=len(models) > 1, key=f"many-{batch}")
    fine = [job for job in there if not kept_rows()[job.key].error]
    wanted = [_wanted(job, several=len(models) > 1) for job in fine]
    long_zip_view(wanted, "All as one zip", key="many", of=(batch, len(fine)))
    if opened is not None and not kept_rows()[opened.key].error:
        st.divider()
        with in_place():
            if len(models) > 1:
                several_view(models, opened.chosen, how)
            else:
                prediction_view(opened.model, opened.chosen, how)


def _progress(jobs: Sequence[Job], todo: Sequence[Job], batch: int) -> None:
    """Predict under a bar that has a button to stop; when stopped, a line that has one to go on."""
    done = len(jobs) - len(todo)
    if st.session_state.get(STOPPED) == batch:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"Stopped: {done} of {len(jobs)} predicted.")
            st.button("Go on", icon=":material/play_arrow:", key="many-go-on", on_click=_set_stopped, args=(None,))
        return
    place, table = st.empty(), st.empty()
    with place.container(horizontal=True, vertical_alignment="center"):
        bar = st.progress(done / len(jobs), "Predicting …")
        st.button("Stop", icon=":material/stop:", key="many-stop", on_click=_set_stopped, args=(batch,))
    drawn = time.monotonic()
    for number, job in enumerate(todo, start=done):
        told = partial(_tell, bar, job, number, len(jobs))
        told(0.0)
        work(job, told)
        if time.monotonic() - drawn > EVERY:
            there = [job for job in jobs if job.key in kept_rows()]
            table.dataframe(
                _rows(there, several=False), hide_index=True, column_config=_columns(there),
                column_order=_order(there), row_height=72, placeholder="",
            )  # fmt: skip
            drawn = time.monotonic()
    place.empty()
    table.empty()


def _tell(bar: DeltaGenerator, job: Job, number: int, of: int, share: float) -> None:
    bar.progress((number + share) / of, f"{plain(job.chosen.label)}: {number + 1} of {of}")


def _set_stopped(batch: int | None) -> None:
    st.session_state[STOPPED] = batch


def _table(jobs: Sequence[Job], *, several: bool, key: str) -> Job | None:
    """Draw it; returns the job whose row is chosen."""
    rows = kept_rows()
    failed = sum(bool(rows[job.key].error) for job in jobs)
    told = f", {failed} failed" if failed else ""
    st.markdown(f"**{len(jobs) - failed}** predicted{told}. A row chosen here opens its picture.")
    state = st.dataframe(
        _rows(jobs, several=several), hide_index=True, key=key, on_select="rerun", selection_mode="single-row",
        column_config=_columns(jobs), column_order=_order(jobs), row_height=72, placeholder="",
        alt="The pictures with their figures",
    )  # fmt: skip
    places = state["selection"]["rows"]
    return jobs[places[0]] if places and places[0] < len(jobs) else None


def _rows(jobs: Sequence[Job], *, several: bool) -> list[dict[str, Any]]:
    rows = kept_rows()
    return [_shown(job, rows[job.key], several) for job in jobs]


def _shown(job: Job, row: Row, several: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {"": row.small or None, "Picture": job.chosen.label}
    if several:
        shown["Model"] = job.model.name
    shown["Size"] = f"{row.width} x {row.height}" if row.width else ""
    shown |= {"Confidence": row.confidence, **row.shares, "Objects": row.objects}
    if row.ignored:
        shown["Ignored"] = row.ignored
    if said := row.error or " ".join(row.doubts):
        shown["Notes"] = said
    return shown


def _order(jobs: Sequence[Job]) -> list[str]:
    """The columns from left to right, whatever the first row has."""
    return ["", "Picture", "Model", "Notes", "Size", "Confidence", *_shares(jobs), "Ignored", "Objects"]


def _shares(jobs: Sequence[Job]) -> list[str]:
    """The classes of all models, as columns."""
    rows = kept_rows()
    return list(dict.fromkeys(name for job in jobs for name in rows[job.key].shares))


def _columns(jobs: Sequence[Job]) -> dict[str, Any]:
    share = partial(st.column_config.NumberColumn, format="percent")
    return {
        "": st.column_config.ImageColumn("", width=96),
        "Confidence": share("Confidence"),
        "Ignored": share("Ignored"),
        "Notes": st.column_config.TextColumn("Notes", width="medium"),
        **{name: share(name) for name in _shares(jobs)},
    }


def _wanted(job: Job, *, several: bool) -> Wanted:
    """It is predicted anew when it is asked for: maps of many pictures would fill the memory."""
    folder = f"{job.model.name}/" if several else ""
    return Wanted(folder, job.chosen.label, partial(predict, job.model, job.chosen, job.how))
