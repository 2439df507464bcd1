"""Varying batches of training pictures with their masks.

`PRESETS` lists what each preset does, `OPERATIONS` what there is to choose from; `parse_augmentation` reads both.

Why not keras-cv's layers: mirroring, zooming, brightness and contrast, which is `light`, take them 43 ms for eight
pictures of 256 px on two cores where this takes 3 ms on one (184 and 2,625 images/s; `python -m benchmarks augment`),
they run on TensorFlow alone, and where a picture was turned or moved its mask says class 0, or a reflection, instead
of `IGNORE`.
"""

from __future__ import annotations

from segmodels.data.augment.augmentation import Augmentation
from segmodels.data.augment.parse import parse_augmentation
from segmodels.data.augment.presets import OPERATIONS, PRESETS

__all__ = ["AUGMENTATIONS", "OPERATIONS", "PRESETS", "Augmentation", "light", "parse_augmentation"]

#: The presets, ready to use.
AUGMENTATIONS: dict[str, Augmentation] = {name: parse_augmentation(name) for name in PRESETS}
light = AUGMENTATIONS["light"]
