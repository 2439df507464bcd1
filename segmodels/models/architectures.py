"""The table of architectures. Adding one is one file in this folder and one entry here. Loads no Keras."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from segmodels.errors import UserError, choose, explain
from segmodels.models.backbones import BACKBONES, CONVOLUTIONAL, PLAIN, TRANSFORMERS, unpublished


@dataclass(frozen=True)
class Architecture:
    """What is known of an architecture without building it.

    Attributes:
        title: its name in papers.
        paper: author, year, title, arXiv number.
        year: of the paper.
        strengths: what it is good for, in a few words.
        module: the file of this folder that builds it; `function` and `options` are in it.
        function: adds it to symbolic pictures.
        options: the class of its own keywords.
        backbones: what it can be built on; the first is its default.
        parameters: of the network with 3 classes on `shown_on`.
        gflops: of one picture of 256 x 256 pixels through it; a multiply-add counts as two operations.
        shown_on: the backbone of these two figures.
        elsewhere: what is different on a backbone that is not its own; `{}` is that backbone's title.
        own: the backbones of its own form.
    """

    title: str
    paper: str
    year: int
    strengths: str
    module: str
    function: str
    options: str
    backbones: tuple[str, ...]
    parameters: int
    gflops: float
    shown_on: str = "mobilenetv2"
    elsewhere: str = ""
    own: tuple[str, ...] = (PLAIN,)

    def options_type(self) -> type[BaseModel]:
        return getattr(self._module(), self.options)

    def builder(self) -> Any:
        return getattr(self._module(), self.function)

    def stride(self, options: BaseModel) -> int:
        """What both sides of the picture are padded to a multiple of; it is also the smallest side worth giving."""
        return self._module().stride(options)

    def padding(self, options: BaseModel) -> dict[str, Any]:
        """The arguments of `PadToMultiple`."""
        module = self._module()
        return module.padding(options) if hasattr(module, "padding") else {"multiple": self.stride(options)}

    def note(self, backbone: str) -> str:
        """What is different from the paper on this backbone, or an empty text."""
        if not self.elsewhere or backbone in self.own:
            return ""
        return self.elsewhere.format(BACKBONES[backbone].title)

    def _module(self) -> Any:
        return importlib.import_module(f"segmodels.models.{self.module}")


_FCN: dict[str, Any] = {
    "paper": "Long, Shelhamer, Darrell 2015, Fully Convolutional Networks, arXiv:1411.4038",
    "year": 2015,
    "module": "fcn",
    "options": "FCNOptions",
    "backbones": (PLAIN, "vgg16", *(name for name in CONVOLUTIONAL if name != "vgg16")),
    "elsewhere": "FCN's own encoder is VGG16 with fc6 and fc7; on {} the scores of strides 32, 16 and 8 are joined the "
    "same way behind a smaller head (3x3, 512 wide, unless told otherwise)",
    "own": (PLAIN, "vgg16"),
}
#: ResNet-50 first: what their papers and most comparisons have.
_ON_RESNET = ("resnet50", *(name for name in CONVOLUTIONAL if name != "resnet50"))

ARCHITECTURES: dict[str, Architecture] = {
    "unet": Architecture(
        title="U-Net",
        paper="Ronneberger et al. 2015, U-Net, arXiv:1505.04597",
        year=2015,
        strengths="sharp edges and few training pictures; the first to try",
        module="unet",
        function="unet",
        options="UNetOptions",
        backbones=(PLAIN, *CONVOLUTIONAL),
        parameters=6_665_331,
        gflops=6.73,
    ),
    "unet++": Architecture(
        title="UNet++",
        paper="Zhou et al. 2018, UNet++, arXiv:1807.10165",
        year=2018,
        strengths="objects of many sizes, fine boundaries; can be pruned after training; slower than U-Net",
        module="unet_plus_plus",
        function="unet_plus_plus",
        options="UNetPlusPlusOptions",
        backbones=(PLAIN, *CONVOLUTIONAL),
        parameters=6_861_619,
        gflops=8.92,
    ),
    "segnet": Architecture(
        title="SegNet",
        paper="Badrinarayanan et al. 2017, SegNet, arXiv:1511.00561",
        year=2017,
        strengths="keeps no encoder features, only where their maxima were; made for road scenes",
        module="segnet",
        function="segnet",
        options="SegNetOptions",
        backbones=(PLAIN, "vgg16", *(name for name in CONVOLUTIONAL if name != "vgg16")),
        elsewhere="SegNet's own encoder is VGG16 with batch normalisation; here the pooling indices are those of the "
        "strongest features of {} within each 2x2 window, with two convolutions a level in the decoder",
        own=(PLAIN, "vgg16"),
        parameters=6_141_027,
        gflops=11.63,
    ),
    "fcn32": Architecture(
        title="FCN-32s",
        strengths="the simplest there is; coarse edges",
        function="fcn32",
        parameters=8_457_795,
        gflops=1.58,
        **_FCN,
    ),
    "fcn16": Architecture(
        title="FCN-16s",
        strengths="FCN with one skip; coarse edges",
        function="fcn16",
        parameters=8_430_582,
        gflops=1.58,
        **_FCN,
    ),
    "fcn8": Architecture(
        title="FCN-8s",
        strengths="the first end-to-end network; a baseline to compare with",
        function="fcn8",
        parameters=8_423_913,
        gflops=1.58,
        **_FCN,
    ),
    "pspnet": Architecture(
        title="PSPNet",
        paper="Zhao et al. 2017, Pyramid Scene Parsing Network, arXiv:1612.01105",
        year=2017,
        strengths="scenes, where the surroundings say what a thing is; soft edges; costly at stride 8",
        module="pspnet",
        function="pspnet",
        options="PSPNetOptions",
        backbones=_ON_RESNET,
        parameters=20_226_627,
        gflops=36.2,
    ),
    "deeplabv3": Architecture(
        title="DeepLabv3",
        paper="Chen et al. 2017, Rethinking Atrous Convolution, arXiv:1706.05587",
        year=2017,
        strengths="objects of many sizes; published PASCAL VOC weights on MobileNetV2 (weights voc)",
        module="deeplab",
        function="deeplabv3",
        options="DeepLabOptions",
        backbones=_ON_RESNET,
        parameters=12_686_147,
        gflops=6.57,
    ),
    "deeplabv3+": Architecture(
        title="DeepLabv3+",
        paper="Chen et al. 2018, Encoder-Decoder with Atrous Separable Convolution, arXiv:1802.02611",
        year=2018,
        strengths="DeepLabv3 with sharper edges; a strong default on a GPU",
        module="deeplab",
        function="deeplabv3_plus",
        options="DeepLabPlusOptions",
        backbones=_ON_RESNET,
        parameters=13_388_931,
        gflops=16.85,
    ),
    "pix2pix": Architecture(
        title="Pix2Pix",
        paper="Isola et al. 2017, Image-to-Image Translation with Conditional Adversarial Networks, arXiv:1611.07004",
        year=2017,
        strengths="draws masks that look like masks; judged by a discriminator; large",
        module="pix2pix",
        function="pix2pix",
        options="Pix2PixOptions",
        backbones=(PLAIN, *CONVOLUTIONAL),
        shown_on=PLAIN,
        elsewhere="Pix2Pix' own generator goes down eight levels to one place; on {} it goes down to stride 32",
        parameters=54_423_811,
        gflops=12.1,
    ),
    "segformer": Architecture(
        title="SegFormer",
        paper="Xie et al. 2021, SegFormer, arXiv:2105.15203",
        year=2021,
        strengths="a transformer: sees the whole picture from the first stage; light decoder; needs pretraining",
        module="segformer",
        function="segformer",
        options="SegFormerOptions",
        backbones=TRANSFORMERS,
        shown_on="mit-b0",
        parameters=3_715_427,
        gflops=3.5,
    ),
    "fpn": Architecture(
        title="FPN",
        paper="Lin et al. 2017, Feature Pyramid Networks, arXiv:1612.03144; Kirillov et al. 2019, arXiv:1901.02446",
        year=2017,
        strengths="much accuracy for its time; answers at a quarter of the size",
        module="fpn",
        function="fpn",
        options="FPNOptions",
        backbones=_ON_RESNET,
        parameters=4_249_795,
        gflops=4.8,
    ),
    "linknet": Architecture(
        title="LinkNet",
        paper="Chaurasia and Culurciello 2017, LinkNet, arXiv:1707.03718",
        year=2017,
        strengths="a U-Net that adds instead of joining: quick; on a narrow encoder (mobilenetv2) it learns slowly",
        module="linknet",
        function="linknet",
        options="LinkNetOptions",
        backbones=_ON_RESNET,
        parameters=4_355_885,
        gflops=1.12,
    ),
    "upernet": Architecture(
        title="UPerNet",
        paper="Xiao et al. 2018, Unified Perceptual Parsing, arXiv:1807.10221",
        year=2018,
        strengths="pyramid pooling and a feature pyramid in one; the usual head on strong encoders",
        module="upernet",
        function="upernet",
        options="UPerNetOptions",
        backbones=_ON_RESNET,
        parameters=13_060_723,
        gflops=27.25,
    ),
}


@dataclass(frozen=True)
class Published:
    """Weights of a whole network that its authors published: for which network, with which keywords, and how a folder
    or a file of them is called."""

    architecture: str
    backbone: str
    options: dict[str, Any]
    files: tuple[str, ...]


#: By the name that `weights` calls them.
PUBLISHED = {
    "voc": Published(
        "deeplabv3",
        "mobilenetv2",
        {"aspp_rates": (), "output_stride": 8, "width": 256},
        ("deeplabv3-mobilenetv2-voc", "deeplabv3_mnv2_pascal_trainval_2018_01_29.tar.gz", "frozen_inference_graph.pb"),
    )
}

#: What `weights` may be beside a file.
NAMED_WEIGHTS = ("none", "imagenet", *PUBLISHED)


#: What the spec of a checkpoint calls a network that Keras saved elsewhere and that was imported. It is no row of the
#: table, for it cannot be built anew.
IMPORTED = "keras"

#: And one that is several networks together, each of them a row.
ENSEMBLE = "ensemble"


def architecture_row(name: str) -> Architecture:
    """The row of an architecture; `UserError` for an unknown name."""
    return ARCHITECTURES[choose("architecture", name, list(ARCHITECTURES))]


def default_backbone(architecture: str) -> str:
    """What an architecture is built on where nothing is said."""
    return architecture_row(architecture).backbones[0]


def network_name(architecture: str, backbone: str) -> str:
    """A network in words: "unet", "unet on mobilenetv2"."""
    return architecture if backbone == PLAIN else f"{architecture} on {backbone}"


def default_weights(backbone: str) -> str:
    """Pretrained weights where some are published."""
    return "imagenet" if isinstance(backbone, str) and backbone in BACKBONES and BACKBONES[backbone].weights else "none"


def check_backbone(architecture: str, backbone: str) -> None:
    """`UserError` that names what fits, where the two do not."""
    row = architecture_row(architecture)
    known = [PLAIN, *BACKBONES]
    if backbone not in known:
        choose("backbone", backbone, known)
    if backbone not in row.backbones:
        kind = "has no encoder of its own" if backbone == PLAIN else f"cannot be built on {BACKBONES[backbone].title}"
        raise UserError(f"{architecture} {kind}: choose a backbone of {', '.join(row.backbones)}")


def published(weights: str | Path | None) -> Published | None:
    """The row of weights of a whole network, by their name or by the path of a local copy; None for any others."""
    if str(weights) in PUBLISHED:
        return PUBLISHED[str(weights)]
    return next((row for row in PUBLISHED.values() if Path(str(weights)).name in row.files), None)


def implied_options(architecture: str, backbone: str, weights: str | Path, options: dict[str, Any]) -> dict[str, Any]:
    """`options` and what the weights ask for; `UserError` where they are for another network."""
    implied: dict[str, Any] = {}
    if (whole := published(weights)) is not None:
        if backbone != whole.backbone:
            raise UserError(
                f"weights={str(weights)!r} are those of {whole.architecture} on {whole.backbone}, not on {backbone}: "
                f"choose that backbone, or other weights"
            )
        implied = whole.options if architecture == whole.architecture else {}  # of another network, its encoder
    elif str(weights) == "imagenet" and backbone in BACKBONES and not BACKBONES[backbone].weights:
        raise UserError(unpublished(BACKBONES[backbone]))
    elif architecture == "segformer" and str(weights) != "none":
        implied = {"token_order": "keras-cv"}  # all published MiT weights were trained so
    given = checked_options(architecture, backbone, {**implied, **options}).model_dump()
    for key, value in implied.items():
        if given[key] != value:
            raise UserError(f"weights={str(weights)!r} need {key}={value}, not {given[key]}: leave it out")
    return {**implied, **options}


def checked_options(architecture: str, backbone: str, options: dict[str, Any]) -> BaseModel:
    """Validate an architecture's own keywords; `UserError` names the keyword, its value and what is allowed."""
    row = architecture_row(architecture)
    check_backbone(architecture, backbone)
    if "backbone" in options:
        raise UserError(f"unknown {architecture} option 'backbone': it is a field of its own")
    try:
        return row.options_type()(**options, backbone=backbone)
    except ValidationError as error:
        raise explain(error, f"{architecture} option", row.options_type()) from None


def architectures() -> list[dict[str, Any]]:
    """Every architecture with its paper, year, strengths, cost, backbones and options: what the app and the command
    line list. `parameters` and `gflops` are of the network `on` a backbone, for 3 classes and one 256 px picture."""
    return [
        {
            "name": name,
            "title": row.title,
            "paper": row.paper,
            "year": row.year,
            "strengths": row.strengths,
            "on": row.shown_on,
            "parameters": row.parameters,
            "gflops": row.gflops,
            "backbones": list(row.backbones),
            "options": {
                key: {"default": field.default, "description": field.description}
                for key, field in row.options_type().model_fields.items()
                if not field.exclude
            },
        }
        for name, row in ARCHITECTURES.items()
    ]


def backbone_list() -> list[dict[str, Any]]:
    """Every backbone with its paper, strengths, parameter count, and the file names of its ImageNet weights."""
    return [
        {
            "name": name,
            "title": row.title,
            "paper": row.paper,
            "strengths": row.strengths,
            "parameters": row.parameters,
            "weights": list(row.weights),
        }
        for name, row in BACKBONES.items()
    ]
