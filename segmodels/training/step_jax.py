"""The training step on JAX."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from segmodels.backend import keras
from segmodels.training.losses import Loss


class JaxStep:
    """See `segmodels.training.step.Step`. The variables' arrays are kept here and given away to each step, so that a
    step needs no second copy of them; `synchronise` writes them back."""

    def __init__(self, model: keras.Model, optimizer: keras.optimizers.Optimizer, loss: Loss) -> None:
        self.model, self.optimizer = model, optimizer
        rate = next(i for i, v in enumerate(optimizer.variables) if v is optimizer.learning_rate)

        def forward(trainable: list, frozen: list, images: Any, masks: Any) -> tuple[Any, Any]:
            logits, frozen = model.stateless_call(trainable, frozen, images, training=True)
            return loss(masks, logits), (class_ids(logits), frozen)

        def train(state: tuple, images: Any, masks: Any, learning_rate: Any) -> tuple[Any, Any, tuple]:
            trainable, frozen, moments = state
            moments = [*moments[:rate], learning_rate, *moments[rate + 1 :]]
            (value, (ids, frozen)), gradients = jax.value_and_grad(forward, has_aux=True)(
                trainable, frozen, images, masks
            )
            trainable, moments = optimizer.stateless_apply(moments, gradients, trainable)
            return value, ids, (trainable, frozen, moments)

        def evaluate(state: tuple, images: Any, masks: Any) -> tuple[Any, Any]:
            logits, _ = model.stateless_call(state[0], state[1], images, training=False)
            return loss(masks, logits), class_ids(logits)

        self._train = jax.jit(train, donate_argnums=0)
        self._evaluate = jax.jit(evaluate)
        # Copies: the variables of the model must stay readable when the arrays here have been given away.
        variables = (model.trainable_variables, model.non_trainable_variables, optimizer.variables)
        self.state: tuple = tuple([jnp.array(v.value) for v in group] for group in variables)

    def train(self, images: np.ndarray, masks: np.ndarray, learning_rate: float) -> tuple[Any, Any]:
        value, ids, self.state = self._train(self.state, images, masks, np.float32(learning_rate))
        return value, ids

    def evaluate(self, images: np.ndarray, masks: np.ndarray) -> tuple[Any, Any]:
        return self._evaluate(self.state, images, masks)

    def synchronise(self) -> None:
        groups = (self.model.trainable_variables, self.model.non_trainable_variables, self.optimizer.variables)
        for variables, arrays in zip(groups, self.state, strict=True):
            for variable, array in zip(variables, arrays, strict=True):
                variable.assign(jnp.array(array))


def class_ids(logits: Any) -> Any:
    return jnp.argmax(logits, axis=-1).astype(jnp.uint8)
