"""Atrous networks out of published ones: strides become dilations, and the weights stay.

Chen et al. 2017, "Rethinking Atrous Convolution for Semantic Image Segmentation", arXiv:1706.05587. Where a layer's
stride is taken away, the layers behind it see their input at twice the density; with twice the dilation they compute,
at every second place, what they computed before. Only pooling over the whole picture (squeeze and excitation) then sees
other values.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from segmodels.backend import keras, ops
from segmodels.errors import UserError
from segmodels.models import portable
from segmodels.models.backbones import Backbone
from segmodels.models.layers import register

OUTPUT_STRIDES = (8, 16, 32)


def adapt(network: keras.Model, row: Backbone, output_stride: int, *, centred: bool = False) -> keras.Model:
    """The same network with `output_stride` (8, 16 or 32), its weights kept, and with features of whole sizes.

    With `centred` windows of stride 2 have their centre on the first pixel, as TensorFlow's own padding gives on sides
    of 8 k + 1 pixels; Keras pads for even sides.
    """
    if output_stride not in OUTPUT_STRIDES:
        raise UserError(f"output_stride={output_stride}: must be one of {', '.join(map(str, OUTPUT_STRIDES))}")
    config = network.get_config()
    changed = _without_own_scaling(config) | _with_whole_sizes(config, row)
    changed |= portable.depthwise(config) | portable.gelu(config)
    changed |= centred and _centred(config)
    changed |= _dilated(config, output_stride)
    if not changed:
        return network
    made = keras.Model.from_config(config, custom_objects={"DilatedPooling": DilatedPooling, "Gelu": portable.Gelu})
    for layer, source in zip(made.layers, network.layers, strict=True):
        if layer.weights:
            weights = source.get_weights()
            if type(source) is keras.layers.Conv2D and type(layer) is not type(source):  # see `portable.depthwise`
                weights[0] = weights[0].transpose(0, 1, 3, 2)
            layer.set_weights(weights)
    return made


def _without_own_scaling(config: dict[str, Any]) -> bool:
    """EfficientNet scales pixels itself, by layers that differ with the way its weights came: `pixels` does it here."""
    changed = False
    for layer in config["layers"]:
        if layer["class_name"] in ("Rescaling", "Normalization"):
            name = layer["config"]["name"]
            layer.update(class_name="Activation", config={"name": name, "activation": "linear"}, build_config=None)
            changed = True
    return changed


def _with_whole_sizes(config: dict[str, Any], row: Backbone) -> bool:
    for layer in config["layers"]:
        if layer["config"]["name"] in row.padded:
            layer["config"]["padding"] = "same"
    return bool(row.padded)


def _centred(config: dict[str, Any]) -> bool:
    for layer in config["layers"]:
        if layer["class_name"] == "ZeroPadding2D":
            layer["config"]["padding"] = [[after, after] for _, after in layer["config"]["padding"]]
    return True


def _dilated(config: dict[str, Any], output_stride: int) -> bool:
    """Give every layer that works below `output_stride` stride 1 and the dilation that makes up for it."""
    strides: dict[str, int] = {}  # of each layer's output, in the published network
    padding: dict[str, dict[str, Any]] = {}  # a layer's own ZeroPadding2D before it
    changed = False
    for layer in config["layers"]:
        name = layer["config"]["name"]
        sources = list(_sources(layer["inbound_nodes"]))
        before = max((strides[source] for source in sources), default=1)
        stride = 1
        for part in _parts(layer):
            settings = part["config"]
            own = _pair(settings.get("strides", 1))
            dilation = before * stride // output_stride
            stride *= own
            if dilation >= 1 and (own > 1 or dilation > 1) and _kernel(settings) and "strides" in settings:
                _dilate(part, dilation, padding.get(sources[0]) if sources else None)
                changed = True
        strides[name] = before * stride
        if layer["class_name"] == "ZeroPadding2D":
            padding[name] = layer["config"]
    return changed


def _dilate(layer: dict[str, Any], dilation: int, zeros: dict[str, Any] | None) -> None:
    settings, kernel = layer["config"], _kernel(layer["config"])
    strided = _pair(settings["strides"]) > 1
    settings["strides"] = 1
    if "pool_size" in settings:
        layer.update(
            class_name="DilatedPooling",
            module="segmodels.models.dilation",
            registered_name="segmodels>DilatedPooling",
            config={
                "name": settings["name"],
                "dtype": settings["dtype"],
                "size": kernel,
                "dilation": dilation,
                "kind": "max" if layer["class_name"] == "MaxPooling2D" else "average",
            },
            build_config=None,
        )
        return
    settings["dilation_rate"] = dilation
    if settings["padding"] == "valid" and kernel > 1:
        if zeros is None:  # an unpadded patch, as between the stages of ConvNeXt
            settings["padding"] = "same"
        elif strided:
            margin = dilation * (kernel - 1) // 2
            zeros["padding"] = [[margin, margin], [margin, margin]]


def _parts(layer: dict[str, Any]) -> list[dict[str, Any]]:
    """The layer itself, or the layers of a Sequential one."""
    return layer["config"]["layers"] if layer["class_name"] == "Sequential" else [layer]


def _sources(nodes: Any) -> Iterator[str]:
    """The names of the layers that a layer of a functional config takes its inputs from."""
    if isinstance(nodes, dict):
        if "keras_history" in nodes:
            yield nodes["keras_history"][0]
        else:
            yield from _sources(list(nodes.values()))
    elif isinstance(nodes, (list, tuple)):
        for node in nodes:
            yield from _sources(node)


def _pair(value: Any) -> int:
    return value if isinstance(value, int) else value[0]


def _kernel(settings: dict[str, Any]) -> int:
    """The side of a layer's window, or 0 for a layer that looks at single places."""
    return _pair(settings.get("kernel_size") or settings.get("pool_size") or 0)


@register
class DilatedPooling(keras.layers.Layer):
    """The maximum or the average over `size` x `size` places that are `dilation` apart; `(batch, h, w, c)` both.

    The window begins at its place (of three, one back less than "same" would have it), as it does in a pooling of
    stride 2 over an even number of places. So a shortcut beside it, which takes the window's first place, still meets
    the same pixels. Averages are over the places inside the picture.
    """

    def __init__(self, size: int, dilation: int, kind: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size, self.dilation, self.kind = size, dilation, kind

    def call(self, features: Any) -> Any:
        if self.kind == "max":
            return self._combined(features, float("-inf"), ops.maximum)
        inside = self._combined(ops.ones_like(features[:1, :, :, :1]), 0.0, ops.add)
        return self._combined(features, 0.0, ops.add) / inside

    def _combined(self, features: Any, outside: float, combine: Any) -> Any:
        for axis in (1, 2):
            length = ops.shape(features)[axis]
            margin = [[0, 0]] * 4
            margin[axis] = [0, self.dilation * (self.size - 1)]
            padded = ops.pad(features, margin, constant_values=outside)
            part = [slice(None)] * 4
            for step in range(self.size):
                start = step * self.dilation
                part[axis] = slice(start, start + length)
                features = padded[tuple(part)] if step == 0 else combine(features, padded[tuple(part)])
        return features

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size, "dilation": self.dilation, "kind": self.kind}
