"""A comparison on disk: what is compared, the runs that were made for it, and what was found. Loads no Keras.

The app, the command line and the process that conducts it meet only in these files, as with runs.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from segmodels.conducted import Conducted, document_of
from segmodels.data.dataset import SPLITS, Dataset
from segmodels.data.datasets import open_dataset
from segmodels.errors import UserError, choose
from segmodels.evaluation.compare.entries import (
    FAILURE,
    SPEED,
    Entry,
    Member,
    check_members,
    run_of,
    state_of_run,
)
from segmodels.evaluation.evaluated_data import evaluated_recipe
from segmodels.evaluation.reports import COUNTS, DOCUMENT
from segmodels.files import explain_disk_errors, read_json, replacing, slug, write_json
from segmodels.home import home
from segmodels.hub.checkpoint import read_spec
from segmodels.recipe import Recipe
from segmodels.training.runs import Run, find_checkpoint

#: The files of a comparison, beside the results of its entries.
FILE, SPLIT = "comparison.json", "split.json"
PROTOCOLS, _SIZES = ("same", "own"), ("native", "model")
#: Fields of a recipe that say how a data set is read and split, and what they are where none says it.
READING: dict[str, Any] = {"split_seed": 0, "form": None, "split_file": None}


def comparisons_folder() -> Path:
    return home() / "comparisons"


class Comparison(Conducted):
    """A comparison's folder. Anyone may read; only who holds the lock writes results."""

    KIND, FILE = "comparison", FILE

    def __init__(self, path: Path) -> None:
        """Of a folder that `create` made; `UserError` where it is damaged."""
        super().__init__(path)
        document = read_json(self.path / FILE)
        try:
            self.title = str(document["title"])
            self.created = float(document["created"])
            self.data, self.root = str(document["data"]), document["root"]
            self.split, self.at = choose("split", document["split"], SPLITS), choose("size", document["at"], _SIZES)
            self.protocol = choose("protocol", document["protocol"], PROTOCOLS)
            self.reading = {name: document["reading"][name] for name in READING}
            self.members = tuple(Member(**row) for row in document["members"])
            check_members(self.members)
            if not isinstance(self.root, str | None) or not 0 <= self.created < 1e11:
                raise ValueError
        except (KeyError, TypeError, ValueError, UserError):
            raise UserError(f"{self.path / FILE} is damaged: delete the comparison and start it again") from None

    @classmethod
    def folder(cls) -> Path:
        return comparisons_folder()

    @classmethod
    def create(
        cls,
        members: Sequence[Member],
        *,
        data: str,
        root: str | None = None,
        split: str = "test",
        at: str = "native",
        protocol: str = "same",
        title: str = "",
    ) -> Comparison:
        """Make the folder of a new comparison; nothing is started.

        Args:
            data, root, split, at: what all are evaluated on, as `evaluate` takes it.
            protocol: "same" where all are trained by one recipe but for the network, "own" where each has its own.

        Raises:
            UserError: no member, two of one name, too many, an unknown data set, an empty split, or no space.
        """
        check_members(members)
        reading = _reading(members, data, root)
        dataset = open_dataset(data, root, **reading)
        if not dataset.samples(choose("split", split, SPLITS)):
            raise UserError(f"{data} has no pictures in its {split} split: choose another split")
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
        name = f"{stamp}-{slug(title or data.rpartition('/')[2], most=40)}"
        document = {
            "title": title[:200] or f"{len(members)} on {data}",
            "created": time.time(),
            "data": data,
            "root": root,
            "split": split,
            "at": choose("size", at, _SIZES),
            "protocol": choose("protocol", protocol, PROTOCOLS),
            "reading": reading,
            "members": [asdict(member) for member in members],
        }
        for number in range(1000):
            path = comparisons_folder() / f"{name}{f'-{number}' if number else ''}"
            with explain_disk_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                try:
                    path.mkdir()
                except FileExistsError:
                    continue
            if reading["split_file"]:  # the run that has it may be deleted
                with replacing(path / SPLIT) as beside:
                    shutil.copyfile(reading["split_file"], beside)
                document["reading"] = {**reading, "split_file": SPLIT}
            write_json(path / FILE, document)
            return cls(path)
        raise UserError(f"cannot make a folder for the comparison below {comparisons_folder()}")

    def dataset(self) -> Dataset:
        """What all are evaluated on, split as it was for the first of them; `UserError` where it is gone."""
        own = {"split_file": self.path / SPLIT} if self.reading["split_file"] else {}
        return open_dataset(self.data, self.root, **{**self.reading, **own})

    def keep_run(self, member: int, seed: int, run: Run) -> None:
        """Note the run that was made for a seed of a member."""
        runs = list(self.members[member].runs)
        runs[seed] = str(run.path)
        members = list(self.members)
        members[member] = replace(members[member], runs=tuple(runs))
        document = read_json(self.path / FILE)
        document["members"] = [asdict(each) for each in members]
        write_json(self.path / FILE, document, make_folder=False)
        self.members = tuple(members)

    def entries(self) -> list[Entry]:
        """Each member with each of its seeds, as they are now."""
        return [
            self.entry(number, seed) for number, member in enumerate(self.members) for seed in range(len(member.runs))
        ]

    def recipe_of(self, entry: Entry) -> Recipe:
        """What an entry that is trained here is trained by; `UserError` where that is no recipe."""
        recipe = Recipe(**(self.members[entry.member].recipe or {}))
        return recipe.model_copy(update={"seed": recipe.seed + entry.seed})

    def to_train(self) -> list[Recipe]:
        """The recipes of the runs that are not made yet; wrong ones are left out."""
        found = []
        for entry in self.entries():
            if entry.run is None and entry.state == "waiting" and self.members[entry.member].recipe is not None:
                with suppress(UserError):
                    found.append(self.recipe_of(entry))
        return found

    def entry(self, number: int, seed: int) -> Entry:
        """A member with one of its seeds, as it is now."""
        member = self.members[number]
        folder = self.path / "results" / f"{number}-{seed}"
        run = run_of(member, seed)
        state, said = "waiting", ""
        if (folder / DOCUMENT).is_file() and (folder / COUNTS).is_file():
            state = "evaluated"
        elif failure := document_of(folder / FAILURE).get("reason"):
            state, said = "failed", str(failure)
        elif run is not None:
            state, said = state_of_run(run, trained_here=member.recipe is not None)
        elif member.recipe is not None and member.runs[seed]:
            state, said = "failed", "its run was deleted before it was evaluated"
        return Entry(number, seed, member.name, state, said, folder, run)

    def fail(self, entry: Entry, reason: str) -> None:
        """Note why an entry has no figures; `UserError` where the comparison was deleted."""
        self.check_there()
        write_json(entry.folder / FAILURE, {"reason": reason[:2000], "time": time.time()})

    def forget_failures(self) -> None:
        """What failed is tried again the next time: a training, an evaluation, a timing."""
        for entry in self.entries():
            (entry.folder / FAILURE).unlink(missing_ok=True)
            if "error" in entry.speed:
                (entry.folder / SPEED).unlink(missing_ok=True)


def _reading(members: Sequence[Member], data: str, root: str | None) -> dict[str, Any]:
    """How the data set is read and split for the first of the members that is trained, or was, on it."""
    for member in members:
        recipe = member.recipe
        if member.model is not None:
            with suppress(UserError):
                path = find_checkpoint(member.model)
                recipe = evaluated_recipe(path, read_spec(path).recipe, data, root).model_dump()
        if recipe is not None and recipe.get("data") == data:
            return {name: recipe.get(name) or usual for name, usual in READING.items()}
    return dict(READING)


def list_comparisons() -> list[Comparison]:
    """Those of the home, newest first; damaged ones are left out."""
    return Comparison.listed()


def find_comparison(name: str) -> Comparison:
    """By its id, or its folder; `UserError` where there is none."""
    return Comparison.found(name)
