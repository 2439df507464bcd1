"""What a training costs before it starts: parameters, memory, and time, measured on a few steps on this machine."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from segmodels.data.loader import Loader
from segmodels.device import Device, choose_for_this_process, claim
from segmodels.errors import UserError
from segmodels.recipe import Recipe
from segmodels.training import queue
from segmodels.training.preflight import check
from segmodels.training.reporter import Reporter
from segmodels.training.runs import find_checkpoint
from segmodels.training.train import out_of_memory
from segmodels.training.unprepared import Unprepared

if TYPE_CHECKING:
    from segmodels.training.step import Step
    from segmodels.training.teachers import Teachers

#: Seconds after which no further step is measured, and the fewest that are.
LONGEST, FEWEST = 10.0, 2
#: What is measured; None of a training that does not fit into memory.
TIMES = (
    "peak_bytes", "compile_seconds", "step_seconds", "validation_step_seconds", "epoch_seconds", "total_seconds",
)  # fmt: skip


class Timed(NamedTuple):
    """What something takes that compiles when it is first done, in seconds: to compile, and each time."""

    compiling: float
    each: float


def estimate(
    recipe: Recipe, *, steps: int = 5, reporter: Reporter | None = None, devices: str | None = None
) -> dict[str, Any]:
    """What a training by a recipe would take here.

    The network and the step are those of the run, but with random weights, which take as long, and fed with random
    pictures: no data is prepared and no weights are downloaded. What would not fit into memory is not tried. Nothing is
    kept, and nobody waits: it measures beside a run that has the device, if need be.

    Args:
        recipe: what to train.
        steps: how many to measure, 2 or more; fewer where they take long.
        reporter: told how it goes; by default nobody.
        devices: which it may use, as `choose_devices` reads it; it is measured on one, which is free if one is.

    Returns a JSON document:
        parameters: `total` and `trainable`, of the network that is kept.
        gflops: of one picture, as `segmodels.models.summary` counts them.
        training_bytes_estimate, memory_available: by which `fits` is told; `fitting_batch_size` is one that would fit
            where this one does not, None where it does or where none would.
        peak_bytes: the most that was held while measuring, of the GPU, or on a CPU of the whole process; None where
            that is not known.
        images, validation_images: pictures, or by `sampling` tiles, of an epoch. `at_most` where tiles of too little
            foreground will be left out; `extrapolated` where tiles were reckoned from the sizes of some pictures.
        batch_size, steps_per_epoch: as the run has them.
        compile_seconds: to compile all that the run does.
        step_seconds, validation_step_seconds: of a batch, both measured, once the backbone is no longer frozen.
        epoch_seconds: training and validation, once the backbone is no longer frozen.
        total_seconds: all epochs, the frozen ones as they are, and compiling; without preparing the data.
        device, precision: what it was measured on and in.
        alone: False where a run had the device meanwhile; the times are then too long.

        Where it does not fit, the times and `peak_bytes` are None.

    Raises:
        UserError: under 2 steps, a recipe that cannot train, data or a device that is not there.
    """
    if steps < FEWEST:
        raise UserError(f"steps={steps}: an estimate needs {FEWEST} or more")
    pool = choose_for_this_process(devices)
    check(recipe)
    reporter = reporter or Reporter()
    busy = queue.at_work()
    device = claim(next((each.key for each in pool if each.key not in busy), pool[0].key))
    # They load Keras: only now, with a device chosen.
    from segmodels.models.summary import summarise
    from segmodels.training.memory import available_bytes, fitting_batch_size, training_bytes
    from segmodels.training.settle import settle
    from segmodels.training.training_set import validation_tiling

    dataset, size = recipe.dataset(), recipe.image_size
    classes = len(dataset.classes)
    train = Unprepared(dataset, "train", size, tiling=recipe.tiling, limit=recipe.limit)
    validation = Unprepared(dataset, "validation", size, tiling=validation_tiling(recipe))
    if isinstance(recipe.class_weights, str):  # any weights take as long, and these need no masks
        recipe = recipe.model_copy(update={"class_weights": (1.0,) * classes})
    recipe = settle(recipe, train)
    assert isinstance(recipe.batch_size, int)
    loader = Loader(train, recipe.batch_size)
    network = summarise(
        recipe.architecture, classes=classes, backbone=recipe.backbone, image_size=size, **recipe.options
    )
    available, (once, each) = available_bytes(), training_bytes(recipe, classes)
    fits, fitting = once + loader.batch_size * each <= available, None
    times: dict[str, Any] = dict.fromkeys(TIMES)
    if fits:
        try:
            times = _measured(recipe, loader, validation, steps, reporter, device)
        except Exception as error:
            if not out_of_memory(error):
                raise
            fits = False
    if not fits and loader.batch_size > 1:
        fitting = fitting_batch_size(recipe, classes, most=loader.batch_size - 1, available=available)
        fitting = fitting if once + fitting * each <= available else None
    return {
        "parameters": {name: network["parameters"][name] for name in ("total", "trainable")},
        "gflops": network["gflops"],
        "training_bytes_estimate": int(once + loader.batch_size * each),
        "memory_available": available,
        "fits": fits,
        "fitting_batch_size": fitting,
        "sampling": recipe.sampling,
        "images": len(train),
        "validation_images": len(validation),
        "at_most": train.at_most,
        "extrapolated": train.extrapolated or validation.extrapolated,
        "batch_size": loader.batch_size,
        "steps_per_epoch": loader.steps,
        "epochs": recipe.epochs,
        **times,
        "device": str(device),
        "precision": recipe.precision,
        "alone": device.key not in busy and device.key not in queue.at_work(),
    }


def _measured(
    recipe: Recipe, loader: Loader, validation: Unprepared, steps: int, reporter: Reporter, device: Device
) -> dict[str, Any]:
    """The figures of `TIMES`."""
    from segmodels.training.adversarial import make_adversary
    from segmodels.training.averages import Averages
    from segmodels.training.losses import make_loss
    from segmodels.training.networks import build_networks, freeze
    from segmodels.training.peak_memory import forget_peak, peak_bytes
    from segmodels.training.step import make_step
    from segmodels.training.teachers import Teachers

    assert not isinstance(recipe.class_weights, str)
    classes = len(validation.dataset.classes)
    loss = make_loss(recipe.loss, recipe.class_weights, background=validation.dataset.background)
    learned, seen = (
        (images, masks, loss.maps(masks, classes))
        for images, masks in (data.read(slice(0, loader.batch_size)) for data in (loader.data, validation))
    )
    forget_peak(device.kind)
    _, whole = build_networks(recipe, loader.data, resume=True)  # which leaves its weights random
    averages = Averages(whole, recipe.ema, recipe.accumulation) if recipe.ema else None
    adversary = make_adversary(recipe, classes) if recipe.adversarial_weight else None
    teachers = Teachers([find_checkpoint(name) for name in recipe.teachers or ()])
    frozen = recipe.freeze_epochs
    phases = [(True, frozen), (False, recipe.epochs - frozen)] if frozen else [(False, recipe.epochs)]
    # Where not every step does the same, the usual one is none of them.
    usual = np.mean if recipe.accumulation > 1 or recipe.discriminator_every > 1 else np.median
    training: list[Timed] = []
    for is_frozen, _ in phases:
        freeze(whole, is_frozen)
        step = make_step(whole, loss, recipe, averages=averages, adversary=adversary)
        act = partial(_train, step, teachers, learned)
        training.append(_timed(act, steps, usual, reporter, "measuring training steps"))
    validating = _timed(partial(_validate, step, seen), steps, np.median, reporter, "measuring validation steps")

    validation_seconds = validating.each * math.ceil(len(validation) / loader.batch_size)
    epochs = [loader.steps * timed.each + validation_seconds for timed in training]
    compiling = sum(timed.compiling for timed in [*training, validating])
    fitting = sum(count * seconds for (_, count), seconds in zip(phases, epochs, strict=True))
    found = peak_bytes(device.kind), compiling, training[-1].each, validating.each, epochs[-1], compiling + fitting
    return dict(zip(TIMES, found, strict=True))


def _train(step: Step, teachers: Teachers, batch: tuple[Any, Any, Any]) -> None:
    """A step to its end. Its rate is 0: to learn from noise could only end in numbers that are none."""
    images, masks, maps = batch
    result = step.train(images, masks, [*maps, *teachers.maps(images)], 0.0)
    float(result.loss)
    np.asarray(result.ids)


def _validate(step: Step, batch: tuple[Any, Any, Any]) -> None:
    loss, ids = step.evaluate(*batch)
    float(loss)
    np.asarray(ids)


def _timed(act: Callable[[], None], count: int, usual: Callable, reporter: Reporter, what: str) -> Timed:
    """Do it once, which compiles it, and then some times more."""

    def seconds() -> float:
        began = time.perf_counter()
        act()
        return time.perf_counter() - began

    first, found = seconds(), list[float]()
    while len(found) < FEWEST or (len(found) < count and sum(found) < LONGEST):
        found.append(seconds())
        reporter.progress(len(found), count, what)
    each = float(usual(found))
    return Timed(max(0.0, first - each), each)
