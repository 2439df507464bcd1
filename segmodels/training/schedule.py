"""Optimizers and the course of the learning rate."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segmodels.backend import keras
    from segmodels.recipe import Recipe

#: Of AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101); biases and normalisations are left out.
WEIGHT_DECAY = 1e-4
#: The longest warm-up in steps; a short training spends at most a tenth of its steps on it.
WARM_UP = 200


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """The rate at step `step` (from 0) of `steps` in the whole training.

    It rises linearly over the warm-up, so that BatchNorm and Adam's moments settle before large updates reach
    pretrained weights; then it stays, or falls to zero along half a cosine (Loshchilov and Hutter 2017,
    arXiv:1608.03983).
    """
    warm_up = min(WARM_UP, steps // 10)
    if step < warm_up:
        return recipe.learning_rate * (step + 1) / (warm_up + 1)
    if recipe.schedule == "constant":
        return recipe.learning_rate
    done = (step - warm_up) / max(1, steps - warm_up)
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def make_optimizer(recipe: Recipe) -> keras.optimizers.Optimizer:
    """The optimizer of a recipe; the trainer sets its learning rate at every step."""
    from segmodels.backend import backend_name, keras

    if recipe.optimizer == "sgd":
        return keras.optimizers.SGD(recipe.learning_rate, momentum=0.9, nesterov=True)
    adam = keras.optimizers.Adam
    if backend_name() == "tensorflow":
        from segmodels.training.adam_tensorflow import FusedAdam

        adam = FusedAdam
    if recipe.optimizer == "adam":
        return adam(recipe.learning_rate)
    optimizer = adam(recipe.learning_rate, weight_decay=WEIGHT_DECAY, name="adamw")
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer
