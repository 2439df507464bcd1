"""Predicting files: for each picture its mask in the forms asked for, in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segmodels.errors import UserError
from segmodels.files import replacing
from segmodels.prediction.predictor import Predictor, Result
from segmodels.training.reporter import Reporter


def _png(result: Result, path: Path) -> None:
    result.indexed().save(path, format="PNG")


def _overlay(result: Result, path: Path) -> None:
    result.overlay().save(path, format="PNG")


def _npz(result: Result, path: Path) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, probabilities=result.probabilities, mask=result.mask)


#: What can be written: the ending of the file's name, and how.
FORMATS = {"png": ("-mask.png", _png), "overlay": ("-overlay.png", _overlay), "npz": (".npz", _npz)}


def predict_files(
    model: str | Path, images: Sequence[Path], out: Path, formats: Sequence[str], reporter: Reporter | None = None
) -> list[dict[str, Any]]:
    """Predict pictures into `out`; one that fails never stops the rest.

    Returns:
        a row a picture: image, width, height, shares of the classes, files written, error (None where all went well).
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file: name a folder for the masks")
    predictor = Predictor(model)
    rows, taken = [], set[str]()
    for done, image in enumerate(images, start=1):
        row: dict[str, Any] = {"image": str(image), "files": [], "error": None}
        try:
            result = predictor(image)
            stem = _free_stem(image, taken)
            for name in formats:
                ending, write = FORMATS[name]
                with replacing(out / f"{stem}{ending}") as part:
                    write(result, part)
                row["files"].append(str(out / f"{stem}{ending}"))
            row |= {"width": result.image.shape[1], "height": result.image.shape[0], "shares": result.shares}
        except UserError as error:
            row["error"] = str(error)
        rows.append(row)
        if reporter:
            reporter.progress(done, len(images), "predicting")
    return rows


def _free_stem(image: Path, taken: set[str]) -> str:
    """The picture's name without its ending; numbered where two pictures of different folders have one name."""
    stem, number = image.stem, 2
    while stem in taken:
        stem, number = f"{image.stem}-{number}", number + 1
    taken.add(stem)
    return stem
