"""`average`: one model whose weights are the mean of those of several checkpoints of one network."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from segmodels.errors import UserError
from segmodels.evaluation.evaluated_data import kept_split
from segmodels.files import replacing, user_path, whole, write_json, write_text
from segmodels.hub.card import write_card
from segmodels.hub.checkpoint import SPEC, WEIGHTS, Spec, read_spec
from segmodels.hub.contents import check_target
from segmodels.hub.lineage import (
    AVERAGED,
    BEGAN_WITH_MEAN,
    MOST_AVERAGED,
    TRAININGS,
    mean_before,
    metrics_of,
    trainings_before,
)
from segmodels.hub.smaller import SCALES, copy_weights
from segmodels.hub.weights_file import check_weights_file
from segmodels.training.reporter import Reporter
from segmodels.training.runs import SPLIT, find_checkpoint, owner


def average(models: Sequence[str | Path], out: str | Path, *, reporter: Reporter | None = None) -> Path:
    """Write a checkpoint directory with the mean of the weights of several (Wortsman et al. 2022, "Model soups",
    arXiv:2203.05482).

    It helps where the weights lie near each other: epochs of one training, or trainings that began with the same
    checkpoint. Where they do not, the mean knows nothing. The statistics of batch norms are averaged too. Which
    checkpoints to take is best decided on the validation split: `evaluate DIR --split validation`.

    How the data was split for the last one's training is kept beside the weights, so that they are evaluated on nothing
    that it has seen.

    Args:
        models: two or more runs, `RUN@EPOCH`, checkpoint directories, `hf://owner/name@revision`. Of the last one are
            the recipe and the input contract.
        out: the folder; what lay there before is replaced at the end, where it was a checkpoint directory.
        reporter: told how it goes; by default nobody.

    Returns:
        The folder.

    Raises:
        UserError: fewer than two models, another network or other classes, damaged weights, or a folder that holds
            something else.
    """
    told, target = reporter or Reporter(), user_path(out)
    if not 2 <= len(models) <= MOST_AVERAGED:
        raise UserError(f"{len(models)} models have no mean: name 2 to {MOST_AVERAGED}")
    sources, specs = of_one_kind(models, _check_alike, told)
    check_target(target)
    before = trainings_before(sources[-1])
    metrics: dict[str, Any] = {AVERAGED: [label_of(source) for source in sources], TRAININGS: before}
    if names := mean_before(sources[-1]):
        metrics[BEGAN_WITH_MEAN] = names
    with replacing(target) as beside:
        beside.mkdir()
        write_text(beside / SPEC, specs[-1].model_dump_json(indent=2) + "\n")
        _write_mean([source / WEIGHTS for source in sources], beside / WEIGHTS, told)
        write_json(beside / "metrics.json", metrics)
        _copy_history(sources[-1], beside / "history.csv")
        if (split := kept_split(sources[-1])).is_file():
            shutil.copyfile(split, beside / SPLIT)
        write_card(beside, specs[-1], metrics, before=before)
    return target


def of_one_kind(
    models: Sequence[str | Path], check: Callable[[Spec, Spec, str, str], None], reporter: Reporter
) -> tuple[list[Path], list[Spec]]:
    """The checkpoint directories of models and their specs, of which `check` refuses what does not go with the last
    one; it gets both specs, and what both models are called."""
    sources = [whole(find_checkpoint(model, reporter)) for model in models]
    specs = [read_spec(source) for source in sources]
    for model, spec in zip(models, specs, strict=True):
        check(spec, specs[-1], str(model), str(models[-1]))
    return sources, specs


def _check_alike(spec: Spec, last: Spec, name: str, other: str) -> None:
    if spec.architecture != last.architecture:
        raise UserError(
            f"{name} ({spec.architecture.described}) is another network than {other} ({last.architecture.described}): "
            "only weights of one network have a mean"
        )
    if [label.name for label in spec.classes] != [label.name for label in last.classes]:
        raise UserError(f"{name} and {other} have other classes: only models of the same classes have a mean")
    if spec.input.mode != last.input.mode:
        raise UserError(f"{name} sees {spec.input.mode} and {other} {last.input.mode}: average models of one kind")


def label_of(source: Path) -> str:
    """The run and the epoch of a checkpoint, or what its folder is called."""
    epoch, name = metrics_of(source).get("epoch"), (owner(source) or source).name
    return f"{name}@{epoch}" if type(epoch) is int else name


def _copy_history(source: Path, target: Path) -> None:
    """Keep the course of the training that a checkpoint is of, where it is known."""
    run = owner(source)
    told = run / "metrics.csv" if run else source / "history.csv"
    if told.is_file():
        shutil.copyfile(told, target)


def _write_mean(files: Sequence[Path], target: Path, reporter: Reporter) -> None:
    """Write a file like the last one, with the mean of all: fractions in float32, whole numbers as there."""
    shapes = [check_weights_file(file) for file in files]
    for file, found in zip(files, shapes, strict=True):
        if any(name.startswith(f"{SCALES}/") for name in found):
            raise UserError(f"{file} is of eight bits: average what it was made of")
        if found != shapes[-1]:
            raise UserError(f"{file} has other arrays than {files[-1]}: only weights of one network have a mean")
    with ExitStack() as stack:
        opened = [stack.enter_context(h5py.File(file, "r")) for file in files]
        written = stack.enter_context(h5py.File(target, "w"))
        done = count(1)

        def mean(name: str, last: np.ndarray) -> np.ndarray:
            reporter.progress(next(done), len(shapes[-1]), "averaging")
            return _mean([*(file[name] for file in opened[:-1]), last])

        copy_weights(opened[-1], written, mean)


def _mean(arrays: Sequence[Any]) -> np.ndarray:
    if not np.issubdtype(arrays[-1].dtype, np.floating):
        return arrays[-1][()]
    total = np.zeros(arrays[-1].shape, np.float64)
    for array in arrays:
        total += array[()]
    return (total / len(arrays)).astype(np.float32)
