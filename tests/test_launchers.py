"""Runs on a real Ray cluster of two nodes on this machine, and what is told where there is none."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from segmodels.cluster import connection, nodes
from segmodels.cluster.evaluation import evaluate_on_ray
from segmodels.cluster.nodes import check_nodes, share
from segmodels.errors import UserError
from segmodels.evaluation.compare.comparison import Comparison
from segmodels.evaluation.compare.conduct import conduct
from segmodels.evaluation.compare.members import architecture_members
from segmodels.evaluation.evaluate import evaluate
from segmodels.process import start
from segmodels.recipe import Recipe
from segmodels.training import launchers
from segmodels.training.launchers import opened, settle, stop
from segmodels.training.launchers.wait import wait
from segmodels.training.placed import Placed, Resources, displace, hold_as_launcher, place, placed
from segmodels.training.reporter import Reporter
from segmodels.training.runs import Run, list_runs

pytestmark = pytest.mark.xdist_group("ray")

#: A few seconds on one processor.
QUICK: dict[str, Any] = {
    "data": "toy-pets", "architecture": "unet", "backbone": "none", "options": {"width": 8}, "image_size": 32,
    "epochs": 2, "limit": 16, "snapshots": 0,
}  # fmt: skip


def quick(**fields: Any) -> Recipe:
    return Recipe(**{**QUICK, **fields})


def until(holds: Callable[[], Any], seconds: float = 60) -> Any:
    """What a look gives as soon as it gives something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := holds():
            return found
        time.sleep(0.1)
    raise AssertionError("it never came to that")


class Told(Reporter):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.epochs: list[int] = []
        self.steps: list[int] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def epoch(self, row: dict[str, Any], epochs: int) -> None:
        self.epochs.append(row["epoch"])

    def step(self, row: dict[str, Any], steps: int) -> None:
        assert row["running_loss"] > 0
        self.steps.append(row["step"])


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a cluster of two nodes with a processor each."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.add_node(num_cpus=1)
    made.wait_for_nodes()
    yield made.address
    made.shutdown()


@pytest.fixture
def on_ray(cluster: str, home: Path) -> Iterator[Any]:
    with opened("ray", Resources(address=cluster, cpus=1)) as launcher:
        yield launcher


def test_a_run_on_a_cluster_is_a_run_like_any_other(on_ray: Any, home: Path) -> None:
    told = Told()
    run = on_ray.start(quick())
    assert run.state == "queued"
    where = placed(run.path)
    assert where is not None
    assert where.on == "ray"
    assert wait(on_ray, run, told) == "finished"
    assert told.epochs == [1, 2]
    assert [row["epoch"] for row in run.history()] == [1, 2]
    assert run.has_best
    until(lambda: placed(run.path) is None)
    assert run.status()["pid"] != os.getpid()
    assert "epoch 2/2" in run.log()
    assert not list((home / "queue").glob("*.json")), "it stood in this machine's queue, too"


@pytest.mark.slow
def test_a_run_whose_worker_is_killed_goes_on_from_where_it_was_saved(on_ray: Any) -> None:
    run = on_ray.start(quick(epochs=40))
    pid = until(lambda: run.locked() and len(run.history()) >= 3 and run.status()["pid"])
    os.kill(pid, signal.SIGKILL)
    before = until(lambda: not run.locked() and run.history())[-1]["epoch"]
    status = until(lambda: run.locked() and run.status()["pid"] != pid and run.status())
    assert status["state"] == "running"
    on_ray.stop(until(lambda: run.history()[-1]["epoch"] > before and run))
    assert wait(on_ray, run, Reporter()) == "stopped"
    epochs = [row["epoch"] for row in run.history()]
    assert epochs == list(range(1, len(epochs) + 1)), "an epoch was trained twice or left out"


@pytest.mark.slow
def test_an_evaluation_there_is_the_one_made_here(cluster: str, tiny_run: Run, home: Path) -> None:
    told = Told()
    there = evaluate_on_ray(tiny_run.path, {"split": "test"}, address=cluster, cpus=1, reporter=told)
    here = evaluate(tiny_run.path, keep=False)
    assert there["confusion_matrix"] == here["confusion_matrix"]
    assert there["loss"] == pytest.approx(here["loss"], rel=1e-4)
    assert Path(there["report"]).is_dir()
    assert told.notes == ["evaluating on 1 processor of the Ray cluster"]
    with pytest.raises(UserError, match="split 'nowhere'"):
        evaluate_on_ray(tiny_run.path, {"split": "nowhere"}, address=cluster, cpus=1)


@pytest.mark.slow
def test_a_comparison_trains_and_evaluates_there(cluster: str, home: Path) -> None:
    members = architecture_members(["unet", "fpn"], quick(backbone="mobilenetv2", weights="none", options={}), 1)
    comparison = Comparison.create(members, data="toy-pets", root=None)
    assert conduct(comparison, on="ray", resources=Resources(address=cluster, cpus=1)) == "finished"
    entries = comparison.entries()
    assert [entry.state for entry in entries] == ["evaluated", "evaluated"], [entry.said for entry in entries]
    assert all(entry.speed for entry in entries)


@pytest.mark.slow
def test_what_waits_can_be_stopped_and_goes_on_here(on_ray: Any) -> None:
    runs = [on_ray.start(quick(epochs=200)) for _ in range(2)]
    until(lambda: all(run.locked() for run in runs))
    waiting = on_ray.start(quick(epochs=1))
    assert until(lambda: on_ray.watch(waiting)) == "1 processor of the Ray cluster"
    with pytest.raises(UserError, match="is queued on ray: stop it first"):
        settle(waiting)
    stop(waiting)
    assert waiting.state == "stopped"
    assert placed(waiting.path) is None
    for run in runs:
        on_ray.stop(run, "pause")
    assert [wait(on_ray, run, Reporter()) for run in runs] == ["paused", "paused"]
    settle(waiting)
    with opened("local") as here:
        here.resume(waiting)
        assert waiting.wait() == "finished"


@pytest.mark.slow
def test_a_run_that_cannot_train_there_says_why(on_ray: Any, home: Path) -> None:
    run = on_ray.start(quick(learning_rate=9.0, optimizer="sgd", loss="cross_entropy"))
    (run.path / "recipe.json").write_text(json.dumps({**run.recipe.model_dump(mode="json"), "data": "nowhere"}))
    assert wait(on_ray, run, Reporter()) == "failed"
    assert "nowhere" in run.status()["error"]
    until(lambda: placed(run.path) is None)


def test_more_than_there_is_is_refused_before_a_run_is_made(cluster: str, home: Path) -> None:
    for wanted, said in (
        (Resources(address=cluster, gpus=2), "no node of the Ray cluster has 1 processor and 2 GPUs"),
        (Resources(address=cluster, cpus=2), "the most that one has is 1 processor"),
    ):
        with pytest.raises(UserError, match=said), opened("ray", wanted):
            pass
    assert not (home / "runs").exists()


def test_nodes_of_another_version_or_another_disk_are_named(
    on_ray: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    check_nodes(on_ray.ray, [tmp_path])
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(nodes, "versions", lambda: "segmodels 9.9 on Python 3.11")
    with pytest.raises(UserError, match=r"node [\d.]+ has segmodels .*, this machine segmodels 9.9"):
        check_nodes(on_ray.ray, [tmp_path])
    monkeypatch.undo()
    monkeypatch.setattr(nodes, "_look", lambda marks: (nodes.versions(), list(marks)))
    with pytest.raises(UserError, match=rf"node [\d.]+ does not see {tmp_path}: set SEGMODELS_HOME"):
        check_nodes(on_ray.ray, [tmp_path])


def test_a_cluster_of_another_ray_is_one_line(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray._private.utils as theirs

    monkeypatch.setattr(theirs, "compute_version_info", lambda: ("2.1.0", "3.11.0"))
    with (
        pytest.raises(UserError, match=r"differ \(Ray \S+ on Python \S+ and Ray 2.1.0 on Python 3.11.0\): install"),
        opened("ray", Resources(address=cluster)),
    ):
        pass


def test_the_share_of_a_run_is_a_gpus_part_of_its_node() -> None:
    class Ray:
        def __init__(self, *found: tuple[int, int]) -> None:
            self.found = found

        def nodes(self) -> list[dict[str, Any]]:
            return [
                {"NodeID": str(i), "NodeManagerAddress": "a", "Alive": True, "Resources": {"CPU": cpus, "GPU": gpus}}
                for i, (cpus, gpus) in enumerate(self.found)
            ]

    assert share(Ray((16, 0), (8, 0))) == nodes.Share(8, 0)
    assert share(Ray((16, 0), (32, 4))) == nodes.Share(8, 1)
    assert share(Ray((16, 0), (32, 4)), gpus=2) == nodes.Share(16, 2)
    assert share(Ray((16, 0), (32, 4)), cpus=3) == nodes.Share(3, 1)
    assert share(Ray((16, 0), (32, 4)), gpus=0) == nodes.Share(16, 0)
    with pytest.raises(UserError, match="no node of the Ray cluster has 1 processor and 5 GPUs"):
        share(Ray((32, 4)), cpus=1, gpus=5)


def test_a_cluster_that_is_not_there_is_one_line(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.monotonic()
    for address, said in (
        ("127.0.0.1:1", "there is no Ray cluster at 127.0.0.1:1"),
        ("ray://127.0.0.1:1", "is no address of a Ray cluster"),
        ("head", "head is no address of a Ray cluster: write HOST:PORT"),
    ):
        with pytest.raises(UserError, match=said), opened("ray", Resources(address=address)):
            pass
    assert time.monotonic() - began < 5
    monkeypatch.setattr(connection, "PACKAGE", "ray_that_is_not_installed")
    with pytest.raises(UserError, match=r"Ray is not installed: pip install 'segmodels\[ray\]'"), opened("ray"):
        pass
    with pytest.raises(UserError, match="launcher 'slurm'"), opened("slurm"):
        pass


def test_a_run_of_a_cluster_that_is_gone_goes_on_here(home: Path) -> None:
    run = Run.create(quick(epochs=1))
    place(run.path, Placed("ray", "gone", Resources(address="127.0.0.1:1")))
    run.write_status(phase="waiting for 1 processor of the Ray cluster", heartbeat=0)
    assert run.state == "queued", "its turn may come"
    settle(run)
    assert run.state == "interrupted"
    assert "there is no Ray cluster" in run.status()["error"]
    with opened("local") as here:
        here.resume(run)
        assert run.wait() == "finished"


def test_a_run_of_a_cluster_that_ended_with_its_process_is_interrupted(home: Path) -> None:
    run = Run.create(quick())
    place(run.path, Placed("ray", "own", Resources(address="local"), with_launcher=True))
    run.write("status.json", {**run.status(), "heartbeat": 0})
    lock = hold_as_launcher(run.path)
    assert run.state == "queued"
    with pytest.raises(UserError, match="belongs to another process"):
        hold_as_launcher(run.path)
    lock.release()
    assert run.state == "interrupted"
    displace(run.path)
    assert placed(run.path) is None


def test_what_has_ended_is_not_stopped(home: Path) -> None:
    run = Run.create(quick())
    place(run.path, Placed("ray", "done", Resources(address="127.0.0.1:1")))  # its worker is about to remove this
    run.write_status(state="finished")
    with pytest.raises(UserError, match="is finished: there is nothing to stop"):
        stop(run)
    assert run.state == "finished"
    settle(run)
    assert run.state == "finished"


def test_a_damaged_note_of_where_a_run_is_counts_for_nothing(home: Path) -> None:
    run = Run.create(quick())
    for text in ("", "[]", '{"on": 3}', '{"on": "ray", "name": "a", "resources": {"cpus": -1}}'):
        (run.path / "launched.json").write_text(text)
        assert placed(run.path) is None


def test_every_launcher_has_the_four_verbs() -> None:
    from segmodels.training.launchers.local import LocalLauncher
    from segmodels.training.launchers.ray import RayLauncher

    assert set(launchers.LAUNCHERS) == {"local", "ray"}
    for kind in (LocalLauncher, RayLauncher):
        assert all(callable(getattr(kind, verb)) for verb in ("start", "watch", "stop", "resume"))


#: A cluster of its own process, which can be killed.
MORTAL = """
import os, sys, time
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
from ray.cluster_utils import Cluster
made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
print(made.address, flush=True)
time.sleep(600)
"""


@pytest.mark.slow
def test_a_cluster_that_vanishes_leaves_the_run(home: Path, tmp_path: Path) -> None:
    mortal = subprocess.Popen([sys.executable, "-c", MORTAL], stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert mortal.stdout is not None
    address = mortal.stdout.readline().strip()
    quick(epochs=300).save(tmp_path / "recipe.json")
    words = ["train", "--recipe", str(tmp_path / "recipe.json"), "--on", "ray", "--address", address]
    with (tmp_path / "said").open("w") as said:
        verb = start(words, stderr=said, stdout=said)
        (run,) = until(lambda: [run for run in list_runs() if len(run.history()) > 1])
        os.killpg(mortal.pid, signal.SIGKILL)
        assert verb.wait(90) == 2
    (line,) = [line for line in (tmp_path / "said").read_text().splitlines() if line.startswith("segmodels: ")]
    assert f"the Ray cluster at {address} is gone: what was done is kept; `runs resume RUN`" in line
    until(lambda: not run.locked())
    assert run.state == "interrupted"
    epochs = len(run.history())
    settle(run)
    with opened("local") as here:
        here.resume(run)
        until(lambda: len(run.history()) > epochs + 1)
        here.stop(run)
    run.wait()
    assert [row["epoch"] for row in run.history()] == list(range(1, len(run.history()) + 1))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ten_runs_finish_while_a_worker_is_killed_every_twenty_seconds(cluster: str, home: Path) -> None:
    with opened("ray", Resources(address=cluster, cpus=1)) as launcher:
        runs = [launcher.start(quick(epochs=60, seed=seed)) for seed in range(10)]
        killed, last, end = 0, time.monotonic(), time.monotonic() + 1500
        while any(run.state in ("queued", "running", "interrupted") for run in runs) and time.monotonic() < end:
            at_work = [run for run in runs if run.locked()]
            if time.monotonic() - last >= 20 and at_work:
                os.kill(at_work[killed % len(at_work)].status()["pid"], signal.SIGKILL)
                killed, last = killed + 1, time.monotonic()
            time.sleep(0.5)
        assert [run.state for run in runs] == ["finished"] * 10
        assert killed >= 3
        for run in runs:
            assert [row["epoch"] for row in run.history()] == list(range(1, 61))
