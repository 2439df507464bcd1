"""A picture of any size from file to file: read by region, predicted in tiles and written as it goes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segmodels.data.disk import Stopped
from segmodels.data.tiles import tile_grid
from segmodels.errors import UserError
from segmodels.files import replacing
from segmodels.prediction import masks
from segmodels.prediction.export import FORMATS
from segmodels.prediction.large.picture import LargePicture
from segmodels.prediction.large.png_writer import PngWriter
from segmodels.prediction.large.reduce import reduce_picture
from segmodels.prediction.most_likely import most_likely
from segmodels.prediction.resize import bands, resize_logits
from segmodels.prediction.tiling import Forward, tiled_logits
from segmodels.prediction.views import averaged
from segmodels.training.reporter import Reporter

if TYPE_CHECKING:
    from segmodels.prediction.predictor import Predictor

#: What can be written row by row, and the ending of the file's name: class ids with a palette, the classes' colours,
#: and these over the picture.
FORMS = {name: FORMATS[name].ending for name in ("png", "colour", "overlay")}

#: Bytes of logits that a row of tiles may take.
BAND_BYTES = 4 << 30


def predict_large(
    predictor: Predictor,
    path: Path,
    out: Path,
    stem: str,
    forms: Sequence[str],
    *,
    reporter: Reporter | None = None,
    page: int = 0,
    stop: Callable[[], bool] | None = None,
    tta: str | Sequence[str] | None = None,
) -> dict[str, Any]:
    """Predict a TIFF of any size into files of `out`, with a row of tiles in memory at a time.

    A model of tiles sees it in tiles, blended as in `tiled_logits`. A model of whole pictures sees it resized, and the
    logits are brought back to its size a band at a time. The masks are those that `Predictor` gives for an array.

    Args:
        stem: of the files' names, which end as `FORMS` says.
        forms: which of `FORMS`; each file takes its place once all are whole.
        reporter: told of every row of tiles, or band of rows.
        page: of the TIFF, counted from 0.
        stop: asked before every pass of the network, and between rows; once it says True, all is given up.
        tta: test-time augmentation, as in `Predictor`.

    Returns:
        width and height in pixels, shares of the classes by name, files written.

    Raises:
        UserError: a form that needs the whole picture at once, a TIFF that cannot be read by region, a full disk.
        Stopped: `stop` said so; nothing is left.
    """
    refused = [form for form in forms if form not in FORMS]
    if refused:
        raise UserError(
            f"{path}: {', '.join(refused)} would need the whole picture in memory: "
            f"choose of {', '.join(FORMS)} for a picture this large"
        )
    labels = predictor.labels
    colours = masks.palette(labels)
    counts = np.zeros(256, np.int64)
    files = [out / f"{stem}{FORMS[form]}" for form in dict.fromkeys(forms)]

    def check() -> None:
        if stop is not None and stop():
            raise Stopped(f"{path}: stopped; nothing of it was written")

    def forward(images: np.ndarray) -> np.ndarray:
        check()
        return predictor.logits(images)

    seen = averaged(forward, predictor.views(tta))
    with LargePicture(path, page) as picture, ExitStack() as stack:
        height, width, _ = picture.shape
        parts = _scores(predictor, picture, seen, reporter or Reporter(), check)
        stack.enter_context(closing(parts))
        writers = {}
        for form, file in zip(dict.fromkeys(forms), files, strict=True):
            opened = stack.enter_context(stack.enter_context(replacing(file)).open("wb"))
            writers[form] = PngWriter(opened, height, width, palette=colours if form == "png" else None)
        for rows, logits in parts:
            check()
            mask, _ = most_likely(logits)
            counts += np.bincount(mask.ravel(), minlength=256)
            for form, writer in writers.items():
                if form == "png":
                    writer.write(mask)
                elif form == "colour":
                    writer.write(colours[mask])
                else:
                    writer.write(masks.overlay(picture[rows], mask, labels))
        for writer in writers.values():
            writer.close()
    shares = {label.name: float(counts[place] / (height * width)) for place, label in enumerate(labels)}
    return {"width": width, "height": height, "shares": shares, "files": [str(file) for file in files]}


def _scores(
    predictor: Predictor,
    picture: LargePicture,
    forward: Forward,
    reporter: Reporter,
    check: Callable[[], None],
) -> Generator[tuple[slice, np.ndarray], None, None]:
    """Rows and their logits, from top to bottom."""
    contract = predictor.spec.input
    height, width, _ = picture.shape
    what = f"predicting {picture.path.name}"
    if contract.mode == "resize":

        def each(done: int, total: int) -> None:
            check()
            reporter.progress(done, total, f"reading {picture.path.name}")

        small = reduce_picture(picture, contract.size, contract.size, each)
        scores = forward(small[None])[0]
        for rows in bands(height, width * scores.shape[-1]):
            yield rows, resize_logits(scores, height, width, rows=rows)
            reporter.progress(rows.stop, height, what)
        return
    size, overlap = contract.size, contract.overlap or 0
    if 4 * size * max(width, size) * len(predictor.labels) > BAND_BYTES:
        raise UserError(
            f"{picture.path}: {width:,} columns are too many for tiles of {size} pixels and "
            f"{len(predictor.labels)} classes: cut the picture into narrower ones"
        )
    tops = tile_grid(height, width, size, size - overlap, "shift").tops
    ends = [*tops[1:].tolist(), height]
    done = 0
    for rows, logits in tiled_logits(forward, picture, size, overlap):
        yield rows, logits
        if rows.stop == ends[done]:
            done += 1
            reporter.progress(done, len(ends), what)
