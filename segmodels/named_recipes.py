"""Recipes with a name: good starting points, and the settings of five well-known systems.

Adding one is an entry of `NAMED_RECIPES`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from segmodels.errors import choose
from segmodels.recipe import Recipe


@dataclass(frozen=True)
class NamedRecipe:
    """A row of `NAMED_RECIPES`.

    Attributes:
        purpose: what it is for, in a line.
        fields: of the recipe, where they are not the defaults.
        published: figures of the system whose settings these are; empty for our own.
        used: the data that they are of.
        differs: what is other here than there, where that bears on the figures.
        measured: figures of our own on the test split, and the time of the training, on two processor cores where
            nothing else is said.
        seconds: that time on two processor cores.
    """

    purpose: str
    fields: dict[str, Any]
    published: str = ""
    used: str = ""
    differs: str = ""
    measured: str = ""
    seconds: float | None = None

    def recipe(self) -> Recipe:
        return Recipe(**self.fields)


#: Oxford pets on a pretrained encoder, first with the encoder frozen, then all of it at a lower rate.
_PETS = {
    "data": "oxford-pets",
    "image_size": 128,
    "epochs": 30,
    "freeze_epochs": 10,
    "augment": "pets",
    "batch_size": 16,
    "loss": "cross_entropy",
}
#: MoNuSeg as two classes, the 36 overlapping patches of 256 pixels of each of its pictures.
_MONUSEG = {
    "data": "monuseg-2",
    "image_size": 256,
    "sampling": "tiles",
    "tile_stride": 144,
    "tile_edge": "drop",
    "epochs": 30,
    "loss": "binary_cross_entropy",
    "augment": "none",
}
#: The study's pictures are not public; these are its sizes on another set of the same kind.
_AERIAL = {"data": "dubai-aerial", "image_size": 256, "sampling": "tiles", "batch_size": 64}

#: What the systems were trained on, where several share it.
_USED_PETS, _USED_MONUSEG = "all breeds of Oxford pets", "MoNuSeg, 36 patches a slide"
_USED_AERIAL = "its own aerial pictures of 1,024 pixels in four classes, in tiles of 256"
_PETS_DIFFER = "the pictures at hand, a fraction of its; its picture size, epochs and rates are not known: ours"
_MONUSEG_DIFFER = "the slides at hand, about a third; figures at the slides' own size, over whole slides, not patches"
_AERIAL_DIFFER = "Dubai's aerial pictures in six classes: its own, in four, are not public"

#: What the pets comparison calls its architectures, and what they are here.
_PET_ARCHITECTURES = {
    "unet": "unet", "fcn": "fcn8", "deeplab": "deeplabv3", "pspnet": "pspnet", "segnet": "segnet",
}  # fmt: skip
_PET_ENCODERS = ("mobilenet", "mobilenetv2", "vgg16", "resnet50")

#: By the name that `--recipe` takes.
NAMED_RECIPES: dict[str, NamedRecipe] = {
    "pets-quick": NamedRecipe(
        "pets, borders and background in three minutes on two processor cores",
        {
            "data": "oxford-pets",
            "backbone": "mobilenetv2",
            "image_size": 128,
            "epochs": 16,
            "augment": "light",
            "learning_rate": 2e-3,
        },
        measured="accuracy 0.901, mean IoU 0.740 on 253 test pictures in 1 min 47 s",
        seconds=107,
    ),
    "pets-best": NamedRecipe(
        "the best pets in half an hour on two processor cores",
        {
            "data": "oxford-pets",
            "backbone": "mobilenetv2",
            "image_size": 224,
            "epochs": 60,
            "augment": "pets",
            "learning_rate": 2e-3,
            "ema": 0.99,
        },
        measured="accuracy 0.926, mean IoU 0.791 on 253 test pictures in 16 min 25 s",
        seconds=985,
    ),
    "nuclei-best": NamedRecipe(
        "nuclei of MoNuSeg, told apart by their borders, in twenty minutes on two processor cores",
        {
            "data": "monuseg",
            "backbone": "mobilenetv2",
            "image_size": 256,
            "sampling": "tiles",
            "tile_stride": 128,
            "augment": "histology",
            "ema": 0.99,
        },
        measured="AJI 0.621, PQ 0.584 on 6 test slides in 18 min 49 s",
        seconds=1129,
    ),
    "nuclei-gpu": NamedRecipe(
        "nuclei of MoNuSeg at full resolution by a plain U-Net: three minutes on a GPU, hours on a processor",
        {
            "data": "monuseg",
            "options": {"width": 30},
            "image_size": 256,
            "sampling": "tiles",
            "tile_stride": 128,
            "epochs": 75,
            "batch_size": 16,
            "augment": "histology+scale(amount=0.25)",
            "ema": 0.995,
        },
        measured="Dice 0.819, AJI 0.646, PQ 0.617 on 6 test slides in 3 min 4 s on an H100",
    ),
    "camvid": NamedRecipe(
        "streets of CamVid in eleven classes, rare ones weighted",
        {
            "data": "camvid",
            "architecture": "deeplabv3+",
            "backbone": "mobilenetv2",
            "image_size": 256,
            "epochs": 60,
            "schedule": "polynomial",
            "class_weights": "median frequency",
        },
    ),
    "aerial": NamedRecipe(
        "the ground from above in six classes, by tiles",
        {
            "data": "dubai-aerial",
            "backbone": "mobilenetv2",
            "image_size": 256,
            "sampling": "tiles",
            "tile_stride": 128,
            "epochs": 30,
            "augment": "aerial",
            "ema": 0.99,
        },
    ),
    "classic-pets-unet": NamedRecipe(
        "plain U-Net on 1,024 pets by Dice loss",
        {
            "data": "oxford-pets",
            "architecture": "unet",
            "backbone": "none",
            "image_size": 256,
            "limit": 1024,
            "epochs": 25,
            "loss": "dice",
            "augment": "none",
        },
        "accuracy 0.81 after 25 epochs, 0.83 after 45",
        "1,024 training and 256 validation pictures of Oxford pets",
        "the pictures at hand, a quarter of its; figures on a test split, at each picture's own size",
    ),
    **{
        f"classic-pets-{name}-{encoder}": NamedRecipe(
            f"comparison of encoders on pets: {name} on {encoder}, frozen, then fine-tuned",
            {**_PETS, "architecture": architecture, "backbone": encoder},
            "best of all: accuracy just over 0.83, on vgg16",
            _USED_PETS,
            _PETS_DIFFER,
        )
        for name, architecture in _PET_ARCHITECTURES.items()
        for encoder in _PET_ENCODERS
    },
    "classic-monuseg-unet": NamedRecipe(
        "plain U-Net on 36 patches a slide",
        {**_MONUSEG, "architecture": "unet", "backbone": "none"},
        "loss 0.430, accuracy 0.867, Dice 0.803, F1 0.716",
        _USED_MONUSEG,
        _MONUSEG_DIFFER,
    ),
    "classic-monuseg-unetpp": NamedRecipe(
        "UNet++ on EfficientNet-B0 on 36 patches a slide",
        {**_MONUSEG, "architecture": "unet++", "backbone": "efficientnetb0"},
        "loss 0.159, accuracy 0.914, Dice 0.762, F1 0.745",
        _USED_MONUSEG,
        _MONUSEG_DIFFER,
    ),
    "classic-monuseg-segnet": NamedRecipe(
        "SegNet with pooling indices on 36 patches a slide",
        {**_MONUSEG, "architecture": "segnet", "backbone": "none"},
        "loss 0.359, accuracy 0.829, Dice 0.864, F1 0.653",
        _USED_MONUSEG,
        _MONUSEG_DIFFER,
    ),
    "classic-monuseg-deeplab": NamedRecipe(
        "DeepLabv3 on MobileNetV2 by Dice loss on 36 patches a slide; its other encoder was xception",
        {**_MONUSEG, "architecture": "deeplabv3", "backbone": "mobilenetv2", "loss": "dice"},
        "Dice loss 0.083, Dice 0.917, accuracy 0.799",
        _USED_MONUSEG,
        _MONUSEG_DIFFER,
    ),
    "classic-aerial-unet": NamedRecipe(
        "plain U-Net on aerial tiles by focal Tversky and binary cross-entropy",
        {
            **_AERIAL,
            "architecture": "unet",
            "backbone": "none",
            "epochs": 30,
            "loss": "focal_tversky+binary_cross_entropy",
            "augment": "none",
        },
        "F1 0.640, recall 0.597, precision 0.693, mean IoU 0.466",
        _USED_AERIAL,
        _AERIAL_DIFFER,
    ),
    "classic-aerial-pix2pix": NamedRecipe(
        "Pix2Pix on aerial tiles, its discriminator once in four steps",
        {
            **_AERIAL,
            "architecture": "pix2pix",
            "epochs": 4,
            "loss": "100*l1",
            "learning_rate": 2e-4,
            "momentum": 0.5,
            "schedule": "constant",
            "warm_up_epochs": 0,
            "discriminator_every": 4,
            "augment": "none",
        },
        "F1 0.589, recall 0.547, precision 0.638, MSE 18.0",
        _USED_AERIAL,
        _AERIAL_DIFFER,
    ),
    "classic-aerial-deeplab": NamedRecipe(
        "DeepLabv3+ on ImageNet's ResNet50 on aerial tiles",
        {
            **_AERIAL,
            "architecture": "deeplabv3+",
            "backbone": "resnet50",
            "epochs": 25,
            "loss": "cross_entropy",
            "augment": "none",
        },
        "F1 0.412, recall 0.957, precision 0.279, accuracy 0.739",
        _USED_AERIAL,
        _AERIAL_DIFFER,
    ),
    "classic-colour-unet": NamedRecipe(
        "plain U-Net on colour-coded masks, its classes weighted, with random crops and flips",
        {
            "data": "camvid",
            "architecture": "unet",
            "backbone": "none",
            "image_size": 256,
            "epochs": 60,
            "loss": "cross_entropy",
            "class_weights": "median frequency",
            "augment": "flip+zoom(smallest=0.7)",
        },
        "reports mean IoU",
        "colour-coded masks with a label file",
        "CamVid for its own pictures",
    ),
}


def named_recipe(name: str) -> Recipe:
    """A recipe of `NAMED_RECIPES`; `UserError` where there is none of that name."""
    return NAMED_RECIPES[choose("recipe", name, list(NAMED_RECIPES))].recipe()
