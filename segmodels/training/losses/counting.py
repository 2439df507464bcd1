"""What counts in a loss, and how much: pixels that are not ignored, classes that occur, and their weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from segmodels.data.dataset import IGNORE
from segmodels.errors import UserError


def counted_ids(masks: Any, logits: Any) -> tuple[Any, Any]:
    """Class ids int32 `(batch, height, width)` with ignored pixels as class 0, and 1.0 where a pixel counts.

    In a one-hot mask a pixel is ignored where no class is set.

    Raises:
        UserError: the logits are of one class. Its probability is 1 whatever the network says, and every pixel is of it
            or ignored: there is nothing to learn.
    """
    from segmodels.backend import ops

    if logits.shape[-1] == 1:
        raise UserError("a network of one class has nothing to tell apart: give it two, background and object")
    if len(masks.shape) == 4 and masks.shape[-1] != 1:
        return ops.cast(ops.argmax(masks, axis=-1), "int32"), ops.cast(ops.max(masks, axis=-1) > 0, "float32")
    ids = ops.cast(ops.squeeze(masks, -1) if len(masks.shape) == 4 else masks, "int32")
    counted = ids != IGNORE
    return ops.where(counted, ids, 0), ops.cast(counted, "float32")


def softmax(logits: Any) -> Any:
    """Probabilities of the classes, float32."""
    from segmodels.backend import ops

    return ops.softmax(ops.cast(logits, "float32"), axis=-1)


def one_hot(ids: Any, counted: Any, classes: int) -> Any:
    """float32 `(batch, height, width, classes)`: 1 at the class of each pixel that counts, else 0."""
    from segmodels.backend import ops

    return ops.one_hot(ids, classes, dtype="float32") * counted[..., None]


def mean_over_pixels(
    each: Any, ids: Any, counted: Any, logits: Any, class_weights: Sequence[float] | None, more: Any = 0.0
) -> Any:
    """The mean of `each`, float32 `(batch, height, width)`, over the pixels that count.

    A pixel weighs what its true class does (1 without `class_weights`), and `more`, a map of the same shape, on top.
    """
    from segmodels.backend import ops

    weights = 1.0 if class_weights is None else ops.take(weight_of_classes(class_weights, logits.shape[-1]), ids)
    weights = (weights + more) * counted
    return ops.sum(each * weights) / ops.maximum(ops.sum(weights), 1e-7)


def mean_over_classes(each: Any, true_pixels: Any, class_weights: Sequence[float] | None) -> Any:
    """The mean of `each`, float32 `(classes,)`, over the classes that have true pixels, `(classes,)`, in the batch.

    A class that no pixel of the batch has is left out: it says nothing about overlap, and to count it as wholly missed
    would punish one false pixel like a million. Cross-entropy is what punishes it where it is predicted.
    """
    from segmodels.backend import ops

    weights = ops.cast(true_pixels > 0, "float32")
    if class_weights is not None:
        weights = weights * weight_of_classes(class_weights, each.shape[0])
    return ops.sum(each * weights) / ops.maximum(ops.sum(weights), 1e-7)


def weight_of_classes(class_weights: Sequence[float] | None, classes: int) -> Any:
    """float32 `(classes,)`: what each class counts, 1 where nothing is said."""
    from segmodels.backend import ops

    if class_weights is None:
        return ops.ones(classes, "float32")
    if len(class_weights) != classes:
        raise UserError(f"{len(class_weights)} class weights for {classes} classes: give one a class")
    return ops.convert_to_tensor(class_weights, "float32")
