"""Batches of prepared pictures, made ahead by a few threads while the network computes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence

import numpy as np

from segmodels.data.ahead import ahead, cores
from segmodels.data.augment import parse_augmentation
from segmodels.data.dataset import IGNORE
from segmodels.data.prepared import Prepared

#: Batches that are ready or in the making; more would only take memory.
AHEAD = 4
#: Threads that augment: OpenCV works without Python's lock, so each uses a core of its own.
THREADS = min(AHEAD, cores())

#: Images, masks, and what a loss needs beside the masks.
Batch = tuple[np.ndarray, ...]
#: What a loss needs beside the masks of a batch: none, or maps float32 that begin with the masks' shape.
Maps = Callable[[np.ndarray], Sequence[np.ndarray]]


class Loader:
    """Shuffled, augmented batches of one split.

    What a batch holds depends on nothing but the seed, the epoch and the step, so that a run can be continued in the
    middle of an epoch. Every batch has `batch_size` pictures; the few that are over at an epoch's end are left out of
    that epoch (another order leaves out others).

    Args:
        augment: how pictures are varied, as a recipe has it (`segmodels.data.augment.parse_augmentation`).
        maps: made of the masks of each batch, in the same threads, and handed on behind them.
    """

    def __init__(
        self, data: Prepared, batch_size: int, *, seed: int = 0, augment: str = "none", maps: Maps = lambda masks: ()
    ) -> None:
        self.data = data
        self.batch_size = min(batch_size, len(data))
        self.seed = seed
        self.augment = parse_augmentation(augment)
        self.maps = maps

    @property
    def steps(self) -> int:
        """Batches an epoch."""
        return len(self.data) // self.batch_size

    def epoch(self, number: int, *, start: int = 0) -> Generator[Batch, None, None]:
        """Yield images uint8 `(batch, size, size, 3)`, masks uint8 `(batch, size, size)` and maps from step `start` on.

        What goes wrong while a batch is made is raised in its place. A closed iterator leaves no thread behind.
        """
        order = np.random.default_rng([self.seed, number]).permutation(len(self.data))
        # Copying alone is bound by Python's lock and the memory: a second thread would not make it faster.
        threads = THREADS if self.augment.operations else 1
        steps = range(start, self.steps)
        return ahead(lambda step: self._batch(order, number, step), steps, threads=threads, waiting=AHEAD)

    def _batch(self, order: np.ndarray, number: int, step: int) -> Batch:
        # In rising order the memory map is read from front to back.
        chosen = np.sort(order[step * self.batch_size : (step + 1) * self.batch_size])
        if not self.augment.operations:
            images, masks = self.data.read(chosen)
            return images, masks, *self.maps(masks)
        generator = np.random.default_rng([self.seed, number, step])
        images, masks = self.data.read(chosen, generator)
        images, masks = self.augment(images, masks, generator, any_orientation=self.data.dataset.any_orientation)
        return images, masks, *self.maps(masks)


def in_order(data: Prepared, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Yield the whole split in order as images, masks and how many of them are real.

    Every batch has one shape, which compiled networks need; the last is filled up with masks of `IGNORE`, which no loss
    or figure counts.
    """
    batch_size = min(batch_size, len(data))
    for start in range(0, len(data), batch_size):
        images, masks = data.read(slice(start, start + batch_size))
        real = len(images)
        if missing := batch_size - real:
            images = np.concatenate([images, np.zeros((missing, *images.shape[1:]), np.uint8)])
            masks = np.concatenate([masks, np.full((missing, *masks.shape[1:]), IGNORE, np.uint8)])
        yield images, masks, real
