"""Masks that somebody corrected, as a data set of one's own: ready to train on, and nothing is overwritten.

`own:corrected-NAME` holds those pictures of data set NAME whose masks were corrected, each in the split in which it
was, in the form `masks`. Where one is corrected again the mask before goes to `history/`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from segmodels.data.dataset import IGNORE, ClassLabel
from segmodels.data.images import fitted, resize_mask
from segmodels.data.own_data import PREFIX, free_name, own_data, own_folder, own_names
from segmodels.data.writers import FOLDERS, MaskWriter
from segmodels.errors import UserError
from segmodels.files import explain_disk_errors, read_json, slug, write_json
from segmodels.prediction.masks import write_image, write_indexed_mask

#: What the names of these data sets begin with, behind `own:`.
CORRECTED = "corrected-"


def save_correction(
    image: np.ndarray, mask: np.ndarray, labels: Sequence[ClassLabel], *, data: str, name: str, split: str = "train"
) -> str:
    """Keep a picture with its corrected mask; returns the data set that has it now, `own:corrected-…`.

    Args:
        image: uint8 RGB `(height, width, 3)`.
        mask: class ids, uint8 `(height, width)`.
        labels: the classes.
        data: the data set that it comes from; its name becomes part of the new one's.
        name: what the picture is called.
        split: the split in which it was.

    Raises:
        UserError: a mask of another size or with an id that is no class, or a disk that is full.
    """
    if mask.shape != image.shape[:2]:
        raise UserError(f"{name}: the corrected mask is not of the picture's size: open the picture anew")
    if len(wrong := np.setdiff1d(np.unique(mask), [*range(len(labels)), IGNORE])):
        raise UserError(f"{name}: the mask has the id {wrong[0]}, which is no class: paint over those pixels first")
    home = _set_for(data, labels)
    folder = own_folder() / home.removeprefix(PREFIX)
    file = f"{_stem(name) if home != data else slug(name)}.png"
    places = {part: folder / FOLDERS[split] / part / file for part in ("images", "masks")}
    with explain_disk_errors(folder):
        for path in places.values():
            path.parent.mkdir(parents=True, exist_ok=True)
        if places["masks"].exists():
            _put_aside(places["masks"], folder / "history")
        write_image(places["images"], image)  # first: a picture without a mask is told and left out
        write_indexed_mask(places["masks"], mask, labels)
    return home


def at_full_size(mask: np.ndarray, corrected: np.ndarray) -> np.ndarray:
    """A mask with what was corrected in a smaller form of it: what nobody touched stays as it is, to the pixel.

    Args:
        mask: class ids before, uint8 `(height, width)`.
        corrected: `mask` as `resize_mask` makes it smaller in its proportions (`fitted`), or itself, with corrections,
            uint8 `(h, w)`.

    Returns:
        uint8 `(height, width)`.

    Raises:
        UserError: it is of other proportions.
    """
    if corrected.shape == mask.shape:
        return corrected
    if corrected.shape != fitted(mask.shape[0], mask.shape[1], max(corrected.shape)):
        raise UserError("the corrected mask is not of the picture's proportions: open the picture anew")
    touched = (corrected != resize_mask(mask, *corrected.shape)).astype(np.uint8)
    return np.where(resize_mask(touched, *mask.shape) > 0, resize_mask(corrected, *mask.shape), mask)


def _set_for(data: str, labels: Sequence[ClassLabel]) -> str:
    """The data set for corrections of another one, made where there is none with these classes yet."""
    wished = slug(data.removeprefix(PREFIX))
    wished = wished if wished.startswith(CORRECTED) else CORRECTED + wished
    for name in own_names():
        if name.removeprefix(PREFIX).startswith(wished) and own_data(name).uploaded and _has_classes(name, labels):
            return name
    with free_name(wished) as short:
        MaskWriter(own_folder() / short, labels).finish()
        write_json(own_folder() / f"{short}.json", {"folder": None, "form": "masks"})
    return PREFIX + short


def _has_classes(name: str, labels: Sequence[ClassLabel]) -> bool:
    with suppress(UserError, AttributeError, KeyError, TypeError):
        rows = read_json(own_folder() / name.removeprefix(PREFIX) / "classes.json")["classes"]
        return [row["name"] for row in rows if row["id"] != IGNORE] == [label.name for label in labels]
    return False


def _stem(name: str) -> str:
    """A file name of its own for every name, however strange that is."""
    digest = hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=3).hexdigest()
    return f"{slug(name.removesuffix(Path(name).suffix))}-{digest}"


def _put_aside(mask: Path, history: Path) -> None:
    history.mkdir(exist_ok=True)
    number = 1
    while (kept := history / f"{mask.stem}-{number}.png").exists():
        number += 1
    kept.write_bytes(mask.read_bytes())
