"""Segmentation sets of TensorFlow Datasets: `tfds:NAME[/config][:version]`.

TensorFlow Datasets runs once, in `download_tfds`: it downloads and prepares the set in its own folder
(`TFDS_DATA_DIR`), and what it has stored is copied to `home()/data/tfds`. To open the copy needs neither it nor
TensorFlow, which the server process must not load.
"""

from __future__ import annotations

import contextlib
import importlib.resources
import importlib.resources.abc
import importlib.util
import os
import re
import sys
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from segmodels.data.bars import heard_bar
from segmodels.data.dataset import ClassLabel, Dataset, Progress
from segmodels.data.datasets.imported import Import, ImportedDataset, is_import, read_index
from segmodels.data.datasets.oxford_pets import OxfordPets
from segmodels.data.disk import Report, Stop, locked, make_folder, need_space
from segmodels.data.label_files import Label
from segmodels.errors import UserError
from segmodels.files import being_written, replacing, sweep
from segmodels.home import home

PREFIX = "tfds:"

#: A set of TensorFlow Datasets itself: nothing of a community's, whose code would be run, and no arguments.
_NAME = re.compile(r"(?P<set>[a-z][a-z0-9_]*)(/(?P<config>[\w.+-]+))?(:(?P<version>\d+\.\d+\.\d+))?", re.ASCII)

#: What the features that hold pictures, masks and names are called, the likeliest first.
_PICTURES = ("image", "image_left", "img", "picture")
_MASKS = ("segmentation_mask", "segmentation_label", "mask", "annotation", "label")
_NAMES = ("file_name", "filename", "image/filename", "image/file_name", "image_name", "image_id", "name", "id")

#: The mask values and classes of sets whose features do not tell them.
_CLASSES: Mapping[str, list[tuple[int, ClassLabel]]] = {
    "oxford_iiit_pet": list(enumerate(OxfordPets.classes, start=1)),
}


def open_tfds(name: str, *, split_seed: int = 0) -> Dataset:
    """Open what `download_tfds` brought, without TensorFlow.

    The splits are the official ones; where there is no validation split, a tenth of the training one, of every label
    its share, chosen by `split_seed`.

    Raises:
        UserError: no such name, or it has not been brought yet.
    """
    folder = _folder(name)
    if being_written(folder):
        raise UserError(
            f"{name} is being converted just now: open it when that is done; if that was broken off, bring it again "
            f"with `python -m segmodels datasets download {name}`"
        )
    if not is_import(folder):
        raise UserError(f"{name} is not here yet: bring it with `python -m segmodels datasets download {name}`")
    return ImportedDataset(folder, split_seed=split_seed)


def download_tfds(name: str, progress: Progress | None = None, stop: Stop | None = None) -> Path:
    """Bring a set from TensorFlow Datasets, or find it brought; returns its folder.

    Loads TensorFlow where TensorFlow Datasets does, so call it in a process of its own. What it has downloaded and
    prepared before is used again, in whatever file format.

    Args:
        progress: told the MiB downloaded, then the examples prepared and those copied.
        stop: asked often; once it returns True this ends with `segmodels.data.disk.Stopped`.

    Raises:
        UserError: no such set, one without masks, one that has to be fetched by hand, no network, no space.
    """
    folder = _folder(name)
    if is_import(folder):
        return folder
    make_folder(folder.parent)
    report = Report(progress, stop)
    with locked(folder.parent / f".{folder.name}.lock", lambda: report(0, 1, f"waiting for another import of {name}")):
        if is_import(folder):
            return folder
        with _explained(name):
            builder = _prepared(name, report)
        sweep(folder.parent, folder.name)
        need_space(folder.parent, int(builder.info.dataset_size))
        with replacing(folder) as beside:
            _write(name, builder, beside, report)
    return folder


def tfds_names() -> list[str]:
    """The sets that have been brought, by the names they are opened with, sorted."""
    found = []
    for path in (home() / "data" / "tfds").glob("[!.]*/index.json"):
        with contextlib.suppress(UserError, KeyError):
            found.append(str(read_index(path.parent)["name"]))
    return sorted(found)


def _parsed(name: str) -> re.Match[str]:
    found = _NAME.fullmatch(name.removeprefix(PREFIX))
    if not name.startswith(PREFIX) or not found:
        raise UserError(f"{name[:80]!r} is no name of TensorFlow Datasets: write tfds:NAME[/config][:1.0.0]")
    return found


def _folder(name: str) -> Path:
    parts = _parsed(name).group("set", "config", "version")
    return home() / "data" / "tfds" / "--".join(part for part in parts if part)


def _prepared(name: str, report: Report) -> Any:
    """The builder of a set, whose files are there."""
    tfds = _library(name)
    with contextlib.redirect_stdout(sys.stderr), _heard_bars(report):
        builder = tfds.builder(name.removeprefix(PREFIX))
        _features(tfds, builder, name)  # before anything is downloaded
        # Its own default is TFRecord, which only TensorFlow reads.
        file_format = "array_record" if importlib.util.find_spec("array_record") else None
        report(0, 1, "TensorFlow Datasets prepares its files")
        try:
            builder.download_and_prepare(file_format=file_format)
        except AssertionError as error:
            if not builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
                raise
            raise UserError(f"{name} has to be fetched by hand: {_one_line(error)}") from None
    return builder


def _library(name: str) -> Any:
    """The package, set up to leave the machine to others."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    if importlib.util.find_spec("importlib_resources") is None:
        # Needed and not required by its 4.9.10: https://github.com/tensorflow/datasets/issues/11212
        sys.modules["importlib_resources"] = importlib.resources
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise UserError(f"{name} needs TensorFlow Datasets: pip install tensorflow-datasets ({error})") from None
    return tensorflow_datasets


@contextlib.contextmanager
def _heard_bars(report: Report) -> Iterator[None]:
    """Hear the bars of TensorFlow Datasets, which has no other way to tell how far it is."""
    from tensorflow_datasets.core.utils import tqdm_utils

    def hear(done: int, total: int, what: str) -> None:
        kind = what.split(" ")[0].lower()
        if kind == "dl" and "Size" in what:
            report(done, max(total, done + 1), "downloading, in MiB")
        elif kind in ("generating", "shuffling") and "splits" not in what:
            report(done, max(total, done + 1), f"{kind} the examples")
        else:
            report(0, 1, "TensorFlow Datasets prepares its files")

    drawn = tqdm_utils.tqdm_lib
    tqdm_utils.tqdm_lib = types.SimpleNamespace(tqdm=heard_bar(hear))
    try:
        yield
    finally:
        tqdm_utils.tqdm_lib = drawn


def _features(tfds: Any, builder: Any, name: str) -> tuple[str, str]:
    """The names of the features that hold the picture and the mask."""
    images = {key: one for key, one in builder.info.features.items() if isinstance(one, tfds.features.Image)}
    labelled = [key for key, one in images.items() if isinstance(one, tfds.features.LabeledImage)]
    mask = next((key for key in (*labelled, *_MASKS) if key in images), None)
    if mask is None:
        known = ", ".join(builder.info.features)
        raise UserError(f"{name} has no masks (its features are {known}): choose a segmentation set")
    coloured = [key for key, one in images.items() if key != mask and one.shape[-1] == 3]
    picture = next((key for key in (*_PICTURES, *coloured) if key in coloured), None)
    if picture is None:
        raise UserError(f"{name} has masks but no pictures in colour")
    return picture, mask


def _write(name: str, builder: Any, folder: Path, report: Report) -> None:
    """Copy the stored bytes of every picture and mask."""
    tfds = _library(name)
    info, features = builder.info, dict(builder.info.features)
    picture, mask = _features(tfds, builder, name)
    kind = features["label"] if isinstance(features.get("label"), tfds.features.ClassLabel) else None
    called = next((key for key in _NAMES if key in features and features[key].shape == ()), None)
    images = [key for key, one in features.items() if isinstance(one, tfds.features.Image)]
    decoders = {key: tfds.decode.SkipDecoding() for key in images}  # the bytes as they are stored
    imported, done = Import(folder), 0
    total = sum(split.num_examples for split in info.splits.values())
    for split in info.splits:
        for number, example in enumerate(_examples(name, tfds, builder, split, decoders)):
            imported.add(
                name=_text(example[called]) if called else "",
                split=split,
                group=kind.int2str(int(example["label"])) if kind else "",
                image=bytes(example[picture]),
                mask=bytes(example[mask]),
                where=f"{split} {number}",
            )
            done += 1
            report(done, total, f"copying {name}")
    names = getattr(features[mask], "names", None)
    imported.finish(
        name=name,
        title=f"{info.full_name} of TensorFlow Datasets",
        description=_one_line(info.description),
        licence="see its source",
        source=info.homepage or f"https://www.tensorflow.org/datasets/catalog/{info.name}",
        classes=_CLASSES.get(info.name),
        labels={value: Label(label) for value, label in enumerate(names)} if names else None,
    )


def _examples(name: str, tfds: Any, builder: Any, split: str, decoders: Any) -> Iterator[Any]:
    """The examples of a split in their stored order, read without TensorFlow where their file format allows it."""
    with _explained(name):
        try:
            stored = builder.as_data_source(split, decoders=decoders)
        except NotImplementedError:
            stored = tfds.as_numpy(builder.as_dataset(split=split, decoders=decoders, shuffle_files=False))
        yield from stored


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    """Make one line of whatever TensorFlow Datasets and what it downloads with raise; it has no errors of its own for
    most of it."""
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:
        kind = type(error).__name__
        if kind == "DatasetNotFoundError":
            raise UserError(
                f"TensorFlow Datasets has no set {name.removeprefix(PREFIX)!r}: its names are listed at "
                "https://www.tensorflow.org/datasets/catalog/overview"
            ) from None
        if kind == "ModuleNotFoundError":
            raise UserError(f"{name} needs a package that is missing ({error}): install it and try again") from None
        raise UserError(f"{name}: TensorFlow Datasets cannot prepare or read it ({kind}: {_one_line(error)})") from None


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _one_line(text: object) -> str:
    return " ".join(str(text).split())[:300]
