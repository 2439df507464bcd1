"""LinkNet: a light decoder whose levels are added to the encoder's, not joined.

Chaurasia and Culurciello 2017, "LinkNet: Exploiting Encoder Representations for Efficient Semantic Segmentation",
arXiv:1707.03718.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from segmodels.models.options import Options


class LinkNetOptions(Options):
    """The keywords of `build("linknet", …)`."""

    width: int = Field(32, ge=4, le=512, description="channels at the picture's size, before the answer")


def stride(options: LinkNetOptions) -> int:
    """What both sides of the picture must be a multiple of inside the network."""
    return 32


def linknet(
    images: Any, classes: int, options: LinkNetOptions, *, weights: str = "none", momentum: float = 0.9
) -> dict[str, Any]:
    """Add a LinkNet to `images` (RGB 0..255, sides multiples of 32).

    Returns `{"logits": (batch, height, width, classes), "auxiliary": []}`.
    """
    from segmodels.backend import keras
    from segmodels.models.features import features
    from segmodels.models.layers import logits

    *skips, x = features(options.backbone, images, weights=weights, momentum=momentum)
    for level, skip in reversed(list(enumerate(skips, start=1))):
        x = _enlarged(x, x.shape[-1] if skip is None else skip.shape[-1], f"up{level}")
        if skip is not None:
            x = keras.layers.Add(name=f"up{level}_add")([x, skip])
    return {"logits": logits(_enlarged(x, options.width, "up0"), classes), "auxiliary": []}


def _enlarged(x: Any, width: int, name: str) -> Any:
    """A quarter of the channels, twice the size by a transposed convolution, then `width` channels."""
    from segmodels.backend import keras
    from segmodels.models.layers import conv_block, normalisation

    narrow = x.shape[-1] // 4
    x = conv_block(x, narrow, f"{name}_narrow", kernel=1)
    x = keras.layers.Conv2DTranspose(
        narrow, 4, strides=2, padding="same", kernel_initializer="he_normal", name=f"{name}_transpose"
    )(x)
    x = normalisation("batch", f"{name}_transpose_norm")(x)  # type: ignore[misc]
    x = keras.layers.ReLU(name=f"{name}_transpose_relu")(x)
    return conv_block(x, width, f"{name}_wide", kernel=1)
