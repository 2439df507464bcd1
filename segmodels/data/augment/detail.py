"""Operations on what is fine in a picture: blur, noise, and parts that are cut out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from segmodels.data.augment.operation import Batch, Operation, parameter, percent


@dataclass(frozen=True, kw_only=True)
class Blur(Operation):
    """Blur by a Gaussian with a standard deviation of up to `sigma` pixels."""

    name: ClassVar[str] = "blur"
    sigma: float = parameter(1.2, 0, 20)
    probability: float = parameter(0.2)

    def draw(self, batch: Batch, generator: np.random.Generator) -> np.ndarray:
        """Standard deviations in pixels: float64 `(count,)`, 0 for pictures that stay sharp."""
        return self.chosen(batch, generator) * generator.uniform(0, self.sigma, batch.count)

    def about(self) -> str:
        return f"blurred by up to {self.sigma:g} pixels"


@dataclass(frozen=True, kw_only=True)
class Noise(Operation):
    """Add to every value Gaussian noise with a standard deviation of up to `sigma` grey levels of 255."""

    name: ClassVar[str] = "noise"
    sigma: float = parameter(8.0, 0, 128)
    probability: float = parameter(0.2)

    def draw(self, batch: Batch, generator: np.random.Generator) -> np.ndarray:
        """Standard deviations in grey levels: float64 `(count,)`, 0 for pictures without noise."""
        return self.chosen(batch, generator) * generator.uniform(0, self.sigma, batch.count)

    def about(self) -> str:
        return f"noise of up to {self.sigma:g} grey levels"


@dataclass(frozen=True, kw_only=True)
class Cutout(Operation):
    """Cut squares out (DeVries and Taylor 2017, arXiv:1708.04552), filled with the picture's mean colour.

    Their mask is `IGNORE`: nobody could tell what stood there, and a network that is made to guess learns to invent
    small things. What it does learn is to know a thing by any part of it.
    """

    name: ClassVar[str] = "cutout"
    holes: int = parameter(1, 1, 64)
    side: float = parameter(0.25, 0, 1)
    probability: float = parameter(0.5)

    def draw(self, batch: Batch, generator: np.random.Generator) -> np.ndarray:
        """Squares as top, left, bottom, right: int64 `(count, holes, 4)`, empty for pictures that stay whole.

        The side is `side` of the shorter one; all squares lie inside as a whole, so that all have the same area.
        """
        chosen = self.chosen(batch, generator)
        side = round(self.side * min(batch.height, batch.width))
        room = np.array([batch.height - side + 1, batch.width - side + 1])
        corner = generator.integers(0, room, (batch.count, self.holes, 2))
        return np.concatenate([corner, corner + side * chosen[:, None, None]], axis=-1)

    def about(self) -> str:
        squares = "a square" if self.holes == 1 else f"{self.holes} squares"
        return f"{squares} of {percent(self.side)} of the side cut out and ignored"
