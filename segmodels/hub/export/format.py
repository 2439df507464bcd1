"""What the table of export formats says of each, and what is handed to those who write them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segmodels.hub.checkpoint import InputSpec, Spec, load_checkpoint
from segmodels.hub.export.pictures import Pictures
from segmodels.training.reporter import Reporter

if TYPE_CHECKING:
    from segmodels.backend import keras

#: Logits of a batch: uint8 `(batch, height, width, 3)` to float32 `(batch, height, width, classes)`.
Forward = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Network:
    """A network on its way into a file.

    Attributes:
        folder: its checkpoint directory.
        spec: what that says.
        side: of what the file takes, in pixels; None where height and width are free.
        contract: how the file is to be shown pictures.
        about: what the file says of itself, a JSON document.
    """

    folder: Path
    spec: Spec
    side: int | None
    contract: InputSpec
    about: dict[str, Any]

    @cached_property
    def model(self) -> keras.Model:
        """The network in Keras, loaded once."""
        return load_checkpoint(self.folder)[0]


#: Writes a network to a path, of which nothing is there yet. It is given the pictures that the file will be compared
#: on and, for int8, those to measure ranges on; it returns how many operators of an int8 file were left in float.
Write = Callable[[Network, Path, Pictures, Pictures | None, Reporter], int | None]


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        description: what it is and what reads it.
        ending: of the file's name; empty where it is a folder.
        write: writes it.
        open: its forward pass in its own runtime.
        described: what a file says of itself; None of one that `export` did not write.
        sample: the lines of the program beside it that load the file (`segmodels.hub.export.sample`).
        fixed: whether it is of one size, and takes one picture at a time.
        int8: whether it can compute in int8.
        packages: what making and checking it needs beside TensorFlow, by the names they are imported by.
    """

    description: str
    ending: str
    write: Write
    open: Callable[[Path], Forward]
    described: Callable[[Path], dict[str, Any] | None]
    sample: str
    fixed: bool = False
    int8: bool = False
    packages: tuple[str, ...] = ()

    @property
    def is_folder(self) -> bool:
        return not self.ending

    def sample_place(self, path: Path) -> Path:
        """Where the program that uses an export lies: in its folder, or beside its file."""
        if self.is_folder:
            return path / "example.py"
        return path.with_name(f"{path.stem}-{self.ending[1:]}-example.py")  # of each format of a model one


@dataclass(frozen=True)
class Exported:
    """What was written, and how far from Keras it is.

    Attributes:
        model: the checkpoint directory.
        format: a name of `FORMATS`.
        path: the file or folder.
        sample: a program that uses it.
        bytes: of the file, or of all in the folder.
        size: side of what it takes, in pixels; None where height and width are free.
        int8: whether it computes in int8.
        float_operators: how many operators of an int8 file compute in float all the same, the first ones; else None.
        difference: the largest difference of its logits from Keras', as a share of the range that those have in the
            same picture.
        same_pixels: the share of the pixels that get the same class, 0 to 1.
        pictures: how many both were shown.
        compared_on, calibrated_on: which these were, and which the ranges of int8 were measured on; None in float.
        seconds: that all of it took.
    """

    model: str
    format: str
    path: Path
    sample: Path
    bytes: int
    size: int | None
    int8: bool
    float_operators: int | None
    difference: float
    same_pixels: float
    pictures: int
    compared_on: str
    calibrated_on: str | None
    seconds: float

    def document(self) -> dict[str, Any]:
        """All of it as a JSON document."""
        return {**asdict(self), "path": str(self.path), "sample": str(self.sample)}
