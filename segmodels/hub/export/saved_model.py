"""SavedModel: a folder with the network as TensorFlow's graph, which TensorFlow Serving answers requests with."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segmodels.errors import UserError
from segmodels.files import read_json, write_json
from segmodels.hub.export.about import FILE, LONGEST
from segmodels.hub.export.format import Forward, Network
from segmodels.hub.export.pictures import Pictures
from segmodels.training.reporter import Reporter

if TYPE_CHECKING:
    from segmodels.backend import keras

#: Where TensorFlow keeps files of others in such a folder.
EXTRA = "assets.extra"


def write_saved_model(
    network: Network, path: Path, compared: Pictures, calibrated: Pictures | None, reporter: Reporter
) -> None:
    """Write the folder; `UserError` where the network has no form as a graph."""
    save_graph(network.model, path, batch=None, side=network.side)
    write_json(path / EXTRA / FILE, network.about)


def save_graph(model: keras.Model, path: Path, *, batch: int | None, side: int | None) -> None:
    """Write a network's forward pass as a SavedModel with the signature `serving_default`, `images` to `logits`."""
    import tensorflow as tf

    from segmodels.models.batch_norm_tensorflow import fused_batch_norm

    def forward(images: Any) -> dict[str, Any]:
        with fused_batch_norm():
            return {"logits": model(images, training=False)}

    served = tf.Module()
    served.weights = [variable.value for variable in model.variables]
    served.__call__ = tf.function(
        forward, input_signature=[tf.TensorSpec((batch, side, side, 3), tf.uint8, name="images")]
    )
    try:
        with quiet():
            tf.saved_model.save(served, str(path), signatures={"serving_default": served.__call__})
    except OSError:
        raise  # of the disk
    except tf.errors.ResourceExhaustedError as error:
        raise OSError(28, str(error)) from None  # no space left, as TensorFlow has it
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{model.name} cannot be written as a SavedModel ({reason}): use it with Keras") from None


def open_saved_model(path: Path) -> Forward:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    served = loaded.signatures["serving_default"]

    def forward(images: np.ndarray, loaded: Any = loaded) -> np.ndarray:  # its variables live as long as it does
        return served(images=tf.constant(images))["logits"].numpy()

    return forward


def described_saved_model(path: Path) -> dict[str, Any] | None:
    """What a folder says of itself; None where it is no export."""
    with suppress(UserError):
        return read_json(path / EXTRA / FILE, limit=LONGEST)
    return None


@contextmanager
def quiet() -> Iterator[None]:
    """TensorFlow tells of every file that it writes, and warns of what is as it should be."""
    loggers = [logging.getLogger(name) for name in ("tensorflow", "absl")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
