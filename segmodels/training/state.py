"""`last/`: everything that a run needs to go on as if it had never been stopped."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass

from segmodels.errors import UserError
from segmodels.files import previous, read_json, replacing, whole, write_json


@dataclass
class Position:
    """How far a run is.

    Attributes:
        epoch: epochs that are finished.
        step: steps of the next epoch that are done; all of them where only its validation is missing.
        counts: confusion matrix of those steps, `(classes, classes)` as lists.
        losses: the losses of those steps, added up.
        figures: the other figures of those steps, added up, by name.
        seconds: spent on those steps.
        best: the best validation mean IoU so far, and `best_epoch`, its epoch (0 for none).
        validation: the validation loss of every finished epoch.
        recipe: what is trained, as JSON has it: a state goes on under no other.
    """

    epoch: int = 0
    step: int = 0
    counts: list[list[int]] = field(default_factory=list)
    losses: float = 0.0
    figures: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    best: float = -1.0
    best_epoch: int = 0
    validation: list[float] = field(default_factory=list)
    recipe: dict[str, Any] = field(default_factory=dict)


def save_state(folder: Path, arrays: Sequence[np.ndarray], position: Position) -> None:
    """Write the value of every variable, and the position; the state before stays, should this one ever be damaged."""
    with replacing(folder, keep=True) as part:
        part.mkdir()
        named: dict[str, Any] = {_key(i): array for i, array in enumerate(arrays)}
        np.savez(part / "variables.npz", **named)
        write_json(part / "position.json", vars(position))


def drop_previous(folder: Path) -> None:
    """Remove the state before the last one, of a run that is done."""
    shutil.rmtree(previous(folder), ignore_errors=True)


def load_state(
    folder: Path, variables_at: Callable[[Position], Sequence[Any]], note: Callable[[str], None] = lambda text: None
) -> None:
    """Read into variables what `save_state` wrote; where it is damaged, what was written before it.

    Args:
        variables_at: gives the variables that belong to a position.
        note: told where the state before had to be taken.

    Raises:
        UserError: both are missing or damaged, or of another network.
    """
    try:
        position, arrays = _read(whole(folder))
    except UserError as error:
        if not previous(folder).exists() or whole(folder) == previous(folder):
            raise
        position, arrays = _read(previous(folder))
        note(f"{error}: going on from the state before it")
        shutil.rmtree(folder, ignore_errors=True)
        previous(folder).rename(folder)  # the next state takes the place of the damaged one, not of this
    variables = variables_at(position)
    if [a.shape for a in arrays] != [tuple(v.shape) for v in variables]:
        raise UserError(f"{folder} is the state of another network than its recipe's: start a new run")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _read(folder: Path) -> tuple[Position, list[np.ndarray]]:
    try:
        with np.load(folder / "variables.npz", allow_pickle=False) as stored:
            arrays = [stored[_key(i)] for i in range(len(stored.files))]
        return TypeAdapter(Position).validate_python(read_json(folder / "position.json")), arrays
    # NumPy and zipfile raise all of these, where bits have changed.
    except (UserError, OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError, BadZipFile) as error:
        raise UserError(f"{folder} cannot be resumed from ({' '.join(str(error).split())[:120]})") from None


def _key(index: int) -> str:
    return f"v{index:04d}"
