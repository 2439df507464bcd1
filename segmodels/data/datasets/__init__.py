"""The table of data sets. Adding one is one file in this folder and one entry here."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segmodels.data.dataset import SPLITS, Dataset
from segmodels.errors import UserError, choose


@dataclass(frozen=True)
class Entry:
    """Where a data set's class is, and whether it needs files."""

    module: str
    type_name: str
    needs_files: bool = True

    def load(self) -> type[Dataset]:
        return getattr(importlib.import_module(f"segmodels.data.datasets.{self.module}"), self.type_name)


DATASETS: dict[str, Entry] = {
    "toy-pets": Entry("toy_pets", "ToyPets", needs_files=False),
    "toy-nuclei": Entry("toy_nuclei", "ToyNuclei", needs_files=False),
    "oxford-pets": Entry("oxford_pets", "OxfordPets"),
}


def dataset_type(name: str) -> type[Dataset]:
    """The class of a data set by name: its title, classes and licence, without touching any file."""
    return DATASETS[choose("data set", name, list(DATASETS))].load()


def open_dataset(name: str, root: str | Path | None = None, *, split_seed: int = 0) -> Dataset:
    """Open a data set.

    Args:
        name: one of `DATASETS`.
        root: its folder. Without it `SEGMODELS_DATA` and then the folder it would be downloaded to are searched.
        split_seed: seed of the split-off validation part, where there is no official one.

    Raises:
        UserError: an unknown name, or files that are missing, with what to do.
    """
    return dataset_type(name)(root=root, split_seed=split_seed)


def list_datasets() -> list[dict[str, Any]]:
    """Every data set: name, title, description, licence, classes, counts a split, where its files are or why not."""
    rows = []
    for name in DATASETS:
        kind = dataset_type(name)
        row: dict[str, Any] = {
            "name": name,
            "title": kind.title,
            "description": kind.description,
            "licence": kind.licence,
            "source": kind.source,
            "classes": [label.name for label in kind.classes],
        }
        try:
            dataset = open_dataset(name)
            counts = {split: len(dataset.samples(split)) for split in SPLITS}
            row |= {**counts, "here": "yes" if dataset.root else "built in", "problem": None}
            row["root"] = str(dataset.root) if dataset.root else None
        except UserError as error:
            row |= {**dict.fromkeys(SPLITS), "here": "no", "problem": str(error), "root": None}
        rows.append(row)
    return rows
