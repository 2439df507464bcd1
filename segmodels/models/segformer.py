"""SegFormer: a Mix Transformer, whose attention sees the whole picture, and a decoder that only mixes channels.

Xie et al. 2021, "SegFormer: Simple and Efficient Design for Semantic Segmentation with Transformers", arXiv:2105.15203.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from segmodels.models.features import features
from segmodels.models.options import Options


class SegFormerOptions(Options):
    """The keywords of `build("segformer", …)`."""

    width: int | None = Field(
        None, ge=8, le=2048, description="channels of the decoder; by default 256 on MiT-B0 and B1, else 768"
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="share of the decoder's features dropped in training")
    token_order: Literal["spatial", "keras-cv"] = Field(
        "spatial",
        description="what the attention's reducing convolution sees: the picture, as in the paper, or the scrambled "
        "order that keras-cv's ImageNet weights were trained in",
    )

    @property
    def channels(self) -> int:
        """`width`, or the paper's for this backbone."""
        return self.width or (256 if self.backbone in ("mit-b0", "mit-b1") else 768)


def stride(options: SegFormerOptions) -> int:
    """What both sides of the picture must be a multiple of inside the network."""
    return 32


def segformer(
    images: Any, classes: int, options: SegFormerOptions, *, weights: str = "none", momentum: float = 0.9
) -> dict[str, Any]:
    """Add a SegFormer to `images` (RGB 0..255, sides multiples of 32).

    Returns `{"logits": (batch, height, width, classes), "auxiliary": []}`.
    """
    from segmodels.backend import keras
    from segmodels.models.layers import Upsample, conv_block, logits

    taps = features(options.backbone, images, weights=weights, momentum=momentum, token_order=options.token_order)
    levels = []
    for level, tap in enumerate(taps[1:], 1):  # strides 4, 8, 16, 32
        x = keras.layers.Dense(options.channels, name=f"level{level}_project")(tap)
        levels.append(Upsample(2 ** (level - 1), name=f"level{level}_bilinear")(x) if level > 1 else x)
    x = keras.layers.Concatenate(name="fuse_concat")(levels[::-1])
    x = conv_block(x, options.channels, "fuse", kernel=1)
    if options.dropout:
        x = keras.layers.Dropout(options.dropout, name="fuse_dropout")(x)
    # float32 also where the network computes in bfloat16, as the scores themselves.
    return {"logits": Upsample(4, name="logits_bilinear", dtype="float32")(logits(x, classes)), "auxiliary": []}
