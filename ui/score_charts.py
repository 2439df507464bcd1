"""The Plotly charts of a report: how its scores are spread, and whether the model is as sure as it is right."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ui.curves import TRAINING, VALIDATION

#: Of a score from 0 to 1.
BINS = 25


def score_histogram(scores: np.ndarray, title: str) -> go.Figure:
    """Bars of how many pictures score how much, and a line at the mean.

    Args:
        scores: float64 `(pictures,)`, 0 to 1; NaN counts nowhere.
    """
    there = scores[~np.isnan(scores)]
    low = 0.0 if not len(there) else float(np.floor(20 * there.min()) / 20)  # the best models need only the top
    counts, edges = np.histogram(there, bins=BINS, range=(min(low, 0.95), 1.0))
    said = [f"{first:.3f} to {last:.3f}" for first, last in itertools.pairwise(edges)]
    figure = go.Figure(
        go.Bar(
            x=((edges[:-1] + edges[1:]) / 2).tolist(),
            y=counts.tolist(),
            width=float(edges[1] - edges[0]) * 0.94,
            marker={"color": TRAINING},
            customdata=said,
            hovertemplate="%{customdata}: %{y} pictures<extra></extra>",
        )
    )
    if len(there):
        mean = float(there.mean())
        figure.add_vline(
            mean,
            line={"color": VALIDATION, "width": 2, "dash": "dash"},
            annotation={"text": f"mean {mean:.3f}", "yanchor": "bottom", "xanchor": "center"},
        )
    figure.update_layout(
        height=260,
        margin={"l": 0, "r": 8, "t": 24, "b": 0},
        xaxis={"title": title, "range": [float(edges[0]), 1.0]},
        yaxis={"title": "pictures", "rangemode": "tozero"},
        showlegend=False,
    )
    return figure


def reliability_chart(bins: Sequence[dict[str, Any]]) -> go.Figure:
    """How often a pixel is right by how sure the model is of it, and how many pixels are that sure.

    Args:
        bins: each with low, high, pixels, confidence and accuracy (None where there is no pixel).
    """
    there = [row for row in bins if row["pixels"] and row["accuracy"] is not None and row["confidence"] is not None]
    total = max(1, sum(row["pixels"] for row in bins))
    figure = go.Figure()
    figure.add_bar(
        x=[(row["low"] + row["high"]) / 2 for row in bins],
        y=[100 * row["pixels"] / total for row in bins],
        width=[0.94 * (row["high"] - row["low"]) for row in bins],
        name="share of the pixels",
        marker={"color": "rgba(128,128,128,.35)"},
        hovertemplate="%{y:.1f} % of the pixels<extra></extra>",
    )
    figure.add_scatter(
        x=[0, 1], y=[0, 100], mode="lines", name="as sure as right", hoverinfo="skip",
        line={"color": "#7F7F7F", "dash": "dot", "width": 2},
    )  # fmt: skip
    figure.add_scatter(
        x=[row["confidence"] for row in there],
        y=[100 * row["accuracy"] for row in there],
        mode="lines+markers",
        name="right",
        line={"color": TRAINING, "width": 2},
        marker={"size": 7},
        hovertemplate="sure by %{x:.1%}: right %{y:.1f} %<extra></extra>",
    )
    figure.update_layout(
        height=320,
        margin={"l": 0, "r": 8, "t": 8, "b": 0},
        xaxis={"title": "how sure", "range": [0, 1], "tickformat": ".0%"},
        yaxis={"range": [0, 102], "ticksuffix": " %"},
        legend={"orientation": "h", "y": 1.12},
    )
    return figure
