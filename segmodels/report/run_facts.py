"""What a run directory tells, read so that nothing in it can be in the way: damaged parts are named and left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from segmodels.errors import UserError
from segmodels.files import read_json
from segmodels.recipe import Recipe
from segmodels.report.text import clean, count, number
from segmodels.training.notes import Notes, notes_of
from segmodels.training.rows import read_rows
from segmodels.training.run_files import file_of, status_of
from segmodels.training.runs import ALIVE, Run

#: Rows of `changes.json` that are taken.
MOST = 500
#: Bytes of a `metrics.csv` that is read: that of ten thousand epochs and hundreds of classes.
LARGEST_CSV = 64_000_000


@dataclass
class RunFacts:
    """A run as its files have it.

    Attributes:
        status: `status.json`; its `state` is always a text.
        history: rows of `metrics.csv` that have their epoch, in order.
        best: `best/metrics.json`.
        recipe: None where it is missing or no recipe of this version; `asked` is then what stands in its file.
        asked: the fields of `recipe.json`.
        notes: of `notes.json`.
        changes: rows of `changes.json`.
        missing: a line on each part that is not there or cannot be read.
    """

    status: dict[str, Any]
    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=dict)
    recipe: Recipe | None = None
    asked: dict[str, Any] = field(default_factory=dict)
    notes: Notes = field(default_factory=Notes)
    changes: list[dict[str, Any]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def alive(self) -> bool:
        return self.status["state"] in ALIVE

    @property
    def classes(self) -> list[dict[str, Any]]:
        """The rows of `best/metrics.json` that have a name, 255 at most."""
        rows = self.best.get("classes")
        rows = rows[:255] if isinstance(rows, list) else []
        return [row for row in rows if isinstance(row, dict) and isinstance(row.get("name"), str)]

    @property
    def confusion(self) -> list[list[int]] | None:
        """The matrix of the best epoch, of the classes' size; None where it is none."""
        found, size = self.best.get("confusion_matrix"), len(self.classes)
        if not isinstance(found, list) or len(found) != size or not size:
            return None
        whole = all(
            isinstance(row, list) and len(row) == size and all(count(n) is not None for n in row) for row in found
        )
        return found if whole else None

    @property
    def best_figures(self) -> dict[str, float]:
        """Figures of the best epoch; without its file, of the row of `metrics.csv` with the highest mean IoU."""
        found = self.best.get("validation")
        if isinstance(found, dict) and any(number(value) is not None for value in found.values()):
            return {clean(name, 60): value for name, value in found.items() if number(value) is not None}
        row = self._best_row()
        return {
            name.removeprefix("val_"): value
            for name, value in row.items()
            if name.startswith("val_") and not name.startswith("val_iou_") and number(value) is not None
        }

    @property
    def best_epoch(self) -> int | None:
        known = count(self.best.get("epoch"))
        return known if known is not None else self._best_row().get("epoch")

    def _best_row(self) -> dict[str, Any]:
        rows = [row for row in self.history if number(row.get("val_mean_iou")) is not None]
        return max(rows, key=lambda row: row["val_mean_iou"], default={})

    def column(self, name: str) -> list[float | None]:
        """A column of `metrics.csv`, a value an epoch."""
        return [number(row.get(name)) for row in self.history]


def read_run(run: Run) -> RunFacts:
    """Read all that there is of a run. Never raises for what is missing or damaged."""
    facts = RunFacts(status_of(run))
    if facts.status["state"] == "unknown":
        facts.missing.append("status.json is missing or damaged: state, device and times are not known")
    _read_recipe(run, facts)
    _read_history(run, facts)
    facts.best = _document(run, "best/metrics.json", dict, "figures by class and no confusion matrix", facts) or {}
    facts.notes = notes_of(_document(run, "notes.json", dict, "", facts))
    changes = _document(run, "changes.json", list, "", facts) or []
    facts.changes = [row for row in changes[:MOST] if isinstance(row, dict)]
    if not facts.best and facts.best_figures:
        facts.missing.append("the figures of the best epoch are those of metrics.csv")
    return facts


def _document(run: Run, name: str, kind: type, holds: str, facts: RunFacts) -> Any:
    """A JSON file of a run that holds a `kind`; None where there is none, which is said where it `holds` something."""
    place = file_of(run, name)
    if place is None:
        if holds:
            facts.missing.append(_absent(name, holds, facts))
        return None
    try:
        found = read_json(place)
    except UserError:
        found = None
    if isinstance(found, kind):
        return found
    facts.missing.append(f"{name} is damaged and left out")
    return None


def _absent(name: str, holds: str, facts: RunFacts) -> str:
    if facts.alive:
        return f"{name} is not written yet: no {holds} so far"
    return f"{name} is missing: no {holds}"


def _read_recipe(run: Run, facts: RunFacts) -> None:
    facts.asked = _document(run, "recipe.json", dict, "recipe", facts) or {}
    if facts.asked and (place := file_of(run, "recipe.json")):
        try:
            facts.recipe = Recipe.load(place)
        except (UserError, TypeError, ValueError, AttributeError) as error:  # values of kinds that no recipe looks for
            said = str(error) if isinstance(error, UserError) else "a value of the wrong kind"
            facts.missing.append(f"recipe.json is not one of this version ({clean(said, 300)}): it is shown as it is")


def _read_history(run: Run, facts: RunFacts) -> None:
    place = file_of(run, "metrics.csv")
    if place is None:
        facts.missing.append(_absent("metrics.csv", "curves", facts))
        return
    if place.stat().st_size > LARGEST_CSV:
        facts.missing.append(f"metrics.csv has more than {LARGEST_CSV:,} bytes and is left out")
        return
    rows = read_rows(place)
    facts.history = [row for row in rows if count(row.get("epoch"))]
    if lost := len(rows) - len(facts.history):
        facts.missing.append(f"metrics.csv is damaged: {lost} of its {len(rows)} rows have no epoch and are left out")
    if not facts.history:
        facts.missing.append("metrics.csv holds no epoch: no curves")
    elif facts.status["state"] == "finished":
        ended = count(facts.status.get("epoch"))
        if ended and len(facts.history) < ended:
            facts.missing.append(f"metrics.csv has {len(facts.history)} of the {ended} epochs")
