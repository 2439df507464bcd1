"""How much memory a training takes, and the batch that fits into what there is."""

from __future__ import annotations

import os
from pathlib import Path

from segmodels.device import device
from segmodels.models.summary import summarise
from segmodels.recipe import Recipe

#: The largest batch that `auto` chooses: beyond it the same epochs make few updates, and larger is rarely faster.
LARGEST = 32
#: What an engine takes before any network, and the share of the rest that a training may count on.
ENGINE_BYTES, USABLE = 1_500_000_000, 0.8
#: Of the outputs of all layers: the backward pass holds them, and for a while their gradients.
HELD = 2.0


def training_bytes(recipe: Recipe, classes: int, batch_size: int) -> int:
    """An estimate of what training with a batch takes at most: weights, gradients, moments and feature maps."""
    memory = summarise(
        recipe.architecture, classes=classes, backbone=recipe.backbone, image_size=recipe.image_size, **recipe.options
    )["memory"]
    share = 0.5 if recipe.precision == "bfloat16" else 1.0
    held = memory["training_bytes"] - memory["activations_bytes"]
    return int(ENGINE_BYTES + held + HELD * share * memory["activations_bytes"] * batch_size)


def fitting_batch_size(recipe: Recipe, classes: int, *, most: int = LARGEST, available: int | None = None) -> int:
    """The largest power of two up to `most` that should fit; 1 where even that is doubtful.

    Args:
        available: bytes; by default what the device has to give.
    """
    room = (available_bytes() if available is None else available) * USABLE
    one, two = (training_bytes(recipe, classes, n) for n in (1, 2))
    fitting = max(1, min(most, int(1 + (room - one) // (two - one))))
    return 1 << fitting.bit_length() - 1


def available_bytes() -> int:
    """Memory that a training may take: the GPU's, or what this machine, or the container around, has left."""
    found = device()
    if found.kind == "gpu" and found.memory:
        return found.memory
    lines = Path("/proc/meminfo").read_text().splitlines() if Path("/proc/meminfo").exists() else []
    free = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), found.memory // 2)
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
    except (OSError, ValueError):  # no container, or one without a limit
        return free
    return min(free, max(0, limit - used), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def advice(recipe: Recipe, classes: int) -> str:
    """What to say when a training ran out of memory: which batch should fit."""
    text = f"not enough memory for batch_size {recipe.batch_size} at image_size {recipe.image_size}: "
    if not isinstance(recipe.batch_size, int) or recipe.batch_size == 1:
        return text + "try a smaller image_size, or a smaller network"
    # Where the estimate says that it should have fitted, something else takes memory too.
    fitting = fitting_batch_size(recipe, classes, most=recipe.batch_size // 2)
    steps = recipe.accumulation * recipe.batch_size // fitting
    return text + f"batch_size {fitting} should fit (with accumulation {steps} it learns alike)"
