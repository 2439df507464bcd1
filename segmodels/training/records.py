"""What a run writes while it goes: rows of figures, sample predictions, the best checkpoint."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segmodels.data.prepare import Prepared
from segmodels.data.spread import spread
from segmodels.evaluation.confusion import ConfusionMatrix
from segmodels.files import explain_disk_errors, replacing, whole, write_json
from segmodels.hub.card import write_card
from segmodels.hub.checkpoint import Spec, write_checkpoint
from segmodels.hub.lineage import trainings_before
from segmodels.prediction.masks import side_by_side, write_image, write_indexed_mask
from segmodels.recipe import Recipe
from segmodels.training.rows import Row, read_rows
from segmodels.training.runs import Run

if TYPE_CHECKING:
    from segmodels.backend import keras

#: Pictures predicted after each epoch.
SAMPLES = 4
#: The file of the confusion matrix of each validation: a row an epoch, a column `truth-prediction` a pair of classes.
CONFUSION = "confusion.csv"


def append_row(path: Path, row: dict[str, Any]) -> None:
    """Add a line to a CSV file in one write; the first line of a new file names the columns."""
    new = not path.exists()
    with explain_disk_errors(path), path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow({key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()})


def append_confusion(run: Run, epoch: int, confusion: ConfusionMatrix) -> None:
    """Add the counts of an epoch's validation to `confusion.csv`."""
    pairs = np.ndenumerate(confusion.counts)
    append_row(run.path / CONFUSION, {"epoch": epoch, **{f"{true}-{said}": int(n) for (true, said), n in pairs}})


def keep_rows(run: Run, epoch: int, step: int) -> list[str]:
    """Keep the rows of the first `epoch` epochs and `step` steps of the next; a resumed run writes the others again.

    A `metrics.csv` that was damaged is taken from the best checkpoint, as far as that goes. Returns what to say of it.
    """
    rows = _rows_up_to(run.path / "metrics.csv", epoch)
    notes = []
    if len(rows) < epoch:
        kept = _rows_up_to(whole(run.best) / "history.csv", epoch)
        if len(kept) > len(rows):
            rows = kept
        notes = [f"metrics.csv was damaged: {len(rows)} of {epoch} epochs could be kept"]
    _replace_rows(run.path / "metrics.csv", rows)
    _replace_rows(run.path / "steps.csv", _rows_up_to(run.path / "steps.csv", epoch, step))
    _replace_rows(run.path / CONFUSION, _rows_up_to(run.path / CONFUSION, epoch, needed=()))
    return notes


def _rows_up_to(path: Path, epoch: int, step: int = 0, needed: Sequence[str] = ("loss", "seconds")) -> list[Row]:
    """The rows that happened before a position, without damaged ones."""

    def happened(row: dict[str, Any]) -> bool:
        place = row.get("epoch"), row.get("step", step + 1)
        if not all(isinstance(value, int) for value in place) or None in [row.get(name) for name in needed]:
            return False
        return row["epoch"] <= epoch or (row["epoch"] == epoch + 1 and row.get("step", step + 1) <= step)

    rows = [row for row in read_rows(path) if happened(row)]
    return [row for row in rows if row.keys() == rows[0].keys()]


def _replace_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    if not rows:
        path.unlink(missing_ok=True)
        return
    with replacing(path) as part:
        for row in rows:
            append_row(part, row)


class Samples:
    """The same few validation pictures after each epoch, spread over the split.

    `samples/index.json` names them; `N-image.png`, `N-truth.png` and `N-epoch-0001.png` are what they show.
    """

    def __init__(self, run: Run, data: Prepared) -> None:
        self.folder, self.data = run.path / "samples", data
        self.labels = data.dataset.classes
        self.indices = spread(len(data), SAMPLES)
        self.folder.mkdir(exist_ok=True)
        for number, index in enumerate(self.indices):
            image, mask = data[index]
            write_image(self.folder / f"{number}-image.png", image)
            write_indexed_mask(self.folder / f"{number}-truth.png", mask, self.labels)
        classes = [{"name": label.name, "colour": label.colour} for label in self.labels]
        ids = [data.ids[index] for index in self.indices]
        write_json(self.folder / "index.json", {"ids": ids, "classes": classes})

    def write(self, epoch: int, predictions: dict[int, np.ndarray]) -> None:
        """Keep the predicted class ids, uint8 `(size, size)`, of the sampled indices."""
        for number, index in enumerate(self.indices):
            write_indexed_mask(self.folder / f"{number}-epoch-{epoch:04d}.png", predictions[index], self.labels)

    def previews(self, predictions: dict[int, np.ndarray]) -> list[np.ndarray]:
        """Picture, truth and prediction side by side, uint8 `(size, 3 * size, 3)`, of each sample."""
        return [side_by_side(*self.data[index], predictions[index], self.labels) for index in self.indices]


def save_best(
    run: Run, model: keras.Model, spec: Spec, metrics: dict[str, Any], previews: Sequence[np.ndarray]
) -> None:
    """Put a whole checkpoint directory in the place of the one before."""
    with replacing(run.best) as part:
        (part / "previews").mkdir(parents=True)
        write_checkpoint(part, model, spec)
        write_json(part / "metrics.json", metrics)
        for number, picture in enumerate(previews):
            write_image(part / "previews" / f"{number}.png", picture)
        write_card(part, spec, metrics, before=trainings_before(run.best))
    copy_history(run)


def snapshot_epochs(recipe: Recipe) -> set[int]:
    """The epochs whose weights are kept, evenly over the training; the last is one of them."""
    return {round(recipe.epochs * part / recipe.snapshots) or 1 for part in range(1, recipe.snapshots + 1)}


def save_snapshot(run: Run, model: keras.Model, spec: Spec, epoch: int, confusion: ConfusionMatrix) -> None:
    """Keep the weights of an epoch as a checkpoint directory of their own."""
    with replacing(run.snapshot(epoch)) as part:
        part.mkdir(parents=True)
        write_checkpoint(part, model, spec)
        by_class = confusion.by_class([label.name for label in spec.labels])
        write_json(part / "metrics.json", {"epoch": epoch, "validation": confusion.figures(), "classes": by_class})


def copy_history(run: Run) -> None:
    """Keep `history.csv` of the best checkpoint at what the run has gone through."""
    if run.best.is_dir() and (run.path / "metrics.csv").is_file():
        with replacing(run.best / "history.csv") as part:
            shutil.copyfile(run.path / "metrics.csv", part)
