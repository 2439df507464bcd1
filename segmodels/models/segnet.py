"""SegNet: a decoder that mirrors the encoder and puts features back where its pooling took them from.

Badrinarayanan, Kendall, Cipolla 2017, "SegNet: A Deep Convolutional Encoder-Decoder Architecture for Image
Segmentation", arXiv:1511.00561. Its own encoder is VGG16 with batch normalisation; on any other backbone the places are
those of the strongest features within each 2x2 window of the backbone's features.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from segmodels.models import backbones
from segmodels.models.options import Options

#: The encoder's convolutions by level, as VGG16 has them.
LEVELS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class SegNetOptions(Options):
    """The keywords of `build("segnet", …)`."""

    width: int = Field(64, ge=4, le=64, description="channels of the first level; VGG16 and the paper have 64")

    @model_validator(mode="after")
    def _vgg_is_64_wide(self) -> SegNetOptions:
        if self.backbone != backbones.PLAIN and self.width != 64:
            raise ValueError("width belongs to the plain encoder (backbone none)")
        return self


def stride(options: SegNetOptions) -> int:
    """What both sides of the picture must be a multiple of inside the network."""
    return 32


def segnet(
    images: Any, classes: int, options: SegNetOptions, *, weights: str = "none", momentum: float = 0.9
) -> dict[str, Any]:
    """Add a SegNet to `images` (RGB 0..255, sides multiples of 32).

    Returns `{"logits": (batch, height, width, classes), "auxiliary": []}`.
    """
    from segmodels.models.layers import logits

    if options.backbone in (backbones.PLAIN, "vgg16"):
        x = _own(images, options.width / 64, weights, momentum)
    else:
        x = _on_backbone(images, options.backbone, weights, momentum)
    return {"logits": logits(x, classes, kernel=3), "auxiliary": []}


def _own(images: Any, share: float, weights: str, momentum: float) -> Any:
    """The paper's network: 13 convolutions down, pooling with places, 12 and the classifier up."""
    from segmodels.models.features import as_list
    from segmodels.models.layers import conv_block
    from segmodels.models.pixels import scale_pixels
    from segmodels.models.unpooling import Unpooling

    x, *places = as_list(_encoder(share, weights, momentum)(scale_pixels(images, "caffe")))
    for level in reversed(range(5)):
        x = Unpooling(name=f"up{level}_unpool")(x, places[level])
        widths = LEVELS[level][:0:-1]  # the classifier is the last convolution of the first level
        if level:
            widths = (*widths, LEVELS[level - 1][-1])
        for index, width in enumerate(widths):
            x = conv_block(x, round(width * share), f"up{level}_{index + 1}", bias=True)
    return x


def _encoder(share: float, weights: str, momentum: float) -> Any:
    """VGG16's convolutions, each normalised, as one model: features at stride 32, and the places of five poolings."""
    from segmodels.backend import keras
    from segmodels.models.features import backbone_network
    from segmodels.models.layers import normalisation
    from segmodels.models.unpooling import PoolingPlaces

    pixels = x = keras.Input((None, None, 3))
    places = []
    for level, widths in enumerate(LEVELS, start=1):
        for index, width in enumerate(widths, start=1):
            name = f"block{level}_conv{index}"
            x = keras.layers.Conv2D(round(width * share), 3, padding="same", kernel_initializer="he_normal", name=name)(
                x
            )
            norm = normalisation("batch", f"{name}_norm", momentum=momentum)
            x = keras.layers.ReLU(name=f"{name}_relu")(norm(x))  # type: ignore[misc]
        places.append(PoolingPlaces(name=f"block{level}_places")(x))
        x = keras.layers.MaxPooling2D(2, name=f"block{level}_pool")(x)
    encoder = keras.Model(pixels, [x, *places], name="backbone")
    if str(weights) != "none":
        for layer in backbone_network(backbones.backbone_row("vgg16"), weights=weights).layers:
            if layer.weights:
                encoder.get_layer(layer.name).set_weights(layer.get_weights())
    return encoder


def _on_backbone(images: Any, backbone: str, weights: str, momentum: float) -> Any:
    """Two convolutions a level; before each unpooling as many channels as the places have."""
    from segmodels.models.features import features
    from segmodels.models.layers import Upsample, conv_block
    from segmodels.models.unpooling import PoolingPlaces, Unpooling

    *skips, x = features(backbone, images, weights=weights, momentum=momentum)
    for level, skip in reversed(list(enumerate(skips, start=1))):
        if skip is None:
            x = Upsample(2, name=f"up{level}_bilinear")(x)
        else:
            x = conv_block(x, skip.shape[-1], f"up{level}_fit", kernel=1)
            x = Unpooling(name=f"up{level}_unpool")(
                x, PoolingPlaces(1e-4, dtype="float32", name=f"up{level}_places")(skip)
            )
        for index in range(2):
            x = conv_block(x, LEVELS[level - 1][0], f"up{level}_{index + 1}", bias=True)
    x = Upsample(2, name="up0_bilinear")(x)
    return conv_block(x, LEVELS[0][0], "up0_1", bias=True)
