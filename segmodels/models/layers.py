"""The layers that more than one architecture needs, on any Keras backend and at any picture size."""

from __future__ import annotations

from typing import Any

from segmodels.backend import backend_name, keras, ops

register = keras.saving.register_keras_serializable(package="segmodels")


@register
class PadToMultiple(keras.layers.Layer):
    """Pad a picture on the right and at the bottom until both sides are a multiple of `multiple`, plus `extra`.

    `(batch, h, w, c)` becomes `(batch, H, W, c)`; `CropLike` takes the added part off again. With it a network of
    stride 32 takes pictures of any size. `value` is what is added: 0 is black.
    """

    def __init__(self, multiple: int, extra: int = 0, value: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.multiple, self.extra, self.value = multiple, extra, value

    def call(self, images: Any) -> Any:
        _, height, width, _ = ops.shape(images)
        margins = [[0, 0], [0, self._missing(height)], [0, self._missing(width)], [0, 0]]
        return ops.pad(images, margins, constant_values=self.value or None)

    def _missing(self, side: Any) -> Any:
        # Not `-side % multiple`: the exporters to ONNX translate that one wrongly.
        return (self.multiple - (side + self.multiple - self.extra) % self.multiple) % self.multiple

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        batch, *sides, channels = input_shape
        return batch, *(side and side + self._missing(side) for side in sides), channels

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "multiple": self.multiple, "extra": self.extra, "value": self.value}


@register
class CropLike(keras.layers.Layer):
    """Cut `features` at the right and at the bottom to the height and width of `like`."""

    def call(self, features: Any, like: Any) -> Any:
        _, height, width, _ = ops.shape(like)
        return features[:, :height, :width]

    def compute_output_shape(self, features_shape: tuple, like_shape: tuple) -> tuple:
        return features_shape[0], like_shape[1], like_shape[2], features_shape[3]


@register
class Upsample(keras.layers.Layer):
    """Enlarge `(batch, h, w, c)` by a whole factor, bilinearly (pixel centres at halves, as Pillow and OpenCV do)."""

    def __init__(self, factor: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, features: Any) -> Any:
        _, height, width, _ = ops.shape(features)
        size = (height * self.factor, width * self.factor)
        if backend_name() == "tensorflow":
            # keras.ops refuses a size that is only known when the graph runs; TensorFlow itself takes it, and its
            # kernel is two to six times as fast as the same sum written with shifts or matrices.
            import tensorflow as tf

            return tf.cast(tf.image.resize(features, size, method="bilinear"), features.dtype)
        return ops.image.resize(features, size, interpolation="bilinear")

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        batch, height, width, channels = input_shape
        return batch, height and height * self.factor, width and width * self.factor, channels

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.factor}


def normalisation(kind: str, name: str, *, momentum: float = 0.9) -> keras.layers.Layer | None:
    """The layer for `norm=kind`, or None for "none".

    Batch statistics run with a momentum of 0.9 (0.1 in PyTorch's counting): with Keras' 0.99 they are still far from
    right after the few hundred steps of a short training.
    """
    if kind == "batch":
        return keras.layers.BatchNormalization(momentum=momentum, name=name)
    if kind == "instance":
        return keras.layers.GroupNormalization(groups=-1, name=name)
    if kind == "group":
        return keras.layers.GroupNormalization(groups=8, name=name)
    return None


def conv_block(
    x: Any,
    filters: int,
    name: str,
    *,
    kernel: int = 3,
    norm: str = "batch",
    dilation: int = 1,
    separable: bool = False,
    bias: bool | None = None,
) -> Any:
    """Convolution, normalisation, ReLU; unless `bias` says so, it has a bias only where no normalisation follows.

    A separable one is a convolution a channel, normalised, ReLU, and then one over the channels, as the authors of
    DeepLabv3+ have it (Chen et al. 2018, arXiv:1802.02611).
    """
    if separable:
        x = keras.layers.DepthwiseConv2D(
            kernel,
            padding="same",
            dilation_rate=dilation,
            use_bias=norm == "none",
            depthwise_initializer="he_normal",
            name=f"{name}_depthwise",
        )(x)
        if (layer := normalisation(norm, f"{name}_depthwise_norm")) is not None:
            x = layer(x)
        x = keras.layers.ReLU(name=f"{name}_depthwise_relu")(x)
        kernel, dilation = 1, 1
    from segmodels.models.atrous import AtrousConv2D

    convolution = keras.layers.Conv2D if dilation == 1 else AtrousConv2D
    x = convolution(
        filters,
        kernel,
        padding="same",
        dilation_rate=dilation,
        use_bias=norm == "none" if bias is None else bias,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    if (layer := normalisation(norm, f"{name}_norm")) is not None:
        x = layer(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def logits(x: Any, classes: int, *, kernel: int = 1, name: str = "logits") -> Any:
    """The last convolution: one float32 score a class and pixel, also under mixed precision."""
    return keras.layers.Conv2D(classes, kernel, padding="same", dtype="float32", name=name)(x)
