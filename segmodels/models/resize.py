"""Resizing and pooling to sizes that are known only when the network runs, exactly, as products with small matrices.

`keras.ops.image.resize` refuses such sizes in a graph, and adaptive pooling layers want static ones. Both are linear
and separable: a matrix for the rows and one for the columns does them at any size, on any backend, and exports.
"""

from __future__ import annotations

from typing import Any

from segmodels.backend import keras, ops
from segmodels.models.layers import register


def bilinear_matrix(source: Any, target: Any, *, corners: bool = False) -> Any:
    """Float32 `(target, source)`: what bilinear resizing of a line takes from each of its places.

    With `corners` the first and last places of both lie on each other (TensorFlow's and PyTorch's `align_corners`),
    else pixels are areas and the outer edges do (as Pillow and OpenCV have it).
    """
    places = ops.cast(ops.arange(target), "float32")
    size, out = ops.cast(source, "float32"), ops.cast(target, "float32")
    if corners:
        at = places * (size - 1) / ops.maximum(out - 1, 1.0)
    else:
        at = ops.clip((places + 0.5) * size / out - 0.5, 0.0, size - 1)
    distance = ops.abs(at[:, None] - ops.cast(ops.arange(source), "float32")[None])
    return ops.maximum(1 - distance, 0.0)


def average_matrix(source: Any, bins: int) -> Any:
    """Float32 `(bins, source)`, the means of adaptive pooling: bin i is floor(i n / bins) to ceil((i + 1) n / bins)."""
    places = ops.arange(source)[None]
    start = ops.arange(bins)[:, None] * source // bins
    end = ((ops.arange(bins)[:, None] + 1) * source + bins - 1) // bins
    inside = ops.cast(ops.logical_and(places >= start, places < end), "float32")
    return inside / ops.sum(inside, axis=-1, keepdims=True)


def _apply(rows: Any, columns: Any, features: Any) -> Any:
    kind = features.dtype
    features = ops.einsum("Hh,bhwc->bHwc", ops.cast(rows, kind), features)
    return ops.einsum("Ww,bhwc->bhWc", ops.cast(columns, kind), features)


@register
class AdaptiveAveragePooling(keras.layers.Layer):
    """`(batch, h, w, c)` to `(batch, bins, bins, c)`, the means of `bins` x `bins` areas that cover it."""

    def __init__(self, bins: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bins = bins

    def call(self, features: Any) -> Any:
        _, height, width, _ = ops.shape(features)
        return _apply(average_matrix(height, self.bins), average_matrix(width, self.bins), features)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape[0], self.bins, self.bins, input_shape[3]

    def multiply_adds(self, input_shape: tuple, output_shape: tuple) -> int:
        return _multiply_adds(input_shape, output_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "bins": self.bins}


@register
class ResizeLike(keras.layers.Layer):
    """Resize `features` `(batch, h, w, c)` bilinearly to the height and width of `like`."""

    def __init__(self, corners: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.corners = corners

    def call(self, features: Any, like: Any) -> Any:
        _, height, width, _ = ops.shape(features)
        _, to_height, to_width, _ = ops.shape(like)
        rows = bilinear_matrix(height, to_height, corners=self.corners)
        return _apply(rows, bilinear_matrix(width, to_width, corners=self.corners), features)

    def compute_output_shape(self, features_shape: tuple, like_shape: tuple) -> tuple:
        return features_shape[0], like_shape[1], like_shape[2], features_shape[3]

    def multiply_adds(self, input_shape: tuple, output_shape: tuple) -> int:
        return _multiply_adds(input_shape, output_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "corners": self.corners}


def _multiply_adds(input_shape: tuple, output_shape: tuple) -> int:
    _, height, width, channels = input_shape
    _, to_height, to_width, _ = output_shape
    return channels * width * to_height * (height + to_width)
