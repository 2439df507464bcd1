"""What is timed, and how, by `benchmarks.zoo` on both sides; needs nothing but Python."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

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
