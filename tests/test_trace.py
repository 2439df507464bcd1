"""Tracing: drawing what was traced gives the mask back to the pixel, whatever the mask."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from segmodels.data.dataset import IGNORE
from segmodels.data.shapes import draw
from segmodels.data.trace import trace

NAMES = {0: "_background_", 1: "cat", 2: "dog", 3: "emu", IGNORE: "__ignore__"}
IDS = {name: value for value, name in NAMES.items()}


def drawn(mask: np.ndarray, **options: int) -> np.ndarray:
    return draw(trace(mask, NAMES, **options), IDS, *mask.shape, **options)[0]


sides = st.integers(1, 14)
masks = st.tuples(sides, sides, st.sampled_from([(0, 1), (0, 1, IGNORE), (0, 1, 2, 3, IGNORE)])).flatmap(
    lambda case: arrays.arrays(np.uint8, case[:2], elements=st.sampled_from(case[2]))
)


@given(masks)
@settings(max_examples=400, deadline=None)
def test_any_mask_comes_back(mask):
    assert np.array_equal(drawn(mask), mask)


@given(masks, st.sampled_from([1, IGNORE]))
@settings(max_examples=100, deadline=None)
def test_any_mask_comes_back_over_another_background(mask, background):
    assert np.array_equal(drawn(mask, background=background), mask)


@pytest.mark.parametrize("values", [2, 3, 5])
@pytest.mark.parametrize("smooth", [1, 3, 9, 25])
def test_large_masks_come_back(values, smooth):
    generator = np.random.default_rng(values * 100 + smooth)
    coarse = generator.integers(0, values, (2 + 90 // smooth, 2 + 120 // smooth)).astype(np.uint8)
    mask = np.array(Image.fromarray(coarse).resize((120, 90), Image.Resampling.NEAREST).rotate(17))
    mask[mask == 4] = IGNORE
    assert np.array_equal(drawn(mask), mask)


def test_nested_rings_and_a_checkerboard():
    y, x = np.mgrid[:61, :61]
    rings = (np.hypot(y - 30, x - 30).astype(int) // 4 % 4).astype(np.uint8)
    assert np.array_equal(drawn(rings), rings)
    board = ((x + y) % 2).astype(np.uint8)
    assert np.array_equal(drawn(board), board)
    # Every pixel of the checkerboard that is no background is a part by itself.
    assert len(trace(board, NAMES)) == board.sum()


def test_a_part_is_painted_after_the_one_around_it_and_nothing_needless():
    mask = np.zeros((9, 9), np.uint8)
    mask[1:8, 1:8] = 1
    mask[2:7, 2:7] = 0
    mask[4, 4] = IGNORE
    assert [shape.label for shape in trace(mask, NAMES)] == ["cat", "_background_", "__ignore__"]
    assert trace(np.zeros((5, 7), np.uint8), NAMES) == []


def test_straight_runs_are_cut_to_their_ends():
    mask = np.zeros((50, 80), np.uint8)
    mask[10:40, 20:70] = 2
    (shape,) = trace(mask, NAMES)
    assert sorted(map(tuple, shape.points.tolist())) == [(20, 10), (20, 39), (69, 10), (69, 39)]


@given(sides, sides, st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_objects_come_back(height, width, seed):
    generator = np.random.default_rng(seed)
    instances = generator.integers(0, 5, (height, width)).astype(np.int32)
    # Each object has one class.
    mask = np.array([0, 1, 2, 1, 3], np.uint8)[instances]
    shapes = trace(mask, NAMES, instances)
    again, objects = draw(shapes, IDS, height, width)
    assert np.array_equal(again, mask)
    pairs = {(int(a), int(b)) for a, b in zip(instances.ravel(), objects.ravel(), strict=True)}
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def test_noise_of_thousands_of_parts_comes_back():
    mask = np.random.default_rng(0).integers(0, 3, (200, 300)).astype(np.uint8)
    assert np.array_equal(drawn(mask), mask)
