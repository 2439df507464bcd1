"""How far the confidence of a model is the share of its pixels that are right: the reliability diagram and the expected
calibration error (Guo et al. 2017, arXiv:1706.04599).

The confidence of a pixel is the probability of its most likely class. Pixels are counted in bins of it, over any number
of pictures or bands of their rows; of the pictures nothing is kept.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from segmodels.data.dataset import IGNORE

#: Bins of equal width from 0 to 1, as in the paper.
BINS = 15

#: Places that each sum of a bin is spread over. Most pixels of a picture are in one bin, as their neighbours are, and
#: each would wait until the last is added. With right and wrong in 15 bins a uint8 has room for eight, and for ignored.
_LANES = 8

#: Pixels that are counted at once: so many stay in a core's cache.
_BLOCK = 32_768


class Calibration:
    """Pixels, right ones and confidence by bin, accumulated over pictures. What is ignored in the truth is in no bin.

    A bin holds its lower end and not its upper; a confidence of exactly 1 is in the last.
    """

    def __init__(self) -> None:
        self.pixels = np.zeros(BINS, np.int64)
        self.right = np.zeros(BINS, np.int64)
        self.confidence = np.zeros(BINS, np.float64)

    def add(self, truth: np.ndarray, prediction: np.ndarray, confidence: np.ndarray) -> None:
        """Count pixels.

        Args:
            truth, prediction: class ids of one shape; where `truth` is `IGNORE` nothing is counted.
            confidence: 0 to 1, of the same shape; what is no number counts as 0.

        Raises:
            ValueError: arrays that differ in shape.
        """
        if not truth.shape == prediction.shape == confidence.shape:
            shapes = f"{truth.shape}, {prediction.shape} and {confidence.shape}"
            raise ValueError(f"truth, prediction and confidence are {shapes}: they must be of one shape")
        truth, prediction, confidence = truth.ravel(), prediction.ravel(), confidence.ravel()
        for start in range(0, len(truth), _BLOCK):
            part = slice(start, start + _BLOCK)
            self._add(truth[part], prediction[part], confidence[part])

    def _add(self, truth: np.ndarray, prediction: np.ndarray, confidence: np.ndarray) -> None:
        # In float64 the product is exact, so that no pixel is on the wrong side of the border of two bins.
        values = np.fmax(confidence, 0).astype(np.float64)
        codes = (values * BINS).astype(np.uint8)
        np.minimum(codes, BINS - 1, out=codes)
        codes *= 2
        codes += truth == prediction
        codes *= _LANES
        codes += np.arange(len(codes)).astype(np.uint8) % _LANES
        np.copyto(codes, 2 * BINS * _LANES, where=truth == IGNORE)
        counts = _summed(cv2.calcHist([codes], [0], None, [256], [0, 256]).ravel()).astype(np.int64)
        self.pixels += counts.sum(axis=1)
        self.right += counts[:, 1]
        self.confidence += _summed(np.bincount(codes, values, 2 * BINS * _LANES)).sum(axis=1)

    def figures(self) -> dict[str, Any]:
        """The expected calibration error and the bins of the reliability diagram.

        Returns:
            ece: the mean over pixels of how far the accuracy of their bin is from its mean confidence, 0 to 1; 0
                before the first pixel.
            bins: a row a bin, from the lowest: low, high, pixels, and their mean confidence and accuracy, None where
                there is no pixel.
        """
        total = int(self.pixels.sum())
        # Shares of pixels times differences of means: the pixels of each bin cancel out.
        ece = float(np.abs(self.right - self.confidence).sum() / total) if total else 0.0
        return {"ece": ece, "bins": [self._row(index) for index in range(BINS)]}

    def _row(self, index: int) -> dict[str, Any]:
        pixels = int(self.pixels[index])
        return {
            "low": index / BINS,
            "high": (index + 1) / BINS,
            "pixels": pixels,
            "confidence": float(self.confidence[index] / pixels) if pixels else None,
            "accuracy": float(self.right[index] / pixels) if pixels else None,
        }


def _summed(counts: np.ndarray) -> np.ndarray:
    """What is wrong and right in each bin, `(bins, 2)`, without what is ignored."""
    return counts[: 2 * BINS * _LANES].reshape(BINS, 2, _LANES).sum(axis=2)
