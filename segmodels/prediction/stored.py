"""What a model sees in the pictures of a data set, kept on disk: to sort them by how far it is from the truth, and to
look at its masks without loading it again."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segmodels.data.ahead import ahead
from segmodels.data.dataset import IGNORE, ClassLabel, Dataset, Progress, Sample
from segmodels.data.disk import Stop, Stopped
from segmodels.data.images import read_mask
from segmodels.errors import UserError
from segmodels.files import explain_disk_errors, state_of, whole
from segmodels.home import home
from segmodels.hub.checkpoint import SPEC, WEIGHTS
from segmodels.prediction.masks import write_indexed_mask

if TYPE_CHECKING:
    from segmodels.prediction.predictor import Predictor

#: Changes when what is kept is made otherwise.
VERSION = 1


class StoredPredictions:
    """The predictions of one checkpoint that are kept: masks of the pictures' own sizes, and how far they are off.

    They lie in the home's `predictions/`, by the checkpoint's place and the state of its files, each under the state of
    its sample: what was changed since is not found any more.
    """

    def __init__(self, model: Path, dataset: Dataset) -> None:
        """Of a checkpoint directory as it is now; nothing is read yet."""
        model = whole(model)
        place = hashlib.blake2b(os.fsencode(model.absolute()), digest_size=8).hexdigest()
        self.folder = home() / "predictions" / place / state_of([model / WEIGHTS, model / SPEC], VERSION)
        self.dataset = dataset
        self._made = False

    def disagreement(self, samples: Sequence[Sample]) -> dict[str, float]:
        """Of those that are kept, by id: the share of the pixels, ignored ones apart, that are not as in the truth."""
        return self.look(samples)[0]

    def missing(self, samples: Sequence[Sample]) -> list[Sample]:
        """Those that are not kept, without those that were tried and cannot be read."""
        return self.look(samples)[1]

    def look(self, samples: Sequence[Sample]) -> tuple[dict[str, float], list[Sample]]:
        """`disagreement` and `missing` at once: the files of each sample are looked at one time."""
        found = self._index()
        shares: dict[str, float] = {}
        missing: list[Sample] = []
        for sample in samples:
            state = self._state(sample)
            if state is None:
                continue
            if (share := found.get(state)) is not None:
                shares[sample.id] = share
            if not self._done(state, found):
                missing.append(sample)
        return shares, missing

    def mask(self, sample: Sample) -> np.ndarray | None:
        """The predicted class ids, uint8 `(height, width)`; None where none are kept."""
        if not self.written(sample):
            return None
        with suppress(UserError):  # damaged: as good as none
            return read_mask(self._mask(self._state(sample) or ""))
        return None

    def written(self, sample: Sample) -> int:
        """When its mask was written, in nanoseconds; 0 where none is kept."""
        state = self._state(sample)
        try:
            return self._mask(state).stat().st_mtime_ns if state else 0
        except OSError:
            return 0

    def predict(
        self,
        predictor: Predictor,
        samples: Sequence[Sample],
        *,
        progress: Progress | None = None,
        stop: Stop | None = None,
    ) -> None:
        """Predict and keep those that are `missing`; what an earlier state of the same model saw is removed.

        Args:
            predictor: of the same checkpoint.
            samples: of the data set.
            progress: told the pictures done.
            stop: asked before each picture; once it returns True this ends with `Stopped`, and what is done is kept.

        Raises:
            UserError: no space, or a place that cannot be written to.
        """
        missing = self.missing(samples)
        self._make_place()
        with closing(ahead(self._read, missing, threads=2)) as read:
            for done, (sample, pair) in enumerate(zip(missing, read, strict=True), start=len(samples) - len(missing)):
                if progress:
                    progress(done, len(samples), "predicting")
                if stop and stop():
                    raise Stopped("stopped while predicting; what is done is kept")
                if pair is None:
                    self._note(sample, None)  # so that it is not tried again
                else:
                    image, truth = pair
                    self.keep(sample, truth, predictor(image, name=sample.id).mask, predictor.labels)
        if progress:
            progress(len(samples), len(samples), "predicting")

    def keep(self, sample: Sample, truth: np.ndarray, mask: np.ndarray, labels: Sequence[ClassLabel]) -> None:
        """Keep what the model sees in a sample.

        Args:
            truth, mask: class ids, uint8, of the picture's own size.
            labels: the classes.

        Raises:
            UserError: no space, or a place that cannot be written to.
        """
        if state := self._state(sample):
            self._make_place()
            with explain_disk_errors(self.folder):
                write_indexed_mask(self._mask(state), mask, labels)
            self._note(sample, disagreement(truth, mask))

    def _make_place(self) -> None:
        """Make the folder, once, and remove what an earlier state of the model saw."""
        if self._made:
            return
        with explain_disk_errors(self.folder):
            (self.folder / "masks").mkdir(parents=True, exist_ok=True)
        for earlier in self.folder.parent.iterdir():
            if earlier != self.folder:
                shutil.rmtree(earlier, ignore_errors=True)
        self._made = True

    def _note(self, sample: Sample, share: float | None) -> None:
        """Write how far a prediction is off; None for what cannot be read."""
        if state := self._state(sample):
            row = {"id": sample.id, "state": state, "disagreement": share}
            with explain_disk_errors(self.folder), (self.folder / "index.jsonl").open("a", encoding="utf-8") as index:
                index.write("\n" + json.dumps(row))  # first: the line before may have been cut off

    def _index(self) -> dict[str, float | None]:
        """By the state of a sample: how far its prediction is off, None where it could not be read."""
        found: dict[str, float | None] = {}
        with suppress(OSError):
            for line in (self.folder / "index.jsonl").read_text(encoding="utf-8", errors="replace").splitlines():
                with suppress(ValueError, KeyError, TypeError):  # a line that was cut off: it is predicted anew
                    row = json.loads(line)
                    found[str(row["state"])] = None if row["disagreement"] is None else float(row["disagreement"])
        return found

    def _done(self, state: str, found: dict[str, float | None]) -> bool:
        return state in found and (found[state] is None or self._mask(state).is_file())

    def _mask(self, state: str) -> Path:
        return self.folder / "masks" / f"{state}.png"

    def _state(self, sample: Sample) -> str | None:
        try:
            return self.dataset.state(sample)
        except UserError:  # its files are gone
            return None

    def _read(self, sample: Sample) -> tuple[np.ndarray, np.ndarray] | None:
        try:
            return self.dataset.read(sample)
        except UserError:
            return None


def disagreement(truth: np.ndarray, predicted: np.ndarray) -> float:
    """The share of the pixels that differ, of those that the truth does not ignore; 0 where it ignores all.

    Args:
        truth, predicted: class ids, uint8 `(height, width)`.
    """
    counted = truth != IGNORE
    different = int(np.count_nonzero((truth != predicted) & counted))
    return different / max(1, int(np.count_nonzero(counted)))
