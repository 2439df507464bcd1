"""What a network learns from teachers beside the masks: to answer as they do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from segmodels.training.losses.counting import counted_ids, weight_of_classes


def distillation(taught: Any, masks: Any, logits: Any, class_weights: Sequence[float] | None = None) -> Any:
    """How far the answer is from that of the teachers: the mean over the counted pixels of the Kullback-Leibler
    divergence from their probabilities to the softmax of the logits; one float32 number, 0 where both are the same.

    Hinton et al. 2015, arXiv:1503.02531, at a temperature of 1, for every pixel by itself as in Liu et al. 2019,
    arXiv:1903.04197, section 3.1.

    Args:
        taught: probabilities of the teachers, float32 `(batch, height, width, classes)`.
        masks: class ids `(batch, height, width)`; only which pixels are ignored counts here.
        logits: `(batch, height, width, classes)`.
        class_weights: what each class counts. A pixel that the teachers leave open counts as its classes do in the
            mean, and each of them as in a cross-entropy of so many pixels of that class: where the teachers are sure,
            that is the weighted cross-entropy.
    """
    from segmodels.backend import ops

    _, counted = counted_ids(masks, logits)
    weighted = taught * weight_of_classes(class_weights, logits.shape[-1])
    weight = ops.sum(weighted, axis=-1)
    wanted = weighted / ops.maximum(weight, 1e-7)[..., None]
    theirs = ops.log(ops.maximum(wanted, 1e-7))
    each = ops.sum(wanted * (theirs - ops.log_softmax(ops.cast(logits, "float32"), axis=-1)), axis=-1)
    return ops.sum(each * weight * counted) / ops.maximum(ops.sum(weight * counted), 1e-7)
