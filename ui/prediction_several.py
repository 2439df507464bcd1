"""One picture through several models, side by side; they are zoomed together."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from ui.frame import in_place, plain
from ui.prediction_choice import How, Model
from ui.prediction_download import Wanted, zip_view
from ui.prediction_picture import Chosen
from ui.prediction_result import Prediction, doubts_about, doubts_view, predicted, result_of
from ui.prediction_scene import scene
from ui.prediction_shares import shares_view
from ui.viewer import viewer

#: Panes in a row.
ACROSS = 3
#: Letters of a model's name above its pane.
SHORT = 26


def several_view(models: Sequence[Model], chosen: Chosen, how: How) -> None:
    """Draw them; a model that cannot predict says why in its own pane."""
    st.caption(plain(chosen.label))
    wanted: list[Wanted] = []
    across = min(ACROSS, len(models))
    for start in range(0, len(models), across):
        for column, model in zip(st.columns(across), models[start : start + across], strict=False):
            with column, in_place():
                st.markdown(f"**{plain(_short(model.name))}**", help=plain(model.name))
                prediction = predicted(model, chosen, how)
                _pane(model, prediction, chosen, how)
                wanted.append(Wanted(f"{model.name}/", chosen.label, result_of(prediction, model, chosen, how)))
    zip_view(wanted, "All as one zip", key="several")


def _pane(model: Model, prediction: Prediction, chosen: Chosen, how: How) -> None:
    result = prediction.refined
    height, width = result.mask.shape
    st.caption(f"{width} x {height} pixels, mean confidence {100 * float(result.confidence.mean()):.0f} %")
    viewer(
        lambda: scene(prediction, chosen),
        shows=repr((how.key(model), chosen.key, how.refinement)),
        key=f"several-{model.name}",
        link=repr(chosen.key),
        compact=True,
    )
    shares_view(result, key=f"shares-{model.name}")
    doubts_view(doubts_about(model, prediction.result))


def _short(name: str) -> str:
    """A name that fits into one line of a pane: then all pictures stand on one line."""
    return name if len(name) <= SHORT else f"{name[: SHORT // 3]}…{name[-(SHORT - SHORT // 3) :]}"
