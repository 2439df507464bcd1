"""After each epoch: how good the network is on the validation part, and the best one kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from segmodels.backend import keras
from segmodels.data.loader import in_order
from segmodels.data.prepared import Prepared
from segmodels.evaluation.confusion import ConfusionMatrix
from segmodels.hub.checkpoint import Spec
from segmodels.hub.lineage import taught_by
from segmodels.training.records import Samples, save_best
from segmodels.training.runs import Run
from segmodels.training.step import Step


@dataclass
class Validated:
    """What one pass over the validation part found.

    Attributes:
        loss: mean over the units.
        confusion: of all pixels.
        sampled: predicted class ids, uint8 `(size, size)`, of the sampled units by index.
    """

    loss: float
    confusion: ConfusionMatrix
    sampled: dict[int, np.ndarray]


def validate(
    step: Step, data: Prepared, batch_size: int, samples: Samples, *, maps: Callable, ask: Callable[[], None]
) -> Validated:
    """One pass over the validation part.

    Args:
        maps: gives what the loss needs beside the masks.
        ask: called after each batch; what it raises ends the pass.
    """
    confusion, losses, sampled, start = ConfusionMatrix(len(data.dataset.classes)), 0.0, {}, 0
    for images, masks, real in in_order(data, batch_size):
        loss, ids = step.evaluate(images, masks, maps(masks))
        predictions = np.asarray(ids)
        confusion.add(masks[:real], predictions[:real])
        losses += float(loss) * real
        for index in samples.indices:
            if start <= index < start + real:
                sampled[index] = predictions[index - start]
        start += real
        ask()
    return Validated(losses / len(data), confusion, sampled)


def keep_best(
    run: Run, model: keras.Model, spec: Spec, epoch: int, found: Validated, samples: Samples, train: Prepared
) -> None:
    """Put the network as it is now into the run's `best/`, with the figures that made it the best."""
    metrics: dict[str, Any] = {
        "epoch": epoch,
        "validation": {"loss": found.loss, **found.confusion.figures()},
        "classes": found.confusion.by_class([label.name for label in spec.labels]),
        "confusion_matrix": found.confusion.counts.tolist(),
        "train_images": len(train),
        "validation_images": len(samples.data),
        "data_fingerprint": train.fingerprint,
        **taught_by(run),
    }
    save_best(run, model, spec, metrics, samples.previews(found.sampled))
