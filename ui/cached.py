"""What pages load once and share between sessions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from segmodels.data.dataset import Dataset
from segmodels.data.datasets import open_dataset
from segmodels.data.datasets.own import recognise
from segmodels.data.images import encoded, fitted, resize_image, resize_mask
from segmodels.data.statistics import Statistics, class_statistics
from segmodels.data.verify import Report, kept_report
from segmodels.files import state_of
from segmodels.prediction.masks import overlay
from segmodels.training.overview import overview

if TYPE_CHECKING:
    from segmodels.prediction.predictor import Predictor

#: Sides of the pictures of a grid, in pixels: sharp at the width they are shown at, and small to send.
THUMBNAIL = 360


@st.cache_resource(max_entries=16, show_spinner="Looking through the data set …", ttl=300)
def dataset(name: str, root: str | None) -> Dataset:
    """An opened data set; opened anew after five minutes, since files may have come."""
    return open_dataset(name, root or None)


@st.cache_data(max_entries=64, show_spinner="Looking through the folder …", ttl=900)
def forms(folder: Path) -> dict[str, str]:
    """The forms of a data set that a folder has, and what speaks for each."""
    return recognise(folder)


def forget_data() -> None:
    """Open data sets anew: one was removed, or is read in another form."""
    dataset.clear()
    thumbnail.clear()
    forms.clear()
    report.clear()
    _files_state.clear()


def statistics(name: str, root: str | None, split: str) -> Statistics:
    """The figures of a split; the first time a bar shows how far the counting is."""
    opened = dataset(name, root)
    key = _files_state(name, root, split)
    kept = _statistics()
    if (found := kept.get(key)) is None:
        bar = st.empty()

        def progress(done: int, total: int, what: str) -> None:
            if done % 10 == 0:
                bar.progress(done / total, f"{what}: {done} of {total}, the first time only")

        found = kept[key] = class_statistics(opened, split, progress=progress)
        bar.empty()
        for oldest in list(kept)[:-24]:
            kept.pop(oldest, None)
    return found


@st.cache_data(max_entries=64, show_spinner=False, ttl=60)
def _files_state(name: str, root: str | None, split: str) -> str:
    """Looked at once a minute: for ten thousand pictures it takes a tenth of a second."""
    opened = dataset(name, root)
    paths = (path for sample in opened.samples(split) for path in (sample.image_path, sample.mask_path) if path)
    return state_of(dict.fromkeys(paths), name, split, opened.split_seed, *opened.reading())


@st.cache_resource(show_spinner=False)
def _statistics() -> dict[str, Statistics]:
    """Those counted last, for all sessions, by the state of the files that they are of."""
    return {}


@st.cache_data(max_entries=4, show_spinner=False, ttl=10)
def runs_with_epochs(of_home: Path) -> list[str]:
    """The ids of the runs that have finished an epoch, newest first; looked at every ten seconds, since what follows a
    run asks at every step."""
    return [row.id for row in overview() if row.epoch]


@st.cache_data(max_entries=16, show_spinner=False, ttl=60)
def report(name: str, root: str | None, since: float) -> Report | None:
    """What the last check of a data set's files found, as long as they are the same; asked anew with another time."""
    return kept_report(dataset(name, root))


@st.cache_data(max_entries=2000, show_spinner=False)
def thumbnail(name: str, root: str | None, split: str, sample_id: str) -> bytes:
    """The square middle of a sample with its mask laid over, as JPEG; `UserError` where it cannot be read."""
    opened = dataset(name, root)
    sample = next(sample for sample in opened.samples(split) if sample.id == sample_id)
    image, mask = opened.read(sample)
    height, width = mask.shape
    side = min(height, width)
    middle = np.s_[(height - side) // 2 :, (width - side) // 2 :]
    image, mask = image[middle][:side, :side].copy(), mask[middle][:side, :side].copy()
    size = fitted(side, side, THUMBNAIL)
    return jpeg(overlay(resize_image(image, *size), resize_mask(mask, *size), opened.classes))


def jpeg(image: np.ndarray) -> bytes:
    """uint8 RGB `(height, width, 3)` as the bytes of a JPEG."""
    return encoded(image, "JPEG", quality=88)


def predictor(path: Path, engine: str = "auto") -> Predictor:
    """A loaded model, shared by all sessions; loaded anew when its weights change. `UserError` where it is damaged."""
    from segmodels.prediction.pool import POOL

    with st.spinner("Loading the model; the first one takes some seconds …"):
        return POOL.get(path, engine)
