"""What a training takes of the machine while it goes: memory, and of a GPU its load and its energy."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from segmodels import nvidia

#: Seconds between two questions to a GPU's driver, each of which takes some hundredths of a second.
ASK_EVERY = 5.0


class Usage:
    """Figures of this process, for its heartbeat.

    Args:
        card: the uuid of the GPU that it trains on; None on a CPU.
    """

    def __init__(self, card: str | None) -> None:
        self.card = card
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
        if self.card and now - self.asked >= ASK_EVERY:
            before, self.asked = self.asked, now
            load = nvidia.load(self.card)
            self.found = {"gpu_use": load.use, "gpu_memory_bytes": load.memory} if load else {}
            if load and load.watts is not None:
                self.energy = (self.energy or 0.0) + (load.watts * (now - before) if before else 0.0)
        fields |= self.found
        return fields if self.energy is None else {**fields, "energy_joules": round(self.energy)}


def own_bytes(process: str = "self") -> int:
    """Bytes that a process has to itself; 0 where the system does not tell."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))
    except (OSError, StopIteration, ValueError, IndexError):
        return 0
