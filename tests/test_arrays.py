"""Pictures and masks in NumPy arrays: names, layouts and number formats, and what must not be loaded."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from segmodels.data.array_files import stored_arrays
from segmodels.data.dataset import SPLITS
from segmodels.data.datasets.arrays import ArrayFolder
from segmodels.errors import UserError

pytestmark = pytest.mark.usefixtures("home")

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (10, 6, 8, 3), np.uint8)
IMAGES[0, 0, 0], IMAGES[0, 0, 1] = 0, 255  # the whole range is seen
MASKS = RNG.integers(0, 3, (10, 6, 8), np.uint8)
GREY = IMAGES[..., :1]


def samples_of(data: ArrayFolder) -> list:
    return sorted((sample for split in SPLITS for sample in data.samples(split)), key=lambda sample: sample.id)


def check(root: Path, images: np.ndarray = IMAGES, masks: np.ndarray = MASKS, tolerance: int = 0) -> ArrayFolder:
    assert ArrayFolder.recognise(root)
    data = ArrayFolder(root)
    samples = samples_of(data)
    assert len(samples) == len(images)
    for sample, image, mask in zip(samples, images, masks, strict=True):
        found, found_mask = data.read(sample)
        assert (found.dtype, found_mask.dtype) == (np.uint8, np.uint8)
        assert np.abs(found.astype(int) - image).max() <= tolerance
        np.testing.assert_array_equal(found_mask, mask)
    return data


@pytest.mark.parametrize(
    ("images", "wanted"),
    [
        (IMAGES, IMAGES),
        (IMAGES.astype(np.float32) / 255, IMAGES),
        (IMAGES / 127.5 - 1, IMAGES),
        (IMAGES.astype(np.float64), IMAGES),
        (IMAGES.astype(">i4"), IMAGES),
        (IMAGES.astype(np.uint16) * 257, IMAGES),
        (IMAGES.astype(np.float16) / 255, IMAGES),
        (np.moveaxis(IMAGES, -1, 1), IMAGES),
        (np.asfortranarray(IMAGES), IMAGES),
        (np.concatenate([IMAGES, GREY], axis=-1), IMAGES),
        (GREY, GREY.repeat(3, axis=-1)),
        (GREY[..., 0], GREY.repeat(3, axis=-1)),
        (np.moveaxis(GREY, -1, 1), GREY.repeat(3, axis=-1)),
        (IMAGES > 100, (IMAGES > 100) * np.uint8(255)),
    ],
)
def test_pictures_in_every_layout(tmp_path: Path, images: np.ndarray, wanted: np.ndarray) -> None:
    np.save(tmp_path / "images.npy", images)
    np.save(tmp_path / "masks.npy", MASKS)
    check(tmp_path, wanted, tolerance=0 if images.dtype != np.float16 else 1)


ONE_HOT = np.eye(3, dtype=np.uint8)[MASKS]


@pytest.mark.parametrize(
    "masks",
    [
        MASKS,
        MASKS[..., None],
        MASKS[:, None],
        MASKS.astype(np.int64),
        MASKS.astype(np.float32),
        ONE_HOT,
        ONE_HOT.astype(bool),
        ONE_HOT * 0.9 + 0.03,
        np.moveaxis(ONE_HOT, -1, 1),
    ],
)
def test_masks_in_every_layout(tmp_path: Path, masks: np.ndarray) -> None:
    np.save(tmp_path / "images.npy", IMAGES)
    np.save(tmp_path / "masks.npy", masks)
    data = check(tmp_path)
    assert [label.name for label in data.classes] == ["class 0", "class 1", "class 2"]
    assert data.inspect_files() == []


def test_pixels_of_no_channel_are_ignored_and_empty_channels_are_classes(tmp_path: Path) -> None:
    masks = np.concatenate([ONE_HOT, ONE_HOT[..., :1] * 0], axis=-1)
    masks[0, 0] = 0
    wanted = MASKS.copy()
    wanted[0, 0] = 255
    np.save(tmp_path / "images.npy", IMAGES)
    np.save(tmp_path / "masks.npy", masks)
    assert len(check(tmp_path, masks=wanted).classes) == 4


def test_0_and_255_labels_and_unknown_numbers(tmp_path: Path) -> None:
    np.save(tmp_path / "X.npy", IMAGES)
    np.save(tmp_path / "y.npy", (MASKS > 0) * np.uint8(255))
    data = check(tmp_path, masks=MASKS > 0)
    assert [finding.kind for finding in data.inspect_files()] == ["0-and-255"]
    masks = MASKS.astype(np.int16)
    masks[0, 0, :2] = -5, 700
    np.save(tmp_path / "y.npy", masks)
    (tmp_path / "labels.txt").write_text("sky\nroad\ntree\n")
    wanted = MASKS.copy()
    wanted[0, 0, :2] = 255
    data = check(tmp_path, masks=wanted)
    assert [label.name for label in data.classes] == ["sky", "road", "tree"]
    (finding,) = data.inspect(samples_of(data)[0])
    assert finding.message.startswith("4.17% of the pixels have 1 value of no class, most outside 0 to 255")


@pytest.mark.parametrize("names", [("X_train", "y_train"), ("train_images", "train_masks"), ("xtrain", "ytrain")])
def test_splits_by_name(tmp_path: Path, names: tuple[str, str]) -> None:
    np.save(tmp_path / f"{names[0]}.npy", IMAGES[:7])
    np.save(tmp_path / f"{names[1]}.npy", MASKS[:7])
    np.save(tmp_path / "X_val.npy", IMAGES[7:8])
    np.save(tmp_path / "Y_val.npy", MASKS[7:8])
    (tmp_path / "test").mkdir()
    np.save(tmp_path / "test/images.npy", IMAGES[8:])
    np.save(tmp_path / "test/labels.npy", MASKS[8:])
    data = ArrayFolder(tmp_path)
    assert {split: len(data.samples(split)) for split in SPLITS} == {"train": 7, "validation": 1, "test": 2}
    assert data.samples("train")[3].id == "train/3"
    np.testing.assert_array_equal(data.read(data.samples("test")[1])[0], IMAGES[9])


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path: Path, home: Path, save) -> None:
    save(tmp_path / "data.npz", images=IMAGES, masks=MASKS, names=np.array(["a"] * 10))
    check(tmp_path)
    unpacked = sorted((home / "cache/arrays").iterdir())
    assert [path.suffix for path in unpacked] == [".npy", ".npy"]
    times = [path.stat().st_mtime_ns for path in unpacked]
    check(tmp_path)
    assert [path.stat().st_mtime_ns for path in unpacked] == times


def test_npz_by_split(tmp_path: Path) -> None:
    np.savez(tmp_path / "train.npz", x=IMAGES[:8], y=MASKS[:8])
    np.savez(tmp_path / "test.npz", x=IMAGES[8:], y=MASKS[8:])
    data = ArrayFolder(tmp_path)
    assert (len(data.samples("train")) + len(data.samples("validation")), len(data.samples("test"))) == (8, 2)


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("harm",)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_pickles_are_never_loaded(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    harmful = np.array([Harmful()], object)
    if suffix == ".npy":
        np.save(tmp_path / "images.npy", harmful, allow_pickle=True)
        np.save(tmp_path / "masks.npy", MASKS)
    else:
        np.savez(tmp_path / "data.npz", images=harmful, masks=MASKS)
    assert ArrayFolder.recognise(tmp_path) is None
    with pytest.raises(UserError, match="Python objects, which could run code"):
        ArrayFolder(tmp_path)
    assert not (tmp_path / "harm").exists()


def header(shape: str, descr: str = "'|u1'") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    text = text.ljust(118 - 1) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY",
        b"\x93NUMPY\x09\x00" + b"x" * 50,
        header("(10, 6, 8, 3)") + b"\x00" * 99,
        header("(9999999999, 9999999999, 9, 3)"),
        header("(-10, 6, 8, 3)") + b"\x00" * 9999,
        header("(True, 6, 8, 3)"),
        header("(10, 6, 8, 3)", "__import__('os').mkdir('harm')"),
        header("(10, 6, 8, 3)", "[('a', '|u1')]") + b"\x00" * 9999,
        header("(10, 6, 8, 3)", "'<c16'") + b"\x00" * 99999,
        header("()") + b"\x00",
        header("(10, 6, 8, 7)") + b"\x00" * 9999,
        header("(0, 6, 8, 3)"),
        header("(10, 0, 8, 3)"),
        header("(10, 9000, 9000, 3)"),
    ],
)
def test_damaged_arrays_are_one_line(tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images.npy").write_bytes(content)
    np.save(tmp_path / "masks.npy", MASKS)
    with pytest.raises(UserError) as caught:
        ArrayFolder(tmp_path)
    assert "images.npy" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "harm").exists()


def test_a_bad_pair_does_not_stop_the_others(tmp_path: Path) -> None:
    np.save(tmp_path / "X_train.npy", IMAGES)
    np.save(tmp_path / "y_train.npy", MASKS)
    np.save(tmp_path / "X_test.npy", IMAGES)
    np.save(tmp_path / "y_test.npy", MASKS[:9])
    np.save(tmp_path / "X_val.npy", IMAGES)
    data = ArrayFolder(tmp_path)
    assert len(samples_of(data)) == 10
    assert {finding.kind: finding.message.split(": ")[-1] for finding in data.inspect_files()} == {
        "no-mask": "the array X_val has no partner",
        "unreadable": str(tmp_path / "y_test.npy") + " has 9 masks for 10 pictures",
    }


def test_numbers_that_are_none(tmp_path: Path) -> None:
    images, masks = IMAGES / 255, MASKS.astype(np.float32)
    images[3, 0, 0] = np.nan
    masks[4, 0, 0] = np.inf
    masks[5, 0, 0] = 0.5
    np.save(tmp_path / "images.npy", images)
    np.save(tmp_path / "masks.npy", masks)
    data = ArrayFolder(tmp_path)
    wrong = {}
    for sample in samples_of(data):
        try:
            data.read(sample)
        except UserError as error:
            wrong[sample.id] = str(error).partition(": ")[2]
    assert wrong == {
        "images/3": "picture 3 has values that are no numbers",
        "images/4": "mask 4 has values that are no numbers",
        "images/5": "mask 5 has fractions; masks need whole class numbers",
    }
    np.save(tmp_path / "images.npy", IMAGES * -1000.0)
    with pytest.raises(UserError, match="pictures need 0 to 255, or 0 to 1"):
        ArrayFolder(tmp_path)


def test_a_member_that_claims_more_than_it_has(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "data.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", header("(1000000, 64, 64, 3)"))
    with pytest.raises(UserError, match="images is cut short"):
        stored_arrays(tmp_path / "data.npz")
    (tmp_path / "data.npz").write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(UserError, match="no NumPy file"):
        stored_arrays(tmp_path / "data.npz")


def test_other_arrays_are_no_data_set(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", IMAGES)
    np.save(tmp_path / "scores.npy", MASKS)
    assert ArrayFolder.recognise(tmp_path) is None
    with pytest.raises(UserError, match="has no partner"):
        ArrayFolder(tmp_path)
