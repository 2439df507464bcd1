"""FPN: a pyramid of equally wide features, from the deepest down to stride 4, whose levels answer together.

Lin et al. 2017, "Feature Pyramid Networks for Object Detection", arXiv:1612.03144; the head for segmentation is that of
Kirillov et al. 2019, "Panoptic Feature Pyramid Networks", arXiv:1901.02446.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from segmodels.models.options import Options


class FPNOptions(Options):
    """The keywords of `build("fpn", …)`."""

    pyramid_width: int = Field(256, ge=8, le=1024, description="channels of every level of the pyramid")
    width: int = Field(128, ge=32, le=1024, multiple_of=32, description="channels of the head, in groups of 32")
    merge: Literal["add", "concatenate"] = Field("add", description="how the levels are joined")
    dropout: float = Field(0.2, ge=0, lt=1, description="share of the joined channels dropped in training")


def stride(options: FPNOptions) -> int:
    """What both sides of the picture must be a multiple of inside the network."""
    return 32


def fpn(
    images: Any, classes: int, options: FPNOptions, *, weights: str = "none", momentum: float = 0.9
) -> dict[str, Any]:
    """Add an FPN to `images` (RGB 0..255, sides multiples of 32).

    Returns `{"logits": (batch, height, width, classes), "auxiliary": []}`.
    """
    from segmodels.backend import keras
    from segmodels.models.features import features
    from segmodels.models.layers import Upsample, logits

    _, *maps = features(options.backbone, images, weights=weights, momentum=momentum)
    pyramid: list[Any] = []
    for level, tap in zip((5, 4, 3, 2), reversed(maps), strict=True):
        x = keras.layers.Conv2D(options.pyramid_width, 1, name=f"lateral{level}")(tap)
        if pyramid:
            above = keras.layers.UpSampling2D(2, name=f"lateral{level}_nearest")(pyramid[-1])
            x = keras.layers.Add(name=f"pyramid{level}")([above, x])
        pyramid.append(x)
    heads = [_head(x, options.width, level) for level, x in zip((5, 4, 3, 2), pyramid, strict=True)]
    merge = keras.layers.Add if options.merge == "add" else keras.layers.Concatenate
    x = merge(name="merge")(heads)
    x = keras.layers.SpatialDropout2D(options.dropout, name="dropout")(x)
    return {"logits": Upsample(4, name="logits_bilinear", dtype="float32")(logits(x, classes)), "auxiliary": []}


def _head(x: Any, width: int, level: int) -> Any:
    """Convolutions, each followed by an enlargement, until stride 4."""
    from segmodels.backend import keras
    from segmodels.models.layers import Upsample

    for step in range(max(1, level - 2)):
        name = f"head{level}_{step + 1}"
        x = keras.layers.Conv2D(
            width, 3, padding="same", use_bias=False, kernel_initializer="he_normal", name=f"{name}_conv"
        )(x)
        x = keras.layers.GroupNormalization(32, epsilon=1e-5, name=f"{name}_norm")(x)
        x = keras.layers.ReLU(name=f"{name}_relu")(x)
        if level > 2:
            x = Upsample(2, name=f"{name}_bilinear")(x)
    return x
