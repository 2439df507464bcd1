"""MoNuSeg (Kumar et al. 2020): 51 pictures of stained tissue, 1000x1000 pixels, with every nucleus outlined."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
from scipy import ndimage

from segmodels.data.aperio import read_regions
from segmodels.data.dataset import SPLITS, ClassLabel, Dataset, Finding, Progress, Sample
from segmodels.data.datasets.aperio import PATIENT
from segmodels.data.datasets.pictures import SUFFIXES
from segmodels.data.datasets.polygon_folder import picture_size
from segmodels.data.datasets.shape_findings import shape_findings
from segmodels.data.datasets.texture import edges
from segmodels.data.shapes import Shape, draw
from segmodels.data.split import split_by_source
from segmodels.errors import UserError, choose
from segmodels.home import data_folders, home

#: What the folder is called below `SEGMODELS_DATA` and `home()/data`.
FOLDER = "monuseg"
PAGE = "https://monuseg.grand-challenge.org/Data/"

#: The official folders: of the training part one for pictures and one for outlines, of the test part one for both.
TRAIN, IMAGES, OUTLINES, TEST = "MoNuSeg 2018 Training Data", "Tissue Images", "Annotations", "MoNuSegTestData"

#: The part of the patients in the training part who become the validation split.
VALIDATION_SHARE = 0.15

BACKGROUND, NUCLEUS, BORDER = 0, 1, 2

#: The organ of each patient as the challenge lists it (Kumar et al. 2017, table I; 2020, table I). It gives none for
#: seven pictures that came to the training part later; theirs is the code of the hospital.
ORGANS = {
    "breast": ("A7-A13E", "A7-A13F", "AR-A1AK", "AR-A1AS", "E2-A1B5", "E2-A14V", "AC-A2FO", "AO-A0J2"),
    "kidney": (
        "B0-5711", "HE-7128", "HE-7129", "HE-7130", "B0-5710", "B0-5698", "2Z-A9J9", "GL-6846", "IZ-8196",
    ),
    "liver": ("18-5592", "38-6178", "49-4488", "50-5931", "21-5784", "21-5786"),
    "prostate": (
        "G9-6336", "G9-6348", "G9-6356", "G9-6363", "CH-5767", "G9-6362", "EJ-A46H", "HC-7209",
    ),
    "bladder": ("DK-A2I6", "G2-A2EK", "CU-A0YN", "ZF-A9R5"),
    "colon": ("AY-A8YK", "NH-A8F7", "A6-6782"),
    "stomach": ("KB-A93J", "RD-A8N9"),
    "lung": ("44-2665", "69-7764"),
    "brain": ("FG-A4MU", "HT-8564"),
}  # fmt: skip
_ORGAN_OF = {f"TCGA-{patient}": organ for organ, patients in ORGANS.items() for patient in patients}


class MoNuSeg(Dataset):
    """The official folders `MoNuSeg 2018 Training Data` and `MoNuSegTestData`, with a border class.

    Each nucleus is one region of an Aperio XML file; a later one covers an earlier one. The border is the outermost two
    pixels of every nucleus, on its inner side, so that touching nuclei are four pixels of border apart, and nucleus and
    border together are the nuclei as they were outlined.

    "test" is the official test part; "validation" is 15 % of the patients of the training part, chosen by `split_seed`;
    "train" is the rest.
    """

    name = "monuseg"
    title = "MoNuSeg"
    description = (
        "Stained tissue of nine organs under the microscope; each pixel is background, nucleus or the border of a "
        "nucleus, and every nucleus is numbered."
    )
    licence = "CC BY-NC-SA 4.0"
    source = "https://monuseg.grand-challenge.org/"
    classes: tuple[ClassLabel, ...] = (
        ClassLabel("background", "#56606B"), ClassLabel("nucleus", "#56B4E9"), ClassLabel("border", "#F0E442"),
    )  # fmt: skip
    has_instances = True
    sampling = "tiles"
    any_orientation = True

    root: Path

    def __init__(self, root: str | Path | None = None, *, split_seed: int = 0) -> None:
        """Open the data set and list its pictures.

        Args:
            root: the folder that holds the two official ones, or the one above if that is called `monuseg`. Without it
                `SEGMODELS_DATA` and then `home()/data` are searched.
            split_seed: chooses the validation split.

        Raises:
            UserError: the folder or a part of it is missing.
        """
        super().__init__(root, split_seed=split_seed)
        self.root = _find(self.root)
        train = _listed(self.root / TRAIN / IMAGES, self.root / TRAIN / OUTLINES)
        shares = {"train": 1 - VALIDATION_SHARE, "validation": VALIDATION_SHARE}
        self._samples = split_by_source(train, seed=split_seed, shares=shares)
        self._samples["test"] = _listed(self.root / TEST, self.root / TEST)

    def listed(self, split: str) -> list[Sample]:
        """The samples of "train", "validation" or "test", sorted by id; `group` is the organ, `source` the patient."""
        return list(self._samples[choose("split", split, SPLITS)])

    def read_mask(self, sample: Sample) -> np.ndarray:
        """The class ids 0 background, 1 nucleus, 2 border: uint8 `(height, width)`."""
        instances = self._instances(sample)
        mask = np.where(instances > 0, np.uint8(NUCLEUS), np.uint8(BACKGROUND))
        if len(self.classes) > BORDER:
            mask[ndimage.binary_dilation(edges(instances)) & (instances > 0)] = BORDER
        return mask

    def read_instances(self, sample: Sample) -> np.ndarray:
        """The nuclei, numbered from 1 without gaps: int32 `(height, width)`, 0 where there is none.

        One that later ones cover wholly, or that lies outside of the picture, has no number.
        """
        return self._instances(sample).copy()

    def inspect(self, sample: Sample) -> list[Finding]:
        try:
            regions, problems = read_regions(_outlines(sample))
            height, width = self._size(sample)
            nuclei = int(self._instances(sample).max())
        except UserError:  # reading it says so
            return []
        shapes = [Shape("nucleus", region.points) for region in regions if not region.negative]
        where = _outlines(sample).relative_to(self.root).as_posix()
        found = shape_findings(where, shapes, problems, height, width)
        if nuclei < len(shapes):
            message = f"{len(shapes) - nuclei} of {len(shapes)} nuclei show no pixel: later ones cover them"
            found.append(Finding("covered", where, message, "they are left out"))
        return found

    def inspect_files(self) -> list[Finding]:
        """Outlines without a picture."""
        known = {sample.mask_path for samples in self._samples.values() for sample in samples}
        files = [path for part in (f"{TRAIN}/{OUTLINES}", TEST) for path in sorted((self.root / part).glob("*.xml"))]
        return [
            Finding("no-picture", path.relative_to(self.root).as_posix(), "no picture has the same name", "left out")
            for path in files
            if path not in known and not path.name.startswith(".")
        ]

    @classmethod
    def download(cls, progress: Progress | None = None) -> Path:
        """The folder of the files where they are; nothing can be brought, as the source asks for a login.

        Raises:
            UserError: they are not there, with the page to get them from and the place to put them.
        """
        return _find(None)

    def _size(self, sample: Sample) -> tuple[int, int]:
        assert sample.image_path is not None
        return picture_size(sample.image_path)

    def _instances(self, sample: Sample) -> np.ndarray:
        """As `read_instances`, but not to be written to."""
        path = _outlines(sample)
        state = path.stat()
        return _drawn(path, state.st_mtime_ns, state.st_size, *self._size(sample))


class MoNuSegNuclei(MoNuSeg):
    """The same with two classes: background and nucleus, its border included."""

    name = "monuseg-2"
    title = "MoNuSeg, two classes"
    description = (
        "Stained tissue of nine organs under the microscope; each pixel is background or nucleus, and every nucleus is "
        "numbered."
    )
    classes = MoNuSeg.classes[:BORDER]


# Mask and instances of a sample are mostly asked for together; a drawn picture takes 4 MB.
@functools.lru_cache(maxsize=8)
def _drawn(path: Path, _time: int, _size: int, height: int, width: int) -> np.ndarray:
    """The nuclei of a file, numbered without gaps: int32 `(height, width)`."""
    regions, _ = read_regions(path)
    shapes = [Shape("background" if region.negative else "nucleus", region.points) for region in regions]
    instances = draw(shapes, {"background": BACKGROUND, "nucleus": NUCLEUS}, height, width)[1]
    seen = np.bincount(instances.ravel()) > 0
    seen[0] = False
    instances = np.where(seen, np.cumsum(seen), 0).astype(np.int32)[instances]
    instances.flags.writeable = False
    return instances


def _outlines(sample: Sample) -> Path:
    assert sample.mask_path is not None
    if not sample.mask_path.is_file():
        raise UserError(f"{sample.id}: image has no outlines: expected {sample.mask_path}")
    return sample.mask_path


def _listed(images: Path, outlines: Path) -> list[Sample]:
    """The pictures of a folder, sorted by id, each with the XML file of its name, be it there or not."""
    samples = []
    for path in sorted(images.iterdir()):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        found = PATIENT.match(path.stem)
        patient = found.group() if found else ""
        group = _ORGAN_OF.get(patient) or (f"hospital {patient.split('-')[1]}" if patient else "")
        samples.append(Sample(path.stem, group, patient, path, outlines / f"{path.stem}.xml"))
    if not samples:
        raise UserError(f"{images}: no picture in it; {_how_to_get(images.parent)}")
    return samples


def _find(root: Path | None) -> Path:
    """The folder of the data set: `root` or the one below it, else the first that is there of the usual places."""
    place = home() / "data" / FOLDER
    if root is None:
        places = [folder / FOLDER for folder in data_folders()]
        root = next((folder for folder in places if folder.is_dir()), None)
        if root is None:
            searched = " nor in ".join(map(str, places))
            raise UserError(
                f"MoNuSeg is not in {searched}: {_how_to_get(place)}, or point to it with --root or SEGMODELS_DATA"
            )
    elif not (root / TRAIN).is_dir() and (root / FOLDER).is_dir():
        root = root / FOLDER
    if not root.is_dir():
        wrong = "a file, not a folder" if root.exists() else "no such folder"
        raise UserError(f"{root}: {wrong}; {_how_to_get(place)}, or point --root at it")
    for part in (f"{TRAIN}/{IMAGES}", f"{TRAIN}/{OUTLINES}", TEST):
        if not (root / part).is_dir():
            raise UserError(f"{root}: there is no folder {part}; {_how_to_get(root)}")
    return root


def _how_to_get(folder: Path) -> str:
    return f"its source asks for a login: get both archives at {PAGE} and unpack them in {folder}"
