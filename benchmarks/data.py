"""Decode once, read often: Oxford pets at 256 px, resized, and at their own size in tiles.

The plain loop is what one writes first: open with Pillow, to RGB, resize bilinearly (masks by the nearest value), to
NumPy, save. It and ours run on one core each, and ours also on all; ours checks every file and mask besides, digests
the content and never leaves half a set. Times are processor time, so that other work on the machine counts little.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.timing import SIZE
from segmodels.data.ahead import cores
from segmodels.data.dataset import Dataset, Sample
from segmodels.data.datasets import open_dataset
from segmodels.data.loader import Loader
from segmodels.data.prepare import Prepared, prepare
from segmodels.data.tiles import Tiling

#: The best of so many timings; how often the pictures of the larger set are repeated.
TIMES, REPEATED = 3, 10


class Repeated(Dataset):
    """The samples of another data set several times over."""

    def __init__(self, dataset: Dataset, times: int) -> None:
        super().__init__(dataset.root)
        self.name, self.classes = f"{dataset.name}-{times}", dataset.classes
        self.dataset, self.times = dataset, times

    def listed(self, split: str) -> list[Sample]:
        return self.dataset.samples(split) * self.times

    def image_file(self, sample: Sample) -> Path | None:
        return self.dataset.image_file(sample)

    def read_mask(self, sample: Sample) -> np.ndarray:
        return self.dataset.read_mask(sample)


def main() -> None:
    pets = open_dataset("oxford-pets")
    samples = pets.samples("train")
    with _on_one_core():
        bilinear = _best(lambda: _plain(samples, Image.Resampling.BILINEAR))
        bicubic = _best(lambda: _plain(samples, Image.Resampling.BICUBIC))
        one = _best(lambda: _prepared(pets))
        native = _best(lambda: _prepared(pets, Tiling(SIZE, SIZE)))
    every = _best(lambda: _prepared(pets), clock=time.perf_counter)
    print(f"| preparing {len(samples)} pictures at {SIZE} px | cores | images/s | to the plain loop |")
    print("|---|---|---|---|")
    for name, used, seconds in (
        ("plain Pillow loop", 1, bilinear),
        ("the same with Pillow's default filter", 1, bicubic),
        ("prepare", 1, one),
        ("prepare at native size, for tiles", 1, native),
        ("prepare, by the clock", cores(), every),
    ):
        print(f"| {name} | {used} | {len(samples) / seconds:,.0f} | {bilinear / seconds:.2f} |")

    with tempfile.TemporaryDirectory() as home:
        os.environ["SEGMODELS_HOME"] = home
        data = prepare(pets, "train", SIZE)
        with _on_one_core():
            epoch = _best(lambda: _epoch(data)) / (len(data) // 8 * 8)
    decoding = bilinear / len(samples)
    print("\n| an epoch, one core | images/s | to decoding |")
    print("|---|---|---|")
    print(f"| decoding each time with Pillow | {1 / decoding:,.0f} | 1.0 |")
    print(f"| prepared | {1 / epoch:,.0f} | {decoding / epoch:.1f} |")

    print("\n| preparing and an epoch | pictures | anonymous memory over the start, MB |")
    print("|---|---|---|")
    for times in (1, REPEATED):
        for what, tiling in (("resized", None), ("tiles", Tiling(SIZE, SIZE))):
            taken = _memory(lambda n=times, t=tiling: _prepared(Repeated(pets, n), t, epoch=True))
            print(f"| {what} | {times * len(samples)} | {taken / 1e6:.0f} |", flush=True)


def _plain(samples: list[Sample], resampling: Image.Resampling) -> None:
    images, masks = [], []
    for sample in samples:
        assert sample.image_path is not None
        assert sample.mask_path is not None
        images.append(np.asarray(Image.open(sample.image_path).convert("RGB").resize((SIZE, SIZE), resampling)))
        masks.append(np.asarray(Image.open(sample.mask_path).resize((SIZE, SIZE), Image.Resampling.NEAREST)) - 1)
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "images.npy", np.stack(images))
        np.save(Path(folder) / "masks.npy", np.stack(masks))


def _prepared(dataset: Dataset, tiling: Tiling | None = None, *, epoch: bool = False) -> None:
    with tempfile.TemporaryDirectory() as home:
        os.environ["SEGMODELS_HOME"] = home
        data = prepare(dataset, "train", SIZE, tiling=tiling)
        if epoch:
            _epoch(data)


def _epoch(data: Prepared) -> None:
    for images, _ in Loader(data, 8).epoch(0):
        images[:, 0, 0].sum()


def _best(work: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    times = []
    for _ in range(TIMES):
        began = clock()
        work()
        times.append(clock() - began)
    return min(times)


@contextmanager
def _on_one_core() -> Iterator[None]:
    """Nothing more than one thread, where the system can be told so."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _memory(work: Callable[[], object]) -> int:
    """The most anonymous memory that was held over that at the start, in bytes; looked at a hundred times a second."""
    start, most, done = _anonymous(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            most[0] = max(most[0], _anonymous() - start)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        work()
    finally:
        done.set()
        thread.join()
    return most[0]


def _anonymous() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) * 1024
