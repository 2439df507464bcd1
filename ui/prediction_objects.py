"""The objects of a prediction: how many, how large, and a table whose rows are the objects in the picture."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from segmodels.prediction.export.settings import Settings, objects
from segmodels.prediction.measure import measurements, write_csv
from ui.prediction_result import Prediction
from ui.viewer import Click

#: The side of a pixel in micrometres, in the address.
MICROMETRES = "um"

_COLUMNS = {
    "instance": st.column_config.NumberColumn("Object", format="%d"),
    "class": "Class",
    "area": st.column_config.NumberColumn("Area (px)", format="%d"),
    "area_um2": st.column_config.NumberColumn("Area (µm²)", format="%.1f"),
    "perimeter": st.column_config.NumberColumn("Perimeter (px)", format="%.1f"),
    "perimeter_um": st.column_config.NumberColumn("Perimeter (µm)", format="%.1f"),
    "eccentricity": st.column_config.NumberColumn("Eccentricity", format="%.2f", help="0 is a circle, 1 a line"),
    "mean_intensity": st.column_config.NumberColumn("Intensity", format="%.0f", help="Mean of the luminance, 0 to 255"),
    "confidence": st.column_config.NumberColumn("Confidence", format="percent"),
    "x": st.column_config.NumberColumn("x", format="%.0f"),
    "y": st.column_config.NumberColumn("y", format="%.0f"),
    "left": None,
    "top": None,
    "width": st.column_config.NumberColumn("Width", format="%d"),
    "height": st.column_config.NumberColumn("Height", format="%d"),
}


def choose_micrometres() -> float | None:
    """A box for the size of a pixel; None where it is not known."""
    return st.number_input(
        "Pixel size (µm)", 0.0001, 10_000.0, None, step=0.05, format="%.4f", key=MICROMETRES, bind="query-params",
        placeholder="not known", help="The side of a pixel: areas are then in µm² too", width=200,
    )  # fmt: skip


def instances_of(prediction: Prediction) -> np.ndarray:
    """The objects of the refined mask: int32 `(height, width)`, 0 for none; found once."""
    if "instances" not in prediction.found:
        with st.spinner("Finding the objects …"):
            prediction.found["instances"] = objects(prediction.refined, Settings())
    return prediction.found["instances"]


def rows_of(prediction: Prediction, micrometres: float | None) -> list[dict[str, Any]]:
    """A row an object, as `measurements` has it; measured once."""
    if ("rows", micrometres) not in prediction.found:
        result = prediction.refined
        prediction.found["rows", micrometres] = measurements(
            instances_of(prediction), result.mask, result.image, result.labels,
            confidence=result.confidence, micrometres=micrometres,
        )  # fmt: skip
    return prediction.found["rows", micrometres]


def selected(rows: list[dict[str, Any]], key: str) -> dict[str, Any] | None:
    """The object whose row is chosen in the table with this key."""
    state = st.session_state.get(key) or {}
    places = state.get("selection", {}).get("rows", [])
    return rows[places[0]] if places and places[0] < len(rows) else None


def select_clicked(click: Click | None, rows: list[dict[str, Any]], key: str) -> None:
    """Choose the row of the object that was clicked in the picture, or none; the page is then drawn anew."""
    if click is None:
        return
    places = [place for place, row in enumerate(rows) if row["instance"] == click.instance]
    state = st.session_state.get(key) or {}
    if state.get("selection", {}).get("rows", []) != places:
        st.session_state[key] = {"selection": {"rows": places, "columns": [], "cells": []}}
        st.rerun()


def objects_view(rows: list[dict[str, Any]], micrometres: float | None, *, name: str, key: str) -> None:
    """Draw the count, the histogram of the sizes and the table.

    Args:
        rows: of `measurements`.
        micrometres: the side of a pixel, where it is known.
        name: what the file of the table is called, without its ending.
        key: of the table, whose chosen row is the object that has a frame.
    """
    if not rows:
        st.info("No object in this picture.", icon=":material/search_off:")
        return
    column, unit = ("area", "px") if micrometres is None else ("area_um2", "µm²")
    areas = np.array([row[column] for row in rows])
    figures, chart = st.columns([1, 3], vertical_alignment="center")
    figures.metric("Objects", len(rows))
    figures.metric("Median area", f"{np.median(areas):,.0f} {unit}")
    chart.plotly_chart(
        size_histogram(areas, unit),
        key=f"{key}-sizes",
        config={"displayModeBar": False},
        alt="How many objects have which area",
    )
    st.caption("A row chosen here has a frame in the picture, and a click on an object there chooses its row.")
    st.dataframe(
        rows, hide_index=True, key=key, column_config=_COLUMNS, on_select="rerun", selection_mode="single-row",
        alt="Measurements of the objects",
    )  # fmt: skip
    st.download_button(
        "Measurements (CSV)", lambda: csv_of(rows), f"{name}.csv", "text/csv",
        on_click="ignore", icon=":material/download:",
    )  # fmt: skip


def size_histogram(areas: np.ndarray, unit: str) -> go.Figure:
    """How many objects have which area."""
    figure = go.Figure(go.Histogram(x=areas.tolist(), nbinsx=40, marker={"color": "#56B4E9"}))
    figure.update_layout(
        height=200,
        margin={"l": 0, "r": 0, "t": 10, "b": 0},
        xaxis={"title": f"area in {unit}"},
        yaxis={"title": "objects"},
    )
    return figure


def csv_of(rows: list[dict[str, Any]]) -> bytes:
    """The rows as the command line writes them."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "measurements.csv"
        write_csv(path, rows)
        return path.read_bytes()
