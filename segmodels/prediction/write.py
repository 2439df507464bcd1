"""Predicting files: for each picture its mask in the forms asked for, in a folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segmodels.data.disk import Stop, Stopped, make_folder
from segmodels.errors import UserError, choose
from segmodels.prediction.export import FORMATS, Settings
from segmodels.prediction.picture_row import NOTHING, PLAIN, Wanted, picture_row
from segmodels.prediction.predictor import Predictor
from segmodels.prediction.result import Refinement
from segmodels.prediction.sources import pictures_in
from segmodels.training.reporter import Reporter


def predict_files(
    model: str | Path | Predictor,
    paths: Sequence[Path],
    out: Path,
    formats: Sequence[str],
    *,
    page: int = 0,
    tile: int | None = None,
    tta: str | None = None,
    refinement: Refinement = NOTHING,
    settings: Settings = PLAIN,
    reporter: Reporter | None = None,
    stop: Stop | None = None,
) -> list[dict[str, Any]]:
    """Predict pictures into a folder; one that fails never stops the rest. No file takes the place of one of the
    pictures, or of what was written for another of them; what an earlier call wrote is replaced.

    Args:
        paths: files, folders and zip archives of pictures.
        formats: of `FORMATS`.
        page: of files that have several.
        tile: the size of the tiles of a model of tiles, where it is not to be its own.
        tta: test-time augmentation, as `Predictor` takes it.
        refinement: what is done to every mask.
        settings: of the forms.
        stop: asked between pictures, and between the tiles of a large one.

    Returns:
        a row a picture: image, width, height, shares of the classes, files written, error (None where all went well).

    Raises:
        UserError: no such model, an unknown format, nothing to predict, or `out` is a file or cannot be made.
        Stopped: by `stop`; what was written until then stays.
    """
    for name in formats:
        choose("format", name, list(FORMATS))
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file: name a folder for the masks")
    sources = pictures_in(paths)
    if not sources:
        raise UserError(f"no picture in {', '.join(map(str, paths))}: name pictures, folders or zip archives of them")
    reporter = reporter or Reporter()
    predictor = model if isinstance(model, Predictor) else Predictor(model, reporter=reporter)
    make_folder(out)
    wanted = Wanted(tuple(formats), page, tile, tta, refinement, settings)
    rows = []
    taken = {os.path.realpath(source.origin) for source in sources}  # what must not be written over

    for done, source in enumerate(sources, start=1):
        if stop and stop():
            raise Stopped(f"stopped after {done - 1} of {len(sources)} pictures, which are in {out}")
        row = picture_row(
            predictor, source, out, wanted, taken=taken, alone=len(sources) == 1, reporter=reporter, stop=stop
        )
        taken.update(map(os.path.realpath, row["files"]))
        rows.append(row)
        reporter.progress(done, len(sources), "predicting")
    return rows
