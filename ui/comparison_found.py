"""What was found in a comparison, worked out once for each state of its files and shared by all sessions."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import streamlit as st

from segmodels.data.dataset import Dataset
from segmodels.errors import UserError
from segmodels.evaluation.compare.comparison import FILE, Comparison
from segmodels.evaluation.compare.differences import Differences, real_differences
from segmodels.evaluation.compare.entries import FAILURE, HISTORY, RECIPE, SPEED, TRAINING, Entry
from segmodels.evaluation.compare.table import Table, comparison_table
from segmodels.evaluation.reports import COUNTS, DOCUMENT
from segmodels.files import state_of

#: The figures by which single pictures are told apart, as a person reads them.
OF_PICTURES = {"pixel_accuracy": "pixel accuracy", "mean_iou": "mean IoU"}


@dataclass(frozen=True)
class PictureScores:
    """How the models did on each picture, each seed of a member for itself.

    Attributes:
        names: of the models, as `entry_name` gives them.
        ids: of the pictures that all were scored on.
        scores: by figure, float64 `(models, pictures)`, NaN where a picture's truth is all ignored.
    """

    names: list[str]
    ids: list[str]
    scores: dict[str, np.ndarray]


def found_table(comparison: Comparison, entries: Sequence[Entry]) -> Table:
    """The table of all members, as their files are now."""
    names = (DOCUMENT, COUNTS, SPEED, TRAINING, HISTORY, RECIPE, FAILURE)
    told = [(entry.name, entry.state, entry.said) for entry in entries]
    return _table(_state(entries, names, told), comparison, list(entries))


def found_differences(entries: Sequence[Entry]) -> Differences | None:
    """Which differences are real; None before two models are evaluated. `UserError` as `real_differences`."""
    return _differences(_state(entries, (DOCUMENT, COUNTS), [entry.name for entry in entries]), list(entries))


def picture_scores(entries: Sequence[Entry]) -> PictureScores:
    """How the evaluated entries did on each picture; those whose counts are damaged are left out.

    Args:
        entries: all of the comparison, since their names say whether a member has several seeds.
    """
    about = [(entry.name, entry.seed) for entry in entries]
    return _pictures(_state(entries, (DOCUMENT, COUNTS), about), list(entries))


def comparison_dataset(comparison: Comparison) -> Dataset:
    """What all are evaluated on, with the split of the comparison; `UserError` where it is gone. Opened anew after
    five minutes, since files may have come."""
    return _dataset(state_of([comparison.path / FILE]), comparison)


def evaluated(entries: Sequence[Entry]) -> list[Entry]:
    """Those that have a report, the first of each member's seeds first."""
    return sorted((entry for entry in entries if entry.state == "evaluated"), key=lambda e: (e.member, e.seed))


def entry_name(entry: Entry, entries: Sequence[Entry]) -> str:
    """What a list calls one of a member's seeds."""
    alone = sum(each.member == entry.member for each in entries) == 1
    return entry.name if alone else f"{entry.name}, seed {entry.seed + 1}"


def _state(entries: Sequence[Entry], names: Sequence[str], about: object) -> str:
    return state_of((entry.folder / name for entry in entries for name in names), about)


@st.cache_data(max_entries=32, show_spinner=False)
def _table(state: str, _comparison: Comparison, _entries: list[Entry]) -> Table:
    return comparison_table(_comparison, _entries)


@st.cache_resource(max_entries=6, show_spinner="Drawing ten thousand samples of the pictures …")
def _differences(state: str, _entries: list[Entry]) -> Differences | None:
    return real_differences(_entries)


@st.cache_resource(max_entries=16, show_spinner="Looking through the data set …", ttl=300)
def _dataset(state: str, _comparison: Comparison) -> Dataset:
    return _comparison.dataset()


@st.cache_resource(max_entries=16, show_spinner=False)
def _pictures(state: str, _entries: list[Entry]) -> PictureScores:
    runs: dict[str, dict[str, dict[str, float]]] = {}
    for entry in evaluated(_entries):
        report = entry.report
        with suppress(UserError):
            if report is not None:
                counts = report.counts
                values = counts.scores()
                rows = {figure: dict(zip(counts.ids, values[figure].tolist(), strict=True)) for figure in OF_PICTURES}
                runs[entry_name(entry, _entries)] = rows
    of_ids = [rows[next(iter(OF_PICTURES))] for rows in runs.values()]
    ids = [sample_id for sample_id in of_ids[0] if all(sample_id in rows for rows in of_ids)] if of_ids else []
    scores = {
        figure: np.array([[rows[figure][sample_id] for sample_id in ids] for rows in runs.values()], float).reshape(
            len(runs), len(ids)
        )
        for figure in OF_PICTURES
    }
    return PictureScores(list(runs), ids, scores)
