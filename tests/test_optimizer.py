"""The optimizers: the same numbers as Keras' own, whatever kernel computes them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from segmodels.recipe import Recipe
from segmodels.training.optimizers import WEIGHT_DECAY, make_optimizer
from segmodels.training.schedule import WARM_UP, learning_rate


def stepped(optimizer: Any, variables: list[Any], steps: int) -> None:
    for step in range(steps):
        generator = np.random.default_rng(step + 1)
        gradients = [generator.normal(size=tuple(v.shape)).astype("float32") for v in variables]
        optimizer.apply([keras.ops.convert_to_tensor(gradient) for gradient in gradients], variables)


def network() -> Any:
    """A layer called backbone and one that is not, with the same weights at each call."""
    keras.utils.set_random_seed(0)
    images = keras.Input((4,))
    inside = keras.Input((4,))
    backbone = keras.Model(inside, keras.layers.Dense(3)(inside), name="backbone")
    return keras.Model(images, keras.layers.Dense(2)(backbone(images)))


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_thirty_steps_are_those_of_keras(name: str) -> None:
    """On TensorFlow a fused kernel computes Adam; the numbers are Keras' own."""
    reference = {
        "adam": keras.optimizers.Adam(0.01),
        "adamw": keras.optimizers.AdamW(0.01, weight_decay=WEIGHT_DECAY),
        "sgd": keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True),
    }[name]
    if name == "adamw":
        reference.exclude_from_weight_decay(var_names=["bias"])
    ours, theirs = network(), network()
    start = [np.array(v) for v in ours.trainable_variables]
    optimizer = make_optimizer(Recipe(data="toy-pets", optimizer=name, learning_rate=0.01), ours)
    reference.build(theirs.trainable_variables)
    stepped(optimizer, ours.trainable_variables, 30)
    stepped(reference, theirs.trainable_variables, 30)
    for mine, keras_own, before in zip(ours.trainable_variables, theirs.trainable_variables, start, strict=True):
        np.testing.assert_allclose(np.array(mine), np.array(keras_own), atol=5e-6)
        assert not np.allclose(np.array(mine), before)


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_the_backbone_takes_its_share_of_the_step(name: str) -> None:
    whole, slow = network(), network()
    recipe = Recipe(data="toy-pets", backbone="mobilenetv2", optimizer=name, learning_rate=0.01)
    assert recipe.backbone_rate == 0.2
    start = [np.array(v) for v in whole.trainable_variables]
    for model, share in ((whole, 1.0), (slow, recipe.backbone_rate)):
        fields = {**recipe.model_dump(), "backbone_rate": share}
        stepped(make_optimizer(Recipe(**fields), model), model.trainable_variables, 1)
    for index, (full, part, before) in enumerate(
        zip(whole.trainable_variables, slow.trainable_variables, start, strict=True)
    ):
        share = 0.2 if index < 2 else 1.0  # kernel and bias of the backbone come first
        np.testing.assert_allclose(np.array(part) - before, share * (np.array(full) - before), atol=1e-7)


def test_random_weights_learn_at_the_full_rate() -> None:
    assert Recipe(data="toy-pets", backbone="mobilenetv2", weights="none").backbone_rate == 1.0
    assert Recipe(data="toy-pets").backbone_rate == 1.0


def test_the_rate_rises_stays_or_falls_to_zero() -> None:
    cosine, constant = (Recipe(data="toy-pets", learning_rate=0.1, schedule=s) for s in ("cosine", "constant"))
    steps = 10_000
    rates = np.array([learning_rate(cosine, step, steps) for step in range(steps)])
    assert (np.diff(rates[:WARM_UP]) > 0).all()
    assert (np.diff(rates[WARM_UP:]) < 0).all()
    assert rates.max() == pytest.approx(0.1)
    assert rates[-1] < 1e-6
    middle = WARM_UP + (steps - WARM_UP) // 2
    assert rates[middle] == pytest.approx(0.05)
    assert {learning_rate(constant, step, steps) for step in range(WARM_UP, steps, 97)} == {0.1}
    assert learning_rate(constant, 0, 5) == 0.1, "a training of a few steps has no warm-up"
