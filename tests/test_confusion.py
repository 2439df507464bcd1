"""The confusion matrix and its figures against scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn import metrics

from segmodels.evaluation.confusion import ConfusionMatrix

CLASSES = 4
shapes = st.tuples(st.integers(1, 8), st.integers(1, 8))


@st.composite
def pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """A truth with ignored pixels, in which classes may be absent, and a prediction of the same shape."""
    shape = draw(shapes)
    known = draw(st.lists(st.integers(0, CLASSES - 1), min_size=1, unique=True))
    truth = draw(arrays.arrays(np.uint8, shape, elements=st.sampled_from([*known, 255])))
    return truth, draw(arrays.arrays(np.uint8, shape, elements=st.integers(0, CLASSES - 1)))


def matrix(*examples: tuple[np.ndarray, np.ndarray]) -> ConfusionMatrix:
    confusion = ConfusionMatrix(CLASSES)
    for truth, prediction in examples:
        confusion.add(truth, prediction)
    return confusion


def per_class(score: Any, truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    return score(truth, prediction, labels=range(CLASSES), average=None, zero_division=0)


@settings(max_examples=150, deadline=None)
@given(pairs())
def test_figures_agree_with_scikit_learn(example: tuple[np.ndarray, np.ndarray]) -> None:
    confusion = matrix(example)
    counted = example[0] != 255
    truth, prediction = example[0][counted], example[1][counted]
    if not truth.size:
        assert confusion.counts.sum() == 0
        assert set(confusion.figures().values()) == {0.0}
        return
    np.testing.assert_array_equal(confusion.counts, metrics.confusion_matrix(truth, prediction, labels=range(CLASSES)))
    present = np.unique(truth)
    iou = per_class(metrics.jaccard_score, truth, prediction)
    dice = per_class(metrics.f1_score, truth, prediction)
    precision = per_class(metrics.precision_score, truth, prediction)[present].mean()
    recall = per_class(metrics.recall_score, truth, prediction)[present].mean()
    assert confusion.figures() == pytest.approx(
        {
            "pixel_accuracy": metrics.accuracy_score(truth, prediction),
            "mean_iou": iou[present].mean(),
            "mean_dice": dice[present].mean(),
            "precision": precision,
            "recall": recall,
            "f1": 2 * precision * recall / (precision + recall) if precision + recall else 0.0,
        }
    )
    rows = confusion.by_class([f"class {i}" for i in range(CLASSES)])
    for index in present:
        assert rows[index]["iou"] == pytest.approx(iou[index])
        assert rows[index]["dice"] == pytest.approx(dice[index])
        assert rows[index]["pixels"] == (truth == index).sum()


@settings(max_examples=50, deadline=None)
@given(st.lists(pairs(), min_size=1, max_size=4))
def test_accumulated_equals_whole(examples: list[tuple[np.ndarray, np.ndarray]]) -> None:
    flat = tuple(np.concatenate([example[i].ravel() for example in examples]) for i in (0, 1))
    np.testing.assert_array_equal(matrix(*examples).counts, matrix(flat).counts)


def test_a_class_in_neither_has_no_figures_and_counts_in_no_mean() -> None:
    confusion = matrix((np.array([[0, 0, 1, 1]]), np.array([[0, 0, 1, 0]])))
    row = confusion.by_class(list("abcd"))[3]
    assert row == {"name": "d", "iou": None, "dice": None, "precision": None, "recall": None, "pixels": 0}
    assert confusion.figures()["mean_iou"] == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_a_class_that_is_only_predicted_counts_against_the_others_alone() -> None:
    confusion = matrix((np.array([0, 0, 0, 0]), np.array([0, 0, 0, 2])))
    assert confusion.figures()["mean_iou"] == 0.75
    assert confusion.by_class(list("abcd"))[2]["iou"] == 0


def test_a_true_class_that_is_never_predicted_has_precision_zero() -> None:
    confusion = matrix((np.array([0, 1]), np.array([0, 0])))
    assert confusion.by_class(list("abcd"))[1]["precision"] == 0
    assert confusion.figures()["precision"] == 0.25


def test_nothing_counted() -> None:
    empty = ConfusionMatrix(CLASSES)
    assert set(empty.figures().values()) == {0.0}
    empty.add(np.zeros((0, 5), np.uint8), np.zeros((0, 5), np.uint8))
    empty.add(np.full((2, 2), 255, np.uint8), np.zeros((2, 2), np.uint8))
    assert empty.counts.sum() == 0


def test_counts_do_not_overflow_with_many_classes() -> None:
    confusion = ConfusionMatrix(255)
    confusion.add(np.array([254, 254, 255], np.uint8), np.array([254, 253, 1], np.uint8))
    assert confusion.counts[254, 254] == confusion.counts[254, 253] == 1
    assert confusion.counts.sum() == 2
    assert confusion.counts.dtype == np.int64


@pytest.mark.parametrize("classes", [1, 2, 15, 16])
def test_a_large_picture_is_counted_in_full(classes: int) -> None:
    """More pixels than are counted at once, on both sides of as many classes as have their pairs in a uint8."""
    random = np.random.default_rng(classes)
    truth, prediction = (random.integers(0, classes, (301, 333), dtype=np.uint8) for _ in range(2))
    truth[random.random(truth.shape) < 0.2] = 255
    confusion, counted = ConfusionMatrix(classes), truth != 255
    confusion.add(truth, prediction)
    expected = metrics.confusion_matrix(truth[counted], prediction[counted], labels=range(classes))
    np.testing.assert_array_equal(confusion.counts, expected)


def test_a_matrix_goes_on_from_stored_counts() -> None:
    stored = np.arange(16).reshape(4, 4)
    confusion = ConfusionMatrix(CLASSES, stored)
    confusion.add(np.array([3]), np.array([0]))
    assert confusion.counts[3, 0] == stored[3, 0] + 1
    assert stored[3, 0] == 12, "the stored counts are a copy"
