"""Searches with a real Ray: trials are runs, a worker that is killed is replaced, and what was stopped goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from segmodels.errors import UserError
from segmodels.search.conduct import conduct
from segmodels.search.search import FILE, Search, Trial, find_search, list_searches, starts_path
from segmodels.search.space import Space
from segmodels.training.placed import Resources
from segmodels.training.reporter import Reporter
from segmodels.training.runs import Run, list_runs

pytest.importorskip("ray.tune")

#: Trains in seconds on one core.
SMALL: dict[str, Any] = {
    "data": "toy-pets",
    "options": {"width": 4, "depth": 3},
    "image_size": 32,
    "batch_size": 8,
    "limit": 16,
    "epochs": 2,
    "deterministic": True,
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A Ray of this machine; it takes seconds to start."""
    from segmodels.cluster.connection import connected

    with connected("local", cpus=2) as ray:
        yield ray


def search_of(how: dict[str, Any], space: dict[str, Any], **recipe: Any) -> Search:
    fields = {name: value for name, value in {**SMALL, **recipe}.items() if name not in space}
    document = {"search": how, "recipe": fields, "space": space}
    return Search.create(Space.of(document), resources=Resources(cpus=1, gpus=0))


class Notes(Reporter):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def epochs_of(trial: Trial) -> list[int]:
    assert trial.run is not None
    return [row["epoch"] for row in trial.run.history()]


def test_trials_are_runs_and_one_that_fails_stops_no_other(home: Path, cluster: Any) -> None:
    search = search_of({"method": "grid"}, {"accumulation": [1, 500]})
    told = Notes()
    assert conduct(search, reporter=told) == "finished"
    good, bad = search.trials()
    assert (good.state, bad.state) == ("finished", "failed")
    assert "accumulation=500" in bad.said
    assert any("trial 2 (accumulation=500) failed: recipe field accumulation=500" in line for line in told.notes)
    # Each is a run like any other, by a name that tells which.
    assert [run.id for run in list_runs()] == [f"{search.id}-trial-002", f"{search.id}-trial-001"]
    assert good.run is not None
    assert good.run.recipe == search.recipe_of(1)
    assert good.run.has_best
    values = [row["val_mean_iou"] for row in good.run.history()]
    assert len(values) == 2
    assert (good.value, good.best_epoch) == (max(values), 1 + int(np.argmax(values)))
    best = search.best(search.trials())
    assert best is not None
    assert best.number == 1
    # It stays in the table when its run is deleted, and is not trained again.
    good.run.delete()
    (kept, _) = search.trials()
    assert (kept.state, kept.value, kept.epoch, kept.run) == ("finished", good.value, 2, None)
    assert conduct(search) == "finished"
    assert search.trial(1).run is None
    assert not (search.path / "tune").exists()


@pytest.mark.slow
def test_a_trial_learns_what_its_recipe_learns_alone(home: Path, cluster: Any) -> None:
    """The oracle: the same recipe trained in this process."""
    from segmodels.training.train import train

    search = search_of({"method": "grid", "metric": "val_loss"}, {"learning_rate": [0.003]})
    assert conduct(search) == "finished"
    run = train(search.recipe_of(1), queue=False)
    (trial,) = search.trials()
    ours, theirs = run.history(), search.history(1)
    for name in ("loss", "val_loss", "val_mean_iou"):
        np.testing.assert_allclose([row[name] for row in theirs], [row[name] for row in ours], rtol=1e-3)
    assert trial.value == min(row["val_loss"] for row in theirs)


@pytest.mark.slow
def test_a_trial_whose_worker_is_killed_goes_on(home: Path, cluster: Any) -> None:
    search = search_of({"method": "grid"}, {"learning_rate": [0.003]}, epochs=40)
    killed: list[tuple[int, int]] = []

    def kill() -> None:
        run = Run(search.run_path(1))
        while len(killed) < 2:
            status: dict[str, Any] = run.status() if run.path.is_dir() else {}
            pid, epoch = int(status.get("pid") or 0), len(run.history())
            if status.get("state") == "running" and pid not in [p for p, _ in killed] and epoch >= 3 + 8 * len(killed):
                os.kill(pid, signal.SIGKILL)
                killed.append((pid, epoch))
            time.sleep(0.02)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    told = Notes()
    assert conduct(search, reporter=told) == "finished"
    assert len(killed) == 2
    (trial,) = search.trials()
    assert trial.state == "finished"
    assert epochs_of(trial) == list(range(1, 41)), "each epoch once"
    assert trial.run is not None
    assert trial.run.status()["pid"] not in [pid for pid, _ in killed]
    # The epochs before a kill were not trained again: the log has each of them once, but the one that was cut off.
    lines = [line for line in trial.run.log(500).splitlines() if "  epoch " in line]
    assert len(lines) <= 40 + 2
    assert sum("its worker died" in line for line in told.notes) == 2


def test_workers_that_die_at_the_same_place_are_given_up(home: Path) -> None:
    from segmodels.search.trial import STARTS, TrialWorker

    search = search_of({"method": "grid"}, {"learning_rate": [0.003]})
    worker = TrialWorker(str(search.path), 1, {}, 0)
    run = worker._run()
    for _ in range(STARTS):
        worker._count_starts(run)
    with pytest.raises(UserError, match=f"{STARTS} workers died with it at epoch 0, step 0"):
        worker._count_starts(run)
    run.write_status(step=3)
    worker._count_starts(run)  # it got on
    search.keep(1, "failed", "said")
    search.forget_failures()
    assert not starts_path(search.record_path(1)).exists()
    assert search.trial(1).state != "failed"


def ordered(values: list[Any], field: str) -> int:
    """The seed with which a choice is drawn in an order."""
    for seed in range(1000):
        drawn = Space.of({"search": {"trials": len(values), "seed": seed}, "space": {field: values}}).trials()
        if [one[field] for one in drawn] == values:
            return seed
    raise AssertionError


@pytest.mark.slow
def test_asha_ends_a_bad_trial_and_its_run_can_go_on(home: Path, cluster: Any) -> None:
    rates = [0.0001, 5.0]  # the second breaks the weights at once
    how = {"method": "asha", "trials": 2, "metric": "val_loss", "grace": 1, "reduction": 2, "parallel": 1}
    search = search_of({**how, "seed": ordered(rates, "learning_rate")}, {"learning_rate": rates}, epochs=3)
    told = Notes()
    assert conduct(search, reporter=told) == "finished"
    good, bad = search.trials()
    assert (good.state, good.epoch, bad.state, bad.epoch) == ("finished", 3, "pruned", 1)
    first = search.history(1)[0]["val_loss"], search.history(2)[0]["val_loss"]
    assert first[1] > first[0]
    assert bad.said == f"after epoch 1 of 3: val_loss {first[1]:.4g} is too high"
    assert bad.run is not None
    assert bad.run.state == "stopped"
    assert bad.run.has_best
    assert f"pruned by asha {bad.said}" in bad.run.log()
    # A search that goes on leaves it; its run goes on like any other that was stopped.
    assert conduct(search) == "finished"
    assert search.trial(2).state == "pruned"
    from segmodels.training.train import train

    train(resume=bad.run, queue=False)
    assert (search.trial(2).state, epochs_of(search.trial(2))) == ("finished", [1, 2, 3])


def halving(rungs: list[int], reduction: int, curves: list[list[float]]) -> list[int]:
    """A second implementation of asynchronous successive halving, one trial after the other (Li et al. 2020, with the
    rung's percentile as Ray takes it): after how many epochs each is ended."""
    recorded: dict[int, list[float]] = {rung: [] for rung in rungs}
    found = []
    for curve in curves:
        ends = len(curve)
        for epoch, value in enumerate(curve, 1):
            if epoch not in recorded:
                continue
            before = recorded[epoch]
            worse = bool(before) and value < np.percentile(before, 100 * (1 - 1 / reduction))
            before.append(value)
            if worse and epoch < len(curve):
                ends = epoch
                break
        found.append(ends)
    return found


def test_asha_decides_as_a_second_implementation_also_after_a_new_start(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from segmodels.search import conduct as module

    rng = np.random.default_rng(0)
    curves = [np.sort(rng.uniform(size=9)).round(3).tolist() for _ in range(12)]
    how = {"method": "asha", "trials": 12, "grace": 1, "reduction": 3}
    search = search_of(how, {"learning_rate": {"log": [1e-4, 1e-2]}}, epochs=9)
    expected = halving([1, 3, 9], 3, curves)
    assert len(set(expected)) >= 3, "ended at each rung"
    states: dict[int, tuple[str, list[dict[str, Any]]]] = {}

    def trials() -> list[Trial]:
        return [Trial(n, {}, states.get(n, ("waiting", []))[0], "", None, 0, 9, None, None) for n in range(1, 13)]

    monkeypatch.setattr(Search, "history", lambda self, number: states.get(number, ("", []))[1])
    conductor: Any = SimpleNamespace(search=search, ended=lambda *_: None)
    found = []
    scheduler = module._asha(conductor, trials())
    for number, curve in enumerate(curves, 1):
        if number == 7:  # another process goes on
            scheduler = module._asha(conductor, trials())
        trial: Any = SimpleNamespace(trial_id=f"t{number}", config={"number": number})
        scheduler.on_trial_add(None, trial)
        rows = []
        for epoch, value in enumerate(curve, 1):
            rows.append({"epoch": epoch, "epochs": 9, "val_mean_iou": value})
            if scheduler.on_trial_result(None, trial, rows[-1]) == scheduler.STOP:
                break
        states[number] = ("finished" if len(rows) == 9 else "pruned", rows)
        found.append(len(rows))
    assert found == expected


@pytest.mark.slow
def test_a_search_that_is_stopped_goes_on(home: Path, cluster: Any) -> None:
    how = {"method": "random", "trials": 3, "parallel": 1}
    search = search_of(how, {"learning_rate": {"log": [1e-4, 1e-2]}}, epochs=12)

    def second_has_begun() -> bool:
        return search.trial(2).epoch >= 2

    assert conduct(search, stop=second_has_begun) == "stopped"
    first, second, third = search.trials()
    assert (first.state, second.state, third.state) == ("finished", "paused", "waiting")
    assert 2 <= second.epoch < 12
    assert third.run is None
    assert search.state == "stopped"
    assert first.run is not None
    before = (first.run.path / "metrics.csv").stat().st_mtime_ns
    assert conduct(search) == "finished"
    assert [trial.state for trial in search.trials()] == ["finished"] * 3
    assert (first.run.path / "metrics.csv").stat().st_mtime_ns == before, "not trained again"
    assert [epochs_of(trial) for trial in search.trials()] == [list(range(1, 13))] * 3
    assert second.run is not None
    assert second.run.log().count(" on ") >= 2, "it began twice"


# What is wrong


def test_a_cluster_that_is_not_there_or_too_small_is_said(home: Path, cluster: Any) -> None:
    search = search_of({"method": "grid"}, {"learning_rate": [0.1]})
    document = json.loads((search.path / FILE).read_text())
    document["resources"]["gpus"] = 3
    (search.path / FILE).write_text(json.dumps(document))
    with pytest.raises(UserError, match=r"no node of the Ray cluster has 1 processor and 3 GPUs"):
        conduct(Search(search.path))
    assert search.status()["state"] == "interrupted"
    assert "3 GPUs" in search.status()["error"]
    assert list_runs() == []


def test_without_ray_it_says_what_to_install(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from segmodels.search import conduct as module

    search = search_of({"method": "grid"}, {"learning_rate": [0.1]})
    monkeypatch.setattr(module, "missing_ray", lambda: "Ray is not installed: pip install it")
    with pytest.raises(UserError, match="Ray is not installed"):
        module.begin(search)


def test_searches_are_listed_found_and_deleted(home: Path) -> None:
    one = search_of({"method": "grid"}, {"learning_rate": [0.1, 0.2]})
    two = Search.create(one.space, name="My search")
    assert [search.id for search in list_searches()] == sorted([one.id, two.id], reverse=True)
    assert find_search("my-search").id == find_search(two.id).id == find_search(str(two.path)).id == two.id
    assert two.title == "My search"
    with pytest.raises(UserError, match="there is no search 'none'"):
        find_search("none")
    with pytest.raises(UserError, match="is interrupted: there is nothing to stop"):
        two.request_stop()
    with two.lock():
        two.write_status(state="running")
        with pytest.raises(UserError, match="stop it first"):
            two.delete()
        with pytest.raises(UserError, match="conducted by another process"):
            conduct(Search(two.path))
    two.delete()
    assert [search.id for search in list_searches()] == [one.id]


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.update(trials=[]),
        lambda document: document.update(trials=[{"epochs": 3}]),
        lambda document: document.update(space={"space": {"nothing": [1]}}),
        lambda document: document.update(created="yesterday"),
        lambda document: document.update(resources={"cpus": -1}),
        lambda document: document.pop("on"),
    ],
)
def test_a_damaged_search_is_left_out(home: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    search = search_of({"method": "grid"}, {"learning_rate": [0.1]})
    document = json.loads((search.path / FILE).read_text())
    change(document)
    (search.path / FILE).write_text(json.dumps(document))
    assert list_searches() == []
    with pytest.raises(UserError, match="is damaged"):
        find_search(search.id)


def test_what_cannot_be_trained_makes_no_search(home: Path) -> None:
    with pytest.raises(UserError, match="class_weights has 2 weights"):
        search_of({"method": "grid"}, {"class_weights": [[1, 2], [2, 1]]})
    assert list_searches() == []


@pytest.mark.slow
def test_a_search_whose_cluster_vanishes_goes_on_elsewhere(
    home: Path, tmp_path: Path, python: Callable[..., Any]
) -> None:
    space = tmp_path / "space.yaml"
    recipe = {**SMALL, "epochs": 300, "deterministic": False}
    space.write_text(json.dumps({"recipe": recipe, "space": {"learning_rate": [0.003]}}))
    ready = tmp_path / "ready"
    start = (
        "from ray.cluster_utils import Cluster; import pathlib, sys;"
        "cluster = Cluster(initialize_head=True, head_node_args={'num_cpus': 1, 'include_dashboard': False});"
        f"pathlib.Path({str(ready)!r}).write_text(cluster.address); sys.stdin.read(); cluster.shutdown()"
    )
    head = subprocess.Popen([sys.executable, "-c", start], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    tune = ["-m", "segmodels", "tune"]
    process = None
    try:
        while not ready.exists() or not ready.read_text():
            assert head.poll() is None
            time.sleep(0.1)
        words = ["--space", str(space), "--on", "ray", "--address", ready.read_text(), "--cpus", "1", "--name", "lost"]
        process = subprocess.Popen([sys.executable, *tune, *words], stderr=subprocess.PIPE, text=True)
        while not (list_searches() and list_searches()[0].trial(1).epoch >= 2):
            assert process.poll() is None
            time.sleep(0.1)
        head.communicate()  # the cluster ends
        error = process.communicate(timeout=90)[1]
    finally:
        for each in (head, process):
            if each is not None:
                each.kill()
                each.wait()
    assert process.returncode == 2
    assert "is gone: go on elsewhere" in error.splitlines()[-1]
    search = find_search("lost")
    assert search.status()["state"] == "interrupted"
    assert "is gone" in search.status()["error"]
    before = search.trial(1)
    assert (before.state, before.epoch < 300) == ("interrupted", True)
    done = python(*tune, "--resume", "lost", "--on", "ray", "--address", "local", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["state"] == "finished"
    assert epochs_of(search.trial(1)) == list(range(1, 301))


@pytest.mark.slow
def test_the_command_line_is_stopped_and_goes_on(home: Path, tmp_path: Path, python: Callable[..., Any]) -> None:
    space = tmp_path / "space.yaml"
    space.write_text("search: {trials: 3, parallel: 1}\nspace:\n  learning_rate: {log: [1e-4, 1e-2]}\n")
    words = [
        "-m",
        "segmodels",
        "tune",
        "--data",
        "toy-pets",
        "--space",
        str(space),
        "--name",
        "two words",
        "--cpus",
        "1",
    ]
    words += ["--option", "width=4", "--option", "depth=3", "--image-size", "32", "--limit", "16", "--epochs", "30"]
    process = subprocess.Popen([sys.executable, *words], stderr=subprocess.PIPE, text=True)
    try:
        while not (list_searches() and list_searches()[0].trial(1).epoch >= 2):
            assert process.poll() is None
            time.sleep(0.1)
        stopped = python("-m", "segmodels", "searches", "stop", "two-words", "--json")
        assert json.loads(stopped.stdout)["state"] == "stopped"
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    search = find_search("two-words")
    assert search.space.recipe["epochs"] == 30
    assert search.trial(1).state in ("paused", "finished")
    done = python("-m", "segmodels", "tune", "--resume", "two-words", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["state"] == "finished"
    assert [trial["epoch"] for trial in document["trials"]] == [30, 30, 30]
    best = max(document["trials"], key=lambda trial: trial["value"])
    assert document["best"] == best["trial"]
    assert "ray" not in done.stderr.lower().replace("connecting to ray", ""), "its own console output is silenced"
    wrong = python("-m", "segmodels", "tune", "--resume", "two-words", "--epochs", "3")
    assert wrong.returncode == 2
    assert "leave --epochs out" in wrong.stderr
