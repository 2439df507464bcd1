"""How well predicted objects are the true ones, from two instance maps: AJI, AJI+, panoptic quality and their kin.

An instance map is int `(height, width)`: 0 for none, any other number for the pixels of one object. Both maps are read
once, into a table of the pairs that share pixels; every figure comes from that table. Numbers mean nothing: whatever
the objects are called, the figures are the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

#: The figures in the order of a report.
FIGURES = ("dice", "aji", "aji_plus", "pq", "dq", "sq", "f1")


@dataclass(frozen=True)
class Overlaps:
    """The true and the predicted objects of a picture, and which of them share pixels.

    Objects are numbered from 0 in the order in which their first pixels are read, so that where two are equally good
    the choice between them does not hang on what the maps call them.

    Attributes:
        true_pixels, predicted_pixels: of each object, int64 `(true,)` and `(predicted,)`.
        true, predicted: the objects of each pair that shares pixels, int64 `(pairs,)`.
        shared: pixels that a pair shares, int64 `(pairs,)`.
    """

    true_pixels: np.ndarray
    predicted_pixels: np.ndarray
    true: np.ndarray
    predicted: np.ndarray
    shared: np.ndarray

    @property
    def union(self) -> np.ndarray:
        """Pixels of one or both objects of each pair: int64 `(pairs,)`."""
        return self.true_pixels[self.true] + self.predicted_pixels[self.predicted] - self.shared

    @property
    def iou(self) -> np.ndarray:
        """Intersection over union of each pair: float64 `(pairs,)`, above 0 to 1."""
        return self.shared / self.union


def overlaps(truth: np.ndarray, prediction: np.ndarray, *, ignore: np.ndarray | None = None) -> Overlaps:
    """Count the pixels of every object and of every pair that overlaps.

    Args:
        truth, prediction: instance maps of one shape.
        ignore: bool `(height, width)`; what is there counts neither as truth nor as prediction, as if cut out.

    Raises:
        ValueError: maps that differ in shape, or whose numbers are not whole, from 0 to 2**31 - 1.
    """
    truth, prediction = _checked(truth), _checked(prediction)
    if truth.shape != prediction.shape:
        raise ValueError(f"the truth is {truth.shape} and the prediction {prediction.shape}: they must be of one shape")
    pairs = truth << 32 | prediction
    counted = pairs > 0
    if ignore is not None:
        counted &= ~np.asarray(ignore, bool)
    pairs, first, pixels = np.unique(pairs[counted], return_index=True, return_counts=True)
    order = np.argsort(first)
    pairs, pixels = pairs[order], pixels[order]
    true, true_pixels = _numbered(pairs >> 32, pixels)
    predicted, predicted_pixels = _numbered(pairs & 0xFFFF_FFFF, pixels)
    both = (true >= 0) & (predicted >= 0)
    return Overlaps(true_pixels, predicted_pixels, true[both], predicted[both], pixels[both])


def aji(table: Overlaps) -> float:
    """Aggregated Jaccard index (Kumar et al. 2017, IEEE TMI 36(7)), 0 to 1.

    Each true object takes the prediction of highest IoU, which others may take too. Intersections are summed and
    divided by the sum of the unions, of the true objects that nothing overlaps, and of the predictions that none took.
    """
    # The best is written last: the one of the highest IoU and, of equals, the one that is read first.
    order = np.lexsort((-np.arange(len(table.true)), table.iou))
    best = np.full(len(table.true_pixels), -1)
    best[table.true[order]] = order
    return _aggregated(table, best[best >= 0])


def aji_plus(table: Overlaps) -> float:
    """AJI+ (Graham et al. 2019, HoVer-Net, arXiv:1812.06499), 0 to 1: AJI with each prediction taken once at most, by
    the one-to-one matching whose IoU add up to the most."""
    return _aggregated(table, _matching(table))


def panoptic(table: Overlaps) -> dict[str, float]:
    """Panoptic quality (Kirillov et al. 2019, arXiv:1801.00868), each 0 to 1.

    Objects match where their IoU is above 0.5, which no object can have with two others. `dq`, detection quality, is
    2 TP / (2 TP + FP + FN), which detection calls `f1`; `sq`, segmentation quality, is the mean IoU of what matches, 0
    where nothing does; `pq` is their product.
    """
    iou = table.iou[table.iou > 0.5]
    objects = len(table.true_pixels) + len(table.predicted_pixels)
    if not objects:
        return dict.fromkeys(("pq", "dq", "sq", "f1"), 1.0)
    dq = 2 * len(iou) / objects
    sq = float(iou.mean()) if len(iou) else 0.0
    return {"pq": dq * sq, "dq": dq, "sq": sq, "f1": dq}


def dice(truth: np.ndarray, prediction: np.ndarray, *, ignore: np.ndarray | None = None) -> float:
    """Dice of what is not 0 in two maps of one shape, whatever object it belongs to: 0 to 1; 1 where both are empty."""
    true, predicted = np.asarray(truth) != 0, np.asarray(prediction) != 0
    if ignore is not None:
        true, predicted = true & ~ignore, predicted & ~ignore
    pixels = int(true.sum()) + int(predicted.sum())
    return 2 * int((true & predicted).sum()) / pixels if pixels else 1.0


def instance_figures(
    truth: np.ndarray, prediction: np.ndarray, *, ignore: np.ndarray | None = None
) -> dict[str, float]:
    """The `FIGURES` of one picture; arguments and errors as `overlaps`.

    A picture without objects in which none is predicted is right: every figure is 1. Where only one of the maps has
    objects every figure is 0.
    """
    table = overlaps(truth, prediction, ignore=ignore)
    figures = {"aji": aji(table), "aji_plus": aji_plus(table), **panoptic(table)}
    return {"dice": dice(truth, prediction, ignore=ignore), **figures}


class MeanFigures:
    """The mean of each figure over pictures, of which none is kept."""

    def __init__(self) -> None:
        self.pictures = 0
        self._sums = dict.fromkeys(FIGURES, 0.0)

    def add(self, figures: dict[str, float]) -> None:
        """Take in the `FIGURES` of one more picture; every picture counts alike, however many objects it has."""
        self.pictures += 1
        for name in FIGURES:
            self._sums[name] += figures[name]

    def figures(self) -> dict[str, float] | None:
        """The means, in the order of `FIGURES`; None before the first picture."""
        return {name: total / self.pictures for name, total in self._sums.items()} if self.pictures else None


def _checked(numbers: np.ndarray) -> np.ndarray:
    numbers = np.asarray(numbers)
    if numbers.dtype.kind not in "iu" or (numbers.size and not 0 <= numbers.min() <= numbers.max() < 2**31):
        raise ValueError("an instance map holds whole numbers from 0 to 2**31 - 1")
    return numbers.astype(np.int64)


def _numbered(names: np.ndarray, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Objects by number in the order in which they come, -1 for none, and the pixels of each."""
    _, first, places = np.unique(names, return_index=True, return_inverse=True)
    numbers = np.argsort(np.argsort(first))[places]
    sums = np.bincount(numbers, pixels, minlength=len(first)).astype(np.int64)
    if not (none := names == 0).any():
        return numbers, sums
    zero = numbers[none][0]
    return np.where(none, -1, numbers - (numbers > zero)), np.delete(sums, zero)


def _aggregated(table: Overlaps, pairs: np.ndarray) -> float:
    """The intersections of some pairs over their unions and all objects in none of them; 1 where there is no object."""
    alone = np.delete(table.true_pixels, table.true[pairs]).sum()
    alone += np.delete(table.predicted_pixels, table.predicted[pairs]).sum()
    whole = int(table.union[pairs].sum() + alone)
    return int(table.shared[pairs].sum()) / whole if whole else 1.0


def _matching(table: Overlaps) -> np.ndarray:
    """The pairs, by number, of the one-to-one matching of the highest sum of IoU.

    Every true object may also be matched with nothing, which costs as much as an IoU of 0: so all of them are, and the
    costs are as few as the pairs, where a matrix of all objects with all would grow with the square of their number.
    """
    true, predicted = len(table.true_pixels), len(table.predicted_pixels)
    if not len(table.true):
        return table.true
    costs = np.concatenate([2 - table.iou, np.full(true, 2.0)])
    rows = np.concatenate([table.true, np.arange(true)])
    columns = np.concatenate([table.predicted, predicted + np.arange(true)])
    matched = np.empty(true, np.int64)
    rows, columns = min_weight_full_bipartite_matching(csr_array((costs, (rows, columns)), (true, predicted + true)))
    matched[rows] = columns
    return np.flatnonzero(matched[table.true] == table.predicted)
