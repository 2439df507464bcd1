"""UNet++: a U-Net whose skips are small U-Nets themselves.

Zhou et al. 2018, "UNet++: A Nested U-Net Architecture for Medical Image Segmentation", arXiv:1807.10165. Node (i, j) of
level i takes every node before it on its level and the enlarged node (i + 1, j - 1):
X[i, j] = conv(X[i, 0], …, X[i, j-1], up(X[i+1, j-1])). With deep supervision each X[0, j] has a head of its own.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from segmodels.models import backbones
from segmodels.models.options import Numbers, Options


class UNetPlusPlusOptions(Options):
    """The keywords of `build("unet++", …)`; `widths` are the plain encoder's, or the decoder's on a backbone."""

    widths: Numbers = Field(
        (32, 64, 128, 256, 512),
        description="channels of the levels from the top (plain encoder), or of the decoder at strides 16, 8, 4, 2, 1",
    )
    convs: int = Field(2, ge=1, le=4, description="convolutions a node")
    norm: Literal["batch", "instance", "group", "none"] = Field("none", description="normalisation in each node")
    upsample: Literal["transpose", "bilinear"] = Field(
        "transpose", description="how nodes enlarge: learned 2x2 transposed convolution, or bilinear"
    )
    deep_supervision: bool = Field(False, description="a head on every node of the first level, their mean as answer")
    head: int | None = Field(
        None, ge=1, le=6, description="answer by this head alone, in a network pruned to what it needs"
    )

    @model_validator(mode="before")
    @classmethod
    def _fit_the_encoder(cls, given: Any) -> Any:
        if given.get("backbone") == backbones.PLAIN:
            return given
        return {"widths": (256, 128, 64, 32, 16), "norm": "batch", "upsample": "bilinear", **given}

    @model_validator(mode="after")
    def _consistent(self) -> UNetPlusPlusOptions:
        plain = self.backbone == backbones.PLAIN
        if plain and not 2 <= len(self.widths) <= 7:
            raise ValueError("widths must name 2 to 7 levels")
        if not plain and len(self.widths) != 5:
            raise ValueError("widths must name the decoder's 5 levels on a backbone")
        if min(self.widths) < 1 or max(self.widths) > 4096:
            raise ValueError("widths must be at least 1 and at most 4096")
        if self.norm == "group" and any(width % 8 for width in self.widths):
            raise ValueError("norm=group works on 8 groups, so every width must be a multiple of 8")
        if self.head is not None and not self.deep_supervision:
            raise ValueError("head needs deep_supervision=true, which gives the nodes their heads")
        if self.head is not None and self.head > self.heads:
            raise ValueError(f"head={self.head}: there are {self.heads} heads here, from 1 (the smallest network)")
        return self

    @property
    def heads(self) -> int:
        """How many nodes of the first level can answer: one less than there are levels."""
        if self.backbone == backbones.PLAIN:
            return len(self.widths) - 1
        return sum(tap is not None for tap in backbones.backbone_row(self.backbone).taps) - 1


def stride(options: UNetPlusPlusOptions) -> int:
    """What both sides of the picture must be a multiple of inside the network."""
    return 32 if options.backbone != backbones.PLAIN else 2 ** (len(options.widths) - 1)


def unet_plus_plus(
    images: Any, classes: int, options: UNetPlusPlusOptions, *, weights: str = "none", momentum: float = 0.9
) -> dict[str, Any]:
    """Add a UNet++ to `images` (RGB 0..255, sides multiples of `stride`).

    Returns `{"logits": (batch, height, width, classes), "auxiliary": […]}`; with deep supervision `auxiliary` holds the
    logits of every head, the smallest network's first, and `logits` their mean, or those of `options.head`.
    """
    from segmodels.backend import keras

    grid = _Grid(options)
    if options.backbone == backbones.PLAIN:
        grid.plain_encoder(images)
    else:
        grid.backbone(images, weights, momentum)
    last = options.heads if options.head is None else options.head
    columns = range(1, last + 1) if options.deep_supervision else [last]
    heads = [grid.logits(column, classes) for column in columns]
    if options.head is not None or not options.deep_supervision:
        return {"logits": heads[-1], "auxiliary": heads if options.deep_supervision else []}
    return {"logits": keras.layers.Average(name="mean", dtype="float32")(heads), "auxiliary": heads}


class _Grid:
    """The nodes by level and column, each made when it is first asked for: so a pruned network has no other."""

    def __init__(self, options: UNetPlusPlusOptions) -> None:
        self.options = options
        self.nodes: dict[tuple[int, int], Any] = {}
        self.made: list[Any] = []  # the plain encoder's nodes so far
        self.enlarge = 1  # from the first level to the picture
        self.images: Any = None

    def plain_encoder(self, images: Any) -> None:
        from segmodels.models.pixels import scale_pixels

        self.images = scale_pixels(images, "minus-one-to-one")
        self.widths = list(self.options.widths)
        self.last_widths = self.widths

    def backbone(self, images: Any, weights: str, momentum: float) -> None:
        """Levels are the backbone's strides; as in segmentation_models.pytorch inner nodes are as wide as its features,
        the last of a level as wide as the decoder."""
        from segmodels.models.features import features

        names = [name for name in backbones.backbone_row(self.options.backbone).taps if name is not None]
        self.enlarge = 2 ** (6 - len(names))
        needed = names if self.options.head is None else names[: self.options.head + 1]
        taps = features(self.options.backbone, images, weights=weights, momentum=momentum, taps=tuple(needed))
        for level, tap in enumerate(taps):
            self.nodes[level, 0] = tap
        self.widths = [tap.shape[-1] for tap in taps]
        self.last_widths = list(self.options.widths[:4][::-1])[-self.options.heads :]

    def node(self, level: int, column: int) -> Any:
        if (level, column) not in self.nodes:
            self.nodes[level, column] = self._make(level, column)
        return self.nodes[level, column]

    def _make(self, level: int, column: int) -> Any:
        from segmodels.backend import keras
        from segmodels.models.layers import conv_block

        name = f"node{level}{column}"
        if column == 0:
            x = self.images
            if level:
                x = keras.layers.MaxPooling2D(2, name=f"{name}_pool")(self.node(level - 1, 0))
            width = self.widths[level]
        else:
            ends = level + column == self.options.heads
            width = self.last_widths[level] if ends else self.widths[level]
            below = self._enlarged(self.node(level + 1, column - 1), width, name)
            row = [self.node(level, before) for before in range(column)]
            x = keras.layers.Concatenate(name=f"{name}_concat")([*row, below])
        for index in range(self.options.convs):
            x = conv_block(x, width, f"{name}_{index + 1}", norm=self.options.norm)
        return x

    def _enlarged(self, x: Any, width: int, name: str) -> Any:
        from segmodels.backend import keras
        from segmodels.models.layers import Upsample

        if self.options.upsample == "bilinear":
            return Upsample(2, name=f"{name}_bilinear")(x)
        return keras.layers.Conv2DTranspose(
            width, 2, strides=2, kernel_initializer="he_normal", name=f"{name}_transpose"
        )(x)

    def logits(self, column: int, classes: int) -> Any:
        """Head `column` on the first level; on a backbone the deepest one has convolutions at the picture's size."""
        from segmodels.models.layers import Upsample, conv_block, logits

        x, enlarge = self.node(0, column), self.enlarge
        if self.options.backbone != backbones.PLAIN and column == self.options.heads:
            x = Upsample(enlarge, name="full_bilinear")(x)
            for index in range(self.options.convs):
                x = conv_block(x, self.options.widths[-1], f"full_{index + 1}", norm=self.options.norm)
            enlarge = 1
        name = "logits" if not self.options.deep_supervision else f"logits{column}"
        x = logits(x, classes, kernel=1 if self.options.backbone == backbones.PLAIN else 3, name=name)
        return Upsample(enlarge, name=f"{name}_bilinear", dtype="float32")(x) if enlarge > 1 else x


def prune(model: Any, head: int) -> Any:
    """The part of a network with deep supervision that answers by one head: smaller and faster, the weights kept.

    Args:
        model: of `build("unet++", deep_supervision=True, auxiliary=True, …)`, trained.
        head: 1 for the smallest network, up to the number of heads.

    Returns a Keras model with that head's logits `(batch, height, width, classes)` alone.
    """
    from segmodels.backend import keras
    from segmodels.errors import UserError

    heads = model.output.get("auxiliary", []) if isinstance(model.output, dict) else []
    if not heads:
        raise UserError("only a unet++ of deep_supervision=True, built with auxiliary=True, can be pruned")
    if not 1 <= head <= len(heads):
        raise UserError(f"head={head}: must be from 1 to {len(heads)}")
    pruned = keras.Model(model.inputs, heads[head - 1], name=f"{model.name}-pruned{head}")
    encoder = next((layer for layer in pruned.layers if layer.name == "backbone"), None)
    if encoder is None:
        return pruned
    # A backbone is one layer with an output a level: it ends at the deepest level that this head looks at.
    shallow = keras.Model(encoder.inputs, encoder.outputs[: head + 1], name="backbone")
    return keras.models.clone_model(pruned, clone_function=lambda layer: shallow if layer is encoder else layer)
