"""A weights file of half the size or a quarter: kernels in float16, or in whole numbers of eight bits.

Halves are read into a network of float32 as any others. An array of eight bits has a scale beside it, at `scales/` and
its own path, for each of its last axis, which is that of what comes out of a convolution: the largest number there is
127 (symmetric, as in Krishnamoorthi 2018, arXiv:1806.08342, section 2.2). What is computed with is float32 again.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import h5py
import numpy as np

from segmodels.errors import UserError
from segmodels.hub.weights_file import check_weights_file

#: Bits of the numbers of a kernel.
Bits = Literal[8, 16, 32]
#: An array with fewer axes, a bias or what a norm has counted, is kept as it is: it is small, and its range is wide.
KERNEL_AXES = 2
#: By so much of an array's largest value float16 may be off; else the array is kept as it is.
TOLERANCE = 1e-3
#: An array of fewer numbers is kept in float16 where others have eight bits: there is nothing to gain.
FEWEST_OF_EIGHT = 4096
#: The largest number of eight bits.
LARGEST = 127
#: The group of the scales.
SCALES = "scales"


def write_smaller(source: Path, target: Path, bits: Bits) -> None:
    """Copy a weights file with its kernels in fewer bits: in 16 each number is within a thousandth of the largest of
    its array, in 8 within a 254th of the largest of its channel.

    Raises:
        UserError: `source` is no file of weights, or is of eight bits where sixteen are asked for.
    """
    shapes = check_weights_file(source)
    scaled = any(name.startswith(f"{SCALES}/") for name in shapes)
    if scaled and bits == 16:
        raise UserError(f"{source} is of eight bits already: begin with what it was made of, or keep the eight")
    if scaled or bits == 32:
        shutil.copyfile(source, target)
        return
    # The newest form of HDF5 has the shortest headers, of which a network has a thousand.
    with h5py.File(source, "r") as read, h5py.File(target, "w", libver="latest") as written:

        def smaller(name: str, array: np.ndarray) -> np.ndarray:
            if array.ndim < KERNEL_AXES or array.dtype != np.float32 or array.size == 0:
                return array
            if bits == 16 or array.size < FEWEST_OF_EIGHT or array.shape[-1] == 1:
                return _halved(array)
            scale = np.abs(array).max(axis=tuple(range(array.ndim - 1))) / LARGEST
            scale[scale == 0] = 1
            written[f"{SCALES}/{name}"] = scale
            return np.round(array / scale).astype(np.int8)

        copy_weights(read, written, smaller)


@contextmanager
def widened(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> Iterator[Path]:
    """A weights file that holds the numbers themselves, for as long as the context lasts: the same, or where numbers
    have eight bits, one beside the temporary files.

    Args:
        path: a file that was looked through (`segmodels.hub.weights_file`), with the `shapes` found in it.

    Raises:
        UserError: a scale that belongs to no array, or does not fit it.
    """
    scaled = {name.removeprefix(f"{SCALES}/") for name in shapes if name.startswith(f"{SCALES}/")}
    if not scaled:
        yield path
        return
    for name in scaled:
        shape = shapes.get(name, ())
        if not shape or shapes[f"{SCALES}/{name}"] != shape[-1:]:
            raise UserError(f"{path} is damaged: its scale of {name[:80]!a} fits no array of it")
    with tempfile.TemporaryDirectory(prefix="segmodels-") as folder:
        target = Path(folder) / path.name
        with h5py.File(path, "r") as read, h5py.File(target, "w") as written:

            def wide(name: str, array: np.ndarray) -> np.ndarray:
                return array * np.float32(read[f"{SCALES}/{name}"][()]) if name in scaled else array

            copy_weights(read, written, wide, leave_out=SCALES)
        yield target


def copy_weights(
    read: h5py.Group, written: h5py.Group, change: Callable[[str, np.ndarray], np.ndarray], *, leave_out: str = ""
) -> None:
    """Copy groups and arrays with their attributes; `change` makes an array, by its path, what it is to be."""
    written.attrs.update(read.attrs)
    for name, item in read.items():
        if name == leave_out:
            continue
        if isinstance(item, h5py.Group):
            copy_weights(item, written.create_group(name), change)
            continue
        made = written.create_dataset(name, data=change(item.name.lstrip("/"), item[()]))
        made.attrs.update(item.attrs)


def _halved(array: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    off = np.abs(half.astype(np.float32) - array).max()
    return half if off <= TOLERANCE * np.abs(array).max() else array
