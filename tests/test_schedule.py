"""The course of the learning rate, against what its papers say."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from segmodels.recipe import Recipe
from segmodels.training.schedule import WARM_UP, learning_rate, plateaus

PER_EPOCH = 500


def rates(**fields: Any) -> np.ndarray:
    """Of every step of twenty epochs."""
    recipe = Recipe(**{"data": "toy-pets", "learning_rate": 0.1, "epochs": 20, **fields})
    return np.array([learning_rate(recipe, step, PER_EPOCH) for step in range(20 * PER_EPOCH)])


def test_a_cosine_falls_to_zero_after_a_warm_up() -> None:
    found = rates(schedule="cosine")
    assert (np.diff(found[:WARM_UP]) > 0).all()
    assert (np.diff(found[WARM_UP:]) < 0).all()
    assert found.max() == pytest.approx(0.1)
    assert found[-1] < 1e-6
    assert found[WARM_UP + (len(found) - WARM_UP) // 2] == pytest.approx(0.05)


def test_a_constant_rate_stays() -> None:
    assert set(rates(schedule="constant")[WARM_UP:]) == {0.1}
    assert learning_rate(Recipe(data="toy-pets", learning_rate=0.1, schedule="constant", epochs=1), 0, 5) == 0.1


@pytest.mark.parametrize("done", [0.0, 0.25, 0.5, 0.9])
def test_a_polynomial_falls_by_the_power_of_its_paper(done: float) -> None:
    found = rates(schedule="polynomial", warm_up_epochs=0)
    assert found[round(done * len(found))] == pytest.approx(0.1 * (1 - done) ** 0.9)


def test_one_cycle_rises_and_falls_to_next_to_nothing() -> None:
    found = rates(schedule="one_cycle")
    peak = int(found.argmax())
    assert peak == pytest.approx(0.3 * len(found), rel=0.01)
    assert found[peak] == pytest.approx(0.1, rel=1e-4)
    assert found[0] == pytest.approx(0.1 / 25, rel=0.01)
    assert found[-1] == pytest.approx(0.1 / 25 * 1e-4, rel=0.05)
    assert (np.diff(found[:peak]) > 0).all()
    assert (np.diff(found[peak:]) < 0).all()
    halfway = found[round(0.15 * len(found))]
    assert halfway == pytest.approx((0.1 + 0.1 / 25) / 2, rel=0.01), "half a cosine, not a line"


def test_a_warm_up_takes_the_epochs_it_is_given() -> None:
    found = rates(warm_up_epochs=2.5)
    assert found.argmax() == 2.5 * PER_EPOCH
    np.testing.assert_allclose(np.diff(found[: round(2.5 * PER_EPOCH)]), 0.1 / (2.5 * PER_EPOCH + 1), rtol=1e-6)


def test_after_the_frozen_epochs_the_course_begins_anew_and_lower() -> None:
    found = rates(freeze_epochs=5, fine_tune_rate=0.2, backbone="mobilenetv2")
    first, second = found[: 5 * PER_EPOCH], found[5 * PER_EPOCH :]
    assert first.max() == pytest.approx(0.1)
    assert second.max() == pytest.approx(0.02)
    assert first[-1] < 1e-6
    assert second[-1] < 1e-6
    assert second[0] < 0.001, "with a warm-up of its own"


@pytest.mark.parametrize(
    ("losses", "count"),
    [
        ([], 0),
        ([5, 4, 3, 2, 1], 0),
        ([5, 6, 6], 0),
        ([5, 6, 6, 6], 1),
        ([5, 6, 6, 6, 6, 6], 1),
        ([5, 6, 6, 6, 6, 6, 6], 2),
        ([5, 6, 6, 4, 6, 6], 0),
        ([5, 5, 5, 5], 1),
        ([math.inf, 3, 4, 4, 4], 1),
    ],
)
def test_plateaus_are_counted(losses: list[float], count: int) -> None:
    """Three epochs in a row without a lower loss, each time counted anew."""
    assert plateaus(losses, 3) == count


def test_a_plateau_lowers_the_rate_by_its_factor() -> None:
    recipe = Recipe(data="toy-pets", learning_rate=0.1, schedule="plateau", plateau_factor=0.3)
    assert [learning_rate(recipe, 5000, PER_EPOCH, plateaus=n) for n in range(3)] == pytest.approx([0.1, 0.03, 0.009])
