"""What is changed of a run while it goes: its learning rate and its number of epochs. Loads no Keras.

Who wants a change leaves it in the run's `change.json`. The trainer takes it after its present step and writes it down
in `changes.json`, with the place in the training from which it holds. A run that is resumed goes through the same
changes at the same places, so that it ends as one that never stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import NonNegativeInt, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from segmodels.errors import UserError
from segmodels.files import read_json, write_json
from segmodels.recipe import Epochs, Rate, Recipe
from segmodels.training.tickets import hold, queue_folder

if TYPE_CHECKING:
    from segmodels.training.runs import Run

#: The fields of a recipe that may change while a run goes.
FIELDS = ("learning_rate", "epochs")
#: What is wanted, the same while the trainer takes it, and what was done.
WANTED, TAKEN, DONE = "change.json", "change-taken.json", "changes.json"


@dataclass(frozen=True)
class Change:
    """New values, None for what stays, and from where they hold: after `epoch` epochs and `step` steps of the next."""

    epoch: NonNegativeInt
    step: NonNegativeInt
    learning_rate: Rate | None = None
    epochs: Epochs | None = None

    @property
    def place(self) -> tuple[int, int]:
        return self.epoch, self.step

    @property
    def values(self) -> dict[str, Any]:
        return {name: value for name in FIELDS if (value := getattr(self, name)) is not None}


def ask_for_change(run: Run, *, learning_rate: float | None = None, epochs: int | None = None) -> None:
    """Ask for other values from the trainer's next step on, or from the next resume where none is at work.

    A schedule takes the course that it has with the new values. A finished run that is asked for more epochs can be
    resumed.

    Raises:
        UserError: nothing to change, a value that a recipe cannot have, fewer epochs than have begun, or a run that is
            gone.
    """
    wanted = {"learning_rate": learning_rate, "epochs": epochs}
    values = {name: value for name, value in wanted.items() if value is not None}
    if not values:
        raise UserError(f"nothing to change of run {run.id}: give {' or '.join(FIELDS)}")
    checked = Recipe(**{**run.recipe_now.model_dump(), **values})
    status = run.status()
    begun, state = int(status.get("epoch") or 0), status["state"]
    if "epochs" in values and state == "finished" and checked.epochs <= begun:
        raise UserError(f"run {run.id} has finished its {begun} epochs: ask for more than {begun}")
    if "epochs" in values and checked.epochs < begun:
        raise UserError(f"run {run.id} is in epoch {begun}: epochs={checked.epochs} is less")
    with hold(queue_folder()):  # of two who ask at once, neither overwrites what the other wants
        run.write(WANTED, {**wanted_change(run.path), **{name: getattr(checked, name) for name in values}})


def wanted_change(folder: Path) -> dict[str, Any]:
    """What was asked for and has not been taken yet; empty where there is nothing, or nothing that makes sense."""
    return _values(folder / WANTED)


def _values(path: Path) -> dict[str, Any]:
    try:
        found = TypeAdapter(Change).validate_python({**read_json(path), "epoch": 0, "step": 0})
    except (UserError, TypeError, ValidationError):
        return {}
    return found.values


def take_change(folder: Path, place: tuple[int, int]) -> list[Change] | None:
    """Take what was asked for, to hold from a place on; returns all changes then, None where nothing was asked.

    Only for the trainer. Those that are written down for later places, which a killed process reached and the state
    that is resumed from did not, still come; but the newer wish wins over them.
    """
    made, taken = None, folder / TAKEN
    while taken.exists() or _moved(folder / WANTED, taken):  # the first where a process was killed that took it
        values = _values(taken)
        before = changes_of(folder)
        no_longer: dict[str, Any] = dict.fromkeys(values)
        later = [replace(change, **no_longer) for change in before if change.place > place]
        made = [change for change in before if change.place <= place]
        made += [Change(*place, **values)] if values else []
        made += [change for change in later if change.values]
        write_json(folder / DONE, [{"epoch": change.epoch, "step": change.step, **change.values} for change in made])
        taken.unlink(missing_ok=True)
    return made


def _moved(wanted: Path, taken: Path) -> bool:
    """Move a wish away before it is read, so that one which comes from here on is a new one; False where none is."""
    try:
        wanted.replace(taken)
    except FileNotFoundError:
        return False
    return True


def changes_of(folder: Path) -> list[Change]:
    """The changes that were made of a run, in their order; `UserError` where the file is damaged."""
    path = folder / DONE
    if not path.exists():
        return []
    try:
        return TypeAdapter(list[Change]).validate_python(read_json(path))
    except (UserError, ValidationError):
        raise UserError(f"{path} is damaged: delete it, and the run goes on with what its recipe says") from None


def in_force(recipe: Recipe, changes: Sequence[Change], place: tuple[int, int] | None = None) -> Recipe:
    """The recipe as it stands at a place of the training, or after all changes."""
    values: dict[str, Any] = {}
    for change in changes:
        if place is None or change.place <= place:
            values.update(change.values)
    return recipe.model_copy(update=values) if values else recipe
