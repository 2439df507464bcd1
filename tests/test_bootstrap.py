"""The paired bootstrap against loops over `ConfusionMatrix`, its coverage of a truth that is known, and the groups."""

from __future__ import annotations

import itertools
import json
import time
import tracemalloc
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmodels.errors import UserError
from segmodels.evaluation import instances
from segmodels.evaluation.compare import bootstrap as module
from segmodels.evaluation.compare.bootstrap import FIGURES, Bootstrap, Scores, bootstrap, higher_is_better, holm
from segmodels.evaluation.compare.groups import groups, letters
from segmodels.evaluation.confusion import ConfusionMatrix

NAMES = ["sky", "road", "tree", "boat"]


@pytest.fixture(autouse=True)
def _warnings_are_errors() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def scored(
    seed: int, *, runs: Sequence[int], pictures: int, classes: int = 4, rare: bool = True, numbered: bool = False
) -> list[Scores]:
    """Models that see the same small label maps; with `rare`, many have few of the classes, and ignored pixels."""
    rng = np.random.default_rng(seed)
    truths = []
    for _ in range(pictures):
        known = rng.choice(classes, rng.integers(1, classes + 1), replace=False) if rare else np.arange(classes)
        truths.append(rng.choice([*known, 255] if rare else known, (4, 5)).astype(np.uint8))
    models = []
    for model, number in enumerate(runs):
        confusion = np.zeros((number, pictures, classes, classes), np.int64)
        for run, (picture, truth) in itertools.product(range(number), enumerate(truths)):
            guess = rng.choice(np.unique(truth[truth < classes]) if (truth < classes).any() else [0], truth.shape)
            right = rng.random(truth.shape) < 0.4 + 0.05 * model
            matrix = ConfusionMatrix(classes)
            matrix.add(truth, np.where(right & (truth < classes), truth, guess))
            confusion[run, picture] = matrix.counts
        figures = rng.random((number, pictures, len(instances.FIGURES))) if numbered else None
        models.append(Scores(f"model {model}", confusion, figures))
    return models


# Slow: a loop over resamples, models and runs


def slow_figures(counts: np.ndarray) -> list[float]:
    matrix = ConfusionMatrix(len(counts), counts)
    figures = {**matrix.figures(), "mse": matrix.mean_squared_error()}
    return [*(figures[name] for name in FIGURES), *matrix.iou()]


def slow_values(model: Scores, drawn: np.ndarray) -> np.ndarray:
    """Of each run, of the pictures at the places `drawn`: `(runs, figures)`."""
    rows = []
    for run, confusion in enumerate(model.confusion):
        row = slow_figures(confusion[drawn].sum(axis=0))
        if model.instances is not None:
            row += list(model.instances[run][drawn].mean(axis=0))
        rows.append(row)
    return np.array(rows)


def slow_resampled(models: list[Scores], resamples: int, seed: int) -> np.ndarray:
    pictures = models[0].confusion.shape[1]
    draws = np.random.default_rng(seed).integers(pictures, size=(resamples, pictures))
    return np.array([[slow_values(model, drawn).mean(axis=0) for drawn in draws] for model in models])


def slow_interval(values: Sequence[float], level: float) -> tuple[float, float]:
    """Linear between the ordered values, of which the first is the quantile 0 and the last the quantile 1."""
    ordered = sorted(value for value in values if value == value)
    if not ordered:
        return float("nan"), float("nan")
    ends = []
    for quantile in ((1 - level) / 2, (1 + level) / 2):
        place = quantile * (len(ordered) - 1)
        below = int(place)
        above = min(below + 1, len(ordered) - 1)
        ends.append(ordered[below] + (place - below) * (ordered[above] - ordered[below]))
    return ends[0], ends[1]


def slow_p(differences: Sequence[float]) -> float:
    rounded = [round(value, 12) for value in differences if value == value]
    if not rounded:
        return float("nan")
    shares = [(1 + sum(sign * value >= 0 for value in rounded)) / (1 + len(rounded)) for sign in (1, -1)]
    return min(1.0, 2 * min(shares))


# Figures


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4), st.lists(st.integers(1, 3), min_size=1, max_size=3), st.booleans())
def test_values_are_those_of_the_confusion_matrix(seed: int, pictures: int, runs: list[int], numbered: bool) -> None:
    models = scored(seed, runs=runs, pictures=pictures, numbered=numbered)
    found = bootstrap(models, class_names=NAMES, resamples=1)
    assert found.figures[:7] == ["pixel_accuracy", "mean_iou", "mean_dice", "precision", "recall", "f1", "mse"]
    assert found.figures[7:11] == ["iou: sky", "iou: road", "iou: tree", "iou: boat"]
    objects = ["instances: dice", "instances: aji", "instances: aji_plus", "instances: pq", "instances: dq"]
    assert found.figures[11:] == ([*objects, "instances: sq", "instances: f1"] if numbered else [])
    assert found.models == [model.name for model in models]
    for row, (model, number) in enumerate(zip(models, runs, strict=True)):
        expected = slow_values(model, np.arange(pictures))
        np.testing.assert_allclose(found.values[row], expected.mean(axis=0), rtol=0, atol=1e-14)
        if number == 1:
            assert np.isnan(found.spread[row]).all()
        else:
            spread = np.sqrt(((expected - expected.mean(axis=0)) ** 2).sum(axis=0) / (number - 1))
            np.testing.assert_allclose(found.spread[row], spread, rtol=0, atol=1e-14)


def test_nothing_counted_and_a_class_that_only_one_run_predicts() -> None:
    empty = Scores("empty", np.zeros((1, 3, 2, 2), np.int64), None)
    found = bootstrap([empty, replace(empty, name="too")], class_names=["a", "b"], resamples=20)
    np.testing.assert_array_equal(found.values[0], [0, 0, 0, 0, 0, 0, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(found.low, found.values)
    np.testing.assert_array_equal(found.high, found.values)
    (pair,) = found.pairs("iou: b")
    assert np.isnan([pair.difference, pair.low, pair.high, pair.p, pair.p_corrected]).all()
    assert pair.different is False
    confusion = np.array([[[[9, 0], [0, 0]]], [[[8, 1], [0, 0]]]])
    found = bootstrap([Scores("seeds", confusion, None)], class_names=["a", "b"], resamples=20)
    assert np.isnan(found.values[0, found.figures.index("iou: b")])
    assert found.values[0, found.figures.index("mean_iou")] == pytest.approx((1 + 8 / 9) / 2)


def test_sums_of_very_many_pixels_are_exact() -> None:
    """One pixel in 10**15: float32, or sums of ratios, would lose it."""
    confusion = np.full((1, 4, 2, 2), 0, np.int64)
    confusion[..., 0, 0] = 250_000_000_000_001
    worse = confusion.copy()
    worse[0, 0, 0] += [-1, 1]
    found = bootstrap([Scores("a", confusion, None), Scores("b", worse, None)], class_names=["x", "y"], resamples=50)
    assert found.values[0, 0] == 1
    assert found.values[1, 0] == 1_000_000_000_000_003 / 1_000_000_000_000_004


# Intervals and p-values


@pytest.mark.parametrize("cells", [1, 50, 2**20], ids=["one by one", "some at a time", "at once"])
@pytest.mark.parametrize("level", [0.95, 0.8])
def test_agrees_with_a_loop(cells: int, level: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few pictures and rare classes: ties, and classes that are undefined in some resamples."""
    monkeypatch.setattr(module, "CELLS", cells)
    models = scored(3, runs=[1, 3, 2, 1], pictures=6, numbered=True)
    resamples, seed = 151, 8
    found = bootstrap(models, class_names=NAMES, resamples=resamples, seed=seed, level=level)
    slow = slow_resampled(models, resamples, seed)
    missing = np.isnan(slow).mean(axis=(0, 1))
    assert ((missing > 0) & (missing < 1)).any(), "no figure is undefined in some resamples only"
    np.testing.assert_allclose(found.resampled, np.moveaxis(slow, 1, 2), rtol=0, atol=1e-13)
    for column, figure in enumerate(found.figures):
        for row in range(len(models)):
            interval = found.low[row, column], found.high[row, column]
            assert interval == pytest.approx(slow_interval(slow[row, :, column], level), abs=1e-12), figure
        pairs = found.pairs(figure)
        couples = list(itertools.combinations(range(len(models)), 2))
        expected = [slow[i, :, column] - slow[j, :, column] for i, j in couples]
        corrected = slow_holm([slow_p(differences) for differences in expected])
        assert [(pair.first, pair.second) for pair in pairs] == [(f"model {i}", f"model {j}") for i, j in couples]
        for pair, (i, j), differences, p in zip(pairs, couples, expected, corrected, strict=True):
            assert pair.difference == pytest.approx(found.values[i, column] - found.values[j, column], abs=1e-15)
            assert (pair.low, pair.high) == pytest.approx(slow_interval(differences, level), abs=1e-12), figure
            assert pair.p == slow_p(differences)
            assert pair.p_corrected == p
            assert pair.different is bool(p < 1 - level)


def test_identical_models_do_not_differ() -> None:
    """Nor do models that are the same but for the order of their runs, whose means are rounded otherwise."""
    one, two = scored(5, runs=[3, 3], pictures=40, rare=False, numbered=True)
    assert one.instances is not None
    turned = Scores("turned", one.confusion[[2, 0, 1]], one.instances[[2, 0, 1]])
    found = bootstrap([one, replace(one, name="again"), two, turned], class_names=NAMES, resamples=500)
    column = found.figures.index("mean_iou")
    assert (found.resampled[0, column] != found.resampled[3, column]).any(), "the order of the runs rounds nothing"
    for figure in found.figures:
        pairs = {(pair.first, pair.second): pair for pair in found.pairs(figure)}
        for couple in [("model 0", "again"), ("model 0", "turned"), ("again", "turned")]:
            pair = pairs[couple]
            assert (pair.difference, pair.low, pair.high, pair.p, pair.p_corrected) == (0, 0, 0, 1, 1), figure
            assert pair.different is False


def test_a_difference_in_every_picture_is_real_however_far_pictures_lie_apart() -> None:
    """Intervals of the two overlap nearly wholly, as pictures are hard or easy for both; the difference is sure."""
    rng = np.random.default_rng(2)
    right = rng.integers(200, 900, 50)
    confusion = np.zeros((1, 50, 2, 2), np.int64)
    confusion[0, :, 0, 0], confusion[0, :, 0, 1], confusion[0, :, 1, 1] = right, 1000 - right, 10
    worse = confusion.copy()
    worse[0, :, 0, 0] -= 1
    worse[0, :, 0, 1] += 1
    found = bootstrap([Scores("a", confusion, None), Scores("b", worse, None)], class_names=["x", "y"], resamples=999)
    accuracy = found.figures.index("pixel_accuracy")
    assert found.low[0, accuracy] < found.values[1, accuracy] < found.high[0, accuracy]
    (pair,) = found.pairs("pixel_accuracy")
    assert (pair.p, pair.p_corrected, pair.different) == (2 / 1000, 2 / 1000, True)
    assert pair.difference == pytest.approx(1 / 1010)
    (pair,) = found.pairs("mse")
    assert pair.difference == pytest.approx(-1 / 1010)
    assert pair.different


def population(seed: int, size: int) -> list[Scores]:
    """Pictures of a population of three models: `plain`, `better`, and `alike`, which differs from `plain` in nearly
    every picture and in no figure of the whole, as each picture is there twice, with the two exchanged.

    Pictures differ in size, in the shares of three classes (the last is rare) and in how hard they are, which is much
    the same for all models: figures vary over pictures as real ones do, and models are wrong together.
    """
    rng = np.random.default_rng(seed)
    pixels = rng.integers(500, 3000, size)
    shares = rng.dirichlet([6, 3, 0.6], size)
    true = rng.multinomial(pixels, shares)
    ease = rng.normal(2, 0.8, size)

    def predicted(gain: float) -> np.ndarray:
        skill = 1 / (1 + np.exp(-(ease + gain + rng.normal(0, 0.3, size))))
        rows = []
        for klass, handicap in enumerate([1, 0.9, 0.7]):
            chance = np.repeat((1 - skill * handicap)[:, None] / 2, 3, axis=1)
            chance[:, klass] = skill * handicap
            rows.append(rng.multinomial(true[:, klass], chance))
        return np.stack(rows, axis=1)

    plain, better, alike = predicted(0), predicted(0.05), predicted(0)
    both = {"plain": [plain, alike], "better": [better, better], "alike": [alike, plain]}
    return [Scores(name, np.concatenate(parts)[None], None) for name, parts in both.items()]


def coverage(repetitions: int, pictures: int, resamples: int) -> dict[str, float]:
    """How often intervals of test splits drawn from the population hold its figures, and how often p is below 0.05 for
    the two models that are equally good: shares of the repetitions."""
    everything = population(0, 20_000)
    rng = np.random.default_rng(1)
    true = {
        model.name: dict(zip(FIGURES, slow_figures(model.confusion[0].sum(axis=0)), strict=False))
        for model in everything
    }
    assert true["plain"] == true["alike"]
    counts: Counter[str] = Counter()
    for repetition in range(repetitions):
        drawn = rng.integers(everything[0].confusion.shape[1], size=pictures)
        split = [replace(model, confusion=model.confusion[:, drawn]) for model in everything]
        found = bootstrap(split, class_names=NAMES[:3], resamples=resamples, seed=repetition)
        for figure in ["pixel_accuracy", "mean_iou"]:
            column = found.figures.index(figure)
            for row, name in enumerate(found.models[:2]):
                inside = found.low[row, column] <= true[name][figure] <= found.high[row, column]
                counts[f"{figure} of {name}"] += bool(inside)
            for pair in found.pairs(figure)[:2]:
                difference = true[pair.first][figure] - true[pair.second][figure]
                counts[f"{figure} of {pair.first} - {pair.second}"] += pair.low <= difference <= pair.high
                if pair.second == "alike":
                    counts[f"{figure}: p < 0.05"] += pair.p < 0.05
    return {name: count / repetitions for name, count in counts.items()}


def test_intervals_cover_the_truth_as_often_as_they_say(python: Callable[..., Any]) -> None:
    """Of 95 % intervals 93 to 97 % hold the true figure, of each model and of each difference; of two models that are
    equally good 3 to 7 % have p below 0.05.

    300 pictures: where figures are as skewed over pictures as here, percentile intervals are a little short with few
    (about 94 % at 150 pictures), and 1000 repetitions tell a share to 0.7 %. In a process of its own with one thread of
    BLAS: thousands of small products wait for one another's threads where other tests run beside them.
    """
    code = "import json; from tests.test_bootstrap import coverage; print(json.dumps(coverage(1000, 300, 600)))"
    process = python("-c", code, OPENBLAS_NUM_THREADS=1)
    assert process.returncode == 0, process.stderr
    shares = json.loads(process.stdout)
    covered = {name: share for name, share in shares.items() if "p <" not in name}
    mistaken = {name: share for name, share in shares.items() if "p <" in name}
    assert (len(covered), len(mistaken)) == (8, 2)
    assert all(0.93 <= share <= 0.97 for share in covered.values()), covered
    assert all(0.03 <= share <= 0.07 for share in mistaken.values()), mistaken


def test_the_same_seed_gives_the_same_and_what_else_is_compared_changes_nothing() -> None:
    def arrays(found: Bootstrap) -> list[np.ndarray]:
        return [found.values, found.low, found.high, found.resampled]

    models = scored(1, runs=[1, 2, 1], pictures=20)
    first = bootstrap(models, class_names=NAMES, resamples=300, seed=4)
    for one, other in zip(
        arrays(first), arrays(bootstrap(models, class_names=NAMES, resamples=300, seed=4)), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    assert first.pairs("f1") == bootstrap(models, class_names=NAMES, resamples=300, seed=4).pairs("f1")
    assert (first.low != bootstrap(models, class_names=NAMES, resamples=300, seed=5).low).any()
    alone = bootstrap(models[1:2], class_names=NAMES, resamples=300, seed=4)
    np.testing.assert_allclose(alone.low[0], first.low[1], rtol=0, atol=1e-14)
    np.testing.assert_allclose(alone.high[0], first.high[1], rtol=0, atol=1e-14)
    assert alone.pairs("f1") == []


def test_instances_only_where_all_models_have_them() -> None:
    one, two = scored(1, runs=[1, 2], pictures=5, numbered=True)
    found = bootstrap([one, replace(two, instances=None)], class_names=NAMES, resamples=10)
    assert found.figures[-1] == "iou: boat"


def test_higher_is_better() -> None:
    models = scored(0, runs=[1], pictures=2, numbered=True)
    figures = bootstrap(models, class_names=NAMES, resamples=1).figures
    assert [figure for figure in figures if not higher_is_better(figure)] == ["mse"]


def test_mistakes() -> None:
    one, two = scored(1, runs=[1, 2], pictures=5)
    three = scored(2, runs=[1], pictures=4)[0]

    def message(*models: Scores, names: list[str] = NAMES, **options: Any) -> str:
        with pytest.raises(UserError) as caught:
            bootstrap(models, class_names=names, **options)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert message() == "there are no models to compare: give at least one"
    assert message(one, one) == "two models are called 'model 0': give each a name of its own"
    assert message(one, replace(three, name="c")).startswith("model 0 was scored on 5 pictures and c on 4: ")
    assert message(one, names=["a", "b"]).startswith("model 0 knows 4 classes, the data 2: ")
    assert message(replace(one, confusion=one.confusion[:, :0])).startswith("there are no pictures to compare")
    assert message(replace(one, confusion=one.confusion[:0])).startswith("model 0 has no runs")
    moved = two.confusion.copy()
    moved[1, 2] += np.eye(4, dtype=np.int64)[2] * [[0], [1], [0], [0]]
    pixels = one.confusion[0, 2].sum(axis=1)[1]
    assert message(one, replace(two, confusion=moved)).startswith(
        "model 0 and model 1 were not scored on the same truth: "
        f"picture 3 has {pixels} and {pixels + 1} pixels of road: "
    )
    assert message(one, two, resamples=0) == "resamples=0: must be at least 1"
    assert message(one, two, level=95).startswith("level=95: must be between 0 and 1")
    with pytest.raises(UserError, match="unknown figure 'mean_uio': did you mean 'mean_iou'"):
        bootstrap([one, two], class_names=NAMES, resamples=5).pairs("mean_uio")
    with pytest.raises(ValueError, match="instances are"):
        bootstrap([replace(one, instances=np.zeros((1, 5, 3)))], class_names=NAMES)


# Holm


def slow_holm(p: Sequence[float]) -> list[float]:
    """Closed testing: the correction is the largest Bonferroni p-value of the sets of tests that hold the one."""
    tests = [i for i, value in enumerate(p) if value == value]
    sets = [one for size in range(1, len(tests) + 1) for one in itertools.combinations(tests, size)]
    return [
        min(1.0, max(len(one) * min(p[j] for j in one) for one in sets if i in one)) if i in tests else float("nan")
        for i in range(len(p))
    ]


def test_holm_by_hand() -> None:
    """0.01 x 4, 0.02 x 3, then 0.022 x 2 = 0.044 which is below 0.06, and 0.7 x 1."""
    np.testing.assert_allclose(holm([0.02, 0.7, 0.01, 0.022]), [0.06, 0.7, 0.04, 0.06], rtol=1e-15)
    np.testing.assert_array_equal(holm([0.5, np.nan, 0.6, 0.02]), [1, np.nan, 1, 0.06])
    assert holm([]).shape == (0,)
    assert np.isnan(holm([np.nan])).all()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.001, 0.01, 0.02, 0.04, 0.3, 1.0, float("nan")]) | st.floats(0, 1), max_size=8))
def test_holm_is_closed_testing(p: list[float]) -> None:
    corrected = holm(p)
    np.testing.assert_allclose(corrected, slow_holm(p), rtol=1e-14)
    order = [i for i in np.argsort(p) if p[i] == p[i]]
    assert all(one <= other for one, other in itertools.pairwise(corrected[order]))
    assert all(p[i] <= corrected[i] <= 1 for i in order)


# Groups


def slow_groups(names: list[str], different: set[tuple[str, str]]) -> set[frozenset[str]]:
    """Of all subsets without a pair that differs, those that are in no other."""
    subsets = [frozenset(one) for size in range(1, len(names) + 1) for one in itertools.combinations(names, size)]
    alike = [one for one in subsets if not any(one.issuperset(pair) for pair in different)]
    return {one for one in alike if not any(one < other for other in alike)}


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_groups_are_the_largest_sets_that_cannot_be_told_apart(data: st.DataObject) -> None:
    names = list("PQRSTUV")[: data.draw(st.integers(0, 7))]
    values = data.draw(st.lists(st.integers(0, 5), min_size=len(names), max_size=len(names)))
    couples = [data.draw(st.permutations(couple)) for couple in itertools.combinations(names, 2)]
    different = {(one, other) for one, other in couples if data.draw(st.booleans())}
    higher = data.draw(st.booleans())
    found = groups(names, values, different, higher)
    assert len(found) == len(set(map(frozenset, found)))
    assert set(map(frozenset, found)) == slow_groups(names, different)
    assert {name for group in found for name in group} == set(names)
    value = dict(zip(names, values, strict=True))
    keys = [[(-value[name] if higher else value[name], names.index(name)) for name in group] for group in found]
    assert all(key == sorted(key) for key in keys)
    assert keys == sorted(keys)
    shown = letters(names, values, different, higher)
    assert list(shown) == names
    for one, other in itertools.combinations(names, 2):
        apart = (one, other) in different or (other, one) in different
        assert set(shown[one]).isdisjoint(shown[other]) == apart
    assert not found or "a" in shown[found[0][0]]


def test_groups_by_hand() -> None:
    """The middle one cannot be told from either, but the best can from the worst."""
    names, values = ["fcn", "unet", "pspnet"], [0.70, 0.80, 0.75]
    assert groups(names, values, {("fcn", "unet")}) == [["unet", "pspnet"], ["pspnet", "fcn"]]
    assert letters(names, values, {("unet", "fcn")}) == {"fcn": "b", "unet": "a", "pspnet": "ab"}
    assert groups(names, values, {("fcn", "unet")}, higher=False) == [["fcn", "pspnet"], ["pspnet", "unet"]]
    assert groups(names, values, set()) == [["unet", "pspnet", "fcn"]]
    assert groups(names, [0.7, np.nan, 0.75], set(itertools.combinations(names, 2))) == [["pspnet"], ["fcn"], ["unet"]]
    assert groups([], [], set()) == []
    assert letters([], [], set()) == {}


def test_more_groups_than_letters() -> None:
    """Twelve models in four threes, whose members differ: 81 groups, one of each three."""
    names = [f"m{i}" for i in range(12)]
    different = {pair for i in range(0, 12, 3) for pair in itertools.combinations(names[i : i + 3], 2)}
    values = list(range(12, 0, -1))
    assert len(groups(names, values, different)) == 81
    shown = letters(names, values, different)
    assert shown["m0"][:27] == "abcdefghijklmnopqrstuvwxyzA"
    assert shown["m1"] == "BCDEFGHIJKLMNOPQRSTUVWXYZa1b1"
    assert shown["m2"] == "".join(f"{letter}1" for letter in "cdefghijklmnopqrstuvwxyzABC")
    singles = [f"s{i}" for i in range(60)]
    shown = letters(singles, range(60, 0, -1), list(itertools.combinations(singles, 2)))
    assert len(set(shown.values())) == 60
    assert [shown[f"s{i}"] for i in (0, 25, 26, 51, 52, 59)] == ["a", "z", "A", "Z", "a1", "h1"]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_groups_that_are_too_many_are_chosen(data: st.DataObject) -> None:
    """Each is one of the largest sets, and any two models share one where they do not differ, and only there."""
    names = list("PQRSTUVW")[: data.draw(st.integers(1, 8))]
    couples = list(itertools.combinations(names, 2))
    different = {couple for couple in couples if data.draw(st.booleans())}
    most = data.draw(st.integers(1, 9))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("segmodels.evaluation.compare.groups.MOST", most)
        found = groups(names, range(len(names)), different)
        shown = letters(names, range(len(names)), different)
    exact, sets = slow_groups(names, different), set(map(frozenset, found))
    assert len(found) == len(sets)
    assert sets <= exact
    assert sets == exact or len(exact) > most
    assert found == sorted(found, key=lambda group: [-names.index(name) for name in group])
    for couple in couples:
        assert set(shown[couple[0]]).isdisjoint(shown[couple[1]]) == (couple in different)
    assert {name for group in found for name in group} == set(names)


@pytest.mark.parametrize("couples", [8, 12, 40])
def test_couples_that_differ_take_no_time(couples: int) -> None:
    """Of k couples there are 2 ** k groups: one of each couple."""
    names = [f"m{i}" for i in range(2 * couples)]
    different = list(itertools.pairwise(names))[::2]
    began = time.perf_counter()
    found = groups(names, range(2 * couples), different)
    assert time.perf_counter() - began < 0.3
    if couples == 8:
        assert len(found) == 2**8
    else:
        assert len(found) <= 2 * couples
    together = {frozenset(couple) for group in found for couple in itertools.combinations(group, 2)}
    alike = set(map(frozenset, itertools.combinations(names, 2))) - set(map(frozenset, different))
    assert together == alike


def test_the_order_of_the_pairs_takes_no_time() -> None:
    """Forty models that all differ are forty groups, though half of the pairs alone would make a million."""
    names = [f"m{i}" for i in range(40)]
    pairs = list(itertools.combinations(names, 2))
    couples = list(itertools.pairwise(names))[::2]
    began = time.perf_counter()
    found = groups(names, range(40), [*couples, *(pair for pair in pairs if pair not in couples)])
    assert time.perf_counter() - began < 0.3
    assert found == [[name] for name in reversed(names)]


# Speed and memory


def large(pictures: int, models: int, classes: int) -> list[Scores]:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 5000, (pictures, classes))
    confusion = [rng.multinomial(true, np.full(classes, 1 / classes)) for _ in range(models)]
    return [Scores(f"model {i}", counts[None], None) for i, counts in enumerate(confusion)]


def test_ten_thousand_resamples_are_quick() -> None:
    models = large(500, 8, 3)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        found = bootstrap(models, class_names=NAMES[:3])
        found.pairs("mean_iou")
        seconds.append(time.perf_counter() - start)
    assert found.resampled.shape == (8, 10, 10_000)
    assert min(seconds) < 2, seconds


def test_memory_does_not_grow_with_pictures_times_resamples() -> None:
    """4000 resamples of 4000 pictures would be 128 MB, at once and as counts alone."""
    models = large(4000, 2, 3)
    tracemalloc.start()
    try:
        bootstrap(models, class_names=NAMES[:3], resamples=4000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64e6
