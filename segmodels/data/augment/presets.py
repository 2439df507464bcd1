"""The tables: every operation by its name, and the presets, plain lists of them."""

from __future__ import annotations

from segmodels.data.augment.colour import Brightness, Contrast, Hue, Saturation, Stain
from segmodels.data.augment.detail import Blur, Cutout, Noise
from segmodels.data.augment.geometry import (
    Elastic,
    Flip,
    FlipVertical,
    QuarterTurn,
    Rotate,
    Scale,
    Shear,
    Translate,
    Zoom,
)
from segmodels.data.augment.mixing import CutMix, MixUp
from segmodels.data.augment.operation import Operation

#: Every operation by the name that texts and recipes use. Adding one is a class and an entry here.
OPERATIONS: dict[str, type[Operation]] = {
    kind.name: kind
    for kind in (
        Flip,
        FlipVertical,
        QuarterTurn,
        Zoom,
        Rotate,
        Shear,
        Translate,
        Scale,
        Elastic,
        Brightness,
        Contrast,
        Saturation,
        Hue,
        Stain,
        Blur,
        Noise,
        Cutout,
        MixUp,
        CutMix,
    )
}

#: By the name that recipes use. `light` suits any data set: it turns pictures only as far as they may be turned. Tissue
#: and the ground from above have no up and down, whatever a data set says of itself.
PRESETS: dict[str, tuple[Operation, ...]] = {
    "none": (),
    "light": (
        Flip(),
        FlipVertical(),
        QuarterTurn(),
        Zoom(smallest=0.85),
        Brightness(amount=0.08),
        Contrast(amount=0.15),
    ),
    "pets": (
        Flip(),
        Zoom(smallest=0.7),
        Rotate(degrees=15),
        Brightness(amount=0.12),
        Contrast(amount=0.2),
        Saturation(amount=0.25),
        Hue(degrees=8),
        Blur(sigma=1.2, probability=0.1),
    ),
    "histology": (
        Flip(),
        FlipVertical(always=True),
        QuarterTurn(always=True),
        Zoom(smallest=0.75),
        Elastic(displacement=0.015, cells=5, probability=0.3),
        Brightness(amount=0.05),
        Contrast(amount=0.1),
        Stain(strength=0.3, offset=0.02),
        Blur(sigma=1.0, probability=0.15),
        Noise(sigma=6, probability=0.1),
    ),
    "aerial": (
        Flip(),
        FlipVertical(always=True),
        QuarterTurn(always=True),
        Zoom(smallest=0.7),
        Rotate(degrees=20, probability=0.5),
        Brightness(amount=0.1),
        Contrast(amount=0.2),
        Saturation(amount=0.2),
        Hue(degrees=5),
        Noise(sigma=6, probability=0.1),
    ),
}
