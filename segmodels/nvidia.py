"""NVIDIA's cards: what `nvidia-smi` says of them, and what keeps an engine from using one. Loads no engine."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from segmodels.engines import chosen_engine, package_version

#: What is asked of `nvidia-smi`. Drivers of before 2021 do not know the last two.
_FIELDS = ("uuid", "name", "memory.total", "memory.free", "driver_version", "compute_cap", "mig.mode.current")
#: The oldest driver that runs programs made with CUDA 12, as both engines are.
_OLDEST_DRIVER = 525
_VENDOR = "0x10de"


@dataclass(frozen=True)
class Card:
    """A card, or a slice of one that is shared by MIG.

    Attributes:
        uuid: names it for good, in `CUDA_VISIBLE_DEVICES` too; numbers depend on an order that CUDA chooses.
        memory: bytes; 0 where the driver does not tell.
        free: bytes that nobody uses at the moment.
        capability: CUDA's compute capability, such as (8, 0) of an A100; (0, 0) where the driver does not tell.
    """

    uuid: str
    name: str
    memory: int
    free: int
    driver: str
    capability: tuple[int, int]


def cards() -> list[Card]:
    """Every card that the driver lists, whatever `CUDA_VISIBLE_DEVICES` says; empty where no driver answers."""
    text = _ask(f"--query-gpu={','.join(_FIELDS)}") or _ask(f"--query-gpu={','.join(_FIELDS[:-2])}")
    found: list[Card] = []
    for line in text.splitlines():
        values = [value.strip() for value in line.split(",")]
        if len(values) < len(_FIELDS) - 2:
            continue
        uuid, name, memory, free, driver, capability, mig = [*values, "", ""][: len(_FIELDS)]
        major, _, minor = capability.partition(".")
        card = Card(
            uuid, name, _number(memory) * 2**20, _number(free) * 2**20, driver, (_number(major), _number(minor))
        )
        found += _slices(card) if mig == "Enabled" else [card]
    return found


@dataclass(frozen=True)
class Load:
    """What a card does at the moment: `use` 0 to 1, bytes of `memory` in use, and `watts` where it tells."""

    use: float
    memory: int
    watts: float | None


def load(uuid: str) -> Load | None:
    """The load of a card; None where no driver answers, and of a slice that MIG makes."""
    text = _ask("--query-gpu=utilization.gpu,memory.used,power.draw", f"--id={uuid}")
    values = [value.strip() for value in (text.splitlines() or [""])[0].split(",")]
    if len(values) != 3 or not (values[0].isdecimal() and values[1].isdecimal()):
        return None
    try:
        watts = float(values[2])
    except ValueError:  # "[N/A]"
        watts = None
    return Load(int(values[0]) / 100, int(values[1]) * 2**20, watts)


def visible(found: list[Card], order: str | None) -> list[Card]:
    """What CUDA shows of the cards, in its order.

    Args:
        order: `CUDA_VISIBLE_DEVICES`: numbers or the beginnings of uuids, of which the first that fits nothing ends the
            list; None where it is not set, which shows all.
    """
    if order is None:
        return found
    shown: list[Card] = []
    for word in (part.strip() for part in order.split(",")):
        if word.isdecimal():
            fitting = found[int(word) : int(word) + 1]
        else:
            fitting = [card for card in found if word and card.uuid.startswith(word)]
        if len(fitting) != 1 or fitting[0] in shown:
            break
        shown += fitting
    return shown


def obstacle(found: Iterable[Card], root: Path = Path("/")) -> str:
    """Why training cannot use a card that is there, and what to do, in one line; "" where nothing stands in the way.

    Args:
        found: what `cards` listed.
        root: where `dev`, `sys` and the system's libraries lie.
    """
    card = next(iter(found), None)
    if card is None:
        if not _is_there(root):
            return ""
        return (
            "an NVIDIA card is here, but no driver answers for it: install NVIDIA's driver until nvidia-smi lists the "
            "card (in a container: start it with --gpus all)"
        )
    if _number(card.driver.partition(".")[0]) < _OLDEST_DRIVER:
        return f"{card.name} is here, but its driver {card.driver} is too old: install {_OLDEST_DRIVER} or a newer one"
    if chosen_engine() == "jax":
        if any(name.startswith("jax-cuda") for name in _packages()):
            return ""
        return f'{card.name} is here, but JAX came without CUDA: pip install "jax[cuda12]"'
    if package_version("tensorflow-cpu") and not package_version("tensorflow"):
        return (
            f"{card.name} is here, but this TensorFlow is for the CPU: pip uninstall tensorflow-cpu, then "
            "pip install -r requirements-gpu.txt"
        )
    if not _cudnn_is_installed(root):
        return f"{card.name} is here, but the CUDA libraries are not: pip install -r requirements-gpu.txt"
    return ""


def _ask(*questions: str) -> str:
    try:
        return subprocess.run(
            ["nvidia-smi", *questions, *(["--format=csv,noheader,nounits"] if "query" in questions[0] else [])],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=20,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def _slices(card: Card) -> list[Card]:
    """The parts of a card that is shared by MIG, each of which is a device of its own for CUDA."""
    own, found = False, []
    for line in _ask("-L").splitlines():
        if line.startswith("GPU "):
            own = card.uuid in line
        elif own and (slice_ := re.search(r"MIG (\S*?(\d+)gb\S*)\s.*UUID: (MIG-[^)]+)\)", line)):
            size = int(slice_[2]) * 2**30
            name = f"{card.name} MIG {slice_[1]}"
            found.append(Card(slice_[3], name, size, min(size, card.free), card.driver, card.capability))
    return found


def _is_there(root: Path) -> bool:
    """Whether the machine has a card, with a driver or without."""
    if (root / "dev" / "nvidia0").exists():
        return True
    # Such a card also has a sound device: only class 03 is a display or a 3D controller.
    places = (root / "sys" / "bus" / "pci" / "devices").glob("*")
    return any(_text(place / "vendor") == _VENDOR and _text(place / "class").startswith("0x03") for place in places)


def _cudnn_is_installed(root: Path) -> bool:
    """Whether cuDNN is among the packages, the environment's libraries or the system's."""
    if any(name.startswith("nvidia-cudnn") for name in _packages()):
        return True
    places = [Path(place) for place in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep) if place]
    places += [Path(sys.prefix) / "lib", root / "usr" / "local" / "cuda" / "lib64"]
    places += (root / "usr" / "lib").glob("*-linux-gnu")
    return any(list(place.glob("libcudnn.so*")) for place in places)


def _packages() -> list[str]:
    return [(distribution.name or "").lower() for distribution in importlib.metadata.distributions()]


def _number(text: str) -> int:
    """Whole numbers as they are; 0 for "[N/A]" and the like, as the driver says of memory that a chip shares."""
    return int(text) if text.isdecimal() else 0


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
