"""From pixels 0..255 to what a pretrained network was trained to see; the first layer of every network."""

from __future__ import annotations

from typing import Any

from segmodels.backend import keras, ops
from segmodels.models.backbones import Scaling
from segmodels.models.layers import register

#: Mean and deviation of ImageNet's RGB pixels, of 0..1.
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
#: The means of its blue, green and red pixels, of 0..255, that Caffe's networks subtract.
CAFFE_MEAN = (103.939, 116.779, 123.68)


def scale_pixels(images: Any, scaling: Scaling) -> Any:
    """Symbolic RGB 0..255 `(batch, height, width, 3)`, scaled as `scaling` says."""
    if scaling == "caffe":
        return CaffePixels(name="preprocessing")(images)
    scale, offset = {
        "minus-one-to-one": (1 / 127.5, -1.0),
        "zero-to-one": (1 / 255, 0.0),
        "imagenet": ([1 / (255 * d) for d in DEVIATION], [-m / d for m, d in zip(MEAN, DEVIATION, strict=True)]),
    }[scaling]
    return keras.layers.Rescaling(scale, offset=offset, name="preprocessing")(images)


@register
class CaffePixels(keras.layers.Layer):
    """RGB 0..255 to BGR less ImageNet's mean, as VGG and ResNet were trained: `(batch, height, width, 3)` both."""

    def call(self, images: Any) -> Any:
        blue_green_red = ops.take(ops.cast(images, self.compute_dtype), [2, 1, 0], axis=-1)
        return blue_green_red - ops.cast(CAFFE_MEAN, self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape
