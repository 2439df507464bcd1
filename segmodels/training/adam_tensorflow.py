"""Adam on TensorFlow with one fused kernel a variable."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from segmodels.backend import keras


class FusedAdam(keras.optimizers.Adam):
    """Keras' Adam (Kingma and Ba 2015, arXiv:1412.6980), the same numbers from one operation a variable.

    Keras writes an update as a dozen operations, each of which is dispatched and passes over the memory by itself; for
    a network of 160 variables that is several percent of a training step on a CPU.
    """

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)
        step = tf.cast(tf.convert_to_tensor(self.iterations), tf.float32) + 1
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,  # Keras hands over the TensorFlow variable itself here
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(tf.constant(self.beta_1, tf.float32), step),
            beta2_power=tf.pow(tf.constant(self.beta_2, tf.float32), step),
            lr=tf.cast(learning_rate, tf.float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, tf.float32),
        )
