"""The networks that a training learns from beside the masks, and what they answer to its pictures.

A teacher sees the very picture that the network learns from, cut, turned and coloured as it is, and answers anew every
time: on new variations of few pictures a small network so comes close to large ones, or to several at once (Beyer et
al. 2022, Knowledge distillation: a good teacher is patient and consistent, arXiv:2106.05237).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segmodels.data.images import resize_image
from segmodels.hub.checkpoint import InputSpec, load_checkpoint
from segmodels.prediction.engines.engine import Forward
from segmodels.prediction.engines.keras_engine import compiled
from segmodels.prediction.resize import resize_logits
from segmodels.prediction.softmax import softmax


class Teachers:
    """Called with a batch of pictures, uint8 `(batch, size, size, 3)`, gives the mean of the teachers' probabilities:
    float32 `(batch, size, size, classes)`.

    A teacher of whole pictures sees them at its own size. Each sees them in one view, were it a model of several.

    Args:
        folders: checkpoint directories that `segmodels.training.preflight.check_teacher` takes.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        loaded = [load_checkpoint(folder) for folder in folders]
        self.networks = [(compiled(model), spec.input) for model, spec in loaded]

    def maps(self, images: np.ndarray) -> list[np.ndarray]:
        """What a step takes beside the maps of its loss: their answer, or nothing where there are no teachers."""
        return [self(images)] if self.networks else []

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return np.mean([softmax(_seen(forward, seen, images)) for forward, seen in self.networks], axis=0)


def _seen(forward: Forward, seen: InputSpec, images: np.ndarray) -> np.ndarray:
    """The logits of pictures, as large as they are."""
    side = images.shape[1]
    if seen.mode == "tiles" or seen.size == side:
        return np.asarray(forward(images), np.float32)
    logits = forward(np.stack([resize_image(image, seen.size, seen.size) for image in images]))
    return np.stack([resize_logits(each, side, side) for each in np.asarray(logits, np.float32)])
