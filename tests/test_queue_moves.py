"""Moving in the queue: every look meets the old order or the new, and nobody is lost."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import pytest

from segmodels.cli import main
from segmodels.errors import UserError
from segmodels.recipe import Recipe
from segmodels.training import launch, queue
from segmodels.training.queue import join, leave, move, waiting_paths, waiting_runs
from segmodels.training.runs import Run
from segmodels.training.tickets import Ticket, next_number, queue_folder, tickets
from tests.test_trash import at_once

RECIPE = Recipe(data="toy-pets", image_size=32)


def line_up(home: Path, names: str) -> dict[str, Run]:
    """Runs in the queue whose processes were just started."""
    runs = {name: Run.create(RECIPE, home / "runs" / name) for name in names}
    for run in runs.values():
        join(run.path, ["cpu"], launched=True)
    return runs


def line() -> str:
    return "".join(waiting_runs())


def test_a_run_is_put_at_a_place(home: Path) -> None:
    runs = line_up(home, "ABCDE")
    assert line() == "ABCDE"
    for name, to, place, expected in (
        ("E", 0, 0, "EABCD"), ("E", 0, 0, "EABCD"), ("A", 99, 4, "EBCDA"), ("D", 1, 1, "EDBCA"), ("E", 2, 2, "DBECA"),
        ("A", -3, 0, "ADBEC"), ("A", 4, 4, "DBECA"), ("C", 3, 3, "DBECA"), ("B", 0, 0, "BDECA"),
    ):  # fmt: skip
        assert move(runs[name].path, to) == place
        assert line() == expected
    late = Run.create(RECIPE, home / "runs" / "F")
    assert join(late.path, ["cpu"], launched=True).waits_for == "A", "who comes later is the last"
    assert line() == "BDECAF"
    assert len(list(queue_folder().glob("*.json"))) == 6


def test_any_moves_give_the_order_of_a_list(home: Path) -> None:
    """Many moves into the same few gaps, against a list; one write each."""
    chance = random.Random(0)
    runs = line_up(home, "ABCDEF")
    expected = list("ABCDEF")
    files = {path.name for path in queue_folder().glob("*.json")}
    for _ in range(100):
        name, to = chance.choice("ABCDEF"), chance.choice([0, 1, 1, 2, 3, 5])
        expected.remove(name)
        expected.insert(to, name)
        assert move(runs[name].path, to) == to
        assert line() == "".join(expected)
    assert {path.name for path in queue_folder().glob("*.json")} == files
    for number in range(300):  # always into the gap that the last move made smaller
        move(runs[expected[2]].path, 1)
        expected[1], expected[2] = expected[2], expected[1]
        assert number % 100 or line() == "".join(expected)


def test_who_does_not_wait_is_told(home: Path) -> None:
    runs = line_up(home, "AB")
    ended = Run.create(RECIPE, home / "runs" / "C")
    with runs["A"].lock(), queue.turn(runs["A"].path, ["cpu"], wanted=lambda: None, waits=lambda _: None) as turn:
        assert turn.device == "cpu"
        for run in (runs["A"], ended, Run(home / "runs" / "nothing")):
            with pytest.raises(UserError, match=f"run {run.id} does not wait"):
                move(run.path, 0)
        assert line() == "B"
        assert move(runs["B"].path, 5) == 0


def test_waiting_processes_honour_the_new_order(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "POLL", 0.02)
    runs = {name: Run.create(RECIPE, home / "runs" / name) for name in "ABCDE"}
    began: list[str] = []
    places: dict[str, list[str | None]] = {name: [] for name in "ABCDE"}
    done = threading.Event()

    def train(name: str) -> None:
        run = runs[name]
        with (
            run.lock(),
            queue.turn(
                run.path, ["cpu"], wanted=lambda: None, waits=lambda place: places[name].append(place.waits_for)
            ),
        ):
            began.append(name)
            if name == "A":
                done.wait(20)
            time.sleep(0.1)

    threads = []
    for name in "ABCDE":
        threads.append(threading.Thread(target=train, args=(name,)))
        threads[-1].start()
        end = time.monotonic() + 10
        while name not in began and not places[name] and time.monotonic() < end:
            time.sleep(0.01)
    assert line() == "BCDE"
    move(runs["E"].path, 0)
    move(runs["B"].path, 2)
    assert line() == "ECBD"
    end = time.monotonic() + 10
    while [places[name][-1] for name in "ECBD"] != ["A", "E", "C", "B"] and time.monotonic() < end:
        time.sleep(0.01)
    assert [places[name][-1] for name in "ECBD"] == ["A", "E", "C", "B"], "each was told whom it waits for now"
    done.set()
    for thread in threads:
        thread.join()
    assert began == list("AECBD")
    assert tickets() == []


def test_moves_joins_and_leaves_at_once_lose_nobody(home: Path) -> None:
    names = [f"run-{number}" for number in range(12)]
    stay = [Run.create(RECIPE, home / "runs" / name) for name in names[:6]]
    come = [Run.create(RECIPE, home / "runs" / name) for name in names[6:]]
    for run in stay:
        join(run.path, ["cpu"], launched=True)
    begin, stop = threading.Barrier(6), threading.Event()
    problems: list[object] = []

    def mover(seed: int) -> None:
        chance = random.Random(seed)
        begin.wait()
        try:
            for _ in range(25):
                move(chance.choice(stay).path, chance.randrange(8))
        except Exception as error:
            problems.append(error)

    def comer(runs: list[Run]) -> None:
        begin.wait()
        try:
            for run in runs:
                join(run.path, ["cpu"], launched=True)
                move(run.path, 0)
                leave(run.path)
                join(run.path, ["cpu"], launched=True)
        except Exception as error:
            problems.append(error)

    def looker() -> None:
        """Without the lock: who stays is there once, at every look."""
        begin.wait()
        while not stop.is_set():
            seen = waiting_runs()
            if any(seen.count(run.id) != 1 for run in stay) or len(seen) != len(set(seen)):
                problems.append(seen)

    threads = [threading.Thread(target=mover, args=(seed,)) for seed in range(3)]
    threads += [threading.Thread(target=comer, args=(part,)) for part in (come[:3], come[3:])]
    watching = threading.Thread(target=looker)
    for thread in (*threads, watching):
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    watching.join()
    assert problems == []
    assert sorted(waiting_runs()) == sorted(names)
    assert len(list(queue_folder().glob("*.json"))) == len(names)
    assert len({ticket.order for ticket in tickets()}) == len(names)


def test_a_move_that_leaves_meets_stays_undone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who leaves while its ticket is being written must not stand in line again."""
    runs = line_up(home, "ABC")
    save = Ticket.save
    leaving = threading.Thread(target=leave, args=(runs["C"].path,))

    def slow(ticket: Ticket) -> None:
        leaving.start()
        time.sleep(0.2)
        save(ticket)

    monkeypatch.setattr(Ticket, "save", slow)
    move(runs["C"].path, 0)
    leaving.join()
    assert line() == "AB"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_mover_that_is_killed_leaves_one_of_the_two_orders(home: Path) -> None:
    runs = line_up(home, "ABCDE")
    orders, chance = {"ABCDE", "EABCD"}, random.Random(0)
    for _ in range(15):
        child = os.fork()
        if child == 0:
            try:
                while True:
                    move(runs["E"].path, 0)
                    move(runs["E"].path, 4)
            finally:
                os._exit(1)
        time.sleep(chance.uniform(0.005, 0.03))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert line() in orders
        assert len(list(queue_folder().glob("*.json"))) == 5
    assert move(runs["E"].path, 2) == 2
    assert line() == "ABECD"
    join(Run.create(RECIPE, home / "runs" / "F").path, ["cpu"], launched=True)
    assert not list(queue_folder().glob(".*.part")), "what was half-written is swept"


def test_of_two_who_resume_a_run_at_once_one_does(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Run] = []
    monkeypatch.setattr(launch, "_start", lambda run, *_: started.append(run))
    for number in range(5):
        run = Run.create(RECIPE, home / "runs" / f"run-{number}")
        run.write_status(state="paused")
        results = at_once(4, lambda _, run=run: launch.relaunch(run, "cpu"))
        assert len(tickets(run.path)) == 1
        refused = [each for each in results if each is not None]
        assert len(refused) == 3
        assert {type(each) for each in refused} == {UserError}, refused
        assert len(started) == number + 1
        assert run.state == "queued"


def test_a_run_that_was_trained_to_its_end_meanwhile_is_not_resumed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the first look at its state and its place in the line."""
    run = Run.create(RECIPE, home / "runs" / "A")
    run.write_status(state="paused")
    monkeypatch.setattr(Run, "wait", lambda *_: run.write_status(state="finished"))
    with pytest.raises(UserError, match="run A is finished"):
        launch.relaunch(run, "cpu")
    assert tickets() == []
    assert run.state == "finished"


def test_who_stands_in_line_does_not_join_again(home: Path) -> None:
    runs = line_up(home, "AB")
    with pytest.raises(UserError, match="run A waits already"):
        join(runs["A"].path, ["cpu"], launched=True)
    assert line() == "AB"


def test_runs_of_one_name_wait_side_by_side(home: Path, tmp_path: Path) -> None:
    places = [tmp_path / folder / "mine" for folder in ("one", "two")]
    for place in places:
        join(Run.create(RECIPE, place).path, ["cpu"], launched=True)
    assert waiting_paths() == places
    move(places[1], 0)
    assert waiting_paths() == places[::-1]
    assert waiting_runs() == ["mine", "mine"]


def test_old_and_damaged_tickets_are_read(home: Path) -> None:
    runs = line_up(home, "ABCD")
    for ticket in tickets():
        document = asdict(ticket)
        del document["rank"]  # as it was before there were moves
        ticket.path.write_text(json.dumps(document))
    assert line() == "ABCD"
    move(runs["D"].path, 1)
    assert line() == "ADBC"
    (damaged,) = tickets(runs["D"].path)
    for rank in ([1, 0], [1, -2], [1], "1/2", ["a", 1], [[1], 1], {"a": 1}):
        damaged.path.write_text(json.dumps({**asdict(damaged), "rank": rank}))
        assert line() == "ABC", f"{rank} counts for nothing"
    assert next_number([]) == 1
    assert next_number([Ticket(3, "/a", ("cpu",), rank=(19, 2)), Ticket(4, "/b", ("cpu",))]) == 10


def test_who_has_a_device_is_in_nobodys_way(home: Path) -> None:
    """Moving to the first place, while others are at work with earlier and later tickets."""
    runs = {name: Run.create(RECIPE, home / "runs" / name) for name in "ABCD"}
    with ExitStack() as held:
        for name in "ABCD":
            held.enter_context(runs[name].lock())
            join(runs[name].path, ["cpu"] if name in "BD" else ["one", "two"], launched=True)
        assert queue._look(runs["A"].path) == queue.Place("one")
        assert queue._look(runs["C"].path) == queue.Place("two")
        assert line() == "BD"
        assert move(runs["D"].path, 0) == 0
        assert line() == "DB"
        assert queue._look(runs["B"].path) == queue.Place(None, 1, "D")
        assert queue._look(runs["D"].path) == queue.Place("cpu")
        assert len({ticket.order for ticket in tickets()}) == 4


def test_a_queue_that_cannot_be_written_is_one_line(home: Path) -> None:
    home.mkdir()
    queue_folder().touch()
    with pytest.raises(UserError, match="queue is a file"):
        move(home / "runs" / "A", 0)
    assert waiting_runs() == []


def test_the_verb(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line_up(home, "ABC")
    assert main(["runs", "move", "C", "1"]) == 0
    assert capsys.readouterr().out == "run C is the next\n"
    assert main(["runs", "move", "A", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"run": "A", "place": 2, "line": ["C", "A", "B"]}
    assert main(["runs", "move", "C", "--last"]) == 0
    assert capsys.readouterr().out == "run C has place 3 of the 3 that wait\n"
    assert main(["runs", "move", "B", "--first"]) == 0
    assert line() == "BAC"
    capsys.readouterr()
    for words in ("A", "A 0", "A -1", "A x", "A 1 --last", "A --first --last", "Z 1"):
        assert main(["runs", "move", *words.split()]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert line() == "BAC"
