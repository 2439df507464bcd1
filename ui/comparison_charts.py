"""The Plotly charts of a comparison: intervals, accuracy against cost, classes by models."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ui.curves import RUNS
from ui.epoch_view import SHADES, WRITTEN

#: Marks that tell models apart beside their colours.
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "pentagon", "triangle-down", "hexagon")
GREY = "rgba(128,128,128,.75)"


@dataclass(frozen=True)
class Point:
    """A model in a chart.

    Attributes:
        name: what it is called.
        score: its figure, and `low` to `high` its interval; NaN where there is none.
        cost: what it costs, where that is drawn.
        front: whether no other model is better at no higher cost.
    """

    name: str
    score: float
    low: float = math.nan
    high: float = math.nan
    cost: float = math.nan
    front: bool = False


def interval_chart(points: Sequence[Point], letters: dict[str, str], title: str) -> go.Figure:
    """A dot and a whisker a model, the first on top, and on the right the letters of its groups."""
    names = [html.escape(point.name) for point in points]
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter", "mode": "markers", "x": [point.score for point in points], "y": names,
            "error_x": {**_whiskers(points), "thickness": 2.5, "width": 6, "color": RUNS[0]},
            "marker": {"size": 9, "color": RUNS[0]},
            "customdata": [[point.low, point.high] for point in points],
            "hovertemplate": "%{y}: %{x:.4f}<br>%{customdata[0]:.4f} to %{customdata[1]:.4f}<extra></extra>",
        }
    ]  # fmt: skip
    layout = {
        "height": 90 + 34 * len(points),
        "margin": {"l": 0, "r": 60, "t": 8, "b": 0},
        "showlegend": False,
        "xaxis": {"title": {"text": html.escape(title)}, "zeroline": False, "automargin": True},
        "yaxis": {"type": "category", "autorange": "reversed", "automargin": True, "ticksuffix": "  "},
        "annotations": [
            {
                "x": 1, "xref": "paper", "xanchor": "left", "xshift": 8, "y": name, "showarrow": False,
                "text": f"<b>{letters.get(point.name, '')}</b>",
            }
            for name, point in zip(names, points, strict=True)
        ],
    }  # fmt: skip
    return go.Figure({"data": traces, "layout": layout}, _validate=False)


def cost_chart(points: Sequence[Point], cost: str, title: str, *, log: bool, higher: bool = True) -> go.Figure:
    """Score against cost, a mark a model with its interval; a line joins those that no other beats at no higher cost.

    Args:
        cost, title: of the axes.
        log: whether the axis of costs is logarithmic.
        higher: whether a higher score is better; else that axis is turned.
    """
    traces: list[dict[str, Any]] = []
    front = sorted((point for point in points if point.front), key=lambda point: point.cost)
    if len(front) > 1:
        traces.append(
            {
                "type": "scatter", "mode": "lines", "x": [point.cost for point in front],
                "y": [point.score for point in front],
                "line": {"color": GREY, "width": 2, "dash": "dash", "shape": "hv"},
                "name": "Pareto front", "hoverinfo": "skip",
            }
        )  # fmt: skip
    for number, point in enumerate(points):
        colour = RUNS[number % len(RUNS)]
        traces.append(
            {
                "type": "scatter", "mode": "markers", "x": [point.cost], "y": [point.score],
                "name": html.escape(point.name),
                "error_y": {**_whiskers([point]), "thickness": 1.5, "width": 4, "color": colour},
                "marker": {
                    "size": 13 if point.front else 10, "color": colour, "symbol": SYMBOLS[number % len(SYMBOLS)],
                    "line": {"width": 2 if point.front else 0, "color": GREY},
                },
                "hovertemplate": f"%{{fullData.name}}<br>{html.escape(title)} %{{y:.4f}}<br>"
                f"{html.escape(cost)} %{{x:.4s}}<extra></extra>",
            }
        )  # fmt: skip
    layout = {
        "height": 460,
        "margin": {"l": 0, "r": 8, "t": 8, "b": 0},
        "xaxis": {
            "title": {"text": html.escape(cost)}, "type": "log" if log else "linear", "automargin": True,
            **({} if log else {"rangemode": "tozero"}), "tickformat": "~s", **({"dtick": "D1"} if log else {}),
        },
        "yaxis": {
            "title": {"text": html.escape(title)}, "automargin": True, "autorange": True if higher else "reversed",
        },
        "legend": {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0},
    }  # fmt: skip
    return go.Figure({"data": traces, "layout": layout}, _validate=False)


def class_chart(names: Sequence[str], classes: Sequence[str], values: np.ndarray, *, key: str) -> go.Figure:
    """The IoU of each class (a column) by each model (a row), float `(models, classes)`; NaN is a gap."""
    heat = {
        "type": "heatmap", "z": 100 * values, "x": [html.escape(name) for name in classes],
        "y": [html.escape(name) for name in names], "zmin": 0, "zmax": 100, "colorscale": SHADES,
        "colorbar": {"title": {"text": "IoU, %"}, "thickness": 12}, "hoverongaps": False, "xgap": 1, "ygap": 1,
        "hovertemplate": "%{y}, %{x}: IoU %{z:.2f} %<extra></extra>",
        **({"texttemplate": "%{z:.1f}"} if len(classes) <= WRITTEN else {}),
    }  # fmt: skip
    layout = {
        "height": max(220, 110 + 34 * len(names)),
        "margin": {"l": 0, "r": 0, "t": 8, "b": 0},
        "xaxis": {"type": "category", "automargin": True},
        "yaxis": {"type": "category", "autorange": "reversed", "automargin": True, "ticksuffix": "  "},
        "uirevision": key,
    }
    return go.Figure({"data": [heat], "layout": layout}, _validate=False)


def _whiskers(points: Sequence[Point]) -> dict[str, Any]:
    """From the score to both ends of the interval."""
    up = [max(0.0, point.high - point.score) if math.isfinite(point.high) else 0.0 for point in points]
    down = [max(0.0, point.score - point.low) if math.isfinite(point.low) else 0.0 for point in points]
    return {"type": "data", "symmetric": False, "array": up, "arrayminus": down}
