"""Pictures that are there without a network and without a data set, to see what a model does."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from segmodels.data.dataset import Dataset, Sample
from ui import cached
from ui.prediction_picture import Chosen

#: How many test pictures of each toy set there are.
TOYS = 2


def examples() -> dict[str, Chosen]:
    """The examples by the name that the address has: photographs of scikit-image, and test pictures of the toy sets."""
    found = {
        "cat": Chosen("cat.png", "example cat", partial(_of_scikit_image, "chelsea")),
        "tissue": Chosen("tissue.png", "example tissue", partial(_of_scikit_image, "immunohistochemistry")),
    }
    for title, data in (("toy pet", "toy-pets"), ("toy nuclei", "toy-nuclei")):
        dataset = cached.dataset(data, None)
        for number, sample in enumerate(dataset.samples("test")[:TOYS], start=1):
            found[f"{title} {number}"] = of_sample(dataset, sample)
    return found


def of_sample(dataset: Dataset, sample: Sample) -> Chosen:
    """A picture of a data set with its truth."""
    return Chosen(
        sample.id,
        dataset.state(sample),
        partial(dataset.read_image, sample),
        partial(dataset.read_mask, sample),
        dataset.classes,
    )


def _of_scikit_image(name: str) -> np.ndarray:
    import skimage.data

    picture: Callable[[], np.ndarray] = getattr(skimage.data, name)
    return np.ascontiguousarray(picture()[..., :3])
