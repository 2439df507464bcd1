"""Sums as recipes write them: names with parameters, joined by plus, such as `flip+rotate(degrees=15)`.

Augmentations and losses are such texts; what a name stands for is theirs to know.
"""

from __future__ import annotations

import json
import numbers
import re
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from segmodels.errors import UserError, choose

#: Longer texts, and sums of more terms, are refused: a text may come from a file of someone else's.
MAX_LENGTH, MAX_TERMS = 2000, 50


@dataclass(frozen=True)
class Parameter:
    """What a value may be: a number of its default's type from `low` to `high`, or where that is a bool, any bool."""

    default: Any
    low: float = 0
    high: float = 1

    def checked(self, value: Any, name: str, owner: str) -> Any:
        """`value` in the default's type; `UserError` where it may not be that, naming the `owner` of the parameter."""
        kind = type(self.default)
        if kind is bool:
            allowed, fits = "true or false", isinstance(value, bool)
        else:
            whole = "a whole number" if kind is int else "a number"
            allowed = f"{whole}, at least {self.low:g} and at most {self.high:g}"
            # A bool is a number to Python, and NaN is out of every range.
            number: Any = numbers.Integral if kind is int else numbers.Real
            fits = not isinstance(value, bool) and isinstance(value, number) and self.low <= value <= self.high
        if not fits:
            raise UserError(f"{owner}: {name}={reprlib.repr(value)} must be {allowed}")
        return kind(value)


@dataclass(frozen=True)
class Part:
    """One term as it was written: `rotate(degrees=15)`.

    Attributes:
        text: all of it, without the spaces around it.
        name: what stands before the parentheses.
        given: what stands within them; None where there are none.
    """

    text: str
    name: str
    given: str | None


def split_sum(text: str, what: str, expected: str) -> list[Part]:
    """The terms of a text.

    Args:
        what: the text is meant to be, for errors: "augmentation".
        expected: how one is written, for errors: "write a preset, such as light".

    Raises:
        UserError: the text is too long, or a term of it is neither a name nor a name with something in parentheses.
    """
    if len(text) > MAX_LENGTH:
        raise UserError(f"{what} {text[:40]!r}…: more than {MAX_LENGTH} characters")
    parts = []
    # A plus within parentheses belongs to a number: 1e+2.
    for part in re.split(r"\+(?![^()]*\))", text):
        match = re.fullmatch(r"([^()=,]+)(?:\(([^()]*)\))?", part.strip())
        if not match:
            raise UserError(f"{what} {shortened(text)!r}: {expected}")
        parts.append(Part(part.strip(), match[1].strip(), match[2]))
    return parts


def read_parameters(part: Part, owner: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a term by name, as numbers and truth values; not yet checked for what they may be.

    Args:
        owner: what the parameters are of, for errors: "augmentation rotate".
        known: the names that there are.

    Raises:
        UserError: a value without a name, an unknown name, or one that is given twice.
    """
    given: dict[str, Any] = {}
    for item in filter(str.strip, (part.given or "").split(",")):
        key, equals, value = (piece.strip() for piece in item.partition("="))
        if not known:
            raise UserError(f"{owner} has no parameters: leave out ({shortened(item)})")
        if not equals:
            raise UserError(f"{owner}({shortened(item)}): name the parameter, such as {next(iter(known))}=…")
        choose(f"parameter of {owner}", key, list(known))
        if key in given:
            raise UserError(f"{owner}: {key} is given twice")
        given[key] = _value(value)
    return given


def write_term(name: str, values: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """A term as `split_sum` and `read_parameters` read it: the name, and what differs from the defaults."""
    words = [f"{key}={json.dumps(_plain(value))}" for key, value in values.items() if value != defaults[key]]
    return f"{name}({','.join(words)})" if words else name


def shortened(text: str) -> str:
    """As much of a text as an error quotes."""
    return text if len(text) <= 60 else text[:60] + "…"


def _value(text: str) -> bool | int | float | str:
    """A number or a truth value; anything else stays text, which every parameter refuses with what it may be."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _plain(value: Any) -> Any:
    """2 for 2.0, as people write it; anything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
