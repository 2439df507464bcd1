"""The learning-rate range test: a short training in which the rate rises until it breaks.

Smith 2017, "Cyclical Learning Rates for Training Neural Networks", arXiv:1506.01186.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from segmodels.data.loader import Loader
from segmodels.data.prepare import prepare
from segmodels.errors import UserError
from segmodels.recipe import Recipe
from segmodels.training.reporter import Reporter

#: The test ends early where the smoothed loss is so many times its least.
BROKEN = 4.0
#: Of the running mean of the losses.
SMOOTHING = 0.9


def rate_test(
    recipe: Recipe,
    *,
    steps: int = 100,
    lowest: float = 1e-6,
    highest: float = 1.0,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Train for some steps at rates that rise from `lowest` to `highest`, each the same factor above the one before.

    Nothing is kept but the answer. The backbone takes its share of each rate, as in a training; a discriminator takes
    no part.

    Returns:
        `rates` and `losses` of the steps that were made, `smoothed`, a running mean of the losses corrected for its
        start, and `suggested`: the rate at which it falls fastest, or, where that is less, a tenth of the rate at its
        least.

    Raises:
        UserError: under 20 steps, rates in the wrong order, or data that is not there.
    """
    from segmodels.training.losses import make_loss
    from segmodels.training.networks import build_networks
    from segmodels.training.settle import settled
    from segmodels.training.step import make_step

    if steps < 20:
        raise UserError(f"steps={steps}: a rate test needs 20 or more")
    if not 0 < lowest < highest <= 10:
        raise UserError(f"rates from {lowest:g} to {highest:g}: they must rise, above 0 and up to 10")
    reporter = reporter or Reporter()
    dataset = recipe.dataset()
    train = prepare(
        dataset, "train", recipe.image_size, tiling=recipe.tiling, limit=recipe.limit, progress=reporter.progress
    )
    recipe = recipe.model_copy(update=settled(recipe, train))
    assert isinstance(recipe.batch_size, int)
    assert not isinstance(recipe.class_weights, str)
    loss = make_loss(recipe.loss, recipe.class_weights, background=dataset.background)
    loader = Loader(
        train, recipe.batch_size, seed=recipe.seed, augment=recipe.augment,
        maps=lambda masks: loss.maps(masks, len(dataset.classes)),
    )  # fmt: skip
    _, network = build_networks(recipe, train)
    step = make_step(network, loss, recipe)
    rates: list[float] = []
    losses: list[float] = []
    for rate, (images, masks, *maps) in zip(np.geomspace(lowest, highest, steps), _endless(loader), strict=False):
        value = float(step.train(images, masks, maps, float(rate)).loss)
        if not np.isfinite(value):
            break
        rates.append(float(rate))
        losses.append(value)
        reporter.progress(len(rates), steps, "raising the learning rate")
        mean = smoothed(losses)
        if len(mean) > steps // 5 and mean[-1] > BROKEN * min(mean):
            break
    if len(rates) < 4:
        raise UserError(f"the loss broke within {len(rates) + 1} steps, at a rate of {lowest:g}: begin lower")
    mean = smoothed(losses)
    return {"rates": rates, "losses": losses, "smoothed": mean, "suggested": suggested_rate(rates, mean)}


def _endless(loader: Loader) -> Any:
    epoch = 0
    while True:
        yield from loader.epoch(epoch)
        epoch += 1


def smoothed(losses: list[float]) -> list[float]:
    """An exponential running mean, corrected for its start."""
    mean, found = 0.0, []
    for number, loss in enumerate(losses, start=1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        found.append(mean / (1 - SMOOTHING**number))
    return found


def suggested_rate(rates: list[float], means: list[float]) -> float:
    """Where the mean falls fastest along the logarithm of the rate; a tenth of where it is least, if that is less."""
    least = int(np.argmin(means))
    slopes = np.gradient(np.asarray(means), np.log(rates))[: max(least, 2)]
    return float(min(rates[int(np.argmin(slopes))], rates[least] / 10))
