"""The training step on TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import tensorflow as tf

from segmodels.models.batch_norm_tensorflow import fused_batch_norm
from segmodels.training.step import Result, Step, logits_of


class TensorFlowStep(Step):
    """See `segmodels.training.step.Step`. The compiled functions read and write the variables themselves."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._train = tf.function(self._trained, jit_compile=self.xla, reduce_retracing=True, autograph=False)
        self._evaluate = tf.function(self._evaluated, jit_compile=self.xla, reduce_retracing=True, autograph=False)

    def train(self, images: np.ndarray, masks: np.ndarray, maps: Sequence[np.ndarray], rate: float) -> Result:
        self.optimizer.learning_rate.assign(rate)
        loss, ids = self._train(tf.constant(images), tf.constant(masks), tuple(map(tf.constant, maps)))
        return Result(loss, ids, {})

    def evaluate(self, images: np.ndarray, masks: np.ndarray, maps: Sequence[np.ndarray]) -> tuple[Any, Any]:
        return self._evaluate(tf.constant(images), tf.constant(masks), tuple(map(tf.constant, maps)))

    def _trained(self, images: Any, masks: Any, maps: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            with self.batch_norm():
                outputs = self._whole(self.model(images, training=True))
            value = self.objective(masks, outputs, maps)
        self._learn(tape, value)
        return value, class_ids(logits_of(outputs))

    def _learn(self, tape: Any, value: Any) -> None:
        """Update the weights, and the means of them."""
        variables = self.model.trainable_variables
        self.optimizer.apply(self._summed(tape.gradient(value, variables)), variables)
        if self.averages:
            means = [mean.value for mean in self.averages.variables]
            moved = self.averages.moved(means, [variable.value for variable in self.averages.averaged])
            for mean, now in zip(self.averages.variables, moved, strict=True):
                mean.assign(now)

    def _evaluated(self, images: Any, masks: Any, maps: Any) -> tuple[Any, Any]:
        with self.batch_norm():
            logits = logits_of(self._whole(self.model(images, training=False)))
        return self.loss(masks, logits, maps), class_ids(logits)

    def batch_norm(self) -> AbstractContextManager:
        """Inside, a network is traced with the BatchNorm that is fastest here."""
        return fused_batch_norm()

    def _whole(self, outputs: Any) -> Any:
        """What the network gives for the whole batch, where a device computes a part of it."""
        return outputs

    def _summed(self, gradients: list[Any]) -> list[Any]:
        """The gradients of the whole batch, likewise."""
        return gradients

    def store(self) -> None:
        """Nothing to do."""

    def load(self) -> None:
        """Nothing to do."""


def class_ids(logits: Any) -> Any:
    return tf.cast(tf.argmax(logits, axis=-1, output_type=tf.int32), tf.uint8)
