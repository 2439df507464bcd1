"""What every operation of an augmentation is: a name, parameters within stated ranges, and draws from a generator."""

from __future__ import annotations

import dataclasses
import json
import math
import numbers
import reprlib
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np

from segmodels.errors import UserError

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
            value = getattr(self, field.name)
            kind: type = type(field.default)
            low, high = field.metadata["low"], field.metadata["high"]
            if kind is bool:
                if not isinstance(value, bool):
                    self._refuse(field.name, value, "true or false")
                continue
            # A bool is a number to Python, and NaN is out of every range.
            number = numbers.Integral if kind is int else numbers.Real
            if isinstance(value, bool) or not isinstance(value, number) or not low <= value <= high:
                what = "a whole number" if kind is int else "a number"
                self._refuse(field.name, value, f"{what}, at least {low:g} and at most {high:g}")
            object.__setattr__(self, field.name, kind(value))

    def _refuse(self, name: str, value: Any, allowed: str) -> None:
        raise UserError(f"augmentation {self.name}: {name}={reprlib.repr(value)} must be {allowed}")

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Every parameter with its default, those of its own first."""
        given = {field.name: field.default for field in dataclasses.fields(cls)}
        return {**{name: value for name, value in given.items() if name != "probability"}, **given}

    @property
    def text(self) -> str:
        """As a recipe writes it: the name, and what differs from the defaults: `rotate(degrees=30)`."""
        given = {name: getattr(self, name) for name in self.defaults()}
        changed = {name: value for name, value in given.items() if value != self.defaults()[name]}
        words = [f"{name}={json.dumps(value)}" for name, value in changed.items()]
        return f"{self.name}({','.join(words)})" if words else self.name

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
