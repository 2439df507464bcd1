"""Test-time augmentation: a picture is seen mirrored, turned and at other scales too, and the answers are averaged."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from segmodels.data.images import resize_image
from segmodels.errors import UserError, choose
from segmodels.prediction.resize import resize_logits
from segmodels.prediction.softmax import softmax

#: Logits of a batch: uint8 `(batch, height, width, 3)` to float32 `(batch, height, width, classes)`.
Forward = Callable[[np.ndarray], np.ndarray]

#: Seen as it is and no other way, whatever the model's own views.
PLAIN = "none"
#: What a picture can be seen as: mirrored (left and right changed), in quarter turns, at these scales.
VIEWS: dict[str, tuple[float, ...]] = {"flips": (0, 1), "turns": (0, 1, 2, 3), "scales": (1.0, 0.75, 1.25)}


@dataclass(frozen=True)
class View:
    """One way to see a picture."""

    mirrored: bool = False
    turns: int = 0
    scale: float = 1.0

    def of(self, images: np.ndarray) -> np.ndarray:
        """Pictures, uint8 `(batch, height, width, 3)`, as they are seen so."""
        if self.scale != 1:
            height, width = (max(1, round(side * self.scale)) for side in images.shape[1:3])
            images = np.stack([resize_image(image, height, width) for image in images])
        if self.mirrored:
            images = images[:, :, ::-1]
        return np.ascontiguousarray(np.rot90(images, self.turns, axes=(1, 2)))

    def back(self, logits: np.ndarray, height: int, width: int) -> np.ndarray:
        """Logits of pictures that were seen so, as if they had been seen as they are."""
        logits = np.rot90(logits, -self.turns, axes=(1, 2))
        if self.mirrored:
            logits = logits[:, :, ::-1]
        if self.scale != 1:
            logits = np.stack([resize_logits(np.ascontiguousarray(each), height, width) for each in logits])
        return logits


def views_of(names: str | Sequence[str] | None) -> tuple[View, ...]:
    """All combinations of some `VIEWS`, such as "flips,turns"; without any, or with "none", the picture as it is.

    Raises:
        UserError: an unknown one.
    """
    chosen = view_names(names)
    each = [VIEWS[name] if name in chosen else VIEWS[name][:1] for name in VIEWS]
    return tuple(View(bool(mirrored), int(turns), scale) for mirrored, turns, scale in itertools.product(*each))


def view_names(names: str | Sequence[str] | None) -> tuple[str, ...]:
    """Some `VIEWS` each once, in the table's order; errors as of `views_of`."""
    if isinstance(names, str):
        names = [name.strip() for name in names.split(",") if name.strip()]
    if list(names or ()) == [PLAIN]:
        return ()
    chosen = {choose("test-time augmentation", name, [*VIEWS, PLAIN]) for name in names or ()}
    if PLAIN in chosen:
        raise UserError(f"test-time augmentation {', '.join(names or ())}: {PLAIN} stands alone")
    return tuple(name for name in VIEWS if name in chosen)


def views_text(names: str | Sequence[str] | None) -> str | None:
    """`view_names` as a contract and a report hold them, such as "flips,turns"; None for the picture as it is."""
    return ",".join(view_names(names)) or None


def averaged(forward: Forward, views: Sequence[View]) -> Forward:
    """A network that sees each picture in every view, and answers with the logarithm of the mean probabilities."""
    if not views:
        raise UserError("test-time augmentation without a view: name one")
    if len(views) == 1 and views[0] == View():
        return forward

    def seen(images: np.ndarray) -> np.ndarray:
        height, width = images.shape[1:3]
        total: np.ndarray | None = None
        for view in views:
            found = softmax(view.back(forward(view.of(images)), height, width))
            total = found if total is None else np.add(total, found, out=total)
        assert total is not None
        return np.log(np.maximum(total / len(views), np.finfo(np.float32).tiny))

    return seen
