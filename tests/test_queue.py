"""The queue: one run a device at a time, in order, whoever dies meanwhile."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from segmodels.errors import UserError
from segmodels.recipe import Recipe
from segmodels.training import launch as launching
from segmodels.training import queue, tickets
from segmodels.training.launch import launch, relaunch, revive
from segmodels.training.runs import ALIVE, Run
from segmodels.training.tickets import Ticket, queue_folder
from tests import stand_in
from tests.conftest import ROOT
from tests.stand_in import go, ticket_files, times, wait

RECIPE = Recipe(data="toy-pets", image_size=32, limit=8, epochs=1, options={"width": 4, "depth": 2})
#: Seconds after the end of a run in which the next one begins.
SOON = 2.0


def waits_for(run: Run) -> str | None:
    return run.status().get("waiting_for")


def pid(run: Run) -> int:
    return run.status()["pid"]


def kill(run: Run) -> None:
    os.kill(pid(run), signal.SIGKILL)
    wait(lambda: not run.locked())


def running(run: Run) -> None:
    wait(lambda: run.state == "running")


@pytest.fixture
def three(stand_ins: None) -> list[Run]:
    """A run at work, and two that wait for it."""
    runs = [launch(RECIPE) for _ in range(3)]
    running(runs[0])
    wait(lambda: all("pid" in run.status() for run in runs))
    return runs


def test_runs_come_one_after_another_in_order(three: list[Run]) -> None:
    first, second, third = three
    assert [run.state for run in three] == ["running", "queued", "queued"]
    assert [waits_for(run) for run in three] == [None, first.id, second.id]
    assert [run.status().get("place") for run in three] == [None, 1, 2]
    assert second.status()["phase"] == f"waiting for {first.id}"
    wait(lambda: f"waiting for {first.id}" in second.log())  # which it says after it has written it down
    go(third, second)
    time.sleep(3 * queue.POLL)
    assert [run.state for run in three] == ["running", "queued", "queued"]
    go(first)
    seen = [times(run) for run in three]
    for before, after in pairwise(seen):
        assert 0 <= after["began"] - before["ended"] < SOON
    assert ticket_files() == []
    assert "waiting" not in first.log()
    assert not {"place", "waiting_for"} & {key for key, value in third.status().items() if value}


def test_those_who_wait_outlive_who_queued_them(stand_ins: None, home: Path) -> None:
    code = (
        "import os; from tests import stand_in; stand_in.install()\n"
        "from segmodels.training.launch import launch; from tests.test_queue import RECIPE\n"
        "print(launch(RECIPE).path, launch(RECIPE).path, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL
    first, second = map(Run, done.stdout.split())
    go(first, second)
    assert 0 <= times(second)["began"] - times(first)["ended"] < SOON


def test_the_next_one_starts_when_a_trainer_is_killed(three: list[Run]) -> None:
    first, second, third = three
    kill(first)
    killed_at = time.monotonic()
    running(second)
    assert time.monotonic() - killed_at < SOON
    assert first.state == "interrupted"
    wait(lambda: waits_for(third) == second.id)
    relaunch(first)
    assert waits_for(first) == third.id, "at the end of the line"


def test_one_that_was_killed_while_it_waited_gets_its_old_place_again(three: list[Run]) -> None:
    first, second, third = three
    kill(second)
    status = json.loads((second.path / "status.json").read_text())
    (second.path / "status.json").write_text(json.dumps({**status, "heartbeat": 0}))
    assert second.state == "queued", "it is still in line, however long ago that was"
    assert [run.id for run in revive()] == [second.id]
    assert revive() == [], "once is enough"
    go(*three)
    assert times(first)["ended"] <= times(second)["began"] <= times(second)["ended"] <= times(third)["began"]


def test_one_that_is_gone_holds_up_nobody(three: list[Run]) -> None:
    first, second, third = three
    kill(second)
    go(first)
    running(third)
    assert second.state == "queued"


def test_after_a_new_start_of_the_machine_the_queue_goes_on(three: list[Run]) -> None:
    first, second, third = three
    os.kill(pid(second), signal.SIGTERM)  # as a machine does to all before it shuts down
    wait(lambda: not second.locked())
    kill(third)
    kill(first)
    assert [run.state for run in three] == ["interrupted", "queued", "queued"]
    assert [run.id for run in revive()] == [second.id, third.id]
    running(second)
    wait(lambda: waits_for(third) == second.id)
    assert first.state == "interrupted"


@pytest.mark.parametrize("alive", [True, False], ids=["alive", "gone"])
def test_who_waits_can_be_paused_stopped_and_deleted(three: list[Run], alive: bool) -> None:
    first, second, third = three
    if not alive:
        kill(second)
        kill(third)
    second.request("pause")
    assert second.wait(10) == "paused"
    third.delete()
    assert not third.path.exists()
    assert len(ticket_files()) == 1
    with pytest.raises(UserError, match="stop it first"):
        first.delete()
    relaunch(second)
    assert waits_for(second) == first.id
    second.request("stop")
    assert second.wait(10) == "stopped"
    assert not {"place", "waiting_for"} & {key for key, value in second.status().items() if value}
    assert first.state == "running"


def test_a_run_in_a_terminal_waits_and_says_for_whom(stand_ins: None, home: Path) -> None:
    first = launch(RECIPE)
    running(first)
    words = f"train --data toy-pets --image-size 32 --epochs 1 --option width=4 --run-dir {home / 'mine'}"
    with stand_in.start(words.split(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        assert process.stderr.readline().startswith(f"waiting for {first.id}: ")
        mine = Run(home / "mine")
        assert mine.status()["state"] == "queued"
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert process.stdout.read().startswith("stopped: ")
        assert process.stderr.read() == ""
    assert mine.state == "stopped"
    assert len(ticket_files()) == 1
    with stand_in.start(["train", "--resume", str(mine.path)], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert first.id in process.stderr.readline()
        process.kill()
    assert revive() == [], "what belongs to a terminal is nobody else's"
    go(first)
    times(first)
    assert queue.ahead(["cpu"]) == queue.Place("cpu")


def test_a_trainer_that_fails_at_once_has_failed(stand_ins: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **streams: Any) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-c", "raise SystemExit('no module named x')"], stderr=streams["stderr"]
        )

    monkeypatch.setattr(launching, "start", broken)
    run = launch(RECIPE)
    wait(lambda: run.state == "failed")
    assert run.status()["error"] == "no module named x"
    assert ticket_files() == []
    assert revive() == []


def test_a_trainer_that_never_arrives_is_not_started_for_ever(
    stand_ins: None, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[dict[str, Any]] = []

    def start(*_: Any, **given: Any) -> subprocess.Popen:
        begun.append(given)
        return subprocess.Popen([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], stderr=given["stderr"])

    monkeypatch.setattr(launching, "start", start)
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    run = launch(RECIPE)
    monkeypatch.delenv("KERAS_BACKEND")
    assert revive() == [], "it may still arrive"
    monkeypatch.setattr(tickets, "START_GRACE", 0.0)
    for _ in range(6):
        revive()
    assert len(begun) == queue.STARTS
    assert begun[-1]["cwd"] == Path.cwd()
    assert begun[-1]["variables"]["KERAS_BACKEND"] == "jax", "as it was where it was launched"
    assert begun[-1]["variables"]["SEGMODELS_HOME"] == str(home)
    assert run.state == "failed"
    assert ticket_files() == []


def test_each_device_has_its_own_run_and_nobody_is_passed(home: Path) -> None:
    runs = {name: Run.create(RECIPE, home / "runs" / name) for name in "ABCD"}
    with ExitStack() as held:

        def takes(name: str, *devices: str) -> str | None:
            held.enter_context(runs[name].lock())
            turn = queue.turn(runs[name].path, devices, wanted=lambda: None, waits=lambda _: None)
            return held.enter_context(turn).device

        assert takes("A", "one", "two") == "one"
        assert takes("B", "one", "two") == "two"
        assert queue.at_work() == {"one": "A", "two": "B"}
        assert queue.join(runs["C"].path, ["one", "two"], launched=True) == queue.Place(None, 2, "A or B")
        assert queue.join(runs["D"].path, ["two"], launched=True) == queue.Place(None, 2, "C")
        assert queue.ahead(["three"]) == queue.Place("three")
        queue.leave(runs["A"].path)
        assert queue.ahead(["one"]).waits_for == "C", "it came first"
        queue.leave(runs["B"].path)
        assert queue.ahead(["one"]).waits_for == "C"
        assert queue.ahead(["two"]).waits_for == "D"
        queue.leave(runs["C"].path)
        assert queue.ahead(["one"]) == queue.Place("one")


def test_nobody_is_passed_whoever_looks_first(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random lines, looked at in random order: each device has one run, none idles while somebody could use it, and who
    takes one leaves another free for each who came before."""
    monkeypatch.setattr(Ticket, "alive", property(lambda _: True))
    chance = random.Random(0)
    devices = ("one", "two", "three")
    for _ in range(100):
        pools = [tuple(chance.sample(devices, chance.randint(1, 3))) for _ in range(chance.randint(1, 7))]
        line = [Ticket(number, f"/{number}", pool) for number, pool in enumerate(pools)]
        while line:
            for index in chance.sample(range(len(line)), len(line)) * 2:  # twice: the first look may have been too soon
                mine = line[index]
                if mine.device is None and (device := queue._place(mine, line).device):
                    line[index] = replace(mine, device=device)
                    had = {ticket.device for ticket in line}
                    assert device in mine.devices
                    assert [ticket.device for ticket in line].count(device) == 1
                    for earlier in line[:index]:
                        assert earlier.device or not {device} & set(earlier.devices) or set(earlier.devices) - had
            had = {ticket.device for ticket in line}
            assert all(ticket.device or set(ticket.devices) <= had for ticket in line)
            line.remove(chance.choice([ticket for ticket in line if ticket.device]))


def test_a_run_takes_several_devices_in_one_go_and_they_are_kept_for_it(home: Path) -> None:
    runs = {name: Run.create(RECIPE, home / "runs" / name) for name in "ABCD"}
    with ExitStack() as held:

        def takes(name: str, *devices: str) -> str | None:
            held.enter_context(runs[name].lock())
            turn = queue.turn(runs[name].path, devices, wanted=lambda: None, waits=lambda _: None)
            return held.enter_context(turn).device

        assert takes("A", "one") == "one"
        assert queue.join(runs["B"].path, ["one,two"], launched=True) == queue.Place(None, 1, "A")
        assert queue.ahead(["two"]) == queue.Place(None, 1, "B"), "free, but kept"
        assert queue.ahead(["two", "three"]) == queue.Place("three")
        queue.leave(runs["A"].path)
        assert takes("B", "one,two") == "one,two"
        assert queue.at_work() == {"one": "B", "two": "B"}
        assert queue.join(runs["C"].path, ["two,three"], launched=True) == queue.Place(None, 1, "B")
        assert queue.ahead(["one"]).waits_for == "B"
        assert queue.ahead(["three"]).waits_for == "C"
        queue.leave(runs["B"].path)
        assert queue.ahead(["one"]) == queue.Place("one")


def test_runs_on_several_devices_never_wait_for_each_other(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random lines of runs on one, on several and on any of the devices, looked at in random order: no device has two
    runs, the first of those that wait is never passed, and the line comes to its end."""
    monkeypatch.setattr(Ticket, "alive", property(lambda _: True))
    chance = random.Random(1)
    devices = ("one", "two", "three")
    for _ in range(200):
        pools = []
        for _ in range(chance.randint(1, 7)):
            some = chance.sample(devices, chance.randint(1, 3))
            pools.append(chance.choice([(",".join(some),), tuple(some)]))
        line = [Ticket(number, f"/{number}", pool) for number, pool in enumerate(pools)]
        while line:
            for index in chance.sample(range(len(line)), len(line)) * 2:
                mine = line[index]
                if mine.device is None and (key := queue._place(mine, line).device):
                    assert key in mine.devices
                    others = frozenset().union(*(ticket.has for ticket in line))
                    line[index] = replace(mine, device=key)
                    assert not others & line[index].has, "each device has one run"
                    for earlier in line[:index]:
                        if earlier.device is None and len(earlier.devices) == 1:
                            assert not earlier.may_have & line[index].has, "what it needs is kept for it"
            working = [ticket for ticket in line if ticket.device]
            assert working, "somebody always trains"
            line.remove(chance.choice(working))


def test_damaged_tickets_and_runs_that_are_gone_hold_up_nobody(home: Path) -> None:
    queue_folder().mkdir(parents=True)
    for number, text in enumerate(
        ("", "[]", "{}", '{"run": 3, "devices": "cpu"}', '{"run": "/nowhere", "devices": ["cpu"]}')
    ):
        (queue_folder() / f"{number:08d}.json").write_text(text)
    (queue_folder() / "note.json").write_text('{"run": "/nowhere", "devices": ["cpu"]}')
    run = Run.create(RECIPE)
    with run.lock(), queue.turn(run.path, ["cpu"], wanted=lambda: None, waits=lambda _: None) as turn:
        assert turn.device == "cpu"


def test_homes_do_not_wait_for_each_other(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run.create(RECIPE)
    with run.lock(), queue.turn(run.path, ["cpu"], wanted=lambda: None, waits=lambda _: None):
        assert queue.ahead(["cpu"]).waits_for == run.id
        monkeypatch.setenv("SEGMODELS_HOME", str(tmp_path / "other"))
        assert queue.ahead(["cpu"]) == queue.Place("cpu")
        monkeypatch.setenv("SEGMODELS_HOME", str(home))


@pytest.mark.slow
def test_real_trainings_do_not_overlap(home: Path, python: Callable) -> None:
    runs = [launch(RECIPE), launch(RECIPE)]
    rows = json.loads(python("-m", "segmodels", "runs", "list", "--json").stdout)
    assert [(row["run"], row["waiting_for"]) for row in rows] == [(runs[1].id, runs[0].id), (runs[0].id, None)]
    for run in runs:
        wait(lambda run=run: run.state not in ALIVE, 120)
        assert run.state == "finished", run.log()
    first, second = (run.status() for run in runs)
    assert 0 <= second["started"] - first["ended"] < SOON
    assert [len(run.steps()) for run in runs] == [1, 1]
