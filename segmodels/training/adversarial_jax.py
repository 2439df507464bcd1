"""The adversarial step on JAX."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from segmodels.training.adversarial import Adversary, drawn, figures, fooling_loss, judging_loss
from segmodels.training.step import Result, logits_of
from segmodels.training.step_jax import JaxStep, class_ids


class AdversarialJaxStep(JaxStep):
    """See `segmodels.training.adversarial`. The discriminator learns first, then the
    generator against what it has become."""

    def __init__(self, *arguments: Any, adversary: Adversary, **keywords: Any) -> None:
        self.adversary = adversary
        super().__init__(*arguments, **keywords)
        variables = adversary.optimizer.variables
        self.judge_rate = next(i for i, v in enumerate(variables) if v is adversary.optimizer.learning_rate)
        self._play = jax.jit(self._played, donate_argnums=0, static_argnames="learns")

    @property
    def variables(self) -> list[Any]:
        return [*super().variables, *self.adversary.variables]

    def load(self) -> None:
        super().load()
        self.done = int(self.optimizer._iterations.value)

    def train(self, images: np.ndarray, masks: np.ndarray, maps: Sequence[np.ndarray], rate: float) -> Result:
        learns = self.done % self.adversary.every == 0
        self.done += 1
        loss, ids, told, self.state = self._play(
            self.state, images, masks, tuple(maps), np.float32(rate), learns=learns
        )
        return Result(loss, ids, told)

    def _played(
        self, state: tuple, images: Any, masks: Any, maps: Any, rate: Any, *, learns: bool
    ) -> tuple[Any, Any, Any, tuple]:
        trainable, others, moments, means, judging, judge_others, judge_moments = state
        pixels = images.astype("float32")

        def generate(trainable: list) -> tuple[Any, Any]:
            return self.model.stateless_call(trainable, others, images, training=True)

        outputs, backward, others_now = jax.vjp(generate, trainable, has_aux=True)
        true_mask, drawn_mask = drawn(masks, logits_of(outputs))

        def judge(judging: list, judge_others: list, mask: Any) -> tuple[Any, list]:
            return self.adversary.network.stateless_call(judging, judge_others, [pixels, mask], training=True)

        def judged(judging: list) -> tuple[Any, Any]:
            true, between = judge(judging, judge_others, true_mask)
            false, after = judge(judging, between, drawn_mask)
            return judging_loss(true, false), (true, false, after)

        (_, (true, false, judge_others)), gradients = jax.value_and_grad(judged, has_aux=True)(judging)
        if learns:
            at = self.judge_rate
            judge_moments = [*judge_moments[:at], rate * self.adversary.rate, *judge_moments[at + 1 :]]
            judging, judge_moments = self.adversary.optimizer.stateless_apply(judge_moments, gradients, judging)

        def loss(outputs: Any) -> tuple[Any, Any]:
            false, after = judge(judging, judge_others, drawn(masks, logits_of(outputs))[1])
            fooling = fooling_loss(false)
            return self.objective(masks, outputs, maps) + self.adversary.weight * fooling, (fooling, after)

        (value, (fooling, judge_others)), slope = jax.value_and_grad(loss, has_aux=True)(outputs)
        learned = self._learn((trainable, others_now, moments, means), backward(slope)[0], rate)
        told = figures(true, false, fooling)
        return value, class_ids(logits_of(outputs)), told, (*learned, judging, judge_others, judge_moments)

    def _groups(self) -> tuple[list[Any], ...]:
        judge = self.adversary.network
        return (
            *super()._groups(),
            judge.trainable_variables,
            judge.non_trainable_variables,
            self.adversary.optimizer.variables,
        )
