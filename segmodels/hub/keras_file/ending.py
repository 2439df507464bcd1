"""What a checked network of Keras begins and ends with: its input, what pixels it was trained on, its last activation.
Loads no Keras."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Literal

from segmodels.errors import UserError

#: The activation that a network ended with.
Ending = Literal["softmax", "sigmoid", "none"]

#: Axes that are the channels of `(batch, height, width, channels)`.
_CHANNELS = (-1, 3, [-1], [3])


def input_size(network: dict[str, Any]) -> tuple[int | None, int | None]:
    """Height and width of the pictures that a network takes, None where any.

    Raises:
        UserError: it takes several things, or no pictures of three channels.
    """
    shape = _input_config(network).get("batch_shape")
    if not isinstance(shape, list) or len(shape) != 4:
        raise UserError(f"the network takes {shape}, not pictures (batch, height, width, 3): it cannot be used here")
    _, height, width, channels = shape
    if channels != 3:
        raise UserError(f"the network takes {channels} channels, not RGB: it cannot be used here")
    if any(side is not None and (type(side) is not int or not 1 <= side <= 4096) for side in (height, width)):
        raise UserError(f"the network takes pictures of {width} x {height} pixels: it cannot be used here")
    return height, width


def with_input(network: dict[str, Any], height: int | None, width: int | None) -> dict[str, Any]:
    """The same network for pictures of another size, and batches of any size."""
    changed = copy.deepcopy(network)
    _input_config(changed)["batch_shape"] = [None, height, width, 3]
    changed["config"].pop("build_input_shape", None)
    return changed


def _input_config(network: dict[str, Any]) -> dict[str, Any]:
    """The settings of a network's one `InputLayer`."""
    config = network["config"]
    if network["class_name"] == "Sequential":
        first = config["layers"][0]
    else:
        name = _only(config["input_layers"], "input")[0]
        first = next((layer for layer in config["layers"] if layer["name"] == name), {})
    if first.get("class_name") != "InputLayer":
        raise UserError("the network says nothing about its input: call it on a picture and save it again")
    return first["config"]


def _only(ends: Any, what: str) -> list[Any]:
    """The one tensor among a network's inputs or outputs."""
    while not (isinstance(ends, list) and isinstance(ends[0], str)):
        if len(ends) != 1:
            raise UserError(f"the network has {len(ends)} {what}s: make one with a single {what} and save that")
        ends = next(iter(ends.values())) if isinstance(ends, dict) else ends[0]
    return ends


def without_activation(network: dict[str, Any]) -> tuple[dict[str, Any], Ending]:
    """The network with its last softmax or sigmoid replaced by nothing, so that it returns logits; and which it was.

    Raises:
        UserError: it has several outputs.
    """
    changed = copy.deepcopy(network)
    return changed, _removed(changed)


def _removed(network: dict[str, Any]) -> Ending:
    layers = network["config"]["layers"]
    if network["class_name"] == "Sequential":
        last = layers[-1]
    else:
        name = _only(network["config"]["output_layers"], "output")[0]
        last = next((layer for layer in layers if layer["name"] == name), None)
        if any(name in _read_by(layer) for layer in layers):
            return "none"  # other layers go on with it
    if last is None or len(last.get("inbound_nodes", [])) > 1:
        return "none"  # it computes something else as well
    config, kind = last["config"], last["class_name"]
    if kind in ("Functional", "Sequential"):
        try:
            return _removed(last)
        except UserError:  # one of several outputs
            return "none"
    if last["module"] == "keras.layers" and kind != "Softmax":
        if config.get("activation") in ("softmax", "sigmoid"):
            found: Ending = config["activation"]
            config["activation"] = "linear"
            return found
        return "none"
    alone = all(len(node["args"]) == 1 and not node["kwargs"] for node in last.get("inbound_nodes", []))
    if kind == "Softmax" and config.get("axis", -1) in _CHANNELS and (alone or last["module"] == "keras.layers"):
        _make_identity(last)
        return "softmax"
    if kind == "Sigmoid" and alone:
        _make_identity(last)
        return "sigmoid"
    return "none"


def _read_by(layer: dict[str, Any]) -> set[str]:
    """The names of the layers whose outputs a layer is given."""
    found: set[str] = set()
    waiting: list[Any] = [layer.get("inbound_nodes", [])]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            history = each.get("keras_history")
            found |= {str(history[0])} if isinstance(history, list) and history else set()
            waiting += each.values()
        elif isinstance(each, list):
            waiting += [one for one in each if isinstance(one, dict | list)]
    return found


def _make_identity(layer: dict[str, Any]) -> None:
    layer["module"], layer["class_name"] = "keras.layers", "Identity"
    layer["config"] = {"name": layer["config"]["name"], "dtype": "float32"}


def scales_itself(network: dict[str, Any]) -> bool:
    """Whether a network seems to take pixels 0..255: it divides by 100 or more, or normalises with means over 2."""
    return any(_shrinks(layer) for layer in _layers(network))


def _layers(network: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for layer in network["config"]["layers"]:
        yield from _layers(layer) if "layers" in layer["config"] else [layer]


def _shrinks(layer: dict[str, Any]) -> bool:
    kind, config = layer["class_name"], layer["config"]
    if kind == "Rescaling":
        scale = config.get("scale")
        first = scale[0] if isinstance(scale, list) and scale else scale
        return isinstance(first, int | float) and 0 < abs(first) <= 1 / 25
    if kind == "Normalization" and isinstance(config.get("mean"), list):
        return max(map(abs, config["mean"])) > 2
    numbers = [
        value for node in layer.get("inbound_nodes", []) for value in node["args"] if type(value) in (int, float)
    ]
    if kind in ("TrueDivide", "Divide"):
        return any(100 <= value <= 300 for value in numbers)
    return kind == "Multiply" and any(0 < value <= 1 / 100 for value in numbers)
