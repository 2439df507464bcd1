"""Pictures with outlines drawn in Aperio ImageScope: the form in which MoNuSeg and its like are given out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from segmodels.data.aperio import read_labels, read_regions
from segmodels.data.dataset import Finding, Sample
from segmodels.data.datasets.own import split_of
from segmodels.data.datasets.pictures import Pictures, files_below, ids_of, pair
from segmodels.data.datasets.polygon_folder import BACKGROUND, PolygonFolder, class_labels
from segmodels.data.datasets.read_once import read_once
from segmodels.data.shapes import Shape

#: The class of regions in layers without a name, as MoNuSeg's are.
NUCLEUS = "nucleus"

#: What a picture of The Cancer Genome Atlas begins with: project, hospital and patient.
PATIENT = re.compile(r"TCGA-\w\w-\w{4}(?!\w)")


class AperioFolder(PolygonFolder):
    """Pictures and XML files of the same names, beside each other or in folders of their own.

    A layer's name is the class of its regions. Later regions cover earlier ones, and negative ones erase. Pictures of
    The Cancer Genome Atlas are known by their patients, who stay on one side of a split.
    """

    form = "monuseg"
    aliases: ClassVar[Mapping[str, int]] = {**PolygonFolder.aliases, "background": 0, "Background": 0}
    sampling = "tiles"
    any_orientation = True

    @classmethod
    def recognise(cls, root: Path) -> str | None:
        files = files_below(root.absolute())
        pictures = Pictures(root.absolute(), files)
        named = [path for path in files if path.suffix.lower() == ".xml" and pictures.has(path.stem)]
        if not any(is_aperio(path) for path in named[:20]):
            return None
        return f"{len(named)} XML files of Aperio's with pictures of the same names"

    def collect(self) -> list[tuple[Sample, str]]:
        files = files_below(self.root)
        annotations = [path for path in files if path.suffix.lower() == ".xml" and is_aperio(path)]
        paired, self._problems = pair(annotations, Pictures(self.root, files))
        layers, wrong = read_once(list(paired.values()), read_labels, kind="aperio-1")
        # Reading such a sample says so again, and it is skipped.
        self._problems += [Finding("annotation", self._place(path), text, "skipped") for path, text in wrong.items()]
        labels = dict.fromkeys(label or NUCLEUS for names in layers.values() for label in names)
        self.labels = [label for label in labels if label not in self.aliases] or [NUCLEUS]
        self.classes = class_labels(self.labels)
        ids = ids_of(paired, self.root)
        found = []
        for picture, path in paired.items():
            patient = PATIENT.match(picture.name)
            sample = Sample(ids[picture], source=patient.group() if patient else "", image_path=picture, mask_path=path)
            inside = picture.relative_to(self.root)
            official = "test" if "monusegtestdata" in map(str.lower, inside.parts) else ""
            found.append((sample, split_of(inside) or official))
        return sorted(found, key=lambda entry: entry[0].id)

    def _read(self, sample: Sample) -> tuple[list[Shape], list[str]]:
        assert sample.mask_path is not None
        regions, problems = read_regions(sample.mask_path)
        return [
            Shape(BACKGROUND if region.negative else region.label or NUCLEUS, region.points) for region in regions
        ], problems


def is_aperio(path: Path) -> bool:
    """Whether a file's head is that of Aperio's XML."""
    try:
        with path.open("rb") as file:
            # Whatever the encoding: those of two bytes a letter have a zero before or after each.
            return re.search(rb"<Annotations[\s/>]", file.read(4096).replace(b"\0", b"")) is not None
    except OSError:
        return False
