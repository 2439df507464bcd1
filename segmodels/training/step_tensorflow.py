"""The training step on TensorFlow."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from segmodels.backend import keras
from segmodels.models.batch_norm_tensorflow import fused_batch_norm
from segmodels.training.losses import Loss


class TensorFlowStep:
    """See `segmodels.training.step.Step`. Compiled with XLA on a GPU only: on a CPU it makes these networks slower."""

    def __init__(self, model: keras.Model, optimizer: keras.optimizers.Optimizer, loss: Loss) -> None:
        self.optimizer = optimizer
        xla = bool(tf.config.list_physical_devices("GPU"))

        def train(images: Any, masks: Any) -> tuple[Any, Any]:
            with tf.GradientTape() as tape:
                with fused_batch_norm():
                    logits = model(images, training=True)
                value = loss(masks, logits)
            optimizer.apply(tape.gradient(value, model.trainable_variables), model.trainable_variables)
            return value, class_ids(logits)

        def evaluate(images: Any, masks: Any) -> tuple[Any, Any]:
            with fused_batch_norm():
                logits = model(images, training=False)
            return loss(masks, logits), class_ids(logits)

        self._train = tf.function(train, jit_compile=xla, reduce_retracing=True)
        self._evaluate = tf.function(evaluate, jit_compile=xla, reduce_retracing=True)

    def train(self, images: np.ndarray, masks: np.ndarray, learning_rate: float) -> tuple[Any, Any]:
        self.optimizer.learning_rate.assign(learning_rate)
        return self._train(tf.constant(images), tf.constant(masks))

    def evaluate(self, images: np.ndarray, masks: np.ndarray) -> tuple[Any, Any]:
        return self._evaluate(tf.constant(images), tf.constant(masks))

    def synchronise(self) -> None:
        """Nothing to do: the compiled step writes the variables themselves."""


def class_ids(logits: Any) -> Any:
    return tf.cast(tf.argmax(logits, axis=-1, output_type=tf.int32), tf.uint8)
