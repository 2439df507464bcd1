"""What was found in a comparison, worked out once for each state of its files and shared by all sessions."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import streamlit as st

from segmodels.errors import UserError
from segmodels.evaluation.compare.comparison import FAILURE, HISTORY, RECIPE, SPEED, TRAINING, Comparison, Entry
from segmodels.evaluation.compare.differences import Differences, real_differences
from segmodels.evaluation.compare.table import Table, comparison_table
from segmodels.evaluation.reports import COUNTS, DOCUMENT
from segmodels.files import state_of

#: The figures by which single pictures are told apart, as a person reads them.
OF_PICTURES = {"pixel_accuracy": "pixel accuracy", "mean_iou": "mean IoU"}


@dataclass(frozen=True)
class PictureScores:
    """How the models did on each picture.

    Attributes:
        names: of the models.
        ids: of the pictures that all were scored on.
        scores: by figure, float64 `(models, pictures)`: means over the seeds, NaN where a picture's truth is all
            ignored.
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
    """How the evaluated members did on each picture; those whose counts are damaged are left out."""
    return _pictures(_state(entries, (DOCUMENT, COUNTS), [entry.name for entry in entries]), list(entries))


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


@st.cache_resource(max_entries=16, show_spinner=False)
def _pictures(state: str, _entries: list[Entry]) -> PictureScores:
    of_member: dict[str, list[dict[str, dict[str, float]]]] = {}
    for entry in evaluated(_entries):
        report = entry.report
        with suppress(UserError):
            if report is not None:
                counts = report.counts
                values = counts.scores()
                rows = {name: dict(zip(counts.ids, values[name].tolist(), strict=True)) for name in OF_PICTURES}
                of_member.setdefault(entry.name, []).append(rows)
    runs = [rows for seeds in of_member.values() for rows in seeds]
    first = next(iter(OF_PICTURES))
    shared = set.intersection(*(set(rows[first]) for rows in runs)) if runs else set()
    ids = [sample_id for sample_id in (runs[0][first] if runs else ()) if sample_id in shared]
    scores = {
        figure: np.array(
            [
                np.mean([[rows[figure][sample_id] for sample_id in ids] for rows in seeds], axis=0)
                for seeds in of_member.values()
            ],
            float,
        ).reshape(len(of_member), len(ids))
        for figure in OF_PICTURES
    }
    return PictureScores(list(of_member), ids, scores)
