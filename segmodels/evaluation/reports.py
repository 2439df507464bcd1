"""Reports of `evaluate` on disk: beside the checkpoint, one a data set, split and size. Loads no Keras."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from segmodels.data.datasets import DATASETS, portable_name
from segmodels.errors import UserError
from segmodels.evaluation.instances import FIGURES as INSTANCE_FIGURES
from segmodels.evaluation.picture_counts import PictureCounts
from segmodels.files import read_json, slug, whole, write_json
from segmodels.home import home
from segmodels.hub.checkpoint import WEIGHTS, read_spec
from segmodels.report.text import number
from segmodels.training.runs import owner

#: The files of a report's folder.
DOCUMENT, COUNTS = "report.json", "pictures.npz"

#: Figures of a document that may be None, and those of a class.
FIGURES = ("mean_dice", "precision", "recall", "f1", "images_per_second")
CLASS_FIGURES = ("iou", "dice", "precision", "recall", "boundary_iou", "boundary_f1")


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
        """What was counted in each picture; `UserError` where the file is damaged, or of another evaluation."""
        counts = PictureCounts.load(self.folder / COUNTS)
        if len(counts) != self.document["images"] or counts.total.tolist() != self.document["confusion_matrix"]:
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
    """The report of a checkpoint as it is now; None where there is none, its weights were written since, or it saw
    pictures in other views or tiles than its own."""
    folder = report_folder(model, data, root, split, at)
    with suppress(UserError, OSError):
        if (folder / DOCUMENT).stat().st_mtime_ns >= (whole(model) / WEIGHTS).stat().st_mtime_ns:
            report, seen = load_report(folder), read_spec(model).input
            if report.document.get("tiled") is None and report.document.get("tta") == seen.tta:
                return report
    return None


def _makes_sense(document: Any) -> bool:
    """Whether a document has what its readers take for granted."""
    kinds = {
        "model": str, "data": str, "split": str, "at": str, "classes": list, "confusion_matrix": list,
        "boundary": dict, "calibration": dict, "root": str | None, "instances": dict | None,
    }  # fmt: skip
    if not isinstance(document, dict) or not all(isinstance(document.get(key), kind) for key, kind in kinds.items()):
        return False
    rows, matrix, boundary = document["classes"], document["confusion_matrix"], document["boundary"]
    bins, instances = document["calibration"].get("bins", []), document.get("instances") or {}
    return (
        _is_count(document.get("images"))
        and all(number(document.get(name)) is not None for name in ("pixel_accuracy", "mean_iou"))
        and _has_figures(document, FIGURES)
        # Not finite after a training that came to nothing, and where all pixels are ignored.
        and all(isinstance(value, float) or _is_figure(value) for value in map(document.get, ("loss", "mse")))
        and _has_figures(instances, INSTANCE_FIGURES)
        and _has_figures(boundary, ("iou", "f1"))
        and all(value is None or _is_count(value) for value in (boundary.get("width"), document.get("skipped")))
        and len(rows) > 0
        and _are_rows(rows)
        and all(isinstance(row.get("name"), str) and _has_figures(row, CLASS_FIGURES) for row in rows)
        and all(_is_count(row.get("pixels", 0)) for row in rows)
        and _is_matrix(matrix, len(rows))
        and _has_figures(document["calibration"], ("ece",))
        and _are_rows(bins)
        and all(number(row.get(end)) is not None for row in bins for end in ("low", "high"))
        and all(_is_count(row.get("pixels")) and _has_figures(row, ("confidence", "accuracy")) for row in bins)
    )


def _is_matrix(matrix: list[Any], size: int) -> bool:
    """Whether it is `size` rows of so many counts, which a float can add up exactly."""
    return (
        len(matrix) == size
        and all(isinstance(row, list) and len(row) == size for row in matrix)
        and all(_is_count(value) for row in matrix for value in row)
        and _is_count(sum(map(sum, matrix)))
    )


def _are_rows(rows: Any) -> bool:
    return isinstance(rows, list) and all(isinstance(row, dict) for row in rows)


def _has_figures(row: dict[str, Any], names: Iterable[str]) -> bool:
    return all(_is_figure(row.get(name)) for name in names)


def _is_figure(value: Any) -> bool:
    return value is None or number(value) is not None


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**53
