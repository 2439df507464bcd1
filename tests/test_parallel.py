"""Several devices train as one would: the same losses, statistics, figures and weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segmodels.device import Device, choose_devices, choose_pool, claim_all, devices
from segmodels.errors import UserError
from segmodels.training.parallel import Parallel, padded
from segmodels.training.runs import Run
from tests import parallel_training

#: 4 steps an epoch, with a BatchNorm after every convolution.
RECIPE: dict[str, Any] = {
    "data": "toy-pets",
    "options": {"width": 4, "depth": 2, "norm": "batch"},
    "image_size": 32,
    "batch_size": 8,
    "limit": 32,
    "epochs": 3,
    "learning_rate": 0.003,
    "loss": "cross_entropy+dice",
    "class_weights": (1.0, 2.0, 0.5),
    "clip_norm": 1.0,
}


@pytest.fixture(params=["tensorflow", pytest.param("jax", marks=pytest.mark.slow)])
def trained(request: pytest.FixtureRequest, python: Callable, home: Path, tmp_path: Path) -> Callable[..., dict]:
    """Trainings of `parallel_training` on each engine."""
    how = {}
    if request.param == "jax":
        how = {"interpreter": request.getfixturevalue("jax_python")}

    def train(*names: str, **fields: Any) -> dict[str, Any]:
        recipe = json.dumps({**RECIPE, **fields})
        done = python(
            parallel_training.__file__, tmp_path / "runs", recipe, *names,
            KERAS_BACKEND=request.param, SEGMODELS_HOME=home, **how,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]

    return train


def same(one: dict[str, Any], other: dict[str, Any], tolerance: float = 1e-4) -> None:
    for name in ("losses", "validation", "accuracy"):
        np.testing.assert_allclose(one[name], other[name], rtol=0, atol=tolerance, err_msg=name)
    moved = np.abs(np.subtract(one["confusion"], other["confusion"])).sum()
    assert moved <= 1e-3 * sum(one["confusion"]), "but for pixels on the edge between two classes"


def test_two_devices_learn_what_one_learns_and_go_on_for_each_other(trained: Callable) -> None:
    found = trained("one", "two", "two-one")
    assert found["parallel"]["two"] == "2 devices, data-parallel, 4 pictures each"
    assert len(found["one"]["losses"]) == 12
    assert found["one"]["losses"][-1] < found["one"]["losses"][0]
    same(found["one"], found["two"])
    same(found["one"], found["two-one"])
    np.testing.assert_allclose(found["one"]["variables"], found["two"]["variables"], rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_the_curves_stay_together_for_100_steps(trained: Callable) -> None:
    """At a rate at which rounding does not grow: at 0.003 the pictures of a batch in another order, on one device, lead
    as far away as another device does."""
    found = trained("one", "two", epochs=25, learning_rate=0.0005)
    assert len(found["two"]["losses"]) == 100
    same(found["one"], found["two"])


@pytest.mark.slow
def test_means_accumulation_and_frozen_epochs_are_those_of_one_device(trained: Callable) -> None:
    found = trained("one", "two", "one-two", "two-two", ema=0.9, accumulation=3, epochs=4)
    same(found["one"], found["two"])
    same(found["one"], found["one-two"])
    np.testing.assert_array_equal(found["two"]["losses"], found["two-two"]["losses"])
    assert found["two"]["variables"] == found["two-two"]["variables"], "a pause changes nothing"


@pytest.mark.slow
def test_all_devices_on_the_command_line(python: Callable, home: Path) -> None:
    words = ["train", "--data", "toy-pets", "--option", "width=4", "--option", "depth=2", "--image-size", "32"]
    words += ["--limit", "16", "--epochs", "1", "--json", "--finished", "ignore", "--devices"]

    def train(*more: str, **variables: object) -> Any:
        return python(
            "-m", "segmodels", *words, *more, SEGMODELS_HOME=home, SEGMODELS_VIRTUAL_CPUS=2,
            CUDA_VISIBLE_DEVICES="-1", **variables,
        )  # fmt: skip

    done = train("all", "--batch-size", "auto")
    assert done.returncode == 0, done.stderr[-2000:]
    status = json.loads(done.stdout)["status"]
    assert (status["state"], status["batch_size"]) == ("finished", 16)
    assert status["parallel"] == "2 devices, data-parallel, 8 pictures each"
    assert status["device"].startswith("2 x ")
    assert status["parallel"] in Run(json.loads(done.stdout)["path"]).log(20)
    for more, expected in (
        (("0,1", "--batch-size", "5"), "5 pictures cannot be split evenly over 2 devices: use batch_size 4 or 6"),
        (("0,1,2", "--batch-size", "6"), "devices 0,1,2: there is no '2': write all, any, cpu, or of 0 ("),
    ):  # fmt: skip
        wrong = train(*more)
        assert wrong.returncode == 2
        assert expected in wrong.stderr.splitlines()[-1]


def test_parts_of_the_cpu_are_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    monkeypatch.setenv("SEGMODELS_VIRTUAL_CPUS", "3")
    assert [found.key for found in devices()] == ["cpu:0", "cpu:1", "cpu:2"]
    assert choose_pool(None) == choose_pool("any") == ["cpu:0", "cpu:1", "cpu:2"], "one of them"
    assert choose_pool("all") == ["cpu:0,cpu:1,cpu:2"], "all at once"
    assert choose_pool("2,0") == ["cpu:2,cpu:0"]
    assert choose_pool("1") == ["cpu:1"]
    assert choose_pool("cpu") == ["cpu"]
    assert [found.key for found in claim_all("cpu:2,cpu:0")] == ["cpu:2", "cpu:0"]
    with pytest.raises(UserError, match="there is no '3'"):
        choose_devices("0,3")
    for wrong in ("0", "two", "-1", "65"):
        monkeypatch.setenv("SEGMODELS_VIRTUAL_CPUS", wrong)
        with pytest.raises(UserError, match="from 1 to 64"):
            devices()


class Three(Parallel):
    devices = 3
    step_type = keywords = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("size", "pictures", "said"),
    [
        (8, 100, "use batch_size 6 or 9"),
        (2, 100, "use batch_size 3"),
        (8, 8, "use batch_size 6"),
        (2, 2, "use fewer"),
    ],
)
def test_a_batch_that_does_not_divide_is_said_in_one_line(size: int, pictures: int, said: str) -> None:
    with pytest.raises(UserError, match=f"a batch of {size} pictures cannot be split evenly over 3 devices: {said}"):
        Three().check_batch(size, pictures)
    Three().check_batch(9, pictures)


def test_a_last_batch_is_filled_up_with_what_counts_for_nothing() -> None:
    images, masks = np.ones((4, 2, 2, 3), np.uint8), np.ones((4, 2, 2), np.uint8)
    filled, ignored, (more,) = padded(3, images, masks, [np.ones((4, 2, 2), np.float32)])
    assert (filled.shape, ignored.shape, more.shape) == ((6, 2, 2, 3), (6, 2, 2), (6, 2, 2))
    assert (ignored[4:] == 255).all()
    assert (ignored[:4] == 1).all()
    assert not filled[4:].any()
    assert not more[4:].any()
    assert padded(2, images, masks, [])[0] is images


def test_two_devices_are_as_large_a_batch_as_fits_each() -> None:
    from segmodels.recipe import Recipe
    from segmodels.training.memory import USABLE, fitting_batch_size, training_bytes

    recipe = Recipe(data="toy-pets", options={"width": 4, "depth": 2}, image_size=64)
    once, each = training_bytes(recipe, 3)
    room = int((once + 5 * each) / USABLE) + 1
    assert fitting_batch_size(recipe, 3, available=room) == 4
    assert fitting_batch_size(recipe, 3, available=room, devices=2) == 8
    assert fitting_batch_size(recipe, 3, available=room, devices=3) == 12
    assert fitting_batch_size(recipe, 3, available=room, devices=16) == 32, "no more than on one"


def test_a_device_is_what_it_was() -> None:
    (found,) = choose_devices("cpu")
    assert isinstance(found, Device)
    assert (found.key, found.number) == ("cpu", None)
