"""Fully convolutional networks: a classifier slid over the picture, its scores enlarged by learned interpolation.

Long, Shelhamer, Darrell 2015, "Fully Convolutional Networks for Semantic Segmentation", arXiv:1411.4038, and Shelhamer
et al. 2017, arXiv:1605.06211. Its own encoder is VGG16 with fc6 and fc7 as convolutions; on any other backbone the
scores of strides 32, 16 and 8 are joined the same way, behind a smaller head.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from segmodels.models import backbones
from segmodels.models.options import Options

#: VGG16 with its classifier, as Keras publishes it.
VGG16_WITH_TOP = "vgg16_weights_tf_dim_ordering_tf_kernels.h5"
VGG16_CHECKSUM = "64373286793e3c8b2b4e3219cbf3544b"


class FCNOptions(Options):
    """The keywords of `build("fcn32", …)`, `fcn16` and `fcn8`."""

    head_width: int = Field(4096, ge=8, le=4096, description="channels of fc6 and fc7; 4096 on VGG16, 512 elsewhere")
    head_kernel: int = Field(7, ge=1, le=7, description="side of fc6's window; 7 on VGG16, 3 elsewhere")
    dropout: float = Field(0.5, ge=0, lt=1, description="share of fc6's and fc7's features dropped in training")

    @model_validator(mode="before")
    @classmethod
    def _fit_the_encoder(cls, given: Any) -> Any:
        own = given.get("backbone") in (backbones.PLAIN, "vgg16")
        return given if own else {"head_width": 512, "head_kernel": 3, **given}

    @property
    def has_vgg_head(self) -> bool:
        """Whether VGG16's own fc1 and fc2 fit."""
        return self.backbone in (backbones.PLAIN, "vgg16") and (self.head_width, self.head_kernel) == (4096, 7)


def stride(options: FCNOptions) -> int:
    """What both sides of the picture must be a multiple of inside the network."""
    return 32


def fcn32(images: Any, classes: int, options: FCNOptions, **given: Any) -> dict[str, Any]:
    """Scores of stride 32 alone; see `fcn8`."""
    return _fcn(images, classes, options, (), **given)


def fcn16(images: Any, classes: int, options: FCNOptions, **given: Any) -> dict[str, Any]:
    """Scores of strides 32 and 16; see `fcn8`."""
    return _fcn(images, classes, options, (16,), **given)


def fcn8(images: Any, classes: int, options: FCNOptions, **given: Any) -> dict[str, Any]:
    """Add an FCN-8s to `images` (RGB 0..255, sides multiples of 32).

    Returns `{"logits": (batch, height, width, classes), "auxiliary": []}`. Score layers begin at zero and enlarging
    ones as bilinear interpolation, without bias, as the paper's.
    """
    return _fcn(images, classes, options, (16, 8), **given)


def _fcn(
    images: Any,
    classes: int,
    options: FCNOptions,
    skips: tuple[int, ...],
    *,
    weights: str = "none",
    momentum: float = 0.9,
) -> dict[str, Any]:
    from segmodels.backend import keras
    from segmodels.models.features import features

    own = options.backbone in (backbones.PLAIN, "vgg16")
    vgg16 = _vgg16_with_top(weights) if own and options.has_vgg_head and str(weights) != "none" else None
    maps = features(
        "vgg16" if own else options.backbone,
        images,
        weights=weights if vgg16 is None else vgg16,
        momentum=momentum,
        # The paper scores the pooled features.
        taps=(None, None, "block3_pool", "block4_pool", "block5_pool") if own else None,
    )
    x = maps[-1]
    for name, published, kernel in (("fc6", "fc1", options.head_kernel), ("fc7", "fc2", 1)):
        layer = keras.layers.Conv2D(
            options.head_width, kernel, padding="same", activation="relu", kernel_initializer="he_normal", name=name
        )
        x = layer(x)
        if vgg16 is not None:
            matrix, bias = vgg16.get_layer(published).get_weights()
            layer.set_weights([matrix.reshape(layer.kernel.shape), bias])
        x = keras.layers.Dropout(options.dropout, name=f"{name}_dropout")(x)
    x, at = _score(x, classes, "score32"), 32
    for skip in skips:
        x = _enlarged(x, classes, at // skip, f"up{skip}")
        x = keras.layers.Add(name=f"fuse{skip}")([x, _score(maps[3 if skip == 16 else 2], classes, f"score{skip}")])
        at = skip
    return {"logits": _enlarged(x, classes, at, "logits"), "auxiliary": []}


def _score(x: Any, classes: int, name: str) -> Any:
    from segmodels.backend import keras

    return keras.layers.Conv2D(classes, 1, kernel_initializer="zeros", dtype="float32", name=name)(x)


def _enlarged(x: Any, classes: int, factor: int, name: str) -> Any:
    from segmodels.backend import keras
    from segmodels.models.bilinear import Bilinear

    return keras.layers.Conv2DTranspose(
        classes, 2 * factor, strides=factor, padding="same", use_bias=False, kernel_initializer=Bilinear(),
        dtype="float32", name=name,
    )(x)  # fmt: skip


def _vgg16_with_top(weights: str | Path) -> Any:
    """VGG16 with fc1 and fc2 from "imagenet" or a file; None for a file that holds the convolutions alone."""
    from segmodels.backend import keras
    from segmodels.models.weights import download, fill, given_file, in_weights_folder

    row = backbones.backbone_row("vgg16")
    if str(weights) == "imagenet":
        what = "ImageNet weights of VGG16 with fc1 and fc2"
        path = in_weights_folder((VGG16_WITH_TOP,)) or download(VGG16_WITH_TOP, row.url, VGG16_CHECKSUM, what)
    else:
        path = given_file(weights)
        if not _has_top(path):
            return None
    network = keras.applications.VGG16(weights=None)
    fill(network, path, "weights of VGG16")
    return network


def _has_top(path: Path) -> bool:
    """Whether a file of VGG16 weights holds fully connected layers too."""
    import h5py

    try:
        with h5py.File(path) as file:
            return any(name in ("fc1", "dense") for group in (file, file.get("layers", {})) for name in group)
    except Exception:  # whatever a damaged file is made of; it is said where it is read
        return False
