"""The same picture through several models: masks, errors, or where two of them disagree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st

from segmodels.data.dataset import Dataset, Sample
from segmodels.errors import UserError
from segmodels.evaluation.compare.comparison import Comparison, Entry
from segmodels.prediction.stored import StoredPredictions
from ui import cached
from ui.comparison_found import OF_PICTURES, PictureScores, entry_name, evaluated, picture_scores
from ui.frame import in_place, plain
from ui.models import Model
from ui.stored_predictions import Against, predict_missing
from ui.viewer import Layer, Picture, viewer

MASKS, ERRORS, TWO = "masks", "errors", "two against each other"
APART, WORST, NAME = "most apart first", "worst first", "by name"
#: Models side by side, those of them at first, and pictures in a row.
MOST, AT_FIRST, ACROSS = 6, 3, 4


@dataclass(frozen=True)
class Predicted:
    """A model of the comparison and the folder of its checkpoint; None where nothing is known of that."""

    name: str
    member: str
    against: Against | None


def pictures_view(comparison: Comparison, entries: Sequence[Entry]) -> None:
    """Draw them; `UserError` where the data set is gone."""
    dataset = cached.dataset(comparison.data, comparison.root)
    there = evaluated(entries)
    if not there:
        st.info("The pictures come with the first model that is evaluated.", icon=":material/hourglass_top:")
        return
    models = [_predicted(entry, entries, dataset) for entry in there]
    st.fragment(_pictures)(comparison, dataset, models, picture_scores(there))


def _predicted(entry: Entry, entries: Sequence[Entry], dataset: Dataset) -> Predicted:
    name, path = entry_name(entry, entries), entry.checkpoint
    against = Against(name, Model(name, path), StoredPredictions(path, dataset)) if path else None
    return Predicted(name, entry.name, against)


def _pictures(comparison: Comparison, dataset: Dataset, models: list[Predicted], scores: PictureScores) -> None:
    """What is drawn anew when another picture is chosen: it reads the files of that picture alone."""
    with in_place():
        samples = {sample.id: sample for sample in dataset.samples(comparison.split)}
        mode, figure, order = _choices(comparison)
        chosen = _models(comparison, models, mode)
        ids = sorted_ids(scores, [model.member for model in chosen], figure, order)
        if gone := sum(sample_id not in samples for sample_id in ids):
            st.caption(f":material/info: {gone} of {len(ids)} pictures are not in the data set any more.")
        ids = [sample_id for sample_id in ids if sample_id in samples] or list(samples)
        if not ids or not chosen:
            st.info("Choose at least one model.", icon=":material/touch_app:")
            return
        sample = samples[_place(comparison, ids)]
        of_picture = _scores_of(scores, sample.id, figure)
        if mode == TWO:
            _two(comparison, dataset, sample, chosen, of_picture, figure)
        else:
            _beside(comparison, dataset, sample, chosen, of_picture, figure, mode)
        _missing(chosen, sample, list(samples.values()))


def _choices(comparison: Comparison) -> tuple[str, str, str]:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        mode = st.segmented_control("Show", [MASKS, ERRORS, TWO], default=MASKS, required=True, key="compare-show")
        order = st.segmented_control("Order", [APART, WORST, NAME], default=APART, required=True, key="compare-order")
        figure = st.segmented_control(
            "By", list(OF_PICTURES), default="mean_iou", required=True, key="compare-by",
            format_func=OF_PICTURES.__getitem__,
        )  # fmt: skip
    return mode, figure, order


def _models(comparison: Comparison, models: list[Predicted], mode: str) -> list[Predicted]:
    """Up to six, or the two that are looked at."""
    by_name = {model.name: model for model in models}
    names = list(by_name)
    if mode == TWO and len(names) > 1:
        one, two = st.columns(2)
        first = one.selectbox("One", names, key=f"compare-one-{comparison.id}")
        others = [name for name in names if name != first]
        return [by_name[first], by_name[two.selectbox("The other", others, key=f"compare-other-{comparison.id}")]]
    firsts = list({model.member: model.name for model in reversed(models)}.values())[::-1]
    chosen = st.multiselect(
        "Models", names, default=firsts[:AT_FIRST], max_selections=MOST, key=f"compare-models-{comparison.id}",
        placeholder="Choose up to six",
    )  # fmt: skip
    return [by_name[name] for name in chosen]


def sorted_ids(scores: PictureScores, members: Sequence[str], figure: str, order: str) -> list[str]:
    """The pictures in an order: by the standard deviation of the members' figures, by their mean, or by name."""
    rows = [scores.names.index(name) for name in dict.fromkeys(members) if name in scores.names]
    if order == NAME or not rows or not scores.ids:
        return sorted(scores.ids)
    values = scores.scores[figure][rows]
    by = -values.std(axis=0) if order == APART else values.mean(axis=0)
    return [scores.ids[place] for place in np.argsort(by, kind="stable")]  # NaN comes last


def _scores_of(scores: PictureScores, sample_id: str, figure: str) -> dict[str, float]:
    """The figure of each member in a picture."""
    if sample_id not in scores.ids:
        return {}
    return dict(zip(scores.names, scores.scores[figure][:, scores.ids.index(sample_id)].tolist(), strict=True))


def _place(comparison: Comparison, ids: list[str]) -> str:
    """A slider over the pictures, and a step to either side."""
    key = f"compare-place-{comparison.id}"
    st.session_state[key] = min(max(1, st.session_state.get(key, 1)), len(ids))
    before, slide, after = st.columns([1, 6, 1], vertical_alignment="bottom")
    at = slide.slider("Picture", 1, len(ids), key=key) if len(ids) > 1 else 1
    for column, label, icon, step in ((before, "Before", "arrow_back", -1), (after, "Next", "arrow_forward", 1)):
        column.button(
            label, icon=f":material/{icon}:", key=f"compare-{label}", width="stretch", on_click=_step, args=(key, step),
            disabled=not 1 <= at + step <= len(ids),
        )  # fmt: skip
    st.markdown(f"**{plain(ids[at - 1])}**, {at} of {len(ids)}")
    return ids[at - 1]


def _step(key: str, step: int) -> None:
    st.session_state[key] += step


def _beside(
    comparison: Comparison,
    dataset: Dataset,
    sample: Sample,
    chosen: list[Predicted],
    scores: dict[str, float],
    figure: str,
    mode: str,
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
                    # With a mask to compare, its controls are as many as the others', and all pictures on one line.
                    there = [other for other in chosen if _written(other, sample)][:1]
                    _viewer(comparison, dataset, sample, there, ["First model"], 0)
                    continue
                st.markdown(f"**{plain(model.name)}**")
                st.caption(_told(model, scores, figure))
                if _written(model, sample):
                    _viewer(comparison, dataset, sample, [model], ["Prediction"], 2 if mode == ERRORS else 1)
                else:
                    st.info("Its mask is not kept.", icon=":material/image_not_supported:")


def _two(
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
    value = scores.get(model.member)
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
        shows=repr((state, of, list(names), [_written(model, sample) for model in models])),
        key=f"compare-viewer-{comparison.id}-{of}-{list(names)}",
        link=f"{comparison.id} {sample.id}",
        first=first,
    )


@st.cache_resource(max_entries=8, show_spinner=False)
def _read(state: str, _dataset: Dataset, _sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Picture and truth, read once for all models."""
    return _dataset.read(_sample)


def _missing(chosen: Sequence[Predicted], sample: Sample, samples: list[Sample]) -> None:
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
