"""Which pictures of a split are looked at, against a plain reading of the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmodels.data.selection import DISAGREEMENT, LARGEST, LISTED, SMALLEST, Selection, orders, select
from segmodels.data.statistics import Statistics

CLASSES = ["background", "most cells", "rare"]


def figures(pixels: list[list[int]], sizes: list[list[int]], broken: tuple[int, ...] = ()) -> Statistics:
    ids = [f"p{number}" for number in range(len(sizes))]
    return Statistics(
        "toy", "train", CLASSES, ids, np.array(pixels, np.int64).reshape(-1, 3), np.zeros(len(ids), np.int64),
        np.array(sizes, np.int64).reshape(-1, 2), np.zeros(3), np.zeros(3), np.zeros((3, 3)), np.zeros((3, 32, 32)),
        {f"p{number}": "cannot be read" for number in broken},
    )  # fmt: skip


FOUR = figures([[9, 1, 0], [0, 0, 0], [5, 0, 5], [2, 8, 0]], [[10, 1], [0, 0], [5, 4], [5, 2]], broken=(1,))


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        (Selection(), ["p0", "p1", "p2", "p3"]),
        (Selection(classes=("rare",)), ["p2"]),
        (Selection(classes=("background", "most cells")), ["p0", "p3"]),
        (Selection(classes=("of another set",)), []),
        (Selection(least_side=2), ["p2", "p3"]),
        (Selection(order=LARGEST), ["p2", "p0", "p3", "p1"]),
        (Selection(order=SMALLEST), ["p0", "p3", "p2", "p1"]),
        (Selection(order="most most cells"), ["p3", "p0", "p2", "p1"]),
        (Selection(order="least background"), ["p3", "p2", "p0", "p1"]),
        (Selection(order="most of another set"), ["p0", "p1", "p2", "p3"]),
        (Selection(order=DISAGREEMENT), ["p3", "p2", "p0", "p1"]),
        (Selection(order=DISAGREEMENT, classes=("background", "most cells")), ["p3", "p0"]),
        (Selection(defect="unreadable"), ["p1"]),
        (Selection(defect="empty", order="most background"), ["p0", "p3"]),
        (Selection(defect="never seen"), []),
    ],
)
def test_what_is_asked_for(wanted: Selection, ids: list[str]) -> None:
    defects = {"unreadable": {"p1", "of another split"}, "empty": {"p3", "p0"}}
    assert select(FOUR, wanted, defects, {"p2": 0.1, "p3": 0.4, "p0": 0.0}) == ids


def test_every_order_has_a_name() -> None:
    assert orders(["a", "b"]) == [LISTED, LARGEST, SMALLEST, "most a", "least a", "most b", "least b"]
    assert orders([], predicted=True) == [LISTED, DISAGREEMENT, LARGEST, SMALLEST]
    assert select(figures([], []), Selection(order=LARGEST)) == []


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_by_the_share_of_a_class(data: st.DataObject) -> None:
    count = data.draw(st.integers(0, 12))
    pixels = data.draw(st.lists(st.lists(st.integers(0, 4), min_size=3, max_size=3), min_size=count, max_size=count))
    name, most = data.draw(st.sampled_from(CLASSES)), data.draw(st.booleans())
    at = CLASSES.index(name)
    shares = {f"p{number}": row[at] / (sum(row) or 1) for number, row in enumerate(pixels)}
    expected = sorted(shares, key=lambda sample: -shares[sample] if most else shares[sample])
    found = figures(pixels, [[2, 2]] * count)
    assert select(found, Selection(order=f"{'most' if most else 'least'} {name}")) == expected
