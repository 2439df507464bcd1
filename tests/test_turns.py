"""Who computes next, and which models are kept ready."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from segmodels.errors import UserError
from segmodels.hub.checkpoint import WEIGHTS
from segmodels.prediction.pool import Pool
from segmodels.prediction.turns import Turns


def test_one_at_a_time_and_in_the_order_of_asking() -> None:
    turns, served, inside = Turns(), [], []

    def ask(number: int) -> None:
        with turns:
            inside.append(1)
            assert len(inside) == 1
            time.sleep(0.002)
            inside.pop()
            served.append(number)

    with turns:
        threads = []
        for number in range(12):
            threads.append(threading.Thread(target=ask, args=(number,)))
            threads[-1].start()
            while len(turns._line) <= number:
                time.sleep(0.001)
    for thread in threads:
        thread.join(10)
    assert served == list(range(12))


def test_one_who_asks_again_and_again_does_not_keep_the_others_out() -> None:
    """Of two with as much to do each has every other turn; with a plain lock one may have nearly all."""
    turns, order = Turns(), []

    def work(name: str) -> None:
        for _ in range(50):
            with turns:
                order.append(name)
                time.sleep(0.001)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, "ab"))
    first = order[:60]
    assert abs(first.count("a") - first.count("b")) <= 8


def test_an_error_inside_hands_the_turn_on() -> None:
    turns = Turns()
    for _ in range(2):
        with pytest.raises(ValueError, match="inside"), turns:
            raise ValueError("inside")


class Loaded:
    """Stands for a predictor that holds so many bytes."""

    made = 0

    def __init__(self, model: Path, *, engine: str) -> None:
        time.sleep(0.02)
        type(self).made += 1
        self.path, self.engine, self.memory = model, engine, int((model / WEIGHTS).read_text())


@pytest.fixture
def models(tmp_path: Path) -> list[Path]:
    folders = [tmp_path / name for name in "abcd"]
    for folder in folders:
        folder.mkdir()
        (folder / WEIGHTS).write_text("100")
    Loaded.made = 0
    return folders


def test_models_are_shared_and_the_one_used_longest_ago_goes(models: list[Path]) -> None:
    pool = Pool(most=2, memory=1000, load=Loaded)  # type: ignore[arg-type]
    one, two = pool.get(models[0], "keras"), pool.get(models[1], "keras")
    assert pool.get(models[0], "keras") is one
    pool.get(models[2], "keras")
    assert len(pool) == 2
    assert pool.get(models[0], "keras") is one, "used after the second"
    assert pool.get(models[1], "keras") is not two


def test_memory_is_bounded_too_but_one_model_is_always_kept(models: list[Path]) -> None:
    pool = Pool(most=9, memory=250, load=Loaded)  # type: ignore[arg-type]
    for model in models:
        pool.get(model, "keras")
    assert len(pool) == 2
    (models[0] / WEIGHTS).write_text("5000")
    large = pool.get(models[0], "keras")
    assert len(pool) == 1
    assert pool.get(models[0], "keras") is large


def test_many_who_ask_at_once_wait_for_one_loading(models: list[Path]) -> None:
    pool = Pool(load=Loaded)  # type: ignore[arg-type]
    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(lambda number: pool.get(models[number % 2], "onnx"), range(64)))
    assert Loaded.made == 2
    assert len({id(each) for each in found}) == 2


def test_a_model_that_was_trained_on_is_loaded_anew(models: list[Path]) -> None:
    import os

    pool = Pool(load=Loaded)  # type: ignore[arg-type]
    first = pool.get(models[0], "keras")
    os.utime(models[0] / WEIGHTS, ns=(1, 1))
    assert pool.get(models[0], "keras") is not first
    assert len(pool) == 1
    (models[0] / WEIGHTS).unlink()
    with pytest.raises(UserError, match=r"has no model\.weights\.h5"):
        pool.get(models[0], "keras")
