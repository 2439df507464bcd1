"""The Lovász-softmax loss: a convex surrogate of 1 - IoU.

Berman et al. 2018, "The Lovász-Softmax loss", arXiv:1705.08790. The pixels of a class are put in order, the largest
error first. Then each error counts by how much 1 - IoU grows when its pixel joins the wrong ones before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from segmodels.training.losses.counting import counted_ids, mean_over_classes, one_hot, softmax


def lovasz(masks: Any, logits: Any, class_weights: Sequence[float] | None = None) -> Any:
    """The Lovász extension of 1 - IoU, over the whole batch, mean over the classes that are in its masks.

    It sorts every pixel once a class, which is most of its time.
    """
    from segmodels.backend import ops

    ids, counted = counted_ids(masks, logits)
    classes, probabilities = logits.shape[-1], softmax(logits)
    truth = one_hot(ids, counted, classes)
    errors = ops.where(truth > 0, 1 - probabilities, probabilities)
    errors = ops.where(counted[..., None] > 0, errors, -1.0)  # ignored pixels come last, behind all that count

    def rows(values: Any) -> Any:
        return ops.transpose(ops.reshape(values, (-1, classes)))

    errors, truth = rows(errors), rows(truth)
    order = ops.argsort(-ops.stop_gradient(errors), axis=-1)
    errors, truth = ops.take_along_axis(errors, order, axis=-1), ops.take_along_axis(truth, order, axis=-1)
    steps = ops.where(errors >= 0, _steps(truth), 0.0)
    return mean_over_classes(ops.sum(errors * steps, axis=-1), ops.sum(truth, axis=-1), class_weights)


def _steps(truth: Any) -> Any:
    """How much 1 - IoU grows with each pixel that joins the wrong ones.

    A true pixel leaves the intersection: 1 / union. Any other joins the union: intersection / (union (union - 1)).
    Differences of the IoUs themselves, as in the paper's algorithm 1, have no digits left in float32 for a batch of
    some million pixels.

    Args:
        truth: 1.0 where a pixel is of the class, else 0.0, `(classes, pixels)` in the order of the errors.
    """
    from segmodels.backend import ops

    members = ops.cast(truth, "int32")  # a float32 stops to count at 16.8 million
    total = ops.sum(members, axis=-1, keepdims=True)
    intersection = ops.cast(total - ops.cumsum(members, axis=-1), "float32")
    union = ops.cast(total + ops.cumsum(1 - members, axis=-1), "float32")
    of_others = intersection / ops.maximum(union * (union - 1), 1.0)
    return ops.where(truth > 0, 1 / ops.maximum(union, 1.0), of_others)
