"""How many multiply-adds a layer takes.

Counted are convolutions and matrix products, as papers do: one multiply-add is two floating-point operations. Biases,
normalisations, activations, pooling and resizing are left out; together they are a few per cent.

A layer of our own that multiplies matrices says how much by a method
`multiply_adds(input_shape, output_shape) -> int`, whose shapes hold the batch and whose answer is for that batch.
"""

from __future__ import annotations

import math
from typing import Any

from segmodels.backend import keras

Shape = tuple[int, ...]


def multiply_adds(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> int | None:
    """Multiply-adds of one call of `layer`; None where it holds matrices and no rule here knows it.

    Args:
        layer: a Keras layer that is built, or an operation of `keras.ops`.
        inputs, outputs: shapes of its tensors, the batch first and channels last.
    """
    if hasattr(layer, "multiply_adds"):
        return int(layer.multiply_adds(inputs[0], outputs[0]))
    kind = type(layer).__name__
    if kind in ("Conv1D", "Conv2D", "DepthwiseConv2D"):  # each kernel once a place of the output
        return _places(outputs[0]) * math.prod(layer.kernel.shape)
    if kind == "SeparableConv2D":
        kernels = math.prod(layer.depthwise_kernel.shape) + math.prod(layer.pointwise_kernel.shape)
        return _places(outputs[0]) * kernels
    if kind == "Conv2DTranspose":  # each kernel once a place of the input
        return _places(inputs[0]) * math.prod(layer.kernel.shape)
    if kind == "Dense":
        return _places(inputs[0]) * math.prod(layer.kernel.shape)
    if kind in ("EinsumDense", "Einsum"):
        equation = layer.equation if kind == "EinsumDense" else layer.subscripts
        return _einsum(equation, [*inputs, layer.kernel.shape] if kind == "EinsumDense" else list(inputs))
    if kind == "Matmul":
        return math.prod(outputs[0]) * inputs[0][-1]
    if kind == "Attention":  # every query with every key, then every share with every value
        return 2 * math.prod(inputs[0]) * math.prod(inputs[1][1:-1])
    weights = layer.weights if isinstance(layer, keras.layers.Layer) else []
    return None if any(len(weight.shape) > 1 for weight in weights) else 0


def _places(shape: Shape) -> int:
    """All but channels: the pixels of a picture, or the tokens of a sequence, in the whole batch."""
    return math.prod(shape[:-1])


def _einsum(equation: str, shapes: list[Shape]) -> int:
    """The product of the lengths of all letters: each pair that meets is multiplied once."""
    length: dict[str, int] = {}
    for letters, shape in zip(equation.split("->")[0].replace(" ", "").split(","), shapes, strict=True):
        letters = letters.removeprefix("...")
        length |= dict(zip(reversed(letters), reversed(shape), strict=False))
        if len(letters) < len(shape):
            length["..."] = math.prod(shape[: len(shape) - len(letters)])
    return math.prod(length.values())
