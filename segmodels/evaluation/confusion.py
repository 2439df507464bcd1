"""The confusion matrix, and every pixel figure that comes from it. Pure NumPy, exact integers."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from segmodels.data.dataset import IGNORE

#: Pixels that are counted at once: more of them OpenCV spreads over threads, which takes longer than to count them.
_BLOCK = 32_768


class ConfusionMatrix:
    """Counts of pixels by true class (row) and predicted class (column), accumulated over any number of pictures.

    A mean of each batch's IoU is not the IoU: everything here is computed once, from the sum. `counts` is int64
    `(classes, classes)`.
    """

    def __init__(self, classes: int, counts: np.ndarray | None = None) -> None:
        self.classes = classes
        self.counts = np.zeros((classes, classes), np.int64) if counts is None else np.asarray(counts, np.int64).copy()

    def add(self, truth: np.ndarray, prediction: np.ndarray) -> None:
        """Count pixels: two arrays of class ids of one shape; where `truth` is `IGNORE` nothing is counted."""
        truth, prediction = np.asarray(truth).ravel(), np.asarray(prediction).ravel()
        if self.classes**2 <= IGNORE and truth.dtype == prediction.dtype == np.uint8:
            for start in range(0, len(truth), _BLOCK):
                self._add_few(truth[start : start + _BLOCK], prediction[start : start + _BLOCK])
            return
        pairs = truth.astype(np.int32) * self.classes + prediction
        if (ignored := truth == IGNORE).any():
            pairs = pairs[~ignored]
        self.counts += np.bincount(pairs, minlength=self.classes**2).reshape(self.classes, self.classes)

    def _add_few(self, truth: np.ndarray, prediction: np.ndarray) -> None:
        """As `add`, eight times as fast: where all pairs of classes fit into a uint8 beside one that is ignored."""
        first = np.full(256, IGNORE, np.uint8)
        first[: self.classes] = np.arange(self.classes) * self.classes
        # As one row, since OpenCV takes a few numbers for a colour. A sum stays at 255: what is ignored is ignored.
        pairs = cv2.add(cv2.LUT(truth[None], first), prediction[None])
        counts = cv2.calcHist([pairs], [0], None, [256], [0, 256]).ravel()[: self.classes**2]
        self.counts += counts.astype(np.int64).reshape(self.classes, self.classes)

    @property
    def present(self) -> np.ndarray:
        """Which classes are in the truth: bool `(classes,)`."""
        return self.counts.sum(axis=1) > 0

    def iou(self) -> np.ndarray:
        """Intersection over union a class, `(classes,)`; NaN where a class is in neither truth nor prediction."""
        hits, true, predicted = self._parts()
        return _ratio(hits, true + predicted - hits)

    def dice(self) -> np.ndarray:
        """Dice a class, `(classes,)`: 2 TP / (2 TP + FP + FN)."""
        hits, true, predicted = self._parts()
        return _ratio(2 * hits, true + predicted)

    def precision(self) -> np.ndarray:
        """Share of a class's predicted pixels that are right, `(classes,)`; 0 where a true class is never predicted."""
        hits, true, predicted = self._parts()
        return np.where((predicted == 0) & (true > 0), 0.0, _ratio(hits, predicted))

    def recall(self) -> np.ndarray:
        """Share of the pixels of a class that are found, `(classes,)`."""
        hits, true, _ = self._parts()
        return _ratio(hits, true)

    def mean_squared_error(self) -> float:
        """Of the masks drawn as one channel a class, 0 or 1: each wrong pixel is wrong in two of them."""
        total = self.counts.sum()
        return float(2 * (total - np.trace(self.counts)) / (total * self.classes)) if total else float("nan")

    def figures(self) -> dict[str, float]:
        """The figures of the whole. Means are over the classes in the truth; `f1` is of macro precision and recall."""
        total = self.counts.sum()
        precision, recall = self._mean(self.precision()), self._mean(self.recall())
        return {
            "pixel_accuracy": float(np.trace(self.counts) / total) if total else 0.0,
            "mean_iou": self._mean(self.iou()),
            "mean_dice": self._mean(self.dice()),
            "precision": precision,
            "recall": recall,
            "f1": 2 * precision * recall / (precision + recall) if precision + recall else 0.0,
        }

    def by_class(self, names: list[str]) -> list[dict[str, Any]]:
        """A row a class: name, iou, dice, precision, recall (None where undefined) and its pixels in the truth."""
        columns = {"iou": self.iou(), "dice": self.dice(), "precision": self.precision(), "recall": self.recall()}
        pixels = self.counts.sum(axis=1)
        return [
            {
                "name": name,
                **{key: None if np.isnan(values[i]) else float(values[i]) for key, values in columns.items()},
                "pixels": int(pixels[i]),
            }
            for i, name in enumerate(names)
        ]

    def _mean(self, values: np.ndarray) -> float:
        return float(values[self.present].mean()) if self.present.any() else 0.0

    def _parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return np.diag(self.counts), self.counts.sum(axis=1), self.counts.sum(axis=0)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
