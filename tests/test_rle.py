"""Run lengths against a plain loop over pixels, against COCO's own API, and against whatever a file may hold."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmodels.data.images import MAX_PIXELS
from segmodels.data.rle import decode, decode_within, encode
from segmodels.errors import UserError


def runs(mask: np.ndarray) -> list[int]:
    """Run lengths by looking at one pixel after another, down the columns."""
    counts, value = [0], False
    for x in range(mask.shape[1]):
        for y in range(mask.shape[0]):
            if bool(mask[y, x]) != value:
                counts.append(0)
                value = not value
            counts[-1] += 1
    return counts


def made(height: int, width: int, share: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((height, width)) < share


masks = st.builds(
    made, st.integers(0, 40), st.integers(0, 40), st.sampled_from([0.0, 0.02, 0.5, 0.98, 1.0]), st.integers(0, 99)
)


@given(masks)
@settings(deadline=None)
def test_masks_come_back_from_both_kinds_of_counts(mask: np.ndarray) -> None:
    height, width = mask.shape
    rle = encode(mask)
    assert rle["size"] == [height, width]
    decoded = decode(rle)
    assert decoded.dtype == bool
    assert np.array_equal(decoded, mask)
    assert np.array_equal(decode({"size": [height, width], "counts": runs(mask)}), mask)


@given(masks)
@settings(deadline=None)
def test_the_box_around_a_mask_is_all_that_is_inside(mask: np.ndarray) -> None:
    left, top, box = decode_within(encode(mask))
    assert box.sum() == mask.sum()
    again = np.zeros_like(mask)
    again[top : top + box.shape[0], left : left + box.shape[1]] = box
    assert np.array_equal(again, mask)
    if box.size:
        assert all(edge.any() for edge in (box[0], box[-1], box[:, 0], box[:, -1]))


def test_known_strings() -> None:
    """Strings worked out by hand from the rule of the format."""
    assert encode(np.zeros((2, 3), bool)) == {"size": [2, 3], "counts": "6"}
    assert encode(np.ones((2, 3), bool)) == {"size": [2, 3], "counts": "06"}
    # Lengths 40, 5, 3, 52: 40 is 8 with more to come (X) and 1; 52 is 47 more than 5: 15 with more to come (_) and 1.
    mask = np.zeros(100, bool)
    mask[40:45] = mask[48:] = True
    assert encode(mask[:, None])["counts"] == "X153_1"


@given(masks)
@settings(deadline=None, max_examples=60)
def test_equals_the_coco_api(mask: np.ndarray) -> None:
    coco = pytest.importorskip("pycocotools.mask")
    theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert encode(mask) == {"size": list(theirs["size"]), "counts": theirs["counts"].decode()}
    assert np.array_equal(coco.decode(theirs).astype(bool), decode(theirs))


def test_a_large_mask_equals_the_coco_api() -> None:
    coco = pytest.importorskip("pycocotools.mask")
    y, x = np.mgrid[:3000, :4000]
    mask = np.hypot(y - 1500, x - 2000) < 1400
    theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert encode(mask)["counts"] == theirs["counts"].decode()
    assert np.array_equal(decode(encode(mask)), mask)


@pytest.mark.parametrize(
    ("rle", "message"),
    [
        (None, "size and counts"),
        ([3, 4], "size and counts"),
        ({}, "two whole numbers"),
        ({"size": [2], "counts": [2]}, "two whole numbers"),
        ({"size": [2, -1], "counts": [2]}, "two whole numbers"),
        ({"size": [2, 1.5], "counts": [3]}, "two whole numbers"),
        ({"size": [True, 2], "counts": [2]}, "two whole numbers"),
        ({"size": ["2", 2], "counts": [2]}, "two whole numbers"),
        ({"size": [2, 2]}, "string or a list"),
        ({"size": [2, 2], "counts": {}}, "string or a list"),
        ({"size": [2, 2], "counts": [3]}, "add up"),
        ({"size": [2, 2], "counts": [3, 2]}, "add up"),
        ({"size": [2, 2], "counts": []}, "add up"),
        ({"size": [2, 2], "counts": [5, -1]}, "add up"),
        ({"size": [2, 2], "counts": [2**63, 2**63, 4]}, "whole numbers"),
        ({"size": [2, 2], "counts": [10**30]}, "whole numbers"),
        ({"size": [2, 2], "counts": [1.5, 2.5]}, "whole numbers"),
        ({"size": [2, 2], "counts": [True, 3]}, "whole numbers"),
        ({"size": [2, 2], "counts": ["4"]}, "whole numbers"),
        ({"size": [2, 2], "counts": [[4]]}, "whole numbers"),
        ({"size": [2, 2], "counts": [[1], [2, 3]]}, "whole numbers"),
        ({"size": [2, 2], "counts": ""}, "add up"),
        ({"size": [2, 2], "counts": "é"}, "compressed string"),
        ({"size": [2, 2], "counts": " "}, "compressed string"),
        ({"size": [2, 2], "counts": "T"}, "compressed string"),
        ({"size": [2, 2], "counts": "P" * 30 + "0"}, "compressed string"),
        ({"size": [2, 2], "counts": "5"}, "add up"),
        ({"size": [2, 2], "counts": "O5"}, "add up"),
        ({"size": [10**5, 10**5], "counts": [10**10]}, "megapixels"),
        ({"size": [10**30, 10**30], "counts": [1]}, "megapixels"),
    ],
)
def test_wrong_masks_are_told_in_one_line(rle: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        decode(rle)
    assert "\n" not in str(caught.value)


def test_the_largest_size_is_taken() -> None:
    assert decode({"size": [MAX_PIXELS // 1000, 1000], "counts": [MAX_PIXELS]}).sum() == 0


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["size", "counts", "x"]), inner),
    max_leaves=8,
)


@given(anything | st.fixed_dictionaries({"size": st.lists(st.integers(0, 5), max_size=3), "counts": anything}))
@settings(deadline=None, max_examples=300)
def test_anything_is_a_mask_or_a_user_error(rle: Any) -> None:
    with contextlib.suppress(UserError):
        assert decode(rle).dtype == bool
