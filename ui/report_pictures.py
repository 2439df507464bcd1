"""The pictures of a report with the masks that its model gave them: some as a grid, one of them large."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import streamlit as st

from segmodels.data.dataset import IGNORE, SPLITS, Dataset, Sample
from segmodels.data.images import encoded, fitted, resize_mask
from segmodels.data.thumbnails import SIDE, thumbnail
from segmodels.errors import UserError
from segmodels.prediction.stored import StoredPredictions
from ui import cached
from ui.frame import in_place, plain
from ui.grid import Tile, grid
from ui.viewer import Layer, Picture, viewer


@dataclass(frozen=True)
class Ranked:
    """A picture in a list: its id, and what its caption says beside that."""

    id: str
    said: str


@dataclass(frozen=True)
class ReportPictures:
    """Where the pictures and masks of a report are.

    Attributes:
        dataset: what was evaluated on.
        model: the checkpoint directory.
        name: what the model is called.
        key: what the keys of the widgets and the parameters in the address begin with.
    """

    dataset: Dataset
    model: Path
    name: str
    key: str

    @cached_property
    def samples(self) -> dict[str, Sample]:
        """Of every split, by id: whatever became of the splits, the pictures are the same."""
        return {sample.id: sample for split in reversed(SPLITS) for sample in self.dataset.samples(split)}

    @cached_property
    def stored(self) -> StoredPredictions:
        return StoredPredictions(self.model, self.dataset)

    def open(self, place: str, sample_id: str) -> None:
        """Show a picture large in one of the lists, from the next rerun on."""
        st.query_params.update({f"{self.key}-picture": sample_id, f"{self.key}-in": place})

    def close(self) -> None:
        """Show the lists alone."""
        for name in ("picture", "in"):
            st.query_params.pop(f"{self.key}-{name}", None)

    def opened(self, place: str) -> str | None:
        """The picture that a list shows large."""
        if st.query_params.get(f"{self.key}-in") != place:
            return None
        return st.query_params.get(f"{self.key}-picture")


def ranked_view(pictures: ReportPictures, ranked: Sequence[Ranked], place: str) -> None:
    """Draw pictures as a grid in their order, or the one of them that was opened.

    Args:
        place: the name of the list, which is in the address.
    """
    ids = [each.id for each in ranked]
    there = [pictures.samples[sample_id] for sample_id in ids if sample_id in pictures.samples]
    _named(pictures, [sample_id for sample_id in ids if sample_id not in pictures.samples])
    _predict_missing(pictures, there, place)
    if (shown := pictures.opened(place)) in ids:
        with in_place():
            _one(pictures, ranked, ids.index(shown), place)
        return
    tiles = [_tile(pictures, each) for each in ranked]
    if clicked := grid(tiles, pictures.dataset.classes, key=f"{pictures.key}-{place}-grid"):
        pictures.open(place, clicked)
        st.rerun()


def _named(pictures: ReportPictures, gone: list[str]) -> None:
    if gone:
        more = f" and {len(gone) - 5} more" if len(gone) > 5 else ""
        names = plain(", ".join(gone[:5]))
        st.warning(f"Not in {plain(pictures.dataset.name)} any more: {names}{more}", icon=":material/hide_image:")


def _predict_missing(pictures: ReportPictures, samples: list[Sample], place: str) -> None:
    """Say of how many no mask is kept, and offer to predict them."""
    missing = pictures.stored.missing(samples)
    if not missing:
        return
    said, act = st.columns([5, 2], vertical_alignment="center")
    many = f"{len(missing)} of these {len(samples)} pictures" if len(samples) > 1 else "this picture"
    said.caption(f"No mask of {many} is kept; what was counted is.")
    label = f"Predict {len(missing)} pictures" if len(missing) > 1 else "Predict it"
    if act.button(label, icon=":material/draw:", key=f"{pictures.key}-{place}-predict", width="stretch"):
        with in_place():
            predictor = cached.predictor(pictures.model)
            if StoredPredictions(pictures.model, pictures.dataset).folder != pictures.stored.folder:
                raise UserError("the model has learned on while it was loaded: predict again")
            bar = st.progress(0.0, "predicting …")

            def progress(done: int, total: int, what: str) -> None:
                bar.progress(done / max(1, total), f"{what}: {done} of {total}")

            pictures.stored.predict(predictor, missing, progress=progress)
            st.rerun()


def _tile(pictures: ReportPictures, each: Ranked) -> Tile:
    caption = f"{each.id} · {each.said}"
    if (sample := pictures.samples.get(each.id)) is None:
        return Tile(each.id, caption, problem="not in the data set any more")
    try:
        small = thumbnail(pictures.dataset, sample)
        written = pictures.stored.written(sample)
        state = (str(pictures.stored.folder), pictures.dataset.state(sample), written)
        mask = _small_mask(state, pictures.stored, sample, small.size)
    except UserError as error:
        return Tile(each.id, caption, problem=str(error))
    said = f"{each.id} with {'the predicted mask' if written else 'no mask'}: {each.said}"
    return Tile(each.id, caption, said, small.image, mask)


@st.cache_data(max_entries=2000, show_spinner=False)
def _small_mask(
    state: tuple[str, str, int], _stored: StoredPredictions, _sample: Sample, size: tuple[int, int]
) -> bytes:
    """The predicted mask as small as a thumbnail, as PNG; without a class where none is kept.

    Args:
        state: of the model, the sample and the mask.
        size: width and height of the sample.
    """
    width, height = size
    fit = fitted(height, width, SIDE)
    mask = _stored.mask(_sample) if state[2] else None
    small = np.full(fit, IGNORE, np.uint8) if mask is None else resize_mask(mask, *fit)
    return encoded(small, "PNG", compress_level=6)


def _one(pictures: ReportPictures, ranked: Sequence[Ranked], at: int, place: str) -> None:
    """A picture in the viewer, its errors first, and the way to the others of its list."""
    key = f"{pictures.key}-{place}"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("All of them", icon=":material/grid_view:", key=f"{key}-back", on_click=pictures.close)
        for label, icon, to in (("Before", "arrow_back", at - 1), ("Next", "arrow_forward", at + 1)):
            inside = 0 <= to < len(ranked)
            st.button(
                label, icon=f":material/{icon}:", key=f"{key}-{label}", disabled=not inside,
                on_click=pictures.open, args=(place, ranked[to].id) if inside else (),
            )  # fmt: skip
        st.markdown(f"**{plain(ranked[at].id)}**, {at + 1} of {len(ranked)}: {plain(ranked[at].said)}")
    sample = pictures.samples.get(ranked[at].id)
    if sample is None:
        return  # it is named above
    dataset, stored = pictures.dataset, pictures.stored

    def picture() -> Picture:
        image, mask = dataset.read_image(sample), dataset.read_mask(sample)
        instances = dataset.read_instances(sample) if dataset.has_instances else None
        layers = [Layer("Truth", mask, truth=True, instances=instances)]
        if (predicted := stored.mask(sample)) is not None and predicted.shape == mask.shape:
            layers.append(Layer(pictures.name, predicted))
        return Picture(sample.id, image, layers, dataset.classes)

    written = stored.written(sample)
    # The overlays: truth, prediction, the errors of the prediction, the picture alone.
    viewer(
        picture,
        shows=repr((str(stored.folder), dataset.state(sample), written, pictures.name)),
        key=f"{key}-viewer-{'with' if written else 'without'}",
        first=2 if written else 0,
        second=1,
    )
