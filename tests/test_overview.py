"""The list of all runs: fast, as `Run` has it, and whole whatever lies in the folders."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segmodels.cli import main
from segmodels.recipe import Recipe
from segmodels.training import glance, queue
from segmodels.training.notes import write_notes
from segmodels.training.overview import STATES, Row, overview, select
from segmodels.training.runs import Run, list_runs

RECIPE = Recipe(data="toy-pets", image_size=32)
STATUS: dict[str, Any] = {
    "state": "finished", "epoch": 3, "epochs": 3, "step": 12, "created": 1.7e9, "heartbeat": 1.7e9 + 95,
    "started": 1.7e9 + 5, "ended": 1.7e9 + 90, "error": None, "phase": "finished", "place": None, "waiting_for": None,
    "best": {"epoch": 2, "mean_iou": 0.625},
}  # fmt: skip
METRICS = "epoch,loss,val_iou_a,seconds\n1,0.5,0.1,20.5\n2,0.4,0.1,30\n3,0.3,0.1,10\n4,0.3"


def make(folder: Path, **changes: Any) -> Path:
    """A run directory with all that a row is made of."""
    (folder / "best").mkdir(parents=True)
    RECIPE.save(folder / "recipe.json")
    (folder / "status.json").write_text(json.dumps({**STATUS, **changes}))
    (folder / "metrics.csv").write_text(METRICS)
    (folder / "best" / "metrics.json").write_text(
        json.dumps({"epoch": 2, "validation": {"pixel_accuracy": 0.875, "mean_iou": 0.625}})
    )
    return folder


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.perf_counter()
    result = work()
    return time.perf_counter() - begun, result


def test_a_row_says_what_the_files_say(home: Path) -> None:
    path = make(home / "runs" / "mine")
    write_notes(Run(path), "a note", ["paper"])
    assert overview() == [
        Row(
            id="mine", path=path, state="finished", error=None, data="toy-pets", architecture="unet", backbone="none",
            image_size=32, epoch=3, epochs=3, best_epoch=2, mean_iou=0.625, pixel_accuracy=0.875, created=1.7e9,
            ended=1.7e9 + 90, seconds=60.5, note="a note", tags=("paper",), waiting_for=None, place=None, readable=True,
            problem="",
        )
    ]  # fmt: skip
    make(home / "runs" / "later", created=1.8e9, best={"epoch": 3, "mean_iou": 0.7})
    make(home / "runs" / "zero", created=1.6e9)
    assert [row.id for row in overview()] == ["later", "mine", "zero"], "newest first"
    assert overview()[0].pixel_accuracy is None, "that of the epoch before is not that of the best"


@pytest.mark.slow  # a figure of a machine that does nothing else meanwhile
@pytest.mark.parametrize("state", ["finished", "running"])
def test_five_hundred_runs_are_listed_in_no_time(home: Path, state: str) -> None:
    """In under 500 ms at first and 100 ms later, on two cores; also of runs that look alive, whose locks are tried.

    The best of several looks counts: the machine may have other things to do."""
    template = make(home / "template", state=state)
    (template / "lock").touch()
    write_notes(Run(template), "a note", ["paper"])
    for number in range(500):
        shutil.copytree(template, home / "runs" / f"{number:03}")
    first, later = [], []
    for _ in range(3):
        glance._kept.clear()
        seconds, rows = timed(overview)
        first.append(seconds)
    for _ in range(5):
        seconds, again = timed(overview)
        later.append(seconds)
    assert len(rows) == 500
    assert rows == again
    assert {row.state for row in rows} == {"finished" if state == "finished" else "interrupted"}
    assert min(first) < 0.5, first
    assert min(later) < 0.1, later


def test_what_changed_is_seen_at_the_next_look(home: Path) -> None:
    run = Run(make(home / "runs" / "mine"))
    assert overview()[0].epoch == 3
    for number in range(4, 40):
        run.write_status(epochs=number)  # the size of the file is often the same
        assert overview()[0].epochs == number
    write_notes(run, "x")
    assert overview()[0].note == "x"
    write_notes(run, "y")
    assert overview()[0].note == "y"
    with (run.path / "metrics.csv").open("a") as file:
        file.write(",0.1,40\n")
    assert (overview()[0].seconds, overview()[0].epoch) == (100.5, 4)
    shutil.rmtree(run.path / "best")
    assert overview()[0].pixel_accuracy is None


def test_an_epoch_under_way_is_not_finished(home: Path) -> None:
    run = Run(make(home / "runs" / "mine", state="paused", epoch=4, step=2, epochs=9))
    assert (overview()[0].epoch, overview()[0].epochs) == (3, 9)
    (run.path / "metrics.csv").write_text("seconds,epoch\n1,1\n2,x\n3\n")
    assert overview()[0].epoch == 1
    (run.path / "metrics.csv").unlink()
    assert overview()[0].epoch == 0
    (run.path / "metrics.csv").mkdir()
    assert overview()[0].epoch == 4, "what else there is to tell it by"


@pytest.mark.skipif(sys.platform == "darwin", reason="its file names are UTF-8")
def test_a_name_that_is_no_text_is_left_out(home: Path) -> None:
    make(home / "runs" / "mine")
    make(home / "runs" / os.fsdecode(b"\xff"))
    assert [row.id for row in overview()] == [run.id for run in list_runs()] == ["mine"]


#: Of the right type, and yet no number that can be shown or counted with.
IMPOSSIBLE = ["NaN", "Infinity", "-1", "-0.5", "9" * 400, "1e300", str(2**53)]


@pytest.mark.parametrize("value", IMPOSSIBLE)
@pytest.mark.parametrize("field", ["epoch", "step", "seconds_left", "created", "peak_memory_bytes", "gpu_use"])
def test_impossible_numbers_are_as_if_not_there(home: Path, field: str, value: str) -> None:
    run = Run(make(home / "runs" / "mine"))
    said = {name: each for name, each in STATUS.items() if name != field}
    (run.path / "status.json").write_text(json.dumps(said)[:-1] + f', "{field}": {value}}}')
    assert field not in run.status()
    assert run.state == "finished"


@pytest.mark.parametrize("best", ['{"epoch": 2, "mean_iou": NaN}', '{"epoch": -2, "mean_iou": 0.5}', '{"epoch": 2}'])
def test_an_impossible_best_is_as_if_not_there(home: Path, best: str) -> None:
    run = Run(make(home / "runs" / "mine"))
    (run.path / "status.json").write_text('{"state": "finished", "best": ' + best + "}")
    assert "best" not in run.status()


def test_what_is_kept_is_bounded(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glance, "KEPT", 20)
    monkeypatch.setattr(glance, "_kept", {})
    for number in range(10):
        make(home / "runs" / str(number))
    assert [row.epoch for row in overview()] == [3] * 10
    assert [row.epoch for row in overview()] == [3] * 10
    assert 0 < len(glance._kept) <= 20


@pytest.mark.parametrize("held", [True, False], ids=["held", "free"])
@pytest.mark.parametrize("beat", [0, 1e300, -1, "now", None, "x", [], True], ids=repr)
@pytest.mark.parametrize("state", [*STATES, "<i>other", ""])
def test_the_state_is_as_the_run_has_it(home: Path, state: str, beat: Any, held: bool) -> None:
    run = Run(make(home / "runs" / "mine", state=state, heartbeat=time.time() if beat == "now" else beat))

    def same() -> None:
        (row,), status = overview(), run.status()
        assert (row.state, row.error) == (status["state"], status["error"])

    if held:
        with run.lock():
            same()
    else:
        same()
        queue.join(run.path, ["cpu"], launched=True)
        same()
        queue.leave(run.path)
    (run.path / "status.json").write_text("{")
    same()


def test_times_of_a_run_that_goes_or_was_cut_off(home: Path) -> None:
    run = Run(make(home / "runs" / "mine", state="running", started=1.75e9, heartbeat=1.76e9))
    assert overview()[0].ended == 1.76e9, "when it was last heard of, not when it ended the time before"
    with run.lock():
        assert overview()[0].state == "running"
        assert overview()[0].ended is None


HOSTILE: dict[str, Any] = {
    "state": "finished", "epoch": "x", "epochs": -1, "created": 1e300, "started": [], "ended": "now", "place": True,
    "error": {"a": 1}, "waiting_for": 7, "best": {"epoch": 1e99, "mean_iou": float("nan")}, "heartbeat": 10**400,
}  # fmt: skip


def test_hostile_values_are_not_known(home: Path) -> None:
    path = make(home / "runs" / "mine")
    (path / "status.json").write_text(json.dumps(HOSTILE))
    (path / "metrics.csv").write_text('epoch,seconds\n1,nan\n2,"\n')
    (row,) = overview()
    assert (row.epoch, row.epochs, row.best_epoch, row.mean_iou, row.place) == (2, 0, None, None, None)
    assert (row.error, row.waiting_for, row.ended, row.seconds, row.pixel_accuracy) == (None,) * 5
    assert abs((row.created or 0) - time.time()) < 60, "when its recipe was written"
    assert row.readable


@pytest.mark.parametrize(
    ("text", "problem", "data"),
    [
        ("", "is damaged", None),
        ("[1]", "is damaged", None),
        ("[" * 60_000, "is damaged", None),
        ("{" + " " * glance.LIMIT + "}", "is damaged", None),
        ('{"data": "toy-pets", "image_size": "big"}', "is damaged", "toy-pets"),
        ('{"data": ["a"], "image_size": 32}', "is damaged", None),
        ('{"data": "toy-pets", "image_size": 32, "dream": 3}', "has the field 'dream'", "toy-pets"),
        ('{"data": "toy-pets", "image_size": 32, "architecture": "unet9"}', "has the architecture 'unet9'", "toy-pets"),
        ('{"data": "<b>\\u001b[31m\\ud800x", "image_size": 32}', "", "<b>[31mx"),
    ],
)  # fmt: skip
def test_a_recipe_that_cannot_be_read_is_listed_with_the_rest(
    home: Path, text: str, problem: str, data: str | None
) -> None:
    path = make(home / "runs" / "mine")
    (path / "recipe.json").write_text(text)
    (row,) = overview()
    assert problem in row.problem
    assert row.readable == (problem == "")
    assert "\n" not in row.problem
    assert len(row.problem) < 200
    assert (row.data, row.epoch, row.mean_iou, row.state) == (data, 3, 0.625, "finished")


def test_half_runs_and_what_is_none(home: Path, tmp_path: Path) -> None:
    runs = home / "runs"
    for name in ("no-recipe", "no-status", "a-pipe", "a-folder", "a-loop", "whole"):
        make(runs / name)
    (runs / "no-recipe" / "recipe.json").unlink()
    (runs / "no-status" / "status.json").unlink()
    for name in ("a-pipe", "a-folder", "a-loop"):
        (runs / name / "recipe.json").unlink()
    os.mkfifo(runs / "a-pipe" / "recipe.json")
    (runs / "a-folder" / "recipe.json").mkdir()
    (runs / "a-loop" / "recipe.json").symlink_to("recipe.json")
    (runs / "file").touch()
    (runs / "empty").mkdir()
    make(runs / ".hidden")
    make(runs / "being-made", heartbeat=time.time())
    (runs / "being-made" / "recipe.json").unlink()
    (runs / "linked").symlink_to(make(tmp_path / "elsewhere"))
    (runs / "nowhere").symlink_to(tmp_path / "nowhere")
    rows = {row.id: row for row in overview()}
    assert {name: row.problem for name, row in rows.items()} == {
        "no-recipe": "its recipe.json is missing",
        "no-status": "its status.json is missing",
        "a-pipe": "its recipe.json is damaged",
        "a-folder": "its recipe.json is damaged",
        "a-loop": "its recipe.json is damaged",
        "whole": "",
        "elsewhere": "",
    }
    assert rows["no-status"].state == "interrupted"
    assert rows["elsewhere"].path == tmp_path / "elsewhere"
    assert ".hidden" not in [run.id for run in list_runs()]


def test_where_there_are_no_runs(home: Path) -> None:
    assert overview() == []
    home.mkdir()
    (home / "runs").touch()
    assert overview() == []


def test_selecting(home: Path) -> None:
    for name, state, created in (("one", "finished", 3), ("two", "failed", 2), ("Three <b>", "stopped", 1)):
        write_notes(Run(make(home / "runs" / name, state=state, created=created)), f"note of {name}", ["a", name[:1]])
    rows = overview()

    def found(**wanted: Any) -> list[str]:
        return [row.id for row in select(rows, **wanted)]

    assert found() == ["one", "two", "Three <b>"]
    assert found(text="  ") == found()
    assert found(text="UNET <B>") == ["Three <b>"]
    assert found(text="pets two") == ["two"]
    assert found(text="pets nothing") == []
    assert found(text="of.*") == []
    assert found(states=["failed", "stopped"]) == ["two", "Three <b>"]
    assert found(tags=["t"]) == ["two", "Three <b>"]
    assert found(tags=["A", "o"]) == ["one"]
    assert found(data="toy-pets", architecture="unet") == found()
    assert found(data="toy") == found(architecture="segnet") == []


def test_the_verb_keeps_its_keys_and_takes_filters(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def rows(*words: str) -> list[dict[str, Any]]:
        assert main(["runs", "list", "--json", *words]) == 0
        return json.loads(capsys.readouterr().out)

    assert main(["runs", "list"]) == 0
    assert capsys.readouterr().out == "no runs yet\n"
    make(home / "runs" / "mine")
    assert main(["runs", "list"]) == 0
    columns = ["run", "state", "epoch", "epochs", "best_epoch", "mean_iou"]
    assert capsys.readouterr().out.splitlines()[0].split() == columns
    (row,) = rows()
    assert {name: row[name] for name in list(row)[:8]} == {
        "run": "mine", "state": "finished", "epoch": 3, "epochs": 3, "best_epoch": 2, "mean_iou": 0.625, "place": None,
        "waiting_for": None,
    }  # fmt: skip
    assert row["path"] == str(home / "runs" / "mine")
    assert (row["pixel_accuracy"], row["seconds"], row["tags"], row["readable"]) == (0.875, 60.5, [], True)
    write_notes(Run(make(home / "runs" / "two\x1b[31m\nlines", state="failed")), "x", ["paper"])
    (home / "runs" / "two\x1b[31m\nlines" / "recipe.json").write_text("")
    assert [each["state"] for each in rows("--state", "failed", "--state", "stopped")] == ["failed"]
    assert [each["run"] for each in rows("--search", "min toy")] == ["mine"]
    assert [each["state"] for each in rows("--tag", "paper")] == ["failed"]
    assert main(["runs", "list"]) == 0
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert len(text.splitlines()) == 5
    assert text.endswith(" lines: its recipe.json is damaged\n")
    assert main(["runs", "list", "--tag", "nothing"]) == 0
    assert capsys.readouterr().out == "no run is like that\n"
    assert main(["runs", "list", "--state", "finnished"]) == 2
    assert "did you mean 'finished'" in capsys.readouterr().err


def test_listing_loads_no_engine(home: Path, python: Callable[..., Any]) -> None:
    make(home / "runs" / "mine")
    code = (
        "import sys; from segmodels.training.overview import overview; from segmodels.training.trash import deleted\n"
        "import segmodels.training.recipe_difference; assert overview() and not deleted()\n"
        "print({'keras', 'tensorflow', 'jax', 'streamlit', 'plotly'} & set(sys.modules))"
    )
    assert python("-c", code, SEGMODELS_HOME=home).stdout == "set()\n"
