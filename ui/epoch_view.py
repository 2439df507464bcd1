"""A run after any of its epochs: its validation pictures and its confusion matrix, under one slider."""

from __future__ import annotations

import html

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from segmodels.data.dataset import ClassLabel
from segmodels.training.runs import Run
from ui.frame import in_place
from ui.samples_view import sample_epochs, sample_labels, samples_view

#: The end of the slider, which follows a run as it goes.
LATEST = -1
#: Of a share of none, and of all.
SHADES = [[0, "#F7FBFF"], [1, "#08306B"]]
#: Classes up to which each cell has its share written into it.
WRITTEN = 12


def epoch_view(run: Run) -> None:
    """Draw them, once there are any."""
    with in_place():
        epochs = sample_epochs(run)
        if not epochs:
            return
        st.markdown("**Validation pictures**")
        epoch = _choose_epoch(run, epochs)
        samples_view(run, epoch)
        _confusion(run, epoch)


def _choose_epoch(run: Run, epochs: list[int]) -> int:
    if len(epochs) == 1:
        return epochs[0]
    picked = st.select_slider(
        "After epoch",
        [*epochs[:-1], LATEST],
        value=LATEST,
        key=f"epoch-{run.id}",
        format_func=lambda value: f"{epochs[-1]}, the latest" if value == LATEST else str(value),
    )
    return epochs[-1] if picked == LATEST else picked


def _confusion(run: Run, epoch: int) -> None:
    labels = sample_labels(run)
    row = next((row for row in run.confusions() if row.get("epoch") == epoch), None)
    if row is None:
        return
    size = range(len(labels))
    counts = np.array([[row.get(f"{true}-{said}") or 0 for said in size] for true in size], float)
    st.markdown(f"**Confusion of the validation after epoch {epoch}**")
    st.plotly_chart(
        confusion_chart(counts, labels, key=run.id),
        key=f"confusion-{run.id}",
        config={"displaylogo": False},
        alt=_said(counts, labels),
    )


def confusion_chart(counts: np.ndarray, labels: tuple[ClassLabel, ...], *, key: str) -> go.Figure:
    """Of the pixels of each true class (a row) the share that is called each class (a column)."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = [html.escape(label.name) for label in labels]
    heat = {
        "type": "heatmap", "z": 100 * shares, "x": names, "y": names, "zmin": 0, "zmax": 100, "colorscale": SHADES,
        "customdata": counts, "colorbar": {"title": {"text": "%"}, "thickness": 12},
        "hovertemplate": "%{y} called %{x}: %{z:.1f} % of its pixels (%{customdata:,.0f})<extra></extra>",
        **({"texttemplate": "%{z:.1f}"} if len(labels) <= WRITTEN else {}),
    }  # fmt: skip
    layout = {
        "height": max(220, 90 + 34 * len(labels)),
        "margin": {"l": 0, "r": 0, "t": 8, "b": 0},
        "xaxis": {"title": {"text": "called"}, "type": "category", "automargin": True},
        "yaxis": {"title": {"text": "truth"}, "type": "category", "autorange": "reversed", "automargin": True},
        "uirevision": key,
    }
    return go.Figure({"data": [heat], "layout": layout}, _validate=False)


def _said(counts: np.ndarray, labels: tuple[ClassLabel, ...]) -> str:
    shares = counts.diagonal() / np.maximum(counts.sum(axis=1), 1)
    right = (f"{label.name} {100 * share:.0f} %" for label, share in zip(labels, shares, strict=True))
    return f"Of the pixels of each class those called so: {', '.join(right)}"
