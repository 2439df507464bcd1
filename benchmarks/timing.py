"""What is timed, and how, by benchmarks that have a peer, on both sides; loading it needs nothing but Python."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: Side of the pictures in pixels, classes, pictures a training step.
SIZE, CLASSES, BATCH = 256, 3, 8
#: How many of each are timed, after so many that are not.
PREDICTIONS, STEPS, WARM_UP = 15, 5, 3


def median_seconds(work: Callable[[], object], times: int) -> float:
    """Of one call, over `times` calls after some that warm up."""
    for _ in range(WARM_UP):
        work()
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def peak_bytes() -> int:
    """The most memory that this process ever held."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def training_step(size: int, precision: str = "float32") -> Callable[[], float]:
    """A step of our U-Net on MobileNetV2 on one batch that is there already; it gives the loss. Loads the engine."""
    import numpy as np

    from segmodels.backend import keras
    from segmodels.models.build import build
    from segmodels.recipe import Recipe
    from segmodels.training.losses import make_loss
    from segmodels.training.step import make_step

    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    model = build("unet", classes=CLASSES, backbone="mobilenetv2")
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (BATCH, size, size, 3), dtype=np.uint8)
    masks = generator.integers(0, CLASSES, (BATCH, size, size), dtype=np.uint8)
    step = make_step(model, make_loss("cross_entropy"), Recipe(data="toy-pets"))
    return lambda: float(step.train(images, masks, (), 1e-3).loss)


def run_json(command: list[Any], **variables: str) -> dict[str, Any]:
    """What a process of its own prints last, as JSON; the benchmark ends where it fails."""
    # A script's own folder has modules with names of Python's: it is not looked through.
    path = {"PYTHONPATH": str(Path(__file__).parents[1]), "PYTHONSAFEPATH": "1"}
    environment = {**os.environ, **path, **variables}
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed: {done.stderr[-500:]}")
    return json.loads(done.stdout.splitlines()[-1])
