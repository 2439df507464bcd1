"""What every operation of an augmentation is: a name, parameters within stated ranges, and draws from a generator."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np

from segmodels.expressions import Parameter, write_term

T = TypeVar("T")


def parameter(default: T, low: float = 0, high: float = 1) -> T:
    """A field of an operation: a number of `default`'s type from `low` to `high`, or where that is a bool, any bool."""
    return dataclasses.field(default=default, metadata={"low": low, "high": high})


@dataclass(frozen=True)
class Batch:
    """What an operation has to know of the batch it draws for."""

    count: int
    height: int
    width: int
    #: Whether these pictures may be turned upside down or by 90 degrees without becoming unlikely ones.
    any_orientation: bool


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One way of varying pictures. Immutable; every parameter is checked when it is made.

    `probability` is the share of the pictures that are changed. A subclass adds its parameters, and draws what it does
    to each picture of a batch all at once: what it draws depends on nothing but the batch's shape and the generator.

    Raises:
        UserError: a parameter of the wrong type or out of its range.
    """

    #: By which texts and recipes call it.
    name: ClassVar[str]

    probability: float = parameter(1.0)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            known = Parameter(field.default, **field.metadata)
            value = known.checked(getattr(self, field.name), field.name, f"augmentation {self.name}")
            object.__setattr__(self, field.name, value)

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Every parameter with its default, those of its own first."""
        given = {field.name: field.default for field in dataclasses.fields(cls)}
        return {**{name: value for name, value in given.items() if name != "probability"}, **given}

    @property
    def text(self) -> str:
        """As a recipe writes it: the name, and what differs from the defaults: `rotate(degrees=30)`."""
        defaults = self.defaults()
        return write_term(self.name, {name: getattr(self, name) for name in defaults}, defaults)

    def describe(self) -> str:
        """What it does, in words for people."""
        share = "" if self.probability == 1 else f", {percent(self.probability)} of the pictures"
        return f"{self.about()}{share}"

    def about(self) -> str:
        """The words of `describe` but for the share of the pictures."""
        raise NotImplementedError

    def chosen(self, batch: Batch, generator: np.random.Generator) -> np.ndarray:
        """Which pictures are changed: bool `(count,)`."""
        return generator.random(batch.count) < self.probability


class MatrixOperation(Operation):
    """An operation that is a matrix a picture, so that any number of them are one."""

    def draw(self, batch: Batch, generator: np.random.Generator) -> np.ndarray:
        """float64 `(count, n, n)`, homogeneous; the identity for pictures that are left as they are."""
        chosen = self.chosen(batch, generator)
        matrices = self.matrices(batch, generator)
        return np.where(chosen[:, None, None], matrices, np.eye(matrices.shape[-1]))

    def matrices(self, batch: Batch, generator: np.random.Generator) -> np.ndarray:
        """What `draw` returns where every picture is changed."""
        raise NotImplementedError


def around(middle: float, amount: float, count: int, generator: np.random.Generator) -> np.ndarray:
    """Uniform draws from `middle - amount` to `middle + amount`: float64 `(count,)`."""
    return middle + amount * generator.uniform(-1, 1, count)


def factors(amount: float, count: int, generator: np.random.Generator) -> np.ndarray:
    """Factors from 1 / (1 + amount) to 1 + amount, larger and smaller ones equally likely: float64 `(count,)`."""
    return np.exp(around(0, math.log1p(amount), count, generator))


def identities(size: int, count: int) -> np.ndarray:
    """float64 `(count, size, size)`."""
    return np.tile(np.eye(size), (count, 1, 1))


def percent(share: float) -> str:
    return f"{100 * share:.3g} %"
