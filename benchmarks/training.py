"""A training step of U-Net on MobileNetV2, and what a run takes beside its steps.

Step: images a second of our compiled step in batches of 8, at 128 and 256 px, float32 (and bfloat16 where the processor
has AMX), in turns with segmentation_models.pytorch in a process of its own where SEGMODELS_PEER_PYTHON names an
environment that has it (see `benchmarks.zoo`). Aim: at least as fast.

Run: one real run on pets at 128 px. How much longer an epoch's steps take than the same steps alone (figures, rows,
heartbeat; aim: under 5 %), how long the loop waits for the loader (aim: under 2 %), the seconds from the start of the
process to the end of the first step (aim: under 20), and its peak memory to that of a process that makes the same steps
and nothing else (aim: 1.2).
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.timing import BATCH, STEPS, median_seconds, peak_bytes, run_json, training_step

SIZES, TURNS = (128, 256), 3


def main() -> None:
    peer = os.environ.get("SEGMODELS_PEER_PYTHON")
    from segmodels.device import device

    precisions = ["float32", *["bfloat16"] * any("amx" in feature for feature in device().features)]
    print("| step | images/s, median | of the peer | ratio, turn by turn: median (least to greatest) |")
    print("|---|---|---|---|")
    for size in SIZES:
        for precision in precisions:
            turns = []
            for _ in range(TURNS):
                mine = run_json([sys.executable, __file__, "steps", size, precision])["images_per_second"]
                theirs = None
                if peer and precision == "float32":
                    script = Path(__file__).with_name("zoo_peer.py")
                    theirs = run_json([peer, script, "Unet", "mobilenet_v2", size])["images_per_second"]
                turns.append((mine, theirs))
            cells = [f"{size} px, {precision}", f"{statistics.median(mine for mine, _ in turns):.1f}", "", ""]
            if peer and precision == "float32":
                ratios = [mine / theirs for mine, theirs in turns if theirs]
                cells[2] = f"{statistics.median(theirs for _, theirs in turns if theirs):.1f}"
                cells[3] = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            print(f"| {' | '.join(cells)} |", flush=True)

    began = time.time()
    with tempfile.TemporaryDirectory() as home:
        found = run_json([sys.executable, __file__, "run"], SEGMODELS_HOME=home)
    bare = run_json([sys.executable, __file__, "steps", 128, "float32"])
    print("\n| a run at 128 px | |")
    print("|---|---|")
    print(f"| seconds from the start of the process to the end of the first step | {found['first'] - began:.1f} |")
    print(f"| a step of the run to the same step alone | {found['whole'] / found['alone']:.3f} |")
    print(f"| share of a step that waits for the loader | {found['waiting'] / found['whole']:.4f} |")
    print(f"| peak memory of the run to that of bare steps | {found['peak_bytes'] / bare['peak_bytes']:.2f} |")


def steps(size: int, precision: str) -> dict[str, Any]:
    """In this process: our steps alone."""
    seconds = median_seconds(training_step(size, precision), 2 * STEPS)
    return {"images_per_second": BATCH / seconds, "peak_bytes": peak_bytes()}


def run() -> dict[str, Any]:
    """In this process: a run of two epochs, and then its steps alone."""
    from segmodels.recipe import Recipe
    from segmodels.training.reporter import Reporter
    from segmodels.training.train import train
    from segmodels.training.trainer import Trainer

    found: dict[str, Any] = {"waiting": 0.0, "taken": 0}
    plain = Trainer._train_epoch

    class First(Reporter):
        def step(self, row: dict[str, Any], steps: int) -> None:
            found.setdefault("first", time.time())

    def timed(trainer: Trainer, epoch: int) -> Any:
        loader, batches = trainer.loader, trainer.loader.epoch

        def waited(*given: Any, **named: Any) -> Any:
            inner = batches(*given, **named)
            try:
                while True:
                    began = time.perf_counter()
                    try:
                        batch = next(inner)
                    except StopIteration:
                        return
                    found["waiting"] += (time.perf_counter() - began) * (epoch > 0)
                    found["batch"] = batch
                    yield batch
            finally:
                inner.close()

        loader.epoch = waited  # type: ignore[method-assign]
        began = time.perf_counter()
        confusion = plain(trainer, epoch)
        if epoch == 1:
            found["whole"] = (time.perf_counter() - began) / trainer.steps
            found["waiting"] /= trainer.steps
            images, masks, *maps = found["batch"]
            found["alone"] = median_seconds(
                lambda: float(trainer.step.train(images, masks, maps, 0.0).loss), trainer.steps
            )
        loader.epoch = batches  # type: ignore[method-assign]
        return confusion

    Trainer._train_epoch = timed  # type: ignore[method-assign]
    train(Recipe(data="oxford-pets", backbone="mobilenetv2", image_size=128, epochs=2), reporter=First())
    return {**{key: found[key] for key in ("first", "whole", "alone", "waiting")}, "peak_bytes": peak_bytes()}


if __name__ == "__main__":
    print(json.dumps(run() if sys.argv[1] == "run" else steps(int(sys.argv[2]), sys.argv[3])))
