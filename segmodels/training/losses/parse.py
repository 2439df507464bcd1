"""Losses as text: names with parameters, weighted and joined by plus."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from segmodels.errors import UserError, choose
from segmodels.expressions import MAX_TERMS, Parameter, Part, read_parameters, shortened, split_sum
from segmodels.training.losses.loss import Loss, Term
from segmodels.training.losses.table import LOSSES

EXPECTED = "write a name or a weighted sum, such as cross_entropy+0.5*dice, or focal(gamma=3)+0.01*boundary"

#: What a term may be multiplied by.
WEIGHT = Parameter(1.0, 0, 1e6)


def parse_loss(text: str) -> Loss:
    """Read `cross_entropy+0.5*dice` or `focal(gamma=2) + tversky(alpha=0.3, beta=0.7)`.

    Raises:
        UserError: not such a sum, an unknown name, or a parameter that is unknown, given twice or out of its range.
    """
    parts = split_sum(text, "loss", EXPECTED)
    if len(parts) > MAX_TERMS:
        raise UserError(f"loss {text[:40]!r}…: more than {MAX_TERMS} terms")
    terms = tuple(_term(part, text) for part in parts)
    if not any(term.weight for term in terms):
        raise UserError(f"loss {shortened(text)!r}: every weight is 0")
    return Loss(terms)


def make_loss(text: str, class_weights: Sequence[float] | None = None, *, background: int | None = 0) -> Loss:
    """The loss of a recipe: a function of masks and logits.

    Args:
        text: as `parse_loss` reads it.
        class_weights: what each class counts; None where all count alike.
        background: class that is no object, for losses that look at objects; None where every class stands for
            something.
    """
    weights = None if class_weights is None else tuple(class_weights)
    return dataclasses.replace(parse_loss(text), class_weights=weights, background=background)


def _term(part: Part, whole: str) -> Term:
    match = re.fullmatch(r"(?:(\d+\.?\d*|\.\d+)\s*\*)?\s*([^*]+)", part.name)
    if not match:
        raise UserError(f"loss {shortened(whole)!r}: {EXPECTED}")
    name = choose("loss", match[2], list(LOSSES))
    owner, known = f"loss {name}", LOSSES[name].parameters
    given = read_parameters(part, owner, known)
    return Term(
        WEIGHT.checked(float(match[1] or 1), "weight", owner),
        name,
        {key: row.checked(given.get(key, row.default), key, owner) for key, row in known.items()},
    )
