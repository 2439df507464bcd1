"""How many pixels of each class each picture of a split has; counted once and kept."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from segmodels.data.dataset import IGNORE, Dataset, Progress, Sample
from segmodels.errors import UserError
from segmodels.files import read_json, write_json
from segmodels.home import home


@dataclass(frozen=True)
class ClassCounts:
    """Pixels by sample and class.

    Attributes:
        ids: the sample ids, in the split's order.
        pixels: int64 `(samples, classes)`; a row of zeros where a sample cannot be read.
        problems: why, by sample id.
    """

    ids: list[str]
    pixels: np.ndarray
    problems: dict[str, str]

    @property
    def shares(self) -> np.ndarray:
        """The share of each class among all counted pixels, `(classes,)`."""
        return self.pixels.sum(axis=0) / max(1, self.pixels.sum())


def count_classes(dataset: Dataset, split: str, progress: Progress | None = None) -> ClassCounts:
    """Read every mask of a split once; later calls find the result in the home's `statistics/` by content."""
    samples = dataset.samples(split)
    path = home() / "statistics" / f"{dataset.name}-{split}-{dataset.fingerprint(samples)}.json"
    if not path.is_file():
        write_json(path, _count(dataset, samples, split, progress))
    found = read_json(path, limit=500_000_000)
    pixels = np.array(found["pixels"], np.int64).reshape(len(found["ids"]), len(dataset.classes))
    return ClassCounts(found["ids"], pixels, found["problems"])


def _count(dataset: Dataset, samples: list[Sample], split: str, progress: Progress | None) -> dict[str, Any]:
    classes = len(dataset.classes)

    def one(sample: Sample) -> list[int] | str:
        try:
            _, mask = dataset.read(sample)
        except UserError as error:
            return str(error)
        return np.bincount(mask[mask != IGNORE], minlength=classes).tolist()

    pixels: list[list[int]] = []
    problems: dict[str, str] = {}
    pool = ThreadPoolExecutor(max_workers=os.cpu_count() or 1)
    try:
        for done, (sample, result) in enumerate(zip(samples, pool.map(one, samples), strict=True), start=1):
            if isinstance(result, str):
                problems[sample.id] = result
                result = [0] * classes
            pixels.append(result)
            if progress:
                progress(done, len(samples), f"counting classes in {split}")
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return {"ids": [sample.id for sample in samples], "pixels": pixels, "problems": problems}
