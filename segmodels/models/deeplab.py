"""DeepLabv3 and DeepLabv3+: dilated convolutions at several rates side by side.

Chen et al. 2017, "Rethinking Atrous Convolution for Semantic Image Segmentation", arXiv:1706.05587, and Chen et al.
2018, "Encoder-Decoder with Atrous Separable Convolution", arXiv:1802.02611.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator, model_validator

from segmodels.models.options import Numbers, Options, OutputStride

#: The rates of the papers at output stride 16.
RATES = (6, 12, 18)
#: Channels of every branch and head.
WIDTH = 256


class DeepLabOptions(Options):
    """The keywords of `build("deeplabv3", …)`.

    With `aspp_rates=()` it is the papers' mobile form: the image's mean and a 1x1 convolution, no further head, and on
    MobileNetV2 the last bottleneck's features and pictures of 8 k + 1 pixels, as the published network has it.
    """

    output_stride: OutputStride = Field(16, description="of the backbone; smaller is finer and costs more")
    aspp_rates: Numbers = Field(
        RATES, description="dilations of the 3x3 branches; by default 6,12,18 at stride 16 and twice that at 8"
    )
    width: int = Field(WIDTH, ge=8, le=2048, description="channels of each branch and of the head")
    separable: bool = Field(False, description="atrous separable convolutions: fewer parameters and operations")
    dropout: float = Field(0.1, ge=0, lt=1, description="share of the joined branches dropped in training")

    @model_validator(mode="after")
    def _rates_of_the_stride(self) -> DeepLabOptions:
        if "aspp_rates" not in self.model_fields_set:
            object.__setattr__(self, "aspp_rates", rates_at(self.output_stride))
        return self

    @field_validator("aspp_rates")
    @classmethod
    def _sensible_rates(cls, rates: tuple[int, ...]) -> tuple[int, ...]:
        if len(rates) > 6 or any(not 1 <= rate <= 64 for rate in rates):
            raise ValueError("aspp_rates must be at most 6 whole numbers from 1 to 64")
        return rates

    @property
    def published(self) -> bool:
        """Whether it is the form of Google's published MobileNetV2 networks."""
        return self.backbone == "mobilenetv2" and not self.aspp_rates


class DeepLabPlusOptions(DeepLabOptions):
    """The keywords of `build("deeplabv3+", …)`."""

    skip_width: int = Field(48, ge=1, le=512, description="channels that the stride-4 features are reduced to")

    @property
    def published(self) -> bool:
        return False


def rates_at(output_stride: int) -> tuple[int, ...]:
    """The papers' rates at an output stride: they cover the same part of the picture at each."""
    return tuple(rate * 16 // output_stride for rate in RATES)


def stride(options: DeepLabOptions) -> int:
    """What both sides of the picture must be a multiple of inside the network."""
    return options.output_stride


def padding(options: DeepLabOptions) -> dict[str, Any]:
    """How pictures are padded: the published network sees 8 k + 1 pixels, and mid-grey beyond the picture."""
    if not options.published:
        return {"multiple": stride(options)}
    return {"multiple": stride(options), "extra": 1, "value": 127.5}


def deeplabv3(
    images: Any, classes: int, options: DeepLabOptions, *, weights: str = "none", momentum: float = 0.9
) -> dict[str, Any]:
    """Add a DeepLabv3 to `images` (RGB 0..255, padded as `padding` says).

    Returns `{"logits": (batch, height, width, classes), "auxiliary": []}`.
    """
    from segmodels.models.layers import Upsample, conv_block, logits
    from segmodels.models.resize import ResizeLike

    x = _atrous_pyramid(_maps(images, options, weights, momentum)[-1], options)
    if options.aspp_rates:
        x = conv_block(x, options.width, "head")
    x = logits(x, classes)
    if options.published:
        enlarged = ResizeLike(corners=True, name="logits_bilinear", dtype="float32")(x, images)
    else:
        enlarged = Upsample(options.output_stride, name="logits_bilinear", dtype="float32")(x)
    return {"logits": enlarged, "auxiliary": []}


def deeplabv3_plus(
    images: Any, classes: int, options: DeepLabPlusOptions, *, weights: str = "none", momentum: float = 0.9
) -> dict[str, Any]:
    """Add a DeepLabv3+ to `images`: as `deeplabv3`, refined by the features of stride 4."""
    from segmodels.backend import keras
    from segmodels.models.layers import Upsample, conv_block, logits

    maps = _maps(images, options, weights, momentum)
    x = _atrous_pyramid(maps[-1], options)
    x = Upsample(options.output_stride // 4, name="pyramid_bilinear")(x)
    skip = conv_block(maps[1], options.skip_width, "skip", kernel=1)
    x = keras.layers.Concatenate(name="decoder_concat")([x, skip])
    for index in (1, 2):
        x = conv_block(x, options.width, f"decoder_{index}", separable=options.separable)
    return {"logits": Upsample(4, name="logits_bilinear", dtype="float32")(logits(x, classes)), "auxiliary": []}


def _maps(images: Any, options: DeepLabOptions, weights: str, momentum: float) -> list[Any]:
    from segmodels.models.features import features

    taps = (None, None, None, None, "block_16_project_BN") if options.published else None
    return features(
        options.backbone, images, weights=weights, momentum=momentum, output_stride=options.output_stride, taps=taps,
        centred=options.published,
    )  # fmt: skip


def _atrous_pyramid(x: Any, options: DeepLabOptions) -> Any:
    """The image's mean, a 1x1 convolution and one 3x3 convolution a rate, joined by a 1x1 convolution."""
    from segmodels.backend import keras
    from segmodels.models.layers import conv_block
    from segmodels.models.resize import ResizeLike

    mean = keras.layers.GlobalAveragePooling2D(keepdims=True, name="image_pooling")(x)
    mean = conv_block(mean, options.width, "image_pooling", kernel=1)
    branches = [
        ResizeLike(name="image_pooling_spread")(mean, x),
        conv_block(x, options.width, "aspp0", kernel=1),
        *[
            conv_block(x, options.width, f"aspp{index}", dilation=rate, separable=options.separable)
            for index, rate in enumerate(options.aspp_rates, start=1)
        ],
    ]
    x = conv_block(keras.layers.Concatenate(name="aspp_concat")(branches), options.width, "projection", kernel=1)
    return keras.layers.Dropout(options.dropout, name="aspp_dropout")(x)
