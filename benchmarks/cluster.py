"""What Ray adds to a run: seconds to the whole of it, and to a step. In turns, each in processes of its own.

Aims: under 10 s a run, under 3 % a step.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from segmodels.training.rows import read_rows

TURNS = 3
#: A short training of the network that the other benchmarks take; what comes before its steady steps is left out.
WORDS = [
    "train", "--data", "toy-pets", "--architecture", "unet", "--backbone", "mobilenetv2", "--weights", "none",
    "--image-size", "128", "--epochs", "4", "--snapshots", "0",
]  # fmt: skip
COLD_EPOCHS = 1


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "SEGMODELS_HOME": home}
        run([*WORDS[:-4], "--epochs", "2"], environment)  # the data are prepared
        turns = []
        for _ in range(TURNS):
            here = run(WORDS, environment)
            there = run([*WORDS, "--on", "ray", "--address", "local"], environment)
            turns.append((there[0] - here[0], there[1] / here[1], here, there))
    added, ratio = (statistics.median(turn[i] for turn in turns) for i in (0, 1))
    print("| what | median of turns | all turns | aim |")
    print("|---|---|---|---|")
    every = ", ".join(f"{turn[0]:.1f}" for turn in turns)
    print(f"| seconds that Ray adds to a run, its own start and end included | {added:.1f} | {every} | 10 |")
    print(f"| a step on Ray to one without | {ratio:.3f} | {', '.join(f'{turn[1]:.3f}' for turn in turns)} | 1.03 |")


def run(words: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Seconds of the whole command, and of a steady step: the median."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "segmodels", *words, "--json"]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
    whole = time.perf_counter() - began
    document: dict[str, Any] = json.loads(done.stdout)
    rows = read_rows(Path(document["path"]) / "steps.csv")
    return whole, statistics.median(row["seconds"] for row in rows if row["epoch"] > COLD_EPOCHS)
