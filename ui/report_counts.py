"""What was counted in each picture of a report, read once and shared between sessions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import streamlit as st

from segmodels.errors import UserError
from segmodels.evaluation.picture_counts import PictureCounts
from segmodels.evaluation.reports import COUNTS, Report


def counts_of(report: Report) -> PictureCounts:
    """The counts of a report; `UserError` where they are missing or damaged."""
    return _counts(*_state(report), report)


def scores_of(report: Report) -> dict[str, np.ndarray]:
    """`PictureCounts.scores` of a report: float64 `(pictures,)` by figure."""
    return _scores(*_state(report), report)


def _state(report: Report) -> tuple[Path, int]:
    try:
        return report.folder, (report.folder / COUNTS).stat().st_mtime_ns
    except OSError:
        raise UserError("what was counted in each picture is gone: evaluate the model again") from None


@st.cache_resource(max_entries=16, show_spinner=False)
def _counts(folder: Path, written: int, _report: Report) -> PictureCounts:
    return _report.counts


@st.cache_resource(max_entries=16, show_spinner=False)
def _scores(folder: Path, written: int, _report: Report) -> dict[str, np.ndarray]:
    return _counts(folder, written, _report).scores()
