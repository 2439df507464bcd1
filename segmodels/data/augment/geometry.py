"""Operations that move pixels. However many there are, they are composed into one warp a picture.

Matrices stand in homogeneous coordinates (x, y, 1) about the picture's middle, in pixels, and lead from where a pixel
goes to where it comes from: a warp asks for each pixel of the result what it shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from segmodels.data.augment.operation import Batch, MatrixOperation, Operation, factors, identities, parameter, percent


class Geometry(MatrixOperation):
    """Moves the pixels of a picture and its mask alike, by a matrix `(3, 3)`."""


@dataclass(frozen=True, kw_only=True)
class Flip(Geometry):
    """Mirror left to right: what a camera on the other side might have seen."""

    name: ClassVar[str] = "flip"
    probability: float = parameter(0.5)

    def matrices(self, batch: Batch, generator: np.random.Generator) -> np.ndarray:
        return identities(3, batch.count) * [[-1], [1], [1]]

    def about(self) -> str:
        return "mirrored left to right"


@dataclass(frozen=True, kw_only=True)
class FlipVertical(Geometry):
    """Mirror top to bottom, where the data set's pictures have no up and down, or `always`."""

    name: ClassVar[str] = "flip_vertical"
    always: bool = parameter(False)
    probability: float = parameter(0.5)

    def matrices(self, batch: Batch, generator: np.random.Generator) -> np.ndarray:
        if not (batch.any_orientation or self.always):
            return identities(3, batch.count)
        return identities(3, batch.count) * [[1], [-1], [1]]

    def about(self) -> str:
        return "mirrored top to bottom" + ("" if self.always else " where the pictures have no up and down")


@dataclass(frozen=True, kw_only=True)
class QuarterTurn(Geometry):
    """Turn by 90, 180 or 270 degrees, if square, and where pictures have no up and down, or `always`.

    With both mirrorings at their probability of a half and this at its three quarters, all eight orientations of a
    square are equally likely.
    """

    name: ClassVar[str] = "quarter_turn"
    always: bool = parameter(False)
    probability: float = parameter(0.75)

    def matrices(self, batch: Batch, generator: np.random.Generator) -> np.ndarray:
        turns = generator.integers(1, 4, batch.count)
        if batch.height != batch.width or not (batch.any_orientation or self.always):
            return identities(3, batch.count)
        quarter = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]], np.float64)
        return np.stack([np.linalg.matrix_power(quarter, number) for number in range(4)])[turns]

    def about(self) -> str:
        return "turned by quarters" + ("" if self.always else " where the pictures have no up and down")


@dataclass(frozen=True, kw_only=True)
class Zoom(Geometry):
    """Cut out a part of the same shape, from `smallest` of the sides on, anywhere, and enlarge it to the whole."""

    name: ClassVar[str] = "zoom"
    smallest: float = parameter(0.85, 0.1, 1)

    def matrices(self, batch: Batch, generator: np.random.Generator) -> np.ndarray:
        share = generator.uniform(self.smallest, 1, batch.count)
        place = generator.uniform(-0.5, 0.5, (batch.count, 2)) * [batch.width, batch.height]
        matrices = identities(3, batch.count)
        matrices[:, [0, 1], [0, 1]] = share[:, None]
        matrices[:, :2, 2] = place * (1 - share)[:, None]
        return matrices

    def about(self) -> str:
        return f"a part of {percent(self.smallest)} to 100 % of the sides enlarged to the whole"


@dataclass(frozen=True, kw_only=True)
class Rotate(Geometry):
    """Turn about the middle by up to `degrees` either way; what comes in at the corners is ignored in the mask."""

    name: ClassVar[str] = "rotate"
    degrees: float = parameter(15.0, 0, 180)

    def matrices(self, batch: Batch, generator: np.random.Generator) -> np.ndarray:
        angle = np.radians(generator.uniform(-self.degrees, self.degrees, batch.count))
        matrices = identities(3, batch.count)
        matrices[:, 0, 0] = matrices[:, 1, 1] = np.cos(angle)
        matrices[:, 1, 0] = np.sin(angle)
        matrices[:, 0, 1] = -matrices[:, 1, 0]
        return matrices

    def about(self) -> str:
        return f"turned by up to {self.degrees:g} degrees"


@dataclass(frozen=True, kw_only=True)
class Shear(Geometry):
    """Slant along both axes by up to `degrees` either way."""

    name: ClassVar[str] = "shear"
    degrees: float = parameter(8.0, 0, 40)

    def matrices(self, batch: Batch, generator: np.random.Generator) -> np.ndarray:
        slopes = np.tan(np.radians(generator.uniform(-self.degrees, self.degrees, (batch.count, 2))))
        # One after the other, which keeps areas as they are; both slopes in one matrix would not.
        along_x, along_y = identities(3, batch.count), identities(3, batch.count)
        along_x[:, 0, 1], along_y[:, 1, 0] = slopes.T
        return along_x @ along_y

    def about(self) -> str:
        return f"slanted by up to {self.degrees:g} degrees"


@dataclass(frozen=True, kw_only=True)
class Translate(Geometry):
    """Move by up to `share` of the sides in any direction."""

    name: ClassVar[str] = "translate"
    share: float = parameter(0.1, 0, 0.9)

    def matrices(self, batch: Batch, generator: np.random.Generator) -> np.ndarray:
        matrices = identities(3, batch.count)
        steps = generator.uniform(-self.share, self.share, (batch.count, 2))
        matrices[:, :2, 2] = steps * [batch.width, batch.height]
        return matrices

    def about(self) -> str:
        return f"moved by up to {percent(self.share)} of the sides"


@dataclass(frozen=True, kw_only=True)
class Scale(Geometry):
    """Enlarge or shrink about the middle, by a factor from 1 / (1 + amount) to 1 + amount."""

    name: ClassVar[str] = "scale"
    amount: float = parameter(0.2, 0, 1)

    def matrices(self, batch: Batch, generator: np.random.Generator) -> np.ndarray:
        matrices = identities(3, batch.count)
        matrices[:, [0, 1], [0, 1]] = factors(self.amount, batch.count, generator)[:, None]
        return matrices

    def about(self) -> str:
        return f"shrunk or enlarged by a factor of up to {1 + self.amount:g}"


@dataclass(frozen=True, kw_only=True)
class Elastic(Operation):
    """Bend: random shifts on a coarse grid, interpolated by cubics between (Ronneberger et al. 2015, arXiv:1505.04597).

    `displacement` is the standard deviation of the shifts as a share of the shorter side, `cells` the grid's number of
    points a side. The bending is laid over the result of the matrices, at whatever place it stands in a list.
    """

    name: ClassVar[str] = "elastic"
    displacement: float = parameter(0.02, 0, 0.2)
    cells: int = parameter(4, 2, 32)
    probability: float = parameter(0.5)

    def draw(self, batch: Batch, generator: np.random.Generator) -> np.ndarray:
        """Shifts (x, y) in pixels on the grid: float32 `(count, cells, cells, 2)`, 0 for pictures left as they are."""
        chosen = self.chosen(batch, generator)
        shifts = generator.standard_normal((batch.count, self.cells, self.cells, 2), np.float32)
        scale = np.float32(self.displacement * min(batch.height, batch.width))
        return shifts * scale * chosen[:, None, None, None]

    def about(self) -> str:
        return f"bent by about {percent(self.displacement)} of the side"
