"""Checks the configuration of a Keras network by someone unknown, and writes it anew from nothing but what is allowed.

Keras builds a network from a `config.json` that names classes and functions by module and name, and imports them; its
own safe mode has been got round again and again (CVE-2025-1550, -8747, -9905, -9906, -12058, -49655). So Keras never
sees the file's own configuration. Here it is gone through from its root: each part must be known, and what comes out
names no module, class or function that is not in `allowed`. Loads no Keras.
"""

from __future__ import annotations

import math
import re
from typing import Any

from segmodels.errors import UserError
from segmodels.hub.keras_file.allowed import (
    ACTIVATION_LAYERS,
    ACTIVATIONS,
    EMPTY,
    FUNCTIONAL,
    LAYERS,
    LEFT_OUT,
    OPERATIONS,
    SEQUENTIAL,
)

#: Layers of a network, those of networks within it included, and how often they are called in all.
MAX_LAYERS, MAX_CALLS = 3_000, 10_000
#: Networks within each other, lists within each other.
MAX_NETWORKS, MAX_LISTS = 8, 6
#: Numbers, and characters of a text, in a setting.
MAX_VALUES, MAX_TEXT = 10_000, 200
#: What a whole number in a setting may be: filters, sizes, factors.
LARGEST = 10_000_000

#: Number types that an operation or an input may name.
_NUMBERS = ("float32", "float16", "bfloat16", "uint8", "int32", "int64", "bool", "float64")

_NAME = re.compile(r"[\w.()/:+ -]{1,200}", re.ASCII)

_TENSOR = "__keras_tensor__"


class _Refused(Exception):
    """Why a network is not taken."""


def checked_network(document: Any) -> dict[str, Any]:
    """The configuration of a network in Keras' form, made anew from what is allowed in `document`.

    What training needs (`compile_config`, initialisers, regularisers, constraints) is left out, and every layer
    computes in float32. Checking what this returns gives the same again.

    Raises:
        UserError: what is no Functional or Sequential network of Keras' own layers: custom layers, functions, Lambda;
            settings of an unknown form; too many layers or calls, or too large numbers.
    """
    try:
        if not isinstance(document, dict) or _network_kind(document) is None:
            raise _Refused("it is no Functional or Sequential network of Keras 3")
        walk = _Walk()
        network, _ = walk.network(document, 0)
        return network
    except _Refused as error:
        raise UserError(f"the network is refused: {error}") from None
    except RecursionError:
        raise UserError("the network is refused: its settings are too deep") from None


def _network_kind(record: dict[str, Any]) -> str | None:
    """`Functional` or `Sequential`, or None of anything else."""
    name, module = record.get("class_name"), record.get("module")
    for kind, modules in (("Functional", FUNCTIONAL), ("Sequential", SEQUENTIAL)):
        if name == kind and module in modules:
            return kind
    return None


class _Walk:
    """One pass through a configuration, which counts what it meets."""

    def __init__(self) -> None:
        self.layers = 0

    def network(self, record: dict[str, Any], depth: int) -> tuple[dict[str, Any], int]:
        """A network made anew, and how many calls of layers one call of it is."""
        if depth > MAX_NETWORKS:
            raise _Refused(f"its networks are more than {MAX_NETWORKS} deep in each other")
        kind = _network_kind(record)
        _check_registered(record)
        config = _mapping(record.get("config"), "a network's settings")
        made: dict[str, Any] = {"name": _name(config.get("name")), "trainable": True}
        layers, calls = [], 0
        for layer in _sequence(config.get("layers"), "a network's layers"):
            one, times = self.layer(_mapping(layer, "a layer"), depth, called=kind == "Functional")
            layers.append(one)
            calls += times
            if calls > MAX_CALLS:
                raise _Refused(f"it calls its layers more than the {MAX_CALLS:,} times allowed")
        names = [layer["config"]["name"] for layer in layers]
        if not layers or len(set(names)) != len(names):
            raise _Refused("a network has no layers, or two of the same name")
        made["layers"] = layers
        if kind == "Functional":
            made["input_layers"] = _ends(config.get("input_layers"))
            made["output_layers"] = _ends(config.get("output_layers"))
        elif config.get("build_input_shape") is not None:
            made["build_input_shape"] = _plain(config["build_input_shape"], "build_input_shape")
        module = FUNCTIONAL[0] if kind == "Functional" else SEQUENTIAL[0]
        return {"module": module, "class_name": kind, "config": made, "registered_name": None}, calls

    def layer(self, record: dict[str, Any], depth: int, *, called: bool) -> tuple[dict[str, Any], int]:
        """A layer, an operation or a network within a network, made anew, and the calls of layers that it is."""
        self.layers += 1
        if self.layers > MAX_LAYERS:
            raise _Refused(f"it has more than the {MAX_LAYERS:,} layers allowed")
        if _network_kind(record):
            made, each = self.network(record, depth + 1)
        else:
            made, each = _single(record), 1
        if not called:
            return made, each
        made["name"] = _name(record.get("name", made["config"]["name"]))
        if made["name"] != made["config"]["name"]:
            raise _Refused(f"layer {made['name']!a} is called otherwise in its settings")
        nodes = _sequence(record.get("inbound_nodes"), f"the calls of layer {made['name']!a}")
        made["inbound_nodes"] = [_node(node) for node in nodes]
        return made, each * max(1, len(nodes))


def _single(record: dict[str, Any]) -> dict[str, Any]:
    """A layer or an operation made anew."""
    module, name = record.get("module"), record.get("class_name")
    is_layer = module == "keras.layers" and isinstance(name, str) and name in LAYERS
    is_operation = isinstance(module, str) and isinstance(name, str) and name in OPERATIONS.get(module, ())
    if not is_layer and not is_operation:
        raise _Refused(
            f"{str(module)[:60]}.{str(name)[:60]} is no layer of Keras that is allowed here: a network of other layers "
            "can only be used where its own code is"
        )
    _check_registered(record)
    config = _mapping(record.get("config"), f"the settings of {name}")
    made: dict[str, Any] = {"name": _name(config.get("name"))}
    for key, value in config.items():
        if key == "name" or str(key).endswith(LEFT_OUT):
            continue
        if key in EMPTY:
            if value not in (None, False):
                raise _Refused(f"{made['name']!a} has {key}, which is not taken")
            continue
        if not isinstance(key, str) or not re.fullmatch(r"[a-z_0-9]{1,60}", key):
            raise _Refused(f"{made['name']!a} has a setting of no name")
        made[key] = _activation(value) if key == "activation" else _plain(value, f"{key} of {made['name']!a}")
    if is_layer:
        made["dtype"] = "float32"
    elif "dtype" in config and config["dtype"] in _NUMBERS:
        made["dtype"] = config["dtype"]
    if name == "Normalization":
        _check_normalisation(made)
    return {"module": module, "class_name": name, "config": made, "registered_name": None}


def _check_normalisation(config: dict[str, Any]) -> None:
    """Raise `_Refused` where given means would be spread over a large array: they are no weights, which are counted."""
    mean, axis = config.get("mean"), config.get("axis")
    if mean is None:
        return
    channels = axis in (-1, 3, [-1], [3])
    numbers = isinstance(mean, list) and all(isinstance(each, int | float) for each in mean)
    if not channels or not numbers or len(mean) < 2:
        raise _Refused(f"{config['name']!a} is given means that are not one for each channel")


def _activation(value: Any) -> Any:
    """The name of an activation, or a layer in its place."""
    if value is None or isinstance(value, str):
        name = value
    elif isinstance(value, dict) and value.get("class_name") == "function":
        if value.get("module") not in ("builtins", "keras.activations"):
            raise _Refused(f"an activation of the module {str(value.get('module'))[:60]!a} is not Keras' own")
        name = value.get("config")
    else:
        record = _mapping(value, "an activation")
        kind = record.get("class_name")
        if not isinstance(kind, str) or kind not in ACTIVATION_LAYERS:
            raise _Refused(f"{str(kind)[:60]!a} is no activation of Keras that is allowed here")
        return _single(record)
    if name is not None and (not isinstance(name, str) or name not in ACTIVATIONS):
        raise _Refused(f"{str(name)[:60]!a} is no activation of Keras that is allowed here")
    return name


def _check_registered(record: dict[str, Any]) -> None:
    registered = record.get("registered_name")
    if registered is not None and registered != record.get("class_name"):
        raise _Refused(f"{str(registered)[:60]!a} is a class of someone's own: its code is not in the file")


def _node(node: Any) -> dict[str, Any]:
    """One call of a layer made anew: what it is given."""
    if not isinstance(node, dict):
        raise _Refused("it was written by Keras 2: load and save it with Keras 3 first")
    arguments = [_argument(value, 0) for value in _sequence(node.get("args", []), "the arguments of a call")]
    named = _mapping(node.get("kwargs", {}), "the arguments of a call")
    return {"args": arguments, "kwargs": {_key(key): _argument(value, 0) for key, value in named.items()}}


def _argument(value: Any, depth: int) -> Any:
    """What a layer is given: tensors, slices and plain values, in lists."""
    if depth > MAX_LISTS:
        raise _Refused("a call has lists too deep in each other")
    if isinstance(value, list) and len(value) <= MAX_VALUES:
        return [_argument(each, depth + 1) for each in value]
    if not isinstance(value, dict):
        return _plain(value, "an argument of a call")
    config = _mapping(value.get("config"), "an argument of a call") if "class_name" in value else {}
    if value.get("class_name") == _TENSOR:
        history = _ends(config.get("keras_history"))
        if not isinstance(history[0], str):
            raise _Refused("a call is given something that no layer made")
        # Shape and type are those of the layer that made it; Keras only asks for some.
        return {"class_name": _TENSOR, "config": {"shape": [], "dtype": "float32", "keras_history": history}}
    if value.get("class_name") == "__slice__":
        sides = {side: _plain(config.get(side), "a slice") for side in ("start", "stop", "step")}
        if any(side is not None and type(side) is not int for side in sides.values()):
            raise _Refused("a slice is given no whole numbers")
        return {"class_name": "__slice__", "config": sides}
    raise _Refused(f"a call is given {str(value.get('class_name', 'a table'))[:60]!a}, which is not taken")


def _ends(value: Any, depth: int = 0) -> Any:
    """Which tensors a network begins and ends with: `[layer, call, output]`, or lists or tables of them."""
    if depth > MAX_LISTS:
        raise _Refused("its inputs or outputs are too deep")
    if isinstance(value, dict) and 0 < len(value) <= 100:
        return {_key(key): _ends(each, depth + 1) for key, each in value.items()}
    if isinstance(value, list) and len(value) == 3 and isinstance(value[0], str):
        name, *places = value
        if any(type(place) is not int or not 0 <= place <= MAX_CALLS for place in places):
            raise _Refused("its inputs or outputs are not numbered")
        return [_name(name), *places]
    if isinstance(value, list) and 0 < len(value) <= 100:
        return [_ends(each, depth + 1) for each in value]
    raise _Refused("its inputs or outputs are of no form that Keras writes")


def _plain(value: Any, what: str, depth: int = 0) -> Any:
    """A setting made of texts, numbers and lists alone."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if abs(value) > LARGEST:
            raise _Refused(f"{what} is {str(value)[:30]}, more than {LARGEST:,}")
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _Refused(f"{what} is not a number")
        return value
    if isinstance(value, str):
        if len(value) > MAX_TEXT or not value.isprintable():
            raise _Refused(f"{what} is a text of {len(value):,} characters, or cannot be shown")
        return value
    if isinstance(value, list) and len(value) <= MAX_VALUES and depth < MAX_LISTS:
        return [_plain(each, what, depth + 1) for each in value]
    raise _Refused(f"{what} is of a form that is not taken")


def _mapping(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict) or len(value) > 100:
        raise _Refused(f"{what} is no table of at most 100 entries")
    return value


def _sequence(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list) or len(value) > MAX_CALLS:
        raise _Refused(f"{what} is no list of at most {MAX_CALLS:,} entries")
    return value


def _key(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"\w{1,60}", value, re.ASCII) or value == "class_name":
        raise _Refused(f"{str(value)[:60]!a} is no name of an argument")
    return value


def _name(value: Any) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise _Refused(f"{str(value)[:60]!a} is no name of a layer")
    return value
