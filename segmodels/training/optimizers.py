"""Optimizers by the name that recipes use; the backbone may take smaller steps than the rest."""

from __future__ import annotations

from typing import Any

from segmodels.backend import backend_name, keras
from segmodels.recipe import Recipe

#: Of AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101); biases and normalisations are left out.
WEIGHT_DECAY = 1e-4


def _adam() -> type[keras.optimizers.Adam]:
    if backend_name() != "tensorflow":
        return keras.optimizers.Adam
    from segmodels.training.adam_tensorflow import FusedAdam

    return FusedAdam


class _BackboneRate:
    """Mixed into a Keras optimizer: variables in `slow`, by index, are updated at `share` of the learning rate.

    Adam's steps do not shrink with the gradient, so scaling gradients would change nothing: the rate itself is scaled.
    """

    share = 1.0
    slow: frozenset[int] = frozenset()

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        if self._get_variable_index(variable) in self.slow:  # type: ignore[attr-defined]
            learning_rate = learning_rate * self.share
        super().update_step(gradient, variable, learning_rate)  # type: ignore[misc]


class Adam(_BackboneRate, _adam()):  # type: ignore[misc]
    """Kingma and Ba 2015, arXiv:1412.6980; with `weight_decay` it is AdamW."""


class SGD(_BackboneRate, keras.optimizers.SGD):
    """With Nesterov's momentum."""


def make_optimizer(recipe: Recipe, model: keras.Model) -> keras.optimizers.Optimizer:
    """The optimizer of a recipe, built for a network; the trainer sets its learning rate at every step."""
    if recipe.optimizer == "sgd":
        optimizer = SGD(recipe.learning_rate, momentum=0.9, nesterov=True)
    elif recipe.optimizer == "adam":
        optimizer = Adam(recipe.learning_rate)
    else:
        optimizer = Adam(recipe.learning_rate, weight_decay=WEIGHT_DECAY, name="adamw")
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    backbone = {id(v) for layer in model.layers if layer.name == "backbone" for v in layer.trainable_variables}
    optimizer.slow = frozenset(i for i, v in enumerate(model.trainable_variables) if id(v) in backbone)
    optimizer.share = 1.0 if recipe.backbone_rate is None else recipe.backbone_rate
    optimizer.build(model.trainable_variables)
    return optimizer
