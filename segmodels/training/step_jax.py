"""The training step on JAX."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from segmodels.training.step import Result, Step, logits_of


class JaxStep(Step):
    """See `segmodels.training.step.Step`. The variables' arrays are kept here and given away to each step, so that a
    step needs no second copy of them; `store` writes them back."""

    state: tuple[list[Any], ...]

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.rate = next(i for i, v in enumerate(self.optimizer.variables) if v is self.optimizer.learning_rate)
        place = {id(v): i for i, v in enumerate([*self.model.trainable_variables, *self.model.non_trainable_variables])}
        self.averaged_places = [place[id(v)] for v in self.averages.averaged] if self.averages else []
        self._train = jax.jit(self._trained, donate_argnums=0)
        self._evaluate = jax.jit(self._evaluated)
        self.load()

    def train(self, images: np.ndarray, masks: np.ndarray, maps: Sequence[np.ndarray], rate: float) -> Result:
        loss, ids, self.state = self._train(self.state, images, masks, tuple(maps), np.float32(rate))
        return Result(loss, ids, {})

    def evaluate(self, images: np.ndarray, masks: np.ndarray, maps: Sequence[np.ndarray]) -> tuple[Any, Any]:
        return self._evaluate(self.state[0], self.state[1], images, masks, tuple(maps))

    def _forward(self, trainable: list, others: list, images: Any, masks: Any, maps: Any) -> tuple[Any, Any]:
        outputs, others = self.model.stateless_call(trainable, others, images, training=True)
        return self.objective(masks, outputs, maps), (class_ids(logits_of(outputs)), others)

    def _trained(self, state: tuple, images: Any, masks: Any, maps: Any, rate: Any) -> tuple[Any, Any, tuple]:
        gradient = jax.value_and_grad(self._forward, has_aux=True)
        (value, (ids, others)), gradients = gradient(state[0], state[1], images, masks, maps)
        return value, ids, self._learn((state[0], others, *state[2:]), gradients, rate)

    def _learn(self, state: tuple, gradients: Any, rate: Any) -> tuple:
        """The state with updated weights, and means of them."""
        trainable, others, moments, means = state
        moments = [*moments[: self.rate], rate, *moments[self.rate + 1 :]]
        trainable, moments = self.optimizer.stateless_apply(moments, gradients, trainable)
        if self.averages:
            variables = [*trainable, *others]
            values = [variables[place] for place in self.averaged_places]
            means = self.averages.moved(means, values)
        return trainable, others, moments, means

    def _evaluated(self, trainable: list, others: list, images: Any, masks: Any, maps: Any) -> tuple[Any, Any]:
        outputs, _ = self.model.stateless_call(trainable, others, images, training=False)
        logits = logits_of(outputs)
        return self.loss(masks, logits, maps), class_ids(logits)

    def _groups(self) -> tuple[list[Any], ...]:
        means = self.averages.variables if self.averages else []
        return self.model.trainable_variables, self.model.non_trainable_variables, self.optimizer.variables, means

    def store(self) -> None:
        for variables, arrays in zip(self._groups(), self.state, strict=True):
            for variable, array in zip(variables, arrays, strict=True):
                # Copies: the variables must stay readable when the arrays here have been given away.
                variable.assign(jnp.array(array))

    def load(self) -> None:
        self.state = tuple([jnp.array(v.value) for v in group] for group in self._groups())


def class_ids(logits: Any) -> Any:
    return jnp.argmax(logits, axis=-1).astype(jnp.uint8)
