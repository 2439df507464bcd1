"""Pictures with objects exported from QuPath as GeoJSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from segmodels.data.dataset import IGNORE, ClassLabel, Finding, Sample
from segmodels.data.datasets.own import split_of
from segmodels.data.datasets.pictures import Pictures, files_below, ids_of, pair
from segmodels.data.datasets.polygon_folder import PolygonFolder, class_labels
from segmodels.data.datasets.read_once import read_once
from segmodels.data.datasets.shape_findings import shape_findings
from segmodels.data.geojson import classification_of, looks_like_geojson, read_features, shapes_of
from segmodels.data.shapes import Shape
from segmodels.errors import UserError

#: The class of objects without one, where no object has a class.
OBJECT = "object"

#: QuPath's own classes for what does not count, and for frames around what was annotated, which are not drawn.
IGNORED, FRAME = "ignore*", "region*"


class QuPathFolder(PolygonFolder):
    """Pictures and GeoJSON files of the same names, beside each other or in folders of their own.

    Classes come in the order of their names, in QuPath's colours; objects are drawn in the file's order. One without a
    class is of the only class there is, and ignored where there are several.
    """

    form = "qupath"
    aliases: ClassVar[Mapping[str, int]] = {**PolygonFolder.aliases, "background": 0, "Background": 0}
    sampling = "tiles"
    any_orientation = True

    @classmethod
    def recognise(cls, root: Path) -> str | None:
        files = files_below(root.absolute())
        pictures = Pictures(root.absolute(), files)
        named = [path for path in files if path.suffix.lower() in (".geojson", ".json") and pictures.has(path.stem)]
        named.sort(key=lambda path: path.suffix.lower() != ".geojson")
        found = [path for path in named[:20] if looks_like_geojson(path)]
        return (
            f"GeoJSON with pictures of the same names: {', '.join(path.name for path in found[:3])}" if found else None
        )

    def collect(self) -> list[tuple[Sample, str]]:
        files = files_below(self.root)
        annotations = [
            path for path in files if path.suffix.lower() in (".geojson", ".json") and looks_like_geojson(path)
        ]
        paired, self._problems = pair(annotations, Pictures(self.root, files))
        classes, wrong = read_once(list(paired.values()), _classes, kind="qupath-1")
        # Reading such a sample says so again, and it is skipped.
        self._problems += [Finding("annotation", self._place(path), text, "skipped") for path, text in wrong.items()]
        colours = {name: colour for found in classes.values() for name, colour in found}
        self.labels = sorted(
            name for name in colours if name and name.lower() not in (IGNORED, FRAME) and name not in self.aliases
        ) or [OBJECT]
        background, *named = class_labels(self.labels)
        self.classes = (background, *(ClassLabel(one.name, colours.get(one.name) or one.colour) for one in named))
        found = []
        for picture, name in ids_of(paired, self.root).items():
            sample = Sample(name, image_path=picture, mask_path=paired[picture])
            found.append((sample, split_of(picture.relative_to(self.root))))
        return sorted(found, key=lambda entry: entry[0].id)

    @property
    def ids(self) -> dict[str, int]:
        only = 1 if len(self.labels) == 1 else IGNORE
        return {**super().ids, "": only, IGNORED: IGNORE}

    def inspect(self, sample: Sample) -> list[Finding]:
        assert sample.mask_path is not None
        try:
            shapes, problems = self._read(sample)
            height, width = self.size(sample)
        except UserError:  # reading it says so
            return []
        where = self._place(sample.mask_path)
        found = shape_findings(where, shapes, problems, height, width)
        bare = sum(not shape.label for shape in shapes)
        if bare and self.ids[""] == IGNORE:
            found.append(
                Finding("unclassified", where, f"{bare:,} of {len(shapes):,} objects have no class", "ignored")
            )
        return found

    def _read(self, sample: Sample) -> tuple[list[Shape], list[str]]:
        """The shapes of a picture, and what is wrong with each that is left out."""
        assert sample.mask_path is not None
        shapes: list[Shape] = []
        problems = []
        for number, feature in enumerate(read_features(sample.mask_path), start=1):
            name = classification_of(feature).name
            if name.lower() == FRAME:
                continue
            try:
                shapes += shapes_of(feature, IGNORED if name.lower() == IGNORED else name, number)
            except UserError as error:
                problems.append(f"feature {number}: {error}")
        return shapes, problems


def _classes(path: Path) -> list[list[str]]:
    """The classes in a file, each once, with the first colour given for it."""
    colours: dict[str, str] = {}
    for feature in read_features(path):
        found = classification_of(feature)
        colours[found.name] = colours.get(found.name) or found.colour
    return [[name, colour] for name, colour in colours.items()]
