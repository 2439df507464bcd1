"""The Plotly charts of class shares."""

from __future__ import annotations

import html
from collections.abc import Sequence

import plotly.graph_objects as go

from segmodels.data.dataset import ClassLabel


def shares(labels: Sequence[ClassLabel], values: Sequence[float]) -> go.Figure:
    """Horizontal bars of class shares (0 to 1) in the classes' colours: legend and figures in one."""
    names = [html.escape(label.name) for label in labels]
    figure = go.Figure(
        go.Bar(
            x=[100 * value for value in values],
            y=names,
            orientation="h",
            marker={"color": [label.colour for label in labels], "line": {"width": 1, "color": "rgba(128,128,128,.6)"}},
            text=[f"{100 * value:.1f} %" for value in values],
            textposition="outside",
            hovertemplate="%{y}: %{x:.2f} % of the pixels<extra></extra>",
            cliponaxis=False,
        )
    )
    figure.update_layout(
        height=34 * len(labels) + 20,
        margin={"l": 0, "r": 50, "t": 0, "b": 0},
        xaxis={"visible": False, "range": [0, max(100 * max(values, default=1), 1) * 1.15]},
        yaxis={"type": "category", "autorange": "reversed", "ticksuffix": "  "},
        showlegend=False,
    )
    return figure
