"""What training can run on and will run on, told without loading an engine."""

from __future__ import annotations

import functools
import os
import platform
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from segmodels import nvidia
from segmodels.engines import ENGINES
from segmodels.errors import UserError
from segmodels.process import WITHOUT_GPU

#: What a processor may have for bfloat16, by its flags.
_CPU_FEATURES = ("amx_bf16", "avx512_bf16")
#: The compute capability from which a card computes bfloat16 in hardware: Ampere.
_BFLOAT16_FROM = (8, 0)


@dataclass(frozen=True)
class Device:
    """A device that a training can have to itself.

    Attributes:
        kind: "gpu" or "cpu".
        name: what it is called.
        memory: bytes; 0 where the system does not tell.
        note: what stands in the way of a better one, in one line; else "".
        key: names it for good: "cpu", or the card's uuid.
        number: of a GPU, as `--devices` takes it.
        free: bytes of a GPU that nobody uses at the moment.
        capability: CUDA's compute capability of a GPU.
        driver: version of a GPU's driver.
        features: of a CPU: which instructions for bfloat16 it has.
    """

    kind: str
    name: str
    memory: int
    note: str = ""
    key: str = "cpu"
    number: int | None = None
    free: int | None = None
    capability: tuple[int, int] | None = None
    driver: str | None = None
    features: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}, {self.memory / 2**30:.0f} GB" if self.memory else self.name

    @property
    def precision(self) -> str:
        """What `auto` stands for here: bfloat16 on a GPU that has it in hardware, else float32."""
        return "bfloat16" if self.capability is not None and self.capability >= _BFLOAT16_FROM else "float32"

    @property
    def xla(self) -> bool:
        """Whether TensorFlow's steps are compiled with XLA here, which on a CPU makes them many times slower."""
        return self.kind == "gpu"

    def document(self) -> dict[str, Any]:
        """Everything that is known of it, as JSON has it."""
        return {**asdict(self), "precision": self.precision, "xla": self.xla}


def devices(root: Path = Path("/")) -> list[Device]:
    """Every GPU that can be used and that `CUDA_VISIBLE_DEVICES` shows, by number; else the CPU alone, whose `note`
    says what stands in the way of a GPU that is there. Asks the driver anew each time.

    Args:
        root: where `dev`, `proc` and `sys` lie.
    """
    order = os.environ.get("CUDA_VISIBLE_DEVICES")
    if order in ("", "-1"):  # whoever sets this wants none
        return [_cpu(root)]
    cards = nvidia.cards()
    found = nvidia.visible(cards, order)
    if cards and not found:
        return [_cpu(root, f"CUDA_VISIBLE_DEVICES={order} shows none of the {len(cards)} GPUs here: mend or unset it")]
    if note := nvidia.obstacle(found, root):
        return [_cpu(root, note)]
    return [_gpu(card, number) for number, card in enumerate(found)] or [_cpu(root)]


def known_devices() -> list[Device]:
    """`devices` as they were at the first look, at once: who draws a page cannot ask the driver each time."""
    return _known(os.environ.get("CUDA_VISIBLE_DEVICES"))


def device() -> Device:
    """The device that a training started now would run on, if it is free."""
    return known_devices()[0]


def choose_devices(text: str | None) -> list[Device]:
    """The devices that one run may use, of which it takes the first that is free.

    Args:
        text: "all" GPUs; numbers of `devices`, such as "1" or "0,2"; "cpu"; or None for all GPUs, or the CPU where
            there is none.

    Raises:
        UserError: there is no such device.
    """
    here = devices()
    words = [word.strip().lower() for word in text.split(",")] if text is not None else []
    if not words:
        found = here
    elif words == ["cpu"]:
        found = [_cpu()]
    elif here[0].kind == "cpu":
        reason = f" ({here[0].note})" if here[0].note else ""
        raise UserError(f"devices {text}: there is no GPU to use here{reason}: leave devices out to train on the CPU")
    elif words == ["all"]:
        found = here
    else:
        numbers = {str(each.number): each for each in here}
        if wrong := [word for word in words if word not in numbers]:
            known = ", ".join(f"{number} ({each.name})" for number, each in numbers.items())
            raise UserError(f"devices {text}: there is no {wrong[0] or 'number'!r}: write all, cpu, or of {known}")
        found = list(dict.fromkeys(numbers[word] for word in words))
    return found


def choose_for_this_process(text: str | None) -> list[Device]:
    """`choose_devices` for a training in this very process: an engine that is loaded, as in a notebook, keeps the
    device that it has begun with."""
    found, here = choose_devices(text), devices()
    if here[0].kind == "cpu" or not any(engine in sys.modules for engine in ENGINES):
        return found
    if text is not None and here[0] not in found:
        raise UserError(f"devices {text}: the engine of this process has its device already: start a new process")
    return here[:1]


def claim(key: str) -> Device:
    """Make a device the only one that this process sees, before the engine loads; `UserError` where it is gone."""
    if key == "cpu":
        if nvidia.cards():
            os.environ.update(WITHOUT_GPU)
        return _cpu()
    card = next((card for card in nvidia.cards() if card.uuid == key), None)
    if card is None:
        raise UserError(f"the GPU {key} that this run was to use is not here any more: resume it on another device")
    os.environ["CUDA_VISIBLE_DEVICES"] = key
    return _gpu(card, 0)


@functools.cache
def _known(_: str | None) -> list[Device]:
    return devices()


def _gpu(card: nvidia.Card, number: int) -> Device:
    return Device(
        "gpu",
        card.name,
        card.memory,
        key=card.uuid,
        number=number,
        free=card.free,
        capability=card.capability,
        driver=card.driver,
    )


def _cpu(root: Path = Path("/"), note: str = "") -> Device:
    name, flags = platform.processor() or platform.machine(), set[str]()
    try:
        for line in (root / "proc" / "cpuinfo").read_text().splitlines():
            label, _, value = line.partition(":")
            if label.strip() == "model name":
                name = value.strip()
            elif label.strip() == "flags":
                flags = set(value.split())
    except OSError:
        pass
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        memory = 0
    features = tuple(flag for flag in _CPU_FEATURES if flag in flags)
    return Device("cpu", f"{name}, {cores} core{'s' if cores != 1 else ''}", memory, note, features=features)
