"""The Plotly charts that pages share."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from segmodels.data.dataset import ClassLabel

#: Training and validation, told apart by colour (Okabe and Ito's palette) and by dash.
TRAINING = {"color": "#0072B2", "width": 2}
VALIDATION = {"color": "#D55E00", "width": 2}
#: The figures that are drawn live: the column's name and its title.
FIGURES = {"loss": "Loss", "pixel_accuracy": "Pixel accuracy", "mean_iou": "Mean IoU"}
#: Those of a training against a discriminator.
ADVERSARIAL = {
    "adversarial_loss": "Adversarial loss",
    "discriminator_loss": "Discriminator loss",
    "discriminator_accuracy": "Its accuracy",
}
TITLES = {**FIGURES, **ADVERSARIAL}


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


def by_epoch(rows: list[dict[str, Any]], column: str, run: str) -> go.Figure:
    """A figure of training and of validation over the epochs."""
    epochs = [row["epoch"] for row in rows]
    figure = go.Figure()
    for name, key, line in (("training", column, TRAINING), ("validation", f"val_{column}", VALIDATION)):
        values = [row.get(key) for row in rows]
        if all(value is None for value in values):
            continue
        figure.add_scatter(x=epochs, y=values, name=name, mode="lines+markers", line=line, marker={"size": 5})
    # Whole numbers only: there is no epoch 1.5.
    figure.update_xaxes(dtick=max(1, -(-len(epochs) // 6)), tick0=0)
    return _frame(figure, "epoch", column, run)


def by_step(
    rows: list[dict[str, Any]], validation: list[dict[str, Any]], per_epoch: int, column: str, run: str
) -> go.Figure:
    """A figure of training at every step, its running mean, and validation at each epoch's end."""
    steps = [(row["epoch"] - 1) * per_epoch + row["step"] for row in rows]
    values = [row.get(column) for row in rows]
    figure = go.Figure()
    figure.add_scatter(
        x=steps, y=values, name="step", mode="lines", line={"color": "rgba(0,114,178,.3)", "width": 1}, hoverinfo="skip"
    )
    figure.add_scatter(x=steps, y=smooth(values), name="training", mode="lines", line=TRAINING)
    if any(row.get(f"val_{column}") is not None for row in validation):
        figure.add_scatter(
            x=[row["epoch"] * per_epoch for row in validation],
            y=[row.get(f"val_{column}") for row in validation],
            name="validation",
            mode="lines+markers",
            line=VALIDATION,
            marker={"size": 5},
        )
    return _frame(figure, "step", column, run)


def smooth(values: list[float | None], share: float = 0.9) -> list[float | None]:
    """Exponential running mean, corrected for its start (as Adam corrects its moments)."""
    total, weight, out = 0.0, 0.0, []
    for value in values:
        if value is not None:
            total, weight = share * total + (1 - share) * value, share * weight + (1 - share)
        out.append(total / weight if weight else None)
    return out


def thin(rows: list[dict[str, Any]], most: int = 2000) -> list[dict[str, Any]]:
    """Every nth row, so that a long training is drawn as quickly as a short one; the last row is always kept."""
    step = max(1, -(-len(rows) // most))
    return rows[::-1][::step][::-1]


def _frame(figure: go.Figure, along: str, column: str, run: str) -> go.Figure:
    figure.update_layout(
        title={
            "text": TITLES.get(column, column),
            "font": {"size": 15},
            "x": 0,
            "y": 0.98,
            "yanchor": "top",
        },
        height=280,
        margin={"l": 0, "r": 8, "t": 34, "b": 0},
        xaxis={"title": along, "tickformat": "d", "minallowed": 0},
        yaxis={"rangemode": "tozero" if column.endswith("loss") else "normal"},
        legend={"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0},
        hovermode="x unified",
        uirevision=run,  # a zoom stays while data arrives
    )
    return figure
