"""`build`: from the name of an architecture to a Keras model that takes any picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segmodels.backend import keras
from segmodels.errors import UserError
from segmodels.models.architectures import architecture_row, checked_options
from segmodels.models.backbones import PLAIN
from segmodels.models.layers import CropLike, PadToMultiple

MAX_CLASSES = 255


def build(
    architecture: str,
    *,
    classes: int,
    backbone: str = PLAIN,
    weights: str | Path = "none",
    auxiliary: bool = False,
    norm_momentum: float = 0.9,
    **options: Any,
) -> keras.Model:
    """Build a segmentation network.

    It takes RGB 0..255, `(batch, height, width, 3)` of any height and width (uint8 or float), and returns float32
    logits `(batch, height, width, classes)`. Scaling of the pixels, padding to the network's stride and cropping back
    are inside.

    Args:
        architecture: a name of `segmodels.architectures()`.
        classes: number of classes, 1 to 255 (255 itself is the ignore label).
        backbone: "none" for the architecture's own plain encoder, or a name of `segmodels.backbones()`.
        weights: of the backbone: "none" for random, "imagenet", or a file.
        auxiliary: return `{"logits": …, "auxiliary": […]}` with the heads for deep supervision instead of logits alone.
        norm_momentum: of the running statistics of the backbone's BatchNorm layers.
        **options: the architecture's own keywords.

    Raises:
        UserError: unknown names, options out of range, weights that are missing or do not fit.
    """
    row = architecture_row(architecture)
    if not isinstance(classes, int) or not 1 <= classes <= MAX_CLASSES:
        raise UserError(f"classes={classes!r}: must be a whole number from 1 to {MAX_CLASSES}")
    checked = checked_options(architecture, backbone, options)
    if backbone == PLAIN and str(weights) != "none":
        raise UserError(f"weights={str(weights)!r} needs a backbone: the plain encoder has no pretrained weights")

    images = keras.Input((None, None, 3), name="images")
    padded = PadToMultiple(row.stride(checked), name="pad")(images)
    parts = row.builder()(padded, classes, checked, weights=str(weights), momentum=norm_momentum)
    # float32 also where the network computes in bfloat16: a layer would else round what it is given.
    scores = CropLike(name="crop", dtype="float32")(parts["logits"], images)
    heads = [
        CropLike(name=f"crop_auxiliary{i}", dtype="float32")(head, images) for i, head in enumerate(parts["auxiliary"])
    ]
    outputs = {"logits": scores, "auxiliary": heads} if auxiliary else scores
    name = architecture if backbone == PLAIN else f"{architecture}-{backbone}"
    return keras.Model(images, outputs, name=name.replace("+", "p"))
