"""A result as the files of annotation tools, which people correct and models are trained on: COCO and LabelMe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segmodels.data.convert import usable_labels
from segmodels.data.images import read_image
from segmodels.data.writers import CocoWriter, Item, LabelMeWriter
from segmodels.errors import UserError
from segmodels.files import write_text
from segmodels.prediction.export.settings import Settings, objects, within_mask
from segmodels.prediction.masks import write_image

if TYPE_CHECKING:
    from segmodels.prediction.result import Result


def write_coco(result: Result, path: Path, *, name: str, settings: Settings) -> list[Path]:
    """One picture, the one that was predicted, and its objects as run lengths."""
    writer = CocoWriter(path.parent, usable_labels(result.labels))
    writer.add(_item(result, Path(name), settings))
    write_text(path, json.dumps(writer.document("train")))
    return [path]


def write_labelme(result: Result, path: Path, *, name: str, settings: Settings) -> list[Path]:
    """LabelMe's file, and beside it the picture as PNG.

    Raises:
        UserError: another picture has that name already.
    """
    picture = path.with_suffix(".png")
    if picture.exists():
        if not _shows(picture, result.image):
            raise UserError(f"{picture} is there already and another picture: choose another folder")
    else:
        write_image(picture, result.image)
    writer = LabelMeWriter(path.parent, usable_labels(result.labels))
    write_text(path, json.dumps(writer.document(_item(result, picture, settings))))
    return [path, picture]


def _item(result: Result, picture: Path, settings: Settings) -> Item:
    instances = within_mask(objects(result, settings), result)
    return Item(picture.stem, "train", picture.suffix, result.mask, instances)


def _shows(path: Path, image: np.ndarray) -> bool:
    """Whether a file is the picture itself, or one that was written of it before."""
    try:
        return np.array_equal(read_image(path), image)
    except UserError:
        return False
