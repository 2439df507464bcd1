"""Decode once: a split at its training size as uint8 arrays, kept on disk and read through memory maps."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from segmodels.data.dataset import SPLITS, Dataset, Progress, Sample
from segmodels.data.datasets import open_dataset
from segmodels.data.images import resize_image, resize_mask
from segmodels.errors import UserError, choose
from segmodels.files import explain_disk_errors, read_json, replacing, sweep, write_json
from segmodels.home import home

#: Change this when the same files would be prepared to other pixels.
VERSION = 1


@dataclass(frozen=True)
class Prepared:
    """A prepared split.

    Attributes:
        dataset: where it comes from.
        split: "train", "validation" or "test".
        images: uint8 `(count, size, size, 3)`, a memory map.
        masks: uint8 `(count, size, size)`, a memory map.
        ids: the sample ids in the arrays' order.
        skipped: `{"id", "reason"}` of every sample that could not be used.
        fingerprint: digest of the content it was made from.
    """

    dataset: Dataset
    split: str
    images: np.ndarray
    masks: np.ndarray
    ids: list[str]
    skipped: list[dict[str, str]]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self.images[index], self.masks[index]

    def read(self, indices: np.ndarray | slice) -> tuple[np.ndarray, np.ndarray]:
        """Copies of the chosen pictures and masks: uint8 `(n, size, size, 3)` and `(n, size, size)`."""
        return np.array(self.images[indices]), np.array(self.masks[indices])


def load_data(
    name: str,
    *,
    root: str | Path | None = None,
    split: str = "train",
    image_size: int = 256,
    split_seed: int = 0,
    limit: int | None = None,
    progress: Progress | None = None,
) -> Prepared:
    """Open a data set and prepare one split at `image_size`; see `prepare`."""
    return prepare(open_dataset(name, root, split_seed=split_seed), split, image_size, limit=limit, progress=progress)


def prepare(
    dataset: Dataset, split: str, size: int, *, limit: int | None = None, progress: Progress | None = None
) -> Prepared:
    """Bring a split to `size` x `size` pixels, or find it already made.

    Pictures are resized bilinearly with anti-aliasing, masks by their nearest value. What cannot be read (no mask,
    another size, a damaged file) is skipped and listed with its reason. The result is kept in the home's `prepared/`
    under a key of the content and the size, and is written beside and renamed, so that it is never found half-made.

    Args:
        limit: use only the first so many samples.
        progress: called with done, total and what is being done.

    Raises:
        UserError: an unknown split, no usable sample, no disk space.
    """
    samples = dataset.samples(choose("split", split, SPLITS))[:limit]
    if not samples:
        raise UserError(f"{dataset.name} has no pictures in its {split} split")
    fingerprint = dataset.fingerprint(samples)
    key = hashlib.blake2b(f"{VERSION} {fingerprint} {size}".encode(), digest_size=10).hexdigest()
    folder = home() / "prepared" / f"{dataset.name}-{split}-{size}-{key}"
    if not (folder / "index.json").is_file():
        lock = home() / "locks" / f"{folder.name}.lock"
        with explain_disk_errors(folder):
            lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock):  # of two processes that want it, one decodes and one waits
            sweep(folder.parent, folder.name)
            if not (folder / "index.json").is_file():
                _check_space(folder, len(samples) * size * size * 4)
                with replacing(folder) as part:
                    part.mkdir()
                    _decode(dataset, split, samples, size, part, progress)
    index = read_json(folder / "index.json")
    return Prepared(
        dataset=dataset,
        split=split,
        images=np.load(folder / "images.npy", mmap_mode="r"),
        masks=np.load(folder / "masks.npy", mmap_mode="r"),
        ids=index["ids"],
        skipped=index["skipped"],
        fingerprint=fingerprint,
    )


def _decode(
    dataset: Dataset, split: str, samples: Sequence[Sample], size: int, folder: Path, progress: Progress | None
) -> None:
    def one(sample: Sample) -> tuple[np.ndarray, np.ndarray] | str:
        try:
            image, mask = dataset.read(sample)
        except UserError as error:
            return str(error)
        return resize_image(image, size, size), resize_mask(mask, size, size)

    ids: list[str] = []
    skipped: list[dict[str, str]] = []
    images = np.lib.format.open_memmap(folder / "all-images.npy", "w+", np.uint8, (len(samples), size, size, 3))
    masks = np.lib.format.open_memmap(folder / "all-masks.npy", "w+", np.uint8, (len(samples), size, size))
    pool = ThreadPoolExecutor(max_workers=os.cpu_count() or 1)  # Pillow decodes and resizes without Python's lock
    try:
        for done, (sample, result) in enumerate(zip(samples, pool.map(one, samples), strict=True), start=1):
            if isinstance(result, str):
                skipped.append({"id": sample.id, "reason": result})
            else:
                images[len(ids)], masks[len(ids)] = result
                ids.append(sample.id)
            if progress:
                progress(done, len(samples), f"preparing {split}")
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    if not ids:
        raise UserError(f"no usable picture in the {split} split of {dataset.name}; the first: {skipped[0]['reason']}")
    for name, array in (("images", images), ("masks", masks)):
        array.flush()
        if skipped:
            np.save(folder / f"{name}.npy", array[: len(ids)])
            (folder / f"all-{name}.npy").unlink()
        else:
            (folder / f"all-{name}.npy").rename(folder / f"{name}.npy")
    document: dict[str, Any] = {"ids": ids, "skipped": skipped, "size": size, "data": dataset.name, "split": split}
    write_json(folder / "index.json", document)


def _check_space(folder: Path, needed: int) -> None:
    place = next(parent for parent in folder.parents if parent.exists())
    free = shutil.disk_usage(place).free
    if free < needed * 1.1:
        raise UserError(
            f"preparing needs {needed / 1e9:.1f} GB, but {place} has {free / 1e9:.1f} GB free: "
            "free some, set SEGMODELS_HOME elsewhere, or choose a smaller image_size"
        )
