"""The optimizers: the same numbers as Keras' own, whatever kernel computes them."""

from __future__ import annotations

import numpy as np
import pytest

from segmodels.recipe import Recipe
from segmodels.training.schedule import WARM_UP, WEIGHT_DECAY, learning_rate, make_optimizer


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_the_fused_kernel_follows_keras_for_thirty_steps(name: str) -> None:
    import keras

    decay = WEIGHT_DECAY if name == "adamw" else None
    ours = make_optimizer(Recipe(data="toy-pets", optimizer=name, learning_rate=0.01))
    theirs = keras.optimizers.Adam(0.01, weight_decay=decay)
    start = np.random.default_rng(0).normal(size=(2, 50, 3)).astype("float32")
    groups = [[keras.Variable(start[0], name="kernel"), keras.Variable(start[1], name="bias")] for _ in range(2)]
    theirs.exclude_from_weight_decay(var_names=["bias"]) if decay else None
    for optimizer, variables in zip((ours, theirs), groups, strict=True):
        optimizer.build(variables)
    for step in range(30):
        gradients = np.random.default_rng(step + 1).normal(size=(2, 50, 3)).astype("float32")
        for optimizer, variables in zip((ours, theirs), groups, strict=True):
            optimizer.apply([keras.ops.convert_to_tensor(gradient) for gradient in gradients], variables)
    for mine, keras_own in zip(*groups, strict=True):
        np.testing.assert_allclose(np.array(mine), np.array(keras_own), atol=5e-6)
        assert not np.allclose(np.array(mine), start)


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
