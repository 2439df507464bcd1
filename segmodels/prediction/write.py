"""Predicting files: for each picture its mask in the forms asked for, in a folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segmodels.data.disk import Stop, Stopped, make_folder
from segmodels.errors import UserError, choose
from segmodels.prediction.export import FORMATS, Settings, write_forms
from segmodels.prediction.large import is_large, predict_large
from segmodels.prediction.predictor import Predictor
from segmodels.prediction.result import Refinement
from segmodels.prediction.sources import Source, pictures_in
from segmodels.training.reporter import Reporter

#: What a mask and its files are where nothing else is asked for.
NOTHING, PLAIN = Refinement(), Settings()


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
    rows = []
    taken = {os.path.realpath(source.origin) for source in sources}  # what must not be written over

    def predicted(source: Source) -> dict[str, Any]:
        content, stem = source.read(), Path(source.name).stem
        check_free(source, stem)
        beside = isinstance(content, Path) and os.path.realpath(content.parent) == os.path.realpath(out)
        if beside and "labelme" in formats:
            raise UserError(f"{source.origin} lies in {out}, where LabelMe's file of it may be: name another folder")
        if isinstance(content, Path) and is_large(content, page):
            if tile or refinement != NOTHING:
                raise UserError(
                    f"{source.origin} is predicted as it is read: leave out what asks for all of it at once "
                    "(tile, threshold, smallest, largest hole)"
                )
            return predict_large(
                predictor, content, out, stem, formats, reporter=reporter, page=page, stop=stop, tta=tta
            )
        result = predictor(content, name=source.origin, page=page, tile=tile, tta=tta)
        if refinement != NOTHING:
            result = result.refined(**vars(refinement))
        files = write_forms(result, out, stem, formats, name=source.name, settings=settings)
        height, width = result.mask.shape
        return {"width": width, "height": height, "shares": result.shares, "files": [str(file) for file in files]}

    def check_free(source: Source, stem: str) -> None:
        endings = [FORMATS[name].ending for name in formats] + ([".png"] if "labelme" in formats else [])
        for path in (out / f"{stem}{ending}" for ending in endings):
            if os.path.realpath(path) in taken:
                raise UserError(
                    f"{source.origin}: its result {path} would replace a picture or the result of another: "
                    "name another folder, or rename it"
                )

    for done, source in enumerate(sources, start=1):
        if stop and stop():
            raise Stopped(f"stopped after {done - 1} of {len(sources)} pictures, which are in {out}")
        row: dict[str, Any] = {"image": source.origin, "files": [], "error": None}
        try:
            row |= predicted(source)
        except Stopped:
            raise
        except UserError as error:
            row["error"] = str(error)
        except MemoryError:
            row["error"] = f"{source.origin}: there is not enough memory for it; give a smaller tile, or crop it"
        except Exception as error:
            if len(sources) == 1:  # no rest that it would stop, and a trace tells more
                raise
            reason = " ".join(str(error).split())[:200]
            row["error"] = f"{source.origin}: it failed unexpectedly ({type(error).__name__}: {reason})"
        taken.update(map(os.path.realpath, row["files"]))
        rows.append(row)
        reporter.progress(done, len(sources), "predicting")
    return rows
