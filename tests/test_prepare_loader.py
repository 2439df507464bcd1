"""Prepared data and batches: keyed by content, never half-made, masks never mixed, and the same batches every time."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections import namedtuple
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segmodels.data.augment import light
from segmodels.data.dataset import ClassLabel, Dataset, Sample
from segmodels.data.datasets import open_dataset
from segmodels.data.images import read_image, read_image_at, resize_image
from segmodels.data.loader import Loader, in_order
from segmodels.data.prepare import Prepared, load_data, prepare
from segmodels.errors import UserError


class Folder(Dataset):
    """Pictures and masks side by side in a folder."""

    name = "folder"
    title = description = licence = source = "test"
    classes = (ClassLabel("a", "#000000"), ClassLabel("b", "#FFFFFF"), ClassLabel("c", "#FF0000"))

    def listed(self, split: str) -> list[Sample]:
        assert self.root is not None
        names = sorted(path.stem for path in self.root.glob("*.jpg"))
        return [
            Sample(name, image_path=self.root / f"{name}.jpg", mask_path=self.root / f"{name}.png") for name in names
        ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six good samples of different sizes, with ignored pixels."""
    root = tmp_path / "pictures"
    root.mkdir()
    rng = np.random.default_rng(0)
    for index in range(6):
        shape = (40 + index, 50 - index)
        Image.fromarray(rng.integers(0, 256, (*shape, 3), dtype=np.uint8)).save(root / f"s{index}.jpg")
        Image.fromarray(rng.choice(np.array([0, 2, 255], np.uint8), shape)).save(root / f"s{index}.png")
    return root


def prepared(home: Path) -> list[Path]:
    return sorted((home / "prepared").iterdir()) if (home / "prepared").is_dir() else []


def toys(**options: Any) -> Prepared:
    return load_data("toy-pets", **{"image_size": 32, "limit": 10, **options})


def test_a_split_at_its_size(home: Path, folder: Path) -> None:
    data = prepare(Folder(folder), "train", 32)
    assert len(data) == 6
    assert data.images.shape == (6, 32, 32, 3)
    assert data.masks.shape == (6, 32, 32)
    assert data.images.dtype == data.masks.dtype == np.uint8
    assert isinstance(data.images, np.memmap)
    assert data.ids == [f"s{i}" for i in range(6)]
    assert data.skipped == []
    assert set(np.unique(data.masks)) == {0, 2, 255}, "masks are resized by their nearest value"
    image, mask = data[3]
    expected = Image.open(folder / "s3.jpg").resize((32, 32), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(image, np.asarray(expected))
    np.testing.assert_array_equal(mask, np.asarray(Image.open(folder / "s3.png").resize((32, 32), 0)))


def test_decoding_happens_once(home: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepare(Folder(folder), "train", 32)
    monkeypatch.setattr(Folder, "read", lambda *_: pytest.fail("decoded again"))
    again = prepare(Folder(folder), "train", 32)
    np.testing.assert_array_equal(first.images, again.images)
    assert again.fingerprint == first.fingerprint


def test_the_key_is_the_content(home: Path, folder: Path, tmp_path: Path) -> None:
    first = prepare(Folder(folder), "train", 32)
    moved = tmp_path / "elsewhere"
    shutil.move(folder, moved)
    assert prepare(Folder(moved), "train", 32).fingerprint == first.fingerprint
    assert len(prepared(home)) == 1

    data = bytearray((moved / "s2.png").read_bytes())
    mask = np.asarray(Image.open(moved / "s2.png")).copy()
    mask[:] = 1
    Image.fromarray(mask).save(moved / "s2.png")
    changed = prepare(Folder(moved), "train", 32)
    assert changed.fingerprint != first.fingerprint
    assert set(np.unique(changed.masks[2])) == {1}

    (moved / "s2.png").write_bytes(data)
    assert prepare(Folder(moved), "train", 32).fingerprint == first.fingerprint
    assert len(prepared(home)) == 2


def test_sizes_limits_and_splits_have_their_own_place(home: Path) -> None:
    toys(), toys(image_size=48), toys(limit=4), toys(split="test")
    assert len(prepared(home)) == 4
    assert len(toys(limit=4)) == 4


def test_what_cannot_be_read_is_skipped_and_listed(home: Path, folder: Path) -> None:
    (folder / "s0.png").unlink()
    Image.new("L", (9, 9)).save(folder / "s1.png")
    (folder / "s2.jpg").write_bytes((folder / "s2.jpg").read_bytes()[:500])
    Image.fromarray(np.full((43, 47), 3, np.uint8)).save(folder / "s3.png")
    data = prepare(Folder(folder), "train", 32)
    assert data.ids == ["s4", "s5"]
    assert data.images.shape[0] == data.masks.shape[0] == 2
    reasons = {row["id"]: row["reason"] for row in data.skipped}
    assert list(reasons) == ["s0", "s1", "s2", "s3"]
    assert "no such file" in reasons["s0"]
    assert "49x41" in reasons["s1"]
    assert "9x9" in reasons["s1"]
    assert "truncated" in reasons["s2"]
    assert "mask value 3" in reasons["s3"]
    assert "0 to 2" in reasons["s3"]
    assert prepare(Folder(folder), "train", 32).skipped == data.skipped, "kept with the arrays"
    expected = Image.open(folder / "s4.jpg").resize((32, 32), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(data.images[0], np.asarray(expected))


def test_nothing_usable_is_said_with_the_first_reason(home: Path, folder: Path) -> None:
    for path in folder.glob("*.png"):
        path.unlink()
    with pytest.raises(UserError, match=r"no usable picture in the train split of folder.*s0\.png: no such file"):
        prepare(Folder(folder), "train", 32)
    assert prepared(home) == []


def test_no_samples_and_an_unknown_split(home: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no pictures in its train split"):
        prepare(Folder(tmp_path), "train", 32)
    with pytest.raises(UserError, match="did you mean 'train'"):
        toys(split="trains")


def test_an_error_in_the_middle_leaves_nothing(home: Path, folder: Path) -> None:
    def fail(done: int, total: int, what: str) -> None:
        assert (total, what) == (6, "preparing train")
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(Folder(folder), "train", 32, progress=fail)
    assert prepared(home) == []
    assert len(prepare(Folder(folder), "train", 32)) == 6


def test_a_killed_preparation_is_never_found(home: Path, python: Callable) -> None:
    code = (
        "import os, signal\n"
        "from segmodels.data.prepare import load_data\n"
        "def die(done, total, what):\n"
        "    if done == 3: os.kill(os.getpid(), signal.SIGKILL)\n"
        "load_data('toy-pets', image_size=32, limit=10, progress=die)\n"
    )
    assert python("-c", code).returncode == -9
    assert not [path for path in prepared(home) if (path / "index.json").exists()]
    data = toys()
    truth = open_dataset("toy-pets").read_mask(open_dataset("toy-pets").samples("train")[9])
    np.testing.assert_array_equal(data.masks[9], np.asarray(Image.fromarray(truth).resize((32, 32), 0)))


def test_a_full_disk_is_told_before_it_is_full(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100, 99, 1))
    with pytest.raises(UserError, match=r"needs .* GB.*SEGMODELS_HOME.*smaller image_size"):
        toys()
    assert prepared(home) == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_home_that_cannot_be_written(home: Path) -> None:
    home.mkdir()
    home.chmod(0o500)
    with pytest.raises(UserError, match="cannot write"):
        toys()


def batches(loader: Loader, epoch: int, **options: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(loader.epoch(epoch, **options))


def same(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(
        np.array_equal(a, b) for left, right in zip(one, other, strict=True) for a, b in zip(left, right, strict=True)
    )


def test_batches_hang_on_seed_epoch_and_step_alone(home: Path) -> None:
    data = toys()
    loader = Loader(data, 4, seed=3, augment="light")
    first = batches(loader, 1)
    assert loader.steps == len(first) == 2
    assert first[0][0].shape == (4, 32, 32, 3)
    assert first[0][1].shape == (4, 32, 32)
    assert same(first, batches(Loader(data, 4, seed=3, augment="light"), 1))
    assert same(first[1:], batches(loader, 1, start=1)), "starting in the middle gives the tail"
    assert batches(loader, 1, start=2) == []
    assert not same(first, batches(loader, 2))
    assert not same(first, batches(Loader(data, 4, seed=4, augment="light"), 1))


def test_an_epoch_shows_no_picture_twice(home: Path) -> None:
    data = toys()
    seen = np.concatenate([images for images, _ in batches(Loader(data, 3), 0)])
    assert len(seen) == 9
    assert len(np.unique(seen.reshape(9, -1), axis=0)) == 9
    stored = {image.tobytes() for image in data.images}
    assert {image.tobytes() for image in seen} <= stored, "without augmentation pictures are as stored"


def test_a_batch_is_no_larger_than_the_data(home: Path) -> None:
    loader = Loader(toys(), 64)
    assert loader.steps == 1
    assert batches(loader, 0)[0][0].shape[0] == 10


def test_varying_does_not_touch_what_is_stored(home: Path) -> None:
    data = toys()
    before = data.images.copy()
    for epoch in range(3):
        batches(Loader(data, 5, augment="light"), epoch)
    np.testing.assert_array_equal(data.images, before)


def corners(values: np.ndarray) -> tuple[int, ...]:
    """The order of the four corners by value: it tells in which of eight ways a picture was turned."""
    return tuple(np.argsort([values[0, 0], values[0, -1], values[-1, 0], values[-1, -1]]).tolist())


@pytest.mark.parametrize("any_orientation", [False, True])
@pytest.mark.parametrize("shape", [(32, 32), (24, 40)])
def test_picture_and_mask_move_together(any_orientation: bool, shape: tuple[int, int]) -> None:
    """Quarters of four classes, each of its own grey: whatever was moved, greys and classes still agree."""
    count, (height, width) = 400, shape
    quarters = np.repeat(np.repeat(np.array([[0, 1], [2, 5]], np.uint8), height // 2, 0), width // 2, 1)
    masks = np.stack([quarters] * count)
    images = np.stack([masks * 30 + 60] * 3, axis=-1)
    images, masks = light(images, masks, np.random.default_rng(1), any_orientation=any_orientation)
    ways: dict[tuple[int, ...], int] = {}
    for image, mask in zip(images[..., 0], masks, strict=True):
        assert set(np.unique(mask)) == {0, 1, 2, 5}, "masks are never mixed"
        greys = np.array([np.median(image[mask == value]) for value in (0, 1, 2, 5)])
        assert (np.diff(greys) > 10).all()
        nearest = np.array([0, 1, 2, 5])[np.abs(image[..., None] - greys).argmin(-1)]
        assert (nearest == mask).mean() > 0.9
        assert corners(image) == corners(mask)
        ways[corners(mask)] = ways.get(corners(mask), 0) + 1
    assert len(ways) == (2 if not any_orientation else 8 if height == width else 4)
    assert min(ways.values()) > 0.6 * count / len(ways)
    if not any_orientation:
        assert set(ways) == {(0, 1, 2, 3), (1, 0, 3, 2)}, "as it was, or mirrored left to right"


def loader_threads() -> int:
    return sum(thread.name.startswith("ahead") for thread in threading.enumerate())


def test_the_thread_ends_with_its_iterator(home: Path) -> None:
    loader = Loader(toys(), 1)
    running = loader.epoch(0)
    next(running)
    assert loader_threads() == 1
    running.close()
    assert loader_threads() == 0
    list(loader.epoch(0))
    assert loader_threads() == 0


def test_an_error_in_the_thread_reaches_the_caller(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loader = Loader(toys(), 2)

    def fail(*_: object) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(loader, "_batch", fail)
    with pytest.raises(OSError, match="the disk is gone"):
        batches(loader, 0)
    assert loader_threads() == 0


def test_in_order_is_whole_and_padding_is_ignored(home: Path) -> None:
    data = toys()
    found = list(in_order(data, 4))
    assert [real for _, _, real in found] == [4, 4, 2]
    assert {images.shape for images, _, _ in found} == {(4, 32, 32, 3)}
    np.testing.assert_array_equal(np.concatenate([images[:real] for images, _, real in found]), data.images)
    np.testing.assert_array_equal(np.concatenate([masks[:real] for _, masks, real in found]), data.masks)
    assert set(np.unique(found[-1][1][2:])) == {255}


def test_the_index_names_what_is_in_the_arrays(home: Path) -> None:
    data = toys()
    document = json.loads((prepared(home)[0] / "index.json").read_text())
    assert document["ids"] == data.ids == [f"train-{i:04d}" for i in range(10)]


def test_two_processes_that_want_the_same_decode_it_once(home: Path, python: Any) -> None:
    """Both start together; one decodes, one waits, both read the same arrays, and nothing half-made stays behind."""
    code = (
        "import segmodels, sys; counted = []\n"
        "data = segmodels.load_data('toy-nuclei', split='test', image_size=64, progress=lambda *a: counted.append(a))\n"
        "print(len(counted), int(data.images.sum()), int(data.masks.sum()))"
    )
    with ThreadPoolExecutor(2) as pool:
        done = [future.result() for future in [pool.submit(python, "-c", code, SEGMODELS_HOME=home) for _ in range(2)]]
    assert [process.returncode for process in done] == [0, 0], done[0].stderr + done[1].stderr
    calls, *sums = zip(*(process.stdout.split() for process in done), strict=True)
    assert sorted(map(int, calls)) == [0, 40]
    assert all(len(set(values)) == 1 for values in sums)


def test_what_a_killed_process_left_is_removed(home: Path) -> None:
    data = load_data("toy-pets", split="test", image_size=32, limit=4)
    (folder,) = (path for path in (home / "prepared").iterdir() if path.is_dir())
    left = folder.with_name(f".{folder.name}.0123abcd.part")
    left.mkdir()
    (left / "all-images.npy").write_bytes(b"half")
    (folder / "index.json").unlink()
    again = load_data("toy-pets", split="test", image_size=32, limit=4)
    assert not left.exists()
    np.testing.assert_array_equal(np.asarray(again.images), np.asarray(data.images))


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("size", [(90, 61), (1200, 800), (801, 2300)])
def test_reading_at_a_size_is_reading_and_resizing(tmp_path: Path, size: tuple[int, int], orientation: int) -> None:
    """A large JPEG is decoded at a part of its size, which shows no more than its own noise."""
    ramp = np.add.outer(np.arange(size[0]), 2 * np.arange(size[1])) / 8
    pixels = (127 + 100 * np.stack([np.sin(ramp / 9), np.cos(ramp / 7), np.sin(ramp / 5)], axis=-1)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "photo.jpg", exif=exif, quality=95)
    whole = read_image(tmp_path / "photo.jpg")
    image, shape = read_image_at(tmp_path / "photo.jpg", 64, 64)
    assert shape == whole.shape[:2]
    error = np.abs(image.astype(int) - resize_image(whole, 64, 64))
    assert error.max() == 0 if min(size) < 256 else 0 < error.mean() < 0.5
