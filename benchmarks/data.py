"""Decode once, read often: Oxford pets at 256 px, resized, and at their own size in tiles.

The plain loop is what one writes first: open with Pillow, to RGB, resize bilinearly (masks by the nearest value), to
NumPy, save. It and ours run on one core each, and ours also on all; ours checks every file and mask besides, digests
the content and never leaves half a set. Times are processor time, so that other work on the machine counts little.
Pets are about 500 px wide, so that every pixel has to be decoded, by the same libraries in both; of a camera's
photographs (pets enlarged to twelve megapixels) the JPEG decoder of ours gives only the part that 256 px can show.
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
TIMES, REPEATED = 5, 10

#: How many photographs, and their width and height.
PHOTOGRAPHS, CAMERA = 12, (4000, 3000)


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
    print(f"| preparing at {SIZE} px | cores | images/s | to the plain loop | to it with Pillow's default filter |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        decoding = _compared("pets", pets)
        _write_photographs(Path(folder), samples[:PHOTOGRAPHS])
        _compared("photographs", open_dataset(folder, form="masks"))
    with _on_one_core():
        native = _best(lambda: _prepared(pets, Tiling(SIZE, SIZE))) / len(samples)
    every = _best(lambda: _prepared(pets), clock=time.perf_counter) / len(samples)
    print(f"| pets at native size, for tiles | 1 | {1 / native:,.0f} | {decoding / native:.2f} | |")
    print(f"| pets, by the clock | {cores()} | {1 / every:,.0f} | {decoding / every:.2f} | |")

    with tempfile.TemporaryDirectory() as home:
        os.environ["SEGMODELS_HOME"] = home
        data = prepare(pets, "train", SIZE)
        with _on_one_core():
            epoch = _best(lambda: _epoch(data)) / (len(data) // 8 * 8)
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


def _compared(what: str, dataset: Dataset) -> float:
    """Prints a row for the plain loop and one for ours; returns the seconds of a picture in the plain loop."""
    samples = dataset.samples("train")
    works = (
        lambda: _plain(samples, Image.Resampling.BILINEAR),
        lambda: _plain(samples, Image.Resampling.BICUBIC),
        lambda: _prepared(dataset),
    )
    with _on_one_core():  # by turns, so that a slow minute of the machine is everyone's
        rounds = [[_seconds(work) for work in works] for _ in range(TIMES)]
    bilinear, bicubic, ours = (min(times) / len(samples) for times in zip(*rounds, strict=True))
    print(f"| {what}, plain Pillow loop | 1 | {1 / bilinear:,.0f} | 1 | {bicubic / bilinear:.2f} |")
    print(f"| {what}, prepare | 1 | {1 / ours:,.0f} | {bilinear / ours:.2f} | {bicubic / ours:.2f} |", flush=True)
    return bilinear


def _write_photographs(folder: Path, samples: list[Sample]) -> None:
    """Pictures and masks as a camera's size has them, all of them for training."""
    for name in ("images", "masks"):
        (folder / "train" / name).mkdir(parents=True)
    for sample in samples:
        assert sample.image_path is not None
        assert sample.mask_path is not None
        picture = Image.open(sample.image_path).convert("RGB").resize(CAMERA, Image.Resampling.BICUBIC)
        picture.save(folder / "train" / "images" / f"{sample.id}.jpg", quality=92)
        mask = Image.open(sample.mask_path).resize(CAMERA, Image.Resampling.NEAREST)
        mask.save(folder / "train" / "masks" / f"{sample.id}.png")


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
    return min(_seconds(work, clock) for _ in range(TIMES))


def _seconds(work: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    began = clock()
    work()
    return clock() - began


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
