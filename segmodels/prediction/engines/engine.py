"""What the table of engines says of each."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segmodels.data.ahead import cores
from segmodels.training.reporter import Reporter

#: Logits of a batch: uint8 `(batch, height, width, 3)` to float32 `(batch, height, width, classes)`.
Forward = Callable[[np.ndarray], np.ndarray]


def threads() -> int:
    """Threads that may compute a picture on the processor: a core each, or fewer where `OMP_NUM_THREADS` says so, as it
    does where several processes share the cores."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores(), int(said)) if said.isdecimal() and int(said) else cores()


@dataclass(frozen=True)
class Engine:
    """One engine.

    Attributes:
        description: what it computes with, and on what.
        open: of a checkpoint directory the forward pass, which may be called by one thread at a time; `UserError`
            where a package is missing, the checkpoint is damaged, or its network has no form for the engine.
        fixed: whether a model of whole pictures takes those of its own size alone.
        packages: what is not among the requirements of the app.
    """

    description: str
    open: Callable[[Path, Reporter], Forward]
    fixed: bool = False
    packages: tuple[str, ...] = ()
