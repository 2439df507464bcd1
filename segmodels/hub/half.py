"""A weights file of half the size: kernels in float16, which are read into a network of float32 as any others."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from segmodels.hub.weights_file import check_weights_file

#: An array with fewer axes, a bias or what a norm has counted, is kept as it is: it is small, and its range is wide.
KERNEL_AXES = 2
#: By so much of an array's largest value float16 may be off; else the array is kept as it is.
TOLERANCE = 1e-3


def write_half(source: Path, target: Path) -> None:
    """Copy a weights file with its kernels in float16, each number within a thousandth of the largest of its array.

    Raises:
        UserError: `source` is no file of weights.
    """
    check_weights_file(source)
    with h5py.File(source, "r") as read, h5py.File(target, "w") as written:
        _copy(read, written)


def _copy(read: h5py.Group, written: h5py.Group) -> None:
    for name, value in read.attrs.items():
        written.attrs[name] = value
    for name, item in read.items():
        if isinstance(item, h5py.Group):
            _copy(item, written.create_group(name))
            continue
        made = written.create_dataset(name, data=_halved(item[()]))
        for key, value in item.attrs.items():
            made.attrs[key] = value


def _halved(array: np.ndarray) -> np.ndarray:
    if array.ndim < KERNEL_AXES or array.dtype != np.float32 or array.size == 0:
        return array
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    off = np.abs(half.astype(np.float32) - array).max()
    return half if off <= TOLERANCE * np.abs(array).max() else array
