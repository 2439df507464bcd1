"""Rows of a CSV file that grows while it is read."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from segmodels.training import rows
from segmodels.training.rows import read_rows


@pytest.fixture(autouse=True)
def _nothing_known() -> None:
    rows._files.clear()


def add(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def test_what_is_new_is_read_and_a_line_that_is_being_written_waits(tmp_path: Path) -> None:
    path = tmp_path / "steps.csv"
    assert read_rows(path) == []
    add(path, "epoch,loss\n1,0.5\n1,")
    assert read_rows(path) == [{"epoch": 1, "loss": 0.5}]
    add(path, "0.25\n")
    assert read_rows(path) == [{"epoch": 1, "loss": 0.5}, {"epoch": 1, "loss": 0.25}]
    read_rows(path).clear()
    assert len(read_rows(path)) == 2, "the list is the caller's own"
    path.unlink()
    assert read_rows(path) == []


@pytest.mark.parametrize("shorter", [True, False])
def test_a_file_that_was_written_anew_is_read_anew(tmp_path: Path, shorter: bool) -> None:
    """As a resumed run does with the rows that come again; in place, or by another file of its name."""
    path = tmp_path / "steps.csv"
    add(path, "epoch,loss\n1,0.5\n1,0.4\n")
    assert len(read_rows(path)) == 2
    text = "epoch,loss\n1,0.7\n" + ("" if shorter else "1,0.9\n2,0.9\n")
    path.write_text(text)
    assert [row["loss"] for row in read_rows(path)] == ([0.7] if shorter else [0.7, 0.9, 0.9])
    (tmp_path / "new").write_text(text.replace("0.7", "0.8"))
    (tmp_path / "new").replace(path)
    assert read_rows(path)[0]["loss"] == 0.8


def test_of_a_damaged_file_what_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "steps.csv"
    path.write_bytes(b'epoch,loss\n1,0.5\nx,\xff\n\n3\n4,5,6,7\n"a')
    assert read_rows(path) == [
        {"epoch": 1, "loss": 0.5}, {"epoch": None, "loss": None}, {"epoch": 3, "loss": None}, {"epoch": 4, "loss": 5},
    ]  # fmt: skip
    add(path, '\n5,0.1\n"')
    assert read_rows(path)[0] == {"epoch": 1, "loss": 0.5}


def test_numbers_that_no_float_holds_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "steps.csv"
    add(path, f"a,b,c\n{2**63},{-(2**63)},{'9' * 400}\n{2**63 - 1},{1 - 2**63},1\n")
    assert read_rows(path) == [{"a": None, "b": None, "c": None}, {"a": 2**63 - 1, "b": 1 - 2**63, "c": 1}]


def test_a_long_training_is_followed_cheaply(tmp_path: Path) -> None:
    """A look at fifty thousand steps of which one is new takes a hundredth of reading them all."""
    path = tmp_path / "steps.csv"
    path.write_text("epoch,step,loss\n" + "".join(f"1,{n},0.5\n" for n in range(50_000)))
    began = time.perf_counter()
    read_rows(path)
    whole = time.perf_counter() - began
    times = []
    for number in range(20):
        add(path, f"2,{number},0.1\n")
        began = time.perf_counter()
        assert len(read_rows(path)) == 50_001 + number
        times.append(time.perf_counter() - began)
    assert min(times) < whole / 20


def test_several_may_look_at_once(tmp_path: Path) -> None:
    path = tmp_path / "steps.csv"
    add(path, "step\n")
    found: list[list[int]] = []

    def look() -> None:
        for _ in range(200):
            found.append([row["step"] for row in read_rows(path)])

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(500):
        add(path, f"{number}\n")
    for thread in threads:
        thread.join()
    assert all(steps == list(range(len(steps))) for steps in found)
    assert [row["step"] for row in read_rows(path)] == list(range(500))
