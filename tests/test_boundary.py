"""Outlines against distances to every other class, by hand, and as properties."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.ndimage import binary_dilation, distance_transform_edt, generate_binary_structure

from segmodels.evaluation import boundary
from segmodels.evaluation.boundary import COUNTS, boundary_counts, boundary_f1, boundary_iou, default_width

IGNORED = 255
CROSS = generate_binary_structure(2, 1)

Example = tuple[np.ndarray, np.ndarray, int, int]


@st.composite
def maps(draw: st.DrawFn) -> Example:
    """Truth, prediction, classes and width; the two are often alike, of large pixels, of few of the classes."""
    shape = draw(st.tuples(st.integers(1, 14), st.integers(1, 14)))
    classes = draw(st.sampled_from([1, 2, 3, 8, 9, 31, 32, 70, 255]))
    there = draw(st.lists(st.integers(0, classes - 1), min_size=1, max_size=30, unique=True))
    size = draw(st.integers(1, 4))
    small = tuple(-(-side // size) for side in shape)
    truth, prediction = (
        np.kron(draw(arrays.arrays(np.uint8, small, elements=st.sampled_from(there))), np.ones((size, size), np.uint8))
        for _ in range(2)
    )
    truth, prediction = truth[: shape[0], : shape[1]], prediction[: shape[0], : shape[1]]
    prediction = np.where(draw(arrays.arrays(bool, shape)), truth, prediction)
    ignored = draw(arrays.arrays(bool, shape)) & draw(st.booleans())
    return np.where(ignored, np.uint8(IGNORED), truth), prediction, classes, draw(st.integers(1, 6))


# Slow: distances, class by class


def near(pixels: np.ndarray, width: int) -> np.ndarray:
    return distance_transform_edt(~pixels) <= width if pixels.any() else np.zeros_like(pixels)


def slow_parts(labels: np.ndarray, known: np.ndarray, number: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The band and the contour of a class."""
    own, others = (labels == number) & known, (labels != number) & known
    return own & near(others, width), own & binary_dilation(others, CROSS)


def slow_counts(truth: np.ndarray, prediction: np.ndarray, classes: int, width: int) -> np.ndarray:
    known = truth != IGNORED
    counts = []
    for number in range(classes):
        true_band, true = slow_parts(truth, known, number, width)
        predicted_band, predicted = slow_parts(prediction, known, number, width)
        parts = [true_band & predicted_band, true_band, predicted_band]
        parts += [true, true & near(predicted, width), predicted, predicted & near(true, width)]
        counts.append([part.sum() for part in parts])
    return np.array(counts)


@settings(max_examples=150, deadline=None)
@given(maps())
def test_counts_agree_with_distances(example: Example) -> None:
    counts = boundary_counts(*example)
    np.testing.assert_array_equal(counts, slow_counts(*example))
    assert counts.dtype == np.int64
    assert counts.shape == (example[2], len(COUNTS))


@pytest.mark.parametrize("classes", [3, 8, 16, 17, 70, 254, 255])
@pytest.mark.parametrize("ignored", [0, 0.1])
def test_counts_where_every_class_is_there(classes: int, ignored: float) -> None:
    generator = np.random.default_rng(classes)
    truth = generator.permutation(np.arange(40 * 30) % classes).reshape(40, 30).astype(np.uint8)
    prediction = np.where(generator.random(truth.shape) < 0.5, truth, np.roll(truth, 1))
    truth[generator.random(truth.shape) < ignored] = IGNORED
    for width in (1, 2, 5, 11):
        example = (truth, prediction, classes, width)
        np.testing.assert_array_equal(boundary_counts(*example), slow_counts(*example))


@pytest.mark.parametrize("seed", range(6))
def test_a_picture_in_blocks_is_counted_as_the_whole(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(seed)
    pixels = np.ones((9, 7), np.uint8)
    truth, prediction = (np.kron(generator.integers(0, 3, (12, 4), np.uint8), pixels) for _ in range(2))
    prediction = np.roll(np.where(generator.random(truth.shape) < 0.8, truth, prediction), 1, axis=0)
    truth[:, 12:] = 0 if seed % 2 else IGNORED
    truth[50:80], prediction[45:90] = 2, 2  # blocks in which nothing is to count
    for width in (1, 2, 5):
        whole = boundary_counts(truth, prediction, 3, width)
        np.testing.assert_array_equal(whole, slow_counts(truth, prediction, 3, width))
        with monkeypatch.context() as patch:
            patch.setattr(boundary, "_BLOCK", 100)
            np.testing.assert_array_equal(boundary_counts(truth, prediction, 3, width), whole)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (7, 12), (12, 7)])
@pytest.mark.parametrize("ignored", [0, 0.2])
def test_widths_around_and_beyond_the_diagonal(shape: tuple[int, int], ignored: float) -> None:
    generator = np.random.default_rng(shape)
    truth = np.repeat(generator.integers(0, 3, (shape[0], 4)), 3, axis=1)[:, : shape[1]].astype(np.uint8)
    prediction = np.where(generator.random(shape) < 0.8, truth, 2).astype(np.uint8)
    truth[generator.random(shape) < ignored] = IGNORED
    expected = slow_counts(truth, prediction, 3, 20)
    for width in range(1, 20):
        np.testing.assert_array_equal(
            boundary_counts(truth, prediction, 3, width), slow_counts(truth, prediction, 3, width)
        )
    for width in (100_000_000, 10**30):
        np.testing.assert_array_equal(boundary_counts(truth, prediction, 3, width), expected)


# By hand


def square(top: int, left: int, size: int = 4) -> np.ndarray:
    labels = np.zeros((12, 12), np.uint8)
    labels[top : top + size, left : left + size] = 1
    return labels


def row(*labels: int) -> np.ndarray:
    return np.array([labels], np.uint8)


def counted(truth: np.ndarray, prediction: np.ndarray, classes: int = 2, width: int = 1) -> list[dict[str, int]]:
    return [
        dict(zip(COUNTS, line, strict=True)) for line in boundary_counts(truth, prediction, classes, width).tolist()
    ]


def test_a_square_moved_by_one() -> None:
    """A square of 4 pixels has an edge of 12 and a ring of 16 around it: band and contour both, at a width of 1.

    Moved to the right by one, the edges have 3 pixels above and 3 below in common and none at the sides, and so have
    the rings around them. Whatever they do not have in common lies beside a pixel of the other's.
    """
    background, inside = counted(square(4, 4), square(4, 5))
    assert inside == {
        "band_shared": 6,
        "band_true": 12,
        "band_predicted": 12,
        "contour_true": 12,
        "contour_true_found": 12,
        "contour_predicted": 12,
        "contour_predicted_right": 12,
    }
    assert background == {
        "band_shared": 6,
        "band_true": 16,
        "band_predicted": 16,
        "contour_true": 16,
        "contour_true_found": 16,
        "contour_predicted": 16,
        "contour_predicted_right": 16,
    }
    counts = boundary_counts(square(4, 4), square(4, 5), 2, 1)
    assert boundary_iou(counts) == pytest.approx([6 / 26, 6 / 18])
    assert boundary_f1(counts).tolist() == [1, 1]


def test_a_square_moved_further_than_the_width() -> None:
    """By two the edges have 2 pixels above and 2 below in common. One more of each is beside those, and the two of the
    right side are beside the other's left side, which makes 8 of 12; the 4 at the left are too far away."""
    _, inside = counted(square(4, 4), square(4, 6))
    assert (inside["contour_true"], inside["contour_true_found"]) == (12, 8)
    assert (inside["contour_predicted"], inside["contour_predicted_right"]) == (12, 8)
    assert inside["band_shared"] == 4
    counts = boundary_counts(square(4, 4), square(4, 6), 2, 1)
    assert boundary_f1(counts)[1] == pytest.approx(8 / 12)
    assert boundary_iou(counts)[1] == 4 / 20


def test_what_is_near_is_round() -> None:
    """Pixels around one pixel: those at a corner are 1.41 away, so not within 1 but within 2."""
    labels = square(5, 5, size=1)
    for width, disc in ((1, 4), (2, 12), (3, 28), (5, 80)):
        assert counted(labels, labels, width=width)[0]["band_true"] == disc


def test_the_edge_of_the_picture_is_no_outline() -> None:
    """A square in the corner has an outline of 7: its lower and its right side."""
    corner = square(0, 0)
    assert counted(corner, corner)[1]["contour_true"] == 7
    assert counted(corner, corner)[1]["band_true"] == 7
    full = np.ones((12, 12), np.uint8)
    assert not boundary_counts(full, full, 2, 3).any()
    across = row(1, 0, 0, 1)
    assert counted(across, across, width=3)[1]["band_true"] == 2, "lines do not go on at the other side"


def test_the_edge_of_what_is_ignored_is_no_outline() -> None:
    truth = row(1, 1, 1, IGNORED, 0, 0, 0)
    for width, band in ((1, 0), (2, 1), (3, 2)):
        inside = counted(truth, row(1, 1, 1, 0, 0, 0, 0), width=width)[1]
        assert inside["contour_true"] == inside["contour_predicted"] == 0
        assert inside["band_true"] == inside["band_predicted"] == inside["band_shared"] == band
    nothing = np.full((5, 5), IGNORED, np.uint8)
    for classes in (2, 20):
        assert not boundary_counts(nothing, np.eye(5, dtype=np.uint8), classes, 2).any()


def test_another_value_may_be_ignored() -> None:
    truth, prediction = row(0, 0, 1, 7, 7, 2), row(0, 1, 1, 0, 2, 2)
    expected = boundary_counts(np.where(truth == 7, np.uint8(IGNORED), truth), prediction, 3, 2)
    np.testing.assert_array_equal(boundary_counts(truth, prediction, 3, 2, ignore=7), expected)
    signed = np.where(truth == 7, np.int64(-1), truth)
    np.testing.assert_array_equal(boundary_counts(signed, prediction, 3, 2, ignore=-1), expected)


@settings(max_examples=50, deadline=None)
@given(maps())
def test_identical_maps_are_right(example: Example) -> None:
    truth, _, classes, width = example
    prediction = np.where(truth == IGNORED, np.uint8(0), truth)
    counts = boundary_counts(truth, prediction, classes, width)
    for figure, pixels in ((boundary_iou(counts), counts[:, 1]), (boundary_f1(counts), counts[:, 3])):
        np.testing.assert_array_equal(figure, np.where(pixels > 0, 1, np.nan))


@settings(max_examples=50, deadline=None)
@given(maps(), st.integers(1, 4))
def test_counts_of_pictures_add_up(example: Example, gap: int) -> None:
    """Two pictures beside one another, with ignored pixels between them as wide as what is near, are one."""
    truth, prediction, classes, width = example
    between = np.full((len(truth), width + gap), IGNORED, np.uint8)
    turned = truth[::-1], prediction[::-1]
    both = [np.hstack([truth, between, turned[0]]), np.hstack([prediction, between * 0, turned[1]])]
    parts = boundary_counts(truth, prediction, classes, width) + boundary_counts(*turned, classes, width)
    np.testing.assert_array_equal(boundary_counts(both[0], both[1], classes, width), parts)


def test_figures_of_counts() -> None:
    """Precision 3/4 and recall 1/2; a class that is only true, one that is only predicted, one of neither."""
    counts = np.array(
        [[2, 6, 4, 8, 4, 4, 3], [0, 5, 0, 5, 0, 0, 0], [0, 0, 5, 0, 0, 5, 0], [0] * 7, [1, 2, 2, 9, 0, 9, 0]]
    )
    np.testing.assert_array_equal(boundary_iou(counts), [2 / 8, 0, 0, np.nan, 1 / 3])
    np.testing.assert_allclose(boundary_f1(counts), [2 * 0.75 * 0.5 / 1.25, 0, 0, np.nan, 0], rtol=1e-15)
    many = counts * 10**12
    np.testing.assert_allclose(boundary_f1(many), boundary_f1(counts), rtol=1e-12)


def test_the_width_of_a_picture() -> None:
    """500 x 375 has a diagonal of 625, of which 0.75 % are 4.7."""
    assert default_width(375, 500) == default_width(500, 375) == 5
    assert default_width(1000, 1000) == 11
    assert default_width(32, 32) == 1


def test_what_cannot_be_counted() -> None:
    with pytest.raises(ValueError, match="must be of one shape"):
        boundary_counts(row(0, 1), row(0, 1, 1), 2, 1)
    for classes, width in ((0, 1), (256, 1), (2, 0)):
        with pytest.raises(ValueError, match="classes and a width of"):
            boundary_counts(row(0, 1), row(0, 1), classes, width)
    assert not boundary_counts(np.zeros((0, 4), np.uint8), np.zeros((0, 4), np.uint8), 2, 1).any()


def test_a_photograph_takes_no_time() -> None:
    """375 x 500 pixels: 1 ms on a slow core; a thousand pictures then take a second."""
    rows, columns = np.mgrid[:375, :500]
    distance = np.hypot(rows - 180, columns - 240)
    truth = np.where(distance < 120, 0, np.where(distance < 132, 2, 1)).astype(np.uint8)
    prediction = np.roll(truth, (3, 2), axis=(0, 1))
    seconds = []
    for _ in range(10):
        began = time.perf_counter()
        counts = boundary_counts(truth, prediction, 3, default_width(*truth.shape))
        seconds.append(time.perf_counter() - began)
    assert (boundary_f1(counts) > 0.9).all()
    assert min(seconds) < 0.02


def test_a_width_without_end_takes_little() -> None:
    """All of a picture with two classes is near; no margin is wider than the picture is."""
    truth = np.zeros((375, 500), np.uint8)
    truth[100:200, 100:300] = 1
    tracemalloc.start()
    began = time.perf_counter()
    counts = boundary_counts(truth, truth, 2, 100_000_000)
    seconds = time.perf_counter() - began
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_array_equal(counts[:, :3], np.array([[truth.size - 20_000], [20_000]]).repeat(3, axis=1))
    np.testing.assert_array_equal(counts, boundary_counts(truth, truth, 2, 625))
    assert seconds < 1
    assert peak < 80 * truth.size
