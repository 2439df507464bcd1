"""Losses that ask every pixel by itself, and take the mean over those that count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from segmodels.training.losses.counting import counted_ids, mean_over_pixels, one_hot


def negative_log_likelihood(ids: Any, logits: Any) -> Any:
    """-log p(true class) of the softmax, float32 `(batch, height, width)`."""
    from segmodels.backend import keras, ops

    return keras.losses.sparse_categorical_crossentropy(ids, ops.cast(logits, "float32"), from_logits=True)


def cross_entropy(
    masks: Any, logits: Any, class_weights: Sequence[float] | None = None, *, label_smoothing: float = 0.0
) -> Any:
    """Mean over the counted pixels of -log p(true class), each weighted by its true class.

    Args:
        label_smoothing: share of the truth, 0 to 0.5, that is spread evenly over all classes (Szegedy et al. 2016,
            arXiv:1512.00567): against networks that are too sure, and masks that are wrong here and there.
    """
    from segmodels.backend import ops

    ids, counted = counted_ids(masks, logits)
    each = negative_log_likelihood(ids, logits)
    if label_smoothing:
        of_any = -ops.mean(ops.log_softmax(ops.cast(logits, "float32"), axis=-1), axis=-1)
        each = (1 - label_smoothing) * each + label_smoothing * of_any
    return mean_over_pixels(each, ids, counted, logits, class_weights)


def binary_cross_entropy(masks: Any, logits: Any, class_weights: Sequence[float] | None = None) -> Any:
    """Each class against the rest: the mean over pixels and classes of the sigmoid's binary cross-entropy.

    A pixel asks as many questions of yes or no as there are classes, and weighs what its true class does. The answer of
    the network stays the class of the largest logit. Two classes ask the same question twice: where the logits are
    -z and z this is the usual binary cross-entropy of one sigmoid, that of z. The softmax of such logits, which is what
    a prediction reports as its confidence, is sigmoid(2z), and so is surer than what was trained.
    """
    from segmodels.backend import ops

    ids, counted = counted_ids(masks, logits)
    logits = ops.cast(logits, "float32")
    # softplus(z) - z t is -t log sigmoid(z) - (1 - t) log(1 - sigmoid(z)), finite for any z.
    each = ops.softplus(logits) - logits * one_hot(ids, counted, logits.shape[-1])
    return mean_over_pixels(ops.mean(each, axis=-1), ids, counted, logits, class_weights)


def focal(masks: Any, logits: Any, class_weights: Sequence[float] | None = None, *, gamma: float = 2.0) -> Any:
    """Cross-entropy of which a pixel counts (1 - p(true class))^gamma: those that are right already count little.

    Lin et al. 2017, Focal Loss for Dense Object Detection, arXiv:1708.02002, for the softmax of many classes; its alpha
    is what `class_weights` are. Like `cross_entropy`, which it is at gamma 0, it divides by the weights of the counted
    pixels, where the paper divides by the number of objects.
    """
    from segmodels.backend import ops

    ids, counted = counted_ids(masks, logits)
    each = negative_log_likelihood(ids, logits)
    # 1 - p by expm1 keeps its digits where p is nearly 1; below gamma 1 the power's slope at 0 is infinite.
    wrong = ops.maximum(-ops.expm1(-each), 1e-7)
    return mean_over_pixels(wrong**gamma * each, ids, counted, logits, class_weights)


def l1(masks: Any, logits: Any, class_weights: Sequence[float] | None = None) -> Any:
    """Mean absolute difference of the drawn mask (softmax) and the true one (one-hot), both drawn from -1 to 1.

    What Pix2Pix (Isola et al. 2017, arXiv:1611.07004) counts 100 beside its adversarial loss. Its slope vanishes where
    the network is sure, right or wrong: alone it learns slowly.
    """
    from segmodels.backend import ops

    ids, counted = counted_ids(masks, logits)
    drawn = ops.softmax(ops.cast(logits, "float32"), axis=-1)
    each = 2 * ops.mean(ops.abs(drawn - one_hot(ids, counted, logits.shape[-1])), axis=-1)
    return mean_over_pixels(each, ids, counted, logits, class_weights)
