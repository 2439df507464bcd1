"""The figures of a split: classes, sizes, colours, and the class weights that they suggest."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from segmodels.data.class_weights import METHODS, suggested_weights
from segmodels.data.dataset import ClassLabel
from segmodels.data.statistics import Statistics
from ui import cached, charts
from ui.curves import TRAINING
from ui.figures import compact
from ui.frame import plain

QUIET = {"displayModeBar": False}

#: What each way of weighting does, in a line.
ABOUT = {
    "inverse frequency": "One over a class's share of all pixels.",
    "median frequency": "As before, but only pictures that have the class count: large in few pictures is not rare.",
    "effective number": "Like the inverse frequency for few pictures, and the more even the more pictures there are.",
}


def statistics_view(name: str, root: str | None, split: str) -> None:
    """Draw the figures of one split of a data set."""
    figures, labels = cached.statistics(name, root, split), cached.dataset(name, root).classes
    sizes = figures.used_sizes
    if not len(sizes):
        st.info(f"No picture of the {split} split can be used.", icon=":material/hide_image:")
        return
    _head(figures, sizes)
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Share of the pixels**")
        st.plotly_chart(
            charts.shares(labels, figures.shares.tolist()), key="all-shares", config=QUIET, alt="Pixels by class"
        )
    with right:
        st.markdown("**Pictures with the class**")
        st.plotly_chart(images(labels, figures), key="images", config=QUIET, alt="Pictures by class")
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Sizes of the pictures**")
        st.plotly_chart(size_chart(sizes), key="sizes", config=QUIET, alt="Widths and heights of the pictures")
    with right:
        st.markdown("**Weights for the loss**")
        _weights(labels, figures)
    left, _ = st.columns(2, gap="large")
    with left:
        st.markdown("**Where the class lies**")
        _places(labels, figures)


def images(labels: tuple[ClassLabel, ...], figures: Statistics) -> go.Figure:
    """Horizontal bars: how many pictures have each class, in the classes' colours."""
    counts = figures.images.tolist()
    figure = charts.shares(labels, counts)
    figure.update_traces(
        x=counts,
        text=[str(count) for count in counts],
        hovertemplate=f"%{{y}}: in %{{x}} of {len(figures.used_sizes)} pictures<extra></extra>",
    )
    figure.update_xaxes(range=[0, max(counts) * 1.15])
    return figure


def size_chart(sizes: np.ndarray) -> go.Figure:
    """A dot for each size that occurs, its area by the number of pictures; `sizes` is `(pictures, 2)`, height first."""
    different, counts = np.unique(sizes, axis=0, return_counts=True)
    figure = go.Figure(
        go.Scatter(
            x=different[:, 1],
            y=different[:, 0],
            mode="markers",
            marker={
                "size": counts, "sizemode": "area", "sizeref": 2 * counts.max() / 30**2, "sizemin": 4,
                "color": TRAINING, "opacity": 0.6,
            },
            customdata=counts,
            hovertemplate="%{x} x %{y}: %{customdata} pictures<extra></extra>",
        )
    )  # fmt: skip
    figure.update_layout(
        height=300,
        margin={"l": 0, "r": 8, "t": 8, "b": 0},
        xaxis={"title": "width", "rangemode": "tozero"},
        yaxis={"title": "height", "rangemode": "tozero"},
        showlegend=False,
    )
    return figure


def _head(figures: Statistics, sizes: np.ndarray) -> None:
    height, width = np.median(sizes, axis=0)
    least, most = sizes.min(axis=0), sizes.max(axis=0)
    with st.container(horizontal=True, gap="medium"):
        st.metric("Pictures", len(sizes), help=f"{len(figures.ids) - len(sizes)} more cannot be used", width=140)
        st.metric("Pixels", compact(int(figures.pixels.sum())), width=140)
        st.metric(
            "Median size", f"{width:.0f} x {height:.0f}", width="content",
            help=f"Width x height; from {least[1]} to {most[1]} wide and from {least[0]} to {most[0]} high",
        )  # fmt: skip
        st.metric("Ignored", f"{100 * figures.ignored_share:.1f} %", help="Pixels that count nowhere", width=140)
        red, green, blue = figures.mean
        st.metric(
            "Mean colour", f"#{_byte(red)}{_byte(green)}{_byte(blue)}", width="content",
            help="Red, green, blue: mean " + _three(figures.mean) + "; standard deviation " + _three(figures.deviation),
        )  # fmt: skip


def _weights(labels: tuple[ClassLabel, ...], figures: Statistics) -> None:
    weights = {method: suggested_weights(figures.pixels, method) for method in METHODS}
    rows: list[dict[str, Any]] = [
        {
            "Class": label.name,
            **{method.capitalize(): float(weights[method][index]) for method in METHODS},
            "Mean colour": None if np.isnan(figures.class_colours[index, 0]) else _three(figures.class_colours[index]),
        }
        for index, label in enumerate(labels)
    ]
    columns = {
        method.capitalize(): st.column_config.NumberColumn(format="%.3f", help=ABOUT[method]) for method in METHODS
    }
    st.dataframe(rows, hide_index=True, column_config=columns, key="weights", alt="Suggested weights by class")
    method = st.segmented_control(
        "As an option of `train`", METHODS, default=METHODS[1], required=True, key="weights-method",
        format_func=str.capitalize,
    )  # fmt: skip
    st.code("--class-weights " + ",".join(f"{weight:.4g}" for weight in weights[method]), language="bash")
    absent = [label.name for label, count in zip(labels, figures.images, strict=True) if not count]
    if absent:
        st.caption(f"Weight 0, since no picture has it: {plain(', '.join(absent))}")


def _places(labels: tuple[ClassLabel, ...], figures: Statistics) -> None:
    there = [index for index in range(len(labels)) if figures.places[index].any()]
    # The background is everywhere else, and the rarest class the least expected.
    first = next((place for place, index in enumerate(there) if labels[index].name != "background"), 0)
    index = st.selectbox(
        "Class", there, first, key="places-class", format_func=lambda index: labels[index].name,
        label_visibility="collapsed",
    )  # fmt: skip
    if index is None:
        return
    st.plotly_chart(
        place_chart(figures, index), key="places", config=QUIET, alt=f"Where {labels[index].name} lies in the pictures"
    )
    st.caption("All pictures laid over each other, each stretched to the same square.")


def place_chart(figures: Statistics, index: int) -> go.Figure:
    """A map of how often a class lies in each place of a picture, in percent of the pictures."""
    shares = 100 * figures.places[index] / max(1, len(figures.used_sizes))
    figure = go.Figure(
        go.Heatmap(z=shares, colorscale="Cividis", zmin=0, colorbar={"ticksuffix": " %"}, hoverongaps=False,
                   hovertemplate="in %{z:.0f} % of the pictures<extra></extra>")
    )  # fmt: skip
    figure.update_layout(
        height=320,
        margin={"l": 0, "r": 0, "t": 8, "b": 0},
        xaxis={"visible": False, "constrain": "domain"},
        yaxis={"visible": False, "autorange": "reversed", "scaleanchor": "x", "constrain": "domain"},
    )
    return figure


def _byte(value: float) -> str:
    return f"{round(value):02X}"


def _three(values: np.ndarray) -> str:
    return " ".join(f"{value:.0f}" for value in values)
