"""Figures of a run in other programs' forms: TensorBoard's, read back by TensorFlow's own reader, and a zip."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from segmodels.cli import main
from segmodels.errors import UserError
from segmodels.recipe import Recipe
from segmodels.training.run_files import MEMBERS, write_archive
from segmodels.training.runs import Run
from segmodels.training.tensorboard import _checksum, write_events


@pytest.fixture
def run(tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A copy of a finished run, to be damaged."""
    monkeypatch.setenv("SEGMODELS_HOME", str(tmp_path / "home"))
    return Run(shutil.copytree(tiny_run.path, tmp_path / "home" / "runs" / tiny_run.id))


def events(path: Path) -> list[Any]:
    """What TensorFlow reads; it raises for a wrong length or checksum."""
    import tensorflow as tf

    return list(tf.compat.v1.train.summary_iterator(str(path)))


def by_tag(path: Path) -> dict[str, dict[int, float]]:
    """The values of each tag by step."""
    found: dict[str, dict[int, float]] = {}
    for event in events(path):
        for value in event.summary.value:
            found.setdefault(value.tag, {})[event.step] = value.simple_value
    return found


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_checksums_are_castagnolis() -> None:
    """RFC 3720, B.4: of 32 zeros, of 32 ones, and of 0 to 31."""
    for data, crc in ((bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43), (bytes(range(32)), 0x46DD794E)):
        (masked,) = struct.unpack("<I", _checksum(data))
        turned = (masked - 0xA282EAD8) & 0xFFFFFFFF
        assert (turned << 15 | turned >> 17) & 0xFFFFFFFF == crc


def test_events_are_the_rows_of_the_tables(run: Run, tmp_path: Path) -> None:
    path = write_events(run, tmp_path / "board")
    assert path.parent == tmp_path / "board"
    assert ".tfevents." in path.name
    assert events(path)[0].file_version == "brain.Event:2"
    found, per_epoch = by_tag(path), run.status()["steps_per_epoch"]
    expected: dict[str, dict[int, float]] = {}
    for row in rows(run.path / "metrics.csv"):
        for column, text in row.items():
            if column == "epoch":
                continue
            tag = f"epoch/train/{column}"
            if column in ("learning_rate", "images_per_second", "seconds"):
                tag = f"epoch/{column}"
            elif column.startswith("val_"):
                tag = re.sub("^val_(iou_)?", lambda found: f"epoch/validation/{'iou/' if found[1] else ''}", column)
            expected.setdefault(tag, {})[int(row["epoch"]) * per_epoch] = float(np.float32(text))
    for row in rows(run.path / "steps.csv"):
        step = (int(row["epoch"]) - 1) * per_epoch + int(row["step"])
        for column, text in row.items():
            if column not in ("epoch", "step"):
                expected.setdefault(f"step/{column}", {})[step] = float(np.float32(text))
    assert found == expected
    assert {"epoch/train/loss", "epoch/validation/mean_iou", "epoch/validation/iou/pet", "step/loss"} <= set(found)


def test_wall_times_go_from_the_start_on(run: Run, tmp_path: Path) -> None:
    status, history = run.status(), run.history()
    at = {
        e.step: e.wall_time
        for e in events(write_events(run, tmp_path))
        if any("epoch/" in v.tag for v in e.summary.value)
    }
    total = 0.0
    for row in history:
        total += row["seconds"]
        assert at[row["epoch"] * status["steps_per_epoch"]] == pytest.approx(status["started"] + total, abs=1e-3)
    # Resumed at the end: `started` is that of the last process, and no row may lie after the run's end.
    document = {**status, "started": status["ended"] - 0.1}
    (run.path / "status.json").write_text(json.dumps(document))
    times = [event.wall_time for event in events(write_events(run, tmp_path))]
    assert max(times) == pytest.approx(status["ended"], abs=1e-3)


def test_a_second_export_takes_the_place_of_the_first(run: Run, tmp_path: Path) -> None:
    first = write_events(run, tmp_path / "board")
    assert write_events(run, tmp_path / "board") == first
    assert [path.name for path in (tmp_path / "board").iterdir()] == [first.name]


def test_damaged_rows_and_strange_numbers_are_taken_as_they_come(run: Run, tmp_path: Path) -> None:
    (run.path / "status.json").write_text('{"state": [], "steps_per_epoch": "many", "started": "never"}')
    (run.path / "metrics.csv").write_text(
        "epoch,loss,val_iou_<b>\x00é\n1,nan,1e300\n\x00,1,1\n-3,1,1\n2,x,-1e300\n3," + "9" * 400 + ",0.5\n4,0.5"
    )
    (run.path / "steps.csv").write_text(f"epoch,step,loss\n1,1,0.25\n1,7,0.5\n{2**62},{2**62},1\n1,x,3\n")
    found = by_tag(write_events(run, tmp_path))
    assert found["step/loss"] == {1: 0.25, 7: 0.5}
    assert np.isnan(found["epoch/train/loss"][7])  # an epoch has the seven steps that the table has
    assert set(found["epoch/train/loss"]) == {7}, "a whole number that no float holds is damage"
    assert found["epoch/validation/iou/<b>\ufffdé"] == {7: np.inf, 14: -np.inf, 21: 0.5}
    for name in ("metrics.csv", "steps.csv"):
        (run.path / name).unlink()
    with pytest.raises(UserError, match="no figures yet"):
        write_events(run, tmp_path)


def test_a_zip_has_what_there_is(run: Run, tmp_path: Path) -> None:
    (run.path / "notes.json").write_text('{"note": "x", "tags": []}')
    (run.path / "confusion.csv").write_text("epoch,0-0\n1,5\n")
    path = write_archive(run, tmp_path / "out" / "run.zip")
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert set(archive.namelist()) == {"README.txt", *MEMBERS} - {"changes.json"}
        for name in archive.namelist():
            if name not in ("README.txt", "recipe.yaml"):
                assert archive.read(name) == (run.path / name).read_bytes()
        assert yaml.safe_load(archive.read("recipe.yaml")) == run.recipe.model_dump(mode="json")
        archive.extract("recipe.yaml", tmp_path)
        readme = archive.read("README.txt").decode()
    assert Recipe.load(tmp_path / "recipe.yaml") == run.recipe
    assert run.id in readme
    assert all(f"\n{name}: " in readme for name in set(MEMBERS) - {"changes.json"})
    assert "changes.json" not in readme


def test_a_zip_of_what_is_left(run: Run, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("my secret")
    (run.path / "log.txt").unlink()
    (run.path / "log.txt").symlink_to(secret)
    shutil.rmtree(run.best)
    (run.path / "confusion.csv").unlink(missing_ok=True)
    (run.path / "recipe.json").write_text("[")
    (run.path / "split.json").unlink()
    os.mkfifo(run.path / "split.json")
    os.utime(run.path / "metrics.csv", (0, 0))  # a zip has no such time
    with zipfile.ZipFile(write_archive(run, tmp_path / "run.zip")) as archive:
        assert set(archive.namelist()) == {"README.txt", "metrics.csv", "steps.csv", "recipe.json", "status.json"}
    shutil.rmtree(run.path)
    with pytest.raises(UserError, match="none of the files of a run"):
        write_archive(run, tmp_path / "none.zip")
    assert not (tmp_path / "none.zip").exists()


def test_the_verb_says_what_it_wrote(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = Run(shutil.copytree(run.path, run.path.with_name("other run")))
    board = tmp_path / "board"
    words = ["runs", "export", run.id, "other run", str(run.path), "--out", str(board)]
    assert main([*words, "--to", "tensorboard", "--json"]) == 0
    written = json.loads(capsys.readouterr().out)
    assert [row["run"] for row in written] == [run.id, other.id]
    assert [Path(row["file"]).parent.name for row in written] == [run.id, other.id]
    assert len(by_tag(Path(written[1]["file"]))["step/loss"]) == 20
    assert main([*words, "--to", "csv"]) == 0
    said = capsys.readouterr().out
    for name in (run.id, other.id):
        assert f"run {name}: {board / name}.zip" in said
        assert zipfile.is_zipfile(board / f"{name}.zip")
    twin = shutil.copytree(run.path, tmp_path / run.id)
    for bad, message in (
        ([run.id, "--to", "excel", "--out", str(board)], "tensorboard, csv"),
        (["nonsense", "--to", "csv", "--out", str(board)], "there is no run"),
        ([run.id, str(twin), "--to", "csv", "--out", str(board)], "two of the runs"),
        ([run.id, "--to", "csv"], "--out"),
    ):
        assert main(["runs", "export", *bad]) == 2
        assert message in capsys.readouterr().err
