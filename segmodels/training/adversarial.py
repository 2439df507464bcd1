"""Training against a discriminator, which learns to tell drawn masks from true ones.

Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial Networks", arXiv:1611.07004: the
segmentation network is the generator, whose loss is the recipe's own plus that of being found out; the discriminator is
a 70x70 PatchGAN, which judges each patch of a picture together with its mask.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from segmodels.backend import keras, ops
from segmodels.data.dataset import IGNORE
from segmodels.models.pix2pix import discriminator
from segmodels.recipe import Recipe
from segmodels.training.optimizers import make_optimizer


@dataclass(frozen=True)
class Adversary:
    """The discriminator and how it takes part.

    Attributes:
        network: judges `[images, masks]`; see `segmodels.models.pix2pix.discriminator`.
        optimizer: its own.
        weight: of being found out in the generator's loss.
        every: it learns in every so many steps.
        rate: its share of the generator's learning rate.
    """

    network: keras.Model
    optimizer: keras.optimizers.Optimizer
    weight: float
    every: int
    rate: float

    @property
    def variables(self) -> list[Any]:
        return [*self.network.variables, *self.optimizer.variables]


def make_adversary(recipe: Recipe, classes: int) -> Adversary:
    """The discriminator of a recipe; beside Pix2Pix's own generator it is as wide and as normalised as that."""
    options = recipe.options if recipe.architecture == "pix2pix" else {}
    network = discriminator(classes, width=options.get("width", 64), norm=options.get("norm", "batch"))
    optimizer = make_optimizer(recipe, network)
    return Adversary(
        network, optimizer, recipe.adversarial_weight or 0.0, recipe.discriminator_every, recipe.discriminator_rate
    )


def drawn(masks: Any, logits: Any) -> tuple[Any, Any]:
    """The true and the drawn mask as the discriminator sees them: float32 `(batch, height, width, classes)`.

    One-hot and softmax; ignored pixels are 0 in both, so that they give nothing away.
    """
    ids = ops.cast(masks, "int32")
    counted = ops.cast(ids != IGNORE, "float32")[..., None]
    true = ops.one_hot(ops.where(ids == IGNORE, 0, ids), logits.shape[-1], dtype="float32")
    return true * counted, ops.softmax(ops.cast(logits, "float32"), axis=-1) * counted


def judging_loss(true: Any, false: Any) -> Any:
    """The discriminator's, of its verdicts (logits) on true and drawn masks: half the sum, as in the paper."""
    return 0.5 * (ops.mean(ops.softplus(-true)) + ops.mean(ops.softplus(false)))


def fooling_loss(false: Any) -> Any:
    """The generator's: that its masks are not taken for true ones."""
    return ops.mean(ops.softplus(-false))


def accuracy(true: Any, false: Any) -> Any:
    """The share of patches that the discriminator judges right; a half where it can tell nothing."""
    right = [ops.mean(ops.cast(verdict, "float32")) for verdict in (true > 0, false < 0)]
    return 0.5 * (right[0] + right[1])


def figures(true: Any, false: Any, fooling: Any) -> dict[str, Any]:
    """What a step tells of the game."""
    return {
        "adversarial_loss": fooling,
        "discriminator_loss": judging_loss(true, false),
        "discriminator_accuracy": accuracy(true, false),
    }
