"""Aerial pictures of Dubai: the colours really used, tiles that stay together, and the defects of the original."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segmodels.data.dataset import SPLITS
from segmodels.data.datasets import open_dataset
from segmodels.data.datasets.colour_masks import ColourMaskFolder
from segmodels.data.datasets.dubai_aerial import DubaiAerial
from segmodels.errors import UserError

pytestmark = pytest.mark.usefixtures("home")

IDS = {"3C1098": 0, "8429F6": 1, "6EC1E4": 2, "FEDD3A": 3, "E2A929": 4, "9B9B9B": 255, "000000": 255}


def by_hand(path: Path) -> np.ndarray:
    """The class ids, colour by colour."""
    colours = np.asarray(Image.open(path).convert("RGB"))
    ids = np.full(colours.shape[:2], 99, np.uint8)
    for name, class_id in IDS.items():
        ids[(colours == tuple(bytes.fromhex(name))).all(axis=-1)] = class_id
    assert not (ids == 99).any()
    return ids


def test_masks_and_splits(data_folder: Path) -> None:
    data = open_dataset("dubai-aerial")
    assert data.root == (data_folder / "dubai-aerial/Semantic segmentation dataset").resolve()
    assert (data.sampling, data.any_orientation) == ("tiles", True)
    tiles = {split: {sample.source for sample in data.samples(split)} for split in SPLITS}
    assert all(tiles.values())
    assert sum(map(len, tiles.values())) == len(set.union(*tiles.values())) == 7
    samples = [sample for split in SPLITS for sample in data.samples(split)]
    assert len({sample.id for sample in samples}) == 50  # the file names repeat from tile to tile
    assert "Tile 1/image_part_001" in {sample.id for sample in samples}
    modes = Counter()
    for sample in sorted(samples, key=lambda sample: sample.id)[::4]:
        image, mask = data.read(sample)
        modes[Image.open(sample.mask_path).mode] += 1
        assert image.shape[:2] == mask.shape
        np.testing.assert_array_equal(mask, by_hand(sample.mask_path))
    assert set(modes) == {"P", "RGB"}
    other = DubaiAerial(data_folder / "dubai-aerial", split_seed=1)
    assert {split: {sample.source for sample in other.samples(split)} for split in SPLITS} != tiles


def test_the_originals_defects_are_found(data_folder: Path) -> None:
    data = DubaiAerial(data_folder / "dubai-aerial")
    found = Counter(finding.kind for finding in data.inspect_files())
    assert found == {"label-file": 1, "mixed-modes": 1, "mixed-sizes": 4}
    messages = " ".join(finding.message for finding in data.inspect_files())
    assert "5 of its 6 colours are in no mask, first #50E3C2 of Water" in messages
    assert "18 P, 32 RGB" in messages
    assert "797x643, 797x644" in messages
    black = [finding for split in SPLITS for sample in data.samples(split) for finding in data.inspect(sample)]
    assert len(black) == 4
    assert all("#000000" in finding.message and finding.action == "those pixels are ignored" for finding in black)


def test_as_a_folder_of_ones_own(data_folder: Path) -> None:
    """The label file does not fit, so the classes are the colours in the masks; black is too rare for one."""
    own, named = ColourMaskFolder(data_folder / "dubai-aerial"), DubaiAerial(data_folder / "dubai-aerial")
    assert [label.name for label in own.classes] == ["#3C1098", "#6EC1E4", "#8429F6", "#E2A929", "#FEDD3A"]
    assert [finding.kind for finding in own.inspect_files()] == ["label-file"]
    place = np.full(256, 255, np.uint8)
    place[[0, 2, 1, 4, 3]] = range(5)
    known = {sample.id: sample for split in SPLITS for sample in named.samples(split)}
    for sample in own.samples("test")[:3]:
        assert sample.source.startswith("Tile ")
        np.testing.assert_array_equal(own.read(sample)[1], place[named.read(known[sample.id])[1]])


def test_a_mask_of_another_size(data_folder: Path, tmp_path: Path) -> None:
    source = data_folder / "dubai-aerial/Semantic segmentation dataset/Tile 2"
    shutil.copytree(source, tmp_path / "Tile 2")
    path = tmp_path / "Tile 2/masks/image_part_001.png"
    image = Image.open(path)
    image.crop((0, 0, image.width - 1, image.height)).save(path)
    data = DubaiAerial(tmp_path)
    samples = [sample for split in SPLITS for sample in data.samples(split)]
    broken = next(sample for sample in samples if sample.id.endswith("001"))
    with pytest.raises(UserError, match="they must be of one size"):
        data.read(broken)
    assert sum(data.read(sample)[1] is not None for sample in samples if sample != broken) == 8


def test_where_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEGMODELS_DATA", raising=False)
    with pytest.raises(UserError, match=r"kaggle\.com/datasets/humansintheloop.*dubai-aerial, or point"):
        DubaiAerial.download()
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "images/a.png")
    with pytest.raises(UserError, match="no pictures with masks of Aerial pictures"):
        DubaiAerial(tmp_path)
