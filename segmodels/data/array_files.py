"""NumPy files as memory maps: `.npy` as they are, members of `.npz` unpacked once. Nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from segmodels.data.disk import make_folder, need_space
from segmodels.errors import UserError
from segmodels.files import replacing
from segmodels.home import home

#: More bytes than this in one array are refused.
MAX_BYTES = 1 << 40

#: More arrays than this in one `.npz` are not looked at.
MAX_MEMBERS = 1000


@dataclass(frozen=True)
class Stored:
    """An array in a file, known from its head alone.

    Attributes:
        path: the `.npy` or `.npz` file.
        member: the file's name inside the `.npz`, else "".
        name: what the array is called: the member's or the file's name without suffix.
    """

    path: Path
    member: str
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def label(self) -> str:
        """What messages call it."""
        return f"{self.path}: {self.name}" if self.member else str(self.path)

    def open(self) -> np.ndarray:
        """The array as a read-only memory map. A member of an `.npz` is first unpacked to `home()/cache/arrays`.

        Raises:
            UserError: damaged, cut short, or no space to unpack it.
        """
        path = _unpacked(self) if self.member else self.path
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except Exception as error:  # NumPy raises ValueError, OverflowError, OSError and more
            raise UserError(f"{self.label} is cut short or damaged ({_one_line(error)})") from None
        if array.shape != self.shape or array.dtype != self.dtype:
            raise UserError(f"{self.label} has changed since it was opened; open the data set again")
        return array


def stored_arrays(path: Path) -> list[Stored]:
    """The arrays in a `.npy` or `.npz` file, from their heads.

    Raises:
        UserError: damaged, or an array of Python objects, which is a pickle and could run code, or of an absurd size.
    """
    try:
        if path.suffix.lower() == ".npy":
            with path.open("rb") as file:
                return [_head(path, "", file)]
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if info.filename.endswith(".npy")][:MAX_MEMBERS]
            found = []
            for info in members:
                with archive.open(info) as file:  # only the head is unpacked
                    found.append(_head(path, info.filename, file))
                if _bytes(found[-1]) > info.file_size:
                    raise UserError(f"{found[-1].label} is cut short")
            return found
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or _one_line(error)})") from None
    except Exception as error:  # zipfile and NumPy raise much more than they document
        raise UserError(f"{path} is no NumPy file, or a damaged one ({_one_line(error)})") from None


def _head(path: Path, member: str, file: IO[bytes]) -> Stored:
    name = Path(member).stem if member else path.stem
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    else:
        raise UserError(f"{path}: version {version[0]}.{version[1]} of NumPy's format is not read; save it again")
    found = Stored(path, member, name, shape, dtype)
    if dtype.hasobject:
        raise UserError(f"{found.label} holds Python objects, which could run code: save it as an array of numbers")
    if min(shape, default=0) < 0 or _bytes(found) > MAX_BYTES:
        raise UserError(f"{found.label} claims a shape of {shape}")
    return found


def _bytes(stored: Stored) -> int:
    size = stored.dtype.itemsize
    for length in stored.shape:
        size *= length
    return size


def _unpacked(stored: Stored) -> Path:
    """The member as a file of its own, unpacked when it is first asked for."""
    try:
        state = stored.path.stat()
        key = f"{stored.path}\0{state.st_size}\0{state.st_mtime_ns}\0{stored.member}"
        place = (
            home()
            / "cache"
            / "arrays"
            / hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
        )
        place = place.with_suffix(".npy")
        if place.is_file():
            return place
        make_folder(place.parent)
        with zipfile.ZipFile(stored.path) as archive:
            size = archive.getinfo(stored.member).file_size
            need_space(place.parent, size)
            with replacing(place) as beside, archive.open(stored.member) as source, beside.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{stored.label} cannot be unpacked ({_one_line(error)})") from None
    return place


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
