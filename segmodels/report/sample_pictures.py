"""The validation pictures of a run after its latest whole epoch: each with its truth and its prediction."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segmodels.data.dataset import ClassLabel
from segmodels.data.images import encoded, read_image, read_mask
from segmodels.errors import UserError
from segmodels.files import read_json
from segmodels.prediction.masks import overlay
from segmodels.training.run_files import file_of
from segmodels.training.runs import Run

#: Pictures that are taken, and the longest side in pixels that they are shown with.
MOST, SIDE = 12, 512


@dataclass
class SamplePictures:
    """What `samples/` holds of one epoch.

    Attributes:
        epoch: the latest of which all predictions are there, else the latest; None where there is none.
        labels: the classes.
        rows: of each picture its id and, as PNG or JPEG bytes, picture, truth and prediction, None where one is gone.
        missing: a line on each thing that is not there or cannot be read.
    """

    epoch: int | None = None
    labels: list[ClassLabel] = field(default_factory=list)
    rows: list[tuple[str, list[bytes | None]]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def sample_pictures(run: Run) -> SamplePictures:
    """Read them. Never raises for what is missing or damaged."""
    found = SamplePictures()
    place = file_of(run, "samples/index.json")
    try:
        index: Any = read_json(place) if place else None
        ids = [str(name) for name in index["ids"]][:MOST]
        found.labels = [_label(row) for row in index["classes"]][:255]
    except (UserError, KeyError, TypeError, ValueError):
        what = "damaged" if place else "missing"
        found.missing.append(f"samples/index.json is {what}: no validation pictures")
        return found
    found.epoch = _latest(run, len(ids))
    for number, name in enumerate(ids):
        found.rows.append((name, _three(run, number, found)))
    return found


def _label(row: dict[str, Any]) -> ClassLabel:
    if not isinstance(row["name"], str) or not re.fullmatch(r"#[0-9a-fA-F]{6}", row["colour"]):
        raise ValueError("no class")
    return ClassLabel(row["name"], row["colour"])


def _latest(run: Run, pictures: int) -> int | None:
    """The latest epoch that has most of its predictions; pictures are written one after another."""
    numbers: dict[int, int] = {}
    try:
        names = [path.name for path in (run.path / "samples").iterdir()]
    except OSError:
        return None
    for name in names:
        match = re.fullmatch(r"(\d{1,2})-epoch-(\d{4,6})\.png", name)
        if match and int(match[1]) < pictures:
            numbers[int(match[2])] = numbers.get(int(match[2]), 0) + 1
    most = max(numbers.values(), default=0)
    return max((epoch for epoch, there in numbers.items() if there == most), default=None)


def _three(run: Run, number: int, found: SamplePictures) -> list[bytes | None]:
    """Picture, truth and prediction of one sample; what cannot be read is None and named."""

    def read(name: str, reader: Callable[[Path], np.ndarray]) -> np.ndarray | None:
        place = file_of(run, f"samples/{name}")
        try:
            if place is not None:
                return reader(place)
        except UserError:
            found.missing.append(f"samples/{name} is damaged")
            return None
        found.missing.append(f"samples/{name} is missing")
        return None

    image = read(f"{number}-image.png", read_image)
    masks = [read(f"{number}-truth.png", read_mask)]
    masks += [read(f"{number}-epoch-{found.epoch:04d}.png", read_mask)] if found.epoch is not None else [None]
    return [None if image is None else _small(image), *[_laid_over(image, mask, found.labels) for mask in masks]]


def _laid_over(image: np.ndarray | None, mask: np.ndarray | None, labels: Sequence[ClassLabel]) -> bytes | None:
    """A mask over its picture, or over grey where the picture is gone or of another size."""
    if mask is None:
        return None
    if image is None or image.shape[:2] != mask.shape:
        image = np.full((*mask.shape, 3), 128, np.uint8)
    return _small(overlay(image, mask, labels))


def _small(picture: np.ndarray) -> bytes:
    shown = Image.fromarray(picture)
    shown.thumbnail((SIDE, SIDE))
    return encoded(shown, "JPEG", quality=90, subsampling=0)
