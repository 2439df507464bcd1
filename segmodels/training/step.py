"""One training step and one evaluation step, compiled by whichever backend runs."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from segmodels.backend import backend_name, keras
from segmodels.errors import UserError
from segmodels.training.losses import Loss


class Step(Protocol):
    """What a backend implements: the networks's variables are inside, and only arrays go in and out.

    `images` are uint8 `(batch, size, size, 3)`, `masks` uint8 `(batch, size, size)`. Both methods return the batch's
    loss and its predicted class ids, as arrays of the backend that need not be computed yet: reading them waits.
    """

    def train(self, images: np.ndarray, masks: np.ndarray, learning_rate: float) -> tuple[Any, Any]: ...

    def evaluate(self, images: np.ndarray, masks: np.ndarray) -> tuple[Any, Any]: ...

    def synchronise(self) -> None:
        """Bring the network's Keras variables up to date, before they are read or saved."""


def make_step(model: keras.Model, optimizer: keras.optimizers.Optimizer, loss: Loss) -> Step:
    """The step for the running backend; `UserError` where there is none."""
    if backend_name() == "tensorflow":
        from segmodels.training.step_tensorflow import TensorFlowStep

        return TensorFlowStep(model, optimizer, loss)
    if backend_name() == "jax":
        from segmodels.training.step_jax import JaxStep

        return JaxStep(model, optimizer, loss)
    raise UserError(f"training runs on TensorFlow and JAX, not on {backend_name()}: set KERAS_BACKEND")
