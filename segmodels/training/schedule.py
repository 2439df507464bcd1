"""The course of the learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from segmodels.recipe import Recipe

#: The longest warm-up in steps where a recipe leaves it open; a short training spends at most a tenth of its steps.
WARM_UP = 200
#: One-cycle: share of the steps in which the rate rises, the share of the rate it begins with, and that it ends with.
RISE, BEGIN, END = 0.3, 1 / 25, 1e-4 / 25


def learning_rate(
    recipe: Recipe, step: int, steps_per_epoch: int, *, plateaus: int = 0, begun: int | None = None
) -> float:
    """The rate at step `step` (from 0) of the whole training.

    It rises linearly over the warm-up, so that BatchNorm and Adam's moments settle before large updates reach
    pretrained weights; then it takes the course of the schedule to the last step. After the epochs with a frozen
    backbone the course begins anew, `fine_tune_rate` times as high.

    Args:
        plateaus: how often the validation has ceased to improve (schedule `plateau` only).
        begun: the epochs that were planned when the run began, where they are others now: by them the warm-up is as
            long as it was, so that none begins again.
    """
    total, frozen = steps_per_epoch * recipe.epochs, steps_per_epoch * recipe.freeze_epochs
    planned = steps_per_epoch * (begun or recipe.epochs)
    highest = recipe.learning_rate
    if 0 < frozen <= step:
        step, total, planned = step - frozen, total - frozen, planned - frozen
        highest *= recipe.fine_tune_rate
    elif frozen:
        total = planned = frozen
    if recipe.schedule == "one_cycle":  # which warms up by itself
        return highest * one_cycle(step / max(1, total - 1))
    warm_up = min(WARM_UP, planned // 10)
    if recipe.warm_up_epochs is not None:
        warm_up = min(round(recipe.warm_up_epochs * steps_per_epoch), total)
    if step < warm_up:
        return highest * (step + 1) / (warm_up + 1)
    if recipe.schedule == "plateau":
        return highest * recipe.plateau_factor**plateaus
    return highest * COURSES[recipe.schedule](min(1.0, (step - warm_up) / max(1, total - warm_up)))


def one_cycle(done: float) -> float:
    """Up along half a cosine, and down along another to next to nothing (Smith and Topin 2018, arXiv:1708.07120)."""
    if done < RISE:
        return BEGIN + (1 - BEGIN) * _eased(done / RISE)
    return 1 + (END - 1) * _eased((done - RISE) / (1 - RISE))


def _eased(done: float) -> float:
    return 0.5 * (1 - math.cos(math.pi * min(1.0, done)))


#: The share of the highest rate after `done`, 0 to 1, of the steps that follow the warm-up.
COURSES: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "cosine": lambda done: 1 - _eased(done),  # to zero (Loshchilov and Hutter 2017, arXiv:1608.03983)
    "polynomial": lambda done: (1 - done) ** 0.9,  # Chen et al. 2017, DeepLab, arXiv:1606.00915
}


def plateaus(losses: Sequence[float], patience: int) -> int:
    """How often `patience` epochs in a row brought no lower validation loss, each time counted anew."""
    count, best, since = 0, math.inf, 0
    for loss in losses:
        if loss < best:
            best, since = loss, 0
        else:
            since += 1
            if since == patience:
                count, since = count + 1, 0
    return count
