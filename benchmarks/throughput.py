"""Our trainer against a bare `model.fit` of the same network, in turns within one process.

Both see the same prepared pets at 160 px in batches of 8, with Adam and cross-entropy in float32. Ours does all that a
run does beside the steps: reading ahead and augmenting, exact figures from the confusion matrix at every step,
`steps.csv`, the heartbeat. The bare loop is `compile` (without XLA, which is slower on a CPU) and `fit` on arrays in
memory with Keras' own accuracy metric. Aim: a ratio of 1.0.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from segmodels.backend import keras
from segmodels.models.build import build
from segmodels.recipe import Recipe
from segmodels.training.reporter import Reporter
from segmodels.training.runs import Run
from segmodels.training.train import _Status
from segmodels.training.trainer import Trainer

TURNS = 6


def main() -> None:
    recipe = Recipe(data="oxford-pets", backbone="mobilenetv2", image_size=160, epochs=TURNS + 1, loss="cross_entropy")
    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(recipe, Path(folder) / "run")
        with run.lock(), _Status(run) as status:
            trainer = Trainer(recipe, run, update=status.update, wanted=lambda: None, reporter=Reporter())
            images, masks = np.array(trainer.train.images), np.array(trainer.train.masks)
            pictures = trainer.steps * recipe.batch_size
            bare = build("unet", backbone="mobilenetv2", classes=3, weights="imagenet")
            bare.compile(
                optimizer=keras.optimizers.Adam(recipe.learning_rate),
                loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                metrics=["accuracy"],
                jit_compile=False,
            )

            def ours(turn: int) -> float:
                began = time.perf_counter()
                trainer._train_epoch(turn)
                seconds = time.perf_counter() - began
                trainer.position.step, trainer.position.seconds, trainer.position.losses = 0, 0.0, 0.0
                return pictures / seconds

            def theirs() -> float:
                began = time.perf_counter()
                bare.fit(images[:pictures], masks[:pictures], batch_size=recipe.batch_size, verbose=0)
                return pictures / (time.perf_counter() - began)

            trainer.saved = time.monotonic()
            ours(0)
            theirs()
            pairs = [(ours(turn), theirs()) for turn in range(1, TURNS + 1)]
            status.end("finished")
    ratios = [a / b for a, b in pairs]
    print("| | median images/s |")
    print("|---|---|")
    print(f"| segmodels | {statistics.median(a for a, _ in pairs):.2f} |")
    print(f"| bare Keras | {statistics.median(b for _, b in pairs):.2f} |")
    low, high = min(ratios), max(ratios)
    print(f"\nratio, pair by pair: median {statistics.median(ratios):.3f}, from {low:.3f} to {high:.3f}")
