"""Evaluating the 253 test pictures of Oxford pets at native size with U-Net on MobileNetV2, beside what it cannot do
without: reading pictures and masks, resizing the pictures, and the forward passes. In turns; aim: at most 1.15 times.

All else happens in what is left: logits resized to each mask's size, the confusion matrix, boundaries, calibration and
the counts of each picture. Memory: how much more the process holds at its most for 253 pictures than for 32.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from contextlib import closing
from typing import Any

import numpy as np

from benchmarks.timing import peak_bytes, run_json

TURNS, SIZE = 9, 224


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        os.environ["SEGMODELS_HOME"] = home
        from segmodels.recipe import Recipe
        from segmodels.training.train import train

        recipe = Recipe(data="oxford-pets", backbone="mobilenetv2", image_size=SIZE, epochs=1, limit=64)
        best = str(train(recipe).best)
        found = run_json([sys.executable, __file__, "turns", best])
        few, all_of_them = (run_json([sys.executable, __file__, "memory", best, many]) for many in (32, 1000))
    print("| | |")
    print("|---|---|")
    ratio = statistics.median(found["ratios"])
    print(f"| pictures a second, with all figures | {found['images_per_second']:.1f} |")
    print(f"| time to that of reading and forward passes, {TURNS} turns: median (least to greatest) | "
          f"{ratio:.3f} ({min(found['ratios']):.3f} to {max(found['ratios']):.3f}) |")  # fmt: skip
    more = (all_of_them["peak"] - few["peak"]) / 1e6
    print(f"| memory at its most, {all_of_them['images']} pictures more than {few['images']} | {more:.0f} MB |")


def turns(best: str) -> dict[str, Any]:
    """The times of both, one after the other, on warm caches."""
    from segmodels.evaluation.evaluate import evaluate
    from segmodels.prediction.predictor import Predictor

    predictor = Predictor(best)
    evaluate(predictor, keep=False)
    bare(predictor)
    ratios, seconds = [], []
    for _ in range(TURNS):
        began = time.perf_counter()
        report = evaluate(predictor, keep=False)
        middle = time.perf_counter()
        bare(predictor)
        seconds.append(middle - began)
        ratios.append((middle - began) / (time.perf_counter() - middle))
    return {"ratios": ratios, "images_per_second": report["images"] / statistics.median(seconds)}


def bare(predictor: Any) -> None:
    """Pictures and masks read ahead and resized, in as many threads, and the forward passes."""
    from segmodels.data.ahead import ahead
    from segmodels.data.datasets import open_dataset
    from segmodels.data.images import resize_image
    from segmodels.evaluation.evaluate import BATCH, READERS

    dataset = open_dataset("oxford-pets")

    def read(sample: Any) -> np.ndarray | None:
        try:
            image, _ = dataset.read(sample)
        except ValueError:
            return None
        return resize_image(image, SIZE, SIZE)

    with closing(ahead(read, dataset.samples("test"), threads=READERS, waiting=2 * BATCH)) as pictures:
        usable = (picture for picture in pictures if picture is not None)
        while batch := list(itertools.islice(usable, BATCH)):
            images = np.stack(batch)
            predictor.logits(np.pad(images, [(0, BATCH - len(images)), (0, 0), (0, 0), (0, 0)]))


def memory(best: str, many: int) -> dict[str, Any]:
    """The most memory of evaluating so many pictures."""
    from segmodels.data.dataset import Dataset
    from segmodels.evaluation.evaluate import evaluate

    samples = Dataset.samples
    Dataset.samples = lambda self, split: samples(self, split)[:many]  # type: ignore[method-assign]
    report = evaluate(best, keep=False)
    return {"peak": peak_bytes(), "images": report["images"]}


if __name__ == "__main__":
    print(json.dumps(turns(sys.argv[2]) if sys.argv[1] == "turns" else memory(sys.argv[2], int(sys.argv[3]))))
