"""Losses on logits, alone or as a weighted sum; the ignore label counts in none.

Each takes `masks`, class ids `(batch, height, width)` (`IGNORE` where nothing counts) or one-hot
`(batch, height, width, classes)`; `logits`, `(batch, height, width, classes)`; and `class_weights`, `(classes,)`.
Sums run in float32 whatever the network computes in. Keras is loaded when a loss is called, not before.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from segmodels.data.dataset import IGNORE
from segmodels.errors import UserError, choose

Loss = Callable[[Any, Any], Any]


def cross_entropy(masks: Any, logits: Any, class_weights: Any = None) -> Any:
    """Mean over the counted pixels of -log p(true class), each weighted by its class."""
    from segmodels.backend import keras, ops

    ids, counted = _sparse(masks)
    logits = ops.cast(logits, "float32")
    each = keras.losses.sparse_categorical_crossentropy(ids, logits, from_logits=True)
    weights = counted
    if class_weights is not None:
        weights = counted * ops.take(ops.convert_to_tensor(class_weights, "float32"), ids)
    return ops.sum(each * weights) / ops.maximum(ops.sum(weights), 1e-7)


def dice(masks: Any, logits: Any, class_weights: Any = None) -> Any:
    """1 - Dice of the softmax, over the whole batch, mean over the classes that are in its masks.

    Milletari et al. 2016, V-Net, arXiv:1606.04797. A class that no pixel of the batch has says nothing about overlap
    and is left out; cross-entropy is what punishes it where it is predicted.
    """
    from segmodels.backend import ops

    ids, counted = _sparse(masks)
    probabilities = ops.softmax(ops.cast(logits, "float32"), axis=-1) * counted[..., None]
    truth = ops.one_hot(ids, logits.shape[-1], dtype="float32") * counted[..., None]
    overlap = ops.sum(probabilities * truth, axis=(0, 1, 2))
    true_pixels = ops.sum(truth, axis=(0, 1, 2))
    score = 2 * overlap / ops.maximum(ops.sum(probabilities, axis=(0, 1, 2)) + true_pixels, 1e-7)
    weights = ops.cast(true_pixels > 0, "float32")
    if class_weights is not None:
        weights = weights * ops.convert_to_tensor(class_weights, "float32")
    return ops.sum((1 - score) * weights) / ops.maximum(ops.sum(weights), 1e-7)


#: The table of losses by the name that recipes use.
LOSSES: dict[str, Callable[..., Any]] = {"cross_entropy": cross_entropy, "dice": dice}


def parse_loss(text: str) -> list[tuple[float, str]]:
    """Read `cross_entropy+0.5*dice` as [(1.0, "cross_entropy"), (0.5, "dice")]; `UserError` where it is no such sum."""
    terms = []
    for part in text.replace(" ", "").split("+"):
        match = re.fullmatch(r"(?:(\d+\.?\d*|\.\d+)\*)?([a-z_]+)", part)
        if not match:
            raise UserError(f"loss {text!r}: write a name or a weighted sum, such as cross_entropy+0.5*dice")
        terms.append((float(match[1] or 1), choose("loss", match[2], list(LOSSES))))
    if not any(weight for weight, _ in terms):
        raise UserError(f"loss {text!r}: every weight is 0")
    return terms


def make_loss(text: str, class_weights: tuple[float, ...] | None = None) -> Loss:
    """The loss of a recipe: a function of masks and logits; fits `model.compile(loss=…)` too."""
    terms = parse_loss(text)

    def loss(masks: Any, logits: Any) -> Any:
        return sum(weight * LOSSES[name](masks, logits, class_weights) for weight, name in terms)

    loss.__name__ = "_plus_".join(name for _, name in terms)
    return loss


def _sparse(masks: Any) -> tuple[Any, Any]:
    """Class ids with ignored pixels as class 0, and 1.0 where a pixel counts.

    In a one-hot mask a pixel is ignored where no class is set.
    """
    from segmodels.backend import ops

    if len(masks.shape) == 4 and masks.shape[-1] != 1:
        return ops.argmax(masks, axis=-1), ops.cast(ops.max(masks, axis=-1) > 0, "float32")
    ids = ops.cast(ops.squeeze(masks, -1) if len(masks.shape) == 4 else masks, "int32")
    counted = ids != IGNORE
    return ops.where(counted, ids, 0), ops.cast(counted, "float32")
