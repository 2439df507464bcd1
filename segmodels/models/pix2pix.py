"""Pix2Pix: a U-Net that draws the mask, and a discriminator that judges patches of picture and mask.

Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial Networks", arXiv:1611.07004. Both networks
are built here; the generator returns logits, and its softmax or tanh belongs to the adversarial step.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from segmodels.models import backbones
from segmodels.models.options import Options

#: Shares of `width` in the eight levels down; the paper's width is 64.
LEVELS = (1, 2, 4, 8, 8, 8, 8, 8)


class Pix2PixOptions(Options):
    """The keywords of `build("pix2pix", …)`."""

    width: int = Field(64, ge=4, le=256, description="channels of the first level; the deepest have eight times that")
    norm: Literal["batch", "instance"] = Field(
        "batch", description="instance: the answer to a picture does not change with the pictures beside it"
    )
    dropout: float = Field(0.5, ge=0, lt=1, description="of the three deepest levels up, in training")


def stride(options: Pix2PixOptions) -> int:
    """What both sides of the picture must be a multiple of inside the network."""
    return 256 if options.backbone == backbones.PLAIN else 32


def pix2pix(
    images: Any, classes: int, options: Pix2PixOptions, *, weights: str = "none", momentum: float = 0.9
) -> dict[str, Any]:
    """Add the generator to `images` (RGB 0..255, sides multiples of `stride`).

    Returns `{"logits": (batch, height, width, classes), "auxiliary": []}`.
    """
    from segmodels.backend import keras
    from segmodels.models.features import features
    from segmodels.models.pixels import scale_pixels

    if options.backbone == backbones.PLAIN:
        *skips, x = _down(scale_pixels(images, "minus-one-to-one"), options)
    else:
        *skips, x = features(options.backbone, images, weights=weights, momentum=momentum)
    for step, skip in enumerate(reversed(skips)):
        level = len(skips) - 1 - step
        x = _transposed(x, options.width * LEVELS[level], f"up{level}", bias=False)
        x = _norm(x, options.norm, f"up{level}")
        if step < 3:
            x = keras.layers.Dropout(options.dropout, name=f"up{level}_dropout")(x)
        if skip is not None:
            x = keras.layers.Concatenate(name=f"up{level}_concat")([x, skip])
        x = keras.layers.ReLU(name=f"up{level}_relu")(x)
    # The paper's last layer enlarges and answers at once, in float32 also under mixed precision.
    return {"logits": _transposed(x, classes, "logits", bias=True, dtype="float32"), "auxiliary": []}


def _down(x: Any, options: Pix2PixOptions) -> list[Any]:
    from segmodels.backend import keras

    levels = []
    for level, share in enumerate(LEVELS):
        if level:
            x = keras.layers.LeakyReLU(negative_slope=0.2, name=f"down{level}_relu")(x)
        x = _conv(x, options.width * share, f"down{level}", stride=2, bias=False)
        if 0 < level < len(LEVELS) - 1:  # one value a channel has no deviation to normalise by
            x = _norm(x, options.norm, f"down{level}")
        levels.append(x)
    levels[-1] = keras.layers.ReLU(name="bottleneck_relu")(x)
    return levels


def discriminator(classes: int, *, width: int = 64, norm: str = "batch") -> Any:
    """The 70x70 PatchGAN: how real each patch of a picture with its mask looks.

    Args:
        classes: channels of the mask (softmax or one-hot, or 3 for a drawn one).
        width: channels of its first layer.
        norm: "batch" as the paper, or "instance".

    Returns a Keras model of `[images (batch, h, w, 3) RGB 0..255, masks (batch, h, w, classes)]` with float32 logits
    `(batch, h / 8 - 2, w / 8 - 2, 1)`, each of which sees 70 x 70 pixels; both sides multiples of 8, at least 32.
    """
    from segmodels.backend import keras
    from segmodels.models.pixels import scale_pixels

    images = keras.Input((None, None, 3), name="images")
    masks = keras.Input((None, None, classes), name="masks")
    x = keras.layers.Concatenate(name="pair")([scale_pixels(images, "minus-one-to-one"), masks])
    for index, share in enumerate((1, 2, 4)):
        x = _conv(x, width * share, f"judge{index}", stride=2, bias=index == 0)
        x = _norm(x, norm, f"judge{index}") if index else x
        x = keras.layers.LeakyReLU(negative_slope=0.2, name=f"judge{index}_relu")(x)
    x = _conv(keras.layers.ZeroPadding2D(1, name="judge3_pad")(x), width * 8, "judge3", padding="valid", bias=False)
    x = keras.layers.LeakyReLU(negative_slope=0.2, name="judge3_relu")(_norm(x, norm, "judge3"))
    x = keras.layers.ZeroPadding2D(1, name="verdict_pad")(x)
    verdict = _conv(x, 1, "verdict", padding="valid", bias=True, dtype="float32")
    return keras.Model([images, masks], verdict, name="patchgan")


def _conv(x: Any, filters: int, name: str, *, bias: bool, stride: int = 1, padding: str = "same", **how: Any) -> Any:
    from segmodels.backend import keras

    return keras.layers.Conv2D(
        filters, 4, strides=stride, padding=padding, use_bias=bias, kernel_initializer=_normal(), name=f"{name}_conv",
        **how,
    )(x)  # fmt: skip


def _transposed(x: Any, filters: int, name: str, *, bias: bool, **how: Any) -> Any:
    from segmodels.backend import keras

    return keras.layers.Conv2DTranspose(
        filters, 4, strides=2, padding="same", use_bias=bias, kernel_initializer=_normal(), name=f"{name}_transpose",
        **how,
    )(x)  # fmt: skip


def _norm(x: Any, kind: str, name: str) -> Any:
    from segmodels.models.layers import normalisation

    layer = normalisation(kind, f"{name}_norm")
    return x if layer is None else layer(x)


def _normal() -> Any:
    from segmodels.backend import keras

    return keras.initializers.RandomNormal(stddev=0.02)
