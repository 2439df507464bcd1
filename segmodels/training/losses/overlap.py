"""Losses of overlap: for each class, how far the predicted area and the true one are from lying upon each other.

With TP, FP and FN the softmax's sums over the whole batch (true positives: sum of p t; false positives: of p (1 - t);
false negatives: of (1 - p) t), the Tversky index of a class is TP / (TP + alpha FP + beta FN). Dice and Jaccard (IoU)
are two points of it. The mean is over the classes that are in the batch's masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from segmodels.training.losses.counting import counted_ids, mean_over_classes, one_hot, softmax


def dice(masks: Any, logits: Any, class_weights: Sequence[float] | None = None) -> Any:
    """1 - Dice of the softmax, over the whole batch, mean over the classes that are in its masks.

    Milletari et al. 2016, V-Net, arXiv:1606.04797, but with sums of probabilities where they sum squares.
    """
    return tversky(masks, logits, class_weights, alpha=0.5, beta=0.5)


def jaccard(masks: Any, logits: Any, class_weights: Sequence[float] | None = None) -> Any:
    """1 - IoU of the softmax, over the whole batch, mean over the classes that are in its masks.

    Rahman and Wang 2016, Optimizing Intersection-Over-Union in Deep Neural Networks for Image Segmentation, ISVC 2016.
    """
    return tversky(masks, logits, class_weights, alpha=1.0, beta=1.0)


def tversky(
    masks: Any, logits: Any, class_weights: Sequence[float] | None = None, *, alpha: float = 0.3, beta: float = 0.7
) -> Any:
    """1 - Tversky index of the softmax, over the whole batch, mean over the classes that are in its masks.

    Salehi et al. 2017, arXiv:1706.05721.

    Args:
        alpha: what a false positive counts.
        beta: what a false negative counts; the larger beside alpha, the less is missed of small classes.
    """
    return focal_tversky(masks, logits, class_weights, alpha=alpha, beta=beta, gamma=1.0)


def focal_tversky(
    masks: Any,
    logits: Any,
    class_weights: Sequence[float] | None = None,
    *,
    alpha: float = 0.3,
    beta: float = 0.7,
    gamma: float = 4 / 3,
) -> Any:
    """(1 - Tversky index)^(1/gamma), mean over the classes: classes that are nearly right still pull.

    Abraham and Khan 2019, arXiv:1810.07842. alpha and beta are those of `tversky`: of false positives and of false
    negatives (that paper's text calls them the other way round).

    Args:
        gamma: 1 is `tversky`; some libraries call its inverse gamma.
    """
    from segmodels.backend import ops

    ids, counted = counted_ids(masks, logits)
    probabilities = softmax(logits) * counted[..., None]
    truth = one_hot(ids, counted, logits.shape[-1])

    def of_class(values: Any) -> Any:
        return ops.sum(values, axis=(0, 1, 2))

    right = of_class(probabilities * truth)
    wrong = alpha * of_class(probabilities * (1 - truth)) + beta * of_class(truth * (1 - probabilities))
    distance = wrong / ops.maximum(right + wrong, 1e-7)
    if gamma != 1:
        distance = ops.maximum(distance, 1e-12) ** (1 / gamma)  # the slope of the power is infinite at 0
    return mean_over_classes(distance, of_class(truth), class_weights)
