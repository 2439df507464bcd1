"""The report of a run: its figures are those on disk, and nothing in the directory is in its way."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from segmodels.cli import main
from segmodels.data.images import encoded
from segmodels.report.run_facts import read_run
from segmodels.report.run_report import run_report
from segmodels.report.sample_pictures import sample_pictures
from segmodels.training.runs import Run
from tests.test_report_charts import Tags

NASTY = "<script>alert(1)</script>"


@pytest.fixture
def run(tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A copy of a finished run, to be damaged."""
    monkeypatch.setenv("SEGMODELS_HOME", str(tmp_path / "home"))
    return Run(shutil.copytree(tiny_run.path, tmp_path / "home" / "runs" / tiny_run.id))


def change(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def values(text: str) -> list[float]:
    """The full numbers of the page, in their order."""
    return [float(value) for value in re.findall(r'<data value="([^"]*)">', text)]


def figures_of(text: str, name: str) -> int:
    return text.count(f'aria-label="{name}"')


def test_figures_are_those_on_disk(run: Run) -> None:
    text = run_report(run, now=datetime(2026, 5, 17, 8, 30))
    metrics = json.loads((run.best / "metrics.json").read_text())
    found = values(text)
    for value in metrics["validation"].values():
        assert value in found
    for row in metrics["classes"]:
        for name in ("iou", "dice", "precision", "recall", "pixels"):
            assert row[name] in found
        assert f"<td>{row['name']}</td>" in text
    counts = np.array(metrics["confusion_matrix"])
    for true, said in np.ndindex(counts.shape):
        names = [metrics["classes"][n]["name"] for n in (true, said)]
        assert f"truth {names[0]}, prediction {names[1]}: {counts[true, said]:,} pixels" in text
    history = run.history()
    for row in history:
        for column in ("loss", "pixel_accuracy", "mean_iou", "mean_dice"):
            assert f"training, epoch {row['epoch']}: {row[column]:.4f}" in text
            assert f"validation, epoch {row['epoch']}: {row[f'val_{column}']:.4f}" in text
        for label in metrics["classes"]:
            value = row[f"val_iou_{label['name']}"]
            assert f"{label['name']}, epoch {row['epoch']}: {value:.4f}" in text
    for title in ("Loss", "Pixel accuracy", "Mean IoU", "Mean Dice", "Learning rate", "IoU by class, validation"):
        assert figures_of(text, title) == 1
    assert f"{sum(row['seconds'] for row in history):.4f} s" in text
    assert "2026-05-17 08:30" in text


def test_the_environment_and_the_recipe_are_there(run: Run) -> None:
    change(run.path / "status.json", peak_memory_bytes=3 * 2**30, energy_joules=36_000)
    text = run_report(run)
    status = run.status()
    metrics = json.loads((run.best / "metrics.json").read_text())
    for said in (status["backend"], status["device"], "float32", metrics["data_fingerprint"], "3.00 GB", "10.00 Wh"):
        assert f"<dd>{said}" in text
    for name in ("Seed", "Seed of the split"):
        assert f"<dt>{name}</dt><dd>0</dd>" in text
    assert '<dt>Training pictures or tiles</dt><dd><data value="32">32</data></dd>' in text
    blocks = [block.replace("&#x27;", "'") for block in re.findall(r"<pre><code>(.*?)</code></pre>", text, re.DOTALL)]
    assert blocks[0] == run.recipe.command()
    assert yaml.safe_load(blocks[1]) == run.recipe.model_dump(mode="json")
    assert "epoch 5/5" in blocks[2]
    change(run.path / "status.json", peak_memory_bytes=None, energy_joules=None)
    assert "<dt>Energy</dt><dd>not known</dd>" in run_report(run)


def test_pictures_are_those_of_the_latest_whole_epoch(run: Run) -> None:
    found = sample_pictures(run)
    assert (found.epoch, len(found.rows), found.missing) == (5, 4, [])
    assert run_report(run).count('src="data:image/jpeg;base64,') == 12
    (run.path / "samples" / "3-epoch-0005.png").unlink()  # the fifth is not whole
    assert sample_pictures(run).epoch == 4
    assert "Validation pictures after epoch 4" in run_report(run)
    (run.path / "samples" / "2-image.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    text = run_report(run)
    assert text.count('src="data:image/jpeg;base64,') == 11
    assert "samples/2-image.png is damaged" in text


def test_a_note_tags_and_changes_are_shown(run: Run) -> None:
    (run.path / "notes.json").write_text(json.dumps({"note": "wider\nnext time", "tags": ["base", NASTY]}))
    (run.path / "changes.json").write_text(json.dumps([{"epoch": 2, "step": 0, "learning_rate": 0.005}]))
    text = run_report(run)
    assert "<p>wider\nnext time</p>" in text
    assert '<span class="tag">base</span>' in text
    assert "learning_rate = 0.005" in text
    assert '<tr><td class="number"><data value="3">3</data></td><td class="number"><data value="1">1</data>' in text


def test_names_and_texts_do_not_become_markup(run: Run) -> None:
    metrics = json.loads((run.best / "metrics.json").read_text())
    metrics["classes"][0]["name"] = NASTY
    metrics["data_fingerprint"] = NASTY
    (run.best / "metrics.json").write_text(json.dumps(metrics))
    rows = (run.path / "metrics.csv").read_text().replace("val_iou_pet", f"val_iou_{NASTY}")
    (run.path / "metrics.csv").write_text(rows)
    index = json.loads((run.path / "samples" / "index.json").read_text())
    index["ids"][0] = index["classes"][0]["name"] = f'{NASTY}" onerror="alert(1)'
    (run.path / "samples" / "index.json").write_text(json.dumps(index))
    (run.path / "notes.json").write_text(json.dumps({"note": NASTY, "tags": [NASTY]}))
    (run.path / "changes.json").write_text(json.dumps([{"epoch": 1, "step": 1, NASTY: NASTY}]))
    change(run.path / "status.json", state=NASTY, error=NASTY, device=NASTY, backend=NASTY)
    change(run.path / "recipe.json", data=NASTY, note=NASTY)
    (run.path / "log.txt").write_text(f"\x1b[31m{NASTY}\x00\n")
    moved = Run(run.path.rename(run.path.with_name("<b onclick=x>run")))
    seen = Tags(run_report(moved))
    assert seen.text.count("alert(1)") >= 15
    assert "script" not in seen.tags
    assert "b" not in seen.tags
    assert not [name for name, _ in seen.attributes if name.startswith("on")]


def test_a_run_that_goes_on_has_what_there_is_so_far(run: Run) -> None:
    with run.lock():
        change(run.path / "status.json", state="running", epoch=3, heartbeat=time.time())
        lines = (run.path / "metrics.csv").read_text().splitlines(keepends=True)
        (run.path / "metrics.csv").write_text("".join(lines[:3]) + lines[3][:20])  # being written
        text = run_report(run)
        assert '<span class="tag">running</span>' in text
        assert "training, epoch 2:" in text
        assert "training, epoch 3:" not in text
        assert "<dt>Epochs</dt><dd>2 of 5</dd>" in text
        assert "missing" not in text
        assert "damaged" not in text
        for name in ("best", "samples"):
            shutil.rmtree(run.path / name)
        (run.path / "metrics.csv").unlink()
        assert "metrics.csv is not written yet" in run_report(run)


def test_each_part_may_be_missing(run: Run) -> None:
    whole = len(run_report(run))
    for name in ("recipe.json", "status.json", "metrics.csv", "best/metrics.json", "samples/index.json"):
        place = run.path / name
        kept = place.read_bytes()
        place.unlink()
        text = run_report(run)
        assert f"{name} is missing" in text
        assert len(text) < whole + 1000
        place.write_bytes(kept)
    (run.best / "metrics.json").unlink()  # the figures are in the table of the epochs too
    best = max(run.history(), key=lambda row: row["val_mean_iou"])
    assert best["val_mean_iou"] in values(run_report(run))
    for left in list(run.path.iterdir()):
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    text = run_report(run)
    assert "No epoch has been validated." in text
    assert "unknown" in text
    shutil.rmtree(run.path)
    assert "metrics.csv is missing" in run_report(run)


@pytest.mark.parametrize(
    "document",
    ["", "null", "[]", "{}", '"x"', "[" * 900 + "]" * 900, '{"a": 1e999}', "{", '{"state": ["running"]}', "\x00\xff"],
)
def test_no_document_is_in_the_way(run: Run, document: str) -> None:
    for name in ("recipe.json", "status.json", "best/metrics.json", "notes.json", "changes.json", "samples/index.json"):
        kept = (run.path / name).read_bytes() if (run.path / name).exists() else None
        (run.path / name).write_bytes(document.encode("latin-1"))
        Tags(run_report(run))
        if kept is not None:
            (run.path / name).write_bytes(kept)


def test_values_of_any_kind_are_not_in_the_way(run: Run) -> None:
    """Each value of each document in turn is something else."""
    strange = [None, True, -1, 1e300, 10**30, "x" * 3000, "\ud800<b>", [], {}, [[1], 2], {"a": []}]
    generator = random.Random(0)
    for name in ("recipe.json", "status.json", "best/metrics.json", "samples/index.json"):
        kept = (run.path / name).read_text()
        for field in json.loads(kept):
            document = json.loads(kept)
            document[field] = generator.choice(strange)
            (run.path / name).write_text(json.dumps(document))
            run_report(run).encode("utf-8")
        (run.path / name).write_text(kept)
    change(run.path / "status.json", state="running", heartbeat="soon", steps_per_epoch=[])
    assert '<span class="tag">interrupted</span>' in run_report(run)
    metrics = json.loads((run.best / "metrics.json").read_text())
    for rows in (1, [1], [None], [{"name": 3}], [{"name": "a", "iou": [], "pixels": "many"}] * 3):
        change(run.best / "metrics.json", classes=rows)
        run_report(run)
    change(run.best / "metrics.json", classes=metrics["classes"])
    for matrix in (1, [[1]], [[1, 2, 3]] * 2, [["a"] * 3] * 3, [[-1] * 3] * 3, [[1.5] * 3] * 3):
        change(run.best / "metrics.json", confusion_matrix=matrix)
        assert "holds no confusion matrix" in run_report(run)


def test_damaged_rows_are_named_and_left_out(run: Run) -> None:
    lines = (run.path / "metrics.csv").read_text().splitlines(keepends=True)
    lines[2] = "\x00\x00<b>,,,\n"
    lines[3] = lines[3].replace(",", f",1e400,{'9' * 5000},", 1)
    (run.path / "metrics.csv").write_text("".join(lines))
    facts = read_run(run)
    assert [row["epoch"] for row in facts.history] == [1, 3, 4, 5]
    text = run_report(run)
    assert "1 of its 5 rows have no epoch" in text
    assert "metrics.csv has 4 of the 5 epochs" in text
    assert "training, epoch 5:" in text


def test_many_classes_have_a_table_and_a_part_of_the_chart(run: Run) -> None:
    size = 40
    rows = [{"name": f"class {n}", "iou": 0.5, "pixels": 10} for n in range(size)]
    counts = np.eye(size, dtype=int) * 10
    counts[7, 8] = 5
    change(run.best / "metrics.json", classes=rows, confusion_matrix=counts.tolist())
    head = ",".join(f"val_iou_class {n}" for n in range(size))
    (run.path / "metrics.csv").write_text(f"epoch,loss,{head}\n1,0.5{',0.25' * size}\n2,0.4{',0.5' * size}\n")
    text = run_report(run)
    assert text.count("<td>class 39</td>") == 1
    assert "10 more classes are in metrics.csv" in text
    assert "Percent of each true class" not in text
    assert '<td>class 7</td><td>class 8</td><td class="number"><data value="5">5</data></td>' in text


def test_links_out_of_the_run_and_pipes_are_not_read(run: Run, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("my secret\n" * 3)
    picture = tmp_path / "secret.png"
    picture.write_bytes(encoded(np.full((32, 32, 3), 7, np.uint8), "PNG"))
    for name, target in (("log.txt", secret), ("samples/0-image.png", picture)):
        (run.path / name).unlink()
        (run.path / name).symlink_to(target)
    for name in ("notes.json", "changes.json", "metrics.csv"):
        (run.path / name).unlink(missing_ok=True)
        os.mkfifo(run.path / name)
    text = run_report(run)
    assert "my secret" not in text
    assert "samples/0-image.png is missing" in text
    assert "metrics.csv is missing" in text


def test_an_adversarial_run_has_its_curves(run: Run) -> None:
    (run.path / "metrics.csv").write_text(
        "epoch,loss,adversarial_loss,discriminator_loss,discriminator_accuracy,val_loss,val_mse,seconds\n"
        "1,1,0.7,0.69,0.5,1.1,0.2,3\n2,0.5,0.8,0.6,0.75,0.9,0.1,3\n"
    )
    text = run_report(run)
    for title in ("Adversarial loss", "Discriminator loss", "Accuracy of the discriminator"):
        assert figures_of(text, title) == 1
    assert "best of validation, epoch 2: 0.1000" in text
    assert figures_of(text, "Learning rate") == 0


def test_reports_and_exports_load_no_engine(python: Callable[..., Any]) -> None:
    names = ("report.run_report", "training.tensorboard", "training.run_files")
    code = f"""import importlib, sys
for name in {names}: importlib.import_module('segmodels.' + name)
print([name for name in ("tensorflow", "keras", "jax", "streamlit", "plotly") if name in sys.modules])"""
    assert python("-c", code).stdout == "[]\n"


def test_the_verb_says_what_it_wrote(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["runs", "report", run.id]) == 0
    assert capsys.readouterr().out == f"report of run {run.id}: {tmp_path / run.id}.html\n"
    assert (tmp_path / f"{run.id}.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    (run.path / "recipe.json").unlink()  # a part of a run has a report too
    assert main(["runs", "report", str(run.path), "--out", "here/a.html", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"run": run.id, "file": str(tmp_path / "here" / "a.html")}
    assert "recipe.json is missing" in (tmp_path / "here" / "a.html").read_text(encoding="utf-8")
    for name in ("nonsense", str(tmp_path), "", "x" * 5000):
        assert main(["runs", "report", name]) == 2
        assert "there is no run" in capsys.readouterr().err
    assert main(["runs", "report", run.id, "--out", "here"]) == 2
    assert "is a folder" in capsys.readouterr().err
