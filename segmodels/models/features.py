"""From a row of the backbone table to feature maps inside a network."""

from __future__ import annotations

import importlib
from typing import Any

from segmodels.models.backbones import Backbone, backbone_row


def features(
    name: str,
    images: Any,
    *,
    weights: Any = "none",
    momentum: float = 0.9,
    output_stride: int = 32,
    centred: bool = False,
    taps: tuple[str | None, ...] | None = None,
    **options: Any,
) -> list[Any]:
    """Add a backbone to a network.

    Args:
        name: a row of `BACKBONES`.
        images: symbolic RGB 0..255, `(batch, height, width, 3)`, both sides multiples of `output_stride`.
        weights: "none" for random, "imagenet", a weights file, or a Keras model with layers of the same names.
        momentum: of the running statistics of its BatchNorm layers. Published MobileNetV2 has 0.999, which after a
            short fine-tuning leaves statistics of neither the old nor the new pictures.
        output_stride: 32; or 16 or 8, where the last strides become dilations and the weights stay (convolutional
            backbones).
        centred: pad for pictures of 8 k + 1 pixels a side; see `segmodels.models.dilation.adapt`.
        taps: other layers than the row's.
        **options: for the factory of a row of this package.

    Returns:
        Feature maps at strides 2, 4, 8, 16 and 32, none above `output_stride`; None where the backbone has none.
    """
    from segmodels.backend import keras
    from segmodels.models.pixels import scale_pixels

    row = backbone_row(name)
    network = backbone_network(row, weights=weights, output_stride=output_stride, centred=centred, **options)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = momentum
    names = row.taps if taps is None else taps
    found = [tap for tap in names if tap is not None]
    encoder = keras.Model(network.inputs, [network.get_layer(tap).output for tap in found], name="backbone")
    maps = dict(zip(found, as_list(encoder(scale_pixels(images, row.scaling))), strict=True))
    return [None if tap is None else maps[tap] for tap in names]


def backbone_network(
    row: Backbone, *, weights: Any = "none", output_stride: int = 32, centred: bool = False, **options: Any
) -> Any:
    """The Keras model of a backbone without its classifier, for pixels that are scaled already; see `features`."""
    from segmodels.backend import keras
    from segmodels.models.dilation import adapt
    from segmodels.models.weights import load_weights

    if ":" in row.factory:
        module, function = row.factory.split(":")
        network = getattr(importlib.import_module(module), function)(**options)
        if str(weights) != "none":
            load_weights(network, row, weights)
        return network
    factory = getattr(keras.applications, row.factory)
    network = factory(include_top=False, weights=None, input_shape=(None, None, 3), **dict(row.arguments))
    if isinstance(weights, keras.Model):
        for layer in network.layers:
            if layer.weights:
                layer.set_weights(weights.get_layer(layer.name).get_weights())
    elif str(weights) != "none":
        load_weights(network, row, weights)
    return adapt(network, row, output_stride, centred=centred)


def as_list(outputs: Any) -> list[Any]:
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
