"""Probabilities of classes, and how sure they are."""

from __future__ import annotations

import numpy as np


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities, which sum to 1 over the last axis."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    exponentials /= exponentials.sum(axis=-1, keepdims=True)
    return exponentials


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """Shannon's entropy over the last axis as a share of the most there can be: 0, one class has all, to 1, all have
    the same. Of a single class it is 0."""
    classes = probabilities.shape[-1]
    if classes == 1:
        return np.zeros(probabilities.shape[:-1], probabilities.dtype)
    each = probabilities * np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))
    return np.clip(-each.sum(axis=-1) / np.log(classes), 0, 1).astype(probabilities.dtype)


def margin(probabilities: np.ndarray) -> np.ndarray:
    """How far the highest probability of the last axis is above the second highest: 0 to 1."""
    if probabilities.shape[-1] == 1:
        return probabilities[..., 0]
    highest = np.partition(probabilities, -2, axis=-1)[..., -2:]
    return highest[..., 1] - highest[..., 0]
