"""What named sets of pictures and mask pictures share: the places they are looked for in, and reading by a table."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

import numpy as np

from segmodels.data.dataset import SPLITS, Dataset, Finding, Progress, Sample
from segmodels.data.datasets.mask_folder import Kind, Table, masks_in, unknown_findings
from segmodels.data.datasets.own import check_folder
from segmodels.data.images import read_mask_colours, read_mask_values
from segmodels.data.mask_pairs import Pair, Pairs
from segmodels.data.split import split_by_source
from segmodels.errors import UserError, choose
from segmodels.home import data_folders, home


class NamedMasks(Dataset):
    """A public data set of pictures and mask pictures that has to be fetched by hand."""

    #: What its folder is called below `SEGMODELS_DATA`, `home()/data` or a given root; the first is the usual name.
    folders: ClassVar[tuple[str, ...]]
    #: The page to get it from, and what for it has to be got by hand.
    page: ClassVar[str]
    #: What its masks hold in all its editions; None where they have to be looked at.
    always: ClassVar[Kind | None] = None
    root: Path

    def __init__(self, root: str | Path | None = None, *, split_seed: int = 0) -> None:
        """Open the data set and list its pictures.

        Args:
            root: its folder, or one that holds it. Without it `SEGMODELS_DATA` and then `home()/data` are searched.
            split_seed: chooses the splits where no list and no folder does.

        Raises:
            UserError: the folder is missing, or has no pictures with masks in it; with where to get them.
        """
        super().__init__(root, split_seed=split_seed)
        self.root = self._find(self.root)
        check_folder(self.root)
        found = masks_in(self.root)
        if found is None:
            raise UserError(f"{self.root}: no pictures with masks of {self.title} in it; {self._how_to_get()}")
        self.kind: Kind = self.always or found[0]
        self.found: Pairs = found[1]
        self.table: Table = self.table_of(self.kind)
        samples = [(self.sample(pair), pair.split) for pair in self.found.pairs]
        if all(split for _, split in samples):
            self._splits = {of: [sample for sample, split in samples if split == of] for of in SPLITS}
        else:
            self._splits = split_by_source([sample for sample, _ in samples], seed=split_seed)

    @abstractmethod
    def table_of(self, kind: Kind) -> Table:
        """The class ids of what the masks hold."""

    @abstractmethod
    def sample(self, pair: Pair) -> Sample:
        """The sample of a pair, with its source."""

    def listed(self, split: str) -> list[Sample]:
        """The samples of "train", "validation" or "test", sorted by id."""
        return self._splits[choose("split", split, SPLITS)]

    def read_mask(self, sample: Sample) -> np.ndarray:
        """Class ids uint8 `(height, width)`; `IGNORE` for what does not count and for values of no class."""
        return self.table.ids(self._stored(sample))

    def reading(self) -> tuple[object, ...]:
        return (self.kind, self.table.classes)

    def inspect(self, sample: Sample) -> list[Finding]:
        """Values or colours that are no class of this data set."""
        assert sample.mask_path is not None
        try:
            stored = self._stored(sample)
        except UserError:  # whoever reads the sample is told
            return []
        where = sample.mask_path.relative_to(self.root).as_posix()
        return unknown_findings(self.table.unknown(stored), stored, where, sample.id)

    def inspect_files(self) -> list[Finding]:
        """Pictures without mask, masks without picture, clashing names, faulty lists."""
        return list(self.found.findings)

    def _stored(self, sample: Sample) -> np.ndarray:
        assert sample.mask_path is not None
        return (read_mask_colours if self.kind == "colours" else read_mask_values)(sample.mask_path)

    @classmethod
    def download(cls, progress: Progress | None = None) -> Path:
        """The folder of the files where they are; they cannot be brought.

        Raises:
            UserError: they are not there; with the page to get them from and the place to put them.
        """
        return cls._find(None)

    @classmethod
    def _find(cls, root: Path | None) -> Path:
        """The folder given, or else the first that is there of the usual places; or the one of its name inside it."""
        places = data_folders()
        if root is None:
            usual = (place / folder for place in places for folder in cls.folders)
            root = next((folder for folder in usual if folder.is_dir()), None)
        if root is not None:
            below = (root / folder for folder in cls.folders)
            return next((folder for folder in below if folder.is_dir()), root)
        searched = " nor in ".join(str(place / cls.folders[0]) for place in places)
        raise UserError(f"{cls.title} is not in {searched}: {cls._how_to_get()}")

    @classmethod
    def _how_to_get(cls) -> str:
        return f"{cls.page}, put it in {home() / 'data' / cls.folders[0]}, or point to it with --root or SEGMODELS_DATA"
