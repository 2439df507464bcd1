"""The adversarial step on TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from segmodels.models.batch_norm_tensorflow import fused_batch_norm
from segmodels.training.adversarial import Adversary, drawn, figures, fooling_loss, judging_loss
from segmodels.training.step import Result, logits_of
from segmodels.training.step_tensorflow import TensorFlowStep, class_ids


class AdversarialTensorFlowStep(TensorFlowStep):
    """See `segmodels.training.adversarial`. The discriminator learns first, then the
    generator against what it has become."""

    def __init__(self, *arguments: Any, adversary: Adversary, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.adversary = adversary
        self.load()
        self._train = tf.function(self._played, jit_compile=self.xla, reduce_retracing=True, autograph=False)

    @property
    def variables(self) -> list[Any]:
        return [*super().variables, *self.adversary.variables]

    def load(self) -> None:
        self.done = int(self.optimizer._iterations)

    def train(self, images: np.ndarray, masks: np.ndarray, maps: Sequence[np.ndarray], rate: float) -> Result:
        self.optimizer.learning_rate.assign(rate)
        self.adversary.optimizer.learning_rate.assign(rate * self.adversary.rate)
        learns = self.done % self.adversary.every == 0
        self.done += 1
        tensors = tf.constant(images), tf.constant(masks), tuple(map(tf.constant, maps))
        return Result(*self._train(*tensors, learns=learns))

    def _played(self, images: Any, masks: Any, maps: Any, *, learns: bool) -> tuple[Any, Any, Any]:
        judge, pixels = self.adversary.network, tf.cast(images, tf.float32)
        with tf.GradientTape() as tape:
            with fused_batch_norm():
                outputs = self.model(images, training=True)
            true_mask, drawn_mask = drawn(masks, logits_of(outputs))
            with tape.stop_recording():
                true, false = self._judge(pixels, true_mask, drawn_mask, learns)
            with fused_batch_norm():
                fooling = fooling_loss(judge([pixels, drawn_mask], training=True))
            value = self.objective(masks, outputs, maps) + self.adversary.weight * fooling
        self._learn(tape, value)
        return value, class_ids(logits_of(outputs)), figures(true, false, fooling)

    def _judge(self, pixels: Any, true_mask: Any, drawn_mask: Any, learns: bool) -> tuple[Any, Any]:
        """The verdicts on true and drawn masks, from which the discriminator may learn."""
        judge = self.adversary.network
        with tf.GradientTape() as tape, fused_batch_norm():
            true = judge([pixels, true_mask], training=True)
            false = judge([pixels, tf.stop_gradient(drawn_mask)], training=True)
            value = judging_loss(true, false)
        if learns:
            variables = judge.trainable_variables
            self.adversary.optimizer.apply(tape.gradient(value, variables), variables)
        return true, false
