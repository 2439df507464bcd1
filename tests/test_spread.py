"""A few of many, at equal distances."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from segmodels.data.spread import spread


@given(st.integers(0, 500), st.integers(0, 500))
def test_spread(total: int, count: int) -> None:
    places = spread(total, count)
    assert len(places) == min(total, count)
    assert places == sorted(set(places))
    assert all(0 <= place < total for place in places)
    if len(places) > 1:
        gaps = [later - earlier for earlier, later in pairwise(places)]
        assert (places[0], places[-1]) == (0, total - 1)
        assert max(gaps) - min(gaps) <= 1


def test_one_is_the_first() -> None:
    assert spread(10, 1) == [0]
