"""The optimizers: the same numbers as Keras' own, whatever kernel computes them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from segmodels.models.build import build
from segmodels.recipe import Recipe
from segmodels.training.optimizers import backbone_shares, make_optimizer

#: What Keras calls the same optimizers.
KERAS: dict[str, Any] = {
    "adam": lambda **rest: keras.optimizers.Adam(0.01, **rest),
    "adamw": lambda **rest: keras.optimizers.AdamW(0.01, weight_decay=1e-4, **rest),
    "sgd": lambda **rest: keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True, **rest),
    "rmsprop": lambda **rest: keras.optimizers.RMSprop(0.01, momentum=0.9, **rest),
    "lion": lambda **rest: keras.optimizers.Lion(0.01, weight_decay=1e-4, **rest),
}


def stepped(optimizer: Any, variables: list[Any], steps: int, *, scale: float = 1.0) -> None:
    for step in range(steps):
        generator = np.random.default_rng(step + 1)
        gradients = [scale * generator.normal(size=tuple(v.shape)).astype("float32") for v in variables]
        optimizer.apply([keras.ops.convert_to_tensor(gradient) for gradient in gradients], variables)


def network() -> Any:
    """A layer called backbone and one that is not, with the same weights at each call."""
    keras.utils.set_random_seed(0)
    images = keras.Input((4,))
    inside = keras.Input((4,))
    backbone = keras.Model(inside, keras.layers.Dense(3)(inside), name="backbone")
    return keras.Model(images, keras.layers.Dense(2)(backbone(images)))


def recipe_of(**fields: Any) -> Recipe:
    return Recipe(**{"data": "toy-pets", "learning_rate": 0.01, **fields})


@pytest.mark.parametrize("fields", [{}, {"clip_norm": 0.7}, {"accumulation": 3}], ids=lambda fields: str(fields))
@pytest.mark.parametrize("name", KERAS)
def test_thirty_steps_are_those_of_keras(name: str, fields: dict[str, Any]) -> None:
    """On TensorFlow a fused kernel computes Adam; the numbers are Keras' own."""
    names = {"clip_norm": "global_clipnorm", "accumulation": "gradient_accumulation_steps"}
    reference = KERAS[name](**{names[key]: value for key, value in fields.items()})
    if name in ("adamw", "lion"):
        reference.exclude_from_weight_decay(var_names=["bias"])
    ours, theirs = network(), network()
    start = [np.array(v) for v in ours.trainable_variables]
    optimizer = make_optimizer(recipe_of(optimizer=name, **fields), ours)
    reference.build(theirs.trainable_variables)
    stepped(optimizer, ours.trainable_variables, 30)
    stepped(reference, theirs.trainable_variables, 30)
    for mine, keras_own, before in zip(ours.trainable_variables, theirs.trainable_variables, start, strict=True):
        np.testing.assert_allclose(np.array(mine), np.array(keras_own), atol=5e-6)
        assert not np.allclose(np.array(mine), before)


def test_gradients_longer_than_the_limit_are_shortened_together() -> None:
    """SGD without momentum steps by the gradient, so that the step's length shows the limit."""
    model = network()
    start = np.concatenate([np.array(v).ravel() for v in model.trainable_variables])
    recipe = recipe_of(optimizer="sgd", momentum=0.0, clip_norm=0.5)
    stepped(make_optimizer(recipe, model), model.trainable_variables, 1, scale=100)
    step = np.concatenate([np.array(v).ravel() for v in model.trainable_variables]) - start
    assert np.linalg.norm(step) == pytest.approx(0.01 * 0.5, rel=1e-4)


def test_accumulated_steps_are_one_update_by_their_mean() -> None:
    model = network()
    start = [np.array(v) for v in model.trainable_variables]
    optimizer = make_optimizer(recipe_of(optimizer="sgd", momentum=0.0, accumulation=2), model)
    first, second = ([np.full(v.shape, value, "float32") for v in start] for value in (1.0, 3.0))
    optimizer.apply([keras.ops.convert_to_tensor(g) for g in first], model.trainable_variables)
    assert all(np.array_equal(np.array(v), s) for v, s in zip(model.trainable_variables, start, strict=True))
    optimizer.apply([keras.ops.convert_to_tensor(g) for g in second], model.trainable_variables)
    for variable, before in zip(model.trainable_variables, start, strict=True):
        np.testing.assert_allclose(np.array(variable), before - 0.01 * 2.0, atol=1e-6)


def test_decay_leaves_biases_and_normalisations_alone() -> None:
    model = build("unet", classes=2, norm="batch", width=4, depth=2)
    start = [np.array(v) for v in model.trainable_variables]
    optimizer = make_optimizer(recipe_of(optimizer="sgd", momentum=0.0, weight_decay=0.5), model)
    nothing = [keras.ops.zeros(v.shape) for v in model.trainable_variables]
    optimizer.apply(nothing, model.trainable_variables)
    decayed = set()
    for variable, before in zip(model.trainable_variables, start, strict=True):
        kind = variable.name.rpartition("/")[2]
        share = 1 - 0.01 * 0.5 if kind == "kernel" else 1
        np.testing.assert_allclose(np.array(variable), before * share, rtol=1e-6)
        decayed.add(kind)
    assert decayed == {"kernel", "bias", "gamma", "beta"}


@pytest.mark.parametrize("name", ["adam", "sgd", "lion"])
def test_the_backbone_takes_its_share_of_the_step(name: str) -> None:
    whole, slow = network(), network()
    recipe = recipe_of(backbone="mobilenetv2", optimizer=name)
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


def test_each_stage_of_the_backbone_has_a_rate_of_its_own() -> None:
    """MobileNetV2 has five stages: the first learns at 0.5^4 of the share of the last."""
    model = build("unet", backbone="mobilenetv2", classes=2, weights="none")
    backbone = model.get_layer("backbone")
    shares = backbone_shares(recipe_of(backbone="mobilenetv2", layer_decay=0.5), model)
    expected = {
        "Conv1": 0.2 / 16,
        "expanded_conv_depthwise": 0.2 / 16,
        "block_1_expand": 0.2 / 8,
        "block_3_expand": 0.2 / 4,
        "block_6_expand": 0.2 / 2,
        "block_13_expand": 0.2,
        "Conv_1": 0.2,
    }
    assert {name: shares[id(backbone.get_layer(name).trainable_variables[0])] for name in expected} == expected
    assert len(shares) == len(backbone.trainable_variables)


def test_random_weights_learn_at_the_full_rate() -> None:
    assert Recipe(data="toy-pets", backbone="mobilenetv2", weights="none").backbone_rate == 1.0
    assert Recipe(data="toy-pets").backbone_rate == 1.0
