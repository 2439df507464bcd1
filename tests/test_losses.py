"""Losses against slow loops over the papers' definitions: values, gradients, what is ignored, and extremes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from segmodels.backend import keras, ops
from segmodels.errors import UserError
from segmodels.training.losses import LOSSES, cross_entropy, dice, loss_of_heads, make_loss
from segmodels.training.losses.lovasz_softmax import _steps
from tests import loss_oracles
from tests.loss_oracles import ORACLES

tf = pytest.importorskip("tensorflow")

CLASSES = 4
WEIGHTS = [None, (1.0, 2.0, 0.5, 3.0), (0.0, 1.0, 1.0, 0.0)]
TEXTS = list(ORACLES)


def example(seed: int = 0, ignored: float = 0.2, size: tuple[int, ...] = (2, 6, 5)) -> tuple[np.ndarray, np.ndarray]:
    """Class ids with some ignored pixels and without class 3, and logits."""
    rng = np.random.default_rng(seed)
    masks = rng.integers(0, CLASSES - 1, size).astype(np.uint8)
    masks[rng.random(masks.shape) < ignored] = 255
    return masks, rng.normal(0, 3, (*size, CLASSES)).astype(np.float32)


def one_hot(masks: np.ndarray, kind: type = np.float32) -> np.ndarray:
    """All zeros where ignored."""
    return (masks[..., None] == np.arange(CLASSES)).astype(kind)


def value_and_gradient(loss: Any, masks: np.ndarray, logits: Any) -> tuple[float, np.ndarray]:
    scores = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(scores)
        value = loss(masks, scores)
    return float(value), np.asarray(tape.gradient(value, scores))


def test_every_loss_has_an_oracle() -> None:
    assert {text.partition("(")[0] for text in TEXTS} == set(LOSSES)
    for name, row in LOSSES.items():
        assert bool(row.parameters) == any(text.startswith(f"{name}(") for text in TEXTS), name


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("weights", WEIGHTS)
def test_losses_agree_with_a_slow_loop(text: str, weights: Any) -> None:
    loss = make_loss(text, weights)
    for seed, ignored in ((0, 0.2), (1, 0.0), (2, 0.7)):
        masks, logits = example(seed, ignored)
        expected = ORACLES[text](masks, logits, weights)
        for form in (masks, masks[..., None], one_hot(masks), one_hot(masks, np.uint8)):
            assert float(loss(form, logits)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("weights", WEIGHTS[:2])
def test_gradients_agree_with_finite_differences(text: str, weights: Any) -> None:
    masks, logits = example(3, size=(2, 3, 4))
    logits /= 2
    _, gradient = value_and_gradient(make_loss(text, weights), masks, logits)
    expected = loss_oracles.gradient(ORACLES[text], masks, logits, weights)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)
    assert np.abs(gradient[masks == 255]).max() == 0
    assert np.abs(gradient[masks != 255]).max(axis=-1).min() > 0


@pytest.mark.parametrize("text", TEXTS)
def test_predictions_at_ignored_pixels_change_nothing(text: str) -> None:
    masks, logits = example()
    other = logits.copy()
    other[masks == 255] = np.random.default_rng(1).normal(0, 50, other[masks == 255].shape)
    assert float(make_loss(text)(masks, other)) == float(make_loss(text)(masks, logits))


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("weights", [None, (1.0, 2.0, 3.0, 4.0), (0.0, 0.0, 0.0, 1.0)])
def test_where_nothing_counts_loss_and_gradient_are_zero(text: str, weights: Any) -> None:
    """All is ignored; or no class that is there has a weight. (A border weighs even then.)"""
    masks, logits = example()
    nothing = [np.full_like(masks, 255)]
    if weights and not weights[0] and "border" not in text:
        nothing.append(masks)
    for mask in nothing:
        value, gradient = value_and_gradient(make_loss(text, weights), mask, logits)
        assert value == 0
        assert np.abs(gradient).max() == 0


@pytest.mark.parametrize("text", TEXTS)
def test_losses_and_gradients_are_finite_in_extremes(text: str) -> None:
    masks, logits = example(size=(1, 6, 5))
    truth = one_hot(np.where(masks == 255, 0, masks))
    loss = make_loss(text)
    for mask in (masks, np.zeros_like(masks), np.full_like(masks, 3)):
        for scores in (1e4 * np.sign(logits), 2e4 * truth - 1e4, 1e4 - 2e4 * truth, 0 * logits, 0 * logits + 1e4):
            value, gradient = value_and_gradient(loss, mask, scores.astype(np.float32))
            assert np.isfinite(value)
            assert value >= 0
            assert np.isfinite(gradient).all()


@pytest.mark.parametrize("text", [text for text in TEXTS if "smoothing" not in text])  # whose truth is never sure
def test_a_perfect_prediction_costs_nothing_and_a_wrong_one_much(text: str) -> None:
    masks, _ = example()
    truth = np.where(masks == 255, 0, masks)
    right = 40.0 * np.eye(CLASSES, dtype=np.float32)[truth]
    wrong = 40.0 * np.eye(CLASSES, dtype=np.float32)[(truth + 1) % CLASSES]
    if text == "binary_cross_entropy":  # a logit of 0 is undecided for the sigmoid
        right, wrong = right - 20, wrong - 20
    assert 0 <= float(make_loss(text)(masks, right)) < 1e-5
    assert float(make_loss(text)(masks, wrong)) > 0.3


@pytest.mark.parametrize("text", TEXTS)
def test_sums_run_in_float32(text: str) -> None:
    """In bfloat16 a sum over 25,600 pixels stops at 256."""
    rng = np.random.default_rng(0)
    masks = rng.integers(0, CLASSES, (1, 160, 160)).astype(np.uint8)
    half = ops.cast(rng.normal(0, 1, (1, 160, 160, CLASSES)), "bfloat16")
    loss = make_loss(text)
    exact = float(loss(masks, np.asarray(ops.cast(half, "float32"))))
    value = loss(masks, half)
    assert "float32" in str(value.dtype)
    assert float(value) == pytest.approx(exact, rel=1e-5)


def test_compiled_by_xla_for_any_size_they_are_the_same() -> None:
    """All in one function, which compiles once."""
    losses = [make_loss(name, WEIGHTS[1]) for name in LOSSES]
    masks, logits = example()
    maps = [loss.maps(masks, CLASSES) for loss in losses]

    def all_of_them(masks: Any, logits: Any, maps: Any) -> Any:
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(logits)
            values = [loss(masks, logits, own) for loss, own in zip(losses, maps, strict=True)]
        return values, [tape.gradient(value, logits) for value in values]

    any_size = tf.TensorSpec((None, None, None), tf.uint8), tf.TensorSpec((None, None, None, CLASSES))
    any_maps = [tuple(tf.TensorSpec([None] * array.ndim) for array in own) for own in maps]
    compiled = tf.function(all_of_them, input_signature=(*any_size, any_maps), jit_compile=True)
    found = compiled(tf.constant(masks), tf.constant(logits), maps)
    for name, loss, value, gradient in zip(LOSSES, losses, *found, strict=True):
        expected = value_and_gradient(loss, masks, logits)
        assert float(value) == pytest.approx(expected[0], rel=1e-5), name
        np.testing.assert_allclose(gradient, expected[1], rtol=1e-4, atol=1e-7, err_msg=name)


def test_known_relations() -> None:
    masks, logits = example()

    def of(text: str, weights: Any = None) -> float:
        return float(make_loss(text, weights)(masks, logits))

    assert of("tversky(alpha=0.5,beta=0.5)") == of("dice")
    assert of("tversky(alpha=1,beta=1)") == of("jaccard")
    assert of("focal_tversky(gamma=1)") == of("tversky")
    assert of("focal(gamma=0)") == of("cross_entropy")
    assert of("border_cross_entropy(w0=0)", WEIGHTS[1]) == of("cross_entropy", WEIGHTS[1])
    for number in range(CLASSES - 1):  # IoU = Dice / (2 - Dice) of each class by itself
        alone = tuple(float(number == other) for other in range(CLASSES))
        score = 1 - of("dice", alone)
        assert 1 - of("jaccard", alone) == pytest.approx(score / (2 - score), rel=1e-5)


def test_two_opposite_logits_make_binary_cross_entropy_that_of_one_sigmoid() -> None:
    rng = np.random.default_rng(0)
    masks, logit = rng.integers(0, 2, (1, 8, 8)).astype(np.uint8), rng.normal(0, 2, (1, 8, 8, 1)).astype(np.float32)
    expected = keras.losses.BinaryCrossentropy(from_logits=True)(masks[..., None], logit)
    value = make_loss("binary_cross_entropy")(masks, np.concatenate([-logit, logit], axis=-1))
    assert float(value) == pytest.approx(float(expected), rel=1e-5)


def published_lovasz(masks: np.ndarray, logits: np.ndarray) -> float:
    """Algorithm 1 of the paper, by differences of cumulated sums in float64."""
    shares, losses = loss_oracles.softmax(logits)[masks != 255], []
    labels = masks[masks != 255]
    for number in np.unique(labels):
        truth = (labels == number).astype(np.float64)
        errors = np.abs(truth - shares[:, number])
        order = np.argsort(-errors)
        truth = truth[order]
        jaccard = 1 - (truth.sum() - truth.cumsum()) / (truth.sum() + (1 - truth).cumsum())
        losses.append(errors[order] @ np.diff(jaccard, prepend=0))
    return float(np.mean(losses))


def test_lovasz_is_the_published_algorithm_on_a_large_picture() -> None:
    masks, logits = example(size=(2, 300, 200))
    assert float(make_loss("lovasz")(masks, logits)) == pytest.approx(published_lovasz(masks, logits), rel=1e-5)


def test_lovasz_of_sure_predictions_is_one_minus_iou() -> None:
    masks, logits = example()
    sure = 1e3 * one_hot(logits.argmax(-1))
    assert float(make_loss("lovasz")(masks, sure)) == pytest.approx(float(make_loss("jaccard")(masks, sure)), rel=1e-5)


def test_lovasz_keeps_its_digits_over_a_million_pixels() -> None:
    truth = (np.random.default_rng(0).random(1_500_000) < 0.3).astype(np.float32)
    members = truth.astype(np.int64)
    iou = (members.sum() - members.cumsum()) / (members.sum() + (1 - members).cumsum())
    expected = -np.diff(iou.astype(np.longdouble), prepend=1)
    found = np.asarray(_steps(truth[None]))[0]
    np.testing.assert_allclose(found[:-1], expected[:-1].astype(np.float64), rtol=1e-5, atol=1e-15)
    in_float32 = -np.diff(iou.astype(np.float32), prepend=np.float32(1))
    assert np.median(np.abs(in_float32 - expected) / np.maximum(expected, 1e-12)) > 1e-2


def test_a_sum_weighs_its_terms() -> None:
    masks, logits = example()
    expected = float(cross_entropy(masks, logits)) + 0.5 * float(dice(masks, logits))
    assert float(make_loss("cross_entropy+0.5*dice")(masks, logits)) == pytest.approx(expected, rel=1e-6)
    weights = (1.0, 2.0, 0.5, 3.0)
    expected = 2 * float(cross_entropy(masks, logits, weights)) + float(dice(masks, logits, weights))
    assert float(make_loss("2*cross_entropy + dice", weights)(masks, logits)) == pytest.approx(expected, rel=1e-6)


def test_each_term_of_a_sum_gets_its_own_map() -> None:
    masks, logits = example()
    loss = make_loss("border_cross_entropy(w0=3,sigma=1)+dice+0.1*boundary+border_cross_entropy")
    assert [array.shape for array in loss.maps(masks, CLASSES)] == [(2, 6, 5), (2, 6, 5, CLASSES), (2, 6, 5)]
    expected = sum(
        term.weight * ORACLES[term.text.partition("*")[2] or term.text](masks, logits, None) for term in loss.terms
    )
    assert float(loss(masks, logits, loss.maps(masks, CLASSES))) == pytest.approx(expected, rel=1e-5)
    assert float(loss(masks, logits)) == pytest.approx(expected, rel=1e-5)  # which makes them itself
    assert make_loss("cross_entropy+dice").maps(masks, CLASSES) == ()


def test_maps_cannot_be_made_within_a_compiled_step() -> None:
    masks, logits = example()
    with pytest.raises(UserError, match=r"dice\+0.01\*boundary needs maps.*loss\.maps"):
        make_loss("dice+0.01*boundary")(tf.constant(masks), logits)


@pytest.mark.parametrize("text", TEXTS)
def test_a_network_of_one_class_and_wrong_class_weights_are_refused(text: str) -> None:
    masks, logits = example()
    with pytest.raises(UserError, match="one class"):
        make_loss(text)(masks, logits[..., :1])
    with pytest.raises(UserError, match="3 class weights for 4 classes"):
        make_loss(text, (1.0, 2.0, 3.0))(masks, logits)


def test_keras_compiles_a_model_with_it() -> None:
    masks, logits = example(size=(2, 8, 8))
    model = keras.Sequential([keras.Input((None, None, CLASSES)), keras.layers.Conv2D(CLASSES, 1)])
    loss = make_loss("cross_entropy+0.5*lovasz", WEIGHTS[1])
    model.compile(loss=loss, optimizer="sgd")
    expected = float(loss(masks, model(logits)))
    assert model.evaluate(logits, masks, verbose=0) == pytest.approx(expected, rel=1e-5)
    assert model.train_on_batch(logits, masks) == pytest.approx(expected, rel=1e-5)
    assert model.evaluate(logits, masks, verbose=0) < expected


def test_auxiliary_heads_count_less_and_those_of_deep_supervision_alike() -> None:
    masks, logits = example()
    heads = [logits, *(example(seed)[1] for seed in (5, 6))]
    loss = make_loss("cross_entropy+0.1*boundary")
    maps = loss.maps(masks, CLASSES)
    each = [float(loss(masks, head)) for head in heads]

    def of(architecture: str, outputs: Any) -> float:
        return float(loss_of_heads(loss, architecture, tf.constant(masks), outputs, maps))

    both = {"logits": heads[0], "auxiliary": heads[1:]}
    assert of("pspnet", both) == pytest.approx(each[0] + 0.4 * (each[1] + each[2]), rel=1e-6)
    answer = {"logits": np.mean(heads, axis=0), "auxiliary": heads}
    assert of("unet++", answer) == pytest.approx(np.mean(each), rel=1e-6)
    for plain in ({"logits": logits, "auxiliary": []}, logits):
        assert of("unet++", plain) == of("pspnet", plain) == pytest.approx(each[0], rel=1e-6)
