"""The start of FCN's transposed convolutions: bilinear interpolation of each class by itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from segmodels.backend import keras, ops


@keras.saving.register_keras_serializable(package="segmodels")
class Bilinear(keras.initializers.Initializer):
    """For a kernel `(2 f, 2 f, classes, classes)` of a transposed convolution with stride f: enlarges f times."""

    def __call__(self, shape: tuple[int, ...], dtype: Any = None, **_: Any) -> Any:
        size, outputs, inputs = shape[0], shape[2], shape[3]
        factor = (size + 1) // 2
        centre = factor - 1 if size % 2 else factor - 0.5
        line = 1 - np.abs(np.arange(size) - centre) / factor
        kernel = np.zeros(shape, np.float32)
        for index in range(min(outputs, inputs)):
            kernel[:, :, index, index] = np.outer(line, line)
        return ops.convert_to_tensor(kernel, dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        return {}
