"""`Augmentation`: a list of operations, applied to a whole batch at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from segmodels.data.augment.colour import Colour, Stain
from segmodels.data.augment.detail import Blur, Cutout, Noise
from segmodels.data.augment.geometry import Elastic, Geometry
from segmodels.data.augment.mixing import CutMix, MixUp, mixed_masks
from segmodels.data.augment.operation import Batch, Operation, T
from segmodels.data.dataset import IGNORE


@dataclass(frozen=True)
class Augmentation:
    """Operations that vary batches. Those of one kind act in the order given, the kinds always in this order:

    geometry (one warp in all), colours (one matrix), stains, blur, noise, cutout, MixUp, CutMix.

    Attributes:
        operations: what is done; none leaves everything as it is.
        text: as a recipe writes it; `parse_augmentation` reads it.
    """

    operations: tuple[Operation, ...]
    text: str

    def __call__(
        self, images: np.ndarray, masks: np.ndarray, generator: np.random.Generator, *, any_orientation: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Vary a batch. What comes out hangs on the arguments alone, whatever thread it runs in.

        Args:
            images: uint8 `(batch, height, width, 3)`; masks: uint8 `(batch, height, width)`. Neither is changed.
            generator: of the random draws; it moves on.
            any_orientation: whether the pictures may be turned upside down and by 90 degrees.

        Returns:
            new arrays of the same shapes; masks hold the values they had, and `IGNORE` where nothing is known.
        """
        images, masks = images.copy(), masks.copy()
        count, height, width = masks.shape
        batch = Batch(count, height, width, any_orientation)
        self._move(images, masks, batch, generator)
        self._recolour(images, batch, generator)
        self._change_detail(images, masks, batch, generator)
        self._mix(images, masks, batch, generator)
        return images, masks

    @property
    def spelled_out(self) -> str:
        """The text with every preset as its operations."""
        return "+".join(operation.text for operation in self.operations) or "none"

    def describe(self) -> list[str]:
        """What each operation does, in words for people."""
        return [operation.describe() for operation in self.operations]

    def _of(self, kind: type[T]) -> list[T]:
        return [operation for operation in self.operations if isinstance(operation, kind)]

    def _move(self, images: np.ndarray, masks: np.ndarray, batch: Batch, generator: np.random.Generator) -> None:
        from segmodels.data.augment import opencv  # loaded by who needs it, and not by who only reads a recipe

        # A matrix leads from the new place to the old one: the first operation's is the last that a place goes through.
        matrices = _product([np.eye(3)[None], *(op.draw(batch, generator) for op in self._of(Geometry))])
        bends = [op.draw(batch, generator) for op in self._of(Elastic)]
        for index, matrix in enumerate(np.broadcast_to(matrices, (batch.count, 3, 3))):
            shifts = [bend[index] for bend in bends if bend[index].any()]
            if shifts or not np.array_equal(matrix, np.eye(3)):
                images[index], masks[index] = opencv.warp(images[index], masks[index], matrix, shifts)

    def _recolour(self, images: np.ndarray, batch: Batch, generator: np.random.Generator) -> None:
        from segmodels.data.augment import opencv

        for kind, change in ((Colour, opencv.recolour), (Stain, opencv.restain)):
            # Of colours the first operation's matrix meets them first.
            drawn: list[np.ndarray] = [op.draw(batch, generator) for op in self._of(kind)]
            if not drawn:
                continue
            for index, matrix in enumerate(_product(drawn[::-1])):
                if not np.array_equal(matrix, np.eye(4)):
                    images[index] = change(images[index], matrix)

    def _change_detail(
        self, images: np.ndarray, masks: np.ndarray, batch: Batch, generator: np.random.Generator
    ) -> None:
        from segmodels.data.augment import opencv

        for blur in self._of(Blur):
            for index, sigma in enumerate(blur.draw(batch, generator)):
                if sigma:
                    images[index] = opencv.blur(images[index], sigma)
        for noise in self._of(Noise):
            for index, sigma in enumerate(noise.draw(batch, generator)):
                if sigma:
                    images[index] = opencv.add_noise(images[index], sigma, generator)
        for cutout in self._of(Cutout):
            for image, mask, squares in zip(images, masks, cutout.draw(batch, generator), strict=True):
                if (squares[:, 0] == squares[:, 2]).all():
                    continue
                mean = image.mean(axis=(0, 1)).round()
                for top, left, bottom, right in squares:
                    image[top:bottom, left:right] = mean
                    mask[top:bottom, left:right] = IGNORE

    def _mix(self, images: np.ndarray, masks: np.ndarray, batch: Batch, generator: np.random.Generator) -> None:
        from segmodels.data.augment import opencv

        for mixup in self._of(MixUp):
            whole, classes = images.copy(), masks.copy()
            for index, (partner, weight) in enumerate(zip(*mixup.draw(batch, generator), strict=True)):
                if weight < 1 and partner != index:
                    images[index] = opencv.blend(whole[index], whole[partner], weight)
                    masks[index] = mixed_masks(classes[index], classes[partner], weight)
        for cutmix in self._of(CutMix):
            whole, classes = images.copy(), masks.copy()
            for index, (partner, box) in enumerate(zip(*cutmix.draw(batch, generator), strict=True)):
                part = np.s_[box[0] : box[2], box[1] : box[3]]
                images[index][part], masks[index][part] = whole[partner][part], classes[partner][part]


def _product(matrices: Sequence[np.ndarray]) -> np.ndarray:
    return reduce(np.matmul, matrices)
