"""Splits: stratified, stable, never more than asked, no source on two sides; and the file that holds one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmodels.data.dataset import SPLITS, Sample
from segmodels.data.datasets import open_dataset
from segmodels.data.split import regroup, source_of, split_by_source, split_off, use_split, write_split
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


def of_sources(*sizes: int) -> list[Sample]:
    """Samples of sources of these sizes, mixed."""
    return [
        Sample(f"{source}-{i}", source=f"s{source}")
        for i in range(max(sizes))
        for source in range(len(sizes))
        if i < sizes[source]
    ]


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=30), seed=st.integers(0, 5))
def test_a_source_stays_on_one_side(sizes: list[int], seed: int) -> None:
    samples = of_sources(*sizes)
    splits = split_by_source(samples, seed=seed)
    assert sorted(s.id for split in splits.values() for s in split) == sorted(s.id for s in samples)
    sides = [{source_of(sample) for sample in split} for split in splits.values()]
    assert sum(map(len, sides)) == len(sizes), "a source on two sides"
    filled = sum(bool(side) for side in sides)
    assert filled == min(len(sizes), 3)
    if len(sizes) == 1:
        assert splits["train"]


def test_shares_are_met_as_closely_as_sources_allow() -> None:
    splits = split_by_source([Sample(str(i)) for i in range(200)], seed=0)
    assert {name: len(split) for name, split in splits.items()} == {"train": 160, "validation": 20, "test": 20}
    splits = split_by_source(of_sources(*[5] * 40), seed=1, shares={"train": 3, "validation": 1})
    assert {name: len(split) for name, split in splits.items()} == {"train": 150, "validation": 50}


def test_the_order_of_the_files_changes_no_side() -> None:
    samples = of_sources(3, 1, 4, 1, 5, 9, 2, 6)
    there, back = split_by_source(samples, seed=2), split_by_source(samples[::-1], seed=2)
    for name in SPLITS:
        assert {sample.id for sample in there[name]} == {sample.id for sample in back[name]}
    assert [s.id for s in there["train"]] != [s.id for s in split_by_source(samples, seed=3)["train"]]


def test_dealing_by_source_is_the_same_for_ever() -> None:
    test = split_by_source([Sample(f"tile {i}") for i in range(20)], seed=0)["test"]
    assert [sample.id for sample in test] == DEALT


#: What seed 0 deals to the test split of twenty tiles.
DEALT = ["tile 4", "tile 17"]


def test_sources_by_folder_or_by_expression() -> None:
    samples = [Sample("a/TCGA-01-x1", source="own"), Sample("a/TCGA-02-x1"), Sample("b/TCGA-01-x2")]
    assert [s.source for s in regroup(samples, "image")] == ["", "", ""]
    assert [s.source for s in regroup(samples, "folder")] == ["a", "a", "b"]
    assert [s.source for s in regroup(samples, r"TCGA-\d+")] == ["TCGA-01", "TCGA-02", "TCGA-01"]
    assert [s.source for s in regroup(samples, r"/TCGA-(\d+)")] == ["01", "02", "01"]
    with pytest.raises(UserError, match=r"finds no source in the id 'a/TCGA-01-x1'"):
        regroup(samples, "nothing")
    with pytest.raises(UserError, match="none of image, folder and a regular expression"):
        regroup(samples, "(")


def test_a_split_file_goes_before_the_own_splits(tmp_path: Path) -> None:
    toys = open_dataset("toy-pets")
    ids = [sample.id for sample in toys.samples("train")]
    path = tmp_path / "split.json"
    write_split(path, {"train": toys.samples("train")[:3], "validation": [], "test": toys.samples("test")[:1]}, seed=7)
    again = open_dataset("toy-pets", split_file=path)
    assert [sample.id for sample in again.samples("train")] == ids[:3]
    assert again.samples("validation") == []
    assert [sample.id for sample in again.samples("test")] == ["test-0000"]
    assert [sample.id for sample in again.listed("train")] == ids


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "is no split file"),
        ('{"splits": {"training": []}}', "is no split file"),
        ('{"splits": {"train": [1]}}', "is no split file"),
        ('{"splits": {"train": ["train-0000", "nobody"]}}', "has no sample 'nobody'"),
        ('{"splits": {"train": ["train-0000"], "test": ["train-0000"]}}', "stands in train and in test"),
        ('{"splits": {"test": ["train-0000", "train-0000"]}}', "stands twice in test"),
        ("{", "not a valid JSON file"),
    ],
)
def test_a_wrong_split_file_is_refused(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "split.json").write_text(text)
    with pytest.raises(UserError, match=said):
        use_split(open_dataset("toy-pets"), tmp_path / "split.json")
