"""`python -m benchmarks [NAME …]`: run all benchmarks, or those named; prints a Markdown table a benchmark."""

from __future__ import annotations

import importlib
import platform
import sys

from segmodels.device import device

#: Name and what it measures; each is a module of this folder with `main()`.
BENCHMARKS = {
    "viewer": "the mask viewer and the grid of Browse in a browser: frames, opening, turning pages, memory",
    "watch": "the Train page in a browser: curves of many runs, many runs in a list, a run that is followed",
    "prediction": "a picture in every engine, a slide in tiles, upload to overlay on the page, twenty at once",
    "evaluation": "evaluate on Oxford pets beside bare forward passes, and its memory",
    "comparison": "the Compare page in a browser with 8 models of 500 pictures, and the bootstrap",
    "hub": "a checkpoint pushed to a Hub on this machine and pulled from it, and its first picture",
    "first_minute": "from git clone to the mask of a picture in the app",
    "startup": "import time, first paint of the home page, what the server process loads",
    "training": "a training step beside segmentation_models.pytorch, and what a run takes beside its steps",
    "profile": "where the time of that step goes, by kind of operation",
    "throughput": "training images a second against a bare Keras loop of the same network",
    "augment": "augmentation and the loader at 256 px: images a second, and memory",
    "data": "preparing against a plain Pillow loop, an epoch over prepared data against decoding, memory",
    "losses": "every loss on one core: value and gradient of a batch, and the maps that a loader makes for it",
    "batchnorm": "the momentum of the backbone's BatchNorm statistics in a short training",
    "zoo": "every architecture at 256 px: speed, cost, memory; beside segmentation_models.pytorch where that is named",
    "cluster": "what Ray adds to a run and to a step",
    "pets": "Oxford pets at 160 px, 20 epochs, figures on the test split at native size",
}


def main() -> None:
    chosen = sys.argv[1:] or list(BENCHMARKS)
    if unknown := [name for name in chosen if name not in BENCHMARKS]:
        sys.exit(f"no benchmark {unknown[0]!r}: choose of {', '.join(BENCHMARKS)}")
    print(f"{device()}; Python {platform.python_version()}\n")
    for name in chosen:
        print(f"## {name}: {BENCHMARKS[name]}\n", flush=True)
        importlib.import_module(f"benchmarks.{name}").main()
        print(flush=True)


main()
