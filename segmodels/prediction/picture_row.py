"""One picture of many: its files are written, and a row says what they are or why there are none."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segmodels.data.disk import Stop, Stopped
from segmodels.errors import UserError
from segmodels.prediction.export import FORMATS, Settings, write_forms
from segmodels.prediction.large import is_large, predict_large
from segmodels.prediction.predictor import Predictor
from segmodels.prediction.result import Refinement
from segmodels.prediction.sources import Source
from segmodels.training.reporter import Reporter

#: What a mask and its files are where nothing else is asked for.
NOTHING, PLAIN = Refinement(), Settings()


@dataclass(frozen=True)
class Wanted:
    """What is wanted of every picture; the fields are those of `predict_files`."""

    formats: tuple[str, ...]
    page: int = 0
    tile: int | None = None
    tta: str | None = None
    refinement: Refinement = NOTHING
    settings: Settings = PLAIN

    def results(self, stem: str, out: Path) -> list[Path]:
        """The files that a picture's results will be."""
        endings = [FORMATS[name].ending for name in self.formats] + ([".png"] if "labelme" in self.formats else [])
        return [out / f"{stem}{ending}" for ending in endings]


def picture_row(
    predictor: Predictor,
    source: Source,
    out: Path,
    wanted: Wanted,
    *,
    taken: Collection[str] = (),
    alone: bool = False,
    reporter: Reporter | None = None,
    stop: Stop | None = None,
) -> dict[str, Any]:
    """Predict one picture into a folder, which is there.

    Args:
        taken: real paths that must not be written over.
        alone: whether it is the only one. Then `reporter` is told how far it is, and what nobody expects is raised,
            since a trace tells more and there is no rest that it would stop.
        stop: asked between the passes of a picture that takes several.

    Returns:
        image, width, height, shares of the classes, files written, error (None where all went well).

    Raises:
        Stopped: by `stop`.
    """
    row: dict[str, Any] = {"image": source.origin, "files": [], "error": None}
    try:
        row |= _predicted(predictor, source, out, wanted, taken, alone, reporter or Reporter(), stop)
    except Stopped:
        raise
    except UserError as error:
        row["error"] = str(error)
    except MemoryError:
        row["error"] = f"{source.origin}: there is not enough memory for it; give a smaller tile, or crop it"
    except Exception as error:
        if alone:
            raise
        reason = " ".join(str(error).split())[:200]
        row["error"] = f"{source.origin}: it failed unexpectedly ({type(error).__name__}: {reason})"
    return row


def check_free(source: Source, out: Path, wanted: Wanted, taken: Collection[str]) -> None:
    """`UserError` where a result would take the place of one of the real paths that are `taken`."""
    for path in wanted.results(Path(source.name).stem, out):
        if os.path.realpath(path) in taken:
            raise UserError(
                f"{source.origin}: its result {path} would replace a picture or the result of another: "
                "name another folder, or rename it"
            )


def _predicted(
    predictor: Predictor,
    source: Source,
    out: Path,
    wanted: Wanted,
    taken: Collection[str],
    alone: bool,
    reporter: Reporter,
    stop: Stop | None,
) -> dict[str, Any]:
    content, stem = source.read(), Path(source.name).stem
    check_free(source, out, wanted, taken)
    formats, page, tta = wanted.formats, wanted.page, wanted.tta
    beside = isinstance(content, Path) and os.path.realpath(content.parent) == os.path.realpath(out)
    if beside and "labelme" in formats:
        raise UserError(f"{source.origin} lies in {out}, where LabelMe's file of it may be: name another folder")
    if isinstance(content, Path) and is_large(content, page):
        if wanted.tile or wanted.refinement != NOTHING:
            raise UserError(
                f"{source.origin} is predicted as it is read: leave out what asks for all of it at once "
                "(tile, threshold, smallest, largest hole)"
            )
        return predict_large(predictor, content, out, stem, formats, reporter=reporter, page=page, stop=stop, tta=tta)

    def told(done: int, of: int) -> None:
        if stop and stop():
            raise Stopped(f"{source.origin}: stopped; nothing of it was written")
        if alone:
            reporter.progress(done, of, f"predicting {source.origin}")

    result = predictor(content, name=source.origin, page=page, tile=wanted.tile, tta=tta, told=told)
    if wanted.refinement != NOTHING:
        result = result.refined(**vars(wanted.refinement))
    files = write_forms(result, out, stem, formats, name=source.name, settings=wanted.settings)
    height, width = result.mask.shape
    return {"width": width, "height": height, "shares": result.shares, "files": [str(file) for file in files]}
