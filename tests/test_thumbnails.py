"""The small forms of samples that a grid shows."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segmodels.data.datasets import open_dataset
from segmodels.data.images import resize_image, resize_mask
from segmodels.data.thumbnails import SIDE, thumbnail
from segmodels.errors import UserError
from segmodels.home import home as home_folder
from tests.own_forms import write_form


def opened(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as picture:
        return np.asarray(picture)


def write_set(folder: Path, width: int = 600, height: int = 400) -> Path:
    """Two pictures larger than a thumbnail, of the classes 0 to 2."""
    generator = np.random.default_rng(0)
    for name in ("a", "b"):
        for part in ("images", "masks"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        tone = generator.integers(0, 256, (8, 12, 3), dtype=np.uint8)
        Image.fromarray(tone).resize((width, height)).save(folder / "images" / f"{name}.png")
        ids = generator.integers(0, 3, (40, 60), dtype=np.uint8).repeat(10, 0).repeat(10, 1)
        Image.fromarray(ids).save(folder / "masks" / f"{name}.png")
    return folder


def test_it_is_the_picture_and_the_ids_made_small(home: Path, tmp_path: Path) -> None:
    dataset = open_dataset(str(write_set(tmp_path / "set")))
    sample = next(dataset.samples(split)[0] for split in ("train", "test") if dataset.samples(split))
    image, mask = dataset.read(sample)
    made = thumbnail(dataset, sample)
    assert made.size == (600, 400)
    np.testing.assert_array_equal(opened(made.mask), resize_mask(mask, SIDE * 2 // 3, SIDE))
    difference = opened(made.image).astype(int) - resize_image(image, SIDE * 2 // 3, SIDE)
    assert np.abs(difference).mean() < 3, "a JPEG"


def test_it_is_kept_until_its_files_change(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_set(tmp_path / "set")
    dataset = open_dataset(str(folder))
    sample = next(dataset.samples(split)[0] for split in ("train", "test") if dataset.samples(split))
    first = thumbnail(dataset, sample)
    reads: list[str] = []
    plain = type(dataset).read_image
    monkeypatch.setattr(type(dataset), "read_image", lambda self, one: reads.append(one.id) or plain(self, one))
    assert thumbnail(dataset, sample) == first
    assert reads == []
    assert sample.mask_path is not None
    Image.fromarray(np.ones((400, 600), np.uint8)).save(sample.mask_path)
    assert (opened(thumbnail(dataset, sample).mask) == 1).all()
    assert reads == [sample.id]

    (kept, *_) = sorted((home_folder() / "thumbnails").rglob("*.bin"), key=lambda path: -path.stat().st_mtime_ns)
    kept.write_bytes(kept.read_bytes()[:-5])
    assert (opened(thumbnail(dataset, sample).mask) == 1).all()
    assert reads == [sample.id] * 2, "a damaged one is made anew"


def test_small_pictures_stay_as_they_are_and_generated_ones_have_one_too(home: Path, tmp_path: Path) -> None:
    own = open_dataset(str(write_form("masks", tmp_path / "cells")))
    sample = own.samples("train")[0]
    image, mask = own.read(sample)
    np.testing.assert_array_equal(opened(thumbnail(own, sample).mask), mask)
    assert opened(thumbnail(own, sample).image).shape == image.shape
    toy = open_dataset("toy-pets")
    one, other = toy.samples("train")[:2]
    assert thumbnail(toy, one) == thumbnail(toy, one) != thumbnail(toy, other)


def test_what_cannot_be_shown_is_said(home: Path, tmp_path: Path) -> None:
    dataset = open_dataset(str(write_set(tmp_path / "set")))
    sample = next(dataset.samples(split)[0] for split in ("train", "test") if dataset.samples(split))
    assert sample.mask_path is not None
    assert sample.image_path is not None
    Image.fromarray(np.ones((10, 10), np.uint8)).save(sample.mask_path)
    with pytest.raises(UserError, match="600x400 but its mask is 10x10"):
        thumbnail(dataset, sample)
    sample.image_path.unlink()
    with pytest.raises(UserError, match="is not there any more"):
        thumbnail(dataset, sample)
