"""The whole report of one of the compared models."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import streamlit as st

from segmodels.errors import UserError
from segmodels.evaluation.compare.comparison import Comparison
from segmodels.evaluation.compare.entries import Entry
from ui.comparison_found import comparison_dataset, entry_name, evaluated
from ui.links import linked_selectbox
from ui.report_view import report_view


def reports_view(comparison: Comparison, entries: Sequence[Entry]) -> None:
    """Draw it, of the model that is chosen."""
    there = {entry_name(entry, entries): entry for entry in evaluated(entries)}
    if not there:
        st.info("The reports come with the first model that is evaluated.", icon=":material/hourglass_top:")
        return
    name = linked_selectbox("Report of", list(there), key="compare-report-of")
    report = there[name].report
    if report is None:
        raise UserError("its report is damaged: delete the comparison and start it again")
    dataset = None
    with suppress(UserError):  # it is gone: the figures are there all the same
        dataset = comparison_dataset(comparison)
    report_view(report, dataset, model=there[name].checkpoint, key="compare-report", name=name)
