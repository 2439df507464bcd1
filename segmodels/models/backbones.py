"""The table of backbones: ImageNet networks that an architecture takes its features from.

Adding one is one row: where its network comes from, which layers hold its features at strides 2, 4, 8, 16 and 32,
how it wants its pixels scaled, and how its ImageNet weights are called.
"""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segmodels.errors import UserError, choose
from segmodels.home import weights_folder

_MOBILENET_URL = "https://storage.googleapis.com/tensorflow/keras-applications"


@dataclass(frozen=True)
class Backbone:
    """One row.

    Attributes:
        title: its name in papers.
        factory: the function of `keras.applications`.
        taps: layer names of the features at strides 2, 4, 8, 16, 32.
        scaling: "minus-one-to-one", what it was trained to see pixels 0..255 as.
        parameters: its parameter count without the classifier.
        weights: files of ImageNet weights, all looked up in `SEGMODELS_WEIGHTS_DIR`; the first is downloaded.
        url: the folder on the web that holds the first of `weights`.
        paper: author, year, title, arXiv number.
    """

    title: str
    factory: str
    taps: tuple[str, str, str, str, str]
    scaling: str
    parameters: int
    weights: tuple[str, ...]
    url: str
    paper: str


BACKBONES: dict[str, Backbone] = {
    "mobilenet": Backbone(
        title="MobileNet",
        factory="MobileNet",
        taps=("conv_pw_1_relu", "conv_pw_3_relu", "conv_pw_5_relu", "conv_pw_11_relu", "conv_pw_13_relu"),
        scaling="minus-one-to-one",
        parameters=3_228_864,
        weights=("mobilenet_1_0_224_tf_no_top.h5", "mobilenet_v1_1.0_qat_no_top.weights.h5"),
        url=f"{_MOBILENET_URL}/mobilenet",
        paper="Howard et al. 2017, MobileNets, arXiv:1704.04861",
    ),
    "mobilenetv2": Backbone(
        title="MobileNetV2",
        factory="MobileNetV2",
        # The stage outputs, not the expanded activations: 1.4 million parameters less in a U-Net and 1.5 times as fast.
        taps=("expanded_conv_project_BN", "block_2_add", "block_5_add", "block_12_add", "out_relu"),
        scaling="minus-one-to-one",
        parameters=2_257_984,
        weights=(
            "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
            "mobilenetv2_1.0_no_top.weights.h5",
        ),
        url=f"{_MOBILENET_URL}/mobilenet_v2",
        paper="Sandler et al. 2018, MobileNetV2, arXiv:1801.04381",
    ),
}

#: The name for an architecture's own plain encoder.
PLAIN = "none"


def backbone_row(name: str) -> Backbone:
    """The row of a backbone; `UserError` for an unknown name."""
    return BACKBONES[choose("backbone", name, [PLAIN, *BACKBONES])]


def features(name: str, images: Any, *, weights: str | Path = "none", momentum: float = 0.9) -> list[Any]:
    """Add a backbone to a network.

    Args:
        name: a row of `BACKBONES`.
        images: symbolic RGB 0..255, `(batch, height, width, 3)`, both sides multiples of 32.
        weights: "none" for random, "imagenet", or a weights file.
        momentum: of the running statistics of its BatchNorm layers. Published MobileNetV2 has 0.999, which after a
            short fine-tuning leaves statistics of neither the old nor the new pictures.

    Returns:
        Five feature maps, at strides 2, 4, 8, 16 and 32.
    """
    from segmodels.backend import keras

    row = backbone_row(name)
    factory = getattr(keras.applications, row.factory)
    network = factory(include_top=False, weights=None, input_shape=(None, None, 3))
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = momentum
    if str(weights) != "none":
        load_weights(network, name, weights)
    encoder = keras.Model(network.inputs, [network.get_layer(tap).output for tap in row.taps], name="backbone")
    return encoder(keras.layers.Rescaling(1 / 127.5, offset=-1, name="preprocessing")(images))


def load_weights(network: Any, name: str, weights: str | Path) -> None:
    """Fill a backbone from "imagenet" or a file; `UserError` names the file and both ways to get it."""
    path = imagenet_weights(name) if str(weights) == "imagenet" else Path(weights).expanduser()
    if not path.is_file():
        raise UserError(f"weights file {path} does not exist: give an existing file, or 'imagenet', or 'none'")
    try:
        network.load_weights(str(path))
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{path} does not hold weights of {backbone_row(name).title} without its top ({reason})"
        ) from None


def imagenet_weights(name: str) -> Path:
    """A backbone's file of ImageNet weights: from `SEGMODELS_WEIGHTS_DIR` by name, else Keras' cache or download."""
    row = backbone_row(name)
    folder = weights_folder()
    for file_name in row.weights if folder else ():
        if (found := folder / file_name).is_file():  # type: ignore[operator]
            return found

    from segmodels.backend import keras

    url = f"{row.url}/{row.weights[0]}"
    cache = Path(os.environ.get("KERAS_HOME", "~/.keras")) / "models"
    whole = cache.expanduser() / row.weights[0]
    if whole.is_file():
        return whole
    part = whole.with_name(f"{whole.name}.part")
    part.unlink(missing_ok=True)  # Keras would take what a killed download left for the whole
    try:
        with contextlib.redirect_stdout(sys.stderr):  # where Keras draws its bar; standard output is for results
            Path(keras.utils.get_file(part.name, url, cache_subdir="models")).replace(whole)
        return whole
    except Exception:
        raise UserError(
            f"ImageNet weights of {row.title} are not here and cannot be downloaded: fetch {url} into {cache}, "
            f"or put {row.weights[0]} in a folder named by SEGMODELS_WEIGHTS_DIR"
        ) from None
