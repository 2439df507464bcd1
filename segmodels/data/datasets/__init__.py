"""The table of data sets. Adding one is one file in this folder and one entry here."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from segmodels.data.dataset import SPLITS, Dataset, Progress
from segmodels.data.own_data import PREFIX as OWN
from segmodels.data.own_data import own_data, own_names
from segmodels.data.split import use_split
from segmodels.errors import UserError, choose
from segmodels.files import user_path


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
    "monuseg": Entry("monuseg", "MoNuSeg"),
    "monuseg-2": Entry("monuseg", "MoNuSegNuclei"),
    "camvid": Entry("camvid", "CamVid"),
    "dubai-aerial": Entry("dubai_aerial", "DubaiAerial"),
}


#: What a name begins with, beside `own:`, where it is none of the table: TensorFlow Datasets, the Hub.
TFDS, HUB = "tfds:", "hf://datasets/"
_NAMES = {
    OWN: r"[a-z0-9][a-z0-9._-]{0,99}",
    TFDS: r"[\w/.*:-]{1,200}",
    HUB: r"[\w.-]{1,100}/[\w.-]{1,100}(@[\w./-]{1,200})?",
}


def dataset_type(name: str) -> type[Dataset]:
    """The class of a data set of the table: its title, classes and licence, without touching any file."""
    return DATASETS[choose("data set", name, list(DATASETS))].load()


def default_sampling(name: str) -> Literal["resize", "tiles"]:
    """How a model sees the pictures of a data set unless a recipe says otherwise; no file is opened to find out."""
    return dataset_type(name).sampling if name in DATASETS else "resize"


def data_name(text: str) -> str:
    """What a person calls a data set as recipes keep it: a name as it is, a folder as an absolute path.

    Whether it is there is not asked: what was trained on a folder can be looked at when the folder is gone.

    Raises:
        UserError: neither a known name nor a folder.
    """
    if text in DATASETS:
        return text
    for prefix, pattern in _NAMES.items():
        if text.startswith(prefix):
            if not re.fullmatch(pattern, text.removeprefix(prefix)):
                raise UserError(f"{text[:80]!r} is no name of a data set; write {_EXAMPLES[prefix]}")
            return text
    if is_folder(text) or user_path(text).is_dir():
        return str(user_path(text))
    try:
        return choose("data set", text, list(DATASETS))
    except UserError as error:
        raise UserError(f"{error}; or name a folder of your own data") from None


_EXAMPLES = {OWN: "own:nuclei", TFDS: "tfds:oxford_iiit_pet", HUB: "hf://datasets/owner/name"}


def is_folder(name: str) -> bool:
    """Whether a data set is named by the folder it lies in."""
    return not name.startswith((OWN, TFDS, HUB)) and (bool(re.search(r"[/\\]", name)) or name.startswith(("~", ".")))


def portable_name(name: str) -> str:
    """The name for other machines: of a folder only what it is called."""
    if not is_folder(name):
        return name
    return OWN + (re.sub(r"[^a-z0-9._-]+", "-", Path(name).name.lower()).strip("-._") or "data")


def open_dataset(
    name: str,
    root: str | Path | None = None,
    *,
    split_seed: int = 0,
    form: str | None = None,
    split_file: str | Path | None = None,
) -> Dataset:
    """Open a data set.

    Args:
        name: one of `DATASETS`, `own:NAME`, `tfds:NAME`, `hf://datasets/owner/name`, or a folder of one's own data.
        root: the folder of one of `DATASETS`. Without it `SEGMODELS_DATA` and then the folder it would be downloaded to
            are searched. The others know their own.
        split_seed: seed of the parts that are split off, where there are no official ones.
        form: how a folder of one's own is read, one of `own.FORMS`; recognised where None.
        split_file: goes before the data set's own splits.

    Raises:
        UserError: an unknown name, or files that are missing, with what to do.
    """
    dataset = _open(data_name(name), root, split_seed, form)
    if split_file is not None:
        use_split(dataset, split_file)
    return dataset


def _open(name: str, root: str | Path | None, split_seed: int, form: str | None) -> Dataset:
    if name in DATASETS:
        if form is not None:
            raise UserError(f"{name} has a form of its own: leave out the form {form!r}")
        return dataset_type(name)(root=root, split_seed=split_seed)
    if root is not None:
        raise UserError(f"{name} knows where it lies: leave out the root {str(root)!r}")
    if name.startswith(TFDS):
        from segmodels.data.datasets.tfds import open_tfds

        return open_tfds(name, split_seed=split_seed)
    if name.startswith(HUB):
        from segmodels.data.datasets.hub import open_hub

        return open_hub(name, split_seed=split_seed, form=form)
    from segmodels.data.datasets.own import FORMS, open_own

    if not name.startswith(OWN):
        return open_own(name, form=form, split_seed=split_seed)
    record = own_data(name)
    kept = record.form if record.form in FORMS else None  # of another version: then as it is recognised
    return open_own(record.folder, form=form or kept, split_seed=split_seed, name=name)


def download_dataset(name: str, progress: Progress | None = None) -> Path:
    """Bring the files of a data set from its official source, or find them brought; returns their folder.

    Raises:
        UserError: as `Dataset.download`; a folder of one's own has no source.
    """
    name = data_name(name)
    if name in DATASETS:
        return dataset_type(name).download(progress)
    if name.startswith(TFDS):
        from segmodels.data.datasets.tfds import download_tfds

        return download_tfds(name, progress)
    if name.startswith(HUB):
        from segmodels.data.datasets.hub import download_hub

        return download_hub(name, progress)
    raise UserError(f"{name} is your own: there is nothing to download")


def list_brought() -> list[str]:
    """The names of the sets of TensorFlow Datasets and of the Hub whose files are here."""
    from segmodels.data.datasets.hub import hub_names
    from segmodels.data.datasets.tfds import tfds_names

    return [*tfds_names(), *hub_names()]


def list_datasets() -> list[dict[str, Any]]:
    """Every data set: name, title, description, licence, classes, counts a split, where its files are or why not."""
    rows = []
    for name in [*DATASETS, *own_names(), *list_brought()]:
        row: dict[str, Any] = {"name": name}
        try:
            dataset = open_dataset(name)
            counts = {split: len(dataset.samples(split)) for split in SPLITS}
            row |= _about(dataset)
            row |= {**counts, "here": "yes" if dataset.root else "built in", "problem": None}
            row["root"] = str(dataset.root) if dataset.root else None
        except UserError as error:
            row |= _about(dataset_type(name)) if name in DATASETS else _about(None, name)
            row |= {**dict.fromkeys(SPLITS), "here": "no", "problem": str(error), "root": None}
        rows.append(row)
    return rows


def _about(dataset: Dataset | type[Dataset] | None, name: str = "") -> dict[str, Any]:
    if dataset is None:
        return {"title": name, "description": "", "licence": "your own data", "source": name, "classes": []}
    facts = {key: getattr(dataset, key) for key in ("title", "description", "licence", "source")}
    return {**facts, "classes": [label.name for label in dataset.classes]}
