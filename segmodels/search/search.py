"""A search on disk: what is tried, and each trial with its run. Loads neither Keras nor Ray.

The app, the command line, the process that conducts it and the workers meet only in these files, as with runs. The
values of all trials are there from the start, so that a search that was stopped goes on with the same ones.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from segmodels.conducted import PLAIN_NAME, Conducted, document_of
from segmodels.errors import UserError
from segmodels.files import explain_disk_errors, read_json, slug, write_json
from segmodels.home import home
from segmodels.hosted import check_training
from segmodels.recipe import Recipe
from segmodels.search.space import Space
from segmodels.training.placed import Resources
from segmodels.training.preflight import check
from segmodels.training.rows import Row, read_rows
from segmodels.training.runs import Run, is_run, runs_folder

FILE, TRIALS = "search.json", "trials"
#: States of a trial that has come to its end, which a search that goes on leaves as it is.
DONE = ("finished", "pruned")
#: The time in the name of a search, before what it was called.
_STAMP = re.compile(r"\d{8}-\d{6}-")


@dataclass(frozen=True)
class Trial:
    """One trial as it is now.

    Attributes:
        number: from 1 on, in the order in which they begin.
        values: of the fields that are searched.
        state: "waiting", "running", "finished", "pruned" (asha ended it early), "failed", or that of its run: "paused",
            "stopped", "interrupted".
        said: the reason where it failed or was pruned, else nothing.
        run: None before it is made, and after it was deleted.
        epoch, epochs: how many are done, and are to be.
        value: the metric of its best epoch, `best_epoch`; None before the first.
    """

    number: int
    values: Mapping[str, Any]
    state: str
    said: str
    run: Run | None
    epoch: int
    epochs: int
    value: float | None
    best_epoch: int | None


class Search(Conducted):
    """A search's folder. Anyone may read; only who holds the lock writes results."""

    KIND, FILE = "search", FILE

    def __init__(self, path: Path) -> None:
        """Of a folder that `create` made; `UserError` where it is damaged."""
        super().__init__(path)
        document = read_json(self.path / FILE)
        try:
            self.title, self.created, self.on = str(document["title"]), float(document["created"]), str(document["on"])
            self.resources = Resources(**document["resources"])
            self.space = Space.of(document["space"])
            self.values: list[dict[str, Any]] = document["trials"]
            rows = isinstance(self.values, list) and all(isinstance(each, dict) for each in self.values)
            if not rows or not self.values or not 0 <= self.created < 1e11:
                raise ValueError
            if any(set(each) != set(self.space.fields) for each in self.values):
                raise ValueError
        except (KeyError, TypeError, ValueError, UserError):
            raise UserError(f"{self.path / FILE} is damaged: delete the search and start it again") from None

    @classmethod
    def folder(cls) -> Path:
        return searches_folder()

    @classmethod
    def create(cls, space: Space, *, name: str = "", on: str = "local", resources: Resources | None = None) -> Search:
        """Make the folder of a new search; nothing is started.

        Args:
            name: what it is called; by its data set and method where left out.
            on: "local", a Ray of this machine alone, or "ray", a cluster.
            resources: the address of the cluster, and what each trial gets of it.

        Raises:
            UserError: a value that a recipe cannot have, a data set that is not there, or no space on the disk.
        """
        trials = space.trials()
        checked: list[Recipe] = []
        for values in trials:
            recipe = space.recipe_of(values)
            alike = ("class_weights", "weights", "start_from", "architecture", "backbone", "options")
            if not any(all(getattr(recipe, n) == getattr(one, n) for n in alike) for one in checked):
                check(recipe)
                checked.append(recipe)
            check_training(recipe)
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
        data = str(checked[0].data).rpartition("/")[2]
        base = f"{stamp}-{slug(name or f'{data} {space.how.method}', most=40)}"
        document = {
            "title": name[:200] or f"{space.how.method} on {data}",
            "created": time.time(),
            "on": on,
            "resources": asdict(resources or Resources()),
            "space": space.document,
            "trials": trials,
        }
        for number in range(1000):
            path = searches_folder() / f"{base}{f'-{number}' if number else ''}"
            with explain_disk_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                try:
                    path.mkdir()
                except FileExistsError:
                    continue
            write_json(path / FILE, document)
            return cls(path)
        raise UserError(f"cannot make a folder for the search below {searches_folder()}")

    def move(self, on: str, resources: Resources) -> None:
        """Go elsewhere from the next time on that it is conducted."""
        write_json(self.path / FILE, {**read_json(self.path / FILE), "on": on, "resources": asdict(resources)})
        self.on, self.resources = on, resources

    def recipe_of(self, number: int) -> Recipe:
        """What a trial is trained by; `UserError` where that is no recipe."""
        return self.space.recipe_of(self.values[number - 1])

    def run_path(self, number: int) -> Path:
        """Where the run of a trial is, or will be."""
        return runs_folder() / f"{self.id}-trial-{number:03d}"

    def record_path(self, number: int) -> Path:
        """What is written down of a trial, beside its run."""
        return self.path / TRIALS / f"{number:03d}.json"

    def keep(self, number: int, state: str | None, said: str = "") -> None:
        """Write down how a trial ended, with its figures, which then stay when its run is deleted."""
        self.check_there()
        now = self.trial(number, of_run=True)
        document = {"state": state, "said": said[:2000], "epoch": now.epoch, "value": now.value}
        write_json(self.record_path(number), {**document, "best_epoch": now.best_epoch})

    def forget_failures(self) -> None:
        """What failed is tried again the next time."""
        for number in range(1, len(self.values) + 1):
            if document_of(self.record_path(number)).get("state") == "failed":
                self.record_path(number).unlink(missing_ok=True)
            starts_path(self.record_path(number)).unlink(missing_ok=True)

    def trials(self) -> list[Trial]:
        """All trials as they are now, in their order."""
        return [self.trial(number) for number in range(1, len(self.values) + 1)]

    def trial(self, number: int, *, of_run: bool = False) -> Trial:
        """A trial as it is now, or as its run alone says."""
        record = {} if of_run else document_of(self.record_path(number))
        path = self.run_path(number)
        run = Run(path) if is_run(path) else None
        kept, said = record.get("state"), str(record.get("said") or "")
        epoch, value, best_epoch = (_number(record.get(name)) for name in ("epoch", "value", "best_epoch"))
        epochs = self._epochs(number)
        state = kept if kept in (*DONE, "failed") else "waiting"
        if run is None:
            if record and kept not in (*DONE, "failed"):
                state = "waiting"
        else:
            status, rows = run.status(), self.history(number)
            epoch, epochs = float(len(rows)), max(len(rows), int(status.get("epochs") or epochs))
            value, best_epoch = self.best_of(rows)
            now = status["state"]
            if now == "finished" or kept not in (*DONE, "failed"):
                state = {"queued": "waiting"}.get(now, now)
                said = str(status.get("error") or "") if now == "failed" else ""
        return Trial(
            number, self.values[number - 1], state, said, run, int(epoch or 0), epochs, value,
            None if best_epoch is None else int(best_epoch),
        )  # fmt: skip

    def _epochs(self, number: int) -> int:
        """As many as a trial is to have, without checking all of its recipe."""
        value = self.values[number - 1].get("epochs", self.space.recipe.get("epochs"))
        return int(_number(value) or Recipe.model_fields["epochs"].default)

    def history(self, number: int) -> list[Row]:
        """`metrics.csv` of a trial's run: a row an epoch."""
        return read_rows(self.run_path(number) / "metrics.csv")

    def best_of(self, rows: Sequence[Row]) -> tuple[float | None, int | None]:
        """The metric of the best of some epochs, and which that is; None twice where none has it."""
        sign = 1 if self.space.how.mode == "max" else -1
        there = [row for row in rows if _number(row.get(self.space.how.metric)) is not None]
        if not there:
            return None, None
        best = max(there, key=lambda row: sign * row[self.space.how.metric])
        return float(best[self.space.how.metric]), int(_number(best.get("epoch")) or 0)

    def best(self, trials: Sequence[Trial]) -> Trial | None:
        """The best of some trials; None where none has a figure."""
        sign = 1 if self.space.how.mode == "max" else -1
        there = [trial for trial in trials if trial.value is not None]
        return max(there, key=lambda trial: sign * (trial.value or 0.0), default=None)


def searches_folder() -> Path:
    return home() / "searches"


def starts_path(record: Path) -> Path:
    """How often a worker began with a trial, beside what is written down of it."""
    return record.with_name(f"{record.stem}-starts.json")


def list_searches() -> list[Search]:
    """Those of the home, newest first; damaged ones are left out."""
    return Search.listed()


def find_search(name: str) -> Search:
    """By its id, its folder, or what it was called, the newest of those; `UserError` where there is none."""
    try:
        return Search.found(name)
    except UserError:
        for search in list_searches() if PLAIN_NAME.fullmatch(name) else []:
            if _STAMP.sub("", search.id, count=1) == name:
                return search
        raise


def _number(value: Any) -> float | None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if good else None
