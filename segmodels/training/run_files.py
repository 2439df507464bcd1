"""The files of a run for people: which of them are there, safe to read, and all of them in one zip. Loads no Keras.

A run directory may come from anywhere and lie half deleted: a link that leads out of it is not followed, and nothing is
taken for a file that is none.
"""

from __future__ import annotations

import stat
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from segmodels.errors import UserError
from segmodels.files import replacing, whole
from segmodels.recipe import Recipe
from segmodels.training.runs import Run, find_run, runs_folder

#: What goes into the archive, with what it is; in the order of its README.txt.
MEMBERS = {
    "metrics.csv": "a row an epoch: figures of the training, val_… of the validation, val_iou_CLASS, the learning rate "
    "at the end of the epoch, and its seconds",
    "steps.csv": "a row a step: figures of that batch, the learning rate, seconds",
    "confusion.csv": "a row an epoch: pixels of the validation by pair of classes, a column TRUTH-PREDICTION (numbers "
    "of the classes from 0)",
    "recipe.json": "all that was asked for",
    "recipe.yaml": "the same, as `python -m segmodels train --recipe recipe.yaml` takes it",
    "status.json": "where the run stood when this was written: state, epoch, device, versions, memory",
    "split.json": "which picture was in which split",
    "changes.json": "what was changed on the way, and from where on",
    "notes.json": "what was written to it: a note, tags",
    "log.txt": "what the trainer said",
    "best/metrics.json": "the best epoch: figures, a row a class, the confusion matrix (rows: truth), numbers of "
    "pictures and the fingerprint of the data",
}
#: Files one of which makes a folder the remains of a run.
_SIGNS = ("status.json", "metrics.csv", "steps.csv", "best/metrics.json", "best/segmodels.json")


def file_of(run: Run, name: str) -> Path | None:
    """Where a file of a run is; None where it is missing, no plain file, or leads out of the run."""
    try:
        path = run.path / name
        if name.startswith("best/"):
            path = whole(run.best) / name.removeprefix("best/")
        found = path.resolve(strict=True)
        if found.is_relative_to(run.path) and stat.S_ISREG(found.stat().st_mode):
            return found
    except (OSError, RuntimeError, ValueError):
        pass
    return None


def status_of(run: Run) -> dict[str, Any]:
    """`Run.status` of a run that may be damaged: with the state "unknown" where nothing says it."""
    unknown = {"state": "unknown", "error": "its status.json is missing or damaged"}
    if file_of(run, "status.json") is None:
        return unknown
    status = run.status()
    return unknown if status.get("error") == unknown["error"] else status


def find_remains(name: str | Path) -> Run:
    """A run by its id or its directory, also one of which only a part is left; `UserError` where there is nothing."""
    try:
        return find_run(name)
    except UserError:
        for path in (Path(name), runs_folder() / str(name)) if str(name) else ():
            with suppress(OSError, RuntimeError, ValueError):  # a name that no folder can have
                run = Run(path)
                if any(file_of(run, sign) for sign in _SIGNS):
                    return run
        raise


def write_archive(run: Run, path: Path) -> Path:
    """Write a zip of all that is read in a spreadsheet or by hand, with a README.txt; what is missing is left out.

    Returns:
        the path.

    Raises:
        UserError: there is nothing of the run, or the file cannot be written.
    """
    found = {name: place for name in MEMBERS if (place := file_of(run, name))}
    if not found:
        raise UserError(f"{run.path} holds none of the files of a run")
    recipe = recipe_as_yaml(run)
    with (
        replacing(path) as part,
        zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive,
    ):
        archive.writestr("README.txt", _readme(run, [*found, *(["recipe.yaml"] if recipe else [])]))
        for name, place in found.items():
            if name != "recipe.yaml":
                archive.write(place, name)
        if recipe:
            archive.writestr("recipe.yaml", recipe)
    return path


def recipe_as_yaml(run: Run) -> str | None:
    """The recipe of a run as YAML; None where it is missing or not one of this version."""
    place = file_of(run, "recipe.json")
    try:
        return dump_yaml(Recipe.load(place).model_dump(mode="json")) if place else None
    except (UserError, TypeError, ValueError, AttributeError):  # values of kinds that no recipe looks for
        return None


def dump_yaml(document: object) -> str:
    """A plain document as YAML for people: in its own order, letters as they are."""
    try:
        return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)
    except RecursionError:
        return "# nested too deeply to be shown\n"


def _readme(run: Run, names: list[str]) -> str:
    lines = [f"Run {run.id}, files to read by hand or in a spreadsheet. Numbers have a decimal point.", ""]
    lines += [f"{name}: {text}" for name, text in MEMBERS.items() if name in names]
    return ("\n".join(lines) + "\n").encode("utf-8", "replace").decode("utf-8")
