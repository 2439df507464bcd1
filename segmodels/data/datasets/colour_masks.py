"""Folders of pictures and colour-coded masks: a colour a class."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from segmodels.data.class_table import TOLERANCE, ColourTable, hex_of, pack, unpack
from segmodels.data.dataset import IGNORE
from segmodels.data.datasets.mask_folder import LEAST_SHARE, MaskFolder, coloured, masks_in
from segmodels.data.datasets.mask_values import MaskValues
from segmodels.data.datasets.voc_masks import voc_folders
from segmodels.data.images import read_mask_colours
from segmodels.data.label_files import Label, find_label_file

#: A label file whose colours cover less than this of the masks is of another data set.
LEAST_COVERED = 0.5


class ColourMaskFolder(MaskFolder):
    """Masks whose colours are classes, in pictures of any mode: RGB, RGBA without regard to transparency, palettes.

    The classes are those of the label file. Where there is none, or one whose colours are not the masks', each colour
    that covers a ten-thousandth of all pixels is a class, named by its hexadecimal code unless the label file names it,
    and the others count as the nearest of them if near. Colours of no class count as the nearest one within a distance
    of `TOLERANCE`; else they are ignored.
    """

    form = "colours"

    @classmethod
    def recognise(cls, root: Path) -> str | None:
        if voc_folders(root) or not (found := masks_in(root)) or found[0] != cls.form:
            return None
        label_path = find_label_file(root)
        named = f" by {label_path.name}" if label_path else ""
        return f"{len(found[1].pairs)} pictures with colour-coded masks{named}"

    def stored(self, path: Path) -> np.ndarray:
        return read_mask_colours(path)

    def find_classes(self) -> None:
        values = self.values("colours", lambda path: pack(self.stored(path)))
        labels = list(self.labels.labels) if self.labels and self.labels.has_colours else []
        if self.labels and not labels:
            self.doubt(
                "label-file", "it gives no colours, but the masks are in colours", "the masks' colours are taken"
            )
        elif labels and (covered := _covered(values, labels)) < LEAST_COVERED:
            message = f"its colours are those of {covered:.1%} of the masks' pixels alone"
            self.doubt("label-file", message, "the masks' colours are taken, named by it where it has them")
            known = {label.colour: label for label in labels}
            labels = [known.get(name, Label(name, colour=name)) for name in frequent(values)]
        if not labels:
            labels = [Label(name, colour=name) for name in frequent(values)]
        self.classes, ids = coloured(labels)
        self.table = ColourTable(ids)


def frequent(values: MaskValues) -> list[str]:
    """The colours that are classes where no label file says so, in the order of their codes.

    Of smoothed masks and JPEG, which have hundreds of colours, none that lies near a more frequent one.
    """
    found = sorted(values.pixels, key=lambda value: -values.pixels[value])
    kept = [value for value in found if values.share(value) >= LEAST_SHARE] or found[:1]
    if len(found) > IGNORE:
        apart: list[int] = []
        for value in kept:
            away = np.linalg.norm(unpack(np.array(apart)).astype(float) - unpack(np.array(value)), axis=-1)
            if not apart or away.min() > TOLERANCE:
                apart.append(value)
        kept = apart
    return [hex_of(value) for value in sorted(kept[:IGNORE])]


def _covered(values: MaskValues, labels: list[Label]) -> float:
    """The share of pixels whose colour is one of the labels' or near it."""
    table = ColourTable({label.colour: 0 for label in labels if label.colour})
    colours = np.array([*values.pixels])
    known = table.ids(unpack(colours)) == 0
    return sum(values.share(int(value)) for value in colours[known])
