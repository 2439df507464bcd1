"""A run that is killed at any moment, or whose disk is full, goes on to what it would have become."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segmodels.errors import UserError
from segmodels.recipe import Recipe
from segmodels.training import records, state
from segmodels.training.launch import launch
from segmodels.training.runs import Run
from segmodels.training.train import train
from tests.test_train import At, leftovers, untimed

#: A trainer that saves after every step, so that a kill often hits a write.
SAVING = """
import sys
from segmodels.training import trainer
from segmodels.training.train import train
trainer.SAVE_EVERY = 0
train(resume=sys.argv[1])
"""


def same_end(run: Run, whole: Run) -> None:
    """To the bit: weights, moments, and every figure that is not a time."""
    assert run.state == whole.state == "finished"
    assert untimed(run.history()) == untimed(whole.history())
    assert untimed(run.steps()) == untimed(whole.steps())
    with np.load(run.last / "variables.npz") as ours, np.load(whole.last / "variables.npz") as theirs:
        assert ours.files == theirs.files
        assert all(np.array_equal(ours[name], theirs[name]) for name in theirs.files)


def no_space(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("what", ["state", pytest.param("rows", marks=pytest.mark.slow)])
def test_a_full_disk_is_said_and_later_made_up_for(
    home: Path, tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    recipe = Recipe(**{**tiny, "epochs": 3, "deterministic": True})
    run = Run.create(recipe, home / "full")
    place = (state.np, "savez") if what == "state" else (records.csv, "DictWriter")
    full = At(6, lambda: monkeypatch.setattr(*place, no_space))
    with pytest.raises(UserError, match="no space left on the disk") as caught:
        train(recipe, run_dir=run.path, reporter=full)
    assert "\n" not in str(caught.value)
    assert run.status()["error"] == str(caught.value)
    assert 1 <= len(run.history()) <= 2, "a row may be there without the state that belongs to it"
    assert leftovers(run.path) == []
    monkeypatch.undo()
    monkeypatch.setenv("SEGMODELS_HOME", str(home))
    train(resume=run)
    same_end(run, train(recipe))


def test_a_damaged_history_is_taken_from_the_best(home: Path, tiny: dict[str, Any]) -> None:
    recipe = Recipe(**{**tiny, "deterministic": True})
    run = Run.create(recipe, home / "damaged")
    train(recipe, run_dir=run.path, reporter=At(14, lambda: run.request("pause")))
    good = (run.path / "metrics.csv").read_bytes()
    for damage in (good[:40], b"\x00" * 100, b"epoch,loss\n1,\n", good.replace(b"\n2,", b"\nx,")):
        (run.path / "metrics.csv").write_bytes(damage)
        run.write_status(state="paused")
        assert [note for note in records.keep_rows(run, 3, 2) if "damaged" in note]
        assert (run.path / "metrics.csv").read_bytes() == good, damage
    (run.path / "metrics.csv").write_bytes(b"\x00")
    (run.path / "steps.csv").write_bytes(b"\xff\xfe,\n,,,\n")
    train(resume=run)
    assert "metrics.csv was damaged" in run.log()
    assert untimed(run.history()) == untimed(train(recipe).history())


def test_a_home_that_cannot_be_written_is_said(tmp_path: Path, tiny: dict[str, Any], monkeypatch: Any) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("SEGMODELS_HOME", str(tmp_path / "file"))
    with pytest.raises(UserError, match="is a file or lies below one"):
        train(Recipe(**tiny))
    with pytest.raises(UserError, match="is a file or lies below one"):
        launch(Recipe(**tiny))


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM])
def test_killed_at_random_again_and_again_it_ends_the_same(home: Path, tiny: dict[str, Any], kill: int) -> None:
    """Some eight kills, of which many hit the middle of a write."""
    fields = {**tiny, "epochs": 2, "deterministic": True, "ema": 0.9, "accumulation": 2}
    run = Run.create(Recipe(**fields), home / "hunted")
    run.write_status(state="paused")
    generator = np.random.default_rng(0)
    for _ in range(40):
        process = subprocess.Popen([sys.executable, "-c", SAVING, str(run.path)], stderr=subprocess.DEVNULL)
        began, steps = time.monotonic(), len(run.steps())
        while process.poll() is None and len(run.steps()) <= steps and time.monotonic() - began < 90:
            time.sleep(0.005)
        time.sleep(float(generator.uniform(0, 0.15)))
        if process.poll() is None:
            process.send_signal(kill)
        process.wait(60)
        position = json.loads((run.path / "status.json").read_text())
        assert position["state"] in ("running", "finished", "interrupted")
        if run.state == "finished":
            break
    same_end(run, train(Recipe(**fields)))
    assert leftovers(run.path) == []
