"""A comparison on disk as if it had been conducted, made in moments: predictions are truths with mistakes."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segmodels.data.dataset import Dataset
from segmodels.evaluation.boundary import boundary_counts, boundary_f1, boundary_iou, default_width
from segmodels.evaluation.compare.comparison import Comparison
from segmodels.evaluation.compare.entries import CHECKPOINT, HISTORY, RECIPE, SPEED, TRAINING, Entry, Member
from segmodels.evaluation.confusion import ConfusionMatrix
from segmodels.evaluation.instances import FIGURES
from segmodels.evaluation.picture_counts import PictureCounts
from segmodels.evaluation.reports import save_report
from segmodels.files import write_json
from segmodels.hub.checkpoint import SPEC, WEIGHTS
from segmodels.prediction.stored import StoredPredictions
from segmodels.recipe import Recipe

#: What the members are, best first; those beyond them begin again with another width.
NETWORKS = ("unet", "fpn", "linknet", "deeplabv3+", "unet++", "segnet", "pspnet", "fcn8", "upernet", "segformer")
EPOCHS = 5


def made_comparison(
    home: Path,
    *,
    data: str = "toy-pets",
    members: int = 3,
    seeds: int = 1,
    pictures: int = 40,
    names: Sequence[str] | None = None,
    models: int = 0,
    failed: Mapping[tuple[int, int], str] | None = None,
    waiting: Sequence[tuple[int, int]] = (),
    masks: bool = False,
    instances: bool = False,
    title: str = "Toy comparison",
    protocol: str = "same",
    recipes: Sequence[Mapping[str, Any]] = (),
    state: str = "finished",
) -> Comparison:
    """A comparison on the test split of a data set below a home, which is the present one while this is made.

    Members get worse from the first to the last, pictures are harder or easier for all of them, and seeds differ a
    little. Everything is the same at each call.

    Args:
        members, seeds: how many, and runs of each.
        pictures: how many are evaluated; toy-pets has 40, and what is more repeats their counts under ids (`more-N`)
            that the data set does not have.
        names: of the members, instead of those of their networks.
        models: how many of the members, from the last on, are models that were there already: those have one run and no
            training.
        failed: by member and seed, why there are no figures.
        waiting: member and seed of those that were not trained yet.
        masks: whether the predicted masks are kept (`prediction.stored`).
        instances: whether the reports have figures of objects.
        recipes: fields of the members' recipes, over those of all.
        state: of the comparison.
    """
    failed = dict(failed or {})
    place = home / "made" / str(len(list((home / "made").glob("*"))))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEGMODELS_HOME", str(home))
        rows = [
            _member(
                place,
                number,
                names[number] if names else None,
                seeds,
                {"data": data, **(recipes[number] if number < len(recipes) else {})},
                model=number >= members - models,
            )
            for number in range(members)
        ]
        comparison = Comparison.create(rows, data=data, title=title, protocol=protocol)
        made = _Maker(comparison, pictures, masks=masks, instances=instances)
        for entry in comparison.entries():
            if reason := failed.get((entry.member, entry.seed)):
                comparison.fail(entry, reason)
            elif (entry.member, entry.seed) not in waiting:
                made.entry(entry, place / f"{entry.member}-{entry.seed}" / "best")
        comparison.write_status(state=state, phase=state)
        return comparison


def _member(
    place: Path, number: int, name: str | None, seeds: int, fields: Mapping[str, Any], *, model: bool
) -> Member:
    network = NETWORKS[number % len(NETWORKS)]
    again = number // len(NETWORKS)
    usual = {"architecture": network, "weights": "none", "image_size": 64, "epochs": EPOCHS}
    recipe = Recipe(**{**usual, **fields})
    backbone = "" if recipe.backbone == "none" else f" on {recipe.backbone}"
    name = name or f"{recipe.architecture}{backbone}{f' {again + 1}' if again else ''}"
    if model:
        return Member(name, None, str(place / f"{number}-0" / "best"), (None,))
    return Member(name, recipe.model_dump(mode="json"), None, (None,) * seeds)


class _Maker:
    """Writes the results of entries, one after another."""

    def __init__(self, comparison: Comparison, pictures: int, *, masks: bool, instances: bool) -> None:
        self.comparison = comparison
        self.dataset = comparison.dataset()
        self.samples = self.dataset.samples(comparison.split)[:pictures]
        self.pictures, self.masks, self.instances = pictures, masks, instances
        self.truths = [self.dataset.read_mask(sample) for sample in self.samples]

    def entry(self, entry: Entry, checkpoint: Path) -> None:
        checkpoint.mkdir(parents=True)
        (checkpoint / WEIGHTS).write_bytes(b"no weights " * (100 + entry.member))
        (checkpoint / SPEC).write_text(json.dumps({"made": entry.name, "seed": entry.seed}))
        counts, matrix = self._counts(entry, checkpoint)
        document = _document(self.dataset, counts, matrix, entry, checkpoint)
        member = self.comparison.members[entry.member]
        write_json(entry.folder / CHECKPOINT, {"path": str(checkpoint)})
        write_json(entry.folder / RECIPE, {**(member.recipe or {"architecture": entry.name}), "seed": entry.seed})
        if entry.seed == 0:
            write_json(entry.folder / SPEED, _speed(entry, checkpoint))
        if member.recipe is not None:
            write_json(entry.folder / TRAINING, _training(entry))
            _write_history(entry, document)
        save_report(entry.folder, document, counts)

    def _counts(self, entry: Entry, checkpoint: Path) -> tuple[PictureCounts, ConfusionMatrix]:
        classes = len(self.dataset.classes)
        counts, total = PictureCounts(classes), ConfusionMatrix(classes)
        stored = StoredPredictions(checkpoint, self.dataset) if self.masks else None
        kept: list[tuple[np.ndarray, np.ndarray, dict[str, float] | None]] = []
        for number, (sample, truth) in enumerate(zip(self.samples, self.truths, strict=True)):
            predicted = noisy(truth, 1 + entry.member, number, seed=entry.seed, classes=classes)
            own = ConfusionMatrix(classes)
            own.add(truth, predicted)
            outlines = boundary_counts(truth, predicted, classes, default_width(*truth.shape))
            share = float(np.trace(own.counts) / own.counts.sum())
            figures = {name: share ** (1 + place / 2) for place, name in enumerate(FIGURES)} if self.instances else None
            kept.append((own.counts, outlines, figures))
            counts.add(sample.id, *kept[-1])
            if stored:
                stored.keep(sample, truth, predicted, self.dataset.classes)
        for number in range(len(kept), self.pictures):
            counts.add(f"more-{number}", *kept[number % len(kept)])
        total.counts += counts.confusion.sum(axis=0)
        return counts, total


def noisy(truth: np.ndarray, level: float, picture: int, *, seed: int = 0, classes: int = 3) -> np.ndarray:
    """A truth with mistakes: shifted, the more the higher the level and the harder the picture, with spots of wrong
    classes. The same at each call. uint8 `(height, width)`."""
    hard = np.random.default_rng([1, picture])
    own = np.random.default_rng([2, picture, int(10 * level), seed])
    difficulty, turn = hard.lognormal(0, 0.5), hard.uniform(0, 2 * np.pi)
    reach = (0.6 + 0.4 * level) * difficulty * own.lognormal(0, 0.2)
    shift = np.round(reach * np.array([np.sin(turn), np.cos(turn)])).astype(int)
    predicted = np.roll(truth, tuple(shift), axis=(0, 1))
    predicted[predicted >= classes] = 0
    rows, columns = np.mgrid[: truth.shape[0], : truth.shape[1]]
    for _ in range(own.poisson(level * difficulty)):
        middle, radius = own.uniform((0, 0), truth.shape), own.uniform(2, 9)
        predicted[np.hypot(rows - middle[0], columns - middle[1]) < radius] = own.integers(classes)
    return predicted


def _document(
    dataset: Dataset, counts: PictureCounts, matrix: ConfusionMatrix, entry: Entry, checkpoint: Path
) -> dict[str, Any]:
    """As `evaluate` returns it."""
    outlines = counts.boundary.sum(axis=0)
    iou, f1 = boundary_iou(outlines), boundary_f1(outlines)
    classes = matrix.by_class([label.name for label in dataset.classes])
    for place, row in enumerate(classes):
        row["boundary_iou"] = None if np.isnan(iou[place]) else float(iou[place])
        row["boundary_f1"] = None if np.isnan(f1[place]) else float(f1[place])
    objects, figures = counts.instances, matrix.figures()
    return {
        "model": str(checkpoint),
        "data": dataset.name,
        "split": "test",
        "images": len(counts),
        "at": "native",
        "loss": 1.4 * (1 - figures["mean_dice"]),
        **figures,
        "classes": classes,
        "confusion_matrix": matrix.counts.tolist(),
        "instances": None if objects is None else dict(zip(FIGURES, objects.mean(axis=0).tolist(), strict=True)),
        "images_per_second": 30.0 - entry.member,
        "mse": matrix.mean_squared_error(),
        "boundary": {"width": None, "iou": float(np.nanmean(iou)), "f1": float(np.nanmean(f1))},
        "calibration": _calibration(matrix, figures["pixel_accuracy"]),
        "skipped": 0,
        "root": None,
        "report": None,
    }


def _calibration(matrix: ConfusionMatrix, accuracy: float) -> dict[str, Any]:
    """Of a model that is a little too sure."""
    total, bins = int(matrix.counts.sum()), []
    for place in range(10):
        pixels = total // 2 if place == 9 else total // 20 if place >= 4 else 0
        confidence = (place + 0.6) / 10
        bins.append(
            {
                "low": place / 10,
                "high": (place + 1) / 10,
                "pixels": pixels,
                "confidence": confidence if pixels else None,
                "accuracy": confidence * accuracy if pixels else None,
            }
        )
    return {"ece": (1 - accuracy) / 2, "bins": bins}


def _speed(entry: Entry, checkpoint: Path) -> dict[str, Any]:
    """As `measure_speed` returns it; the worse models are the smaller ones."""
    share = 0.7**entry.member
    return {
        "model": str(checkpoint),
        "architecture": NETWORKS[entry.member % len(NETWORKS)],
        "backbone": "none",
        "image_size": 64,
        "parameters": int(7_700_000 * share),
        "gflops": 12.4 * share,
        "checkpoint_bytes": int(31_000_000 * share),
        "keras_milliseconds": 48.0 * share,
        "onnx_milliseconds": 21.0 * share,
        "onnx_error": None,
        "onnx_bytes": int(30_900_000 * share),
        "peak_bytes": 900_000_000,
        "device": "CPU, 2 cores",
        "engine": "tensorflow 2.16.1",
        "threads": 2,
    }


def _training(entry: Entry) -> dict[str, Any]:
    return {
        "run": f"made-{entry.member}-{entry.seed}",
        "seconds": 100.0 / (1 + entry.member) + entry.seed,
        "images_per_second": 20.0 + 4 * entry.member + entry.seed,
        "peak_memory_bytes": 1_500_000_000 - 10_000_000 * entry.member,
        "epochs": EPOCHS,
        "best_epoch": EPOCHS,
        "device": "CPU, 2 cores",
        "backend": "tensorflow 2.16.1, keras 3.3.3",
        "precision": "float32",
    }


def _write_history(entry: Entry, document: dict[str, Any]) -> None:
    """Curves that come near to what was found in the end."""
    entry.folder.mkdir(parents=True, exist_ok=True)
    with (entry.folder / HISTORY).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        columns = ["loss", "pixel_accuracy", "mean_iou", "mean_dice"]
        writer.writerow(["epoch", *columns, *(f"val_{name}" for name in columns), "learning_rate", "seconds"])
        for epoch in range(1, EPOCHS + 1):
            done = 1 - 0.5**epoch
            figures = [document["loss"] / done, *(document[name] * done for name in columns[1:])]
            writer.writerow([epoch, *(0.98 * figure for figure in figures), *figures, 1e-3, 20.0])
