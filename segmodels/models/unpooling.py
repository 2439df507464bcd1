"""Pooling that remembers where each maximum was, and unpooling that puts values back there.

Badrinarayanan, Kendall, Cipolla 2017, "SegNet", arXiv:1511.00561. TensorFlow's own `max_pool_with_argmax` does not
compile under XLA. Comparing features with their enlarged maxima would, but is wrong wherever values tie, as they do on
flat and on padded areas. Here the place is the index of the first maximum within its 2x2 window.
"""

from __future__ import annotations

from typing import Any

from segmodels.backend import keras, ops
from segmodels.models.layers import register


@register
class PoolingPlaces(keras.layers.Layer):
    """Which of the 2x2 places of a max pooling holds the maximum.

    `(batch, h, w, c)` of even sides to int32 `(batch, h/2, w/2, c)`: 0 upper left, 1 upper right, 2 lower left, 3 lower
    right; of equal values the first. Values that differ by less than `tolerance` (of 1 and of their size) count as
    equal: on flat areas engines round differently, and their places would else have nothing in common.
    """

    def __init__(self, tolerance: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tolerance = tolerance

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "tolerance": self.tolerance}

    def call(self, features: Any) -> Any:
        corners = [features[:, row::2, column::2] for row in (0, 1) for column in (0, 1)]
        best, place = corners[0], ops.zeros_like(corners[0], dtype="int32")
        for index, corner in enumerate(corners[1:], start=1):
            margin = self.tolerance * (1 + ops.abs(best)) if self.tolerance else 0
            place = ops.where(corner > best + margin, index, place)
            best = ops.maximum(corner, best)
        return place

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        batch, height, width, channels = input_shape
        return batch, height and height // 2, width and width // 2, channels

    def compute_output_spec(self, features: Any) -> Any:
        return keras.KerasTensor(self.compute_output_shape(features.shape), dtype="int32")


@register
class Unpooling(keras.layers.Layer):
    """Put `features` `(batch, h, w, c)` where `places` (of `PoolingPlaces`) says, with zeros around: `(batch, 2h, 2w,
    c)`."""

    def call(self, features: Any, places: Any) -> Any:
        batch, height, width, _ = ops.shape(features)
        channels = features.shape[-1]
        corners = [ops.where(ops.equal(places, index), features, 0) for index in range(4)]
        rows = [ops.stack(corners[:2], axis=3), ops.stack(corners[2:], axis=3)]
        return ops.reshape(ops.stack(rows, axis=2), (batch, 2 * height, 2 * width, channels))

    def compute_output_shape(self, features_shape: tuple, places_shape: tuple) -> tuple:
        batch, height, width, channels = features_shape
        return batch, height and 2 * height, width and 2 * width, channels
