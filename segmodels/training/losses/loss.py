"""`Loss`: what a recipe's text stands for, a weighted sum of losses that a training calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from segmodels.data.dataset import IGNORE
from segmodels.errors import UserError
from segmodels.expressions import write_term
from segmodels.training.losses.table import LOSSES, LossRow


@dataclass(frozen=True)
class Term:
    """One loss of a sum: its weight, its name in `LOSSES`, and a value for each of its parameters."""

    weight: float
    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def row(self) -> LossRow:
        return LOSSES[self.name]

    @property
    def text(self) -> str:
        """As a recipe writes it: `0.5*focal(gamma=3)`."""
        defaults = {name: parameter.default for name, parameter in self.row.parameters.items()}
        # Never as 1e-05: within a weight a text has digits and a point only.
        factor = "" if self.weight == 1 else f"{np.format_float_positional(self.weight, trim='-')}*"
        return factor + write_term(self.name, self.parameters, defaults)


@dataclass(frozen=True)
class Loss:
    """A weighted sum of losses, called as `loss(masks, logits)`; fits `model.compile(loss=…)` too.

    Some losses need maps beside the masks, such as distances from borders. They are made of the masks in NumPy, which
    threads that load batches can do ahead: `maps = loss.maps(masks, classes)`, `loss(masks, logits, maps)`. A compiled
    step takes them as further inputs.

    Attributes:
        terms: the losses.
        class_weights: what each class counts; None where all count alike.
        background: class that is no object, for the maps; None where every class stands for something.
    """

    terms: tuple[Term, ...]
    class_weights: tuple[float, ...] | None = None
    background: int | None = 0

    def __call__(self, masks: Any, logits: Any, maps: tuple[Any, ...] = ()) -> Any:
        """The loss of a batch: one float32 number.

        Args:
            masks: class ids `(batch, height, width)`, or one-hot `(batch, height, width, classes)`.
            logits: `(batch, height, width, classes)`.
            maps: of `maps`; made here where they are left out and the masks are NumPy's.
        """
        if self.needs_maps and not maps:
            if not isinstance(masks, np.ndarray):
                raise UserError(f"the loss {self.text} needs maps: call loss(masks, logits, loss.maps(masks, classes))")
            maps = self.maps(masks, logits.shape[-1])
        given = iter(maps)
        total: Any = 0.0
        for term in self.terms:
            own = (next(given),) if term.row.target else ()
            total = total + term.weight * term.row.call(masks, logits, own, self.class_weights, term.parameters)
        return total

    def maps(self, masks: np.ndarray, classes: int) -> tuple[np.ndarray, ...]:
        """What the losses need beside the masks: float32 arrays, `(batch, height, width)` or
        `(batch, height, width, classes)`, one for each term that needs one; none for most.

        Args:
            masks: uint8 class ids `(batch, height, width)`, or one-hot `(batch, height, width, classes)`.
        """
        if masks.ndim == 4:
            one_hot = masks.shape[-1] != 1
            masks = np.where(masks.any(axis=-1), masks.argmax(axis=-1), IGNORE) if one_hot else masks[..., 0]
        masks = masks.astype(np.uint8)
        return tuple(
            term.row.make_map(masks, classes, self.background, term.parameters)
            for term in self.terms
            if term.row.target
        )

    @property
    def needs_maps(self) -> bool:
        """Whether `maps` makes any."""
        return any(term.row.target for term in self.terms)

    @property
    def text(self) -> str:
        """As a recipe writes it; the same for all ways to write the same."""
        return "+".join(term.text for term in self.terms)

    @property
    def __name__(self) -> str:
        """What Keras calls it."""
        return "_plus_".join(term.name for term in self.terms)
