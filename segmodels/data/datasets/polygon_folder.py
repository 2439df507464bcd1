"""What the forms of drawn outlines share: classes from their labels, masks and objects by drawing them."""

from __future__ import annotations

import colorsys
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from segmodels.data.dataset import IGNORE, ClassLabel, Finding, Sample
from segmodels.data.datasets.own import OwnDataset
from segmodels.data.datasets.shape_findings import shape_findings
from segmodels.data.images import FORMATS, MAX_PIXELS
from segmodels.data.shapes import Shape, draw
from segmodels.errors import UserError

#: Labels that LabelMe keeps for what does not count and for what lies behind everything.
IGNORED, BACKGROUND = "__ignore__", "_background_"

#: Okabe and Ito's colours, which colour-blind people can tell apart too; further ones go around the colour wheel.
PALETTE = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
BACKGROUND_COLOUR = "#56606B"


class PolygonFolder(OwnDataset):
    """A folder of pictures with drawn shapes. A subclass lists its pictures, sets `labels` and reads their shapes.

    Class 0 is what no shape covers, called `background` unless the labels begin with another name for it.
    """

    has_instances = True
    #: The labels of shapes that count, in the order of their class ids from 1.
    labels: list[str]
    #: Further names that stand for class 0 or, like `__ignore__`, for `IGNORE`.
    aliases: ClassVar[Mapping[str, int]] = {IGNORED: IGNORE, BACKGROUND: 0}

    #: What is odd about the annotation files; `collect` makes the list.
    _problems: list[Finding]

    @abstractmethod
    def _read(self, sample: Sample) -> tuple[list[Shape], list[str]]:
        """The shapes of one picture in the file's order, and what is wrong with each left out (two points, NaN).

        Raises:
            UserError: the file is wrong as a whole.
        """

    def shapes(self, sample: Sample) -> list[Shape]:
        """The shapes of one picture in the file's order; `UserError` where the file is wrong.

        A shape that cannot be drawn (two points, NaN) is left out, and `inspect` says so.
        """
        return self._read(sample)[0]

    def inspect(self, sample: Sample) -> list[Finding]:
        assert sample.mask_path is not None
        try:
            return shape_findings(self._place(sample.mask_path), *self._read(sample), *self.size(sample))
        except UserError:  # reading it says so
            return []

    def inspect_files(self) -> list[Finding]:
        return self._problems

    def size(self, sample: Sample) -> tuple[int, int]:
        """Height and width of the picture, read from its head alone."""
        assert sample.image_path is not None
        return picture_size(sample.image_path)

    def read_mask(self, sample: Sample) -> np.ndarray:
        return self._drawn(sample)[0]

    def read_instances(self, sample: Sample) -> np.ndarray:
        return self._drawn(sample)[1]

    def _drawn(self, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        return draw(self.shapes(sample), self.ids, *self.size(sample))

    def _place(self, path: Path) -> str:
        """What findings call a file of the data set."""
        return path.relative_to(self.root).as_posix()

    def _tell(self, kind: str, path: Path, problems: list[str]) -> None:
        """One finding for what was left out of an annotation file for one reason, however often."""
        if problems:
            more = f", and {len(problems) - 1:,} more like it" if len(problems) > 1 else ""
            self._problems.append(Finding(kind, self._place(path), f"{problems[0]}{more}", "left out"))

    def _need(self, paired: Mapping[Path, Path]) -> None:
        """Where no picture has an annotation, the first problem says why."""
        if not paired and self._problems:
            first = self._problems[0]
            raise UserError(f"{self.root / first.where}: {first.message}")

    def reading(self) -> tuple[object, ...]:
        """The class ids: a label that comes with another file may change them."""
        return tuple(self.ids.items())

    @property
    def ids(self) -> dict[str, int]:
        """The class id of every label."""
        return {**self.aliases, **{label: index for index, label in enumerate(self.labels, start=1)}}


def picture_size(path: Path) -> tuple[int, int]:
    """Height and width of a picture as it is shown, read from its head alone. Raises `UserError`."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            width, height = image.size
            # A camera held upright says so beside the pixels; annotation tools show the picture turned.
            # Of a TIFF Pillow has turned the size already.
            turned = image.format != "TIFF" and image.getexif().get(0x0112) in (5, 6, 7, 8)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except Exception:
        raise UserError(f"{path}: not a picture, or a damaged one") from None
    if width * height > MAX_PIXELS:
        raise UserError(f"{path}: more than {MAX_PIXELS // 1_000_000} megapixels; crop it or save it smaller")
    return (width, height) if turned else (height, width)


def class_labels(names: Iterable[str], *, background: str | None = "background") -> tuple[ClassLabel, ...]:
    """Classes by name, each with a colour of its own; `background` is put before them unless None.

    Raises:
        UserError: more than 255 classes, one more than a mask can hold.
    """
    labels = [ClassLabel(background, BACKGROUND_COLOUR)] if background is not None else []
    labels += [ClassLabel(name, colour(index)) for index, name in enumerate(names)]
    if len(labels) > IGNORE:
        raise UserError(f"{len(labels)} classes are more than the {IGNORE} that a mask can hold")
    return tuple(labels)


def colour(index: int) -> str:
    """The colour of the class at a place, `#RRGGBB`: easy to tell from the ones before."""
    if index < len(PALETTE):
        return PALETTE[index]
    turn = index - len(PALETTE)
    red, green, blue = colorsys.hsv_to_rgb(turn * 0.618034 % 1, 0.55 + 0.3 * (turn % 2), 0.95 - 0.25 * (turn % 3))
    return f"#{round(red * 255):02X}{round(green * 255):02X}{round(blue * 255):02X}"
