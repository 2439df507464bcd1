"""What a training is called by: all that decides its result, as one digest. Loads no Keras.

Two machines that train the same recipe on the same pictures get the same digest, wherever the files lie and whatever
their folder is called. Engine, device and versions are not part of it: they change a result no more than chance does.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from segmodels.data.dataset import Dataset
from segmodels.data.datasets import DATASETS
from segmodels.data.prepare import VERSION as PREPARED
from segmodels.errors import UserError
from segmodels.files import read_json, state_of, whole, write_json
from segmodels.home import home
from segmodels.hub.checkpoint import WEIGHTS, read_spec
from segmodels.models.architectures import NAMED_WEIGHTS, checked_options
from segmodels.models.weights import given_file
from segmodels.recipe import Recipe
from segmodels.training.runs import find_checkpoint

#: Change this when the same recipe would be trained to other weights.
VERSION = 1
#: Fields whose content stands in the digest instead of them: where data lies, how it is read and split, how much of it.
#: And two that leave the best weights as they are.
LEFT_OUT = {"data", "root", "form", "split_file", "split_seed", "limit", "start_from", "teachers", "snapshots", "xla"}
#: Fields that are younger than the digest: it has them only where they are set, and so stays that of before.
YOUNGER = {"teacher_weight"}
#: Digests of data that are kept, so that its files are read once; the oldest go first.
KEPT = 200


def fingerprint(
    recipe: Recipe,
    dataset: Dataset | None = None,
    *,
    start: Path | None = None,
    teachers: Sequence[Path] | None = None,
) -> str:
    """The digest of a training, SHA-256 in hexadecimal.

    Args:
        dataset: the recipe's, opened and split as it is for the training; opened here where None.
        start: the checkpoint directory that the training began with; the one that `start_from` names where None.
        teachers: those that it learned from; the ones that the recipe names where None.

    Raises:
        UserError: the data set, or a file that the recipe names, is not there.
    """
    return digest(described(recipe, dataset, start=start, teachers=teachers))


def described(
    recipe: Recipe,
    dataset: Dataset | None = None,
    *,
    start: Path | None = None,
    teachers: Sequence[Path] | None = None,
) -> dict[str, Any]:
    """What the digest is of: a plain document without a path. See `fingerprint`."""
    dataset = dataset or recipe.dataset()
    fields = fields_of(recipe)
    if recipe.weights is not None and recipe.weights not in NAMED_WEIGHTS:
        fields["weights"] = _digest_of(given_file(recipe.weights))
    if teachers is None:
        teachers = [find_checkpoint(name) for name in recipe.teachers or ()]
    return {
        "version": VERSION,
        "prepared": PREPARED,
        "classes": [label.name for label in dataset.classes],
        "content": content(recipe, dataset)["content"],
        "start": _start(start or find_checkpoint(recipe.start_from)) if recipe.start_from else None,
        "recipe": fields,
        **({"teachers": [_teacher(path) for path in teachers]} if teachers else {}),
    }


def digest(document: dict[str, Any]) -> str:
    """What a training that is `described` is called by."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def fields_of(recipe: Recipe) -> dict[str, Any]:
    """The fields of a recipe that decide a result beside the data, each in one form however it was written."""
    given = recipe.model_dump(mode="json")
    fields = {
        name: value for name, value in given.items() if name not in LEFT_OUT and not (name in YOUNGER and value is None)
    }
    options = checked_options(recipe.architecture, recipe.backbone, recipe.options).model_dump(mode="json")
    stride = recipe.tiling.stride if recipe.tiling else None
    return {**fields, "options": options, "tile_stride": stride}


def content(recipe: Recipe, dataset: Dataset) -> dict[str, str]:
    """Digests of what is trained and validated on: "content" of it all, whatever the data set is called, and "train" as
    `metrics.json` has it for the training part.

    The files are read once; as long as none of them changes, the digests are found in the home's cache.
    """
    parts = {"train": dataset.samples("train")[: recipe.limit], "validation": dataset.samples("validation")}
    paths = [path for part in parts.values() for sample in part for path in (sample.image_path, sample.mask_path)]
    about = dataset.name, *dataset.reading(), [[sample.id for sample in part] for part in parts.values()]
    # The same files under another name have other digests, and a generated set has none but its own.
    own = dataset.fingerprint(parts["train"]) if not any(paths) else ""
    place = home() / "cache" / "content" / f"{state_of(filter(None, paths), *about, own)}.json"
    with suppress(UserError):
        kept = read_json(place)
        if isinstance(kept, dict) and all(isinstance(kept.get(name), str) for name in ("content", "train")):
            return kept
    nameless = copy.copy(dataset)
    if recipe.data not in DATASETS:
        nameless.name = ""
    whole_ = json.dumps([nameless.fingerprint(part) for part in parts.values()])
    found = {"content": hashlib.sha256(whole_.encode()).hexdigest(), "train": dataset.fingerprint(parts["train"])}
    with suppress(UserError, OSError):  # where it cannot be kept, it is found again
        write_json(place, found)
        _sweep(place.parent)
    return found


def _start(path: Path) -> dict[str, Any]:
    """The weights that a training begins with, and the classes that they tell apart."""
    folder = whole(path)
    return {"weights": _digest_of(folder / WEIGHTS), "classes": [label.name for label in read_spec(folder).labels]}


def _teacher(path: Path) -> dict[str, Any]:
    """The weights of a teacher, and the size at which it sees pictures."""
    return {"weights": _digest_of(whole(path) / WEIGHTS), "size": read_spec(path).input.size}


def _digest_of(path: Path) -> str:
    """Of the content of a file, or of the files of a folder and their names there."""
    files = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for each in files:
        try:
            with each.open("rb") as file:
                own = hashlib.file_digest(file, "sha256").digest()
        except OSError as error:
            raise UserError(f"{each} cannot be read: {error.strerror}") from None
        digest.update(os.fsencode(each.relative_to(path).as_posix()) + b"\0" + own)
    return digest.hexdigest()


def _sweep(folder: Path) -> None:
    for old in sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)[:-KEPT]:
        old.unlink(missing_ok=True)
