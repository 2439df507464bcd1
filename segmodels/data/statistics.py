"""The figures of a split: classes by pixels and pictures, sizes, colours; read in one pass, kept on disk."""

from __future__ import annotations

import hashlib
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segmodels.data.ahead import ahead, decoders
from segmodels.data.class_weights import METHODS, suggested_weights
from segmodels.data.dataset import IGNORE, SPLITS, Dataset, Progress, Sample
from segmodels.data.disk import Stop, Stopped
from segmodels.data.images import resize_mask
from segmodels.errors import UserError, choose
from segmodels.files import read_json, write_json
from segmodels.home import home

#: Change this when the same files would give other figures.
VERSION = 3

#: Into how many rows and columns pictures are divided to tell where classes lie.
PLACES = 32

#: Pixels counted at a time.
STRIP = 1 << 20


@dataclass(frozen=True)
class Statistics:
    """The figures of one split. A sample that cannot be read has zeros in every row.

    Attributes:
        data, split: what they are of.
        classes: the names of the classes.
        ids: the sample ids, in the split's order.
        pixels: int64 `(samples, classes)`, the counted pixels of each class.
        ignored: int64 `(samples,)`, the pixels that are not counted.
        sizes: int64 `(samples, 2)`, height and width.
        mean, deviation: float64 `(3,)`, of red, green and blue (0 to 255) over all pixels, ignored ones too.
        class_colours: float64 `(classes, 3)`, the mean colour of the pixels of each class; NaN where there is none.
        places: int64 `(classes, PLACES, PLACES)`, in how many pictures the class lies in the middle of each of so many
            equal rows and columns.
        problems: why a sample cannot be used, by its id.
    """

    data: str
    split: str
    classes: list[str]
    ids: list[str]
    pixels: np.ndarray
    ignored: np.ndarray
    sizes: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    class_colours: np.ndarray
    places: np.ndarray
    problems: dict[str, str]

    @property
    def shares(self) -> np.ndarray:
        """The share of each class among the counted pixels: float64 `(classes,)`."""
        return self.pixels.sum(axis=0) / max(1, self.pixels.sum())

    @property
    def images(self) -> np.ndarray:
        """How many pictures have each class: int64 `(classes,)`."""
        return np.count_nonzero(self.pixels, axis=0)

    @property
    def ignored_share(self) -> float:
        """The share of the pixels that are not counted."""
        return float(self.ignored.sum() / max(1, self.ignored.sum() + self.pixels.sum()))

    @property
    def used_sizes(self) -> np.ndarray:
        """Height and width of the pictures that can be read: int64 `(pictures, 2)`."""
        return self.sizes[self.sizes[:, 0] > 0]

    def document(self) -> dict[str, Any]:
        """The figures of the whole split as JSON has them, with the weights that each method suggests."""
        sizes = self.used_sizes
        weights = {method: suggested_weights(self.pixels, method) for method in METHODS}
        return {
            "data": self.data,
            "split": self.split,
            "samples": len(self.ids),
            "usable": len(sizes),
            "pixels": int(self.pixels.sum()),
            "ignored_share": self.ignored_share,
            "sizes": {
                "height": _spread(sizes[:, 0]),
                "width": _spread(sizes[:, 1]),
                "different": len(np.unique(sizes, axis=0)),
                "histogram": [
                    {"height": int(height), "width": int(width), "pictures": int(count)}
                    for (height, width), count in zip(*np.unique(sizes, axis=0, return_counts=True), strict=True)
                ],
            },
            "mean": _numbers(self.mean),
            "deviation": _numbers(self.deviation),
            "classes": [
                {
                    "name": name,
                    "pixels": int(self.pixels[:, index].sum()),
                    "share": float(self.shares[index]),
                    "images": int(self.images[index]),
                    "colour": _numbers(self.class_colours[index]),
                    "weights": {method: float(weights[method][index]) for method in METHODS},
                }
                for index, name in enumerate(self.classes)
            ],
            "problems": self.problems,
        }


def class_statistics(
    dataset: Dataset, split: str, *, progress: Progress | None = None, stop: Stop | None = None
) -> Statistics:
    """Read every sample of a split once; later calls find the result in the home's `statistics/` by content.

    Args:
        progress: called with pictures done, pictures in all, and what is being done.
        stop: asked often; once it returns True this ends with `segmodels.data.disk.Stopped` and keeps nothing.

    Raises:
        UserError: an unknown split, or the result cannot be written. A sample that cannot be read is one of `problems`.
    """
    samples = dataset.samples(choose("split", split, SPLITS))
    names = [label.name for label in dataset.classes]
    path = _place(dataset, samples, split, names)
    if not path.is_file():
        write_json(path, _measure(dataset, samples, split, progress, stop))
    found = read_json(path, limit=500_000_000)
    count = len(samples)
    return Statistics(
        data=dataset.name,
        split=split,
        classes=names,
        ids=found["ids"],
        pixels=np.array(found["pixels"], np.int64).reshape(count, len(names)),
        ignored=np.array(found["ignored"], np.int64).reshape(count),
        sizes=np.array(found["sizes"], np.int64).reshape(count, 2),
        mean=np.array(found["mean"], np.float64),
        deviation=np.array(found["deviation"], np.float64),
        class_colours=np.array(found["class_colours"], np.float64).reshape(len(names), 3),
        places=np.array(found["places"], np.int64).reshape(len(names), PLACES, PLACES),
        problems=found["problems"],
    )


def _place(dataset: Dataset, samples: list[Sample], split: str, names: list[str]) -> Path:
    content = f"{VERSION} {split} {dataset.fingerprint(samples)} {names}"
    return (
        home()
        / "statistics"
        / f"{hashlib.blake2b(content.encode('utf-8', 'surrogateescape'), digest_size=16).hexdigest()}.json"
    )


def _measure(
    dataset: Dataset, samples: list[Sample], split: str, progress: Progress | None, stop: Stop | None
) -> dict[str, Any]:
    count = len(dataset.classes)
    pixels, ignored, sizes = [], [], []
    problems: dict[str, str] = {}
    by_value = np.zeros(256, np.int64)
    sums = np.zeros((256, 3), np.int64)
    squares = np.zeros(3, np.int64)
    places = np.zeros((256, PLACES, PLACES), np.int64)
    rows, columns = np.indices((PLACES, PLACES))

    def one(sample: Sample) -> tuple[tuple[int, int], np.ndarray, np.ndarray, np.ndarray, np.ndarray] | str:
        try:
            image, mask = dataset.read(sample)
        except UserError as error:
            return str(error)
        return (mask.shape[0], mask.shape[1]), resize_mask(mask, PLACES, PLACES), *_colours(image, mask)

    with closing(ahead(one, samples, threads=decoders())) as results:
        for done, (sample, result) in enumerate(zip(samples, results, strict=True), start=1):
            if isinstance(result, str):
                problems[sample.id] = result
                size, values = (0, 0), np.zeros(256, np.int64)
            else:
                size, small, values, of_values, squared = result
                places[small, rows, columns] += 1
                sums += of_values
                squares += squared
            by_value += values
            pixels.append(values[:count].tolist())
            ignored.append(int(values[IGNORE]))
            sizes.append(size)
            if stop is not None and stop():
                raise Stopped(f"stopped while counting classes in {split}; nothing is kept")
            if progress:
                progress(done, len(samples), f"counting classes in {split}")
    with np.errstate(invalid="ignore"):  # 0 / 0, where nothing is there, is NaN
        mean = sums.sum(axis=0) / by_value.sum()
        deviation = np.sqrt(np.maximum(squares / by_value.sum() - mean**2, 0))
        class_colours = sums[:count] / by_value[:count, None]
    return {
        "data": dataset.name,
        "split": split,
        "ids": [sample.id for sample in samples],
        "pixels": pixels,
        "ignored": ignored,
        "sizes": sizes,
        "mean": _numbers(mean),
        "deviation": _numbers(deviation),
        "class_colours": [_numbers(colour) for colour in class_colours],
        "places": places[:count].tolist(),
        "problems": problems,
    }


def _colours(image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of one picture, int64: pixels by mask value `(256,)`, sums of their colours `(256, 3)`, of squares `(3,)`."""
    # Counted by mask value and brightness, whence everything follows exactly; by strips, since an index takes 8 bytes.
    tables = np.zeros((3, 65536), np.int64)
    rows = max(1, STRIP // max(1, mask.shape[1]))
    for top in range(0, mask.shape[0], rows):
        index = mask[top : top + rows].astype(np.int64).ravel() << 8
        for channel in range(3):
            tables[channel] += np.bincount(index | image[top : top + rows, :, channel].ravel(), minlength=65536)
    table, levels = tables.reshape(3, 256, 256), np.arange(256)
    return table[0].sum(axis=1), (table @ levels).T, table.sum(axis=1) @ levels**2


def _spread(values: np.ndarray) -> dict[str, float | None]:
    if not len(values):
        return dict.fromkeys(("least", "median", "greatest"))
    return {"least": int(values.min()), "median": float(np.median(values)), "greatest": int(values.max())}


def _numbers(values: np.ndarray) -> list[float | None]:
    """Numbers as JSON has them, None for NaN."""
    return [None if np.isnan(value) else float(value) for value in values]
