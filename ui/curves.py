"""Training curves as Plotly figures: one run, or several over each other."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import plotly.graph_objects as go

from segmodels.training.rows import Row

#: Training and validation of one run (Okabe and Ito's palette), and the runs that stand beside each other.
TRAINING, VALIDATION = "#0072B2", "#D55E00"
RUNS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C564B", "#7F7F7F", "#B2A200", "#332288",
)  # fmt: skip
#: The classes of one figure, told apart by colour and, after so many, by their dash.
DASHES = ("solid", "dash", "dot")
#: Points of a line: more than a chart is wide, and as quickly drawn whatever the training's length.
MOST_POINTS = 500


@dataclass(frozen=True)
class Figure:
    """What a chart shows.

    Attributes:
        title: above it.
        training, validation: columns; empty where there is none. `val_iou_` stands for all that begin so.
        steps: whether it is known for every step.
        log: whether a logarithmic axis suits it.
    """

    title: str
    training: str = ""
    validation: str = ""
    steps: bool = False
    log: bool = False


#: By the name that an address has.
FIGURES: dict[str, Figure] = {
    "loss": Figure("Loss", "loss", "val_loss", steps=True, log=True),
    "accuracy": Figure("Pixel accuracy", "pixel_accuracy", "val_pixel_accuracy", steps=True),
    "mean IoU": Figure("Mean IoU", "mean_iou", "val_mean_iou", steps=True),
    "mean Dice": Figure("Mean Dice", "mean_dice", "val_mean_dice"),
    "IoU by class": Figure("IoU by class", "", "val_iou_"),
    "precision": Figure("Precision", "", "val_precision"),
    "recall": Figure("Recall", "", "val_recall"),
    "F1": Figure("F1", "", "val_f1"),
    "learning rate": Figure("Learning rate", "learning_rate", steps=True, log=True),
    "images a second": Figure("Images a second", "images_per_second"),
    "adversarial loss": Figure("Adversarial loss", "adversarial_loss", steps=True, log=True),
    "discriminator loss": Figure("Discriminator loss", "discriminator_loss", steps=True, log=True),
    "discriminator accuracy": Figure("Discriminator's accuracy", "discriminator_accuracy", steps=True),
    "mean squared error": Figure("Mean squared error", "", "val_mse", log=True),
}


@dataclass(frozen=True)
class Drawn:
    """A run as it is drawn: what a legend calls it, its rows by epoch and, where steps are drawn, by step."""

    name: str
    epochs: Sequence[Row]
    steps: Sequence[Row] = field(default_factory=tuple)
    steps_per_epoch: int = 1
    best_epoch: int | None = None


def curves(figure: Figure, runs: Sequence[Drawn], *, steps: bool, smoothing: float, log: bool, key: str) -> go.Figure:
    """A chart of one figure.

    Args:
        runs: one, whose training and validation differ in colour; or several, each of a colour, training dotted.
        steps: whether training is drawn by step, where the figure is known by step.
        smoothing: of training, 0 to below 1: what a running mean keeps of the mean before.
        log: whether the axis is logarithmic, where that suits the figure.
        key: a zoom stays while this stays.
    """
    steps = steps and figure.steps
    traces: list[dict[str, Any]] = []
    for number, run in enumerate(runs):
        alone = len(runs) == 1
        colour = None if alone else RUNS[number % len(RUNS)]
        prefix = "" if alone else f"{html.escape(run.name)}, "
        if figure.training:
            rows = run.steps if steps else run.epochs
            traces += _training(rows, figure.training, run, steps, smoothing, colour, prefix)
        if figure.validation:
            traces += _validation(run, figure.validation, steps, colour, prefix)
    whole = figure.title in ("Loss", "Mean squared error") and not log
    layout: dict[str, Any] = {
        "title": {"text": figure.title, "font": {"size": 15}, "x": 0, "y": 0.98, "yanchor": "top"},
        "height": 280,
        "showlegend": len(runs) == 1,  # of several, one legend for all charts
        "margin": {"l": 0, "r": 8, "t": 34, "b": 0},
        "xaxis": {"title": {"text": "step" if steps else "epoch"}, "tickformat": "d", "minallowed": 0},
        "yaxis": {
            "type": "log" if log and figure.log else "linear",
            "rangemode": "tozero" if whole else "normal",
            "automargin": True,
        },
        "legend": {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0},
        "hovermode": "x unified" if len(traces) < 8 else "closest",
        "uirevision": key,  # a zoom stays while data arrives
    }
    if not steps:  # whole numbers only: there is no epoch 1.5
        longest = max((len(run.epochs) for run in runs), default=1)
        layout["xaxis"] |= {"dtick": max(1, -(-longest // 6)), "tick0": 0}
    # Plotly's own check of every value takes three times as long as all else.
    return go.Figure({"data": traces, "layout": layout}, _validate=False)


def said(figure: Figure, runs: Sequence[Drawn]) -> str:
    """The chart in words."""
    parts = []
    for run in runs:
        column = figure.validation or figure.training
        row = run.epochs[-1] if run.epochs else {}
        value = row.get(column)
        if isinstance(value, (int, float)):
            parts.append(f"{run.name}: {value:.3g} after epoch {row.get('epoch')}")
    return f"{figure.title} of training and validation. {'; '.join(parts)}"


def legend(runs: Sequence[Drawn]) -> str:
    """The colours of several runs, as HTML: of what is not this module's own, only escaped text."""
    entries = (
        f'<span style="white-space: nowrap; margin-right: 1em"><span style="color: {RUNS[number % len(RUNS)]}" '
        f'aria-hidden="true">&#9632;</span> {html.escape(run.name)}</span>'
        for number, run in enumerate(runs)
    )
    return f'<div style="font-size: 0.85rem; display: flex; flex-wrap: wrap">{"".join(entries)}</div>'


def is_there(figure: Figure, rows: Sequence[Row]) -> bool:
    """Whether any of a run's last rows has the figure."""
    names = {name for row in rows[-1:] for name in row}
    return any(
        name.startswith(column) if column.endswith("_") else name == column
        for column in (figure.training, figure.validation)
        if column
        for name in names
    )


def smooth(values: np.ndarray, share: float) -> np.ndarray:
    """Exponential running mean, corrected for its start (as Adam corrects its moments); NaN counts for nothing."""
    total, weight, out = 0.0, 0.0, np.full(len(values), np.nan)
    for place, value in enumerate(values.tolist()):
        if value == value:
            total, weight = share * total + (1 - share) * value, share * weight + (1 - share)
        out[place] = total / weight if weight else np.nan
    return out


def thin(count: int, most: int = MOST_POINTS) -> slice:
    """Every nth of so many, so that a long training is drawn as quickly as a short one; the last is always kept."""
    step = max(1, -(-count // most))
    return slice((count - 1) % step, None, step)


def column(rows: Sequence[Row], name: str) -> np.ndarray:
    """A column as float64, NaN where there is no number."""
    found = (row.get(name) for row in rows)
    return np.array([value if isinstance(value, (int, float)) else np.nan for value in found], float)


def _training(
    rows: Sequence[Row], name: str, run: Drawn, steps: bool, smoothing: float, colour: str | None, prefix: str
) -> list[dict[str, Any]]:
    along = column(rows, "epoch")
    if steps:
        along = (along - 1) * run.steps_per_epoch + column(rows, "step")
    values = column(rows, name)
    if not np.isfinite(values).any():
        return []
    shown = thin(len(values))  # of the mean too, which is of all of them
    mean = smooth(values, smoothing) if smoothing else values
    line = {"color": colour or TRAINING, "width": 2, "dash": "dot" if colour else "solid"}
    traces = [_line(along[shown], mean[shown], f"{prefix}training", line)]
    if smoothing and not colour:
        thinner = {"color": "rgba(0,114,178,.3)", "width": 1}
        one = "step" if steps else "epoch"
        traces.insert(0, {**_line(along[shown], values[shown], one, thinner), "hoverinfo": "skip"})
    return traces


def _validation(run: Drawn, name: str, steps: bool, colour: str | None, prefix: str) -> list[dict[str, Any]]:
    rows = run.epochs
    names = [name] if not name.endswith("_") else [key for key in (rows[-1] if rows else {}) if key.startswith(name)]
    along = column(rows, "epoch") * (run.steps_per_epoch if steps else 1)
    traces = []
    for number, each in enumerate(names):
        values = column(rows, each)
        if not np.isfinite(values).any():
            continue
        what = "validation" if each == name else html.escape(each.removeprefix(name))
        own = VALIDATION if each == name else RUNS[number % len(RUNS)]
        dash = "solid" if each == name else DASHES[number // len(RUNS) % len(DASHES)]
        if colour and each != name:
            dash = DASHES[number % len(DASHES)]
        line = {"color": colour or own, "width": 2, "dash": dash}
        shown = thin(len(values))
        trace = _line(along[shown], values[shown], f"{prefix}{what}", line)
        if len(values) <= 60:
            trace |= {"mode": "lines+markers", "marker": {"size": 5}}
        traces.append(trace)
        best = [place for place, row in enumerate(rows) if run.best_epoch and row.get("epoch") == run.best_epoch]
        if best and each == name:
            traces.append(_star(along[best[0]], values[best[0]], run.best_epoch, colour or own))
    return traces


def _line(x: np.ndarray, y: np.ndarray, name: str, line: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "lines", "x": x.astype(np.float32), "y": y.astype(np.float32), "name": name,
        "line": line,
    }  # fmt: skip


def _star(x: float, y: float, epoch: int | None, colour: str) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "markers", "x": [float(x)], "y": [float(y)], "name": "best epoch",
        "marker": {"symbol": "star", "size": 13, "color": colour, "line": {"width": 1, "color": "white"}},
        "hovertemplate": f"best, epoch {epoch}: %{{y:.4g}}<extra></extra>", "showlegend": False,
    }  # fmt: skip
