"""Weights of the classes in a loss, suggested by how often each occurs."""

from __future__ import annotations

import numpy as np

from segmodels.errors import UserError, choose

#: The ways to weight, from the plainest on.
METHODS = ("inverse frequency", "median frequency", "effective number")


def suggested_weights(pixels: np.ndarray, method: str, *, beta: float = 0.999) -> np.ndarray:
    """Weights that make up for classes being rare.

    - "inverse frequency": 1 / the class's share of all pixels.
    - "median frequency" (Eigen and Fergus, ICCV 2015, section 6.3.2): the frequency of a class is its pixels over all
      pixels of the pictures that have it; its weight is the median of the frequencies over its own. A class that is
      large in few pictures is thus not taken for rare.
    - "effective number" (Cui et al., CVPR 2019): (1 - beta) / (1 - beta^n), where n is what the class has seen of
      samples. Pixels of one picture are hardly independent samples, and by millions of them all classes would weigh the
      same; so n is counted in pictures' worth: the pixels of the class over the mean pixels of a picture. For few
      pictures this is the inverse frequency, for very many all weigh the same.

    Args:
        pixels: `(pictures, classes)`, the counted pixels of each class in each picture; rows of zeros do not count.
        method: one of `METHODS`.
        beta: of the effective number, at least 0 and under 1; 0 weights all alike.

    Returns:
        float64 `(classes,)` with mean 1 over the classes that occur; 0 for those that do not, of which there is nothing
        to learn.

    Raises:
        UserError: an unknown method or a beta out of range.
    """
    choose("method", method, METHODS)
    if not 0 <= beta < 1:
        raise UserError(f"beta={beta} of the effective number must be at least 0 and under 1")
    pixels = np.asarray(pixels, np.float64)
    totals = pixels.sum(axis=0)
    weights = np.zeros(len(totals))
    present = totals > 0
    if not present.any():
        return weights
    if method == "inverse frequency":
        raw = totals.sum() / totals[present]
    elif method == "median frequency":
        within = (pixels > 0).T.astype(np.float64) @ pixels.sum(axis=1)
        frequency = totals[present] / within[present]
        raw = np.median(frequency) / frequency
    else:
        pictures = np.count_nonzero(pixels.sum(axis=1))
        worth = totals[present] / (totals.sum() / pictures)
        # 1 - beta^n loses its digits for small n, expm1 does not; beta 0 means n alike for all.
        raw = (1 - beta) / -np.expm1(worth * np.log(beta)) if beta > 0 else np.ones(present.sum())
    weights[present] = raw / raw.mean()
    return weights
