"""PSPNet: what stands around a pixel, from averages over areas of four sizes.

Zhao et al. 2017, "Pyramid Scene Parsing Network", arXiv:1612.01105. The backbone is dilated; an auxiliary head on the
stage before its last is there for training (`build(…, auxiliary=True)`), where the paper counts its loss 0.4.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from segmodels.models.options import Numbers, Options, OutputStride

#: Channels of the auxiliary head.
AUXILIARY_WIDTH = 256


class PSPNetOptions(Options):
    """The keywords of `build("pspnet", …)`."""

    output_stride: OutputStride = Field(8, description="of the backbone; smaller is finer and costs more")
    bins: Numbers = Field((1, 2, 3, 6), description="areas a side that are averaged over")
    width: int = Field(512, ge=8, le=2048, description="channels of each pooled branch and of the head")
    dropout: float = Field(0.1, ge=0, lt=1, description="share of the head's features dropped in training")

    @field_validator("bins")
    @classmethod
    def _some_bins(cls, bins: tuple[int, ...]) -> tuple[int, ...]:
        if not 1 <= len(bins) <= 8 or min(bins) < 1 or max(bins) > 64 or len(set(bins)) != len(bins):
            raise ValueError("bins must be 1 to 8 different whole numbers, each from 1 to 64")
        return bins


def stride(options: PSPNetOptions) -> int:
    """What both sides of the picture must be a multiple of inside the network."""
    return options.output_stride


def pspnet(
    images: Any, classes: int, options: PSPNetOptions, *, weights: str = "none", momentum: float = 0.9
) -> dict[str, Any]:
    """Add a PSPNet to `images` (RGB 0..255, sides multiples of `stride`).

    Returns `{"logits": (batch, height, width, classes), "auxiliary": [the same from the stage before the last]}`.
    """
    from segmodels.backend import keras
    from segmodels.models.features import features
    from segmodels.models.layers import Upsample, conv_block, logits

    def answer(x: Any, name: str) -> Any:
        x = logits(x, classes, name=name)
        return Upsample(options.output_stride, name=f"{name}_bilinear", dtype="float32")(x)

    *_, before, x = features(
        options.backbone, images, weights=weights, momentum=momentum, output_stride=options.output_stride
    )
    x = conv_block(pyramid_pooling(x, options.bins, options.width), options.width, "head")
    x = keras.layers.Dropout(options.dropout, name="head_dropout")(x)
    if options.output_stride == 32:  # the stage before is then twice as fine
        before = keras.layers.AveragePooling2D(2, name="auxiliary_pool")(before)
    side = keras.layers.Dropout(options.dropout, name="auxiliary_dropout")(
        conv_block(before, AUXILIARY_WIDTH, "auxiliary")
    )
    return {"logits": answer(x, "logits"), "auxiliary": [answer(side, "auxiliary_logits")]}


def pyramid_pooling(x: Any, bins: tuple[int, ...], width: int) -> Any:
    """`x` beside its averages over `bins` x `bins` areas, each through a 1x1 convolution and enlarged to its size."""
    from segmodels.backend import keras
    from segmodels.models.layers import conv_block
    from segmodels.models.resize import AdaptiveAveragePooling, ResizeLike

    branches = [x]
    for count in bins:
        pooled = AdaptiveAveragePooling(count, name=f"pool{count}")(x)
        pooled = conv_block(pooled, width, f"pool{count}", kernel=1)
        branches.append(ResizeLike(name=f"pool{count}_bilinear")(pooled, x))
    return keras.layers.Concatenate(name="pyramid")(branches)
