"""Layers of published networks, in the form that every engine compiles and that an ONNX file can hold.

Each function changes the config of a functional model in place and says whether it changed anything; what is computed
stays the same.
"""

from __future__ import annotations

from typing import Any

from segmodels.backend import keras, ops
from segmodels.models.layers import register


def depthwise(config: dict[str, Any]) -> bool:
    """ConvNeXt's convolutions of one channel each, as what they are.

    In Keras' TensorFlow a Conv2D of groups calls a function that XLA compiles: slow on a CPU, and no ONNX operation.
    The kernel is `(height, width, channels, 1)` then, where it was `(height, width, 1, channels)`.
    """
    changed = False
    for layer in config["layers"]:
        old = layer["config"]
        if layer["class_name"] == "Conv2D" and old["groups"] == old["filters"] > 1:
            kept = ("name", "trainable", "dtype", "kernel_size", "strides", "padding", "dilation_rate", "activation")
            settings = {key: old[key] for key in (*kept, "data_format", "use_bias") if key in old}
            layer.update(class_name="DepthwiseConv2D", config=settings, build_config=None)
            changed = True
    return changed


def gelu(config: dict[str, Any]) -> bool:
    """GELU by the error function: TensorFlow computes it by the complementary one, which ONNX does not have."""
    changed = False
    for layer in config["layers"]:
        if layer["class_name"] == "Activation" and layer["config"]["activation"] == "gelu":
            layer.update(
                class_name="Gelu",
                module="segmodels.models.portable",
                registered_name="segmodels>Gelu",
                config={key: layer["config"][key] for key in ("name", "dtype")},
                build_config=None,
            )
            changed = True
    return changed


@register
class Gelu(keras.layers.Layer):
    """x * P(X <= x) of a standard normal X, exactly; any shape. Hendrycks and Gimpel 2016, arXiv:1606.08415."""

    def call(self, features: Any) -> Any:
        return features * 0.5 * (1.0 + ops.erf(features * 0.5**0.5))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape
