"""What is counted in each picture, against the pictures themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics

from segmodels.errors import UserError
from segmodels.evaluation.boundary import COUNTS
from segmodels.evaluation.confusion import ConfusionMatrix
from segmodels.evaluation.instances import FIGURES
from segmodels.evaluation.picture_counts import PictureCounts

CLASSES, PICTURES = 5, 30


def maps(seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Truths, of which some lack classes or are ignored in part, and predictions that are mostly right."""
    generator, found = np.random.default_rng(seed), []
    for number in range(PICTURES):
        truth = generator.integers(0, 1 + number % CLASSES, (20, 30)).astype(np.uint8)
        prediction = np.where(generator.random(truth.shape) < 0.7, truth, generator.integers(0, CLASSES, truth.shape))
        truth[generator.random(truth.shape) < 0.1] = 255
        found.append((truth, prediction.astype(np.uint8)))
    return found


def counted(pairs: list[tuple[np.ndarray, np.ndarray]], *, instances: bool = False) -> PictureCounts:
    counts = PictureCounts(CLASSES)
    for number, (truth, prediction) in enumerate(pairs):
        matrix = ConfusionMatrix(CLASSES)
        matrix.add(truth, prediction)
        boundary = np.full((CLASSES, len(COUNTS)), number)
        figures = {name: (number + place) / 100 for place, name in enumerate(FIGURES)} if instances else None
        counts.add(f"picture-{number}", matrix.counts, boundary, figures)
    return counts


def test_the_scores_of_each_picture_are_sklearns() -> None:
    pairs = maps()
    scores = counted(pairs).scores()
    for number, (truth, prediction) in enumerate(pairs):
        true, said = truth[truth != 255], prediction[truth != 255]
        present = sorted(set(true.tolist()))
        iou = metrics.jaccard_score(true, said, labels=present, average=None)
        dice = metrics.f1_score(true, said, labels=present, average=None)
        assert scores["pixel_accuracy"][number] == pytest.approx((true == said).mean())
        assert scores["mean_iou"][number] == pytest.approx(np.mean(iou))
        assert scores["mean_dice"][number] == pytest.approx(np.mean(dice))


def test_a_picture_of_which_all_is_ignored_has_no_score() -> None:
    scores = counted([(np.full((4, 4), 255, np.uint8), np.zeros((4, 4), np.uint8))]).scores()
    assert {name: np.isnan(values).tolist() for name, values in scores.items()} == {
        "pixel_accuracy": [True], "mean_iou": [True], "mean_dice": [True],
    }  # fmt: skip


def test_the_worst_pictures_of_a_confusion() -> None:
    pairs = maps(1)
    expected = []
    for number, (truth, prediction) in enumerate(pairs):
        pixels = int(((truth == 2) & (prediction == 1)).sum())
        if pixels:
            expected.append((f"picture-{number}", pixels, pixels / int((truth == 2).sum())))
    found = counted(pairs).confused(2, 1, most=5)
    assert [row.pixels for row in found] == sorted((row[1] for row in expected), reverse=True)[:5]
    assert all((row.id, row.pixels, pytest.approx(row.share)) in expected for row in found)
    assert counted(pairs).confused(4, 0, most=99) == [row for row in counted(pairs).confused(4, 0) if row.pixels], (
        "pictures without the confusion are not among them"
    )


@pytest.mark.parametrize("instances", [False, True])
def test_what_is_saved_is_what_is_loaded(tmp_path: Path, instances: bool) -> None:
    counts = counted(maps(2), instances=instances)
    counts.save(tmp_path / "pictures.npz")
    again = PictureCounts.load(tmp_path / "pictures.npz")
    assert again.ids == counts.ids
    assert again.classes == CLASSES
    np.testing.assert_array_equal(again.confusion, counts.confusion)
    np.testing.assert_array_equal(again.boundary, counts.boundary)
    assert (again.instances is None) == (not instances)
    if instances:
        np.testing.assert_array_equal(again.instances, counts.instances)
    some = again.of(["picture-7", "picture-3"])
    np.testing.assert_array_equal(some.confusion, counts.confusion[[7, 3]])
    np.testing.assert_array_equal(some.boundary, counts.boundary[[7, 3]])


@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "text", "pickled", "other shapes", "cells outside"])
def test_a_damaged_file_is_said(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "pictures.npz"
    counted(maps(3)).save(path)
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "text":
        path.write_text("no archive")
    else:
        with np.load(path) as file:
            arrays = dict(file)
        if damage == "pickled":
            arrays["ids"] = np.array([{"a": 1}] * PICTURES, object)
        elif damage == "other shapes":
            arrays["boundary"] = arrays["boundary"][:-1]
        else:
            arrays["cells"][0, 0] = CLASSES**2
        np.savez(path, **arrays)
    with pytest.raises(UserError) as caught:
        PictureCounts.load(path)
    assert "\n" not in str(caught.value)
