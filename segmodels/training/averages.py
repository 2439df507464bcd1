"""A running mean of a network's weights, which often generalises better than the weights themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from segmodels.backend import keras, ops


class Averages:
    """Exponential moving averages of what training changes (Polyak and Juditsky 1992; Tarvainen and Valpola 2017).

    The statistics of BatchNorm are averaged with the weights that they were taken under. In the first updates the decay
    is shorter, (1 + n) / (10 + n), so that random weights are soon forgotten.

    Args:
        model: a network; its variables with fractions are averaged, its counters and seeds are not.
        decay: the share of the mean that an update keeps, near 1.
        accumulation: steps an update takes; each moves the mean by its part.
    """

    def __init__(self, model: keras.Model, decay: float, accumulation: int = 1) -> None:
        self.decay, self.accumulation = decay, accumulation
        self.averaged = [v for v in model.variables if "float" in v.dtype]
        # Copies: of a variable Keras would make another name for the same memory.
        self.means = [keras.Variable(np.array(v), trainable=False, name="average") for v in self.averaged]
        #: Steps so far; those of an optimizer begin anew when a backbone is no longer frozen.
        self.steps = keras.Variable(0.0, trainable=False, name="averaged_steps")

    @property
    def variables(self) -> list[Any]:
        return [*self.means, self.steps]

    def share(self, steps: Any) -> Any:
        """How far the mean moves to the weights in a step, the `steps`th: float32 in 0..1."""
        updates = steps // self.accumulation
        return 1 - ops.minimum(self.decay, (1 + updates) / (10 + updates)) ** (1 / self.accumulation)

    def moved(self, now: Sequence[Any], values: Sequence[Any]) -> list[Any]:
        """What `variables` become in a step that made the network's `values`."""
        *means, steps = now
        share = self.share(steps + 1)
        return [*(mean + share * (value - mean) for mean, value in zip(means, values, strict=True)), steps + 1]
