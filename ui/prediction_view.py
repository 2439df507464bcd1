"""A picture and what a model sees in it, in the viewer."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from segmodels.data.images import encoded
from ui import cached
from ui.correct import correcting, keep_corrected
from ui.frame import plain
from ui.viewer import Layer, Picture, viewer

if TYPE_CHECKING:
    from segmodels.prediction.predictor import Result


@dataclass(frozen=True)
class Chosen:
    """What the user gave: its name, the bytes of a file or an array, and the truth where that is known."""

    label: str
    content: bytes | np.ndarray
    truth: np.ndarray | None = None

    @cached_property
    def digest(self) -> str:
        content = self.content if isinstance(self.content, bytes) else self.content.tobytes()
        return hashlib.blake2b(content, digest_size=12).hexdigest()


def prediction_view(path: Path, data: str, chosen: Chosen) -> None:
    """Predict and draw.

    Args:
        path: the checkpoint.
        data: the data set that it was trained on, after which corrected masks are named.
        chosen: what to predict.

    Raises:
        UserError: the picture or the model cannot be read.
    """
    result = _predicted(path, chosen)
    height, width = result.mask.shape
    sure = 100 * float(result.confidence.mean())
    switches = st.columns([2, 2, 4], vertical_alignment="center")
    with switches[0]:
        editable = correcting()
    numbered = switches[1].toggle("Number the objects", key="numbered")
    switches[2].caption(f"{plain(chosen.label)}: {width} x {height} pixels, mean confidence {sure:.0f} %")

    def scene() -> Picture:
        instances = result.instances() if numbered else None
        layers = [Layer("Prediction", result.mask, confidence=result.confidence, instances=instances)]
        if chosen.truth is not None:
            layers.append(Layer("Truth", chosen.truth, truth=True))
        return Picture(chosen.label, result.image, layers, result.labels)

    shows = repr((str(path), cached.weights_written(path), chosen.digest, editable, numbered))
    edits = f"{path} {chosen.digest}" if editable else None
    with st.spinner("Drawing …"):
        seen = viewer(scene, shows=shows, key="prediction", edits=edits)
    if editable:
        keep_corrected(
            seen,
            lambda: (result.image, result.mask),
            result.labels,
            data=data,
            name=chosen.label,
            split="train",
        )
    stem = chosen.label.rsplit(".", 1)[0]
    with st.container(horizontal=True):
        st.download_button(
            "Mask (class ids, PNG)", lambda: encoded(result.indexed(), "PNG"), f"{stem}-mask.png", "image/png",
            on_click="ignore", icon=":material/download:",
        )  # fmt: skip
        st.download_button(
            "Overlay (PNG)", lambda: encoded(result.overlay(), "PNG"), f"{stem}-overlay.png", "image/png",
            on_click="ignore", icon=":material/download:",
        )  # fmt: skip


def _predicted(path: Path, chosen: Chosen) -> Result:
    """What the model sees in the picture; kept until there is another model or picture."""
    key = (str(path), cached.weights_written(path), chosen.digest)
    kept_key, kept = st.session_state.get("predicted", (None, None))
    if kept_key == key:
        return kept
    with st.spinner("Predicting …"):
        result = cached.predictor(path)(chosen.content, name=chosen.label)
        result.mask  # noqa: B018 - it is computed here, while the spinner turns
    st.session_state["predicted"] = (key, result)
    return result
