"""Corrected masks become samples of a data set of one's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segmodels.data.corrections import at_full_size, save_correction
from segmodels.data.dataset import ClassLabel
from segmodels.data.datasets import open_dataset
from segmodels.data.images import resize_mask
from segmodels.data.own_data import own_folder
from segmodels.errors import UserError
from segmodels.recipe import Recipe
from segmodels.training.preflight import check
from tests.own_forms import write_form

LABELS = (ClassLabel("background", "#56606B"), ClassLabel("cell", "#E69F00"))


def drawn(seed: int, height: int = 40, width: int = 60) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    image = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return image, generator.integers(0, 2, (height, width), dtype=np.uint8)


def test_it_reads_back_to_the_value_in_its_split_and_can_be_trained_on(home: Path) -> None:
    given = {}
    for number, split in enumerate(["train", "train", "validation", "test"]):
        image, mask = drawn(number)
        mask[0, 0] = 255
        name = f"Slide {number} (a/b).tif"
        data = save_correction(image, mask, LABELS, data="monuseg-2", name=name, split=split)
        given[split, number] = image, mask
    assert data == "own:corrected-monuseg-2"
    dataset = open_dataset(data)
    assert dataset.classes == LABELS
    assert [len(dataset.samples(split)) for split in ("train", "validation", "test")] == [2, 1, 1]
    for (split, number), (image, mask) in given.items():
        (sample,) = [one for one in dataset.samples(split) if f"slide-{number}-" in one.id]
        found = dataset.read(sample)
        np.testing.assert_array_equal(found[0], image)
        np.testing.assert_array_equal(found[1], mask)
    check(Recipe(data=data))


def test_a_second_correction_keeps_the_first_in_the_history(home: Path) -> None:
    image, first = drawn(0)
    second = 1 - first
    data = save_correction(image, first, LABELS, data="toy-nuclei", name="a", split="train")
    sample = open_dataset(data).samples("train")[0]
    assert save_correction(image, second, LABELS, data=data, name=sample.id, split="train") == data
    assert save_correction(image, first, LABELS, data="toy-nuclei", name="a", split="train") == data
    dataset = open_dataset(data)
    assert [one.id for one in dataset.samples("train")] == [sample.id]
    np.testing.assert_array_equal(dataset.read_mask(sample), first)
    kept = sorted((own_folder() / data.removeprefix("own:") / "history").iterdir())
    assert len(kept) == 2
    for path, mask in zip(kept, (first, second), strict=True):
        with Image.open(path) as picture:
            np.testing.assert_array_equal(np.asarray(picture), mask)


def test_the_files_that_it_came_from_stay_as_they_are(home: Path, tmp_path: Path) -> None:
    folder = write_form("masks", tmp_path / "cells")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    source = open_dataset(str(folder))
    sample = source.samples("train")[0]
    image, mask = source.read(sample)
    data = save_correction(image, np.zeros_like(mask), source.classes, data=str(folder), name=sample.id)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert not open_dataset(data).read_mask(open_dataset(data).samples("train")[0]).any()


def test_names_that_differ_stay_apart_and_so_do_classes(home: Path) -> None:
    image, mask = drawn(0)
    names = ["A b", "a-b", "../a-b", "á b", "図"]
    sets = {save_correction(image, mask, LABELS, data="toy-pets", name=name) for name in names}
    (data,) = sets
    assert len(open_dataset(data).samples("train") + open_dataset(data).samples("validation")) >= len(names) - 1
    files = sorted((own_folder() / data.removeprefix("own:")).rglob("masks/*.png"))
    assert len(files) == len(names)
    other = (*LABELS, ClassLabel("gland", "#56B4E9"))
    assert save_correction(image, mask, other, data="toy-pets", name="a") == "own:corrected-toy-pets-2"


def test_what_is_no_mask_of_the_picture_is_refused(home: Path) -> None:
    image, mask = drawn(0)
    with pytest.raises(UserError, match="not of the picture's size"):
        save_correction(image, mask[1:], LABELS, data="toy-pets", name="a")
    mask[3, 3] = 77
    with pytest.raises(UserError, match="the id 77, which is no class"):
        save_correction(image, mask, LABELS, data="toy-pets", name="a")
    assert not own_folder().exists()


def test_what_was_corrected_in_a_smaller_form_leaves_the_rest_to_the_pixel() -> None:
    mask = np.random.default_rng(0).integers(0, 2, (90, 120), dtype=np.uint8)
    small = resize_mask(mask, 30, 40)
    np.testing.assert_array_equal(at_full_size(mask, small), mask, "nothing was touched")
    corrected = small.copy()
    corrected[10:20, 4:8] = 1
    found = at_full_size(mask, corrected)
    assert (found[30:60, 12:24][(small == 0)[10:20, 4:8].repeat(3, 0).repeat(3, 1)] == 1).all()
    outside = np.ones(mask.shape, bool)
    outside[30:60, 12:24] = False
    np.testing.assert_array_equal(found[outside], mask[outside])
    other = mask ^ 1
    assert at_full_size(mask, other) is other
    tall = np.random.default_rng(1).integers(0, 2, (101, 67), dtype=np.uint8)
    np.testing.assert_array_equal(at_full_size(tall, resize_mask(tall, 40, 27)), tall)
    with pytest.raises(UserError, match="proportions"):
        at_full_size(mask, np.zeros((30, 30), np.uint8))
