"""Batches of prepared pictures, made ahead in a thread while the network computes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

import numpy as np

from segmodels.data.augment import AUGMENTATIONS
from segmodels.data.dataset import IGNORE
from segmodels.data.prepare import Prepared

#: Batches that wait ready; more would only take memory.
AHEAD = 3

Batch = tuple[np.ndarray, np.ndarray]


class Loader:
    """Shuffled, augmented batches of one split.

    What a batch holds depends on nothing but the seed, the epoch and the step, so that a run can be continued in the
    middle of an epoch. Every batch has `batch_size` pictures; the few that are over at an epoch's end are left out of
    that epoch (another order leaves out others).
    """

    def __init__(self, data: Prepared, batch_size: int, *, seed: int = 0, augment: str = "none") -> None:
        self.data = data
        self.batch_size = min(batch_size, len(data))
        self.seed = seed
        self.augment = AUGMENTATIONS[augment]

    @property
    def steps(self) -> int:
        """Batches an epoch."""
        return len(self.data) // self.batch_size

    def epoch(self, number: int, *, start: int = 0) -> Iterator[Batch]:
        """Yield images uint8 `(batch, size, size, 3)` and masks uint8 `(batch, size, size)` from step `start` on."""
        order = np.random.default_rng([self.seed, number]).permutation(len(self.data))
        waiting: queue.Queue[Batch | BaseException] = queue.Queue(AHEAD)
        stop = threading.Event()

        def work() -> None:
            try:
                for step in range(start, self.steps):
                    if not _put(waiting, self._batch(order, number, step), stop):
                        return
            except BaseException as error:
                _put(waiting, error, stop)

        thread = threading.Thread(target=work, name="loader", daemon=True)
        thread.start()
        try:
            for _ in range(start, self.steps):
                item = waiting.get()
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            stop.set()
            thread.join()

    def _batch(self, order: np.ndarray, number: int, step: int) -> Batch:
        # In rising order the memory map is read from front to back.
        chosen = np.sort(order[step * self.batch_size : (step + 1) * self.batch_size])
        images, masks = self.data.images[chosen], self.data.masks[chosen]
        if self.augment is not None:
            generator = np.random.default_rng([self.seed, number, step])
            self.augment(images, masks, generator, any_orientation=self.data.dataset.any_orientation)
        return images, masks


def in_order(data: Prepared, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Yield the whole split in order as images, masks and how many of them are real.

    Every batch has one shape, which compiled networks need; the last is filled up with masks of `IGNORE`, which no loss
    or figure counts.
    """
    batch_size = min(batch_size, len(data))
    for start in range(0, len(data), batch_size):
        images = np.asarray(data.images[start : start + batch_size])
        masks = np.asarray(data.masks[start : start + batch_size])
        real = len(images)
        if missing := batch_size - real:
            images = np.concatenate([images, np.zeros((missing, *images.shape[1:]), np.uint8)])
            masks = np.concatenate([masks, np.full((missing, *masks.shape[1:]), IGNORE, np.uint8)])
        yield images, masks, real


def _put(waiting: queue.Queue, item: Batch | BaseException, stop: threading.Event) -> bool:
    """Put, unless nobody takes any more; a plain `put` would block a stopped loader for ever."""
    while not stop.is_set():
        try:
            waiting.put(item, timeout=0.1)
            return True
        except queue.Full:
            continue
    return False
