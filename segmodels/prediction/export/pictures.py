"""A result as pictures: its class ids, its colours, or these over the picture; and as arrays."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segmodels.files import replacing
from segmodels.prediction.export.settings import Settings
from segmodels.prediction.masks import palette, write_image, write_indexed_mask

if TYPE_CHECKING:
    from segmodels.prediction.result import Result


def write_mask(result: Result, path: Path, *, name: str, settings: Settings) -> list[Path]:
    write_indexed_mask(path, result.mask, result.labels)
    return [path]


def write_colours(result: Result, path: Path, *, name: str, settings: Settings) -> list[Path]:
    write_image(path, palette(result.labels)[result.mask])
    return [path]


def write_overlay(result: Result, path: Path, *, name: str, settings: Settings) -> list[Path]:
    write_image(path, np.asarray(result.overlay()))
    return [path]


def write_arrays(result: Result, path: Path, *, name: str, settings: Settings) -> list[Path]:
    """`probabilities`, float32 `(height, width, classes)`, and `mask`, uint8 `(height, width)`."""
    with replacing(path) as part, part.open("wb") as file:
        np.savez_compressed(file, probabilities=result.probabilities, mask=result.mask)
    return [path]
