"""The Oxford-IIIT Pet data set: 37 breeds of cats and dogs, each picture with a trimap of the animal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from segmodels.data.archive import unpack
from segmodels.data.dataset import SPLITS, ClassLabel, Dataset, Finding, Progress, Sample
from segmodels.data.disk import Report, Stop, locked, make_folder, need_space
from segmodels.data.download import Archive, fetch, remaining
from segmodels.data.images import read_image, read_mask
from segmodels.data.split import split_off
from segmodels.errors import UserError, choose
from segmodels.home import data_folders, home

#: What the folder is called below `SEGMODELS_DATA` and where it is downloaded to.
FOLDER = "oxford-iiit-pet"

#: The part of the official "trainval" list that becomes the validation split.
VALIDATION_SHARE = 0.1

#: The official archives.
ARCHIVES = (
    Archive(
        url="https://thor.robots.ox.ac.uk/~vgg/data/pets/images.tar.gz",
        file_name="images.tar.gz",
        size=791918971,
        sha256="67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d",
    ),
    Archive(
        url="https://thor.robots.ox.ac.uk/~vgg/data/pets/annotations.tar.gz",
        file_name="annotations.tar.gz",
        size=19173078,
        sha256="52425fb6de5c424942b7626b428656fcbd798db970a937df61750c0f1d358e91",
    ),
)

_HOW_TO_GET = "download it with `python -m segmodels datasets download oxford-pets` (792 MB + 19 MB)"


class OxfordPets(Dataset):
    """Oxford-IIIT Pet as it is distributed: `images/*.jpg`, `annotations/trimaps/*.png` and two lists.

    "test" is the official test list; "validation" is a tenth of the official trainval list, from every breed its share,
    chosen by `split_seed`; "train" is the rest. Pictures that stand in no list belong to no split.
    """

    name = "oxford-pets"
    download_size: ClassVar[int] = sum(archive.size for archive in ARCHIVES)
    title = "Oxford-IIIT Pet"
    description = "Photos of cats and dogs of 37 breeds; each pixel is pet, background or the border between."
    licence = "CC BY-SA 4.0; the photos belong to their owners"
    source = "https://www.robots.ox.ac.uk/~vgg/data/pets/"
    classes = (
        ClassLabel("pet", "#E69F00"),
        ClassLabel("background", "#56606B"),
        ClassLabel("border", "#F0E442"),
    )

    root: Path

    def __init__(self, root: str | Path | None = None, *, split_seed: int = 0) -> None:
        """Open the data set and read its lists.

        Args:
            root: the folder that holds `images` and `annotations`, or the one above if that is called
                `oxford-iiit-pet`. Without it `SEGMODELS_DATA` and then the place of downloads are searched.
            split_seed: chooses the validation split.

        Raises:
            UserError: the folder or a part of it is missing, or a list has a line that cannot be used.
        """
        super().__init__(root, split_seed=split_seed)
        self.root = _find(self.root)
        _check_layout(self.root)
        annotations = self.root / "annotations"
        trainval = _read_list(annotations / "trainval.txt")
        test = _read_list(annotations / "test.txt", taken=frozenset(trainval))
        apart = split_off([_breed(name) for name in trainval], VALIDATION_SHARE, split_seed)
        self._names: dict[str, list[str]] = {
            "train": [name for name, chosen in zip(trainval, apart, strict=True) if not chosen],
            "validation": [name for name, chosen in zip(trainval, apart, strict=True) if chosen],
            "test": test,
        }

    def listed(self, split: str) -> list[Sample]:
        """The samples of "train", "validation" or "test", sorted by id; `group` is the breed.

        Listed samples whose files are missing are among them: `read` says which file, and nothing is left out silently.
        """
        names = self._names[choose("split", split, SPLITS)]
        return [
            Sample(
                id=name,
                group=_breed(name),
                image_path=self.root / "images" / f"{name}.jpg",
                mask_path=self.root / "annotations" / "trimaps" / f"{name}.png",
            )
            for name in names
        ]

    def read_image(self, sample: Sample) -> np.ndarray:
        """The picture: uint8 RGB `(height, width, 3)`. Raises `UserError` where it is missing or cannot be read."""
        assert sample.image_path is not None
        if not sample.image_path.is_file():
            raise UserError(f"{sample.id}: listed, but it has no image: expected {sample.image_path}")
        return read_image(sample.image_path)

    def image_file(self, sample: Sample) -> Path | None:
        """The picture itself; of one that is missing `read_image` says so."""
        return sample.image_path if sample.image_path and sample.image_path.is_file() else None

    def read_mask(self, sample: Sample) -> np.ndarray:
        """The class ids 0 pet, 1 background, 2 border: uint8 `(height, width)`.

        Raises:
            UserError: the trimap is missing, cannot be read, or has a value other than 1, 2 and 3.
        """
        assert sample.mask_path is not None
        if not sample.mask_path.is_file():
            raise UserError(f"{sample.id}: image has no mask: expected {sample.mask_path}")
        trimap = read_mask(sample.mask_path)
        if (lowest := trimap.min(initial=1)) < 1 or (highest := trimap.max(initial=1)) > 3:
            wrong = lowest if lowest < 1 else highest
            raise UserError(f"{sample.mask_path}: trimap value {wrong} is none of 1 pet, 2 background, 3 border")
        return trimap - np.uint8(1)

    def inspect(self, sample: Sample) -> list[Finding]:
        """Values of the trimap that stand for nothing, with their share."""
        assert sample.mask_path is not None
        try:
            counts = np.bincount(read_mask(sample.mask_path).ravel(), minlength=256)
        except UserError:  # `read_mask` of this class says it
            return []
        wrong = [int(value) for value in np.flatnonzero(counts) if value not in (1, 2, 3)]
        if not wrong:
            return []
        values, share = ", ".join(map(str, wrong[:8])), counts[wrong].sum() / counts.sum()
        message = f"trimap values {values} on {100 * share:.3g} % of the pixels: none of 1 pet, 2 background, 3 border"
        where = sample.mask_path.relative_to(self.root).as_posix()
        return [Finding("wrong-value", where, message, "skipped", sample.id)]

    def inspect_files(self) -> list[Finding]:
        """Pictures and trimaps that stand in no list: they belong to no split."""
        listed = {sample.id for split in SPLITS for sample in self.listed(split)}
        findings = []
        for folder, suffix in (("images", ".jpg"), ("annotations/trimaps", ".png")):
            for path in sorted((self.root / folder).glob(f"*{suffix}")):
                if path.stem in listed or path.name.startswith("."):  # the archive holds macOS's hidden files too
                    continue
                where = f"{folder}/{path.name}"
                message = "in no list" + (_trimap_remark(path) if suffix == ".png" else "")
                findings.append(Finding("unlisted", where, message, "not read: it belongs to no split"))
        return findings

    @classmethod
    def download(
        cls, progress: Progress | None = None, *, archives: Sequence[Archive] = ARCHIVES, stop: Stop | None = None
    ) -> Path:
        """Bring the official archives, unpack them to `home()/data/oxford-iiit-pet` and return that folder.

        Returns at once where it is complete. After an interruption it goes on from what had come. The archives lie in
        `home()/data/downloads` meanwhile, where files fetched by hand are taken too, and are removed at the end.

        Args:
            progress: called with bytes done, bytes in all, and what is being done.
            archives: what to bring.
            stop: asked often; once it returns True this ends with `segmodels.data.disk.Stopped`.

        Raises:
            UserError: no connection, too little space, a damaged archive, or a folder that is there but incomplete,
                which is left as it is, because somebody else than this method made it so.
        """
        folder = home() / "data" / FOLDER
        if _is_there(folder):
            return folder
        downloads = folder.parent / "downloads"
        size = sum(archive.size for archive in archives)
        report = Report(progress, stop)

        def waiting() -> None:
            report(0, size, "waiting for another download of this data set")

        make_folder(downloads)
        with locked(downloads / f".{FOLDER}.lock", waiting):
            if _is_there(folder):
                return folder
            # Known before the first byte comes: the archives and what they unpack to lie side by side for a while.
            need_space(downloads, size * 5 // 4 + sum(remaining(archive, downloads) for archive in archives))
            paths = [fetch(archive, downloads, progress, stop) for archive in archives]
            unpack(paths, folder, progress, stop, check=_check_complete)
            for path in paths:
                path.unlink(missing_ok=True)
        return folder


def _find(root: Path | None) -> Path:
    """The folder of the data set: `root` or the one below it, else the first that is there of the usual places."""
    if root is not None:
        return root / FOLDER if not (root / "images").is_dir() and (root / FOLDER).is_dir() else root
    places = [folder / FOLDER for folder in data_folders()]
    for place in places:
        if place.is_dir():
            return place
    searched = " nor in ".join(map(str, places))
    raise UserError(
        f"Oxford-IIIT Pet is not in {searched}: {_HOW_TO_GET}, or point to it with --root or SEGMODELS_DATA"
    )


def _check_layout(root: Path) -> None:
    """Raise `UserError` that names the first thing missing in `root` and what to do about it."""
    if not root.exists():
        raise UserError(f"{root}: no such folder; point --root at Oxford-IIIT Pet, or {_HOW_TO_GET}")
    if not root.is_dir():
        raise UserError(f"{root}: a file, not a folder; point --root at the folder that holds images and annotations")
    try:
        empty = not any(root.iterdir())
    except OSError:
        raise UserError(f"{root}: the folder cannot be read; check its permissions") from None
    if empty:
        raise UserError(
            f"{root}: the folder is empty; unpack images.tar.gz and annotations.tar.gz in it, or {_HOW_TO_GET}"
        )
    for part, kind, archive in (
        ("images", "folder", "images.tar.gz"),
        ("annotations/trimaps", "folder", "annotations.tar.gz"),
        ("annotations/trainval.txt", "list file", "annotations.tar.gz"),
        ("annotations/test.txt", "list file", "annotations.tar.gz"),
    ):
        path = root / part
        if not (path.is_dir() if kind == "folder" else path.is_file()):
            raise UserError(f"{root}: there is no {kind} {part}; unpack {archive} in it, or {_HOW_TO_GET}")


def _read_list(path: Path, taken: frozenset[str] = frozenset()) -> list[str]:
    """The names of a list file, sorted. Lines are `Name CLASS-ID SPECIES BREED`; `#` starts a comment.

    Raises:
        UserError: naming file and line, where a line is malformed, a name climbs out of the folder, or a name stands
            there twice or in `taken`, those of the other list.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise UserError(f"{path}: the list cannot be read as text; unpack annotations.tar.gz again") from None
    names: set[str] = set()
    for number, line in enumerate(text.split("\n"), start=1):
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        where = f"{path}, line {number}"
        name = fields[0]
        if len(fields) != 4 or not all(field.isascii() and field.isdigit() for field in fields[1:]):
            raise UserError(f"{where}: expected `Name CLASS-ID SPECIES BREED`, got {line.strip()[:80]!a}")
        if "/" in name or "\\" in name or ".." in name or ":" in name or not name.isprintable():
            raise UserError(f"{where}: {name[:80]!a} is not the plain name of a picture")
        if name in names:
            raise UserError(f"{where}: {name} is listed twice")
        if name in taken:
            raise UserError(f"{where}: {name} is in trainval.txt too; a picture to test on must not be trained on")
        names.add(name)
    if not names:
        raise UserError(f"{path}: the list names no picture; unpack annotations.tar.gz again")
    return sorted(names)


def _trimap_remark(path: Path) -> str:
    """What makes a trimap useless, as a continuation of a sentence, or ""."""
    try:
        values = np.unique(read_mask(path))
    except UserError:
        return "; it cannot be read"
    return f"; every pixel is {values[0]}" if len(values) == 1 else ""


def _breed(name: str) -> str:
    """ "american_bulldog" of "american_bulldog_12"."""
    return re.sub(r"_\d+$", "", name)


def _is_there(folder: Path) -> bool:
    """Whether the data set is in `folder`; `UserError` where something is, but not all of it."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return False
    try:
        _check_complete(folder)
    except UserError as error:
        raise UserError(f"{error}; to download it anew, first move or delete {folder}") from None
    return True


def _check_complete(folder: Path) -> None:
    """Raise `UserError` unless every listed picture has its image and its mask in `folder`."""
    pets = OxfordPets(folder)
    # Two listings instead of thousands of questions, which a network disk would answer one by one.
    images = {path.name for path in (pets.root / "images").iterdir()}
    masks = {path.name for path in (pets.root / "annotations" / "trimaps").iterdir()}
    names = [sample.id for split in SPLITS for sample in pets.samples(split)]
    missing = [f"images/{name}.jpg" for name in names if f"{name}.jpg" not in images]
    missing += [f"annotations/trimaps/{name}.png" for name in names if f"{name}.png" not in masks]
    if missing:
        raise UserError(f"{folder}: {len(missing)} of {2 * len(names)} listed files are missing, first {missing[0]}")
