"""Augmentations as text: a preset, operations with their parameters, or a sum of both."""

from __future__ import annotations

from segmodels.data.augment.augmentation import Augmentation
from segmodels.data.augment.operation import Operation
from segmodels.data.augment.presets import OPERATIONS, PRESETS
from segmodels.errors import UserError, choose
from segmodels.expressions import MAX_TERMS, Part, read_parameters, shortened, split_sum

EXPECTED = "write a preset, or operations joined by +, such as light, or flip+rotate(degrees=15)+blur"


def parse_augmentation(text: str) -> Augmentation:
    """Read `light`, `flip+rotate(degrees=15, probability=0.5)+blur` or `light+cutmix`.

    Raises:
        UserError: not such a text, an unknown name, or a parameter that is unknown, given twice or out of its range.
    """
    parts = split_sum(text, "augmentation", EXPECTED)
    operations = [operation for part in parts for operation in _operations(part)]
    if len(operations) > MAX_TERMS:
        raise UserError(f"augmentation {text[:40]!r}…: more than {MAX_TERMS} operations")
    return Augmentation(tuple(operations), "+".join("".join(part.text.split()) for part in parts))


def _operations(part: Part) -> tuple[Operation, ...]:
    name = part.name
    if name in PRESETS and part.given is None:
        return PRESETS[name]
    if name in PRESETS:
        raise UserError(
            f"augmentation {shortened(part.text)!r}: the preset {name} has no parameters; write out its operations"
        )
    kind = OPERATIONS[choose("augmentation", name, [*PRESETS, *OPERATIONS])]
    return (kind(**read_parameters(part, f"augmentation {name}", kind.defaults())),)
