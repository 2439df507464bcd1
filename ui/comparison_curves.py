"""The training curves of what is compared, over each other."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from segmodels.evaluation.compare.comparison import Comparison
from segmodels.evaluation.compare.entries import Entry
from ui.comparison_found import entry_name
from ui.curves import FIGURES, Drawn, curves, is_there, legend, said
from ui.curves_view import FIRST, MOST
from ui.frame import plain


def comparison_curves(comparison: Comparison, entries: Sequence[Entry]) -> None:
    """Draw them; of models that were not trained here there are none."""
    drawn = {entry_name(entry, entries): found for entry in entries if (found := _drawn(entry, entries))}
    without = sorted({entry.name for entry in entries} - {each.name for each in entries if _history(each)})
    if not drawn:
        st.info("None of these was trained here, or has finished an epoch.", icon=":material/show_chart:")
        return
    there = [name for name, figure in FIGURES.items() if any(is_there(figure, run.epochs) for run in drawn.values())]
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    shown = left.multiselect(
        "Runs", list(drawn), default=list(drawn)[:MOST], max_selections=MOST, key=f"compare-runs-{comparison.id}"
    )
    log = right.toggle("Logarithmic axis", key="compare-log", help="For losses and rates")
    chosen = st.pills(
        "Figures", there, selection_mode="multi", default=[name for name in FIRST if name in there],
        key=f"compare-figures-{comparison.id}-{len(there)}",
    )  # fmt: skip
    runs = [drawn[name] for name in shown]
    if not runs:
        return
    if len(runs) > 1:
        st.html(legend(runs))
        st.caption("Solid: validation. Dotted: training. A star: the epoch that is compared.")
    figures = [name for name in there if name in chosen]
    columns = 1 if len(figures) == 1 else 2 if len(figures) in (2, 4) else 3
    for start in range(0, len(figures), columns):
        for column, name in zip(st.columns(columns), figures[start : start + columns], strict=False):
            column.plotly_chart(
                curves(FIGURES[name], runs, steps=False, smoothing=0.0, log=log, key=f"{comparison.id}-{log}"),
                key=f"compare-curve-{name}-{comparison.id}",
                config={"displaylogo": False},
                alt=said(FIGURES[name], runs),
            )
    if without:
        st.caption(f":material/info: Without curves: {plain(', '.join(without))}")


def _history(entry: Entry) -> list[dict]:
    """Of a run that is still training, as far as it is."""
    return entry.history or (entry.run.history() if entry.run is not None else [])


def _drawn(entry: Entry, entries: Sequence[Entry]) -> Drawn | None:
    rows, best = _history(entry), entry.training.get("best_epoch")
    if not rows:
        return None
    return Drawn(entry_name(entry, entries), rows, best_epoch=best if isinstance(best, int) else None)
