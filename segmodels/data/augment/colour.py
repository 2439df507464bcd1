"""Operations that change colours. However many there are, they are composed into one matrix a picture.

Matrices stand in homogeneous coordinates (red, green, blue, 1), red to blue 0..255, or for `Stain` the natural
logarithms of the light that passes. Values are rounded and clipped once, after the last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from segmodels.data.augment.operation import (
    Batch,
    MatrixOperation,
    around,
    factors,
    identities,
    parameter,
    percent,
)

#: How bright red, green and blue seem (ITU-R BT.601), as in Pillow's grey pictures.
LUMA = np.array([0.299, 0.587, 0.114])
#: From RGB to the YIQ of NTSC television: brightness, and a plane of colour about it.
YIQ = np.array([LUMA, [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
#: Grey has no colour: the plane's rows sum to 0 exactly.
YIQ[1:] -= YIQ[1:].mean(axis=1, keepdims=True)
#: Optical densities of haematoxylin and eosin in red, green and blue (Ruifrok and Johnston 2001), and of what neither
#: explains, at right angles to both.
STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0, 0, 0]])
STAINS[2] = np.cross(STAINS[0], STAINS[1])
STAINS /= np.linalg.norm(STAINS, axis=1, keepdims=True)


class Colour(MatrixOperation):
    """Changes the colours of a picture by a matrix `(4, 4)`; the mask stays."""


@dataclass(frozen=True, kw_only=True)
class Brightness(Colour):
    """Add up to `amount` of the full range, either way."""

    name: ClassVar[str] = "brightness"
    amount: float = parameter(0.08)

    def matrices(self, batch: Batch, generator: np.random.Generator) -> np.ndarray:
        matrices = identities(4, batch.count)
        matrices[:, :3, 3] = around(0, 255 * self.amount, batch.count, generator)[:, None]
        return matrices

    def about(self) -> str:
        return f"brighter or darker by up to {percent(self.amount)}"


@dataclass(frozen=True, kw_only=True)
class Contrast(Colour):
    """Multiply the distance to middle grey by 1 - amount to 1 + amount."""

    name: ClassVar[str] = "contrast"
    amount: float = parameter(0.15)

    def matrices(self, batch: Batch, generator: np.random.Generator) -> np.ndarray:
        factor = around(1, self.amount, batch.count, generator)
        matrices = identities(4, batch.count)
        matrices[:, [0, 1, 2], [0, 1, 2]] = factor[:, None]
        matrices[:, :3, 3] = 127.5 * (1 - factor)[:, None]
        return matrices

    def about(self) -> str:
        return f"contrast changed by up to {percent(self.amount)}"


@dataclass(frozen=True, kw_only=True)
class Saturation(Colour):
    """Multiply the distance to the grey of the same brightness by 1 - amount to 1 + amount."""

    name: ClassVar[str] = "saturation"
    amount: float = parameter(0.2)

    def matrices(self, batch: Batch, generator: np.random.Generator) -> np.ndarray:
        factor = around(1, self.amount, batch.count, generator)[:, None, None]
        grey = np.tile(LUMA, (3, 1))
        matrices = identities(4, batch.count)
        matrices[:, :3, :3] = factor * np.eye(3) + (1 - factor) * grey
        return matrices

    def about(self) -> str:
        return f"colours stronger or paler by up to {percent(self.amount)}"


@dataclass(frozen=True, kw_only=True)
class Hue(Colour):
    """Turn the colours about grey by up to `degrees` either way; brightness stays, and grey stays grey."""

    name: ClassVar[str] = "hue"
    degrees: float = parameter(8.0, 0, 180)

    def matrices(self, batch: Batch, generator: np.random.Generator) -> np.ndarray:
        angle = np.radians(around(0, self.degrees, batch.count, generator))
        turn = identities(3, batch.count)
        turn[:, 1, 1] = turn[:, 2, 2] = np.cos(angle)
        turn[:, 2, 1] = np.sin(angle)
        turn[:, 1, 2] = -turn[:, 2, 1]
        matrices = identities(4, batch.count)
        matrices[:, :3, :3] = np.linalg.inv(YIQ) @ turn @ YIQ
        return matrices

    def about(self) -> str:
        return f"hue turned by up to {self.degrees:g} degrees"


@dataclass(frozen=True, kw_only=True)
class Stain(MatrixOperation):
    """More or less haematoxylin and eosin, as another laboratory's slides have it (Tellez et al. 2018, 2019).

    The picture is taken apart into the densities of both stains and a rest; each density is multiplied by a factor of
    its own, from 1 / (1 + strength) to 1 + strength, and `offset` is added at most, either way; the rest stays.
    """

    name: ClassVar[str] = "stain"
    strength: float = parameter(0.25, 0, 1)
    offset: float = parameter(0.02, 0, 0.5)

    def matrices(self, batch: Batch, generator: np.random.Generator) -> np.ndarray:
        """Of logarithms of light, which are densities but for the sign: float64 `(count, 4, 4)`."""
        factor, added = np.ones((2, batch.count, 3))
        for stain in range(2):
            factor[:, stain] = factors(self.strength, batch.count, generator)
            added[:, stain] = around(0, self.offset, batch.count, generator)
        added[:, 2] = 0
        to_stains = np.linalg.inv(STAINS.T)
        matrices = identities(4, batch.count)
        matrices[:, :3, :3] = STAINS.T @ (factor[:, :, None] * to_stains)
        matrices[:, :3, 3] = -added @ STAINS
        return matrices

    def about(self) -> str:
        return f"haematoxylin and eosin each weaker or stronger by a factor of up to {1 + self.strength:g}"
