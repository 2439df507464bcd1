"""The validation pictures of a run after any of its epochs: all of them small, one of them large beside its truth."""

from __future__ import annotations

import html
from pathlib import Path

import streamlit as st

from segmodels.data.dataset import ClassLabel
from segmodels.data.images import encoded, read_image, read_mask
from segmodels.errors import UserError
from segmodels.files import read_json
from segmodels.training.runs import Run
from ui.grid import Tile, grid
from ui.viewer import Layer, Picture, viewer


def sample_epochs(run: Run) -> list[int]:
    """The epochs whose predictions are all there; `UserError` where the folder is damaged."""
    folder = run.path / "samples"
    if not (folder / "index.json").is_file():
        return []
    ids, _ = _index(folder)
    # An epoch whose last picture is there has all of them.
    written = folder.glob(f"{len(ids) - 1}-epoch-*.png")
    return sorted(int(number) for path in written if (number := path.stem.rpartition("-")[2]).isdecimal())


def sample_labels(run: Run) -> tuple[ClassLabel, ...]:
    """The classes of a run; `UserError` where they are damaged."""
    return _index(run.path / "samples")[1]


def samples_view(run: Run, epoch: int) -> None:
    """Draw the pictures after an epoch; a click on one shows it large."""
    folder = run.path / "samples"
    ids, labels = _index(folder)
    tiles = [_tile(folder, number, sample_id, epoch) for number, sample_id in enumerate(ids)]
    key = f"sample-{run.id}"
    if clicked := grid(tiles, labels, key=f"samples-{run.id}"):
        st.session_state[key] = clicked
    chosen = st.session_state.get(key)
    _large(run, folder, ids.index(chosen) if chosen in ids else 0, epoch, ids, labels)


def _index(folder: Path) -> tuple[list[str], tuple[ClassLabel, ...]]:
    index = read_json(folder / "index.json")
    try:
        labels = tuple(ClassLabel(row["name"], row["colour"]) for row in index["classes"])
        for label in labels:
            _ = label.rgb, html.escape(label.name)  # a colour that is none, a name that is no text
        if not labels:
            raise ValueError
        return [str(sample_id) for sample_id in index["ids"]], labels
    except (AttributeError, KeyError, TypeError, ValueError):
        raise UserError(f"{folder / 'index.json'} is damaged: the pictures of this run cannot be shown") from None


def _tile(folder: Path, number: int, sample_id: str, epoch: int) -> Tile:
    image, mask = _files(folder, number, epoch)
    try:
        written = mask.stat().st_mtime_ns
        return Tile(sample_id, sample_id, f"{sample_id} after epoch {epoch}", *_small(image, mask, written))
    except (OSError, UserError) as error:
        return Tile(
            sample_id, sample_id, problem=str(error) if isinstance(error, UserError) else f"{mask.name} is gone"
        )


@st.cache_data(max_entries=400, show_spinner=False)
def _small(image: Path, mask: Path, written: int) -> tuple[bytes, bytes]:
    """The picture as JPEG and the mask as it is; both are as small as the network sees them."""
    return encoded(read_image(image), "JPEG", quality=88), encoded(read_mask(mask), "PNG", compress_level=3)


def _large(run: Run, folder: Path, number: int, epoch: int, ids: list[str], labels: tuple[ClassLabel, ...]) -> None:
    image, mask = _files(folder, number, epoch)

    def picture() -> Picture:
        truth = read_mask(folder / f"{number}-truth.png")
        layers = [Layer("Truth", truth, truth=True), Layer("Prediction", read_mask(mask))]
        return Picture(ids[number], read_image(image), layers, labels)

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
