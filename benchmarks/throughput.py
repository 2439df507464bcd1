"""Our trainer against bare Keras loops of the same network, in turns within one process.

All see the same prepared pets at 160 px in batches of 8, with Adam and cross-entropy in float32. Ours does all that a
run does beside the steps: reading ahead and augmenting, exact figures from the confusion matrix at every step,
`steps.csv`, the heartbeat, the state on disk. The bare loops are `train_on_batch` over arrays in memory, and `fit` on
them, both compiled without XLA (which is slower on a CPU) and with Keras' own accuracy metric. Aim: a ratio of 1.0.
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

TURNS = 3


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

            def fit() -> float:
                began = time.perf_counter()
                bare.fit(images[:pictures], masks[:pictures], batch_size=recipe.batch_size, verbose=0)
                return pictures / (time.perf_counter() - began)

            def by_batch() -> float:
                began = time.perf_counter()
                for start in range(0, pictures, recipe.batch_size):
                    part = slice(start, start + recipe.batch_size)
                    bare.train_on_batch(images[part], masks[part])
                return pictures / (time.perf_counter() - began)

            trainer.saved = time.monotonic()
            ours(0), fit(), by_batch()
            turns = [(ours(turn), by_batch(), fit()) for turn in range(1, TURNS + 1)]
            status.end("finished")
    print("| loop | images/s, median | segmodels' ratio to it, turn by turn: median (least to greatest) |")
    print("|---|---|---|")
    for name, column in (("segmodels", 0), ("bare `train_on_batch`", 1), ("bare `fit`", 2)):
        ratios = [turn[0] / turn[column] for turn in turns]
        low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
        speed = statistics.median(turn[column] for turn in turns)
        print(f"| {name} | {speed:.2f} | {middle:.3f} ({low:.3f} to {high:.3f}) |")
