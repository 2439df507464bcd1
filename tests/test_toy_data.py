"""The generated data sets: the same pixels everywhere, labels that agree with each other, and no shortcut by colour."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from segmodels.data.dataset import SPLITS, Dataset, Sample
from segmodels.data.datasets import open_dataset
from segmodels.data.datasets.texture import edges
from segmodels.errors import UserError

NAMES = ("toy-pets", "toy-nuclei")

DIGEST = """
import hashlib, sys
from segmodels.data.datasets import open_dataset
dataset = open_dataset(sys.argv[1])
for split in ("train", "validation", "test"):
    for sample in dataset.samples(split)[3:6]:
        print(hashlib.sha256(dataset.read_image(sample).tobytes() + dataset.read_mask(sample).tobytes()).hexdigest())
"""


@pytest.fixture(params=NAMES)
def dataset(request: pytest.FixtureRequest) -> Dataset:
    return open_dataset(request.param)


@cache
def pictures(name: str, split: str, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    dataset = open_dataset(name)
    return [dataset.read(sample) for sample in dataset.samples(split)[:count]]


def nuclei(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Masks and instance maps of the first training pictures."""
    dataset = open_dataset("toy-nuclei")
    return [(dataset.read_mask(s), dataset.read_instances(s)) for s in dataset.samples("train")[:count]]


def digest_of(dataset: Dataset, sample: Sample) -> str:
    image, mask = dataset.read(sample)
    return hashlib.sha256(image.tobytes() + mask.tobytes()).hexdigest()


def test_samples_are_numbered_and_groups_are_spread_over_the_splits(dataset: Dataset) -> None:
    sizes = {split: len(dataset.samples(split)) for split in SPLITS}
    assert sizes == {"train": 240, "validation": 40, "test": 40}
    assert dataset.samples("train")[7].id == "train-0007"
    ids = [sample.id for split in SPLITS for sample in dataset.samples(split)]
    assert len(set(ids)) == 320
    groups = [{sample.group for sample in dataset.samples(split)} for split in SPLITS]
    assert groups[0] == groups[1] == groups[2]
    assert len(groups[0]) in (2, 3)


def test_pictures_keep_the_contract(dataset: Dataset) -> None:
    for image, mask in pictures(dataset.name, "train", 60):
        assert image.dtype == np.uint8
        assert mask.dtype == np.uint8
        assert image.shape == (*mask.shape, 3)
        assert set(np.unique(mask)) == {0, 1, 2}
        assert image.std() > 5, "nothing to see"


def test_what_a_caller_writes_into_a_picture_stays_with_the_caller(dataset: Dataset) -> None:
    sample = dataset.samples("test")[1]
    before = digest_of(dataset, sample)
    image, mask = dataset.read(sample)
    image[:], mask[:] = 0, 0
    assert digest_of(dataset, sample) == before


def test_a_second_process_makes_the_same_pixels(dataset: Dataset) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DIGEST, dataset.name], capture_output=True, text=True, check=True, timeout=120
    )
    here = [digest_of(dataset, sample) for split in SPLITS for sample in dataset.samples(split)[3:6]]
    assert done.stdout.split() == here


def test_threads_make_the_same_pixels(dataset: Dataset) -> None:
    samples = dataset.samples("validation")[:6] * 4
    alone = [digest_of(dataset, sample) for sample in samples]
    module = sys.modules[type(dataset).__module__]
    (module._drawn if dataset.name == "toy-pets" else module._painted).cache_clear()
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(lambda sample: digest_of(dataset, sample), samples)) == alone


def test_an_id_alone_decides_the_pixels(dataset: Dataset) -> None:
    sample = dataset.samples("test")[5]
    assert digest_of(dataset, Sample(sample.id)) == digest_of(dataset, sample)


def test_no_picture_is_in_two_splits(dataset: Dataset) -> None:
    counts = {"train": 60, "validation": 40, "test": 40}
    found = [image.tobytes() for split, count in counts.items() for image, _ in pictures(dataset.name, split, count)]
    assert len(set(found)) == len(found) == 140


@pytest.mark.parametrize("wrong", ["train-0240", "holiday-0001", "train-", "train--1", "train-²", ""])
def test_an_unknown_sample_is_refused(dataset: Dataset, wrong: str) -> None:
    with pytest.raises(UserError, match="has no sample"):
        dataset.read_image(Sample(wrong))


def test_an_unknown_split_is_refused(dataset: Dataset) -> None:
    with pytest.raises(UserError, match="unknown split 'tests': did you mean 'test'"):
        dataset.samples("tests")


def test_the_fingerprint_follows_the_samples_and_the_version(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = dataset.samples("train")
    first = dataset.fingerprint(samples)
    assert first == open_dataset(dataset.name).fingerprint(samples)
    assert first != dataset.fingerprint(samples[:-1])
    monkeypatch.setattr(type(dataset), "version", 0)
    assert first != dataset.fingerprint(samples)


@pytest.mark.parametrize(
    ("name", "ranges"),
    [
        ("toy-pets", [(0.24, 0.34), (0.53, 0.66), (0.09, 0.13)]),
        ("toy-nuclei", [(0.76, 0.88), (0.07, 0.15), (0.05, 0.10)]),
    ],
)
def test_class_shares(name: str, ranges: list[tuple[float, float]]) -> None:
    shares = np.mean([np.bincount(m.ravel(), minlength=3) / m.size for _, m in pictures(name, "train", 60)], axis=0)
    for share, (low, high) in zip(shares, ranges, strict=True):
        assert low < share < high, shares


def test_the_pets_border_runs_along_every_edge() -> None:
    for _, mask in pictures("toy-pets", "train", 60):
        beside = ndimage.binary_dilation(mask == 0) & (mask == 1)
        assert not beside.any(), "pet and background touch without a border between them"


def test_instances_agree_with_the_mask() -> None:
    for mask, instances in nuclei(30):
        assert instances.dtype == np.int32
        assert np.array_equal(instances > 0, mask > 0)
        assert np.array_equal(np.unique(instances[instances > 0]), np.arange(1, instances.max() + 1))
        assert not (edges(instances) & (mask == 1)).any(), "the inside of a nucleus reaches its outline"


def test_every_nucleus_is_one_piece() -> None:
    for _, instances in nuclei(15):
        for number, window in enumerate(ndimage.find_objects(instances), start=1):
            assert ndimage.label(instances[window] == number)[1] == 1


def test_most_nuclei_touch_another() -> None:
    touching = total = 0
    for _, instances in nuclei(40):
        pairs = [(instances[1:], instances[:-1]), (instances[:, 1:], instances[:, :-1])]
        meet = [np.stack([a, b])[:, (a != b) & (a > 0) & (b > 0)] for a, b in pairs]
        touching += len(np.unique(np.concatenate(meet, axis=1)))
        total += instances.max()
    assert total > 40 * 30
    assert touching / total > 0.5


@pytest.mark.parametrize(("name", "bound"), [("toy-pets", 0.3), ("toy-nuclei", 0.58)])
def test_colour_alone_does_not_solve_it(name: str, bound: float) -> None:
    """The likeliest class of each of 4096 colours, learned from training pictures, measured on validation pictures."""

    def colours(image: np.ndarray) -> np.ndarray:
        return (image >> 4).astype(np.intp) @ np.array([256, 16, 1])

    seen = np.zeros((4096, 3))
    for image, mask in pictures(name, "train", 60):
        seen += np.bincount(colours(image).ravel() * 3 + mask.ravel(), minlength=4096 * 3).reshape(4096, 3)
    for weights in (np.ones(3), 1 / seen.sum(axis=0)):  # for the most pixels right, and with all classes counting alike
        rule = (seen * weights).argmax(axis=1)
        confusion = np.zeros((3, 3))
        for image, mask in pictures(name, "validation", 40):
            confusion += np.bincount(mask.ravel() * 3 + rule[colours(image)].ravel(), minlength=9).reshape(3, 3)
        hits = np.diag(confusion)
        mean_iou = np.mean(hits / (confusion.sum(axis=0) + confusion.sum(axis=1) - hits))
        assert mean_iou < bound
