"""The figures of a split against plain loops and published shares, and the class weights against their definitions."""

from __future__ import annotations

import json
import statistics
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from segmodels.data import statistics as module
from segmodels.data.class_weights import METHODS, suggested_weights
from segmodels.data.dataset import ClassLabel, Dataset, Sample
from segmodels.data.datasets import open_dataset
from segmodels.data.disk import Stopped
from segmodels.data.images import read_mask
from segmodels.data.statistics import Statistics, class_statistics
from segmodels.errors import UserError


class Plain(Dataset):
    """`images/*.png` with `masks/*.png`, all in train."""

    name = "plain"
    title = description = licence = source = "made for a test"
    classes = (ClassLabel("a", "#000000"), ClassLabel("b", "#00FF00"), ClassLabel("never", "#FF0000"))
    root: Path

    def listed(self, split: str) -> list[Sample]:
        if split != "train":
            return []
        paths = sorted((self.root / "images").iterdir())
        return [Sample(path.stem, image_path=path, mask_path=self.root / "masks" / path.name) for path in paths]


@pytest.fixture
def plain(tmp_path: Path) -> Plain:
    rng = np.random.default_rng(3)
    for folder in ("images", "masks"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for index, size in enumerate([(5, 7), (6, 4), (5, 7), (9, 3)]):
        image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        mask = rng.choice(np.array([0, 1, 255], np.uint8), size)
        if index == 1:
            mask[:] = 0
        Image.fromarray(image).save(tmp_path / "data" / "images" / f"{index}.png")
        Image.fromarray(mask).save(tmp_path / "data" / "masks" / f"{index}.png")
    (tmp_path / "data" / "images" / "9.png").write_bytes(b"no picture")
    return Plain(tmp_path / "data")


def looped(dataset: Plain) -> dict:
    """The same figures, one pixel after the other, in Python's own whole numbers."""
    pixels, ignored, values = {}, {}, {"all": []}
    for sample in dataset.listed("train")[:-1]:
        image, mask = np.asarray(Image.open(sample.image_path)), np.asarray(Image.open(sample.mask_path))
        for y in range(mask.shape[0]):
            for x in range(mask.shape[1]):
                colour, value = [int(part) for part in image[y, x]], int(mask[y, x])
                values["all"].append(colour)
                if value == 255:
                    ignored[sample.id] = ignored.get(sample.id, 0) + 1
                else:
                    pixels[sample.id, value] = pixels.get((sample.id, value), 0) + 1
                    values.setdefault(value, []).append(colour)
    return {"pixels": pixels, "ignored": ignored, "values": values}


@pytest.mark.parametrize("strip", [1 << 20, 10, 1])
def test_every_figure_against_a_loop(plain: Plain, home: Path, strip: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STRIP", strip)
    found, expected = class_statistics(plain, "train"), looped(plain)
    for row, sample_id in enumerate(found.ids):
        assert found.pixels[row].tolist() == [expected["pixels"].get((sample_id, value), 0) for value in range(3)]
        assert found.ignored[row] == expected["ignored"].get(sample_id, 0)
    assert found.sizes.tolist() == [[5, 7], [6, 4], [5, 7], [9, 3], [0, 0]]
    assert found.used_sizes.tolist() == [[5, 7], [6, 4], [5, 7], [9, 3]]
    for channel in range(3):
        values = [colour[channel] for colour in expected["values"]["all"]]
        assert found.mean[channel] == pytest.approx(statistics.fmean(values), rel=1e-12)
        assert found.deviation[channel] == pytest.approx(statistics.pstdev(values), rel=1e-10)
        for value in (0, 1):
            of_class = [colour[channel] for colour in expected["values"][value]]
            assert found.class_colours[value, channel] == pytest.approx(statistics.fmean(of_class), rel=1e-12)
    assert np.isnan(found.class_colours[2]).all()
    assert found.images.tolist() == [4, 3, 0]
    counted = sum(expected["pixels"].values())
    assert found.shares[1] == sum(n for (_, value), n in expected["pixels"].items() if value == 1) / counted
    assert found.ignored_share == sum(expected["ignored"].values()) / len(expected["values"]["all"])
    assert list(found.problems) == ["9"]


def test_where_the_classes_lie(plain: Plain, home: Path) -> None:
    found, expected = class_statistics(plain, "train").places, np.zeros((3, 32, 32), int)
    for sample in plain.listed("train")[:-1]:
        mask = plain.read_mask(sample)
        height, width = mask.shape
        for row in range(32):
            for column in range(32):
                value = mask[int((row + 0.5) * height / 32), int((column + 0.5) * width / 32)]
                if value != 255:
                    expected[value, row, column] += 1
    np.testing.assert_array_equal(found, expected)


def test_the_document_is_json_and_says_what_the_arrays_say(plain: Plain, home: Path) -> None:
    found = class_statistics(plain, "train")
    document = json.loads(json.dumps(found.document(), allow_nan=False))
    assert (document["samples"], document["usable"]) == (5, 4)
    assert document["sizes"]["height"] == {"least": 5, "median": 5.5, "greatest": 9}
    assert document["sizes"]["width"] == {"least": 3, "median": 5.5, "greatest": 7}
    assert {(row["height"], row["width"]): row["pictures"] for row in document["sizes"]["histogram"]} == {
        (5, 7): 2, (6, 4): 1, (9, 3): 1
    }  # fmt: skip
    assert [row["share"] for row in document["classes"]] == found.shares.tolist()
    assert document["classes"][2]["colour"] == [None, None, None]
    assert set(document["classes"][0]["weights"]) == set(METHODS)


def test_an_empty_split_has_figures_too(plain: Plain, home: Path) -> None:
    found = class_statistics(plain, "test")
    document = json.loads(json.dumps(found.document(), allow_nan=False))
    assert document["usable"] == document["pixels"] == 0
    assert document["mean"] == [None, None, None]
    assert document["sizes"]["height"]["median"] is None
    with pytest.raises(UserError, match="split"):
        class_statistics(plain, "tests")


def test_counted_once_and_kept_by_content(plain: Plain, home: Path) -> None:
    calls: list[int] = []

    def progress(done: int, total: int, what: str) -> None:
        assert total == 5
        calls.append(done)

    first = class_statistics(plain, "train", progress=progress)
    assert calls == [1, 2, 3, 4, 5]
    second = class_statistics(plain, "train", progress=progress)
    assert len(calls) == 5
    assert same(first, second)

    mask = plain.root / "masks" / "1.png"
    Image.fromarray(np.ones((6, 4), np.uint8)).save(mask)
    assert class_statistics(plain, "train", progress=progress).pixels[1].tolist() == [0, 24, 0]
    assert len(calls) == 10


def same(one: Statistics, other: Statistics) -> bool:
    for key, value in vars(one).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, getattr(other, key))  # takes NaN for NaN
        elif value != getattr(other, key):
            return False
    return True


def test_stopping_keeps_nothing(plain: Plain, home: Path) -> None:
    before = threading.active_count()
    with pytest.raises(Stopped):
        class_statistics(plain, "train", stop=lambda: True)
    assert not home.exists()
    assert threading.active_count() == before


def test_the_shares_of_oxford_pets(data_folder: Path, home: Path) -> None:
    dataset = open_dataset("oxford-pets", data_folder / "oxford-iiit-pet")
    found = [class_statistics(dataset, split) for split in ("train", "validation", "test")]
    pixels = np.sum([one.pixels.sum(axis=0) for one in found], axis=0)
    assert np.round(100 * pixels / pixels.sum(), 1).tolist() == [26.7, 61.3, 12.0]
    sizes = np.concatenate([one.used_sizes for one in found])
    assert [int(np.median(sizes[:, 1])), int(np.median(sizes[:, 0]))] == [500, 375]
    assert (sizes.min(axis=0).tolist(), sizes.max(axis=0).tolist()) == ([116, 150], [1600, 1646])


def test_the_shares_of_camvid(data_folder: Path, home: Path) -> None:
    """Its own files, read without a loader of theirs: class 11 is not counted."""
    root = data_folder / "camvid" / "CamVid"

    class CamVid(Dataset):
        name = "camvid-here"
        title = description = licence = source = ""
        classes = tuple(ClassLabel(str(index), "#000000") for index in range(11))

        def listed(self, split: str) -> list[Sample]:
            folder = {"train": "train", "validation": "val", "test": "test"}[split]
            paths = sorted((root / folder).glob("*.png"))
            return [Sample(path.stem, image_path=path, mask_path=root / f"{folder}annot" / path.name) for path in paths]

        def read_mask(self, sample: Sample) -> np.ndarray:
            assert sample.mask_path is not None
            mask = read_mask(sample.mask_path)
            return np.where(mask == 11, np.uint8(255), mask)

    found = [class_statistics(CamVid(root), split) for split in ("train", "validation", "test")]
    assert [len(one.ids) for one in found] == [52, 22, 25]
    assert not any(one.problems for one in found)
    pixels = np.sum([one.pixels.sum(axis=0) for one in found], axis=0)
    ignored = sum(one.ignored.sum() for one in found)
    shares = np.round(100 * np.append(pixels, ignored) / (pixels.sum() + ignored), 1)
    assert shares.tolist() == [14.9, 24.2, 1.0, 28.7, 6.6, 12.1, 1.1, 1.5, 5.0, 0.7, 0.8, 3.2]


# Class weights.
PIXELS = npst.arrays(
    np.int64,
    npst.array_shapes(min_dims=2, max_dims=2, max_side=8),
    elements=st.one_of(st.just(0), st.integers(0, 10**7)),
)


def defined(pixels: np.ndarray, method: str, beta: float) -> list[float]:
    """The definitions, class by class."""
    raw = {}
    pictures, classes = pixels.shape
    every = int(pixels.sum())
    used = [i for i in range(pictures) if pixels[i].sum()]
    frequency = {}
    for c in range(classes):
        own = int(pixels[:, c].sum())
        if own:
            frequency[c] = own / sum(int(pixels[i].sum()) for i in used if pixels[i, c])
    for c in frequency:
        own = int(pixels[:, c].sum())
        if method == "inverse frequency":
            raw[c] = every / own
        elif method == "median frequency":
            raw[c] = statistics.median(frequency.values()) / frequency[c]
        else:
            worth = own / (every / len(used))
            raw[c] = (1 - beta) / (1 - beta**worth)
    mean = statistics.fmean(raw.values()) if raw else 1
    return [raw.get(c, 0) / mean for c in range(classes)]


@pytest.mark.parametrize("method", METHODS)
@given(pixels=PIXELS)
def test_weights_against_their_definitions(method: str, pixels: np.ndarray) -> None:
    weights = suggested_weights(pixels, method)
    assert weights == pytest.approx(defined(pixels, method, 0.999), rel=1e-6)
    present = pixels.sum(axis=0) > 0
    assert (weights[~present] == 0).all()
    if present.any():
        assert weights[present].mean() == pytest.approx(1)
        assert (weights[present] > 0).all()


def test_weights_of_a_case_worked_by_hand() -> None:
    # 8 pictures of 100 pixels: a everywhere, b a half of two of them, c a tenth of everything.
    pixels = np.array([[40, 50, 10]] * 2 + [[90, 0, 10]] * 6)
    a, b, c = 620 / 800, 100 / 800, 80 / 800
    inverse = np.array([1 / a, 1 / b, 1 / c])
    assert suggested_weights(pixels, "inverse frequency") == pytest.approx(inverse / inverse.mean())
    # Of the pictures that have it, b takes a half: the median of 0.775, 0.5 and 0.1, so its raw weight is 1.
    median = np.array([0.5 / 0.775, 1, 0.5 / 0.1])
    assert suggested_weights(pixels, "median frequency") == pytest.approx(median / median.mean())


def test_the_effective_number_goes_from_even_to_inverse() -> None:
    pixels = np.array([[70, 25, 5]] * 500)
    assert suggested_weights(pixels, "effective number", beta=0) == pytest.approx([1, 1, 1])
    inverse = suggested_weights(pixels, "inverse frequency")
    assert suggested_weights(pixels, "effective number", beta=1 - 1e-12) == pytest.approx(inverse, rel=1e-6)
    spread = [np.ptp(suggested_weights(pixels, "effective number", beta=beta)) for beta in (0.9, 0.99, 0.999, 0.9999)]
    assert spread == sorted(spread)
    # More pictures of the same kind make the weights more even.
    assert np.ptp(suggested_weights(np.repeat(pixels, 20, axis=0), "effective number")) < spread[2]


def test_weights_refuse_what_they_do_not_know() -> None:
    with pytest.raises(UserError, match="did you mean 'median frequency'"):
        suggested_weights(np.ones((2, 2)), "median")
    for beta in (-0.1, 1, float("nan")):
        with pytest.raises(UserError, match="beta"):
            suggested_weights(np.ones((2, 2)), "effective number", beta=beta)
    assert suggested_weights(np.zeros((0, 3)), "inverse frequency").tolist() == [0, 0, 0]
