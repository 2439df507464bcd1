"""Confidence against bins that are made one by one, and against simulated models whose error is known."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from segmodels.evaluation.calibration import BINS, Calibration
from segmodels.prediction import most_likely as prediction
from segmodels.prediction.most_likely import most_likely

IGNORED = 255
Example = tuple[np.ndarray, np.ndarray, np.ndarray]


def example(seed: int, height: int = 20, width: int = 31, classes: int = 4, ignored: float = 0.2) -> Example:
    """Truth, prediction and logits of a model that is right more often than not."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, classes, (height, width)).astype(np.uint8)
    logits = generator.normal(0, 2, (height, width, classes)).astype(np.float32)
    logits += 2 * np.eye(classes, dtype=np.float32)[truth]
    prediction = logits.argmax(-1).astype(np.uint8)
    truth[generator.random(truth.shape) < ignored] = IGNORED
    return truth, prediction, logits


def slow_bins(truth: np.ndarray, right: np.ndarray, sure: np.ndarray) -> Iterator[tuple[int, float, float]]:
    """Pixels, mean confidence and accuracy of each bin that has a pixel, and 0 of the others."""
    numbers = np.digitize(sure.astype(np.float64), np.linspace(0, 1, BINS + 1)[1:-1])
    for number in range(BINS):
        there = (numbers == number) & (truth != IGNORED)
        yield (int(there.sum()), sure[there].mean(dtype=float), right[there].mean()) if there.any() else (0, 0, 0)


def added(*parts: Example) -> Calibration:
    found = Calibration()
    for part in parts:
        found.add(*part)
    return found


@pytest.mark.parametrize("classes", [1, 2, 3, 11, 40, 200])
def test_confidence_is_the_highest_probability(classes: int) -> None:
    _, _, logits = example(classes, classes=classes)
    found = most_likely(logits)[1]
    assert found.dtype == np.float32
    assert found.shape == logits.shape[:2]
    np.testing.assert_allclose(found, softmax(logits.astype(np.float64), axis=-1).max(-1), atol=1e-6)
    assert found.max() <= 1


def test_confidence_of_logits_that_are_extreme_or_laid_out_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = np.array([[[1000, 0, -1000], [-1000, -1000, -1000], [-np.inf, 3, 3]]], np.float32)
    np.testing.assert_allclose(most_likely(logits)[1], [[1, 1 / 3, 1 / 2]], atol=1e-6)
    _, _, logits = example(0)
    whole = most_likely(logits)[1]
    mirrored = logits[:, ::-1]
    mirrored.flags.writeable = False
    np.testing.assert_array_equal(most_likely(mirrored)[1], whole[:, ::-1])
    np.testing.assert_array_equal(most_likely(logits.astype(np.float64))[1], whole)
    monkeypatch.setattr(prediction, "_BLOCK", 50)
    np.testing.assert_allclose(most_likely(logits)[1], whole, atol=1e-6)
    assert most_likely(logits[:0])[1].shape == (0, 31)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 30), st.integers(1, 30), st.integers(1, 6), st.sampled_from([0, 0.3, 1]))
def test_bins_agree_with_numpy(seed: int, height: int, width: int, classes: int, ignored: float) -> None:
    truth, prediction, logits = example(seed, height, width, classes, ignored)
    sure = most_likely(logits)[1]
    figures = added((truth, prediction, sure)).figures()
    expected = list(slow_bins(truth, truth == prediction, sure))
    for number, (row, (pixels, mean, accuracy)) in enumerate(zip(figures["bins"], expected, strict=True)):
        assert row["low"] == pytest.approx(number / BINS)
        assert row["high"] == pytest.approx((number + 1) / BINS)
        assert row["pixels"] == pixels
        if pixels:
            assert row["confidence"] == pytest.approx(mean, abs=1e-9)
            assert row["accuracy"] == pytest.approx(accuracy, abs=1e-12)
        else:
            assert row["confidence"] is row["accuracy"] is None
    total = sum(pixels for pixels, _, _ in expected)
    error = sum(pixels * abs(accuracy - mean) for pixels, mean, accuracy in expected)
    assert figures["ece"] == pytest.approx(error / total if total else 0, abs=1e-9)


def test_bands_are_the_whole() -> None:
    truth, prediction, logits = example(1)
    whole = added((truth, prediction, most_likely(logits)[1]))
    rows = [slice(0, 1), slice(1, 8), slice(8, 8), slice(8, 20)]
    bands = added(*((truth[part], prediction[part], most_likely(logits[part])[1]) for part in rows))
    np.testing.assert_array_equal(bands.pixels, whole.pixels)
    np.testing.assert_array_equal(bands.right, whole.right)
    np.testing.assert_allclose(bands.confidence, whole.confidence, rtol=1e-12)
    assert whole.pixels.sum() == (truth != IGNORED).sum()
    assert whole.right.sum() == (truth == prediction).sum()


def test_a_model_that_is_right_as_often_as_it_says() -> None:
    """Of 400,000 pixels each bin has 27,000, whose accuracy is known to 0.3 %."""
    generator = np.random.default_rng(0)
    sure = generator.random((800, 500)).astype(np.float32)
    right = generator.random(sure.shape) < sure
    figures = added((np.ones(sure.shape, np.uint8), right.astype(np.uint8), sure)).figures()
    assert 0 < figures["ece"] < 0.005
    for row in figures["bins"]:
        middle = pytest.approx((row["low"] + row["high"]) / 2, abs=0.015)
        assert row["confidence"] == middle
        assert row["accuracy"] == middle


def test_a_model_that_is_too_sure() -> None:
    """Always sure at 0.95 and right in 3 of 4 pixels: its error is 0.2. One at 0.25 that is always right: 0.75."""
    truth = np.zeros((4, 100), np.uint8)
    prediction = np.repeat(np.array([[0], [0], [0], [1]], np.uint8), 100, axis=1)
    over = (truth, prediction, np.full(truth.shape, 0.95, np.float32))
    figures = added(over).figures()
    assert figures["ece"] == pytest.approx(0.2, abs=1e-6)
    assert figures["bins"][14] == {
        "low": 14 / 15,
        "high": 1,
        "pixels": 400,
        "confidence": pytest.approx(0.95, abs=1e-6),
        "accuracy": 0.75,
    }
    under = (truth[:1], truth[:1], np.full((1, 100), 0.25, np.float32))
    assert added(under).figures()["ece"] == pytest.approx(0.75, abs=1e-6)
    assert added(over, under).figures()["ece"] == pytest.approx((400 * 0.2 + 100 * 0.75) / 500, abs=1e-6)


def test_confidence_at_the_borders_of_bins() -> None:
    """The lower end belongs to a bin; 1 to the last. The neighbours of a border are told apart, in float32."""
    borders = (np.arange(BINS + 1) / BINS).astype(np.float32)
    sure = np.concatenate([borders, np.nextafter(borders, np.float32(0)), np.nextafter(borders, np.float32(1))])
    zeros = np.zeros(sure.shape, np.uint8)
    found = added((zeros, zeros, sure))
    expected = np.minimum([int(value * 15) for value in sure.astype(float)], BINS - 1)
    np.testing.assert_array_equal(found.pixels, np.bincount(expected, minlength=BINS))
    ends = added((zeros[None, :3], zeros[None, :3], np.array([[0, 1, 1]], np.float32)))
    assert ends.pixels.tolist() == [1, *[0] * 13, 2]


def test_what_is_no_number_is_not_sure_at_all() -> None:
    logits = np.full((1, 2, 3), np.nan, np.float32)
    logits[0, 1] = [9, 0, 0]
    zeros = np.zeros((1, 2), np.uint8)
    figures = added((zeros, zeros, most_likely(logits)[1])).figures()
    assert figures["bins"][0] == {"low": 0, "high": 1 / 15, "pixels": 1, "confidence": 0, "accuracy": 1}
    assert figures["ece"] == pytest.approx(0.5, abs=1e-3)


def test_nothing_counted() -> None:
    ignored = np.full((2, 3), IGNORED, np.uint8)
    found = added((ignored, ignored, np.ones((2, 3), np.float32)))
    for figures in (Calibration().figures(), found.figures()):
        assert figures["ece"] == 0
        assert [row["pixels"] for row in figures["bins"]] == [0] * BINS


def test_arrays_of_different_shapes() -> None:
    truth, prediction, logits = example(2)
    with pytest.raises(ValueError, match="must be of one shape"):
        Calibration().add(truth, prediction, logits)


@pytest.mark.parametrize("classes", [2, 3, 11, 40])
def test_the_most_likely_class_is_the_first_of_the_highest(classes: int) -> None:
    generator = np.random.default_rng(classes)
    logits = generator.normal(size=(70, 90, classes)).astype(np.float32)
    logits[:20] = generator.integers(0, 2, (20, 90, classes))  # many are equally likely
    np.testing.assert_array_equal(most_likely(logits)[0], logits.argmax(axis=-1))
    logits[3, 4, 1] = np.nan
    assert most_likely(logits)[0][3, 4] == 0
