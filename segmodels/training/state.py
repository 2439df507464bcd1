"""`last/`: everything that a run needs to go on as if it had never been stopped."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from segmodels.backend import keras, ops
from segmodels.errors import UserError
from segmodels.files import read_json, replacing, whole, write_json


@dataclass
class Position:
    """How far a run is.

    Attributes:
        epoch: epochs that are finished.
        step: steps of the next epoch that are done.
        counts: confusion matrix of those steps, `(classes, classes)` as lists.
        losses: the losses of those steps, added up.
        seconds: spent on those steps.
        best: the best validation mean IoU so far, and `best_epoch`, its epoch (0 for none).
    """

    epoch: int = 0
    step: int = 0
    counts: list[list[int]] = field(default_factory=list)
    losses: float = 0.0
    seconds: float = 0.0
    best: float = -1.0
    best_epoch: int = 0


def save_state(folder: Path, model: keras.Model, optimizer: keras.optimizers.Optimizer, position: Position) -> None:
    """Write every variable of the network (seed generators of Dropout too) and of the optimizer, and the position."""
    with replacing(folder) as part:
        part.mkdir()
        arrays: dict[str, Any] = {_key(i): ops.convert_to_numpy(v) for i, v in enumerate(_variables(model, optimizer))}
        np.savez(part / "variables.npz", **arrays)
        write_json(part / "position.json", vars(position))


def load_state(folder: Path, model: keras.Model, optimizer: keras.optimizers.Optimizer) -> Position:
    """Read what `save_state` wrote; `UserError` where it is missing, damaged or of another network."""
    folder = whole(folder)
    try:
        with np.load(folder / "variables.npz", allow_pickle=False) as stored:
            arrays = [stored[_key(i)] for i in range(len(stored.files))]
        position = Position(**read_json(folder / "position.json"))
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
        raise UserError(f"{folder} cannot be resumed from ({' '.join(str(error).split())[:120]})") from None
    variables = _variables(model, optimizer)
    if [a.shape for a in arrays] != [tuple(v.shape) for v in variables]:
        raise UserError(f"{folder} is the state of another network than its recipe's: start a new run")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
    return position


def _variables(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> list[Any]:
    return [*model.variables, *optimizer.variables]


def _key(index: int) -> str:
    return f"v{index:04d}"
