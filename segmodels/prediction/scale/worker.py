"""What a worker of the cluster does: it loads the model once, then predicts the pictures that it is given.

Whatever befalls it, a picture that is done has its record, and those under way are given to it or another again. The
tries of a picture are counted on the disk, since a worker that is killed cannot tell: a picture that kills its worker
again and again becomes a failed row.
"""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segmodels.errors import UserError
from segmodels.prediction.scale.listing import Item, item_of
from segmodels.prediction.scale.records import Records

if TYPE_CHECKING:
    from segmodels.prediction.picture_row import Wanted
    from segmodels.prediction.predictor import Predictor

#: So often a picture is begun whose workers die over it.
TRIES = 3


class PictureWorker:
    """Called with a batch of `map_batches`: items as text in, numbers and rows as text out.

    A row has `number`, and either `row`, as `predict_files` has it but with the names of the files alone, or `fatal`:
    why this call can predict nothing at all.

    Args:
        model: a checkpoint directory.
        engine: as `ready_predictor` takes it.
        out: the folder of results, absolute, which is there.
        wanted: of every picture.
        environment: set before an engine loads.
    """

    def __init__(self, model: str, engine: str, out: str, wanted: Wanted, environment: dict[str, str]) -> None:
        os.environ.update(environment)
        self.model, self.engine, self.out, self.wanted = model, engine, Path(out), wanted
        self.records = Records(self.out)
        self._predictor: Predictor | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        items = [item_of(str(text)) for text in batch["item"]]
        try:
            return {"row": [json.dumps(self._done(item)) for item in items]}
        except UserError as error:  # of the model or the folder, not of a picture
            return {"row": [json.dumps({"fatal": str(error)})]}

    def _done(self, item: Item) -> dict[str, Any]:
        if row := self.records.row(item.name, item.key):  # by one that died before it had done all of its batch
            return {"number": item.number, "row": row, "tries": 1}
        predictor = self._loaded(item)
        tries = self.records.begin(item.name)
        if tries > TRIES:
            row = _failed(item, f"its worker died {TRIES} times over it, mostly for want of memory: give workers more "
                          "(fewer at once, by --cpus), a smaller tile, or crop it")  # fmt: skip
        else:
            row = self._predicted(predictor, item)
        if row["error"] is None:
            self.records.keep(item.name, item.key, row)
        self.records.end(item.name)
        return {"number": item.number, "row": row, "tries": tries}

    def _loaded(self, item: Item) -> Predictor:
        """The model, loaded at the first picture, so that what is wrong with it comes back as its answer."""
        if self._predictor is None:
            from segmodels.prediction.ready import ready_predictor

            loading = f"loading for {item.name}"
            if self.records.begin(loading) > TRIES:
                raise UserError(
                    f"{self.model}: workers died {TRIES} times while they loaded it, mostly for want of memory: start "
                    "fewer at once, by --cpus"
                )
            self._predictor = ready_predictor(self.model, self.engine)
            self.records.end(loading)
        return self._predictor

    def _predicted(self, predictor: Predictor, item: Item) -> dict[str, Any]:
        from segmodels.prediction.picture_row import picture_row
        from segmodels.prediction.sources import Source

        try:
            with item.place.opened() as content:
                row = picture_row(
                    predictor, Source(item.name, item.origin, partial(_same, content)), self.out, self.wanted
                )
        except UserError as error:
            return _failed(item, str(error), named=True)
        if row["error"] and isinstance(content, Path):
            row["error"] = row["error"].replace(str(content), item.origin)
        return {**row, "files": [Path(file).name for file in row["files"]]}


def _same(content: Path | bytes) -> Path | bytes:
    return content


def _failed(item: Item, reason: str, *, named: bool = False) -> dict[str, Any]:
    return {"image": item.origin, "files": [], "error": reason if named else f"{item.origin}: {reason}"}
