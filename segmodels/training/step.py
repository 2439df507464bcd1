"""One training step and one evaluation step, compiled by whichever backend runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from segmodels.backend import backend_name, keras
from segmodels.device import device
from segmodels.errors import UserError
from segmodels.recipe import Recipe
from segmodels.training.averages import Averages
from segmodels.training.losses import Loss
from segmodels.training.losses.auxiliary import loss_of_heads
from segmodels.training.losses.distillation import distillation

if TYPE_CHECKING:
    from segmodels.training.adversarial import Adversary
    from segmodels.training.parallel import Parallel

#: A loss: of masks, what a network gives, and the maps beside the masks that it needs; a scalar.
Objective = Callable[[Any, Any, tuple[Any, ...]], Any]


class Result(NamedTuple):
    """What a training step gives: arrays of the backend that need not be computed yet; reading them waits.

    Attributes:
        loss: of the batch.
        ids: predicted class ids, `(batch, size, size)`.
        figures: other scalars worth a curve, by name.
    """

    loss: Any
    ids: Any
    figures: dict[str, Any]


class Step(ABC):
    """What a backend implements: the variables are inside, and only arrays go in and out.

    `images` are uint8 `(batch, size, size, 3)`, `masks` uint8 `(batch, size, size)`, `maps` what the loss needs beside
    the masks, float32.

    Args:
        model: the network with all its heads; what it gives is what `objective` takes.
        objective: the loss to train by.
        loss: the loss to evaluate by, which takes logits alone.
        averages: where the mean of the weights is kept too.
        xla: whether TensorFlow compiles with XLA; JAX always does.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        objective: Objective,
        loss: Objective,
        *,
        averages: Averages | None = None,
        xla: bool = False,
    ) -> None:
        self.model, self.optimizer, self.objective, self.loss = model, optimizer, objective, loss
        self.averages, self.xla = averages, xla

    @property
    def variables(self) -> list[Any]:
        """All that a resumed run needs: of the network (seed generators of Dropout too), the optimizer, the means."""
        means = self.averages.variables if self.averages else []
        return [*self.model.variables, *self.optimizer.variables, *means]

    @abstractmethod
    def train(self, images: np.ndarray, masks: np.ndarray, maps: Sequence[np.ndarray], rate: float) -> Result:
        """One step at a learning rate."""

    @abstractmethod
    def evaluate(self, images: np.ndarray, masks: np.ndarray, maps: Sequence[np.ndarray]) -> tuple[Any, Any]:
        """The loss and the predicted class ids, without learning from them."""

    @abstractmethod
    def store(self) -> None:
        """Bring the Keras variables up to date, before they are read or saved."""

    @abstractmethod
    def load(self) -> None:
        """Take over what was assigned to the Keras variables."""

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the network has the means for its weights, where means are kept; the Keras variables too."""
        self.store()
        if self.averages is None:
            yield
            return
        pairs = list(zip(self.averages.averaged, self.averages.means, strict=True))
        kept = [np.array(variable) for variable, _ in pairs]
        for variable, mean in pairs:
            variable.assign(mean.value)
        self.load()
        try:
            yield
        finally:
            for (variable, _), value in zip(pairs, kept, strict=True):
                variable.assign(value)
            self.load()


def logits_of(outputs: Any) -> Any:
    """The logits of a network with or without auxiliary heads."""
    return outputs["logits"] if isinstance(outputs, dict) else outputs


def make_step(
    model: keras.Model,
    loss: Loss,
    recipe: Recipe,
    *,
    averages: Averages | None = None,
    adversary: Adversary | None = None,
    parallel: Parallel | None = None,
) -> Step:
    """The step of a recipe on the running backend, with an optimizer for what is trainable of the network.

    Args:
        model: gives logits, or `{"logits", "auxiliary"}`.
        loss: of masks and logits; auxiliary heads get it with their weight. Where the recipe has teachers, the last
            map of a batch is what they answer (`segmodels.training.teachers`), and counts beside it.
        averages: where the mean of the weights is kept too.
        adversary: plays against the network.
        parallel: the devices, where there are several; the network was made in their scope.

    Raises:
        UserError: no training on this backend, or not on several devices.
    """
    from segmodels.training.optimizers import make_optimizer

    def objective(masks: Any, outputs: Any, maps: tuple[Any, ...]) -> Any:
        if not recipe.teachers:
            return loss_of_heads(loss, recipe.architecture, masks, outputs, maps, recipe.auxiliary_weight)
        *own, taught = maps
        learned = loss_of_heads(loss, recipe.architecture, masks, outputs, tuple(own), recipe.auxiliary_weight)
        share = recipe.teacher_weight or 0.0
        return (1 - share) * learned + share * distillation(taught, masks, logits_of(outputs), loss.class_weights)

    keywords: dict[str, Any] = {
        "averages": averages,
        "xla": backend_name() == "jax" or recipe.xla == "on" or (recipe.xla == "auto" and device().xla),
        **({"adversary": adversary} if adversary else {}),
    }
    if parallel is None:
        return _step_type(adversarial=adversary is not None)(
            model, make_optimizer(recipe, model), objective, loss, **keywords
        )
    kind = parallel.step_type(adversarial=adversary is not None)
    with parallel.scope():
        return kind(model, make_optimizer(recipe, model), objective, loss, **keywords, **parallel.keywords())


def _step_type(*, adversarial: bool) -> type[Step]:
    if backend_name() == "tensorflow":
        if adversarial:
            from segmodels.training.adversarial_tensorflow import AdversarialTensorFlowStep

            return AdversarialTensorFlowStep
        from segmodels.training.step_tensorflow import TensorFlowStep

        return TensorFlowStep
    if backend_name() == "jax":
        if adversarial:
            from segmodels.training.adversarial_jax import AdversarialJaxStep

            return AdversarialJaxStep
        from segmodels.training.step_jax import JaxStep

        return JaxStep
    raise UserError(f"training runs on TensorFlow and JAX, not on {backend_name()}: set KERAS_BACKEND")
