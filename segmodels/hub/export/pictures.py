"""Real pictures, at the size at which an exported file takes them: to compare it on, and to measure ranges on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segmodels.data.dataset import Dataset, Sample
from segmodels.data.datasets import HUB, open_dataset, portable_name
from segmodels.data.images import resize_image
from segmodels.data.spread import spread
from segmodels.data.tiles import window
from segmodels.errors import UserError
from segmodels.evaluation.evaluated_data import evaluated_recipe

if TYPE_CHECKING:
    from segmodels.hub.export.format import Network

#: Pictures that an export is compared on, no more than have so many pixels, and pictures that int8 is measured on.
COMPARED, PIXELS, CALIBRATED = 24, 12_000_000, 100
#: Generated pictures, where the model's own data are not there.
TOY = "toy-pets"


@dataclass(frozen=True)
class Pictures:
    """Some pictures of a data set, read one after the other as often as they are asked for.

    Attributes:
        dataset: where they are from.
        samples: which.
        mode: "resize" for whole pictures, "tiles" for squares of them.
        side: of what is read, in pixels.
        source: what people call them.
        each: squares of a picture.
    """

    dataset: Dataset
    samples: tuple[Sample, ...]
    mode: str
    side: int
    source: str
    each: int = 1

    def __len__(self) -> int:
        return len(self.samples) * self.each

    def __iter__(self) -> Iterator[np.ndarray]:
        """uint8 `(side, side, 3)` each; what cannot be read is left out."""
        generator = np.random.default_rng(0)
        for sample in self.samples:
            with suppress(UserError):
                image = self.dataset.read_image(sample)
                for _ in range(self.each):
                    yield self._seen(image, generator)

    def _seen(self, image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        if self.mode == "resize":
            return resize_image(image, self.side, self.side)
        top, left = (int(generator.integers(0, max(1, length - self.side + 1))) for length in image.shape[:2])
        return np.ascontiguousarray(window(image, top, left, self.side))


def check_pictures(network: Network, data: str | None, root: str | Path | None) -> Pictures:
    """Those that an export is compared on: of the validation split, or generated ones where the data are not there.

    Raises:
        UserError: data that were asked for by name are not there.
    """
    side = network.contract.size
    count = max(2, min(COMPARED, PIXELS // side**2))
    named = data is not None or root is not None
    trained_on = str(network.spec.recipe.get("data") or "")
    try:
        if not named and (not trained_on or trained_on.startswith(HUB)):
            raise UserError("nothing is downloaded only to compare a file")
        return _some(network, data, root, ("validation", "test", "train"), count)
    except UserError:
        if named:
            raise
    toy = open_dataset(TOY)
    return Pictures(toy, tuple(toy.samples("validation")[:count]), network.contract.mode, side, f"{TOY}, validation")


def calibration_pictures(network: Network, data: str | None, root: str | Path | None) -> Pictures:
    """Those that the ranges of int8 are measured on, of the training split.

    Raises:
        UserError: there are none.
    """
    try:
        if data is None and not network.spec.recipe.get("data"):
            raise UserError("this one does not say on what")
        return _some(network, data, root, ("train",), CALIBRATED)
    except UserError as error:
        if data is not None or root is not None:
            raise
        raise UserError(
            f"int8 is measured on pictures that the model was trained on, but {error}; or name other data and root"
        ) from None


def _some(network: Network, data: str | None, root: str | Path | None, splits: tuple[str, ...], count: int) -> Pictures:
    """So many pictures, evenly spread over the first of some splits that has any that can be read."""
    recipe = evaluated_recipe(network.folder, network.spec.recipe, data, root)
    dataset = recipe.dataset()
    for split in splits:
        samples = dataset.samples(split)
        if not samples:
            continue
        chosen = spread(len(samples), count)
        contract = network.contract
        # Of a few large pictures several squares each.
        each = -(-count // len(chosen)) if contract.mode == "tiles" else 1
        source = f"{portable_name(recipe.data)}, {split}"
        found = Pictures(dataset, tuple(samples[i] for i in chosen), contract.mode, contract.size, source, each)
        if next(iter(found), None) is not None:
            return found
    raise UserError(f"{recipe.data} has no pictures that can be read: give other data")
