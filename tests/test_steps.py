"""The training steps of both engines, which are written twice and must do the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import steps


def found_on(python: Callable, kinds: tuple[str, ...], **how: Any) -> dict[str, Any]:
    done = python(steps.__file__, *kinds, **how)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


QUICK = ("adamw, clipped, means",)


@pytest.mark.parametrize(
    "kinds",
    [QUICK, pytest.param(tuple(kind for kind in steps.KINDS if kind not in QUICK), marks=pytest.mark.slow)],
    ids=["quick", "others"],
)
def test_steps_of_every_kind_are_the_same_on_both_engines(
    kinds: tuple[str, ...], python: Callable, jax_python: Path
) -> None:
    ours = found_on(python, kinds)
    theirs = found_on(python, kinds, interpreter=jax_python, KERAS_BACKEND="jax")
    assert (ours.pop("engine"), theirs.pop("engine")) == ("tensorflow", "jax")
    assert tuple(ours) == tuple(theirs) == kinds
    for kind, found in ours.items():
        for name, values in found.items():
            np.testing.assert_allclose(values, theirs[kind][name], rtol=2e-3, atol=2e-4, err_msg=f"{kind}: {name}")
        assert len(set(found["losses"])) == 6
        assert found["after"] == pytest.approx(found["evaluated"], abs=1e-6), "the weights are back after the means"
        means = steps.KINDS[kind].get("ema")
        assert (abs(found["averaged"] - found["evaluated"]) > 3e-6) == bool(means)

    if "adversarial" not in ours:
        return
    game = ours["adversarial"]
    judge = game["judge"]
    assert judge[0] == judge[1] != judge[2] == judge[3] != judge[4] == judge[5], "it learns in every second step"
    assert all(0 <= share <= 1 for share in game["discriminator_accuracy"])
    for total, fooling in zip(game["losses"], game["adversarial_loss"], strict=True):
        assert total > 0.5 * fooling > 0
