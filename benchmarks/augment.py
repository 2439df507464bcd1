"""Augmentation at 256 px in batches of 8: each preset in one thread, and the loader with its threads.

Beside them a loop of one picture at a time through Pillow that does what `light` does, and layers of keras-cv that do
as much: mirroring, zooming, brightness and contrast, on pictures and masks alike.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.timing import BATCH, CLASSES, SIZE
from segmodels.data.augment import AUGMENTATIONS
from segmodels.data.datasets import open_dataset
from segmodels.data.images import resize_image, resize_mask
from segmodels.data.loader import THREADS, Loader
from segmodels.data.prepared import Prepared, PreparedPictures

#: Pictures of the two sets whose memory is compared.
SMALL, LARGE = 400, 4000
#: The best of so many timings: other work on the machine only ever slows one down.
TIMES = 5


def main() -> None:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (BATCH, SIZE, SIZE, 3), np.uint8)
    masks = generator.integers(0, CLASSES, (BATCH, SIZE, SIZE), np.uint8)
    print("| what | images/s |")
    print("|---|---|")
    for name, augmentation in AUGMENTATIONS.items():
        speed = _rate(lambda run=augmentation: run(images, masks, generator, any_orientation=True))
        print(f"| {name}, one thread | {speed:,.0f} |", flush=True)
    speed = _rate(lambda: _pillow(images.copy(), masks.copy(), generator))
    print(f"| a Pillow loop like light, one thread | {speed:,.0f} |", flush=True)
    if (layers := _keras_cv()) is not None:
        given = {"images": images.astype("float32"), "segmentation_masks": masks[..., None].astype("float32")}
        print(f"| keras-cv's layers like light, all threads | {_rate(lambda: layers(given)):,.0f} |", flush=True)
    print(f"\nThe loader with {THREADS} threads on {os.cpu_count()} cores:\n")
    print("| augmentation | pictures | images/s | anonymous memory over the start, MB |")
    print("|---|---|---|---|")
    for name, count in (("none", SMALL), ("light", SMALL), ("light", LARGE), ("histology", SMALL)):
        with tempfile.TemporaryDirectory() as folder:
            speed, memory = _load(_made_up(Path(folder), count), name)
        print(f"| {name} | {count} | {speed:,.0f} | {memory / 1e6:.0f} |", flush=True)


def _rate(work: Callable[[], object], repeats: int = 3) -> float:
    """Images a second, at best, after one call that warms up."""
    work()
    best = float("inf")
    for _ in range(TIMES):
        began = time.perf_counter()
        for _ in range(repeats):
            work()
        best = min(best, time.perf_counter() - began)
    return BATCH * repeats / best


def _pillow(images: np.ndarray, masks: np.ndarray, generator: np.random.Generator) -> None:
    """Cut out and enlarge, mirror, transpose, and look values up in a table, a picture at a time."""
    for index in range(len(images)):
        side = round(SIZE * generator.uniform(0.85, 1))
        top, left = generator.integers(0, SIZE - side + 1, 2)
        part = np.s_[top : top + side, left : left + side]
        image = resize_image(images[index][part].copy(), SIZE, SIZE)
        mask = resize_mask(masks[index][part].copy(), SIZE, SIZE)
        for turn in (lambda x: x[:, ::-1], lambda x: x[::-1], lambda x: x.swapaxes(0, 1)):
            if generator.random() < 0.5:
                image, mask = turn(image), turn(mask)
        values = (np.arange(256) - 127.5) * generator.uniform(0.85, 1.15) + 127.5 + generator.uniform(-20, 20)
        images[index] = np.clip(np.round(values), 0, 255).astype(np.uint8)[image]
        masks[index] = mask


def _keras_cv() -> Callable[[dict], object] | None:
    """The layers one after the other, or None where keras-cv is not installed."""
    try:
        import keras_cv
        import tensorflow as tf
    except ImportError:
        return None
    layers = [
        keras_cv.layers.RandomFlip("horizontal_and_vertical"),
        keras_cv.layers.RandomZoom(height_factor=(-0.15, 0)),
        keras_cv.layers.RandomBrightness((-0.08, 0.08), value_range=(0, 255)),
        keras_cv.layers.RandomContrast((0, 255), 0.15),
    ]

    @tf.function
    def run(batch: dict) -> dict:
        for layer in layers:
            batch = layer(batch, training=True)
        return batch

    return run


def _made_up(folder: Path, count: int) -> Prepared:
    """A prepared split of `count` black pictures, which take no time to write."""
    for name, shape in (("images", (count, SIZE, SIZE, 3)), ("masks", (count, SIZE, SIZE))):
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.uint8, shape).flush()
    index = {"ids": [str(number) for number in range(count)], "skipped": []}
    return PreparedPictures(folder, open_dataset("toy-nuclei"), "train", SIZE, index, "")


def _load(data: Prepared, augment: str) -> tuple[float, int]:
    """Images a second over an epoch, and the most anonymous memory that it took, in bytes."""
    start = most = _anonymous()
    began = time.perf_counter()
    loader = Loader(data, BATCH, augment=augment)
    for _ in loader.epoch(0):
        most = max(most, _anonymous())
    return loader.steps * BATCH / (time.perf_counter() - began), most - start


def _anonymous() -> int:
    """Bytes of memory that no file stands behind: memory maps do not count. 0 where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))
