"""One picture of a data set, large: its mask, its objects, its colours, and what its files are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import streamlit as st
from PIL import Image

from segmodels.data.augment import OPERATIONS, PRESETS
from segmodels.data.dataset import Dataset, Sample
from segmodels.data.thumbnails import thumbnail
from segmodels.errors import UserError
from segmodels.recipe import Recipe
from ui import cached
from ui.augment_strip import augmented_versions
from ui.correct import correcting, keep_corrected
from ui.frame import in_place
from ui.stored_predictions import Against
from ui.tile_choice import choose_tiles, showing_tiles
from ui.viewer import Layer, Picture, viewer

#: The three channels, told apart by colour and by dash.
CHANNELS = {"red": ("#D55E00", "solid"), "green": ("#009E73", "dash"), "blue": ("#0072B2", "dot")}


def picture_view(name: str, root: str | None, split: str, sample_id: str, against: Against | None = None) -> None:
    """Draw a sample in the viewer, and below it what can be said of it.

    Args:
        name, root: the data set.
        split, sample_id: the picture.
        against: a model whose mask is shown beside the truth, where it is kept.

    Raises:
        UserError: there is no such picture, or it cannot be read.
    """
    dataset = cached.dataset(name, root)
    sample = next((sample for sample in dataset.samples(split) if sample.id == sample_id), None)
    if sample is None:
        raise UserError(f"there is no picture {sample_id} in the {split} split: choose one of the grid")
    width, height = thumbnail(dataset, sample).size
    with st.container(horizontal=True):
        editable, tiled = correcting(), showing_tiles()
    tiles = choose_tiles(height, width) if tiled else None
    state = dataset.state(sample)
    seen = viewer(
        lambda: _picture(dataset, sample, against),
        shows=repr((state, against and against.stored.written(sample), editable)),
        key="picture-viewer",
        edits=state if editable else None,
        tiles=tiles,
    )
    if editable:
        keep_corrected(
            seen,
            lambda: (dataset.read_image(sample), dataset.read_mask(sample)),
            dataset.classes,
            data=name,
            name=sample_id,
            split=split,
        )
    colours, objects, augmented, files = st.tabs(
        ["Colours", "Objects", "Augmented", "Files"], key="about", on_change="rerun", bind="query-params"
    )
    with colours, in_place():
        st.plotly_chart(
            histogram(_colours(state, dataset, sample)),
            key="colours",
            config={"displayModeBar": False},
            alt="How often each brightness occurs in red, green and blue",
        )
    with objects, in_place():
        _objects(state, dataset, sample)
    if augmented.open:
        with augmented, in_place():
            _augmented(name, root, split, sample, dataset)
    with files, in_place():
        st.dataframe(_facts(dataset, sample), hide_index=True, width="stretch")


def _picture(dataset: Dataset, sample: Sample, against: Against | None) -> Picture:
    image, mask = dataset.read_image(sample), dataset.read_mask(sample)
    instances = dataset.read_instances(sample) if dataset.has_instances else None
    layers = [Layer("Truth", mask, truth=True, instances=instances)]
    if against and (predicted := against.stored.mask(sample)) is not None and predicted.shape == mask.shape:
        layers.append(Layer(against.name, predicted))
    return Picture(sample.id, image, layers, dataset.classes)


def _augmented(name: str, root: str | None, split: str, sample: Sample, dataset: Dataset) -> None:
    """Versions of the picture as a recipe's augmentation would show it."""
    first, second = st.columns([3, 1])
    usual = Recipe.model_fields["augment"].default
    text = first.selectbox(
        "Augment",
        list(PRESETS),
        list(PRESETS).index(usual),
        key="augment",
        accept_new_options=True,
        help=f"`--augment`: a preset, or operations such as flip+rotate\\(degrees=15\\): {', '.join(OPERATIONS)}",
    )
    size = int(second.number_input("At pixels", 32, 1024, 256, step=32, key="augment-size", help="`--image-size`"))
    of = (split, sample.id, dataset.state(sample))
    augmented_versions(name, root, text, size, sampling=dataset.sampling, of=of)


@st.cache_data(max_entries=64, show_spinner=False)
def _colours(state: str, _dataset: Dataset, _sample: Sample) -> np.ndarray:
    """How many pixels have each value of each channel: int64 `(3, 256)`."""
    image = _dataset.read_image(_sample)
    return np.stack([np.bincount(image[..., channel].ravel(), minlength=256) for channel in range(3)])


def histogram(counts: np.ndarray) -> go.Figure:
    """Lines of how often each value of each channel occurs; `counts` is `(3, 256)`."""
    figure = go.Figure()
    shares = 100 * counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    for (channel, (colour, dash)), values in zip(CHANNELS.items(), shares.tolist(), strict=True):
        figure.add_scatter(
            x=list(range(256)), y=values, name=channel, line={"color": colour, "dash": dash, "width": 2},
            hovertemplate="%{x}: %{y:.2f} % of the pixels<extra>" + channel + "</extra>",
        )  # fmt: skip
    figure.update_layout(
        height=220,
        margin={"l": 0, "r": 0, "t": 10, "b": 0},
        xaxis={"title": "value", "range": [0, 255]},
        yaxis={"ticksuffix": " %"},
        legend={"orientation": "h", "y": 1.15},
    )
    return figure


@st.cache_data(max_entries=64, show_spinner=False)
def _areas(state: str, _dataset: Dataset, _sample: Sample) -> np.ndarray:
    """The pixels of each numbered object."""
    areas = np.bincount(_dataset.read_instances(_sample).ravel())[1:]
    return areas[areas > 0]


def _objects(state: str, dataset: Dataset, sample: Sample) -> None:
    if not dataset.has_instances:
        st.caption("The objects of this data set are not numbered.")
        return
    areas = _areas(state, dataset, sample)
    if not len(areas):
        st.caption("No object in this picture.")
        return
    columns = st.columns(3)
    columns[0].metric("Objects", len(areas))
    columns[1].metric("Median area", f"{np.median(areas):.0f} px")
    columns[2].metric("Smallest to largest", f"{areas.min()} to {areas.max()} px")
    figure = go.Figure(go.Histogram(x=areas.tolist(), nbinsx=40, marker={"color": "#56B4E9"}))
    figure.update_layout(height=200, margin={"l": 0, "r": 0, "t": 10, "b": 0}, xaxis={"title": "area in pixels"})
    st.plotly_chart(figure, key="areas", config={"displayModeBar": False}, alt="How many objects have which area")


def _facts(dataset: Dataset, sample: Sample) -> list[dict[str, Any]]:
    """What the files are, as they lie there; the pictures of a generated set have none."""
    rows = [{"": "id", "value": sample.id}, {"": "kind", "value": sample.group or "–"}]
    rows.append({"": "source", "value": sample.source or "–"})
    for what, path in (("picture", sample.image_path), ("mask", sample.mask_path)):
        if path is None:
            rows.append({"": what, "value": "made by the program" if not dataset.root else "part of another file"})
            continue
        rows.append({"": what, "value": _file(path, dataset.root)})
    return rows


def _file(path: Path, root: Path | None) -> str:
    shown = path.relative_to(root).as_posix() if root and path.is_relative_to(root) else path.name
    try:
        text = f"{shown}, {path.stat().st_size:,} bytes"
        with Image.open(path) as opened:
            return f"{text}, {opened.format} {opened.mode} {opened.width} x {opened.height}"
    except FileNotFoundError:
        return f"{shown}: not there any more"
    except (OSError, ValueError, Image.DecompressionBombError):  # outlines, arrays
        return text
