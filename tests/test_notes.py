"""What people write about runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from segmodels.cli import main
from segmodels.errors import UserError
from segmodels.recipe import Recipe
from segmodels.training.notes import FILE, LIMIT, Notes, read_notes, write_notes
from segmodels.training.runs import Run


@pytest.fixture
def run(home: Path) -> Run:
    made = Run.create(Recipe(data="toy-pets"))
    made.write_status(state="finished")
    return made


def test_a_note_and_tags_are_kept_each_by_itself(run: Run) -> None:
    assert read_notes(run) == Notes("", ())
    assert write_notes(run, "best so far\n\tüber <b>alles</b>") == Notes("best so far\n\tüber <b>alles</b>", ())
    assert write_notes(run, tags=["paper", " Final  run ", "PAPER", "", "final run"]) == read_notes(run)
    assert read_notes(run) == Notes("best so far\n\tüber <b>alles</b>", ("paper", "Final run"))
    assert json.loads((run.path / FILE).read_text()) == {
        "note": "best so far\n\tüber <b>alles</b>", "tags": ["paper", "Final run"],
    }  # fmt: skip
    assert write_notes(run, "").tags == ("paper", "Final run")
    assert write_notes(run, tags=[]) == Notes()
    assert not list(run.path.glob(".*.part"))


def test_bounds(run: Run) -> None:
    most = write_notes(run, "x" * 10_000, [f"{number:040}" for number in range(20)])
    assert read_notes(run) == most
    for note, tags, said in (
        ("x" * 10_001, None, "10,001 characters is too long"),
        (None, ["x" * 41], "40 characters"),
        (None, map(str, range(21)), "21 tags are too many"),
    ):
        with pytest.raises(UserError, match=said):
            write_notes(run, note, tags)
    assert read_notes(run) == most


@pytest.mark.parametrize(
    "text",
    ["", "[]", "3", "{", '{"note": 3, "tags": "paper"}', '{"note": null, "tags": {"a": 1}}', '{"tags": [1, [], null]}',
     "[" * 50_000, '{"note": "' + "x" * LIMIT + '"}', '{"note": "\\ud800\\u0000\\u001b", "tags": ["\\u0007", " "]}'],
)  # fmt: skip
def test_what_is_damaged_or_hostile_says_nothing(run: Run, text: str) -> None:
    (run.path / FILE).write_text(text)
    assert read_notes(run) == Notes()
    assert write_notes(run, tags=["mended"]) == Notes("", ("mended",))


def test_too_much_is_cut(run: Run) -> None:
    (run.path / FILE).write_text(json.dumps({"note": "n" * 20_000, "tags": [f"{i}" * 100 for i in range(10, 99)]}))
    notes = read_notes(run)
    assert notes.note == "n" * 10_000
    assert len(notes.tags) == 20
    assert {len(tag) for tag in notes.tags} == {40}
    assert write_notes(run) == notes, "it can be written as it is read"


def test_no_folder_is_made_for_a_run_that_is_gone(run: Run) -> None:
    run.delete()
    with pytest.raises(UserError, match="no run"):
        write_notes(run, "late")
    assert not run.path.exists()


def test_where_it_cannot_be_written_is_one_line(run: Run) -> None:
    (run.path / FILE).mkdir()
    (run.path / FILE / "x").touch()
    assert read_notes(run) == Notes()
    with pytest.raises(UserError, match=r"notes\.json") as caught:
        write_notes(run, "x")
    assert "\n" not in str(caught.value)


def test_the_verb(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "note", run.id]) == 0
    assert capsys.readouterr().out == f"run {run.id}\nno note and no tags yet\n"
    assert main(["runs", "note", run.id, "good <i>", "--tag", "paper", "--tag", "b", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"run": run.id, "note": "good <i>", "tags": ["paper", "b"]}
    assert main(["runs", "note", run.id, "--untag", "PAPER", "--untag", "never", "--tag", "c"]) == 0
    assert capsys.readouterr().out == f"run {run.id}\ngood <i>\ntags: b, c\n"
    assert main(["runs", "note", run.id, ""]) == 0
    assert capsys.readouterr().out == f"run {run.id}\ntags: b, c\n"
    assert main(["runs", "note", run.id, "--tag", "x" * 41]) == 2
    assert main(["runs", "note", "nothing", "x"]) == 2
    assert capsys.readouterr().err.count("\n") == 2
