"""What is counted in each picture, against the pictures themselves."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics

from segmodels.errors import UserError
from segmodels.evaluation import picture_counts
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


def test_sums_are_those_of_the_matrices() -> None:
    counts = counted(maps(4))
    hits, true, predicted = np.moveaxis(counts.sums, -1, 0)
    np.testing.assert_array_equal(hits, [np.diag(matrix) for matrix in counts.confusion])
    np.testing.assert_array_equal(true, counts.confusion.sum(axis=2))
    np.testing.assert_array_equal(predicted, counts.confusion.sum(axis=1))
    np.testing.assert_array_equal(counts.total, counts.confusion.sum(axis=0))
    assert counts.sums.dtype == counts.total.dtype == np.int64
    nothing = PictureCounts(CLASSES)
    assert nothing.sums.shape == (0, CLASSES, 3)
    assert nothing.total.tolist() == np.zeros((CLASSES, CLASSES)).tolist()


def test_scores_of_many_classes_take_little_memory() -> None:
    """400 pictures of 150 classes have matrices of 72 MB together; three sums of each class are 1.4 MB."""
    classes, pictures = 150, 400
    counts, matrix = PictureCounts(classes), np.diag(np.arange(classes) % 7)
    for number in range(pictures):
        counts.add(str(number), matrix, np.zeros((classes, len(COUNTS)), np.int64), None)
    tracemalloc.start()
    scores, total = counts.scores(), counts.total
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6
    assert scores["mean_iou"].tolist() == [1] * pictures
    np.testing.assert_array_equal(total, pictures * matrix)


@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "text"])
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
    else:
        path.write_text("no archive")
    with pytest.raises(UserError) as caught:
        PictureCounts.load(path)
    assert "\n" not in str(caught.value)


def replaced(values: np.ndarray, place: int | tuple[int, ...], value: float) -> np.ndarray:
    changed = values.copy()
    changed[place] = value
    return changed


Arrays = dict[str, np.ndarray]

#: What may be wrong with the arrays of a file.
DAMAGES: dict[str, Callable[[Arrays], Arrays]] = {
    "pickled": lambda a: {"ids": np.array([{"a": 1}] * PICTURES, object)},
    "ids that are numbers": lambda a: {"ids": np.arange(PICTURES)},
    "an id twice": lambda a: {"ids": np.array([*a["ids"][:-1], a["ids"][0]])},
    "fewer boundaries": lambda a: {"boundary": a["boundary"][:-1]},
    "boundaries that are floats": lambda a: {"boundary": a["boundary"].astype(float)},
    "boundaries that are NaN": lambda a: {"boundary": a["boundary"] * np.nan},
    "negative boundaries": lambda a: {"boundary": replaced(a["boundary"], (0, 0, 0), -1)},
    "cells outside": lambda a: {"cells": replaced(a["cells"], (-1, 0), CLASSES**2)},
    "cells before the first": lambda a: {"cells": replaced(a["cells"], (0, 0), -1)},
    "cells that are floats": lambda a: {"cells": a["cells"].astype(float)},
    "cells that are truths": lambda a: {"cells": np.zeros((len(a["cells"]), 2), bool)},
    "a cell twice": lambda a: {"cells": replaced(a["cells"], (-1, 0), a["cells"][-2, 0])},
    "cells in disorder": lambda a: {"cells": replaced(replaced(a["cells"], (-2, 0), 24), (-1, 0), 23)},
    "no pixels": lambda a: {"cells": replaced(a["cells"], (0, 1), 0)},
    "negative pixels": lambda a: {"cells": replaced(a["cells"], (0, 1), -5)},
    "pixels without end": lambda a: {"cells": replaced(a["cells"], (0, 1), 2**62)},
    "pixels beyond 64 bits": lambda a: {"cells": replaced(a["cells"].astype(np.uint64), (0, 1), 2**64 - 1)},
    "negative lengths": lambda a: {"lengths": np.array([-1, a["lengths"][:2].sum() + 1, *a["lengths"][2:]])},
    "lengths without end": lambda a: {"lengths": np.full(PICTURES, 2**62)},
    "lengths that are floats": lambda a: {"lengths": a["lengths"].astype(float)},
    "too few cells": lambda a: {"cells": a["cells"][:-1]},
    "one cell": lambda a: {"cells": a["cells"][:1]},
    "other classes": lambda a: {"classes": np.array(CLASSES + 1)},
    "classes that are a float": lambda a: {"classes": np.array(float(CLASSES))},
    "no class": lambda a: {"classes": np.array(0), "boundary": np.zeros((PICTURES, 0, len(COUNTS)), np.int64)},
    "more classes than there can be": lambda a: {
        "classes": np.array(10**6), "boundary": np.zeros((0, 10**6, len(COUNTS)), np.int64), "ids": a["ids"][:0],
        "lengths": a["lengths"][:0], "cells": a["cells"][:0], "instances": a["instances"][:0],
    },
    "instances of some": lambda a: {"instances": a["instances"][1:]},
    "instances that are whole": lambda a: {"instances": a["instances"].astype(int)},
    "instances that are NaN": lambda a: {"instances": replaced(a["instances"], (0, 0), np.nan)},
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_arrays_are_said(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "pictures.npz"
    counted(maps(3), instances=True).save(path)
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **arrays)
    assert len(PictureCounts.load(path)) == PICTURES, "what was written again is whole"
    np.savez(path, **{**arrays, **DAMAGES[damage](arrays)})
    with pytest.raises(UserError, match="is damaged: evaluate the model again"):
        PictureCounts.load(path)


@pytest.mark.parametrize("name", ["ids", "lengths", "cells", "boundary", "instances"])
def test_what_is_too_large_is_not_unpacked(tmp_path: Path, name: str) -> None:
    """80 MB of zeros are packed into 80 kB."""
    path = tmp_path / "pictures.npz"
    counted(maps(3), instances=True).save(path)
    with np.load(path) as file:
        arrays = dict(file)
    rows = np.zeros(10**7, "U2" if name == "ids" else arrays[name].dtype)
    arrays[name] = rows.reshape({"cells": (-1, 2), "boundary": (-1, 10, 10), "instances": (-1, 10)}.get(name, -1))
    np.savez_compressed(path, **arrays)
    del rows, arrays
    tracemalloc.start()
    with pytest.raises(UserError, match="is damaged: evaluate the model again"):
        PictureCounts.load(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2e6


def test_a_file_of_more_than_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pictures.npz"
    counted(maps(3)).save(path)
    with np.load(path) as file:
        size = sum(array.nbytes for array in file.values())
    assert path.stat().st_size < size - 1
    monkeypatch.setattr(picture_counts, "LARGEST", size)
    assert len(PictureCounts.load(path)) == PICTURES
    monkeypatch.setattr(picture_counts, "LARGEST", size - 1)
    with pytest.raises(UserError, match="is damaged"):
        PictureCounts.load(path)
