"""The Altair heat map of a confusion matrix, whose cells can be clicked."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

from ui.figures import compact

#: What a cell says: by the name that an address has.
COUNTS, BY_TRUTH, BY_PREDICTION = "counts", "by truth", "by prediction"
KINDS = {
    COUNTS: "pixels",
    BY_TRUTH: "of the pixels of each true class (a row)",
    BY_PREDICTION: "of the pixels that are called each class (a column)",
}
#: The selection's name, and the fields of a cell that it has.
CELL, TRUTH, CALLED = "cell", "truth", "called"
#: Shade of a cell, 0 to 1, from which white is read better on it.
FULL = 0.75
#: Classes up to which each cell has its figure written into it.
WRITTEN = 14
#: The chosen cell's frame (Okabe and Ito's vermilion), and what large figures are drawn in.
CHOSEN, SHADE = "#D55E00", "#0072B2"


def shown_values(counts: np.ndarray, kind: str) -> np.ndarray:
    """What the cells say: float64 `(classes, classes)`, rows truth; shares from 0 to 1, or pixels.

    A row or a column without a pixel has shares of 0.
    """
    if kind == COUNTS:
        return counts.astype(float)
    axis = 1 if kind == BY_TRUTH else 0
    return counts / np.maximum(counts.sum(axis=axis, keepdims=True), 1)


def confusion_chart(
    counts: np.ndarray, names: Sequence[str], kind: str, chosen: tuple[int, int], *, dark: bool = False
) -> alt.LayerChart | alt.FacetChart:
    """A heat map of the matrix; a click selects a cell by the names of its classes.

    Args:
        counts: int64 `(classes, classes)`, rows truth.
        kind: of `KINDS`.
        chosen: the cell that has a frame: truth, prediction.
        dark: whether the page is.
    """
    values, size = shown_values(counts, kind), len(names)
    slant = 0 if size * max(map(len, names)) <= 60 else -45
    # Counts differ by orders of magnitude, and what is confused is small beside what is right.
    shades = np.sqrt(values / max(values.max(initial=0), 1)) if kind == COUNTS else values
    rows = [
        {
            TRUTH: names[truth],
            CALLED: names[called],
            "shade": round(float(shades[truth, called]), 4),
            "text": written(values[truth, called], kind),
            "pixels": f"{counts[truth, called]:,}",
            "of truth": f"{100 * counts[truth, called] / max(1, counts[truth].sum()):.2f} %",
            "of called": f"{100 * counts[truth, called] / max(1, counts[:, called].sum()):.2f} %",
            "chosen": (truth, called) == chosen,
        }
        for truth in range(size)
        for called in range(size)
        if size <= WRITTEN or counts[truth, called] or (truth, called) == chosen  # of many, most have none
    ]
    scale = alt.Scale(domain=list(names))
    base = alt.Chart(pd.DataFrame(rows)).encode(
        x=alt.X(field=CALLED, type="nominal", scale=scale, title="called", axis=alt.Axis(labelAngle=slant)),
        y=alt.Y(field=TRUTH, type="nominal", scale=scale, title="truth"),
        tooltip=[
            alt.Tooltip(field=field, type="nominal", title=title)
            for field, title in (
                (TRUTH, "truth"), (CALLED, "called"), ("pixels", "pixels"),
                ("of truth", "of the true class"), ("of called", "of what is called so"),
            )
        ],
    )  # fmt: skip
    cells = (
        base.mark_rect(fill=SHADE, cursor="pointer")
        .encode(fillOpacity=alt.FillOpacity(field="shade", type="quantitative", scale=None, legend=None))
        .transform_calculate(shade="0.04 + 0.96 * datum.shade")
        .add_params(alt.selection_point(name=CELL, fields=[TRUTH, CALLED]))
    )
    frame = (
        base.mark_rect(fillOpacity=0, stroke=CHOSEN, strokeWidth=3, tooltip=False)
        .transform_filter("datum.chosen")
        .encode(tooltip=alt.value(None))
    )
    layers = [cells, frame]
    if size <= WRITTEN:
        # Full cells are dark, and so are empty ones where the page is.
        inks = {True: "white", False: "white" if dark else "black"}
        for number, (full, ink) in enumerate(inks.items(), start=1):
            text = base.mark_text(fontSize=12, color=ink, tooltip=False)
            text = text.transform_filter(f"datum.shade {'>' if full else '<='} {FULL}")
            layers.insert(number, text.encode(alt.Text(field="text", type="nominal")))
    names_below = 70 if slant == 0 else 50 + min(100, 5 * max(map(len, names)))
    side = min(46, max(14, 900 // size))
    return alt.layer(*layers).properties(height=names_below + side * size)


def written(value: float, kind: str) -> str:
    """A cell's figure, as short as it can be."""
    if kind == COUNTS:
        return compact(value)
    return f"{100 * value:.1f}" if value else "0"
