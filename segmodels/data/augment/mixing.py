"""Operations that put two pictures of a batch together: MixUp and CutMix.

Whom a picture is mixed with is drawn as one ring through the batch, so that nobody is mixed with himself; a batch of
one stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from segmodels.data.augment.operation import Batch, Operation, parameter, percent
from segmodels.data.dataset import IGNORE

#: From this weight on, at twice the other's, a picture's own classes are what a mixture shows.
CLEAR = 2 / 3


@dataclass(frozen=True, kw_only=True)
class MixUp(Operation):
    """Lay another picture of the batch over (Zhang et al. 2018, arXiv:1710.09412); the picture's own weight leads.

    The weight is that of a Beta(alpha, alpha) distribution, or the rest to 1 where that is more. A mask holds one class
    a pixel, which is what all losses and figures here take, and no shares of two. So a pixel keeps its class where both
    masks have it; elsewhere it keeps its own where its picture weighs at least twice as much as the other, and is
    `IGNORE` where both shine through and either answer would be half wrong.
    """

    name: ClassVar[str] = "mixup"
    alpha: float = parameter(0.4, 0.01, 10)
    probability: float = parameter(0.5)

    def draw(self, batch: Batch, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Partners, int64 `(count,)`, and each picture's own weight, float64 `(count,)`, 0.5 to 1."""
        chosen = self.chosen(batch, generator)
        weights = generator.beta(self.alpha, self.alpha, batch.count)
        partners = ring(batch.count, generator)
        return partners, np.where(chosen, np.maximum(weights, 1 - weights), 1.0)

    def about(self) -> str:
        return "another picture laid over thinly"


@dataclass(frozen=True, kw_only=True)
class CutMix(Operation):
    """Paste a rectangle of another picture of the batch and of its mask (Yun et al. 2019, arXiv:1905.04899).

    Its area is up to `largest` of the whole, its shape the picture's own; it lies inside as a whole.
    """

    name: ClassVar[str] = "cutmix"
    largest: float = parameter(0.5, 0, 1)
    probability: float = parameter(0.5)

    def draw(self, batch: Batch, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Partners, int64 `(count,)`, and rectangles as top, left, bottom, right, int64 `(count, 4)`; some empty."""
        chosen = self.chosen(batch, generator)
        partners = ring(batch.count, generator)
        share = np.sqrt(generator.uniform(0, self.largest, batch.count)) * chosen
        whole = np.array([batch.height, batch.width])
        size = np.round(share[:, None] * whole).astype(np.int64)
        corner = generator.integers(0, whole - size + 1)
        return partners, np.concatenate([corner, corner + size], axis=-1)

    def about(self) -> str:
        return f"a part of another picture pasted in, up to {percent(self.largest)} of the area"


def ring(count: int, generator: np.random.Generator) -> np.ndarray:
    """For each of `count` another one, all in one ring: int64 `(count,)`."""
    order = generator.permutation(count)
    partners = np.empty(count, np.int64)
    partners[order] = np.roll(order, 1)
    return partners


def mixed_masks(own: np.ndarray, other: np.ndarray, weight: float) -> np.ndarray:
    """The mask of a mixture by the rule of `MixUp`: uint8, of the same shape as both."""
    return own if weight >= CLEAR else np.where(own == other, own, np.uint8(IGNORE))
