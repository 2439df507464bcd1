"""Splitting off: stratified, stable, and never more than asked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from segmodels.data.split import split_off
from segmodels.errors import UserError

#: What seed 0 splits off thirty Abyssinians at a share of a tenth.
PINNED = [9, 14, 15]

#: An environment in which Python's own hashes of strings differ from this process's.
SPREAD = {**os.environ, "PYTHONHASHSEED": "1234"}


def test_every_group_gives_its_share():
    groups = ["cat"] * 100 + ["dog"] * 50 + ["emu"] * 7
    chosen = split_off(groups, 0.1, 0)
    assert chosen.shape == (157,)
    assert chosen.dtype == bool
    counts = {group: int(chosen[[g == group for g in groups]].sum()) for group in ("cat", "dog", "emu")}
    assert counts == {"cat": 10, "dog": 5, "emu": 1}


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.999])
@pytest.mark.parametrize("count", [2, 3, 10])
def test_a_group_of_two_or_more_gives_one_and_keeps_one(share, count):
    assert 1 <= split_off(["cat"] * count, share, 3).sum() <= count - 1


def test_a_group_of_one_stays():
    assert not split_off(["cat", "dog", "emu"], 0.5, 0).any()


def test_no_samples_is_no_mistake():
    assert split_off([], 0.1, 0).shape == (0,)


def test_seeds_differ_and_each_is_stable():
    groups = ["cat"] * 200
    assert np.array_equal(split_off(groups, 0.1, 7), split_off(groups, 0.1, 7))
    assert not np.array_equal(split_off(groups, 0.1, 7), split_off(groups, 0.1, 8))


def test_groups_do_not_share_one_pattern():
    cats = split_off(["cat"] * 100, 0.3, 0)
    dogs = split_off(["dog"] * 100, 0.3, 0)
    assert not np.array_equal(cats, dogs)


def test_another_group_does_not_change_the_choice_in_this_one():
    alone = split_off(["cat"] * 40, 0.2, 5)
    mixed_groups = ["dog", "cat"] * 40
    mixed = split_off(mixed_groups, 0.2, 5)
    assert np.array_equal(alone, mixed[1::2])


def test_the_choice_is_the_same_for_ever():
    # Pinned: were this to change, everybody's validation pictures would move into their training split.
    assert np.flatnonzero(split_off(["Abyssinian"] * 30, 0.1, 0)).tolist() == PINNED


def test_the_choice_does_not_hang_on_the_process():
    call = "split_off(['Abyssinian'] * 30, 0.1, 0).nonzero()[0].tolist()"
    script = f"from segmodels.data.split import split_off; print({call})"
    project = Path(__file__).parents[1]
    shown = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=project, env=SPREAD
    ).stdout
    assert shown.strip() == str(PINNED)


@pytest.mark.parametrize("share", [0, 1, -0.1, 2, float("nan")])
def test_an_impossible_share_is_refused(share):
    with pytest.raises(UserError, match="share must lie between 0 and 1"):
        split_off(["cat"] * 4, share, 0)


def test_a_negative_seed_is_refused():
    with pytest.raises(UserError, match="seed must be 0 or more, got -1"):
        split_off(["cat"] * 4, 0.5, -1)
