"""The pictures of a card: what a model makes of a few pictures of the validation split."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from segmodels.data.dataset import Dataset, Sample
from segmodels.data.images import resize_image, resize_mask
from segmodels.data.spread import spread
from segmodels.errors import UserError
from segmodels.hub.card import MOST_PICTURES
from segmodels.prediction.masks import side_by_side, write_image
from segmodels.prediction.predictor import Predictor
from segmodels.recipe import Recipe

#: The most pixels of a side of each, so that they weigh little.
LARGEST = 256


def draw_previews(predictor: Predictor, recipe: Recipe, folder: Path) -> None:
    """Write `previews/N.png` into a checkpoint directory: picture, truth and prediction beside each other, of pictures
    spread over the validation split. Where that has too few, as of large slides, some that it was trained on follow:
    what is shown also says what colours the model knows (`prediction.doubts`).

    Args:
        recipe: with the data, and how it was split for the training.
    """
    dataset = recipe.dataset()
    shown = _spread(dataset.samples("validation"), MOST_PICTURES)
    shown += _spread(dataset.samples("train"), MOST_PICTURES - len(shown))
    for number, sample in enumerate(shown):
        with suppress(UserError):  # what cannot be read is left out, as everywhere
            image, truth = _seen(dataset, sample, predictor)
            (folder / "previews").mkdir(exist_ok=True)
            side = min(LARGEST, *truth.shape)
            masks = [resize_mask(mask, side, side) for mask in (truth, predictor(image).mask)]
            picture = side_by_side(resize_image(image, side, side), masks[0], masks[1], predictor.labels)
            write_image(folder / "previews" / f"{number}.png", picture)


def _spread(samples: Sequence[Sample], count: int) -> list[Sample]:
    """So many of them at equal distances, or all where there are fewer."""
    return [samples[place] for place in spread(len(samples), count)]


def _seen(dataset: Dataset, sample: Sample, predictor: Predictor) -> tuple[np.ndarray, np.ndarray]:
    """A picture and its mask as the model sees them: at its size, or the tile in the middle."""
    (image, mask), size = dataset.read(sample), predictor.spec.input.size
    if predictor.spec.input.mode == "resize":
        return resize_image(image, size, size), resize_mask(mask, size, size)
    top, left = (max(0, (side - size) // 2) for side in mask.shape)
    middle = np.s_[top : top + size, left : left + size]
    return np.ascontiguousarray(image[middle]), np.ascontiguousarray(mask[middle])
