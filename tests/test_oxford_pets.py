"""Oxford-IIIT Pet: the layout, the splits, what goes wrong, and the real files where they are."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segmodels.data.dataset import SPLITS, Sample
from segmodels.data.datasets.oxford_pets import ARCHIVES, OxfordPets
from segmodels.errors import UserError

TRIMAP = np.array([[1, 2, 3, 2], [1, 1, 3, 2], [2, 2, 2, 2]], np.uint8)


@pytest.fixture
def pets_root() -> Path:
    """The real data; a test that needs it is skipped where it is not, and fails there in continuous integration."""
    place = os.environ.get("SEGMODELS_DATA")
    root = Path(place) / "oxford-iiit-pet" if place else None
    if root is None or not root.is_dir():
        reason = f"needs the real Oxford-IIIT Pet files: {root} is missing" if root else "SEGMODELS_DATA is not set"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return root


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A made-up data set in the official layout: two breeds, twenty listed pictures to train on and four to test on."""
    return make_pets(tmp_path / "pets")


def make_pets(root: Path) -> Path:
    trimaps = root / "annotations" / "trimaps"
    trimaps.mkdir(parents=True)
    (root / "images").mkdir()
    lists: dict[str, list[str]] = {"trainval": [], "test": []}
    for breed, number in (("Sphynx", 1), ("great_pyrenees", 2)):
        for index in range(1, 13):
            name = f"{breed}_{index}"
            Image.new("RGB", (4, 3), (index * 10, 0, 0)).save(root / "images" / f"{name}.jpg")
            Image.fromarray(TRIMAP).save(trimaps / f"{name}.png")
            lists["trainval" if index <= 10 else "test"].append(f"{name} {number} 1 1")
    for split, lines in lists.items():
        (root / "annotations" / f"{split}.txt").write_text("\n".join(lines) + "\n")
    return root


def put_a_file_in_its_place(root: Path) -> None:
    shutil.rmtree(root)
    root.write_text("")


def empty_it(root: Path) -> None:
    shutil.rmtree(root)
    root.mkdir()


def ids(pets: OxfordPets, split: str) -> list[str]:
    return [sample.id for sample in pets.samples(split)]


def image_of(sample: Sample) -> Path:
    assert sample.image_path is not None
    return sample.image_path


def mask_of(sample: Sample) -> Path:
    assert sample.mask_path is not None
    return sample.mask_path


# ------------------------------------------------------------------------------------------------- splits and reading


def test_splits(small):
    pets = OxfordPets(small)
    assert ids(pets, "test") == ["Sphynx_11", "Sphynx_12", "great_pyrenees_11", "great_pyrenees_12"]
    assert [sample.group for sample in pets.samples("validation")] == ["Sphynx", "great_pyrenees"]
    assert len(ids(pets, "train")) == 18
    everything = [name for split in SPLITS for name in ids(pets, split)]
    assert len(set(everything)) == len(everything) == 24


def test_splits_do_not_hang_on_the_order_of_the_lists(small):
    before = {split: ids(OxfordPets(small), split) for split in SPLITS}
    path = small / "annotations" / "trainval.txt"
    path.write_text("\r\n".join(["# a comment", "", *reversed(path.read_text().splitlines())]), encoding="utf-8-sig")
    assert {split: ids(OxfordPets(small), split) for split in SPLITS} == before


def test_the_seed_chooses_the_validation_split_only(small):
    seeds = [OxfordPets(small, split_seed=seed) for seed in range(6)]
    assert len({tuple(ids(pets, "validation")) for pets in seeds}) > 1
    assert len({tuple(ids(pets, "test")) for pets in seeds}) == 1
    with pytest.raises(UserError, match="seed must be 0 or more"):
        OxfordPets(small, split_seed=-1)


def test_an_unknown_split_is_named(small):
    with pytest.raises(UserError, match="unknown split 'val'"):
        OxfordPets(small).samples("val")


def test_reading_maps_the_trimap_to_class_ids(small):
    pets = OxfordPets(small)
    image, mask = pets.read(pets.samples("test")[0])
    assert (image.shape, image.dtype) == ((3, 4, 3), np.uint8)
    assert mask.dtype == np.uint8
    assert np.array_equal(mask, TRIMAP - 1)
    assert [label.name for label in pets.classes] == ["pet", "background", "border"]


@pytest.mark.parametrize("value", [0, 4, 255])
def test_another_trimap_value_is_named(small, value):
    pets = OxfordPets(small)
    sample = pets.samples("test")[0]
    bad = TRIMAP.copy()
    bad[0, 0] = value
    Image.fromarray(bad).save(mask_of(sample))
    with pytest.raises(UserError, match=rf"Sphynx_11\.png: trimap value {value} is none of 1 pet"):
        pets.read(sample)


def test_a_missing_mask_stays_listed_and_is_named_when_read(small):
    pets = OxfordPets(small)
    sample = pets.samples("train")[0]
    mask_of(sample).unlink()
    assert sample.id in ids(OxfordPets(small), "train")
    with pytest.raises(UserError) as caught:
        pets.read(sample)
    assert str(caught.value) == f"{sample.id}: image has no mask: expected {sample.mask_path}"


def test_a_missing_image_stays_listed_and_is_named_when_read(small):
    pets = OxfordPets(small)
    sample = pets.samples("train")[0]
    image_of(sample).unlink()
    assert sample.id in ids(OxfordPets(small), "train")
    with pytest.raises(UserError, match=rf"{sample.id}: listed, but it has no image: expected .*{sample.id}\.jpg"):
        pets.read(sample)


def test_a_mask_of_another_size_is_named(small):
    pets = OxfordPets(small)
    sample = pets.samples("train")[0]
    Image.fromarray(TRIMAP[:2]).save(mask_of(sample))
    with pytest.raises(UserError, match="the picture is 4x3 but its mask is 4x2"):
        pets.read(sample)


# ------------------------------------------------------------------------------------------------------ finding it


def test_root_may_be_the_folder_above(small):
    above = small.parent / "all"
    above.mkdir()
    shutil.move(small, above / "oxford-iiit-pet")
    assert OxfordPets(above).root == above / "oxford-iiit-pet"


def test_the_order_of_search(small, tmp_path, monkeypatch):
    shared, own = tmp_path / "shared", tmp_path / "home"
    monkeypatch.setenv("SEGMODELS_DATA", str(shared))
    monkeypatch.setenv("SEGMODELS_HOME", str(own))
    with pytest.raises(UserError) as caught:
        OxfordPets()
    message = str(caught.value)
    for part in (
        str(shared / "oxford-iiit-pet"),
        str(own / "data" / "oxford-iiit-pet"),
        "python -m segmodels datasets download oxford-pets",
        "(792 MB + 19 MB)",
        "--root",
        "SEGMODELS_DATA",
    ):
        assert part in message
    assert "\n" not in message
    downloaded = make_pets(own / "data" / "oxford-iiit-pet")
    assert OxfordPets().root == downloaded
    given = make_pets(shared / "oxford-iiit-pet")
    assert OxfordPets().root == given
    assert OxfordPets(small).root == small


def test_without_shared_data_only_one_place_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("SEGMODELS_DATA", raising=False)
    monkeypatch.setenv("SEGMODELS_HOME", str(tmp_path))
    with pytest.raises(
        UserError, match=f"^Oxford-IIIT Pet is not in {tmp_path / 'data' / 'oxford-iiit-pet'}: download"
    ):
        OxfordPets()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda root: shutil.rmtree(root), "no such folder"),
        (put_a_file_in_its_place, "a file, not a folder"),
        (empty_it, "the folder is empty"),
        (lambda root: shutil.rmtree(root / "images"), "there is no folder images; unpack images.tar.gz"),
        (lambda root: shutil.rmtree(root / "annotations"), "there is no folder annotations/trimaps"),
        (lambda root: (root / "annotations" / "trainval.txt").unlink(), "no list file annotations/trainval.txt"),
        (lambda root: (root / "annotations" / "test.txt").unlink(), "no list file annotations/test.txt"),
    ],
)
def test_what_is_missing_is_named_in_one_line(small, damage, said):
    damage(small)
    with pytest.raises(UserError) as caught:
        OxfordPets(small)
    message = str(caught.value)
    assert message.startswith(f"{small}: ")
    assert said in message
    assert "\n" not in message


# ---------------------------------------------------------------------------------------------------------- the lists


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("Sphynx_99", "expected `Name CLASS-ID SPECIES BREED`, got 'Sphynx_99'"),
        ("Sphynx_99 1 1", "expected `Name CLASS-ID SPECIES BREED`"),
        ("Sphynx_99 1 1 1 1", "expected `Name CLASS-ID SPECIES BREED`"),
        ("Sphynx_99 one 1 1", "expected `Name CLASS-ID SPECIES BREED`"),
        ("Sphynx_99 -1 1 1", "expected `Name CLASS-ID SPECIES BREED`"),
        ("x" * 5000, "got 'xxxx"),
        ("../../etc/passwd 1 1 1", "is not the plain name of a picture"),
        ("/etc/passwd 1 1 1", "is not the plain name of a picture"),
        ("..\\secret 1 1 1", "is not the plain name of a picture"),
        (".. 1 1 1", "is not the plain name of a picture"),
        ("C:secret 1 1 1", "is not the plain name of a picture"),
        ("Sphynx\x00_1 1 1 1", "is not the plain name of a picture"),
        ("Sphynx_1 1 1 1", "Sphynx_1 is listed twice"),
    ],
)
def test_a_bad_line_is_named_by_file_and_number(small, line, said):
    path = small / "annotations" / "trainval.txt"
    good = path.read_text().splitlines()
    path.write_text("\n".join([*good[:3], line, *good[3:]]))
    with pytest.raises(UserError) as caught:
        OxfordPets(small)
    message = str(caught.value)
    assert f"{path}, line 4: " in message
    assert said in message
    assert "\n" not in message
    assert len(message) < 400


def test_a_picture_to_test_on_is_not_trained_on(small):
    with (small / "annotations" / "test.txt").open("a") as file:
        file.write("Sphynx_1 1 1 1\n")
    with pytest.raises(UserError, match=r"test\.txt, line 5: Sphynx_1 is in trainval\.txt too"):
        OxfordPets(small)


def test_a_list_of_nothing_or_of_bytes_is_refused(small):
    path = small / "annotations" / "test.txt"
    path.write_text("# nothing\n\n")
    with pytest.raises(UserError, match=r"test\.txt: the list names no picture"):
        OxfordPets(small)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"test\.txt: the list cannot be read as text"):
        OxfordPets(small)


def test_the_official_archives_are_stated():
    assert [(archive.file_name, archive.size) for archive in ARCHIVES] == [
        ("images.tar.gz", 791918971),
        ("annotations.tar.gz", 19173078),
    ]
    assert all(archive.url.startswith("https://") and len(archive.sha256) == 64 for archive in ARCHIVES)


# ------------------------------------------------------------------------------------------------------ the real files


def test_real_splits(pets_root):
    pets = OxfordPets(pets_root)
    train, validation, test = (pets.samples(split) for split in SPLITS)
    assert len(train) + len(validation) == 255
    assert len(test) == 253
    names = [sample.id for sample in train + validation + test]
    assert len(set(names)) == 508
    assert "Abyssinian_34" not in names
    for breed in ("Abyssinian", "Bengal", "american_bulldog"):
        assert sum(sample.group == breed for sample in validation) == 9
        assert sum(sample.group == breed for sample in train) == 76
    assert all(image_of(s).is_file() and mask_of(s).is_file() for s in train + validation + test)


def test_real_splits_are_stable(pets_root):
    first, again, other = OxfordPets(pets_root), OxfordPets(pets_root), OxfordPets(pets_root, split_seed=1)
    assert ids(first, "validation") == ids(again, "validation")
    assert ids(first, "validation") != ids(other, "validation")
    assert ids(first, "test") == ids(other, "test")
    assert ids(first, "validation")[:3] == ["Abyssinian_107", "Abyssinian_112", "Abyssinian_115"]


def test_real_pictures_read_and_have_the_known_class_shares(pets_root):
    pets = OxfordPets(pets_root)
    counts = np.zeros(3, np.int64)
    for split in SPLITS:
        for sample in pets.samples(split):
            mask = pets.read_mask(sample)
            counts += np.bincount(mask.ravel(), minlength=3)
    shares = 100 * counts / counts.sum()
    assert shares == pytest.approx([26.7, 61.3, 12.0], abs=0.1)


def test_a_real_picture_with_the_wrong_ending_reads(pets_root):
    pets = OxfordPets(pets_root)
    sample = next(s for split in SPLITS for s in pets.samples(split) if s.id == "Abyssinian_5")
    with Image.open(image_of(sample)) as stored:
        assert (stored.format, stored.mode) == ("PNG", "RGBA")
    image, mask = pets.read(sample)
    assert image.dtype == np.uint8
    assert image.shape == (*mask.shape, 3)


def test_real_pictures_and_masks_fit(pets_root):
    pets = OxfordPets(pets_root)
    for sample in pets.samples("validation") + pets.samples("test")[::8]:
        image, mask = pets.read(sample)
        assert image.shape == (*mask.shape, 3)
        assert set(np.unique(mask)) <= {0, 1, 2}
