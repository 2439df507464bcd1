"""From probabilities to objects: flooding against one pixel at a time, peaks against their definition, real nuclei."""

from __future__ import annotations

import heapq
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from segmodels.data.dataset import SPLITS, ClassLabel
from segmodels.data.datasets import dataset_type, open_dataset
from segmodels.errors import UserError
from segmodels.evaluation.instances import MeanFigures, instance_figures
from segmodels.prediction.postprocess import (
    METHODS,
    BorderWatershed,
    Components,
    DistanceWatershed,
    Method,
    instance_map,
    suited_method,
)
from segmodels.prediction.postprocess.cleaning import clean_mask, connected, fill_holes, remove_small
from segmodels.prediction.postprocess.watershed import flood, peaks, watershed
from segmodels.prediction.predictor import Result

NUCLEI = dataset_type("monuseg").classes
TWO = dataset_type("monuseg-2").classes

shapes = st.tuples(st.integers(1, 9), st.integers(1, 9))


@st.composite
def surfaces(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """A surface of few or many levels, and where it counts."""
    shape = draw(shapes)
    highest = draw(st.sampled_from([1, 3, 8, 255]))
    surface = draw(arrays.arrays(np.uint8, shape, elements=st.integers(0, highest)))
    return surface, draw(arrays.arrays(bool, shape)) | draw(st.booleans())


def neighbours(place: tuple[int, int], within: np.ndarray) -> list[tuple[int, int]]:
    row, column = place
    near = [(row - 1, column), (row, column - 1), (row, column + 1), (row + 1, column)]
    return [(r, c) for r, c in near if 0 <= r < within.shape[0] and 0 <= c < within.shape[1] and within[r, c]]


# Watershed


def slow_flood(surface: np.ndarray, seeds: np.ndarray, within: np.ndarray) -> np.ndarray:
    """One pixel at a time from one queue: the highest level first, of one level the one that came first."""
    labels = np.where(within, seeds, 0)
    queue: list[tuple[int, int, tuple[int, int]]] = []
    for place in np.ndindex(labels.shape):
        if labels[place]:
            heapq.heappush(queue, (-int(surface[place]), len(queue), place))
    count = len(queue)
    while queue:
        level, _, place = heapq.heappop(queue)
        for near in neighbours(place, within):
            if not labels[near]:
                labels[near] = labels[place]
                heapq.heappush(queue, (max(level, -int(surface[near])), count, near))
                count += 1
    return labels


@settings(max_examples=300, deadline=None)
@given(surfaces(), st.data())
def test_flooding_is_taking_one_pixel_after_the_other(
    example: tuple[np.ndarray, np.ndarray], data: st.DataObject
) -> None:
    surface, within = example
    seeds = data.draw(arrays.arrays(np.int32, surface.shape, elements=st.sampled_from([0, 0, 0, 0, 1, 2, 9])))
    found = flood(surface, seeds, within)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, slow_flood(surface, seeds, within))


def test_flooding_a_smooth_surface_of_many_steps() -> None:
    generator = np.random.default_rng(0)
    surface = (ndimage.gaussian_filter(generator.random((90, 120)), 4) * 4000).astype(np.uint16)
    within = ndimage.gaussian_filter(generator.random((90, 120)), 3) > 0.48
    seeds = np.where(generator.random((90, 120)) < 0.01, generator.integers(1, 50, (90, 120)), 0).astype(np.int32)
    np.testing.assert_array_equal(flood(surface, seeds, within), slow_flood(surface, seeds, within))


@settings(max_examples=200, deadline=None)
@given(surfaces())
def test_peaks_are_pieces_of_one_level_with_nothing_higher_beside_them(
    example: tuple[np.ndarray, np.ndarray],
) -> None:
    surface, within = example
    expected = np.zeros(surface.shape, np.int32)
    for level in np.unique(surface):
        pieces, count = ndimage.label((surface == level) & within)
        for piece in range(1, count + 1):
            places = list(zip(*np.nonzero(pieces == piece), strict=True))
            if all(surface[near] <= level for place in places for near in neighbours(place, within)):
                expected[pieces == piece] = 1
    found = peaks(surface, within)
    np.testing.assert_array_equal(found > 0, expected > 0)
    assert found.max() == ndimage.label(expected)[1]
    np.testing.assert_array_equal(np.unique(found[found > 0]), np.arange(1, found.max() + 1))


def domes(surface: np.ndarray, within: np.ndarray, depth: int) -> np.ndarray:
    """The h-domes of height `depth` (Vincent 1993), by reconstruction until nothing changes: they are the peaks."""
    high = np.where(within, surface.astype(int), -(10**6))
    marker = high - depth
    while True:
        grown = np.minimum(ndimage.grey_dilation(marker, footprint=ndimage.generate_binary_structure(2, 1)), high)
        if (grown == marker).all():
            break
        marker = grown
    pieces, count = ndimage.label(within & (high > marker))
    tall = [piece for piece in range(1, count + 1) if (high - marker)[pieces == piece].max() >= depth]
    return np.where(np.isin(pieces, tall), pieces, 0)


@settings(max_examples=200, deadline=None)
@given(surfaces(), st.sampled_from([1, 2, 3, 20, 300]))
def test_an_object_for_every_peak_that_stands_out(example: tuple[np.ndarray, np.ndarray], depth: int) -> None:
    surface, within = example
    found = watershed(surface, within, depth=depth)
    np.testing.assert_array_equal(found > 0, within)
    count = int(found.max())
    np.testing.assert_array_equal(np.unique(found[within]), np.arange(1, count + 1))
    tall = domes(surface, within, depth)
    assert len(np.unique(tall[tall > 0])) == count
    for number in range(1, count + 1):
        assert ndimage.label(found == number)[1] == 1, "an object is in one piece"
        top = (found == number) & (surface == surface[found == number].max())
        assert len(np.unique(tall[top])) == 1
        assert tall[top].min() > 0


def test_a_depth_of_nothing_keeps_every_peak() -> None:
    surface = np.array([[3, 1, 2, 2, 1, 9, 0, 1]], np.uint8)
    within = np.ones(surface.shape, bool)
    np.testing.assert_array_equal(watershed(surface, within, depth=0), [[1, 1, 2, 2, 3, 3, 3, 4]])
    np.testing.assert_array_equal(watershed(surface, within, depth=2), [[1, 1, 1, 1, 2, 2, 2, 2]])


# Cleaning


@settings(max_examples=200, deadline=None)
@given(arrays.arrays(np.int32, shapes, elements=st.sampled_from([0, 0, 3, 4, 2**31 - 1])), st.integers(0, 6))
def test_small_objects_go_and_the_others_are_numbered_as_they_are_read(instances: np.ndarray, smallest: int) -> None:
    expected: dict[int, int] = {}
    for number in instances.ravel().tolist():
        if number and (instances == number).sum() >= smallest:
            expected.setdefault(number, len(expected) + 1)
    found = remove_small(instances, smallest)
    assert found.dtype == np.int32
    assert found.tolist() == [[expected.get(number, 0) for number in line] for line in instances.tolist()]


@settings(max_examples=200, deadline=None)
@given(arrays.arrays(bool, shapes))
def test_holes_of_one_object_are_closed_as_by_scipy(solid: np.ndarray) -> None:
    found = fill_holes(solid.astype(np.int32) * 5, 1000)
    np.testing.assert_array_equal(found, ndimage.binary_fill_holes(solid) * 5)


def test_which_holes_are_closed() -> None:
    ring = np.zeros((9, 20), np.int32)
    ring[1:6, 1:6] = 1
    ring[2:5, 2:5] = 0  # nine pixels within one object
    ring[1:6, 8:11], ring[1:6, 11:14] = 2, 3
    ring[3, 10:12] = 0  # two pixels between two objects
    ring[1:6, 16:20] = 4
    ring[3, 18:20] = 0  # open to the edge of the picture
    expected = ring.copy()
    expected[2:5, 2:5] = 1
    np.testing.assert_array_equal(fill_holes(ring, 9), expected)
    np.testing.assert_array_equal(fill_holes(ring, 8), ring)
    ring[3, 3] = 7  # an object within another
    np.testing.assert_array_equal(fill_holes(ring, 100), ring)


@settings(max_examples=100, deadline=None)
@given(arrays.arrays(np.uint8, shapes, elements=st.integers(0, 3)))
def test_connected_pieces_are_those_of_scipy(mask: np.ndarray) -> None:
    found = connected(mask, [1, 3])
    assert found.dtype == np.int32
    count = 0
    for class_id in (1, 3):
        pieces, number = ndimage.label(mask == class_id)
        count += number
        for piece in range(1, number + 1):
            assert len(np.unique(found[pieces == piece])) == 1
    assert found.max() == count == len(np.unique(found[found > 0]))
    np.testing.assert_array_equal(found > 0, np.isin(mask, [1, 3]))


def test_a_mask_is_cleaned() -> None:
    mask = np.zeros((12, 16), np.uint8)
    mask[:, 12:] = 3  # no thing: it stays, speck and hole
    mask[4, 14], mask[0, 0] = 0, 3
    mask[2:9, 2:9] = 1
    mask[4:6, 4:6] = 0  # a hole
    mask[10, 3], mask[7, 10] = 1, 2  # specks
    mask[2:9, 9] = 2  # a thing of another class beside it
    expected = mask.copy()
    expected[4:6, 4:6] = 1
    expected[10, 3] = expected[7, 10] = 0
    expected[7, 10] = 2  # it hangs together with its class
    np.testing.assert_array_equal(clean_mask(mask, [1, 2], background=0, smallest=4, largest_hole=4), expected)
    open_ = clean_mask(mask, [1, 2], background=0, smallest=4, largest_hole=3)
    np.testing.assert_array_equal(open_[4:6, 4:6], 0)


# Methods


def one_hot(mask: np.ndarray, classes: int = 3, blur: float = 0) -> np.ndarray:
    probabilities = np.eye(classes, dtype=np.float32)[mask]
    return cv2.GaussianBlur(probabilities, (0, 0), blur) if blur else probabilities


def discs(*places: tuple[int, int], radius: int = 12, border: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """The instances of discs, where each pixel belongs to the nearest middle, and their mask with border."""
    rows, columns = np.mgrid[:80, :120]
    far = np.stack([np.hypot(rows - row, columns - column) for row, column in places])
    instances = np.where(far.min(axis=0) <= radius, far.argmin(axis=0) + 1, 0).astype(np.int32)
    mask = np.zeros(instances.shape, np.uint8)
    for number in range(1, len(places) + 1):
        mask[instances == number] = 2
        mask[ndimage.binary_erosion(instances == number, iterations=border)] = 1
    return instances, mask


PAIRS = [((30, 30), (30, 50)), ((30, 30), (44, 44), (30, 58)), ((40, 20), (40, 41), (40, 62), (60, 41))]


@pytest.mark.parametrize("blur", [0, 1, 2])
@pytest.mark.parametrize("places", PAIRS, ids=len)
def test_touching_discs_are_told_apart(places: tuple[tuple[int, int], ...], blur: float) -> None:
    truth, mask = discs(*places)
    assert ndimage.label(truth > 0)[1] == 1
    by_border = BorderWatershed()(one_hot(mask, blur=blur), NUCLEI)
    assert by_border.max() == len(places)
    figures = instance_figures(truth, by_border)
    assert figures["f1"] == 1
    assert figures["aji"] > (0.98 if blur < 2 else 0.95)
    by_shape = DistanceWatershed()(one_hot((mask > 0).astype(np.uint8), 2, blur), TWO)
    assert by_shape.max() == len(places)
    assert instance_figures(truth, by_shape)["aji"] > 0.95
    together = Components()(one_hot((mask > 0).astype(np.uint8), 2, blur), TWO)
    assert together.max() == 1


def test_a_nucleus_that_is_all_border_is_one() -> None:
    mask = np.zeros((40, 40), np.uint8)
    mask[10:16, 10:16] = 2
    found = BorderWatershed()(one_hot(mask), NUCLEI)
    np.testing.assert_array_equal(found, mask > 0)
    assert BorderWatershed(smallest=37)(one_hot(mask), NUCLEI).max() == 0


@st.composite
def answers(draw: st.DrawFn, classes: int = 3) -> np.ndarray:
    """Probabilities of a picture, smooth enough to have objects."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (draw(st.integers(3, 40)), draw(st.integers(3, 40)))
    logits = ndimage.gaussian_filter(generator.normal(size=(*shape, classes)), (*[draw(st.floats(0.5, 4))] * 2, 0))
    exponentials = np.exp(logits / logits.std() * draw(st.floats(0.5, 8)))
    return (exponentials / exponentials.sum(axis=-1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("method", [kind(smallest=5) for kind in METHODS.values()], ids=lambda m: m.name)
@settings(max_examples=40, deadline=None)
@given(answers())
def test_objects_are_numbered_large_enough_and_in_the_foreground(method: Method, probabilities: np.ndarray) -> None:
    before = probabilities.copy()
    found = method(probabilities, NUCLEI)
    np.testing.assert_array_equal(probabilities, before)
    assert found.dtype == np.int32
    assert found.shape == probabilities.shape[:2]
    numbers, first, pixels = np.unique(found[found > 0], return_index=True, return_counts=True)
    np.testing.assert_array_equal(numbers, np.arange(1, len(numbers) + 1))
    assert (np.diff(first) > 0).all(), "numbered as they are read"
    assert (pixels >= 5).all()
    by_class = method.name == "components"
    inside = probabilities.argmax(axis=-1) > 0 if by_class else 1 - probabilities[..., 0] >= 0.5
    solid = ndimage.binary_fill_holes(inside)
    assert not (found > 0)[~solid].any()
    open_ = type(method)(smallest=0, largest_hole=0)(probabilities, NUCLEI)
    np.testing.assert_array_equal(open_ > 0, inside)


@pytest.mark.parametrize("method", [kind() for kind in METHODS.values()], ids=lambda m: m.name)
@settings(max_examples=25, deadline=None)
@given(answers(), st.integers(0, 9), st.integers(0, 9))
def test_where_a_picture_lies_changes_nothing(method: Method, answer: np.ndarray, down: int, right: int) -> None:
    margin = 10  # further than the smoothing reaches
    height, width = answer.shape[0] + 4 * margin, answer.shape[1] + 4 * margin

    def laid(top: int, left: int) -> np.ndarray:
        canvas = np.zeros((height, width, 3), np.float32)
        canvas[..., 0] = 1
        canvas[top : top + answer.shape[0], left : left + answer.shape[1]] = answer
        return method(canvas, NUCLEI)

    here, there = laid(margin, margin), laid(margin + down, margin + right)
    np.testing.assert_array_equal(np.roll(here, (down, right), axis=(0, 1)), there)


def test_parameters_are_checked() -> None:
    for make, words in (
        (lambda: BorderWatershed(depth=2), "border field depth=2: must be a number, at least 0 and at most 1"),
        (lambda: BorderWatershed(smallest=-1), "border field smallest=-1: must be a whole number, at least 0"),
        (lambda: DistanceWatershed(smoothing="wide"), "distance field smoothing='wide'"),
        (lambda: Components(thing=("car",)), "unknown components field 'thing'; did you mean 'things'"),
    ):
        with pytest.raises(UserError, match=words) as caught:
            make()
        assert "\n" not in str(caught.value)
    with pytest.raises(Exception, match="frozen"):
        BorderWatershed().depth = 0.5  # type: ignore[misc]
    for kind in METHODS.values():
        assert kind(**kind().model_dump()) == kind(), "a document that can be written down"


def labels(*names: str) -> tuple[ClassLabel, ...]:
    return tuple(ClassLabel(name, "#000000") for name in names)


def test_the_method_suits_the_classes() -> None:
    assert suited_method(NUCLEI) == BorderWatershed()
    assert suited_method(dataset_type("toy-nuclei").classes) == BorderWatershed()
    assert suited_method(TWO) == suited_method(labels("background", "Cells")) == DistanceWatershed()
    for names in (("background", "nucleus", "gland"), ("sky", "car"), ("background", "border"), ("background", "cat")):
        assert suited_method(labels(*names)) == Components()


def test_classes_that_a_method_cannot_do_without() -> None:
    answer = np.full((4, 4, 2), 0.5, np.float32)
    for method, words in (
        (BorderWatershed(), "the method border needs a class called border, and there are background, cell"),
        (Components(things=("car",)), "the method components needs a class called car"),
    ):
        with pytest.raises(UserError, match=words):
            method(answer, labels("background", "cell"))
    with pytest.raises(UserError, match="distance needs a class called background"):
        DistanceWatershed()(answer, labels("sky", "cell"))
    with pytest.raises(ValueError, match="for 3 classes"):
        instance_map(answer, NUCLEI)


def test_things_alone_are_objects() -> None:
    mask = np.repeat(np.repeat([[0, 1, 1, 0, 2], [2, 2, 0, 1, 1]], 8, axis=0), 8, axis=1)
    probabilities, names = one_hot(mask), labels("background", "car", "road")
    assert Components()(probabilities, names).max() == 4
    only = Components(things=("car",))(probabilities, names)
    np.testing.assert_array_equal(only > 0, mask == 1)
    assert only.max() == 2
    assert Components()(probabilities, labels("sky", "car", "road")).max() == 7, "without background all are things"


def test_a_result_has_its_objects() -> None:
    truth, mask = discs((30, 30), (30, 50))
    result = Result(np.zeros((80, 120, 3), np.uint8), one_hot(mask) * 20, NUCLEI)
    np.testing.assert_array_equal(result.instances(), instance_map(result.probabilities, NUCLEI))
    assert instance_figures(truth, result.instances())["aji"] > 0.98
    assert result.instances(Components(things=("nucleus",))).max() == 2


# Real nuclei


def recovered(data: str, splits: tuple[str, ...], count: int, method: Method, blur: float = 0) -> dict[str, float]:
    """Mean figures of what a method makes of the true masks, over the first pictures of some splits."""
    dataset, means = open_dataset(data), MeanFigures()
    for sample in [sample for split in splits for sample in dataset.samples(split)[:count]]:
        answer = one_hot(dataset.read_mask(sample), len(dataset.classes), blur)
        means.add(instance_figures(dataset.read_instances(sample), method(answer, dataset.classes)))
    figures = means.figures()
    assert figures is not None
    return figures


@pytest.mark.parametrize(
    ("data", "method", "blur", "aji", "pq"),
    [
        ("monuseg", BorderWatershed(), 0, 0.99, 0.99),
        ("monuseg", BorderWatershed(smoothing=0, depth=0), 0, 0.998, 0.995),
        ("monuseg", BorderWatershed(), 1, 0.99, 0.985),
        ("monuseg", BorderWatershed(), 2, 0.95, 0.94),
        ("monuseg-2", DistanceWatershed(), 0, 0.92, 0.94),
        ("toy-nuclei", BorderWatershed(), 0, 0.98, 0.98),
    ],
)
def test_true_masks_give_the_true_nuclei(
    data_folder: Path, data: str, method: Method, blur: float, aji: float, pq: float
) -> None:
    figures = recovered(data, ("test",), 2, method, blur)
    assert figures["aji"] > aji
    assert figures["pq"] > pq
    assert figures["dice"] > (0.995 if blur < 2 else 0.97)


def test_what_no_border_parts_stays_together(data_folder: Path) -> None:
    """What the watershed is for: without it AJI is lost on the true masks already."""
    whole, parted = (
        recovered("monuseg-2", ("test",), 2, method)["aji"] for method in (Components(), DistanceWatershed())
    )
    assert whole < parted - 0.05


@pytest.mark.slow
def test_true_masks_of_all_pictures(data_folder: Path) -> None:
    """What can be reached: AJI 0.998 by peaks of the mask as it is, 0.994 with the smoothing that networks need."""
    for method, aji, pq in ((BorderWatershed(), 0.993, 0.99), (BorderWatershed(smoothing=0, depth=0), 0.997, 0.996)):
        figures = recovered("monuseg", SPLITS, 100, method)
        assert figures["aji"] > aji
        assert figures["pq"] > pq


def test_a_picture_of_five_hundred_nuclei_is_quick(data_folder: Path) -> None:
    """1000 x 1000 pixels: 0.3 s on a slow core."""
    dataset = open_dataset("monuseg")
    sample = max(dataset.samples("test"), key=lambda sample: dataset.read_instances(sample).max())
    answer = one_hot(dataset.read_mask(sample), blur=1.5)
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        found = instance_map(answer, NUCLEI)
        seconds.append(time.perf_counter() - began)
    assert found.max() > 400
    assert min(seconds) < 1.5
