"""Decode once: a split as uint8 arrays, at its training size or its own, kept on disk and read through memory maps."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock

from segmodels.data.ahead import ahead
from segmodels.data.dataset import SPLITS, Dataset, Progress, Sample
from segmodels.data.datasets import open_dataset
from segmodels.data.prepared import Prepared, PreparedPictures, PreparedTiles
from segmodels.data.tiles import Tiling
from segmodels.errors import UserError, choose
from segmodels.files import explain_disk_errors, read_json, replacing, slug, sweep, write_json
from segmodels.home import home

__all__ = ["Prepared", "PreparedPictures", "PreparedTiles", "load_data", "prepare"]

#: Change this when the same files would be prepared to other pixels.
VERSION = 1


def load_data(
    name: str,
    *,
    root: str | Path | None = None,
    split: str = "train",
    image_size: int = 256,
    tiling: Tiling | None = None,
    split_seed: int = 0,
    limit: int | None = None,
    progress: Progress | None = None,
) -> Prepared:
    """Open a data set and prepare one split at `image_size`, or for tiles; see `prepare`."""
    dataset = open_dataset(name, root, split_seed=split_seed)
    return prepare(dataset, split, image_size, tiling=tiling, limit=limit, progress=progress)


def prepare(
    dataset: Dataset,
    split: str,
    size: int,
    *,
    tiling: Tiling | None = None,
    limit: int | None = None,
    progress: Progress | None = None,
) -> Prepared:
    """Bring a split to `size` x `size` pixels, or decode it as it is to be read in tiles; or find that already made.

    Pictures are resized bilinearly with anti-aliasing, masks by their nearest value. For tiles every picture is decoded
    once at its own size, and all tilings of a split read the same files. What cannot be read (no mask, another size, a
    damaged file) is skipped and listed with its reason. The result is kept in the home's `prepared/` under a key of the
    content and the size, and is written beside and renamed, so that it is never found half-made.

    Args:
        tiling: how the pictures are cut; `size` has no meaning then.
        limit: use only the first so many samples.
        progress: called with done, total and what is being done.

    Raises:
        UserError: an unknown split, no usable sample or tile, no disk space.
    """
    samples = dataset.samples(choose("split", split, SPLITS))[:limit]
    if not samples:
        raise UserError(f"{dataset.name} has no pictures in its {split} split")
    fingerprint = dataset.fingerprint(samples)
    at = "native" if tiling else str(size)
    key = hashlib.blake2b(f"{VERSION} {fingerprint} {at}".encode(), digest_size=10).hexdigest()
    folder = home() / "prepared" / f"{slug(dataset.name)}-{split}-{at}-{key}"
    if not (folder / "index.json").is_file():
        lock = home() / "locks" / f"{folder.name}.lock"
        with explain_disk_errors(folder):
            lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock):  # of two processes that want it, one decodes and one waits
            sweep(folder.parent, folder.name)
            if not (folder / "index.json").is_file():
                with replacing(folder) as part:
                    part.mkdir()
                    pictures = _Pictures(dataset, split, samples, None if tiling else size, progress)
                    index = _write_native(part, pictures) if tiling else _write_resized(part, pictures, size)
                    write_json(part / "index.json", {**index, "data": dataset.name, "split": split})
    index = read_json(folder / "index.json", limit=1_000_000_000)
    if tiling:
        return PreparedTiles(folder, dataset, split, tiling, index, fingerprint)
    return PreparedPictures(folder, dataset, split, size, index, fingerprint)


class _Pictures:
    """The usable samples of a split, decoded in threads; those that are not are kept with the reason."""

    def __init__(
        self, dataset: Dataset, split: str, samples: Sequence[Sample], size: int | None, progress: Progress | None
    ) -> None:
        self.dataset, self.split, self.samples, self.size, self.progress = dataset, split, samples, size, progress
        self.ids: list[str] = []
        self.skipped: list[dict[str, str]] = []

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Generator[tuple[np.ndarray, np.ndarray], None, None]:
        """Pictures and masks in order, resized where there is a size."""
        with closing(ahead(self._read, self.samples)) as results:
            for done, (sample, result) in enumerate(zip(self.samples, results, strict=True), start=1):
                if isinstance(result, str):
                    self.skipped.append({"id": sample.id, "reason": result})
                else:
                    self.ids.append(sample.id)
                    yield result
                if self.progress:
                    self.progress(done, len(self.samples), f"preparing {self.split}")
        if not self.ids:
            raise UserError(
                f"no usable picture in the {self.split} split of {self.dataset.name}; "
                f"the first: {self.skipped[0]['reason']}"
            )

    def index(self) -> dict[str, Any]:
        """What was prepared, once all pictures were taken."""
        return {"ids": self.ids, "skipped": self.skipped}

    def _read(self, sample: Sample) -> tuple[np.ndarray, np.ndarray] | str:
        try:
            return self.dataset.read(sample) if self.size is None else self.dataset.read_at(sample, self.size)
        except UserError as error:
            return str(error)


def _write_resized(folder: Path, pictures: _Pictures, size: int) -> dict[str, Any]:
    """`images.npy` and `masks.npy`; returns the index of what they hold."""
    _check_space(folder, len(pictures) * size * size * 4)
    with (
        (folder / "images.npy").open("wb") as images,
        (folder / "masks.npy").open("wb") as masks,
        closing(iter(pictures)) as each,
    ):
        # How many are usable is known at the end; NumPy leaves room in the header for any count.
        _write_header(images, (len(pictures), size, size, 3))
        _write_header(masks, (len(pictures), size, size))
        for image, mask in each:
            images.write(np.ascontiguousarray(image).data)
            masks.write(np.ascontiguousarray(mask).data)
        _write_header(images, (len(pictures.ids), size, size, 3))
        _write_header(masks, (len(pictures.ids), size, size))
    return {**pictures.index(), "size": size}


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """The head of a `.npy` file of uint8, at the file's start."""
    file.seek(0)
    np.lib.format.write_array_header_1_0(file, {"shape": shape, "fortran_order": False, "descr": "|u1"})


def _write_native(folder: Path, pictures: _Pictures) -> dict[str, Any]:
    """`images.bin` and `masks.bin`, one picture after the other; returns the index, which has their shapes."""
    shapes: list[list[int]] = []
    written = 0
    with (
        (folder / "images.bin").open("wb") as images,
        (folder / "masks.bin").open("wb") as masks,
        closing(iter(pictures)) as each,
    ):
        for done, (image, mask) in enumerate(each, start=1):
            # How large the others are is not known before they are decoded: about as those so far.
            if not done & (done - 1):
                mean = (written + image.nbytes + mask.nbytes) / done
                _check_space(folder, int(mean * (len(pictures) - done + 1)))
            images.write(np.ascontiguousarray(image).data)
            masks.write(np.ascontiguousarray(mask).data)
            written += image.nbytes + mask.nbytes
            shapes.append(list(mask.shape))
    return {**pictures.index(), "shapes": shapes}


def _check_space(folder: Path, needed: int) -> None:
    place = next(parent for parent in folder.parents if parent.exists())
    free = shutil.disk_usage(place).free
    if free < needed * 1.1:
        raise UserError(
            f"preparing needs {needed / 1e9:.1f} GB, but {place} has {free / 1e9:.1f} GB free: "
            "free some, set SEGMODELS_HOME elsewhere, or choose a smaller image_size"
        )
