"""The validation pictures of a run after any of its epochs: all of them small, one of them large beside its truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import streamlit as st
from PIL import Image

from segmodels.data.dataset import ClassLabel
from segmodels.data.images import encoded
from segmodels.errors import UserError
from segmodels.files import read_json
from segmodels.training.runs import Run
from ui.frame import in_place
from ui.grid import Tile, grid
from ui.viewer import Layer, Picture, viewer

#: The end of the slider over epochs, which follows a run as it goes.
LATEST = -1


def samples_view(run: Run) -> None:
    """Draw them, once there are any; a click on one shows it large."""
    folder = run.path / "samples"
    epochs = sorted({int(path.stem.rsplit("-", 1)[1]) for path in folder.glob("0-epoch-*.png")})
    if not epochs:
        return
    st.markdown("**Validation pictures**")
    with in_place():
        ids, labels = _index(folder)
        epoch = _choose_epoch(run, epochs)
        tiles = [_tile(folder, number, sample_id, epoch) for number, sample_id in enumerate(ids)]
        key = f"sample-{run.id}"
        if clicked := grid(tiles, labels, key=f"samples-{run.id}"):
            st.session_state[key] = clicked
        chosen = st.session_state.get(key)
        _large(run, folder, ids.index(chosen) if chosen in ids else 0, epoch, ids, labels)


def _choose_epoch(run: Run, epochs: list[int]) -> int:
    if len(epochs) == 1:
        return epochs[0]
    picked = st.select_slider(
        "After epoch",
        [*epochs[:-1], LATEST],
        value=LATEST,
        key=f"epoch-{run.id}",
        format_func=lambda value: f"{epochs[-1]}, the latest" if value == LATEST else str(value),
    )
    return epochs[-1] if picked == LATEST else picked


def _index(folder: Path) -> tuple[list[str], tuple[ClassLabel, ...]]:
    index = read_json(folder / "index.json")
    try:
        labels = tuple(ClassLabel(row["name"], row["colour"]) for row in index["classes"])
        return [str(sample_id) for sample_id in index["ids"]], labels
    except (KeyError, TypeError):
        raise UserError(f"{folder / 'index.json'} is damaged: the pictures of this run cannot be shown") from None


def _tile(folder: Path, number: int, sample_id: str, epoch: int) -> Tile:
    image, mask = _files(folder, number, epoch)
    try:
        written = mask.stat().st_mtime_ns
        return Tile(sample_id, sample_id, f"{sample_id} after epoch {epoch}", *_small(image, mask, written))
    except (OSError, UserError):
        return Tile(sample_id, sample_id, problem=f"{mask.name} cannot be shown: the file is missing or damaged")


@st.cache_data(max_entries=400, show_spinner=False)
def _small(image: Path, mask: Path, written: int) -> tuple[bytes, bytes]:
    """The picture as JPEG and the mask as it is; both are as small as the network sees them."""
    return encoded(_read(image, "RGB"), "JPEG", quality=88), encoded(_read(mask), "PNG", compress_level=3)


def _large(run: Run, folder: Path, number: int, epoch: int, ids: list[str], labels: tuple[ClassLabel, ...]) -> None:
    image, mask = _files(folder, number, epoch)

    def picture() -> Picture:
        layers = [
            Layer("Truth", _read(folder / f"{number}-truth.png"), truth=True),
            Layer("Prediction", _read(mask)),
        ]
        return Picture(ids[number], _read(image, "RGB"), layers, labels)

    written = mask.stat().st_mtime_ns if mask.exists() else 0
    viewer(
        picture,
        shows=f"{run.id} {number} {epoch} {written}",
        key=f"sample-viewer-{run.id}",
        link=f"{run.id} {number}",  # what is looked at closely stays so from epoch to epoch
        layout="side",
    )


def _files(folder: Path, number: int, epoch: int) -> tuple[Path, Path]:
    return folder / f"{number}-image.png", folder / f"{number}-epoch-{epoch:04d}.png"


def _read(path: Path, mode: str | None = None) -> np.ndarray:
    try:
        with Image.open(path) as opened:
            return np.asarray(opened.convert(mode) if mode else opened)
    except (OSError, ValueError, SyntaxError):
        raise UserError(f"{path.name} cannot be shown: the file is missing or damaged") from None
