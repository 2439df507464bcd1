"""What training can run on and will run on, told without loading an engine."""

from __future__ import annotations

import functools
import os
import platform
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from segmodels import nvidia
from segmodels.engines import ENGINES
from segmodels.errors import UserError
from segmodels.process import WITHOUT_GPU

#: What a processor may have for bfloat16, by its flags.
_CPU_FEATURES = ("amx_bf16", "avx512_bf16")
#: So many devices stand for the CPU where there is no GPU: to try, or to test, what several do together.
VIRTUAL_CPUS = "SEGMODELS_VIRTUAL_CPUS"
MOST_VIRTUAL_CPUS = 64
#: Whatever a run may use of all, one at a time.
ANY = "any"
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
        number: as `--devices` takes it; None of the only CPU.
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

    Where `SEGMODELS_VIRTUAL_CPUS` is 2 or more, so many devices share the CPU.

    Args:
        root: where `dev`, `proc` and `sys` lie.
    """
    order = os.environ.get("CUDA_VISIBLE_DEVICES")
    if order in ("", "-1"):  # whoever sets this wants none
        return _cpus(root)
    cards = nvidia.cards()
    found = nvidia.visible(cards, order)
    if cards and not found:
        return _cpus(root, f"CUDA_VISIBLE_DEVICES={order} shows none of the {len(cards)} GPUs here: mend or unset it")
    if note := nvidia.obstacle(found, root):
        return _cpus(root, note)
    return [_gpu(card, number) for number, card in enumerate(found)] or _cpus(root)


def known_devices() -> list[Device]:
    """`devices` as they were at the first look, at once: who draws a page cannot ask the driver each time."""
    return _known(os.environ.get("CUDA_VISIBLE_DEVICES"))


def device() -> Device:
    """The device that a training started now would run on, if it is free."""
    return known_devices()[0]


def choose_devices(text: str | None) -> list[Device]:
    """The devices that are meant: by `choose_pool`, all of them for one run, or those of which it takes one.

    Args:
        text: "all" GPUs; numbers of `devices`, such as "1" or "0,2"; "cpu"; "any" or None for all GPUs, or the CPU
            where there is none.

    Raises:
        UserError: there is no such device.
    """
    here = devices()
    words = [word.strip().lower() for word in text.split(",")] if text is not None else []
    if not words or words == [ANY]:
        found = here
    elif words == ["cpu"]:
        found = [_cpu()]
    elif here[0].number is None:
        reason = f" ({here[0].note})" if here[0].note else ""
        raise UserError(f"devices {text}: there is no GPU to use here{reason}: leave devices out to train on the CPU")
    elif words == ["all"]:
        found = here
    else:
        numbers = {str(each.number): each for each in here}
        if wrong := [word for word in words if word not in numbers]:
            known = ", ".join(f"{number} ({each.name})" for number, each in numbers.items())
            raise UserError(f"devices {text}: there is no {wrong[0] or 'number'!r}: write all, any, cpu, or of {known}")
        found = list(dict.fromkeys(numbers[word] for word in words))
    return found


def choose_pool(text: str | None) -> list[str]:
    """The keys that a run may `claim`, of which it takes the first that is free.

    "all" and several numbers are one key for all of these devices, which train the run together; None and "any" are a
    key for each. `UserError` as of `choose_devices`.
    """
    return _pool(text, choose_devices(text))


def choose_pool_for_this_process(text: str | None) -> list[str]:
    """`choose_pool` for a training in this very process, as `choose_for_this_process`."""
    return _pool(text, choose_for_this_process(text))


def choose_for_this_process(text: str | None) -> list[Device]:
    """`choose_devices` for a training in this very process: an engine that is loaded, as in a notebook, keeps the
    device that it has begun with."""
    found, here = choose_devices(text), devices()
    if here[0].number is None or not any(engine in sys.modules for engine in ENGINES):
        return found
    if text is not None and (here[0] not in found or len(_pool(text, found)) < len(found)):
        raise UserError(f"devices {text}: the engine of this process has its device already: start a new process")
    return here[:1]


def split_key(key: str) -> list[str]:
    """The key of each device that one of `choose_pool` stands for."""
    return key.split(",")


def claim(key: str) -> Device:
    """Make a device the only one that this process sees, before the engine loads; `UserError` where it is gone."""
    return claim_all(key)[0]


def claim_all(key: str) -> list[Device]:
    """Make the devices of a key of `choose_pool` the only ones that this process sees, before the engine loads.

    Raises:
        UserError: one of them is gone.
    """
    keys = split_key(key)
    cards = nvidia.cards()
    if keys[0].startswith("cpu"):
        if cards:
            os.environ.update(WITHOUT_GPU)
        return [_cpu()] if len(keys) == 1 else [replace(_cpu(), key=each) for each in keys]
    found = []
    for number, each in enumerate(keys):
        card = next((card for card in cards if card.uuid == each), None)
        if card is None:
            raise UserError(
                f"the GPU {each} that this run was to use is not here any more: resume it on another device"
            )
        found.append(_gpu(card, number))
    os.environ["CUDA_VISIBLE_DEVICES"] = key
    return found


def _pool(text: str | None, found: list[Device]) -> list[str]:
    keys = [each.key for each in found]
    return keys if text is None or text.strip().lower() == ANY else [",".join(keys)]


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


def _cpus(root: Path, note: str = "") -> list[Device]:
    """The CPU, as the one device or as several."""
    text = os.environ.get(VIRTUAL_CPUS, "1")
    if not text.isdecimal() or not 1 <= int(text) <= MOST_VIRTUAL_CPUS:
        raise UserError(f"{VIRTUAL_CPUS}={text}: it must be a number from 1 to {MOST_VIRTUAL_CPUS}")
    one = _cpu(root, note)
    return [one] if int(text) == 1 else [replace(one, key=f"cpu:{i}", number=i) for i in range(int(text))]


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
