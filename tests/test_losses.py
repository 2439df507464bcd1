"""Losses against plain NumPy, and the ignore label."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from segmodels.backend import ops
from segmodels.errors import UserError
from segmodels.training.losses import cross_entropy, dice, make_loss, parse_loss

LOSSES = [cross_entropy, dice]
CLASSES = 4


def example(seed: int = 0, ignored: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """Class ids with some ignored pixels and without class 3, and logits."""
    rng = np.random.default_rng(seed)
    masks = rng.integers(0, CLASSES - 1, (2, 6, 5)).astype(np.uint8)
    masks[rng.random(masks.shape) < ignored] = 255
    return masks, rng.normal(0, 3, (2, 6, 5, CLASSES)).astype(np.float32)


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def slow_cross_entropy(masks: np.ndarray, logits: np.ndarray, weights: np.ndarray | None = None) -> float:
    probabilities, total, share = softmax(logits), 0.0, 0.0
    for place in np.ndindex(masks.shape):
        if masks[place] != 255:
            weight = 1.0 if weights is None else weights[masks[place]]
            total -= weight * np.log(probabilities[place][masks[place]])
            share += weight
    return total / share if share else 0.0


def slow_dice(masks: np.ndarray, logits: np.ndarray, weights: np.ndarray | None = None) -> float:
    counted = masks != 255
    probabilities, truth = softmax(logits)[counted], masks[counted]
    total = share = 0.0
    for index in range(logits.shape[-1]):
        if (truth == index).any():
            weight = 1.0 if weights is None else weights[index]
            overlap = probabilities[truth == index, index].sum()
            score = 2 * overlap / (probabilities[:, index].sum() + (truth == index).sum())
            total += weight * (1 - score)
            share += weight
    return total / share if share else 0.0


ORACLES: list[tuple[Callable[..., Any], Callable[..., float]]] = [
    (cross_entropy, slow_cross_entropy),
    (dice, slow_dice),
]


@pytest.mark.parametrize(("loss", "oracle"), ORACLES)
@pytest.mark.parametrize("weights", [None, (1.0, 2.0, 0.5, 3.0), (0.0, 1.0, 1.0, 0.0)])
def test_losses_agree_with_a_slow_loop(loss: Any, oracle: Any, weights: Any) -> None:
    for seed in range(3):
        masks, logits = example(seed)
        expected = oracle(masks, logits, None if weights is None else np.array(weights))
        assert float(loss(masks, logits, weights)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_predictions_at_ignored_pixels_change_nothing(loss: Any) -> None:
    masks, logits = example()
    other = logits.copy()
    other[masks == 255] = np.random.default_rng(1).normal(0, 50, other[masks == 255].shape)
    assert float(loss(masks, other)) == float(loss(masks, logits))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("weights", [None, (1.0, 2.0, 3.0, 4.0)])
def test_all_ignored_is_zero_with_zero_gradient(loss: Any, weights: Any) -> None:
    masks, logits = np.full((1, 3, 3), 255, np.uint8), example()[1][:1, :3, :3]
    assert float(loss(masks, logits, weights)) == 0.0
    gradient = gradient_of(loss, masks, logits)
    assert np.abs(gradient).max() == 0


@pytest.mark.parametrize("loss", LOSSES)
def test_gradient_is_zero_where_ignored_and_not_elsewhere(loss: Any) -> None:
    masks, logits = example()
    gradient = gradient_of(loss, masks, logits)
    assert np.abs(gradient[masks == 255]).max() == 0
    assert np.abs(gradient[masks != 255]).max(axis=-1).min() > 0


def gradient_of(loss: Any, masks: np.ndarray, logits: np.ndarray) -> np.ndarray:
    tf = pytest.importorskip("tensorflow")
    scores = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(scores)
        value = loss(masks, scores)
    return np.asarray(tape.gradient(value, scores))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_one_hot_equals_sparse(loss: Any, kind: type) -> None:
    masks, logits = example()
    one_hot = (masks[..., None] == np.arange(CLASSES)).astype(kind)  # all zeros where ignored
    weights = (1.0, 2.0, 0.5, 3.0)
    assert float(loss(one_hot, logits)) == pytest.approx(float(loss(masks, logits)), rel=1e-6)
    assert float(loss(one_hot, logits, weights)) == pytest.approx(float(loss(masks, logits, weights)), rel=1e-6)
    assert float(loss(masks[..., None], logits)) == float(loss(masks, logits))


@pytest.mark.parametrize("loss", LOSSES)
def test_a_perfect_prediction_costs_nothing_and_a_wrong_one_much(loss: Any) -> None:
    masks, _ = example()
    truth = np.where(masks == 255, 0, masks)
    right = 40.0 * np.eye(CLASSES, dtype=np.float32)[truth]
    wrong = 40.0 * np.eye(CLASSES, dtype=np.float32)[(truth + 1) % CLASSES]
    assert float(loss(masks, right)) < 1e-5
    assert float(loss(masks, wrong)) > 0.7


@pytest.mark.parametrize("loss", LOSSES)
def test_sums_run_in_float32(loss: Any) -> None:
    """In bfloat16 a sum over 65,536 pixels stops at 256."""
    rng = np.random.default_rng(0)
    masks = rng.integers(0, CLASSES, (1, 256, 256)).astype(np.uint8)
    half = ops.cast(rng.normal(0, 1, (1, 256, 256, CLASSES)), "bfloat16")
    exact = float(loss(masks, np.asarray(ops.cast(half, "float32"))))
    value = loss(masks, half)
    assert "float32" in str(value.dtype)
    assert float(value) == pytest.approx(exact, rel=1e-5)


def test_a_sum_weighs_its_terms() -> None:
    masks, logits = example()
    expected = float(cross_entropy(masks, logits)) + 0.5 * float(dice(masks, logits))
    assert float(make_loss("cross_entropy+0.5*dice")(masks, logits)) == pytest.approx(expected, rel=1e-6)
    weights = (1.0, 2.0, 0.5, 3.0)
    expected = 2 * float(cross_entropy(masks, logits, weights)) + float(dice(masks, logits, weights))
    assert float(make_loss("2*cross_entropy + dice", weights)(masks, logits)) == pytest.approx(expected, rel=1e-6)


def test_parsing() -> None:
    assert parse_loss("dice") == [(1.0, "dice")]
    assert parse_loss("cross_entropy+0.5*dice") == [(1.0, "cross_entropy"), (0.5, "dice")]
    assert parse_loss(".25*dice + 2*cross_entropy") == [(0.25, "dice"), (2.0, "cross_entropy")]
    assert parse_loss("0*dice+cross_entropy") == [(0.0, "dice"), (1.0, "cross_entropy")]


@pytest.mark.parametrize("text", ["", "+", "dice+", "dice*2", "-1*dice", "dise", "0*dice", "1e3*dice", "a b", "dice;x"])
def test_what_is_no_loss(text: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_loss(text)
    assert "\n" not in str(caught.value)


def test_an_unknown_loss_names_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'dice'"):
        parse_loss("cross_entropy+dise")
