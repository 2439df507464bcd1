"""The course of the learning rate."""

from __future__ import annotations

import math

from segmodels.recipe import Recipe

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
