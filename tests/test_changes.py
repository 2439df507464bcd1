"""A run that is steered: another rate, other epochs, and a new run from the weights of an old one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segmodels.errors import UserError
from segmodels.hub.checkpoint import load_checkpoint, read_spec
from segmodels.recipe import Recipe
from segmodels.training.changes import Change, ask_for_change, changes_of, in_force, take_change, wanted_change
from segmodels.training.preflight import check
from segmodels.training.runs import Run, check_resumable, find_checkpoint
from segmodels.training.schedule import learning_rate
from segmodels.training.train import train
from tests.test_train import At, leftovers
from tests.test_unkillable import same_end

#: Of `TINY`: 32 pictures in batches of 8.
STEPS = 4


def rates(run: Run) -> list[float]:
    return [row["learning_rate"] for row in run.steps()]


def test_a_new_rate_holds_from_the_next_step_on(home: Path, tiny: dict[str, Any]) -> None:
    recipe = Recipe(**{**tiny, "epochs": 3})
    run = Run.create(recipe, home / "run")
    train(recipe, run_dir=run.path, reporter=At(5, lambda: ask_for_change(run, learning_rate=0.002)))
    [change] = changes_of(run.path)
    at = change.epoch * STEPS + change.step
    assert at in (5, 6), "a step may have been given to the device already"
    slower = recipe.model_copy(update={"learning_rate": 0.002})
    expected = [learning_rate(slower if step >= at else recipe, step, STEPS) for step in range(3 * STEPS)]
    assert rates(run) == pytest.approx(expected, rel=1e-5)
    assert run.recipe == recipe, "what was begun stays on record"
    assert read_spec(run.best).recipe["learning_rate"] in (0.01, 0.002)
    assert wanted_change(run.path) == {}
    assert "changed from epoch 2" in run.log()


def test_fewer_and_more_epochs(home: Path, tiny: dict[str, Any]) -> None:
    recipe = Recipe(**{**tiny, "epochs": 9})
    run = Run.create(recipe, home / "run")
    train(recipe, run_dir=run.path, reporter=At(6, lambda: ask_for_change(run, epochs=2)))
    assert (run.state, len(run.history()), run.status()["epochs"]) == ("finished", 2, 2)
    with pytest.raises(UserError, match=r"has finished its 2 epochs: ask for more than 2"):
        ask_for_change(run, epochs=2)
    with pytest.raises(UserError, match=r"only a paused, .* run can be resumed"):
        check_resumable(run)
    ask_for_change(run, epochs=4)
    train(resume=run)
    assert (run.state, [row["epoch"] for row in run.history()]) == ("finished", [1, 2, 3, 4])
    longer = recipe.model_copy(update={"epochs": 4})
    assert rates(run)[8:] == pytest.approx([learning_rate(longer, step, STEPS) for step in range(8, 16)], rel=1e-5)


def test_a_resumed_run_goes_through_its_changes_again(home: Path, tiny: dict[str, Any]) -> None:
    """Killed after a change and before the next save, it comes to the change a second time, at the same place."""
    recipe = Recipe(**{**tiny, "epochs": 3, "deterministic": True})
    whole = Run.create(recipe, home / "whole")
    train(recipe, run_dir=whole.path, reporter=At(6, lambda: ask_for_change(whole, learning_rate=0.003, epochs=4)))
    run = Run.create(recipe, home / "killed")
    (run.path / "changes.json").write_bytes((whole.path / "changes.json").read_bytes())
    with pytest.raises(RuntimeError):
        train(recipe, run_dir=run.path, reporter=At(10, fail))
    train(resume=run)
    same_end(run, whole)


def fail() -> None:
    raise RuntimeError("the power went out")


def test_a_newer_wish_wins_over_what_is_written_for_later(tmp_path: Path) -> None:
    later = [{"epoch": 5, "step": 2, "learning_rate": 0.1, "epochs": 30}, {"epoch": 6, "step": 0, "learning_rate": 0.2}]
    (tmp_path / "changes.json").write_text(json.dumps(later))
    (tmp_path / "change.json").write_text('{"learning_rate": 0.05}')
    assert take_change(tmp_path, (4, 1)) == [Change(4, 1, learning_rate=0.05), Change(5, 2, epochs=30)]
    assert take_change(tmp_path, (4, 1)) is None
    now = in_force(Recipe(data="toy-pets", epochs=10), changes_of(tmp_path), (5, 1))
    assert (now.learning_rate, now.epochs) == (0.05, 10)
    assert in_force(now, changes_of(tmp_path)).epochs == 30


@pytest.mark.parametrize("text", ["[]", "null", "{", '{"epochs": "x"}', '{"learning_rate": [1]}', '{"more": 1}'])
def test_a_damaged_wish_changes_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "change.json").write_text(text)
    assert wanted_change(tmp_path) == {}
    assert take_change(tmp_path, (0, 0)) == []
    (tmp_path / "changes.json").write_text(text)
    if text != "[]":
        with pytest.raises(UserError, match=r"changes\.json.*(damaged|valid)"):
            changes_of(tmp_path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "nothing to change of run run: give learning_rate or epochs"),
        ({"epochs": 0}, "recipe field epochs=0"),
        ({"learning_rate": -1.0}, "recipe field learning_rate=-1"),
        ({"epochs": 1}, "run run is in epoch 2: epochs=1 is less"),
    ],
)
def test_changes_that_cannot_be(home: Path, tiny: dict[str, Any], values: dict[str, Any], message: str) -> None:
    run = Run.create(Recipe(**tiny), home / "run")
    run.write_status(state="paused", epoch=2)
    with pytest.raises(UserError, match=message):
        ask_for_change(run, **values)
    assert not (run.path / "change.json").exists()


def test_weights_are_kept_evenly_over_a_run(tiny_run: Run) -> None:
    """Three snapshots of five epochs, and the best."""
    assert {2, 3, 5} <= set(tiny_run.kept_epochs()) <= {2, 3, 5, tiny_run.status()["best"]["epoch"]}
    row = tiny_run.history()[1]
    document = json.loads((tiny_run.snapshot(2) / "metrics.json").read_text())
    assert document["epoch"] == 2
    assert document["validation"]["mean_iou"] == pytest.approx(row["val_mean_iou"], rel=1e-5)
    assert find_checkpoint(f"{tiny_run.path}@2") == tiny_run.snapshot(2)
    assert find_checkpoint(tiny_run.path) == tiny_run.best
    with pytest.raises(UserError, match=r"has no weights of epoch 1: it keeps of epochs"):
        find_checkpoint(f"{tiny_run.path}@1")
    assert leftovers(tiny_run.path) == []


def test_a_fork_begins_with_the_weights_of_an_epoch(tiny_run: Run, home: Path, tiny: dict[str, Any]) -> None:
    fields = {**tiny, "epochs": 1, "learning_rate": 1e-9, "augment": "none", "snapshots": 0}
    fork = train(Recipe(**fields, start_from=f"{tiny_run.path}@3"))
    parent, child = load_checkpoint(tiny_run.snapshot(3))[0], load_checkpoint(fork.best)[0]
    for theirs, ours in zip(parent.trainable_weights, child.trainable_weights, strict=True):
        assert np.allclose(theirs, ours, atol=1e-6), "a rate of almost nothing leaves them as they were"
    assert fork.kept_epochs() == [1], "the best"
    assert read_spec(fork.best).recipe["start_from"] is None, "a name of this machine says nothing elsewhere"


def test_other_classes_keep_all_but_what_tells_them_apart(tiny_run: Run, home: Path, tiny: dict[str, Any]) -> None:
    fields = {**tiny, "data": "toy-nuclei", "sampling": "resize", "epochs": 1, "learning_rate": 1e-9}
    whole = load_checkpoint(tiny_run.best)[0]
    own = load_checkpoint(train(Recipe(**fields, start_from=str(tiny_run.path))).best)[0]
    same = [np.allclose(a, b, atol=1e-6) for a, b in zip(whole.weights, own.weights, strict=True) if a.shape == b.shape]
    trainable = sum(a.shape == b.shape for a, b in zip(whole.trainable_weights, own.trainable_weights, strict=True))
    assert sum(same) >= trainable - 2, "all that learns, but perhaps the head, where it has as many classes"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"start_from": "nothing-here"}, "neither a checkpoint directory nor a run"),
        ({"architecture": "linknet", "options": {}}, "its architecture is unet, but the recipe's is linknet"),
        ({"options": {"width": 8, "depth": 3}}, "its option width is 4, but the recipe's is 8"),
    ],
)
def test_what_no_fork_can_begin_with(
    tiny_run: Run, home: Path, tiny: dict[str, Any], fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        check(Recipe(**{**tiny, "start_from": str(tiny_run.path), **fields}))


def test_the_confusion_of_every_epoch_is_kept(tiny_run: Run) -> None:
    rows = (tiny_run.path / "confusion.csv").read_text().splitlines()
    assert len(rows) == 1 + len(tiny_run.history())
    best = json.loads((tiny_run.best / "metrics.json").read_text())
    counts = [int(n) for n in rows[best["epoch"]].split(",")]
    assert counts[0] == best["epoch"]
    assert np.array_equal(np.reshape(counts[1:], (3, 3)), best["confusion_matrix"])


def test_a_run_tells_what_memory_it_takes(tiny_run: Run) -> None:
    status = tiny_run.status()
    assert 100e6 < status["memory_bytes"] <= status["peak_memory_bytes"] < 20e9
    assert "energy_joules" not in status, "no card was asked"
