"""What a training takes of the machine while it goes: memory, and of a GPU its load and its energy."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segmodels import nvidia

#: Seconds between two questions to a GPU's driver, each of which takes some hundredths of a second.
ASK_EVERY = 5.0


class Usage:
    """Figures of this process, for its heartbeat.

    Args:
        cards: the uuids of the GPUs that it trains on; none on a CPU. Their memory and energy are summed.
    """

    def __init__(self, cards: Sequence[str]) -> None:
        self.cards = cards
        self.peak = 0
        self.energy: float | None = None
        self.asked, self.found = 0.0, {}  # type: ignore[var-annotated]

    def look(self) -> dict[str, Any]:
        """Fields for `status.json`: `memory_bytes` and `peak_memory_bytes` that the process has to itself (maps of
        files do not count), and on a GPU `gpu_use` (0 to 1), `gpu_memory_bytes` and `energy_joules` since the start."""
        fields: dict[str, Any] = {}
        if own := own_bytes():
            self.peak = max(self.peak, own)
            fields = {"memory_bytes": own, "peak_memory_bytes": self.peak}
        now = time.monotonic()
        if self.cards and now - self.asked >= ASK_EVERY:
            before, self.asked = self.asked, now
            loads = [load for card in self.cards if (load := nvidia.load(card))]
            self.found = _together(loads)
            if watts := [load.watts for load in loads if load.watts is not None]:
                self.energy = (self.energy or 0.0) + (sum(watts) * (now - before) if before else 0.0)
        fields |= self.found
        return fields if self.energy is None else {**fields, "energy_joules": round(self.energy)}


def _together(loads: Sequence[nvidia.Load]) -> dict[str, Any]:
    """The mean use and all the memory of GPUs, None of what not all of them tell."""
    if not loads:
        return {}
    use, memory = [load.use for load in loads], [load.memory for load in loads]
    return {
        "gpu_use": None if None in use else sum(filter(None, use)) / len(loads),
        "gpu_memory_bytes": None if None in memory else sum(filter(None, memory)),
    }


def own_bytes(process: str = "self") -> int:
    """Bytes that a process has to itself; 0 where the system does not tell."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))
    except (OSError, StopIteration, ValueError, IndexError):
        return 0
