"""What each loss costs a training step on one core: 8 pictures of 128 px and 3 classes, forward and backward.

The masks are discs, the logits those of a network that is half sure. Maps are made in the loader's threads meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.timing import BATCH, CLASSES, median_seconds
from segmodels.training.losses import LOSSES, Loss, make_loss

SIZE, TIMES = 128, 15


def main() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # before TensorFlow makes its threads
    rng = np.random.default_rng(0)
    masks = np.stack([_discs(rng) for _ in range(BATCH)])
    truth = masks[..., None] == np.arange(CLASSES)
    logits = (2 * truth + rng.normal(0, 1, (*masks.shape, CLASSES))).astype(np.float32)
    print("| loss | ms a batch | with XLA | ms of its maps |")
    print("|---|---|---|---|")
    for name in LOSSES:
        loss = make_loss(name)
        maps = loss.maps(masks, CLASSES)
        plain, compiled = (1e3 * median_seconds(_step(loss, masks, logits, maps, xla), TIMES) for xla in (False, True))
        making = 1e3 * median_seconds(lambda loss=loss: loss.maps(masks, CLASSES), TIMES) if loss.needs_maps else 0
        print(f"| {name} | {plain:.1f} | {compiled:.1f} | {f'{making:.1f}' if making else ''} |", flush=True)


def _discs(rng: np.random.Generator) -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), np.uint8)
    rows, columns = np.indices(mask.shape)
    for number in (1, 2, 1, 2, 1):
        top, left, radius = *rng.integers(0, SIZE, 2), rng.integers(6, 24)
        mask[np.hypot(rows - top, columns - left) < radius] = number
    return mask


def _step(loss: Loss, masks: Any, logits: Any, maps: tuple, xla: bool) -> Callable[[], object]:
    import tensorflow as tf

    import segmodels.backend  # noqa: F401 (quietens TensorFlow)

    @tf.function(jit_compile=xla)
    def step(masks: Any, logits: Any, maps: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = loss(masks, logits, maps)
        return value, tape.gradient(value, logits)

    given = tf.constant(masks), tf.constant(logits), tuple(map(tf.constant, maps))
    return lambda: np.asarray(step(*given)[1])
