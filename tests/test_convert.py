"""Converting: what is written in any form reads back the same, picture by picture and pixel by pixel."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from segmodels.data.convert import convert, file_names, usable_labels
from segmodels.data.dataset import IGNORE, SPLITS, ClassLabel, Dataset, Sample
from segmodels.data.datasets import open_dataset
from segmodels.data.datasets.own import FORMS, open_own, recognise
from segmodels.data.disk import Stopped
from segmodels.data.rle import encode, encode_each
from segmodels.data.writers import WRITERS
from segmodels.errors import UserError
from tests.own_forms import write_form

pytestmark = pytest.mark.usefixtures("home")

FORMATS = sorted(WRITERS)


class Made(Dataset):
    """A data set of arrays, or of what raises."""

    name = "made"

    def __init__(self, classes: list[ClassLabel], parts: dict[str, list[tuple[str, np.ndarray, np.ndarray]]]) -> None:
        super().__init__()
        self.classes = tuple(classes)
        self._parts = {split: parts.get(split, []) for split in SPLITS}
        self._by_id = {name: (image, mask) for part in self._parts.values() for name, image, mask in part}

    def listed(self, split: str) -> list[Sample]:
        return [Sample(name) for name, _, _ in self._parts[split]]

    def read_image(self, sample: Sample) -> np.ndarray:
        if sample.id.startswith("bad"):
            raise UserError(f"{sample.id}: cannot be read")
        return self._by_id[sample.id][0]

    def read_mask(self, sample: Sample) -> np.ndarray:
        return self._by_id[sample.id][1]


class Few(Dataset):
    """The first samples of each split of another data set."""

    def __init__(self, whole: Dataset, count: int) -> None:
        super().__init__(whole.root)
        self.name, self.classes, self.has_instances = whole.name, whole.classes, whole.has_instances
        self.listed = lambda split: whole.listed(split)[:count]  # type: ignore[method-assign]
        for method in ("read_image", "read_mask", "read_instances"):
            setattr(self, method, getattr(whole, method))

    def listed(self, split: str) -> list[Sample]:
        raise NotImplementedError


def same(before: Dataset, folder: Path, form: str) -> Dataset:
    """Assert that `folder`, recognised as `form` and nothing else, holds the samples of `before`; returns it opened."""
    assert list(recognise(folder)) == [form]
    after = open_own(folder)
    assert [label.name for label in after.classes] == [label.name for label in usable_labels(before.classes)]
    assert [label.colour.upper() for label in after.classes] == [label.colour.upper() for label in before.classes]
    names = dict(zip(
        (sample.id for split in SPLITS for sample in before.samples(split)),
        file_names(sample.id for split in SPLITS for sample in before.samples(split)),
        strict=True,
    ))  # fmt: skip
    for split in SPLITS:
        found = {sample.id.rpartition("/")[2]: sample for sample in after.samples(split)}
        assert set(found) == {names[sample.id] for sample in before.samples(split)}, split
        for sample in before.samples(split):
            image, mask = before.read(sample)
            again, drawn = after.read(found[names[sample.id]])
            assert np.array_equal(again, image), sample
            assert np.array_equal(drawn, mask), (sample, np.unique(drawn), np.unique(mask))
            if before.has_instances and after.has_instances:
                one, other = before.read_instances(sample), after.read_instances(found[names[sample.id]])
                assert objects(one, mask) <= objects(other, mask)
    assert not after.inspect_files()
    return after


def objects(instances: np.ndarray, mask: np.ndarray) -> set[bytes]:
    """Every object as its pixels, in each class that it has a part in; ignored ones and the background are none."""
    pairs = np.where((instances > 0) & (mask > 0) & (mask != IGNORE), instances * 256 + mask, 0)
    return {np.packbits(pairs == pair).tobytes() for pair in np.unique(pairs) if pair}


def pieces(height: int = 24, width: int = 31, values: tuple[int, ...] = (0, 1, 2, IGNORE), seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).choice(np.array(values, np.uint8), (6, 8))
    return np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.NEAREST))


def made(values: tuple[int, ...] = (0, 1, 2, IGNORE), first: str = "background") -> Made:
    """Samples of awkward names in three splits."""
    ids = {"train": ["a", "a/b", "a_b", "x y.z", "Ünï/ça", "cells_mask"], "validation": ["A_B", "v"], "test": ["../t"]}
    generator = np.random.default_rng(0)
    classes = [ClassLabel(first, "#102030"), ClassLabel("car", "#FF0000"), ClassLabel("tv/monitor", "#00FF00")]
    return Made(
        classes,
        {
            split: [
                (name, generator.integers(0, 256, (24, 31, 3)).astype(np.uint8), pieces(values=values, seed=len(name)))
                for name in names
            ]
            for split, names in ids.items()
        },
    )


@pytest.mark.parametrize("first", ["background", "sky"])
@pytest.mark.parametrize("form", FORMATS)
def test_any_mask_comes_back_in_its_split(form, first, tmp_path):
    before = made(first=first)
    report = convert(before, tmp_path / "out", form)
    assert report["samples"] == {"train": 6, "validation": 2, "test": 1}
    assert (report["copied"], report["encoded"], report["left_out"]) == (0, 9, [])
    same(before, tmp_path / "out", form)
    assert {path.name for path in tmp_path.iterdir()} <= {"out", "home"}


@pytest.mark.parametrize("values", [(0, IGNORE), (1, IGNORE), (2,), (IGNORE,)])
@pytest.mark.parametrize("form", FORMATS)
def test_sets_without_some_of_their_classes(form, values, tmp_path):
    before = made(values)
    convert(before, tmp_path / "out", form)
    assert list(recognise(tmp_path / "out")) == [form]
    after = open_own(tmp_path / "out")
    assert after.classes == before.classes
    for split in SPLITS:
        for sample, again in zip(before.samples(split), after.samples(split), strict=True):
            assert after.read_mask(again).shape == before.read_mask(sample).shape
            assert set(np.unique(after.read_mask(again))) == set(np.unique(before.read_mask(sample)))


@pytest.mark.parametrize("name", ["toy-pets", "toy-nuclei"])
@pytest.mark.parametrize("form", FORMATS)
def test_generated_sets_come_back(name, form, tmp_path):
    before = Few(open_dataset(name), 2)
    convert(before, tmp_path / "out", form)
    same(before, tmp_path / "out", form)


@pytest.mark.parametrize("source", sorted(FORMS))
@pytest.mark.parametrize("form", FORMATS)
def test_any_form_into_any(source, form, tmp_path):
    before = open_own(write_form(source, tmp_path / "in", 6))
    report = convert(before, tmp_path / "out", form)
    assert sum(report["samples"].values()) == 6
    same(before, tmp_path / "out", form)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    ("place", "count"),
    [
        ("polygons/labelme/semantic_segmentation", 1), ("polygons/coco-dried-fruit", 1), ("polygons/via-kudzu", 1),
        ("dubai-aerial", 1), ("camvid/CamVid", 1),
    ],
)  # fmt: skip
def test_real_sets_come_back(place, count, form, data_folder, tmp_path):
    before = Few(open_own(data_folder / place), count)
    convert(before, tmp_path / "out", form)
    same(before, tmp_path / "out", form)


@pytest.mark.parametrize("form", FORMATS)
def test_pets_come_back_and_their_jpegs_are_copied(form, data_folder, tmp_path):
    before = Few(open_dataset("oxford-pets", data_folder / "oxford-iiit-pet"), 4)
    report = convert(before, tmp_path / "out", form)
    after = same(before, tmp_path / "out", form)
    # Abyssinian_5 is a PNG with transparency.
    by_name = {sample.id.rpartition("/")[2]: sample for split in SPLITS for sample in after.samples(split)}
    samples = [sample for split in SPLITS for sample in before.samples(split)]
    copies = [sample for sample in samples if by_name[sample.id].image_path.suffix == ".jpg"]
    assert report["copied"] == len(copies) > 0
    for sample in copies:
        assert by_name[sample.id].image_path.read_bytes() == sample.image_path.read_bytes()


def test_what_cannot_be_read_is_left_out_and_told(tmp_path):
    image, mask = np.zeros((4, 5, 3), np.uint8), np.zeros((4, 5), np.uint8)
    classes = [ClassLabel("background", "#000000")]
    before = Made(classes, {"train": [("good", image, mask), ("bad 1", image, mask)], "test": [("odd", image, mask.T)]})
    report = convert(before, tmp_path / "out", "masks")
    assert report["samples"] == {"train": 1, "validation": 0, "test": 0}
    assert [(row["sample"], row["split"]) for row in report["left_out"]] == [("bad 1", "train"), ("odd", "test")]
    with pytest.raises(UserError, match="not one sample"):
        convert(Made(classes, {"train": [("bad", image, mask)]}), tmp_path / "none", "masks")
    assert not (tmp_path / "none").exists()


def test_a_folder_in_use_is_refused(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        convert(made(), tmp_path / "out", "masks")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]
    with pytest.raises(UserError, match="unknown form 'yolo'"):
        convert(made(), tmp_path / "new", "yolo")
    source = open_own(write_form("masks", tmp_path / "in"))
    with pytest.raises(UserError, match="inside of"):
        convert(source, tmp_path / "in" / "out", "voc")
    assert not (tmp_path / "in" / "out").exists()


def test_an_empty_folder_is_filled_and_progress_is_told(tmp_path):
    (tmp_path / "out").mkdir()
    told: list[tuple[int, int, str]] = []
    convert(made(), tmp_path / "out", "voc", progress=lambda *row: told.append(row))
    assert [row[0] for row in told] == [*range(9), 9]
    assert {row[1:] for row in told} == {(9, "writing voc")}
    assert (tmp_path / "out" / "classes.json").is_file()


def test_a_set_that_is_being_converted_says_so(tmp_path):
    out, said = tmp_path / "out", []

    def opened(done: int, total: int, what: str) -> None:
        with pytest.raises(UserError) as refused:
            open_dataset(str(out))
        said.append(str(refused.value))

    opened(0, 0, "")
    convert(made(), out, "masks", progress=opened)
    assert said[0] == f"{out}: no such folder"
    assert len({*said[1:-1]}) == 1
    assert said[1].startswith(f"{out}: it is being written just now: open it when that is done")
    assert len(open_dataset(str(out)).samples("train")) > 0


def test_stopping_leaves_nothing(tmp_path):
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 3

    with pytest.raises(Stopped, match="nothing was written"):
        convert(made(), tmp_path / "out", "labelme", stop=stop)
    assert not [path for path in tmp_path.iterdir() if path.name != "home"]


@pytest.mark.parametrize(
    "write",
    [
        lambda path: Image.fromarray(PICTURE).save(path, "PNG"),
        lambda path: Image.fromarray(PICTURE).convert("L").save(path, "JPEG"),
    ],
)
def test_plain_pictures_keep_their_bytes(write: Callable[[Path], None], tmp_path):
    assert convert_one(write, tmp_path)


def turned(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PICTURE).save(path, "JPEG", exif=exif)


@pytest.mark.parametrize(
    "write",
    [
        turned,
        lambda path: Image.fromarray(PICTURE).convert("RGBA").save(path, "PNG"),
        lambda path: Image.fromarray(PICTURE).convert("P").save(path, "PNG"),
        lambda path: Image.fromarray(PICTURE).convert("CMYK").save(path, "JPEG"),
        lambda path: Image.fromarray(PICTURE[..., 0].astype(np.uint16) * 257).save(path, "PNG"),
        lambda path: Image.fromarray(PICTURE).save(path, "TIFF"),
        lambda path: Image.fromarray(PICTURE).save(path, "GIF"),
    ],
)
def test_other_pictures_become_png(write: Callable[[Path], None], tmp_path):
    assert not convert_one(write, tmp_path)


PICTURE = np.random.default_rng(0).integers(0, 256, (12, 17, 3)).astype(np.uint8)


def convert_one(write: Callable[[Path], None], folder: Path) -> bool:
    """Convert a set of this one picture; whether its bytes are kept. The pixels always are."""
    source = folder / "in"
    for part in ("images", "masks"):
        (source / part).mkdir(parents=True)
    picture = source / "images" / "one.jpg"
    write(picture)
    height, width = Image.open(picture).size[::-1] if write is not turned else Image.open(picture).size
    Image.fromarray(np.ones((height, width), np.uint8)).save(source / "masks" / "one.png")
    before = open_own(source, form="masks")
    report = convert(before, folder / "out", "labelme")
    (name,) = [path for path in (folder / "out" / "train").iterdir() if path.suffix != ".json"]
    after = open_own(folder / "out")
    assert np.array_equal(after.read_image(after.samples("train")[0]), before.read_image(before.samples("train")[0]))
    kept = name.read_bytes() == picture.read_bytes()
    assert (report["copied"], report["encoded"]) == ((1, 0) if kept else (0, 1))
    assert kept or name.suffix == ".png"
    return kept


@given(st.lists(st.text(max_size=30), max_size=20))
def test_file_names_are_safe_and_differ(ids):
    names = file_names(ids)
    assert len(names) == len(ids) == len({name.casefold() for name in names})
    for name in names:
        assert name
        assert len(name.encode()) <= 200
        assert not set(name) & set('/\\:*?"<>|. \n\0')
        assert name.isprintable()


def test_labels_that_would_be_lost_are_renamed():
    labels = [ClassLabel(name, "#000000") for name in ("_background_", "void", "a\nb", "a b", "x" * 300, "  ")]
    assert [label.name for label in usable_labels(labels)] == [
        "background", "void class", "a b", "a b 2", "x" * 90, "class 5"
    ]  # fmt: skip


def test_coco_objects_have_boxes_and_areas(tmp_path):
    convert(Few(open_dataset("toy-nuclei"), 1), tmp_path / "out", "coco")
    document = json.loads((tmp_path / "out" / "annotations" / "instances_val.json").read_text())
    sample = open_dataset("toy-nuclei").samples("validation")[0]
    mask, instances = open_dataset("toy-nuclei").read_mask(sample), open_dataset("toy-nuclei").read_instances(sample)
    expected = []
    for class_id in np.unique(mask[mask > 0]):
        for number in np.unique(instances[mask == class_id]):
            ys, xs = np.nonzero((instances == number) & (mask == class_id))
            expected.append((xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1))
    assert sorted(tuple(row["bbox"]) for row in document["annotations"]) == sorted(expected)
    assert sum(row["area"] for row in document["annotations"]) == (mask > 0).sum()


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 5), st.integers(0, 10**6))
def test_every_value_of_a_map_is_encoded_as_if_alone(height, width, count, seed):
    values = np.random.default_rng(seed).integers(0, count, (height, width)) * 300 - 300
    found = list(encode_each(values))
    assert [value for value, *_ in found] == np.unique(values).tolist()
    for value, rle, area, box in found:
        ys, xs = np.nonzero(values == value)
        assert rle == encode(values == value)
        assert area == len(ys)
        assert box == (xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1)
