"""How far the answers of an exported file are from Keras', on real pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segmodels.errors import UserError
from segmodels.hub.export.format import Forward, Network
from segmodels.hub.export.pictures import Pictures
from segmodels.hub.onnx_model import TOLERANCE, UNPOOLED
from segmodels.training.reporter import Reporter

#: The share of the pixels that an int8 file must give the same class.
INT8_AGREEMENT = 0.98


@dataclass(frozen=True)
class Agreement:
    """What was found.

    Attributes:
        pictures: how many were shown to both.
        difference: the largest difference of logits, as a share of the range of Keras' in the same picture.
        nearly_all: the same of all logits but those that unpooling may move (`onnx_model.UNPOOLED`); of a network that
            does not unpool it is `difference`.
        same_pixels: the share of the pixels that get the same class.
    """

    pictures: int
    difference: float
    nearly_all: float
    same_pixels: float


def compare(forward: Forward, network: Network, pictures: Pictures, reporter: Reporter) -> Agreement:
    """Show pictures to an exported file and to Keras, both on the processor.

    A file whose height and width are free is shown no squares: what should be free is not what it was made with.

    Raises:
        UserError: the answers are not even of one shape.
    """
    import tensorflow as tf

    from segmodels.models.unpooling import Unpooling
    from segmodels.prediction.engines.keras_engine import compiled

    unpools = any(isinstance(layer, Unpooling) for layer in network.model._flatten_layers())
    expects = compiled(network.model)
    farthest, nearly, same, pixels, count = [0.0], [0.0], 0, 0, 0
    for picture in pictures:
        if network.side is None:
            picture = np.ascontiguousarray(picture[:, :-5])
        with tf.device("CPU:0"):
            found, expected = forward(picture[None]), expects(picture[None])
        if found.shape != expected.shape:
            raise UserError(f"the export of {network.folder} answers {found.shape} where Keras has {expected.shape}")
        away = np.abs(found - expected) / max(float(np.ptp(expected)), 1e-6)
        farthest.append(float(away.max()))
        nearly.append(float(np.quantile(away, UNPOOLED)) if unpools else farthest[-1])
        same += int((found.argmax(-1) == expected.argmax(-1)).sum())
        pixels += found[..., 0].size
        count += 1
        reporter.progress(count, len(pictures), f"comparing with Keras on {pictures.source}")
    # NumPy's maximum, unlike Python's, is NaN where one is.
    return Agreement(count, float(np.max(farthest)), float(np.max(nearly)), same / max(1, pixels))


def check(found: Agreement, network: Network, format: str, int8: bool) -> None:
    """Raise `UserError` where a file answers otherwise than Keras: in float by more than rounding, in int8 on more than
    2 % of the pixels."""
    if int8:
        if not found.same_pixels >= INT8_AGREEMENT:
            raise UserError(
                f"in int8 {network.folder} agrees with Keras on {found.same_pixels:.1%} of the pixels, "
                f"not on {INT8_AGREEMENT:.0%}: export it without int8, or measure it on other pictures (data, root)"
            )
    elif not found.nearly_all <= TOLERANCE:
        raise UserError(
            f"the {format} export of {network.folder} answers otherwise than Keras, by {found.nearly_all:.2g} of the "
            "logits' range: use another format"
        )
