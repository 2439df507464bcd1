"""What an evaluation counted in each picture: enough to score any choice of them without the pictures."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.lib import format as npy

from segmodels.data.dataset import IGNORE
from segmodels.errors import UserError
from segmodels.evaluation.boundary import COUNTS
from segmodels.evaluation.instances import FIGURES
from segmodels.files import explain_disk_errors, replacing

#: Bytes of a file of counts that is read, unpacked: a hundred thousand pictures of a hundred classes have less.
LARGEST = 1_000_000_000

#: The arrays of a file, each with the kinds of its dtype.
ARRAYS = {"classes": "iu", "ids": "U", "lengths": "iu", "cells": "iu", "boundary": "iu", "instances": "f"}


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
    def total(self) -> np.ndarray:
        """The confusion matrix of all pictures together: int64 `(classes, classes)`."""
        _, cells, pixels = self._all()
        found = np.zeros(self.classes**2, np.int64)
        np.add.at(found, cells, pixels)
        return found.reshape(self.classes, self.classes)

    @property
    def sums(self) -> np.ndarray:
        """The pixels of each class in each picture: int64 `(pictures, classes, 3)`, those that are right, those in the
        truth and those in the prediction. Far less than `confusion` where there are many classes."""
        picture, cells, pixels = self._all()
        truth, prediction = picture * self.classes + np.divmod(cells, self.classes)
        right = truth == prediction
        found = np.zeros((3, len(self) * self.classes), np.int64)
        np.add.at(found[0], truth[right], pixels[right])
        np.add.at(found[1], truth, pixels)
        np.add.at(found[2], prediction, pixels)
        return found.T.reshape(len(self), self.classes, 3)

    def _all(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The cells of all pictures: the number of the picture, that of the cell, and its pixels."""
        picture = np.repeat(np.arange(len(self)), [len(cells) for cells in self._cells])
        return picture, *np.concatenate([*self._cells, np.zeros((0, 2), np.int64)]).T

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
        hits, true, predicted = np.moveaxis(self.sums, -1, 0)
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
            with explain_disk_errors(path), path.open("rb") as file:
                if path.stat().st_size > LARGEST:
                    raise damaged
                with zipfile.ZipFile(file) as archive:
                    _check_headers(archive)
                    arrays = {name: _array(archive, name) for name in ARRAYS}
            return cls._of(arrays)
        except UserError:
            raise
        except Exception:  # numpy and zipfile raise a dozen kinds for bytes that are not theirs
            raise damaged from None

    @classmethod
    def _of(cls, arrays: dict[str, np.ndarray]) -> PictureCounts:
        """What the arrays of a file hold; `ValueError` where their numbers do not belong together."""
        lengths, cells, boundary = (_counts(arrays[name]) for name in ("lengths", "cells", "boundary"))
        found = cls(int(arrays["classes"]))
        found.ids = arrays["ids"].tolist()
        found._boundary = list(boundary)
        found._instances = arrays["instances"].tolist()
        if found.classes != boundary.shape[1] or lengths.sum() != len(cells) or len(set(found.ids)) < len(found.ids):
            raise ValueError("these counts are not of one another")
        # As `add` finds the cells: in order, none twice, and none without pixels.
        places = np.repeat(np.arange(len(found)), lengths) * found.classes**2 + cells[:, 0]
        if (cells[:, 0] >= found.classes**2).any() or (np.diff(places) <= 0).any() or (cells[:, 1] == 0).any():
            raise ValueError("these are no cells of matrices")
        if not np.isfinite(arrays["instances"]).all():
            raise ValueError("these are no figures")
        found._cells = np.split(cells, np.cumsum(lengths)[:-1]) if len(found) else []
        return found


def _check_headers(archive: zipfile.ZipFile) -> None:
    """`ValueError` where the headers of the arrays are not those of counts; nothing else of them is unpacked."""
    shapes: dict[str, tuple[int, ...]] = {}
    size = 0
    for name, kinds in ARRAYS.items():
        with archive.open(f"{name}.npy") as array:
            if npy.read_magic(array) != (1, 0):  # a later one's header may have gigabytes
                raise ValueError("this is no array that was saved here")
            shapes[name], _, dtype = npy.read_array_header_1_0(array)
        if dtype.kind not in kinds or min(shapes[name], default=0) < 0:
            raise ValueError(f"these are no {name}")
        size += math.prod(shapes[name]) * dtype.itemsize
    pictures, classes, _ = shapes["boundary"]
    expected = {
        "classes": (),
        "ids": (pictures,),
        "lengths": (pictures,),
        "cells": (min(shapes["cells"][0], pictures * classes**2), 2),
        "boundary": (pictures, classes, len(COUNTS)),
        "instances": (pictures if shapes["instances"][0] else 0, len(FIGURES)),
    }
    if size > LARGEST or not 1 <= classes <= IGNORE or shapes != expected:
        raise ValueError("these arrays are not of one another")


def _array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(f"{name}.npy") as array:
        return np.asarray(npy.read_array(array, allow_pickle=False))


def _counts(values: np.ndarray) -> np.ndarray:
    """Values of a file as int64; `ValueError` where one is negative, or they are more than can be added up exactly."""
    if values.size and (values.min() < 0 or values.sum(dtype=np.float64) >= 2**53):
        raise ValueError("these are no counts")
    return values.astype(np.int64)


def _mean(values: np.ndarray) -> np.ndarray:
    """Over the classes of each picture, those apart that are NaN; NaN where all are."""
    there = ~np.isnan(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(there, values, 0).sum(axis=1) / there.sum(axis=1)
