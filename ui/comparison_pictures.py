"""The same picture through several models: masks, errors, or where two of them disagree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import streamlit as st

from segmodels.data.dataset import Dataset, Sample
from segmodels.evaluation.compare.comparison import Comparison
from segmodels.evaluation.compare.entries import Entry
from segmodels.prediction.stored import StoredPredictions
from ui.comparison_apart import masks_apart
from ui.comparison_found import (
    OF_PICTURES,
    PictureScores,
    comparison_dataset,
    entry_name,
    evaluated,
    picture_scores,
)
from ui.comparison_panes import Predicted, beside, told_missing, two_apart
from ui.frame import in_place, plain
from ui.models import Model
from ui.stored_predictions import Against

MASKS, ERRORS, TWO = "masks", "errors", "two against each other"
APART, MASKS_APART, WORST, NAME = "scores most apart first", "masks most apart first", "worst first", "by name"
#: The picture that is looked at, in the address.
PICTURE = "compare-picture"
#: Models side by side, and those of them at first.
MOST, AT_FIRST = 6, 3


def pictures_view(comparison: Comparison, entries: Sequence[Entry]) -> None:
    """Draw them; `UserError` where the data set is gone."""
    dataset = comparison_dataset(comparison)
    there = evaluated(entries)
    if not there:
        st.info("The pictures come with the first model that is evaluated.", icon=":material/hourglass_top:")
        return
    models = [_predicted(entry, entries, dataset) for entry in there]
    st.fragment(_pictures)(comparison, dataset, models, picture_scores(entries))


def _predicted(entry: Entry, entries: Sequence[Entry], dataset: Dataset) -> Predicted:
    name, path = entry_name(entry, entries), entry.checkpoint
    against = Against(name, Model(name, path), StoredPredictions(path, dataset)) if path else None
    return Predicted(name, entry.name, against)


def _pictures(comparison: Comparison, dataset: Dataset, models: list[Predicted], scores: PictureScores) -> None:
    """What is drawn anew when another picture is chosen: it reads the files of that picture alone."""
    with in_place():
        samples = {sample.id: sample for sample in dataset.samples(comparison.split)}
        mode, figure, order = _choices()
        chosen = _models(comparison, models, mode)
        apart = _apart(chosen, scores, samples) if order == MASKS_APART else {}
        ids = sorted_ids(scores, [model.name for model in chosen], figure, order, apart)
        if gone := sum(sample_id not in samples for sample_id in ids):
            st.caption(f":material/info: {gone} of {len(ids)} pictures are not in the data set any more.")
        ids = [sample_id for sample_id in ids if sample_id in samples] or list(samples)
        if not ids or not chosen:
            st.info("Choose at least one model.", icon=":material/touch_app:")
            return
        sample = samples[_place(comparison, ids)]
        if sample.id in apart:
            st.caption(f"Their masks are not all alike on {100 * apart[sample.id]:.1f} % of its pixels.")
        of_picture = _scores_of(scores, sample.id, figure)
        if mode == TWO:
            two_apart(comparison, dataset, sample, chosen, of_picture, figure)
        else:
            beside(comparison, dataset, sample, chosen, of_picture, figure, errors=mode == ERRORS)
        told_missing(chosen, sample, list(samples.values()))


def _choices() -> tuple[str, str, str]:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        mode = st.segmented_control(
            "Show", [MASKS, ERRORS, TWO], default=MASKS, required=True, key="compare-show", wrap=True
        )
        order = st.segmented_control(
            "Order", [APART, MASKS_APART, WORST, NAME], default=APART, required=True, key="compare-order", wrap=True
        )
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
        # Another seed of the same is a choice, and not the first.
        others = [name for name in names if name != first]
        others.sort(key=lambda name: by_name[name].member == by_name[first].member)
        return [by_name[first], by_name[two.selectbox("The other", others, key=f"compare-other-{comparison.id}")]]
    firsts = list({model.member: model.name for model in reversed(models)}.values())[::-1]
    chosen = st.multiselect(
        "Models", names, default=firsts[:AT_FIRST], max_selections=MOST, key=f"compare-models-{comparison.id}",
        placeholder="Choose up to six",
    )  # fmt: skip
    return [by_name[name] for name in chosen]


def _apart(chosen: list[Predicted], scores: PictureScores, samples: Mapping[str, Sample]) -> dict[str, float]:
    """How far the masks of those are apart that are chosen, by picture, and what is said where some are not kept."""
    stores = [model.against.stored for model in chosen if model.against]
    there = [samples[sample_id] for sample_id in scores.ids if sample_id in samples]
    found = masks_apart(stores, there) if len(stores) == len(chosen) else {}
    if len(chosen) < 2:
        st.caption(":material/info: It takes two models for masks to be apart.")
    elif len(found) < len(there):
        st.caption(
            f":material/info: Of {len(there) - len(found)} of {len(there)} pictures not all masks are kept: they come "
            "last, those whose scores are most apart first."
        )
    return found


def sorted_ids(
    scores: PictureScores, names: Sequence[str], figure: str, order: str, apart: Mapping[str, float] | None = None
) -> list[str]:
    """The pictures in an order: by how far the masks are apart, by the standard deviation of the models' figures, by
    their mean, or by name.

    Args:
        scores, names, figure: the models that count, and by what.
        order: one of `APART`, `MASKS_APART`, `WORST` and `NAME`.
        apart: how far the masks are apart, of those where that is known; the others come last, and those that are
            equally far by the standard deviation.
    """
    apart = apart or {}
    rows = [scores.names.index(name) for name in dict.fromkeys(names) if name in scores.names]
    if order == NAME or not scores.ids or not (rows or apart):
        return sorted(scores.ids)
    values = scores.scores[figure][rows] if rows else np.zeros((1, len(scores.ids)))
    by = values.mean(axis=0) if order == WORST else -values.std(axis=0)
    keys = [by, [-apart.get(sample_id, np.nan) for sample_id in scores.ids]] if order == MASKS_APART else [by]
    return [scores.ids[place] for place in np.lexsort(keys)]  # NaN comes last


def _scores_of(scores: PictureScores, sample_id: str, figure: str) -> dict[str, float]:
    """The figure of each model in a picture."""
    if sample_id not in scores.ids:
        return {}
    return dict(zip(scores.names, scores.scores[figure][:, scores.ids.index(sample_id)].tolist(), strict=True))


def _place(comparison: Comparison, ids: list[str]) -> str:
    """A slider over the pictures, and a step to either side."""
    key = f"compare-place-{comparison.id}"
    if key not in st.session_state and (asked := st.query_params.get(PICTURE)) in ids:
        st.session_state[key] = ids.index(asked) + 1
    st.session_state[key] = min(max(1, st.session_state.get(key, 1)), len(ids))
    before, slide, after = st.columns([1, 6, 1], vertical_alignment="bottom")
    at = slide.slider("Picture", 1, len(ids), key=key) if len(ids) > 1 else 1
    for column, label, icon, step in ((before, "Before", "arrow_back", -1), (after, "Next", "arrow_forward", 1)):
        column.button(
            label, icon=f":material/{icon}:", key=f"compare-{label}", width="stretch", on_click=_step, args=(key, step),
            disabled=not 1 <= at + step <= len(ids),
        )  # fmt: skip
    st.query_params[PICTURE] = ids[at - 1]
    st.markdown(f"**{plain(ids[at - 1])}**, {at} of {len(ids)}")
    return ids[at - 1]


def _step(key: str, step: int) -> None:
    st.session_state[key] += step
