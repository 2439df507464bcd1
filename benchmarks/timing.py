"""What is timed, and how, by benchmarks that have a peer, on both sides; needs nothing but Python."""

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


def run_json(command: list[Any], **variables: str) -> dict[str, Any]:
    """What a process of its own prints last, as JSON; the benchmark ends where it fails."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), **variables}
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed: {done.stderr[-500:]}")
    return json.loads(done.stdout.splitlines()[-1])
