"""Which device training will use, told without loading an engine."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Device:
    """A device: "gpu" or "cpu", what it is called, its memory in bytes, and what stands in the way of a better one."""

    kind: str
    name: str
    memory: int
    note: str = ""

    def __str__(self) -> str:
        return f"{self.name}, {self.memory / 2**30:.0f} GB"


@functools.cache
def device() -> Device:
    """The device that a training started now would run on."""
    found = _nvidia()
    if found is None:
        return _cpu()
    name, memory = found
    if _cuda_is_installed():
        return Device("gpu", name, memory)
    note = f"{name} is here, but the CUDA libraries are not: pip install -r requirements-gpu.txt"
    return Device("cpu", _cpu().name, _cpu().memory, note)


def _nvidia() -> tuple[str, int] | None:
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return None
    try:
        answer = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        ).stdout
        name, memory = answer.splitlines()[0].rsplit(",", 1)
        return name.strip(), int(memory) * 2**20
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def _cuda_is_installed() -> bool:
    """Whether the packages that carry cuDNN for TensorFlow or JAX are here."""
    names = (distribution.name or "" for distribution in importlib.metadata.distributions())
    return any(name.lower().startswith("nvidia-cudnn") for name in names)


def _cpu() -> Device:
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        memory = 0
    return Device("cpu", f"{name}, {cores} core{'s' if cores != 1 else ''}", memory)
