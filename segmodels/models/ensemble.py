"""Several networks as one, whose answer is the mean of theirs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from segmodels.backend import keras, ops
from segmodels.models.layers import register


@register
class MeanOfProbabilities(keras.layers.Layer):
    """Of several logits `(batch, h, w, classes)` the logarithm of their mean probabilities, in float32: logits again,
    whose softmax is that mean."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})

    def call(self, logits: Sequence[Any]) -> Any:
        mean = sum(ops.softmax(each, axis=-1) for each in logits) / len(logits)
        return ops.log(ops.maximum(mean, 1e-30))

    def compute_output_shape(self, input_shape: Sequence[tuple]) -> tuple:
        return input_shape[0]


def join(networks: Sequence[keras.Model]) -> keras.Model:
    """One network of pictures of any size, float32 `(batch, height, width, 3)`, that sees each through all networks.

    The mean of networks that were trained apart is better than each where they err in other places: Lakshminarayanan et
    al. 2017, arXiv:1612.01474. It takes the time of all.
    """
    pictures = keras.Input((None, None, 3), name="images")
    for number, network in enumerate(networks, start=1):
        network.name = f"network_{number}"
    logits = MeanOfProbabilities(name="logits")([network(pictures) for network in networks])
    return keras.Model(pictures, logits, name="ensemble")
