"""What an evaluation counted in each picture: enough to score any choice of them without the pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from segmodels.errors import UserError
from segmodels.evaluation.boundary import COUNTS
from segmodels.evaluation.instances import FIGURES
from segmodels.files import explain_disk_errors, replacing

#: Bytes of a file of counts that is read: a hundred thousand pictures of a dozen classes have less.
LARGEST = 500_000_000


class Confused(NamedTuple):
    """A picture and its pixels of one true class that were called another one."""

    id: str
    pixels: int
    share: float  # of the pixels of the true class in the picture


class PictureCounts:
    """Counts of pictures in the order in which they were added.

    Of the confusion matrix of a picture only the cells that are not 0 are kept: with many classes nearly all are.
    """

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.ids: list[str] = []
        self._cells: list[np.ndarray] = []  # of each picture int64 (cells, 2): the cell's number and its pixels
        self._boundary: list[np.ndarray] = []
        self._instances: list[list[float]] = []

    def __len__(self) -> int:
        return len(self.ids)

    def add(
        self, sample_id: str, confusion: np.ndarray, boundary: np.ndarray, instances: dict[str, float] | None
    ) -> None:
        """Take in a picture.

        Args:
            confusion: pixels by true and predicted class, int64 `(classes, classes)`.
            boundary: as `boundary_counts` gives them, int64 `(classes, 7)`.
            instances: the `FIGURES` of its objects; None where the data set numbers none.
        """
        cells = np.flatnonzero(confusion)
        self.ids.append(sample_id)
        self._cells.append(np.stack([cells, confusion.ravel()[cells]], axis=1).astype(np.int64))
        self._boundary.append(boundary)
        if instances is not None:
            self._instances.append([instances[name] for name in FIGURES])

    @property
    def confusion(self) -> np.ndarray:
        """The confusion matrix of each picture: int64 `(pictures, classes, classes)`."""
        dense = np.zeros((len(self), self.classes**2), np.int64)
        for row, cells in zip(dense, self._cells, strict=True):
            row[cells[:, 0]] = cells[:, 1]
        return dense.reshape(-1, self.classes, self.classes)

    @property
    def boundary(self) -> np.ndarray:
        """The counts along the boundaries of each picture: int64 `(pictures, classes, 7)`."""
        return np.array(self._boundary, np.int64).reshape(-1, self.classes, len(COUNTS))

    @property
    def instances(self) -> np.ndarray | None:
        """The `FIGURES` of the objects of each picture, float64 `(pictures, 7)`; None where there are none."""
        return np.array(self._instances, np.float64) if self._instances else None

    def scores(self) -> dict[str, np.ndarray]:
        """Figures of each picture alone, float64 `(pictures,)`: pixel_accuracy, mean_iou and mean_dice over the classes
        in its truth, and those of its objects as `instances: NAME`. NaN where a picture's truth is all ignored."""
        dense = self.confusion
        hits, true, predicted = np.einsum("pcc->pc", dense), dense.sum(axis=2), dense.sum(axis=1)
        present = np.where(true > 0, 1.0, np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            found = {
                "pixel_accuracy": hits.sum(axis=1) / true.sum(axis=1),
                "mean_iou": _mean(present * hits / (true + predicted - hits)),
                "mean_dice": _mean(present * 2 * hits / (true + predicted)),
            }
        if (objects := self.instances) is not None:
            found |= {f"instances: {name}": objects[:, place] for place, name in enumerate(FIGURES)}
        return found

    def confused(self, truth: int, prediction: int, most: int = 24) -> list[Confused]:
        """The pictures with the most pixels of one class that were called another one, worst first.

        On the diagonal, where nothing was confused, the pictures with the most pixels that are right.
        """
        cell, found = truth * self.classes + prediction, []
        for sample_id, cells in zip(self.ids, self._cells, strict=True):
            row = cells[cells[:, 0] // self.classes == truth]
            pixels = int(row[row[:, 0] == cell, 1].sum())
            if pixels:
                found.append(Confused(sample_id, pixels, pixels / int(row[:, 1].sum())))
        return sorted(found, key=lambda each: -each.pixels)[:most]

    def of(self, ids: Sequence[str]) -> PictureCounts:
        """The counts of some of the pictures, in that order; `KeyError` for one that is not among them."""
        place = {sample_id: number for number, sample_id in enumerate(self.ids)}
        chosen, found = [place[sample_id] for sample_id in ids], PictureCounts(self.classes)
        found.ids = list(ids)
        found._cells = [self._cells[number] for number in chosen]
        found._boundary = [self._boundary[number] for number in chosen]
        found._instances = [self._instances[number] for number in chosen] if self._instances else []
        return found

    #: The arrays of a file.
    ARRAYS = ("classes", "ids", "lengths", "cells", "boundary", "instances")

    def save(self, path: Path) -> None:
        """Write an `.npz` file, whole or not at all; `UserError` for a full disk or an unwritable place."""
        lengths = np.array([len(cells) for cells in self._cells], np.int64)
        arrays = {
            "classes": np.array(self.classes),
            "ids": np.array(self.ids, np.str_),
            "lengths": lengths,
            "cells": np.concatenate([*self._cells, np.zeros((0, 2), np.int64)]),
            "boundary": self.boundary,
            "instances": np.array(self._instances, np.float64).reshape(-1, len(FIGURES)),
        }
        with replacing(path) as beside, beside.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path) -> PictureCounts:
        """Read what `save` wrote; `UserError` where it is missing or damaged."""
        damaged = UserError(f"{path} is damaged: evaluate the model again")
        try:
            with explain_disk_errors(path):
                if path.stat().st_size > LARGEST:
                    raise damaged
                with np.load(path, allow_pickle=False) as file:
                    arrays = {
                        name: file[name] for name in ("classes", "ids", "lengths", "cells", "boundary", "instances")
                    }
            found = cls(int(arrays["classes"]))
            found.ids = [str(sample_id) for sample_id in arrays["ids"]]
            pictures, cells = len(found.ids), arrays["cells"]
            if (
                cells.shape != (arrays["lengths"].sum(), 2)
                or len(arrays["lengths"]) != pictures
                or arrays["boundary"].shape != (pictures, found.classes, len(COUNTS))
                or arrays["instances"].shape not in ((0, len(FIGURES)), (pictures, len(FIGURES)))
                or (len(cells) and not 0 <= cells[:, 0].min() <= cells[:, 0].max() < found.classes**2)
            ):
                raise damaged
            found._cells = np.split(cells, np.cumsum(arrays["lengths"])[:-1]) if pictures else []
            found._boundary = list(arrays["boundary"])
            found._instances = arrays["instances"].tolist()
            return found
        except UserError:
            raise
        except Exception:  # numpy and zipfile raise a dozen kinds for bytes that are not theirs
            raise damaged from None


def _mean(values: np.ndarray) -> np.ndarray:
    """Over the classes of each picture, those apart that are NaN; NaN where all are."""
    there = ~np.isnan(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(there, values, 0).sum(axis=1) / there.sum(axis=1)
