"""Reports of `evaluate` on disk: beside the checkpoint, one a data set, split and size. Loads no Keras."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from segmodels.data.datasets import DATASETS, portable_name
from segmodels.errors import UserError
from segmodels.evaluation.picture_counts import PictureCounts
from segmodels.files import read_json, slug, whole, write_json
from segmodels.home import home
from segmodels.hub.checkpoint import WEIGHTS
from segmodels.training.runs import owner

#: The files of a report's folder.
DOCUMENT, COUNTS = "report.json", "pictures.npz"


@dataclass(frozen=True)
class Report:
    """A report that is kept.

    Attributes:
        folder: where its files are.
        document: what `evaluate` returned.
    """

    folder: Path
    document: dict[str, Any]

    @cached_property
    def counts(self) -> PictureCounts:
        """What was counted in each picture; `UserError` where the file is damaged."""
        counts = PictureCounts.load(self.folder / COUNTS)
        if counts.classes != len(self.document["classes"]) or len(counts) != self.document["images"]:
            raise UserError(f"{self.folder / COUNTS} does not belong to its report: evaluate the model again")
        return counts


def report_folder(model: Path, data: str, root: str | None, split: str, at: Literal["native", "model"] | str) -> Path:
    """Where the report of a checkpoint directory lies: in its run, else in the directory itself, or in the home where
    nothing can be written there."""
    name = f"{slug(portable_name(data).rpartition(':')[2], most=40)}-{split}-{at}"
    if data not in DATASETS or root:  # two folders may have one name
        name += f"-{hashlib.blake2b(f'{data} {root}'.encode('utf-8', 'surrogateescape'), digest_size=4).hexdigest()}"
    folder = owner(model) or model  # a run's checkpoint itself gives way to a better epoch's
    if folder != model and model.name != "best":
        name += f"-epoch-{model.name}"
    if not os.access(folder, os.W_OK):
        place = hashlib.blake2b(os.fsencode(folder.absolute()), digest_size=8).hexdigest()
        return home() / "evaluations" / place / name
    return folder / "evaluations" / name


def save_report(folder: Path, document: dict[str, Any], counts: PictureCounts) -> Report:
    """Write a report; the counts first, so that a document never stands beside older ones for long."""
    counts.save(folder / COUNTS)
    write_json(folder / DOCUMENT, document)
    return Report(folder, document)


def load_report(folder: Path) -> Report:
    """The report in a folder; `UserError` where there is none, or a damaged one."""
    document = read_json(folder / DOCUMENT)
    if not _makes_sense(document):
        raise UserError(f"{folder / DOCUMENT} is no report of this version: evaluate the model again")
    return Report(folder, document)


def kept_report(model: Path, data: str, root: str | None, split: str, at: str) -> Report | None:
    """The report of a checkpoint as it is now; None where there is none, or its weights were written since."""
    folder = report_folder(model, data, root, split, at)
    with suppress(UserError, OSError):
        if (folder / DOCUMENT).stat().st_mtime_ns >= (whole(model) / WEIGHTS).stat().st_mtime_ns:
            return load_report(folder)
    return None


def _makes_sense(document: Any) -> bool:
    """Whether a document has what its readers take for granted."""
    kinds = {
        "model": str, "data": str, "split": str, "at": str, "images": int, "classes": list, "confusion_matrix": list,
        "boundary": dict, "calibration": dict, "pixel_accuracy": float, "mean_iou": float,
    }  # fmt: skip
    if not isinstance(document, dict) or not all(isinstance(document.get(key), kind) for key, kind in kinds.items()):
        return False
    size = len(document["classes"])
    rows = [*document["classes"]]
    matrix = document["confusion_matrix"]
    return (
        all(isinstance(row, dict) and isinstance(row.get("name"), str) for row in rows)
        and len(matrix) == size
        and all(isinstance(row, list) and len(row) == size for row in matrix)
        and all(type(count) is int and count >= 0 for row in matrix for count in row)
    )
