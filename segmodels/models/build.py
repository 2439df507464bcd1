"""`build`: from the name of an architecture to a Keras model that takes any picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segmodels.backend import keras
from segmodels.errors import UserError
from segmodels.models.architectures import (
    architecture_row,
    check_backbone,
    checked_options,
    default_backbone,
    implied_options,
    published,
)
from segmodels.models.backbones import PLAIN
from segmodels.models.layers import CropLike, PadToMultiple

MAX_CLASSES = 255


def build(
    architecture: str,
    *,
    classes: int,
    backbone: str | None = None,
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
        backbone: "none" for the architecture's own plain encoder, or a name of `segmodels.backbones()`; None for the
            architecture's default.
        weights: of the backbone: "none" for random, "imagenet", or a file; "voc" (or the path
            of a copy) for Google's DeepLabv3 on MobileNetV2, of which any other network on that takes the encoder. Its
            batch norms are folded: before a training of your own give them statistics with
            `segmodels.models.voc.unfold_batch_norm`, as `segmodels.train` does.
        auxiliary: return `{"logits": …, "auxiliary": […]}` with the auxiliary heads and those for deep supervision.
        norm_momentum: of the running statistics of the backbone's BatchNorm layers.
        **options: the architecture's own keywords.

    Raises:
        UserError: unknown names, options out of range, weights that are missing or do not fit.
    """
    row = architecture_row(architecture)
    if type(classes) is not int or not 1 <= classes <= MAX_CLASSES:
        raise UserError(f"classes={classes!r}: must be a whole number from 1 to {MAX_CLASSES}")
    backbone = default_backbone(architecture) if backbone is None else backbone
    check_backbone(architecture, backbone)
    if backbone == PLAIN and str(weights) != "none":
        raise UserError(f"weights={str(weights)!r} needs a backbone: the plain encoder has no pretrained weights")
    checked = checked_options(architecture, backbone, implied_options(architecture, backbone, weights, options))

    images = keras.Input((None, None, 3), name="images")
    padded = PadToMultiple(**row.padding(checked), name="pad")(images)
    whole = published(weights)
    parts = row.builder()(padded, classes, checked, weights="none" if whole else str(weights), momentum=norm_momentum)
    # float32 also where the network computes in bfloat16: a layer would else round what it is given.
    scores = CropLike(name="crop", dtype="float32")(parts["logits"], images)
    heads = [
        CropLike(name=f"crop_auxiliary{i}", dtype="float32")(head, images) for i, head in enumerate(parts["auxiliary"])
    ]
    outputs = {"logits": scores, "auxiliary": heads} if auxiliary else scores
    name = architecture if backbone == PLAIN else f"{architecture}-{backbone}"
    model = keras.Model(images, outputs, name=name.replace("+", "p"))
    if whole:
        from segmodels.models.voc import load_voc

        load_voc(model, weights, encoder_only=architecture != whole.architecture)
    return model
