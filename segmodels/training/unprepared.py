"""A split that is not prepared: how many units of training it would have, and random ones in their place."""

from __future__ import annotations

import numpy as np

from segmodels.data.dataset import Dataset, Sample
from segmodels.data.datasets.polygon_folder import picture_size
from segmodels.data.prepared import Indices, Prepared
from segmodels.data.spread import spread
from segmodels.data.tiles import Tiling
from segmodels.errors import UserError

#: Pictures whose sizes are looked at, evenly over the split; of more, the tiles are reckoned from these.
LOOKED_AT = 50
#: A random mask has so many patches a side, about as objects have: a class a pixel would be all borders.
PATCHES = 8


class Unprepared(Prepared):
    """What `prepare` would make of a split, told from the heads of some of its files.

    Pictures that turn out to be damaged when they are decoded count here, so that there may be fewer.

    Attributes:
        extrapolated: tiles were reckoned from some of the pictures.
        at_most: tiles that show too little are left out of a training, which only their masks tell.

    Raises:
        UserError: none of the pictures can be read.
    """

    def __init__(
        self, dataset: Dataset, split: str, size: int, *, tiling: Tiling | None = None, limit: int | None = None
    ) -> None:
        super().__init__(dataset, split, size, {"skipped": []}, "")
        samples = dataset.samples(split)[:limit]
        self.extrapolated = tiling is not None and len(samples) > LOOKED_AT
        self.at_most = tiling is not None and tiling.foreground > 0
        self._count = len(samples) if tiling is None else _tiles(dataset, split, samples, tiling)

    def __len__(self) -> int:
        return self._count

    @property
    def ids(self) -> list[str]:
        return [str(number) for number in range(self._count)]

    def read(self, indices: Indices, generator: np.random.Generator | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Random pictures, and masks of random patches of all classes."""
        count = len(np.arange(self._count)[indices])
        random = np.random.default_rng(0) if generator is None else generator
        images = random.integers(0, 256, (count, self.size, self.size, 3), np.uint8)
        patches = random.integers(0, len(self.dataset.classes), (count, PATCHES, PATCHES), np.uint8)
        places = np.arange(self.size) * PATCHES // self.size
        return images, patches[:, places[:, None], places]


def _tiles(dataset: Dataset, split: str, samples: list[Sample], tiling: Tiling) -> int:
    looked_at = spread(len(samples), LOOKED_AT)
    counts, wrong = [], []
    for number in looked_at:
        try:
            counts.append(len(tiling.grid(*_size(dataset, samples[number]))))
        except UserError as error:
            wrong.append(str(error))
    if not counts:
        raise UserError(f"no usable picture in the {split} split of {dataset.name}; the first: {wrong[0]}")
    return max(1, round(sum(counts) * len(samples) / len(looked_at)))


def _size(dataset: Dataset, sample: Sample) -> tuple[int, int]:
    """Height and width, from the file's head where the picture is one."""
    path = dataset.image_file(sample)
    if path is not None:
        return picture_size(path)
    height, width = dataset.read_image(sample).shape[:2]
    return height, width
