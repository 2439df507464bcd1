"""UPerNet: pyramid pooling on the deepest features, then a feature pyramid whose levels are fused.

Xiao et al. 2018, "Unified Perceptual Parsing for Scene Understanding", arXiv:1807.10221; its segmentation branch.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from segmodels.models.options import Options

BINS = (1, 2, 3, 6)


class UPerNetOptions(Options):
    """The keywords of `build("upernet", …)`."""

    width: int = Field(256, ge=8, le=1024, description="channels of every level and of the head")


def stride(options: UPerNetOptions) -> int:
    """What both sides of the picture must be a multiple of inside the network."""
    return 32


def upernet(
    images: Any, classes: int, options: UPerNetOptions, *, weights: str = "none", momentum: float = 0.9
) -> dict[str, Any]:
    """Add a UPerNet to `images` (RGB 0..255, sides multiples of 32).

    Returns `{"logits": (batch, height, width, classes), "auxiliary": []}`. As in segmentation_models.pytorch each of
    the backbone's features is normalised over its channels first.
    """
    from segmodels.backend import keras
    from segmodels.models.features import features
    from segmodels.models.layers import Upsample, conv_block, logits
    from segmodels.models.pspnet import pyramid_pooling

    _, *maps = features(options.backbone, images, weights=weights, momentum=momentum)
    maps = [
        keras.layers.LayerNormalization(epsilon=1e-6, name=f"tap{level}_norm")(tap)
        for level, tap in enumerate(maps, start=2)
    ]
    x = conv_block(pyramid_pooling(maps[-1], BINS, options.width), options.width, "level5")
    levels = [x]
    for level in (4, 3, 2):
        above = Upsample(2, name=f"level{level}_bilinear")(x)
        x = keras.layers.Add(name=f"level{level}_add")(
            [above, conv_block(maps[level - 2], options.width, f"level{level}_lateral", kernel=1)]
        )
        levels.append(conv_block(x, options.width, f"level{level}"))
    enlarged = [
        Upsample(2**index, name=f"fuse_bilinear{index + 2}")(feature) if index else feature
        for index, feature in enumerate(reversed(levels))
    ]
    x = conv_block(keras.layers.Concatenate(name="fuse_concat")(enlarged), options.width, "fuse")
    return {"logits": Upsample(4, name="logits_bilinear", dtype="float32")(logits(x, classes)), "auxiliary": []}
