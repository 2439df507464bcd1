"""The figures of instances against sets of pixels and every possible matching, by hand, and as properties."""

from __future__ import annotations

import itertools
import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.optimize import linear_sum_assignment

from segmodels.evaluation.instances import (
    FIGURES,
    MeanFigures,
    _matching,
    aji,
    aji_plus,
    dice,
    instance_figures,
    overlaps,
    panoptic,
)

Objects = list[set[tuple[int, ...]]]

#: Numbers with gaps, and the highest there may be.
NUMBERS = [0, 0, 1, 2, 7, 2**31 - 1]


@st.composite
def maps(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, prediction and what is ignored, of one small shape; the two are often alike."""
    shape = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    elements = st.sampled_from(NUMBERS)
    truth = draw(arrays.arrays(np.int32, shape, elements=elements))
    prediction = draw(arrays.arrays(np.int32, shape, elements=elements))
    alike = draw(arrays.arrays(bool, shape))
    ignore = draw(arrays.arrays(bool, shape)) & draw(st.booleans())
    return truth, np.where(alike, truth, prediction).astype(np.int32), ignore


# Slow: sets of pixels


def objects(numbers: np.ndarray, ignore: np.ndarray) -> Objects:
    """The pixels of each object, in the order in which the objects are read."""
    found: dict[int, set[tuple[int, ...]]] = {}
    for place in np.ndindex(numbers.shape):
        if numbers[place] and not ignore[place]:
            found.setdefault(int(numbers[place]), set()).add(place)
    return list(found.values())


def slow_iou(one: set, other: set) -> Fraction:
    return Fraction(len(one & other), len(one | other))


def slow_aji(true: Objects, predicted: Objects) -> Fraction:
    """As the challenge's own program: each truth takes the best prediction, used already or not."""
    shared = union = 0
    used = set()
    for one in true:
        near = [k for k in range(len(predicted)) if one & predicted[k]]
        if not near:
            union += len(one)
            continue
        best = max(near, key=lambda k: (slow_iou(one, predicted[k]), [-x for x in min(one & predicted[k])]))
        shared += len(one & predicted[best])
        union += len(one | predicted[best])
        used.add(best)
    union += sum(len(pixels) for k, pixels in enumerate(predicted) if k not in used)
    return Fraction(shared, union) if union else Fraction(1)


def slow_aji_plus(true: Objects, predicted: Objects) -> set[Fraction]:
    """AJI+ of every matching whose IoU add up to the most: where several do, each is right."""
    size = max(len(true), len(predicted))
    best, found = Fraction(-1), set()
    for order in itertools.permutations(range(size)):
        pairs = [(i, k) for i, k in enumerate(order) if i < len(true) and k < len(predicted)]
        pairs = [(i, k) for i, k in pairs if true[i] & predicted[k]]
        total = sum((slow_iou(true[i], predicted[k]) for i, k in pairs), Fraction(0))
        shared = sum(len(true[i] & predicted[k]) for i, k in pairs)
        union = sum(len(true[i] | predicted[k]) for i, k in pairs)
        union += sum(len(true[i]) for i in set(range(len(true))) - {i for i, _ in pairs})
        union += sum(len(predicted[k]) for k in set(range(len(predicted))) - {k for _, k in pairs})
        value = Fraction(shared, union) if union else Fraction(1)
        if total > best:
            best, found = total, {value}
        elif total == best:
            found.add(value)
    return found


def slow_panoptic(true: Objects, predicted: Objects) -> tuple[Fraction, Fraction]:
    """DQ and SQ by their definition: pairs above one half."""
    if not true and not predicted:
        return Fraction(1), Fraction(1)
    hits = [slow_iou(one, other) for one in true for other in predicted if slow_iou(one, other) > Fraction(1, 2)]
    missed, invented = len(true) - len(hits), len(predicted) - len(hits)
    quality = sum(hits, Fraction(0)) / len(hits) if hits else Fraction(0)
    return Fraction(len(hits)) / (len(hits) + Fraction(missed + invented, 2)), quality


@settings(max_examples=300, deadline=None)
@given(maps())
def test_figures_are_those_of_sets_of_pixels(example: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    truth, prediction, ignore = example
    true, predicted = objects(truth, ignore), objects(prediction, ignore)
    figures = instance_figures(truth, prediction, ignore=ignore)
    assert list(figures) == list(FIGURES)
    assert figures["aji"] == pytest.approx(float(slow_aji(true, predicted)))
    assert any(figures["aji_plus"] == pytest.approx(float(value)) for value in slow_aji_plus(true, predicted))
    dq, sq = slow_panoptic(true, predicted)
    assert [figures[name] for name in ("dq", "f1", "sq")] == pytest.approx([float(dq), float(dq), float(sq)])
    assert figures["pq"] == pytest.approx(float(dq * sq))
    here, there = set().union(*true), set().union(*predicted)
    pixels = len(here) + len(there)
    assert figures["dice"] == pytest.approx(2 * len(here & there) / pixels if pixels else 1)


@settings(max_examples=200, deadline=None)
@given(maps(), st.permutations(NUMBERS[1:]), st.permutations(NUMBERS[1:]))
def test_what_objects_are_called_changes_nothing(
    example: tuple[np.ndarray, np.ndarray, np.ndarray], ours: list[int], theirs: list[int]
) -> None:
    """Ties included: to the last bit."""
    truth, prediction, ignore = example

    def renamed(numbers: np.ndarray, names: list[int]) -> np.ndarray:
        result = np.zeros_like(numbers)
        for number, name in zip(NUMBERS[2:], [name for name in names if name], strict=True):
            result[numbers == number] = name
        return result

    expected = instance_figures(truth, prediction, ignore=ignore)
    assert instance_figures(renamed(truth, ours), renamed(prediction, theirs), ignore=ignore) == expected


@settings(max_examples=100, deadline=None)
@given(maps())
def test_the_truth_itself_is_perfect_and_nothing_is_better(
    example: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    truth, prediction, ignore = example
    assert set(instance_figures(truth, truth, ignore=ignore).values()) == {1.0}
    assert all(0 <= value <= 1 for value in instance_figures(truth, prediction, ignore=ignore).values())


@settings(max_examples=100, deadline=None)
@given(maps())
def test_what_is_ignored_is_cut_out(example: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    truth, prediction, ignore = example
    expected = instance_figures(np.where(ignore, 0, truth), np.where(ignore, 0, prediction))
    assert instance_figures(truth, prediction, ignore=ignore) == expected


@pytest.mark.parametrize("seed", range(5))
def test_the_matching_is_the_best_of_all(seed: int) -> None:
    """Against one matrix of all objects, on maps of blocks that overlap in chains."""
    generator = np.random.default_rng(seed)
    truth, prediction = (
        np.kron(generator.integers(0, 90, (12, 12)), np.ones((size, size), int))[:60, :60] for size in (5, 6)
    )
    table = overlaps(truth, prediction)
    whole = np.zeros((len(table.true_pixels), len(table.predicted_pixels)))
    whole[table.true, table.predicted] = table.iou
    rows, columns = linear_sum_assignment(whole, maximize=True)
    pairs = _matching(table)
    assert table.iou[pairs].sum() == pytest.approx(whole[rows, columns].sum(), rel=1e-12)
    assert len(set(table.true[pairs])) == len(set(table.predicted[pairs])) == len(pairs)


# By hand


def row(*numbers: int) -> np.ndarray:
    return np.array([numbers], np.int32)


def test_one_prediction_over_two_nuclei() -> None:
    """AJI lets both have it: (4 + 4) / (8 + 8). AJI+ one only: 4 / (8 + 4)."""
    table = overlaps(row(1, 1, 1, 1, 2, 2, 2, 2), row(5, 5, 5, 5, 5, 5, 5, 5))
    assert aji(table) == 1 / 2
    assert aji_plus(table) == 1 / 3
    assert panoptic(table) == {"pq": 0, "dq": 0, "sq": 0, "f1": 0}, "an IoU of one half is no match"


def test_two_predictions_in_one_nucleus() -> None:
    """The larger is taken, 5 of 8; the smaller, of 3, was taken by none: 5 / (8 + 3)."""
    table = overlaps(row(1, 1, 1, 1, 1, 1, 1, 1), row(4, 4, 4, 4, 4, 9, 9, 9))
    assert aji(table) == aji_plus(table) == 5 / 11
    assert panoptic(table) == pytest.approx({"pq": 5 / 12, "dq": 2 / 3, "sq": 5 / 8, "f1": 2 / 3})


def test_the_sum_of_iou_counts_and_not_the_best_pair() -> None:
    """The best pair is 1 and 9, at 6/14; but 1 and 8, 2 and 9, at 4/10 each, add up to more."""
    table = overlaps(row(*[1] * 10, *[2] * 4), row(*[8] * 4, *[9] * 10))
    assert aji_plus(table) == (4 + 4) / (10 + 10)
    assert aji(table) == (6 + 4) / (14 + 10 + 4)


def test_a_square_moved_by_half() -> None:
    """The example of StarDist's documentation: a square of 10 moved by 5 has an IoU of one third and is no hit."""
    truth = np.zeros((100, 100), np.uint16)
    truth[10:20, 10:20] = 1
    figures = instance_figures(truth, np.roll(truth, 5, axis=0))
    assert figures == {"dice": 0.5, "aji": 1 / 3, "aji_plus": 1 / 3, "pq": 0, "dq": 0, "sq": 0, "f1": 0}


def test_pictures_without_objects() -> None:
    nothing, something = row(0, 0, 0), row(0, 3, 3)
    assert set(instance_figures(nothing, nothing).values()) == {1.0}
    assert set(instance_figures(something, nothing).values()) == {0.0}
    assert set(instance_figures(nothing, something).values()) == {0.0}
    assert set(instance_figures(something, something, ignore=something > 0).values()) == {1.0}
    assert dice(nothing, nothing) == 1


def test_maps_that_are_none() -> None:
    with pytest.raises(ValueError, match="must be of one shape"):
        overlaps(row(1, 2), row(1, 2, 3))
    for wrong in (row(1, -2), np.array([[1.0, 2.0]]), np.array([[1, 2**31]])):
        with pytest.raises(ValueError, match="whole numbers from 0 to 2"):
            overlaps(row(1, 2), wrong)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.int64, np.uint64])
def test_maps_of_any_whole_numbers(kind: type) -> None:
    truth, prediction = row(1, 1, 2, 0, 0, 3), row(1, 1, 1, 0, 3, 3)
    expected = instance_figures(truth, prediction)
    assert instance_figures(truth.astype(kind), prediction.astype(kind)) == expected
    assert instance_figures(truth, prediction.astype(kind)) == expected


def test_means_are_over_pictures() -> None:
    means = MeanFigures()
    assert means.figures() is None
    first = instance_figures(row(1, 1, 1, 1, 2, 2, 2, 2), row(5, 5, 5, 5, 5, 5, 5, 5))
    for figures in (first, dict.fromkeys(FIGURES, 1.0), dict.fromkeys(FIGURES, 0.0)):
        means.add(figures)
    found = means.figures()
    assert found is not None
    assert list(found) == list(FIGURES)
    assert found == pytest.approx({name: (first[name] + 1) / 3 for name in FIGURES})


def test_a_picture_of_five_hundred_nuclei_takes_no_time() -> None:
    """1000 x 1000 pixels: 0.03 s on a slow core."""
    rows, columns = np.mgrid[:1000, :1000]
    cells = (rows // 44) * 23 + columns // 44 + 1
    truth = np.where(np.hypot(rows % 44 - 22, columns % 44 - 22) < 18, cells, 0).astype(np.int32)
    assert len(np.unique(truth)) - 1 > 500
    prediction = np.roll(truth, (5, 4), axis=(0, 1))
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        figures = instance_figures(truth, prediction)
        seconds.append(time.perf_counter() - began)
    assert 0.5 < figures["aji"] < 0.8
    assert min(seconds) < 0.4
