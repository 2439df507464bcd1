"""The learning-rate range test: a short training in which the rate rises until it breaks.

Smith 2017, "Cyclical Learning Rates for Training Neural Networks", arXiv:1506.01186.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from segmodels.data.loader import Loader
from segmodels.device import choose_for_this_process, claim
from segmodels.errors import UserError
from segmodels.recipe import Recipe
from segmodels.training import queue
from segmodels.training.preflight import check
from segmodels.training.reporter import Reporter
from segmodels.training.runs import Run
from segmodels.training.start import kept_start, kept_teachers, make_run

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
    devices: str | None = None,
) -> dict[str, Any]:
    """Train for some steps at rates that rise from `lowest` to `highest`, each the same factor above the one before.

    Nothing is kept but the answer. It waits first while runs have the device, and they wait for it. The backbone takes
    its share of each rate, as in a training; a discriminator takes no part.

    Args:
        recipe: what to train.
        steps: how many rates to try, 20 or more.
        lowest: the first of them.
        highest: the last, up to 10; the test ends before it where the loss breaks.
        reporter: told how it goes; by default nobody.
        devices: which it may use, as `choose_devices` reads it; one trains, the first that is free.

    Returns:
        `rates` and `losses` of the steps that were made, `smoothed`, a running mean of the losses corrected for its
        start, and `suggested`: the rate at which it falls fastest, or, where that is less, a tenth of the rate at its
        least.

    Raises:
        UserError: under 20 steps, rates in the wrong order, data or a device that is not there.
    """
    if steps < 20:
        raise UserError(f"steps={steps}: a rate test needs 20 or more")
    if not 0 < lowest < highest <= 10:
        raise UserError(f"rates from {lowest:g} to {highest:g}: they must rise, above 0 and up to 10")
    pool = [each.key for each in choose_for_this_process(devices)]
    check(recipe)
    reporter = reporter or Reporter()
    with tempfile.TemporaryDirectory() as folder:
        run = make_run(recipe, Path(folder) / "rate-test")
        with (
            run.lock(),
            queue.turn(
                run.path, pool, wanted=lambda: None, waits=lambda place: reporter.note(str(place.status["phase"]))
            ) as turn,
        ):
            if turn.device is None:
                raise UserError("the rate test was taken out of the queue: start it again")
            claim(turn.device)
            rates, losses = _raise(run, np.geomspace(lowest, highest, steps), reporter)
    if len(rates) < 4:
        raise UserError(f"the loss broke within {len(rates) + 1} steps, at a rate of {lowest:g}: begin lower")
    mean = smoothed(losses)
    return {"rates": rates, "losses": losses, "smoothed": mean, "suggested": suggested_rate(rates, mean)}


def _raise(run: Run, planned: np.ndarray, reporter: Reporter) -> tuple[list[float], list[float]]:
    """Train a step at each rate, until the loss breaks: the rates that were used, and their losses."""
    # They load Keras: only now, with a device held.
    from segmodels.training.networks import begin_with, build_networks
    from segmodels.training.step import make_step
    from segmodels.training.teachers import Teachers
    from segmodels.training.training_set import training_set

    recipe, dataset = run.recipe, run.recipe.dataset()
    found = training_set(recipe, dataset, reporter.progress)
    model, network = build_networks(found.recipe, found.data)
    if recipe.start_from:
        begin_with(model, recipe, kept_start(run, recipe.start_from), dataset.classes)
    teachers = Teachers(kept_teachers(run))
    step = make_step(network, found.loss, found.recipe)
    rates: list[float] = []
    losses: list[float] = []
    for rate, (images, masks, *maps) in zip(planned, _endless(found.loader), strict=False):
        value = float(step.train(images, masks, [*maps, *teachers.maps(images)], float(rate)).loss)
        if not np.isfinite(value):
            break
        rates.append(float(rate))
        losses.append(value)
        reporter.progress(len(rates), len(planned), "raising the learning rate")
        mean = smoothed(losses)
        if len(mean) > len(planned) // 5 and mean[-1] > BROKEN * min(mean):
            break
    return rates, losses


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
