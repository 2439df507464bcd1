"""The table of backbones: ImageNet networks that an architecture takes its features from.

Adding one is one row: where its network comes from, which layers hold its features at strides 2, 4, 8, 16 and 32, how
it wants its pixels scaled, and how its ImageNet weights are called. Loads no Keras.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from segmodels.errors import UserError, choose

_STORE = "https://storage.googleapis.com/tensorflow/keras-applications"

#: Of factories that would scale pixels themselves.
_NO_SCALING = (("include_preprocessing", False),)

#: How a network was trained to see pixels 0..255: x / 127.5 - 1; x / 255 less ImageNet's mean, by its deviation; BGR
#: less ImageNet's mean, as Caffe had it; x / 255.
Scaling = Literal["minus-one-to-one", "imagenet", "caffe", "zero-to-one"]


@dataclass(frozen=True)
class Backbone:
    """One row.

    Attributes:
        title: its name in papers.
        factory: a function of `keras.applications`, or `module:function` of this package.
        taps: layer names of the features at strides 2, 4, 8, 16, 32; None at 2 where a network starts at 4.
        scaling: what pixels 0..255 become before its first layer.
        parameters: its parameter count without the classifier.
        weights: files of ImageNet weights, all looked up in `SEGMODELS_WEIGHTS_DIR`; the first is downloaded.
        url: the folder on the web that holds the first of `weights`; empty where no weights are published.
        checksum: of the first of `weights`, MD5 or SHA-256 as Keras states it; empty where Keras states none.
        paper: author, year, title, arXiv number.
        strengths: what it is good for, in a few words.
        arguments: further ones of the factory.
        padded: layers that lose border pixels in the published network and are padded here, so that every feature map
            is a whole fraction of the picture's size; the features in the middle stay the same.
        transformer: whether it is one; the others are convolutional, and any of them can be dilated.
    """

    title: str
    factory: str
    taps: tuple[str | None, str, str, str, str]
    scaling: Scaling
    parameters: int
    weights: tuple[str, ...]
    url: str
    checksum: str
    paper: str
    strengths: str
    arguments: tuple[tuple[str, Any], ...] = ()
    padded: tuple[str, ...] = ()
    transformer: bool = False


def _resnet(depth: int, blocks: int, parameters: int, checksum: str) -> Backbone:
    return Backbone(
        title=f"ResNet-{depth}",
        factory=f"ResNet{depth}",
        taps=("conv1_relu", "conv2_block3_out", "conv3_block4_out", f"conv4_block{blocks}_out", "conv5_block3_out"),
        scaling="caffe",
        parameters=parameters,
        weights=(f"resnet{depth}_weights_tf_dim_ordering_tf_kernels_notop.h5",),
        url=f"{_STORE}/resnet",
        checksum=checksum,
        paper="He et al. 2016, Deep Residual Learning for Image Recognition, arXiv:1512.03385",
        strengths="the reference of most papers; strong features, slow on a CPU",
    )


def _efficientnet(variant: str, parameters: int, checksum: str) -> Backbone:
    return Backbone(
        title=f"EfficientNet-{variant}",
        factory=f"EfficientNet{variant}",
        taps=(
            "block2a_expand_activation",
            "block3a_expand_activation",
            "block4a_expand_activation",
            "block6a_expand_activation",
            "top_activation",
        ),
        scaling="imagenet",
        parameters=parameters,
        weights=(f"efficientnet{variant.lower()}_notop.h5",),
        url="https://storage.googleapis.com/keras-applications",
        checksum=checksum,
        paper="Tan and Le 2019, EfficientNet, arXiv:1905.11946",
        strengths="much accuracy for its parameters; slower than its operations suggest",
    )


def _mit(variant: str, parameters: int) -> Backbone:
    published = variant == "b0"  # keras-cv has ImageNet weights for no other
    return Backbone(
        title=f"MiT-{variant.upper()}",
        factory=f"segmodels.models.mit:mit_{variant}",
        taps=(None, "stage1_norm", "stage2_norm", "stage3_norm", "stage4_norm"),
        scaling="zero-to-one",
        parameters=parameters,
        weights=("mit_b0_imagenet.weights.h5",) if published else (),
        url="kaggle://keras/mit/keras/mit_b0_imagenet" if published else "",
        checksum="",
        paper="Xie et al. 2021, SegFormer, arXiv:2105.15203",
        strengths="a transformer that sees the whole picture at every stage; needs pretraining",
        transformer=True,
    )


BACKBONES: dict[str, Backbone] = {
    "mobilenet": Backbone(
        title="MobileNet",
        factory="MobileNet",
        taps=("conv_pw_1_relu", "conv_pw_3_relu", "conv_pw_5_relu", "conv_pw_11_relu", "conv_pw_13_relu"),
        scaling="minus-one-to-one",
        parameters=3_228_864,
        weights=("mobilenet_1_0_224_tf_no_top.h5", "mobilenet_v1_1.0_qat_no_top.weights.h5"),
        url=f"{_STORE}/mobilenet",
        checksum="",
        paper="Howard et al. 2017, MobileNets, arXiv:1704.04861",
        strengths="small and quick on any processor",
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
        url=f"{_STORE}/mobilenet_v2",
        checksum="",
        paper="Sandler et al. 2018, MobileNetV2, arXiv:1801.04381",
        strengths="the quickest here; the first to try on a laptop",
    ),
    "vgg16": Backbone(
        title="VGG16",
        factory="VGG16",
        taps=("block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3", "block5_pool"),
        scaling="caffe",
        parameters=14_714_688,
        weights=("vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",),
        url=f"{_STORE}/vgg16",
        checksum="6d6bbae143d832006294945121d1f1fc",
        paper="Simonyan and Zisserman 2015, Very Deep Convolutional Networks, arXiv:1409.1556",
        strengths="sharp features at full detail; the encoder of SegNet and FCN; slow",
    ),
    "resnet50": _resnet(50, 6, 23_587_712, "4d473c1dd8becc155b73f8504c6f6626"),
    "resnet101": _resnet(101, 23, 42_658_176, "88cf7a10940856eca736dc7b7e228a21"),
    "xception": Backbone(
        title="Xception",
        factory="Xception",
        padded=("block1_conv1", "block1_conv2"),
        # Each the ReLU that the next block begins with, so that it holds the sum that ends a stage.
        taps=(
            "block1_conv2_act",
            "block3_sepconv1_act",
            "block4_sepconv1_act",
            "block13_sepconv1_act",
            "block14_sepconv2_act",
        ),
        scaling="minus-one-to-one",
        parameters=20_861_480,
        weights=("xception_weights_tf_dim_ordering_tf_kernels_notop.h5",),
        url=f"{_STORE}/xception",
        checksum="b0042744bf5b25fce3cb969f33bebb97",
        paper="Chollet 2017, Xception, arXiv:1610.02357",
        strengths="the encoder of DeepLabv3+; strong features at moderate cost",
    ),
    "efficientnetb0": _efficientnet("B0", 4_049_571, "50bc09e76180e00e4465e1a485ddc09d"),
    "efficientnetb1": _efficientnet("B1", 6_575_239, "74c4e6b3e1f6a1eea24c589628592432"),
    "efficientnetb2": _efficientnet("B2", 7_768_569, "111f8e2ac8aa800a7a99e3239f7bfb39"),
    "efficientnetb3": _efficientnet("B3", 10_783_535, "af6d107764bb5b1abb91932881670226"),
    "efficientnetb4": _efficientnet("B4", 17_673_823, "ebc24e6d6c33eaebbd558eafbeedf1ba"),
    "densenet121": Backbone(
        title="DenseNet-121",
        factory="DenseNet121",
        taps=("conv1_relu", "pool2_relu", "pool3_relu", "pool4_relu", "relu"),
        scaling="imagenet",
        parameters=7_037_504,
        weights=("densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5",),
        url=f"{_STORE}/densenet",
        checksum="30ee3e1110167f948a6b9946edeeb738",
        paper="Huang et al. 2017, Densely Connected Convolutional Networks, arXiv:1608.06993",
        strengths="few parameters that reuse each other; common in medical imaging; needs memory",
    ),
    "efficientnetv2b0": Backbone(
        title="EfficientNetV2-B0",
        factory="EfficientNetV2B0",
        arguments=_NO_SCALING,
        taps=("block1a_project_activation", "block2b_add", "block3b_add", "block5e_add", "top_activation"),
        scaling="imagenet",
        parameters=5_919_312,
        weights=("efficientnetv2-b0_notop.h5",),
        url=f"{_STORE}/efficientnet_v2",
        checksum="893217f2bb855e2983157299931e43ff",
        paper="Tan and Le 2021, EfficientNetV2, arXiv:2104.00298",
        strengths="EfficientNet made for training speed",
    ),
    "convnexttiny": Backbone(
        title="ConvNeXt-Tiny",
        factory="ConvNeXtTiny",
        arguments=_NO_SCALING,
        taps=(
            None,  # its first layer has stride 4
            "convnext_tiny_stage_0_block_2_identity",
            "convnext_tiny_stage_1_block_2_identity",
            "convnext_tiny_stage_2_block_8_identity",
            "convnext_tiny_stage_3_block_2_identity",
        ),
        scaling="imagenet",
        parameters=27_820_128,
        weights=("convnext_tiny_notop.h5",),
        url=f"{_STORE}/convnext",
        checksum="d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1",
        paper="Liu et al. 2022, A ConvNet for the 2020s, arXiv:2201.03545",
        strengths="the most accurate convolutional encoder here; wants a GPU",
    ),
    "mit-b0": _mit("b0", 3_319_392),
    "mit-b1": _mit("b1", 13_151_424),
    "mit-b2": _mit("b2", 24_196_288),
    "mit-b3": _mit("b3", 44_072_128),
    "mit-b4": _mit("b4", 60_842_688),
    "mit-b5": _mit("b5", 81_443_008),
}

#: The name for an architecture's own plain encoder.
PLAIN = "none"
CONVOLUTIONAL = tuple(name for name, row in BACKBONES.items() if not row.transformer)
TRANSFORMERS = tuple(name for name, row in BACKBONES.items() if row.transformer)


def backbone_row(name: str) -> Backbone:
    """The row of a backbone; `UserError` for an unknown name, and for `none`, which is no backbone."""
    if name == PLAIN:
        raise UserError(f"backbone {PLAIN!r} is the architecture's own encoder: choose one of {', '.join(BACKBONES)}")
    return BACKBONES[choose("backbone", name, list(BACKBONES))]


def unpublished(row: Backbone) -> str:
    """What is said where ImageNet weights are asked for that nobody has published."""
    some = ", ".join(name for name, other in BACKBONES.items() if other.weights and other.transformer)
    return (
        f"no ImageNet weights are published for {row.title} (of its family only {some} has some): choose that, "
        "weights 'none', or a file"
    )
