"""The trials of a search: as parallel coordinates, as a table, and one of them with its recipe and its run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st
import yaml

from segmodels.search.search import Search, Trial
from segmodels.search.space import value_text, values_text
from segmodels.search.text import ranked
from ui.form_start import begin_form_with
from ui.frame import in_place, plain
from ui.search_chart import LEAST, parallel_coordinates
from ui.train_links import NEW, run_name

#: The reasons of failures that are shown.
MOST_REASONS = 5
STATES = {
    "waiting": ":material/schedule: waiting",
    "running": ":material/model_training: running",
    "finished": ":material/check_circle: finished",
    "pruned": ":material/content_cut: pruned",
    "failed": ":material/error: failed",
}


def trials_view(search: Search, trials: Sequence[Trial]) -> None:
    """Draw them."""
    with in_place():
        _coordinates(search, trials)
    _table(search, trials)
    failed = [trial for trial in trials if trial.state == "failed"]
    if failed:
        lines = [f"- trial {trial.number}: {plain(trial.said)}" for trial in failed[:MOST_REASONS]]
        more = [f"- and {len(failed) - MOST_REASONS} more"] if len(failed) > MOST_REASONS else []
        st.error("\n".join([*lines, *more]), icon=":material/error:")
    with in_place():
        _one(search, trials)


def _coordinates(search: Search, trials: Sequence[Trial]) -> None:
    rows = [(trial.values, trial.value) for trial in trials if trial.value is not None]
    if len(rows) < LEAST:
        st.info(
            "The trials are drawn side by side once two of them have been validated.", icon=":material/hourglass_top:"
        )
        return
    how = search.space.how
    st.caption(
        f"Each line is a trial, the last axis its {plain(how.metric)}: blue is worst, orange is best. "
        "Drag along an axis to filter."
    )
    st.plotly_chart(
        parallel_coordinates(search.space.fields, rows, how.metric, higher=how.mode == "max", key=search.id),
        key=f"search-coordinates-{search.id}",
        config={"displaylogo": False},
        alt=f"{len(rows)} trials by {len(search.space.fields)} fields and {how.metric}",
    )
    if left_out := len(trials) - len(rows):
        st.caption(f"Without a figure yet: {left_out} of {len(trials)} trials.")


def _table(search: Search, trials: Sequence[Trial]) -> None:
    metric = search.space.how.metric
    order = ranked(search, trials)
    columns: dict[str, list[Any]] = {
        "Trial": [trial.number for trial in order],
        "State": [trial.state for trial in order],
        metric: [trial.value for trial in order],
        "Epochs": [f"{trial.epoch} of {trial.epochs}" for trial in order],
        **{field: _column([trial.values[field] for trial in order]) for field in search.space.fields},
        "Run": [trial.run.id if trial.run else None for trial in order],
    }
    st.dataframe(
        columns,
        hide_index=True,
        key=f"search-table-{search.id}",
        placeholder="–",
        column_config={
            "Trial": st.column_config.NumberColumn(pinned=True, width="small"),
            **{
                name: st.column_config.NumberColumn(format="%.4g")
                for name, values in columns.items()
                if _floats(values)
            },
            metric: st.column_config.NumberColumn(format="%.4f", help="Of the best epoch"),
        },
        alt=f"{len(order)} trials, the best first",
    )


def _column(values: Sequence[object]) -> list[object]:
    """Numbers as they are, which sort, where all are some; else all as text."""
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    return list(values) if numbers else [value_text(value) for value in values]


def _floats(values: Sequence[object]) -> bool:
    """Whether a column is of numbers that need not be whole."""
    return all(isinstance(value, float) for value in values)


def _one(search: Search, trials: Sequence[Trial]) -> None:
    """One trial, at first the best: its values, its run, and its recipe as the start of a new one."""
    order = ranked(search, trials)
    best = search.best(trials)
    titles = {
        trial.number: f"{trial.number}{' · the best' if best and trial.number == best.number else ''}"
        for trial in order
    }
    number = st.selectbox("Trial", list(titles), key=f"search-trial-{search.id}", format_func=titles.__getitem__)
    trial = next(each for each in order if each.number == number)
    figure = (
        "" if trial.value is None else f" · {search.space.how.metric} {trial.value:.4f} after epoch {trial.best_epoch}"
    )
    said = f" {trial.said}" if trial.said else ""
    state = STATES.get(trial.state, plain(trial.state))
    st.caption(f"{state}{plain(f'{said}{figure} · {values_text(trial.values)}')}")
    with st.container(horizontal=True, vertical_alignment="center"):
        if trial.run is not None:
            st.page_link(
                "pages/2_Train.py", label="Watch its run", icon=":material/model_training:",
                query_params={"run": run_name(trial.run), "part": "Watch"},
            )  # fmt: skip
        if st.button("Begin a run with its recipe", icon=":material/edit_note:", key=f"search-use-{search.id}"):
            begin_form_with(search.recipe_of(trial.number), f"From trial {trial.number} of the search {search.title}")
            st.switch_page("pages/2_Train.py", query_params={"part": NEW})
    with st.expander("Its values as a file", icon=":material/description:"):
        st.code(yaml.safe_dump(_fields(search, trial), sort_keys=False), language="yaml")


def _fields(search: Search, trial: Trial) -> dict[str, object]:
    """What its recipe says beside the defaults."""
    recipe = search.recipe_of(trial.number).model_dump(mode="json")
    names = [*search.space.recipe, *(field.partition(".")[0] for field in search.space.fields)]
    return {name: recipe[name] for name in dict.fromkeys(names)}
