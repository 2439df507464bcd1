"""A model at a glance: what its small files say, read again only when they change. Loads no Keras.

A pulled model is a stranger's: whatever its files hold is text, numbers in their range, colours, and pictures that are
decoded here and drawn anew.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import streamlit as st

from segmodels.data.dataset import ClassLabel
from segmodels.data.images import encoded, fitted, resize_image, rgb
from segmodels.data.opened import Opened
from segmodels.errors import UserError
from segmodels.files import read_json, whole
from segmodels.hub.checkpoint import ArchitectureSpec, InputSpec, read_spec
from segmodels.hub.contents import PREVIEW, most_bytes
from segmodels.models.architectures import ARCHITECTURES
from segmodels.models.backbones import BACKBONES
from segmodels.prediction.views import views_of
from ui.models import Model

#: Files of a checkpoint directory that are looked at.
MOST_FILES = 200
#: Pixels of the largest preview that is shown, and of the longer side of what is sent.
PREVIEW_PIXELS, PREVIEW_SIDE = 16_000_000, 900
#: Rows of classes that are shown.
MOST_CLASSES = 255


@dataclass(frozen=True)
class Found:
    """A file: its path in the checkpoint directory, its bytes, and when it was changed, in nanoseconds."""

    path: str
    size: int
    changed: int


@dataclass(frozen=True)
class Glance:
    """What there is to say of a model; None where it is not known.

    Attributes:
        name: in links.
        network: its architecture and encoder, as people call them.
        data: that it was trained on.
        mean_iou: of its test split where it was released with that, else of its validation, 0 to 1; and the `epoch`
            of its weights.
        when: its weights were written or it was pulled, in seconds since 1970.
        files: with all that a checkpoint may have.
        problem: why it cannot be used, in a line; else empty.
    """

    name: str
    model: Model
    network: str = ""
    data: str = ""
    labels: tuple[ClassLabel, ...] = ()
    mean_iou: float | None = None
    epoch: int | None = None
    when: float = 0.0
    files: tuple[Found, ...] = ()
    problem: str = ""

    @property
    def size(self) -> int:
        """Of its files, in bytes."""
        return sum(file.size for file in self.files)

    @property
    def previews(self) -> list[str]:
        """The pictures, by their paths in the directory."""
        return sorted(file.path for file in self.files if PREVIEW.fullmatch(file.path))


def glance(name: str, model: Model) -> Glance:
    """Read a model's small files, as far as they have changed; never fails."""
    folder = whole(model.path)
    files = files_of(folder)
    when = model.pulled.pulled if model.pulled else max((file.changed for file in files), default=0) / 1e9
    return Glance(name, model, when=when, files=files, **_read(folder, files))


def files_of(folder: Path) -> tuple[Found, ...]:
    """The files of a checkpoint that are there, sorted by path; what else lies beside them is not looked at."""
    found: list[Found] = []
    for place, prefix in ((folder, ""), (folder / "previews", "previews/")):
        with suppress(OSError), os.scandir(place) as entries:
            for entry in entries:
                path = f"{prefix}{entry.name}"
                if most_bytes(path) is None or not entry.is_file(follow_symlinks=False):
                    continue
                state = entry.stat(follow_symlinks=False)
                found.append(Found(path, state.st_size, state.st_mtime_ns))
                if len(found) >= MOST_FILES:
                    break
    return tuple(sorted(found, key=lambda file: file.path))


@lru_cache(maxsize=4096)
def _read(folder: Path, files: tuple[Found, ...]) -> dict[str, Any]:
    """What spec and figures say; `files` are their state."""
    try:
        spec = read_spec(folder)
    except UserError as error:
        return {"problem": str(error)}
    figures = read_metrics(folder)
    return {
        "network": network_of(spec.architecture),
        "data": data[:200] if isinstance(data := spec.recipe.get("data"), str) and data.isprintable() else "",
        "labels": spec.labels,
        "mean_iou": figures.whole.get("mean_iou"),
        "epoch": figures.epoch,
    }


def network_of(architecture: ArchitectureSpec) -> str:
    """Architecture and encoder as people call them."""
    if architecture.is_ensemble:
        return " + ".join(map(network_of, architecture.members))
    name, backbone = architecture.name, architecture.backbone
    title = ARCHITECTURES[name].title if name in ARCHITECTURES else name
    if backbone == "none":
        return title
    return f"{title} on {BACKBONES[backbone].title if backbone in BACKBONES else backbone}"


def contract_of(seen: InputSpec) -> str:
    """The input contract in words."""
    size = f"{seen.size} x {seen.size} pixels"
    views = f" It sees each in {len(views_of(seen.tta))} views ({seen.tta}), one after the other." if seen.tta else ""
    if seen.mode == "tiles":
        scale = "their scale has to be that of its training."
        return f"Sees pictures as they are, large ones in tiles of {size}: {scale}{views}"
    return f"Sees the whole picture at {size} and answers at the picture's own size.{views}"


#: Those of a whole split that are shown.
FIGURES = ("mean_iou", "mean_dice", "pixel_accuracy", "precision", "recall", "f1")


@dataclass(frozen=True)
class Figures:
    """What `metrics.json` says, as far as it makes sense: figures of 0 to 1 by name, and a row a class. They are of the
    `split` "test" where it was released with that, else of "validation"."""

    epoch: int | None
    split: str
    whole: dict[str, float]
    classes: list[dict[str, Any]]


def read_metrics(folder: Path) -> Figures:
    """The figures of a checkpoint directory; none where there are none, or the file is damaged."""
    try:
        document = read_json(folder / "metrics.json")
    except UserError:
        document = None
    if not isinstance(document, dict):
        return Figures(None, "validation", {}, [])
    epoch, test, names = document.get("epoch"), document.get("test"), FIGURES
    split, whole, rows = "validation", document.get("validation"), document.get("classes")
    if isinstance(test, dict) and "mean_iou" in _shares(test, names):
        split, whole, rows = "test", test, test.get("classes")
    return Figures(
        epoch if type(epoch) is int and 0 <= epoch < 10**9 else None,
        split,
        _shares(whole, names) if isinstance(whole, dict) else {},
        list(_rows(rows)) if isinstance(rows, list) else [],
    )


def _rows(rows: list[Any]) -> Iterable[dict[str, Any]]:
    for row in rows[:MOST_CLASSES]:
        if isinstance(row, dict) and isinstance(name := row.get("name"), str):
            pixels = row.get("pixels")
            yield {
                "name": name[:100],
                **_shares(row, ("iou", "dice", "precision", "recall")),
                "pixels": pixels if type(pixels) is int and 0 <= pixels < 2**53 else None,
            }


def _shares(figures: dict[str, Any], names: Iterable[str]) -> dict[str, float]:
    """Those that are a number of 0 to 1."""
    found = {}
    for name in names:
        value = figures.get(name)
        # Compared first: of a whole number of many digits no float can be made.
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
            found[name] = float(value)
    return found


def preview(seen: Glance, path: str) -> bytes | None:
    """One of its previews, drawn anew as a JPEG; None where it is no picture, or a huge one."""
    folder = whole(seen.model.path)
    changed = next((file.changed for file in seen.files if file.path == path), 0)
    return _preview(str(folder / path), changed)


@st.cache_data(max_entries=1000, show_spinner=False)
def _preview(path: str, changed: int) -> bytes | None:
    try:
        with Opened(Path(path), "preview") as image:
            if image.width * image.height > PREVIEW_PIXELS:
                return None
            picture = rgb(image)
    except UserError:
        return None
    height, width = picture.shape[:2]
    if max(height, width) > PREVIEW_SIDE:
        picture = resize_image(picture, *fitted(height, width, PREVIEW_SIDE))
    return encoded(picture, "JPEG", quality=88)


def select(rows: Iterable[Glance], text: str = "", kinds: Iterable[str] = (), data: str | None = None) -> list[Glance]:
    """The models that are wanted, in their order; what is left empty asks for nothing.

    Args:
        text: words, each of which occurs in the name, the network, the data or a class; in upper or lower case.
        kinds: where it is from, as `Model.kind` says.
        data: that it was trained on.
    """
    words, kinds = text.casefold().split(), set(kinds)
    return [
        row
        for row in rows
        if (not kinds or row.model.kind in kinds)
        and (data is None or row.data == data)
        and all(word in _said(row) for word in words)
    ]


def _said(row: Glance) -> str:
    return " ".join((row.name, row.network, row.data, *(label.name for label in row.labels))).casefold()
