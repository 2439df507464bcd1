"""Batch normalisation on TensorFlow with the fused kernel, for training steps and compiled predictions.

Ioffe and Szegedy 2015, arXiv:1502.03167. Keras writes it as separate means, differences and products, each of which
passes over the feature maps by itself; TensorFlow has one kernel for all of it and one for its gradient.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from segmodels.backend import keras

#: The layer's class is changed meanwhile: two threads that trace must take turns.
_TURN = threading.RLock()


@contextmanager
def fused_batch_norm() -> Iterator[None]:
    """While a step or a prediction is traced, BatchNormalization layers write the fused kernel into its graph.

    The numbers stay Keras' own: the normalised features, the gradients, and the running statistics, which Keras takes
    from the biased variance where the kernel gives the unbiased one. In a prediction TensorFlow joins the kernel with
    the convolution before it.
    """
    with _TURN:
        yield from _patched()


def _patched() -> Iterator[None]:
    layer = keras.layers.BatchNormalization
    plain = layer.call

    def call(self: Any, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if not _fits(self, inputs, mask):
            return plain(self, inputs, training=training, mask=mask)
        learns = bool(training) and self.trainable
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.convert_to_tensor(self.gamma.value),
            offset=tf.convert_to_tensor(self.beta.value),
            mean=tf.constant([], tf.float32) if learns else tf.convert_to_tensor(self.moving_mean.value),
            variance=tf.constant([], tf.float32) if learns else tf.convert_to_tensor(self.moving_variance.value),
            epsilon=self.epsilon,
            is_training=learns,
        )
        if not learns:
            return tf.cast(outputs, self.compute_dtype)
        count = tf.cast(tf.size(inputs, out_type=tf.int64) // inputs.shape[-1], tf.float32)
        biased = variance * (count - 1) / count
        self.moving_mean.assign(self.moving_mean * self.momentum + mean * (1 - self.momentum))
        self.moving_variance.assign(self.moving_variance * self.momentum + biased * (1 - self.momentum))
        return tf.cast(outputs, self.compute_dtype)

    layer.call = call
    try:
        yield
    finally:
        layer.call = plain


def _fits(layer: Any, inputs: Any, mask: Any) -> bool:
    """The kernel takes pictures with channels last, scaled and shifted, with statistics of this device alone."""
    plain = layer.scale and layer.center and not layer.synchronized and not getattr(layer, "renorm", False)
    return plain and mask is None and len(inputs.shape) == 4 and layer.axis in (-1, 3)
