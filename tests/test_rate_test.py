"""The learning-rate range test: the rates it tries, and what it makes of the losses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segmodels.errors import UserError
from segmodels.recipe import Recipe
from segmodels.training import queue
from segmodels.training.rate_test import rate_test, smoothed, suggested_rate
from segmodels.training.reporter import Reporter
from segmodels.training.runs import Run


def test_it_raises_the_rate_until_the_loss_breaks(home: Path, tiny: dict[str, Any]) -> None:
    """Steps of SGD far too large ruin this network within the test; the rate it suggests lies well below."""
    recipe = Recipe(**{**tiny, "optimizer": "sgd", "loss": "cross_entropy"})
    found = rate_test(recipe, steps=40, lowest=1e-5, highest=10)
    rates, losses = found["rates"], found["losses"]
    assert len(rates) == len(losses) == len(found["smoothed"])
    np.testing.assert_allclose(np.diff(np.log(rates)), np.log(1e6) / 39, rtol=1e-6)
    assert rates[0] == pytest.approx(1e-5)
    assert min(losses) < losses[0] * 0.9
    assert 1e-4 < found["suggested"] < 1
    assert list(home.glob("runs/*")) == []
    assert list(home.glob("queue/*.json")) == []


def test_it_waits_for_a_run_that_has_the_device(home: Path, tiny: dict[str, Any]) -> None:
    run = Run.create(Recipe(**tiny))
    with run.lock(), queue.turn(run.path, ["cpu"], wanted=lambda: None, waits=lambda _: None):

        class Told(Reporter):
            def note(self, text: str) -> None:
                assert text == f"waiting for {run.id}"
                waited.append(queue.ahead(["cpu"]).waits_for)
                queue.leave(run.path)

        waited: list[str | None] = []
        found = rate_test(Recipe(**tiny), steps=20, reporter=Told())
    assert waited == ["rate-test"], "who comes later waits for the test"
    assert found["rates"]


def test_a_running_mean_is_corrected_for_its_start() -> None:
    assert smoothed([3.0] * 5) == pytest.approx([3.0] * 5)
    assert smoothed([1.0, 2.0]) == pytest.approx([1.0, (0.9 * 0.1 * 1 + 0.1 * 2) / (1 - 0.81)])


def test_the_steepest_fall_is_suggested_or_a_tenth_of_the_least() -> None:
    rates = [float(rate) for rate in np.geomspace(1e-6, 1, 61)]
    fall = [1 / (1 + (rate / 1e-4)) for rate in rates[:50]] + [5.0] * 11
    assert suggested_rate(rates, fall) == pytest.approx(1e-4, rel=0.3)
    late = [2.0] * 48 + [1.0] + [5.0] * 12
    assert suggested_rate(rates, late) <= rates[48] / 10 * 1.001


@pytest.mark.parametrize(
    ("how", "word"),
    [({"steps": 5}, "20 or more"), ({"lowest": 1.0, "highest": 0.1}, "must rise"), ({"lowest": 0}, "above 0")],
)
def test_what_cannot_be_tested_is_said(tiny: dict[str, Any], how: dict[str, Any], word: str) -> None:
    with pytest.raises(UserError, match=word):
        rate_test(Recipe(**tiny), **how)
