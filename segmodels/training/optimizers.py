"""Optimizers by the name that recipes use, with a rate of its own for every variable."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from segmodels.backend import backend_name, keras
from segmodels.recipe import Recipe

#: Variables that are not decayed: biases, and the scales and shifts of normalisations.
UNDECAYED = re.compile("bias|gamma|beta")


def _adam() -> type[keras.optimizers.Adam]:
    if backend_name() != "tensorflow":
        return keras.optimizers.Adam
    from segmodels.training.adam_tensorflow import FusedAdam

    return FusedAdam


class _Rates:
    """Mixed into a Keras optimizer: each variable, by its index, has its `shares` of the learning rate, and decays by
    `decays` times its rate before the step (Loshchilov and Hutter 2019, arXiv:1711.05101).

    Adam's steps do not shrink with the gradient, so scaling gradients would change nothing: the rate itself is scaled.
    """

    shares: tuple[float, ...] = ()
    decays: tuple[float, ...] = ()

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)  # type: ignore[attr-defined]
        if self.shares[index] != 1:
            learning_rate = learning_rate * self.shares[index]
        if decay := self.decays[index]:
            rate = keras.ops.cast(learning_rate, variable.dtype)
            self.assign(variable, variable * (1 - rate * decay))  # type: ignore[attr-defined]
        super().update_step(gradient, variable, learning_rate)  # type: ignore[misc]


class Adam(_Rates, _adam()):  # type: ignore[misc]
    """Kingma and Ba 2015, arXiv:1412.6980; with weight decay it is AdamW."""


class SGD(_Rates, keras.optimizers.SGD):
    """With Nesterov's momentum."""


class RMSprop(_Rates, keras.optimizers.RMSprop):
    """Tieleman and Hinton 2012, lecture 6e of "Neural Networks for Machine Learning"."""


class Lion(_Rates, keras.optimizers.Lion):
    """Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms", arXiv:2302.06675."""


#: The optimizers: from the momentum and what all of them take.
OPTIMIZERS: dict[str, Callable[..., keras.optimizers.Optimizer]] = {
    "adam": lambda momentum, **rest: Adam(beta_1=momentum, **rest),
    "adamw": lambda momentum, **rest: Adam(beta_1=momentum, name="adamw", **rest),
    "sgd": lambda momentum, **rest: SGD(momentum=momentum, nesterov=momentum > 0, **rest),
    "rmsprop": lambda momentum, **rest: RMSprop(momentum=momentum, **rest),
    "lion": lambda momentum, **rest: Lion(beta_1=momentum, **rest),
}


def make_optimizer(recipe: Recipe, model: keras.Model) -> keras.optimizers.Optimizer:
    """The optimizer of a recipe, built for what is trainable of a network; the trainer sets its rate at every step."""
    optimizer = OPTIMIZERS[recipe.optimizer](
        momentum=recipe.momentum,
        learning_rate=recipe.learning_rate,
        global_clipnorm=recipe.clip_norm,
        gradient_accumulation_steps=recipe.accumulation if recipe.accumulation > 1 else None,
    )
    shares = backbone_shares(recipe, model)
    optimizer.shares = tuple(shares.get(id(v), 1.0) for v in model.trainable_variables)
    optimizer.decays = tuple(
        0.0 if UNDECAYED.search(v.name) else recipe.weight_decay or 0.0 for v in model.trainable_variables
    )
    optimizer.build(model.trainable_variables)
    return optimizer


def backbone_shares(recipe: Recipe, model: keras.Model) -> dict[int, float]:
    """The share of the learning rate of each variable of the backbone, by its `id`.

    `backbone_rate` for all; with `layer_decay` that of the deepest stage, and each stage nearer to the picture has
    `layer_decay` times the share of the next (as Clark et al. 2020, ELECTRA, arXiv:2003.10555, by layers).
    """
    backbone = next((layer for layer in model.layers if layer.name == "backbone"), None)
    if backbone is None:
        return {}
    share = 1.0 if recipe.backbone_rate is None else recipe.backbone_rate
    order = [layer.name for layer in backbone.layers]
    ends = sorted(order.index(tensor._keras_history.operation.name) for tensor in backbone.outputs)
    shares = {}
    for place, layer in enumerate(backbone.layers):
        below = sum(place <= end for end in ends[:-1])  # stages between this layer's and the deepest
        for variable in layer.trainable_variables:
            shares[id(variable)] = share * (recipe.layer_decay or 1.0) ** below
    return shares
