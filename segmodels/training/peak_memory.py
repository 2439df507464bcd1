"""The most memory that this process held: of the GPU where it computes on one, else what the system counts as its."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any


def forget_peak(kind: str) -> None:
    """Begin anew where that can be done: on Linux, and on a GPU with TensorFlow.

    Args:
        kind: of the device, "gpu" or "cpu".
    """
    if kind != "gpu":
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
    elif (tensorflow := _tensorflow()) is not None:
        with suppress(ValueError):
            tensorflow.config.experimental.reset_memory_stats("GPU:0")


def peak_bytes(kind: str) -> int | None:
    """The most bytes held at once; None where neither the engine nor the system tells."""
    if kind != "gpu":
        return _resident_peak()
    if (tensorflow := _tensorflow()) is not None:
        try:
            return int(tensorflow.config.experimental.get_memory_info("GPU:0")["peak"])
        except ValueError:  # there is no such device
            return None
    import jax

    return (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")


def _tensorflow() -> Any:
    """TensorFlow where it is the engine."""
    from segmodels.backend import backend_name

    return sys.modules["tensorflow"] if backend_name() == "tensorflow" else None


def _resident_peak() -> int | None:
    # What getrusage tells would do, but on Linux a new process begins with the peak of the one that started it.
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration, ValueError, IndexError):
        pass
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in bytes there
    return None
