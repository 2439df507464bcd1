"""What a model sees in the pictures of a data set, kept on disk: to sort them by how far it is from the truth, and to
look at its masks without loading it again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segmodels.data.ahead import ahead
from segmodels.data.dataset import IGNORE, Dataset, Progress, Sample
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

    They lie in the home's `predictions/`, by the state of the checkpoint's files, each under the state of its sample:
    what was changed since is not found any more.
    """

    def __init__(self, model: Path, dataset: Dataset) -> None:
        """Of a checkpoint directory; nothing is read yet."""
        model = whole(model)
        self.folder = home() / "predictions" / state_of([model / WEIGHTS, model / SPEC], VERSION)
        self.dataset = dataset

    def disagreement(self, samples: Sequence[Sample]) -> dict[str, float]:
        """Of those that are kept, by id: the share of the pixels, ignored ones apart, that are not as in the truth."""
        found: dict[str, float] = {}
        with suppress(OSError):
            for line in (self.folder / "index.jsonl").read_text(encoding="utf-8").splitlines():
                with suppress(ValueError, KeyError, TypeError):  # a line that was cut off: it is predicted anew
                    row = json.loads(line)
                    found[str(row["state"])] = float(row["disagreement"])
        states = {sample.id: self._state(sample) for sample in samples}
        return {sample_id: found[state] for sample_id, state in states.items() if state in found}

    def mask(self, sample: Sample) -> np.ndarray | None:
        """The predicted class ids, uint8 `(height, width)`; None where none are kept."""
        state = self._state(sample)
        if state is None or not (path := self._mask(state)).is_file():
            return None
        with suppress(UserError):  # damaged: as good as none
            return read_mask(path)
        return None

    def predict(
        self,
        predictor: Predictor,
        samples: Sequence[Sample],
        *,
        progress: Progress | None = None,
        stop: Stop | None = None,
    ) -> None:
        """Predict and keep those that are not kept yet; samples that cannot be read are passed over.

        Args:
            predictor: of the same checkpoint.
            samples: of the data set.
            progress: told the pictures done.
            stop: asked before each picture; once it returns True this ends with `Stopped`, and what is done is kept.

        Raises:
            UserError: no space, or a place that cannot be written to.
        """
        kept = self.disagreement(samples)
        missing = [sample for sample in samples if sample.id not in kept]
        (self.folder / "masks").mkdir(parents=True, exist_ok=True)
        with closing(ahead(self._read, missing, threads=2)) as read:
            for done, (sample, pair) in enumerate(zip(missing, read, strict=True), start=len(samples) - len(missing)):
                if progress:
                    progress(done, len(samples), "predicting")
                if stop and stop():
                    raise Stopped("stopped while predicting; what is done is kept")
                state = self._state(sample)
                if pair is None or state is None:
                    continue
                image, truth = pair
                mask = predictor(image, name=sample.id).mask
                row = {"id": sample.id, "state": state, "disagreement": disagreement(truth, mask)}
                with explain_disk_errors(self.folder):
                    write_indexed_mask(self._mask(state), mask, predictor.labels)
                    with (self.folder / "index.jsonl").open("a", encoding="utf-8") as index:
                        index.write("\n" + json.dumps(row))  # first: the line before may have been cut off
        if progress:
            progress(len(samples), len(samples), "predicting")

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
