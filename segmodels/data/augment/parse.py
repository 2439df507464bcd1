"""Augmentations as text: a preset, operations with their parameters, or a sum of both."""

from __future__ import annotations

import re
from typing import Any

from segmodels.data.augment.augmentation import Augmentation
from segmodels.data.augment.operation import Operation
from segmodels.data.augment.presets import OPERATIONS, PRESETS
from segmodels.errors import UserError, choose

#: Longer texts, and more operations, are refused: a text may come from a file of someone else's.
MAX_LENGTH, MAX_OPERATIONS = 2000, 50

EXAMPLE = "such as light, or flip+rotate(degrees=15)+blur"


def parse_augmentation(text: str) -> Augmentation:
    """Read `light`, `flip+rotate(degrees=15, probability=0.5)+blur` or `light+cutmix`.

    Raises:
        UserError: not such a text, an unknown name, or a parameter that is unknown, given twice or out of its range.
    """
    if len(text) > MAX_LENGTH:
        raise UserError(f"augmentation {text[:40]!r}…: more than {MAX_LENGTH} characters")
    # A plus within parentheses belongs to a number: 1e+2.
    parts = [part.strip() for part in re.split(r"\+(?![^()]*\))", text)]
    operations = [operation for part in parts for operation in _part(part, text)]
    if len(operations) > MAX_OPERATIONS:
        raise UserError(f"augmentation {text[:40]!r}…: more than {MAX_OPERATIONS} operations")
    return Augmentation(tuple(operations), "+".join("".join(part.split()) for part in parts))


def _part(part: str, whole: str) -> tuple[Operation, ...]:
    match = re.fullmatch(r"([^()=,]+)(?:\(([^()]*)\))?", part)
    if not match:
        raise UserError(f"augmentation {_short(whole)!r}: write a preset, or operations joined by +, {EXAMPLE}")
    name, given = match[1].strip(), match[2]
    if name in PRESETS and given is None:
        return PRESETS[name]
    if name in PRESETS:
        raise UserError(f"augmentation {_short(part)!r}: the preset {name} has no parameters; write out its operations")
    kind = OPERATIONS[choose("augmentation", name, [*PRESETS, *OPERATIONS])]
    return (kind(**_parameters(kind, given or "")),)


def _parameters(kind: type[Operation], text: str) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for item in filter(str.strip, text.split(",")):
        key, equals, value = (piece.strip() for piece in item.partition("="))
        if not equals:
            first = next(iter(kind.defaults()))
            raise UserError(f"augmentation {kind.name}({_short(item)}): name the parameter, such as {first}=…")
        choose(f"parameter of augmentation {kind.name}", key, list(kind.defaults()))
        if key in given:
            raise UserError(f"augmentation {kind.name}: {key} is given twice")
        given[key] = _value(value)
    return given


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


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:60] + "…"
