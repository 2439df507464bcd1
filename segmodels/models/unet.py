"""U-Net: an encoder, a decoder, and skips between their equal sizes.

Ronneberger, Fischer, Brox 2015, "U-Net: Convolutional Networks for Biomedical Image Segmentation", arXiv:1505.04597.
Here convolutions keep the size (the paper's lose two pixels each), so that picture and mask have one size.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from segmodels.models import backbones
from segmodels.models.options import Options


class UNetOptions(Options):
    """The keywords of `build("unet", …)`.

    `width` and `depth` shape the plain encoder, `widths` the decoder on a backbone; each is refused for the other form.
    """

    width: int = Field(64, ge=1, le=512, description="channels of the first level; each level below has twice as many")
    depth: int = Field(5, ge=2, le=7, description="levels, the bottleneck included")
    widths: tuple[int, int, int, int, int] = Field(
        (256, 128, 64, 32, 16), description="decoder channels at strides 16, 8, 4, 2, 1"
    )
    convs: int = Field(2, ge=1, le=4, description="convolutions a level")
    norm: Literal["batch", "instance", "group", "none"] = Field(
        "batch", description="normalisation after each convolution"
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="share of bottleneck features dropped in training")
    upsample: Literal["transpose", "bilinear"] = Field(
        "transpose", description="how the decoder enlarges: learned 2x2 transposed convolution, or bilinear"
    )

    @model_validator(mode="before")
    @classmethod
    def _fit_the_encoder(cls, given: Any) -> Any:
        plain = given.get("backbone") == backbones.PLAIN
        for name in ("widths",) if plain else ("width", "depth"):
            if name in given:
                form = "a backbone's decoder" if plain else "the plain encoder (backbone none)"
                use = "width and depth" if plain else "widths"
                raise ValueError(f"{name} belongs to {form}; use {use} here")
        if not plain:
            given = {"upsample": "bilinear", **given}
        return given

    @model_validator(mode="after")
    def _groups_divide(self) -> UNetOptions:
        widths = (self.width,) if self.backbone == backbones.PLAIN else self.widths
        if min(widths) < 1 or max(widths) > 4096:
            raise ValueError("widths must be at least 1 and at most 4096")
        if self.norm == "group" and any(width % 8 for width in widths):
            raise ValueError("norm=group works on 8 groups, so every width must be a multiple of 8")
        return self


def stride(options: UNetOptions) -> int:
    """What both sides of the picture must be a multiple of inside the network."""
    return 32 if options.backbone != backbones.PLAIN else 2 ** (options.depth - 1)


def unet(
    images: Any, classes: int, options: UNetOptions, *, weights: str = "none", momentum: float = 0.9
) -> dict[str, Any]:
    """Add a U-Net to `images` (RGB 0..255, sides multiples of `stride`).

    Returns `{"logits": (batch, height, width, classes), "auxiliary": []}`. The plain form ends in the paper's 1x1
    convolution, the form on a backbone in a 3x3 one, as segmentation_models.pytorch has it.
    """
    from segmodels.models.features import features
    from segmodels.models.layers import logits

    if options.backbone == backbones.PLAIN:
        return {"logits": logits(_plain(images, options), classes), "auxiliary": []}
    taps = features(options.backbone, images, weights=weights, momentum=momentum)
    return {"logits": logits(_decoder(taps, options), classes, kernel=3), "auxiliary": []}


def _plain(images: Any, options: UNetOptions) -> Any:
    from segmodels.backend import keras
    from segmodels.models.pixels import scale_pixels

    x = scale_pixels(images, "minus-one-to-one")
    skips = []
    for level in range(options.depth):
        if level:
            x = keras.layers.MaxPooling2D(2, name=f"down{level}_pool")(x)
        x = _convolutions(x, options.width * 2**level, f"down{level}", options)
        skips.append(x)
    x = _dropout(skips.pop(), options)
    for level in reversed(range(options.depth - 1)):
        x = _up_and_join(x, skips.pop(), options.width * 2**level, f"up{level}", options)
    return x


def _decoder(taps: list[Any], options: UNetOptions) -> Any:
    *skips, x = taps
    x = _dropout(x, options)
    for step, width in enumerate(options.widths):
        x = _up_and_join(x, skips.pop() if skips else None, width, f"up{4 - step}", options)
    return x


def _up_and_join(x: Any, skip: Any, width: int, name: str, options: UNetOptions) -> Any:
    """Twice the size, the encoder's features of that size beside it, then convolutions."""
    from segmodels.backend import keras
    from segmodels.models.layers import Upsample

    if options.upsample == "transpose":
        x = keras.layers.Conv2DTranspose(width, 2, strides=2, kernel_initializer="he_normal", name=f"{name}_transpose")(
            x
        )
    else:
        x = Upsample(2, name=f"{name}_bilinear")(x)
    if skip is not None:
        x = keras.layers.Concatenate(name=f"{name}_concat")([skip, x])
    return _convolutions(x, width, name, options)


def _convolutions(x: Any, width: int, name: str, options: UNetOptions) -> Any:
    from segmodels.models.layers import conv_block

    for index in range(options.convs):
        x = conv_block(x, width, f"{name}_{index + 1}", norm=options.norm)
    return x


def _dropout(x: Any, options: UNetOptions) -> Any:
    from segmodels.backend import keras

    return keras.layers.Dropout(options.dropout, name="bottleneck_dropout")(x) if options.dropout else x
