"""Convolution at a large dilation, without the work that falls beside the picture.

Chen et al. 2017, "Rethinking Atrous Convolution", arXiv:1706.05587, note that at rate 36 on a map of 32 places only the
kernel's centre still meets it. TensorFlow on a CPU takes the map apart into one a place of the dilation, pads each and
convolves them all, which is up to 50 times the work.
"""

from __future__ import annotations

import math
from typing import Any

from segmodels.backend import backend_name, keras
from segmodels.models.layers import register


@register
class AtrousConv2D(keras.layers.Conv2D):
    """Keras' Conv2D with padding "same" and stride 1, the same numbers; quick at large dilations on every device."""

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        if backend_name() == "tensorflow":
            import tensorflow as tf

            if None not in inputs.shape[1:3] and not tf.config.list_physical_devices("GPU"):
                return _by_places(tf, inputs, kernel, self.dilation_rate)
        return super().convolution_op(inputs, kernel)

    def multiply_adds(self, input_shape: tuple, output_shape: tuple) -> int:
        """Of the whole kernel at every place, as papers count."""
        return math.prod(output_shape[:-1]) * math.prod(self.kernel.shape)


def _by_places(tf: Any, inputs: Any, kernel: Any, rates: tuple[int, int]) -> Any:
    """The sum over the kernel's places of a 1x1 convolution of the part of the map that each meets."""
    sides = inputs.shape[1:3]
    parts = []
    for row in range(kernel.shape[0]):
        for column in range(kernel.shape[1]):
            steps = [(row - kernel.shape[0] // 2) * rates[0], (column - kernel.shape[1] // 2) * rates[1]]
            if any(abs(step) >= side for step, side in zip(steps, sides, strict=True)):
                continue
            met = [slice(max(0, step), side + min(0, step)) for step, side in zip(steps, sides, strict=True)]
            part = tf.nn.conv2d(inputs[:, met[0], met[1]], kernel[row : row + 1, column : column + 1], 1, "VALID")
            margins = [[0, 0], *([max(0, -step), max(0, step)] for step in steps), [0, 0]]
            parts.append(tf.pad(part, margins))
    return tf.add_n(parts)
