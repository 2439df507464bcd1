"""How much memory a training takes, and the batch that fits into what there is."""

from __future__ import annotations

from pathlib import Path

from segmodels.device import device
from segmodels.models.summary import summarise
from segmodels.recipe import Recipe

#: The largest batch that `auto` chooses: beyond it the same epochs make few updates, and larger is rarely faster.
LARGEST = 32
#: What an engine takes before any network, and the share of the rest that a training may count on.
ENGINE_BYTES, USABLE = 1_200_000_000, 0.8
#: Of the outputs of all layers: what of them and of their gradients is held at once. Steps on a CPU held 0.7 to 0.8 of
#: them, 1.0 (PSPNet) and, the most, 1.5 (SegFormer; DeepLabv3 at output stride 8).
HELD = 1.5


def fitting_batch_size(
    recipe: Recipe, classes: int, *, most: int = LARGEST, available: int | None = None, devices: int = 1
) -> int:
    """The largest power of two up to `most` that should fit; 1 where even that is doubtful.

    Args:
        available: bytes; by default what the device has to give.
        devices: alike, between which the batch is split: it is then a power of two for each, and at least 1.
    """
    once, each = training_bytes(recipe, classes)
    room = (available_bytes() if available is None else available) * USABLE
    fitting = max(1, min(most // devices, int((room - once) // each)))
    return devices << fitting.bit_length() - 1


def training_bytes(recipe: Recipe, classes: int) -> tuple[float, float]:
    """An estimate of the bytes that a training holds once (weights, gradients, moments, means), and for each picture
    of a batch (feature maps)."""
    memory = summarise(
        recipe.architecture, classes=classes, backbone=recipe.backbone, image_size=recipe.image_size, **recipe.options
    )["memory"]
    share = 0.5 if recipe.precision == "bfloat16" else 1.0
    copies = (recipe.ema is not None) + (recipe.accumulation > 1)
    once = ENGINE_BYTES + memory["training_bytes"] - memory["activations_bytes"] + copies * memory["weights_bytes"]
    # A discriminator's feature maps are about those of a network of its size, of which it sees two pictures.
    each = HELD * share * memory["activations_bytes"] * (1.5 if recipe.adversarial_weight else 1)
    return once, each


def available_bytes() -> int:
    """Memory that a training may take: the GPU's, or what this machine, or the container around, has left."""
    found = device()
    if found.kind == "gpu" and found.memory:
        return found.free or found.memory
    lines = Path("/proc/meminfo").read_text().splitlines() if Path("/proc/meminfo").exists() else []
    free = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), found.memory // 2)
    return min([free, *_left_in_container()])


def _left_in_container() -> list[int]:
    """Bytes that a container may still take, where it has a limit; pages of files that it can give back count as free.

    The second version of control groups, and the first.
    """
    places = (
        ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    )
    for folder, limit, used, kept in places:
        try:
            statistics = dict(line.split() for line in (Path(folder) / "memory.stat").read_text().splitlines())
            most, now = (int((Path(folder) / name).read_text()) for name in (limit, used))
        except (OSError, ValueError):  # another version, or no limit
            continue
        return [max(0, most - now + int(statistics.get(kept, 0)))]
    return []


def advice(recipe: Recipe, classes: int) -> str:
    """What to say when a training ran out of memory: which batch should fit."""
    text = f"not enough memory for batch_size {recipe.batch_size} at image_size {recipe.image_size}: "
    if not isinstance(recipe.batch_size, int) or recipe.batch_size == 1:
        return text + "try a smaller image_size, or a smaller network"
    # Where the estimate says that it should have fitted, something else takes memory too.
    fitting = fitting_batch_size(recipe, classes, most=recipe.batch_size // 2)
    steps = recipe.accumulation * recipe.batch_size // fitting
    return text + f"batch_size {fitting} should fit (with accumulation {steps} it learns alike)"
