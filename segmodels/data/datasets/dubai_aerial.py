"""Humans in the Loop's aerial pictures of Dubai, with colour-coded masks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from segmodels.data.class_table import ColourTable
from segmodels.data.dataset import IGNORE, ClassLabel, Finding, Sample
from segmodels.data.datasets.mask_folder import Kind, Table, mode_of
from segmodels.data.datasets.named_masks import NamedMasks
from segmodels.data.datasets.polygon_folder import picture_size
from segmodels.data.label_files import find_label_file, read_label_file
from segmodels.data.mask_pairs import Pair
from segmodels.errors import UserError

#: The colour of what has no label. Black occurs too, in 0.01 % of the pixels, and means nothing: it is ignored.
UNLABELLED = "#9B9B9B"


class DubaiAerial(NamedMasks):
    """The data set as it is distributed: `Semantic segmentation dataset/Tile N/{images,masks}`.

    The classes' colours are those that the masks really have; its `classes.json` gives others. Whole tiles go to one
    side of a split, as their parts lie beside one another.
    """

    name = "dubai-aerial"
    title = "Aerial pictures of Dubai"
    description = "Satellite pictures of Dubai in tiles; each pixel is building, land, road, vegetation or water."
    licence = "described as open access by Humans in the Loop"
    source = "https://humansintheloop.org/resources/datasets/semantic-segmentation-dataset-2/"
    classes = (
        ClassLabel("building", "#3C1098"),
        ClassLabel("land", "#8429F6"),
        ClassLabel("road", "#6EC1E4"),
        ClassLabel("vegetation", "#FEDD3A"),
        ClassLabel("water", "#E2A929"),
    )
    always = "colours"
    sampling = "tiles"
    any_orientation = True
    folders = ("dubai-aerial", "Semantic segmentation dataset")
    page = "get it with a login from https://www.kaggle.com/datasets/humansintheloop/semantic-segmentation-of-aerial-imagery"

    def table_of(self, kind: Kind) -> Table:
        return ColourTable({UNLABELLED: IGNORE, **{label.colour: i for i, label in enumerate(self.classes)}})

    def sample(self, pair: Pair) -> Sample:
        """`source` is the tile."""
        return Sample(pair.id, source=pair.folder, image_path=pair.image_path, mask_path=pair.mask_path)

    def inspect_files(self) -> list[Finding]:
        """As of all such sets; and a label file that does not fit, masks of several modes, tiles of unequal parts."""
        return [*super().inspect_files(), *self._labels(), *self._modes(), *self._sizes()]

    def _labels(self) -> Iterator[Finding]:
        path = find_label_file(self.root)
        if path is None:
            return
        where, action = path.relative_to(self.root).as_posix(), "passed over; the colours of the masks are taken"
        try:
            labels = read_label_file(path).labels
        except UserError as error:
            yield Finding("label-file", where, str(error), action)
            return
        used = {UNLABELLED, *(label.colour for label in self.classes)}
        if wrong := [label for label in labels if label.colour not in used]:
            message = (
                f"{len(wrong)} of its {len(labels)} colours are in no mask, first {wrong[0].colour} of {wrong[0].name}"
            )
            yield Finding("label-file", where, message, action)

    def _modes(self) -> Iterator[Finding]:
        modes = Counter(mode for pair in self.found.pairs if (mode := mode_of(pair.mask_path)))
        if len(modes) > 1:
            counts = ", ".join(f"{count} {mode}" for mode, count in sorted(modes.items()))
            yield Finding("mixed-modes", "masks", f"the masks are of several modes: {counts}", "read all the same")

    def _sizes(self) -> Iterator[Finding]:
        sizes: dict[str, set[tuple[int, int]]] = {}
        for pair in self.found.pairs:
            try:
                sizes.setdefault(pair.folder, set()).add(picture_size(pair.image_path))
            except UserError:  # whoever reads the sample is told
                continue
        for tile, found in sorted(sizes.items()):
            if len(found) > 1:
                listed = ", ".join(f"{width}x{height}" for height, width in sorted(found))
                yield Finding(
                    "mixed-sizes", tile, f"the parts of the tile differ in size: {listed}", "read all the same"
                )
