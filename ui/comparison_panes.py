"""The panes of a picture: the truth with each model beside it, or two models over each other; zoomed together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st

from segmodels.data.dataset import Dataset, Sample
from segmodels.errors import UserError
from segmodels.evaluation.compare.comparison import Comparison
from ui.comparison_found import OF_PICTURES
from ui.frame import in_place, plain
from ui.stored_predictions import Against, predict_missing
from ui.viewer import Layer, Picture, viewer

#: Panes in a row.
ACROSS = 4


@dataclass(frozen=True)
class Predicted:
    """A model of the comparison, by the names of its entry and its member, and what is kept of its predictions; None
    where nothing is known of its checkpoint."""

    name: str
    member: str
    against: Against | None


def beside(
    comparison: Comparison,
    dataset: Dataset,
    sample: Sample,
    chosen: list[Predicted],
    scores: dict[str, float],
    figure: str,
    *,
    errors: bool,
) -> None:
    """The truth, and each model beside it."""
    panes: list[Predicted | None] = [None, *chosen]
    across = min(ACROSS, len(panes))
    for start in range(0, len(panes), across):
        for column, model in zip(st.columns(across), panes[start : start + across], strict=False):
            with column, in_place():
                if model is None:
                    st.markdown("**Truth**")
                    st.caption(_size(dataset, sample))
                    _viewer(comparison, dataset, sample, [], [], 0, compact=True)
                    continue
                st.markdown(f"**{plain(model.name)}**")
                st.caption(_told(model, scores, figure))
                if _written(model, sample):
                    _viewer(comparison, dataset, sample, [model], ["Prediction"], 2 if errors else 1, compact=True)
                else:
                    st.info("Its mask is not kept.", icon=":material/image_not_supported:")


def two_apart(
    comparison: Comparison,
    dataset: Dataset,
    sample: Sample,
    chosen: list[Predicted],
    scores: dict[str, float],
    figure: str,
) -> None:
    """One picture with both masks over it, at first where they differ."""
    if len(chosen) < 2:
        st.info("It takes two models to disagree.", icon=":material/looks_two:")
        return
    st.caption(" · ".join(f"{plain(model.name)}: {_told(model, scores, figure)}" for model in chosen))
    there = [model for model in chosen if _written(model, sample)]
    if len(there) == 2:
        names = [model.name for model in there]
        _viewer(comparison, dataset, sample, there, names, 5)  # three masks, the errors of two, and then this


def _told(model: Predicted, scores: dict[str, float], figure: str) -> str:
    value = scores.get(model.name)
    return f"{OF_PICTURES[figure]} {value:.3f}" if value is not None and value == value else "no figure"


def _size(dataset: Dataset, sample: Sample) -> str:
    height, width = _read(dataset.state(sample), dataset, sample)[1].shape
    return f"{width} x {height} pixels"


def _written(model: Predicted, sample: Sample) -> int:
    return model.against.stored.written(sample) if model.against else 0


def _viewer(
    comparison: Comparison,
    dataset: Dataset,
    sample: Sample,
    models: Sequence[Predicted],
    names: Sequence[str],
    first: int,
    *,
    compact: bool = False,
) -> None:
    """The truth and the masks of models under short names, which fit into a narrow column."""
    state = dataset.state(sample)

    def picture() -> Picture:
        image, truth = _read(state, dataset, sample)
        layers = [Layer("Truth", truth, truth=True)]
        for model, name in zip(models, names, strict=False):
            mask = model.against.stored.mask(sample) if model.against else None
            if mask is None:
                raise UserError(f"the mask of {model.name} is damaged: predict this picture again")
            layers.append(Layer(name, mask))
        return Picture(sample.id, image, layers, dataset.classes)

    of = [model.name for model in models]
    viewer(
        picture,
        shows=repr((state, first, of, list(names), [_written(model, sample) for model in models])),
        key=f"compare-viewer-{comparison.id}-{of}-{list(names)}",
        link=f"{comparison.id} {sample.id}",
        first=first,
        compact=compact,
    )


@st.cache_resource(max_entries=8, show_spinner=False)
def _read(state: str, _dataset: Dataset, _sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Picture and truth, read once for all models."""
    return _dataset.read(_sample)


def told_missing(chosen: Sequence[Predicted], sample: Sample, samples: list[Sample]) -> None:
    """Which masks are not kept, and how to have them."""
    missing = [model for model in chosen if not _written(model, sample)]
    if not missing:
        return
    st.caption(f":material/info: Not predicted, or not any more: {plain(', '.join(model.name for model in missing))}.")
    if lost := [model.name for model in missing if model.against is None]:
        st.caption(f"Nothing is known of the checkpoints of {plain(', '.join(lost))}: evaluate them again.")
    able = [model.against for model in missing if model.against is not None and model.against.model.path.is_dir()]
    if able:
        predict_missing(able[0], samples)
