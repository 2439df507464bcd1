"""The fused kernel in TensorFlow's training step computes what Keras' own layer computes."""

from __future__ import annotations

import contextlib

import keras
import numpy as np
import pytest

from segmodels.models.batch_norm_tensorflow import fused_batch_norm
from segmodels.models.build import build
from segmodels.training import step_tensorflow
from segmodels.training.losses import make_loss


@pytest.mark.parametrize("shape", [(8, 16, 16, 32), (2, 1, 3, 5), (4, 33, 7, 1)])
def test_a_layer_gives_keras_own_outputs_gradients_and_statistics(shape: tuple[int, ...]) -> None:
    import tensorflow as tf

    generator = np.random.default_rng(0)
    inputs = tf.constant(generator.normal(3, 2, shape).astype("float32"))
    weights = tf.constant(generator.normal(size=shape).astype("float32"))
    results = []
    for context in (fused_batch_norm, contextlib.nullcontext):
        layer = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-3)
        layer.build(shape)
        layer.gamma.assign(np.linspace(0.5, 2, shape[-1]))
        with tf.GradientTape() as tape, context():
            tape.watch(inputs)
            outputs = layer(inputs, training=True)
            value = tf.reduce_sum(outputs * weights)
        gradients = tape.gradient(value, [inputs, *[v.value for v in layer.trainable_variables]])
        results.append([outputs, *gradients, layer.moving_mean.value, layer.moving_variance.value])
    for mine, plain in zip(*results, strict=True):
        np.testing.assert_allclose(mine.numpy(), plain.numpy(), rtol=1e-4, atol=1e-4)


def test_three_steps_give_the_weights_and_statistics_of_the_plain_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (4, 64, 64, 3), np.uint8)
    masks = generator.integers(0, 3, (4, 64, 64)).astype(np.uint8)
    results = []
    for fused in (True, False):
        if not fused:
            monkeypatch.setattr(step_tensorflow, "fused_batch_norm", contextlib.nullcontext)
        keras.utils.set_random_seed(0)
        model = build("unet", classes=3, width=8, depth=3)
        optimizer = keras.optimizers.SGD(0.01)
        optimizer.build(model.trainable_variables)
        loss = make_loss("cross_entropy")
        step = step_tensorflow.TensorFlowStep(model, optimizer, loss, loss)
        losses = [float(step.train(images, masks, (), 0.01).loss) for _ in range(3)]
        graph = step._train.get_concrete_function(images, masks, ()).graph
        assert ("FusedBatchNormV3" in {operation.type for operation in graph.get_operations()}) == fused
        results.append((losses, {v.path: np.array(v) for v in model.variables}))
    (losses, ours), (reference, theirs) = results
    np.testing.assert_allclose(losses, reference, rtol=1e-5)
    for (path, mine), plain in zip(ours.items(), theirs.values(), strict=True):
        np.testing.assert_allclose(mine, plain, rtol=1e-4, atol=2e-5, err_msg=path)


def test_outside_of_the_step_keras_own_layer_is_back() -> None:
    before = keras.layers.BatchNormalization.call
    with contextlib.suppress(ZeroDivisionError), fused_batch_norm():
        assert keras.layers.BatchNormalization.call is not before
        raise ZeroDivisionError
    assert keras.layers.BatchNormalization.call is before
