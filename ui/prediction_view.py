"""A picture and what a model sees in it, in the viewer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import streamlit as st

from segmodels.data.images import encoded
from ui.correct import correcting, keep_corrected
from ui.frame import plain
from ui.prediction_choice import How, Model
from ui.prediction_download import Wanted, zip_view
from ui.prediction_objects import (
    choose_micrometres,
    instances_of,
    objects_view,
    rows_of,
    select_clicked,
    selected,
)
from ui.prediction_picture import Chosen
from ui.prediction_result import doubts_about, doubts_view, predicted, result_of
from ui.prediction_scene import scene
from ui.prediction_shares import shares_view
from ui.viewer import viewer

if TYPE_CHECKING:
    from segmodels.prediction.result import Result


def prediction_view(model: Model, chosen: Chosen, how: How) -> None:
    """Predict and draw.

    Args:
        model: its data set is what corrected masks are named after.
        chosen: what to predict.
        how: with which engine, and what is done to the mask.

    Raises:
        UserError: the picture or the model cannot be read.
    """
    prediction = predicted(model, chosen, how)
    result = prediction.refined
    doubts_view(doubts_about(model, prediction.result))
    height, width = result.mask.shape
    sure = 100 * float(result.confidence.mean())
    st.caption(f"{plain(chosen.label)}: {width} x {height} pixels, mean confidence {sure:.0f} %")
    with st.container(horizontal=True, vertical_alignment="center"):
        editable = correcting()
        numbered = st.toggle("Number the objects", key="numbered", bind="query-params")

    micrometres = choose_micrometres() if numbered else None
    shown = repr((how.key(model), chosen.key, how.refinement))
    rows = rows_of(prediction, micrometres) if numbered else []
    table = f"objects-{shown}"
    marked = selected(rows, table) if numbered else None
    with st.spinner("Drawing …"):
        seen = viewer(
            lambda: scene(
                prediction,
                chosen,
                instances=instances_of(prediction) if numbered else None,
                micrometres=micrometres,
            ),
            shows=repr((shown, editable, numbered, micrometres)),
            key="prediction",
            edits=shown if editable else None,
            clicks=numbered,
            focus=_box(marked),
        )
    if numbered and not editable:
        select_clicked(seen.clicked, rows, table)
    if editable:
        keep_corrected(
            seen,
            lambda: (result.image, result.mask),
            result.labels,
            data=model.data or "pictures",
            name=chosen.label,
            split="train",
        )
    stem = chosen.label.rsplit(".", 1)[0]
    if numbered:
        objects_view(rows, micrometres, name=f"{stem}-objects", key=table)
    shares_view(result, key="shares")
    _downloads(result_of(prediction, model, chosen, how), stem, chosen, micrometres)


def _box(row: dict[str, Any] | None) -> tuple[int, int, int, int] | None:
    return None if row is None else (row["left"], row["top"], row["width"], row["height"])


def _downloads(result: Callable[[], Result], stem: str, chosen: Chosen, micrometres: float | None) -> None:
    with st.container(horizontal=True):
        st.download_button(
            "Mask (class ids, PNG)", lambda: encoded(result().indexed(), "PNG"), f"{stem}-mask.png", "image/png",
            on_click="ignore", icon=":material/download:",
        )  # fmt: skip
        st.download_button(
            "Overlay (PNG)", lambda: encoded(result().overlay(), "PNG"), f"{stem}-overlay.png", "image/png",
            on_click="ignore", icon=":material/download:",
        )  # fmt: skip
    zip_view([Wanted("", chosen.label, result)], "As one zip", key="one", micrometres=micrometres)
