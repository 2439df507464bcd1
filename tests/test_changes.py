"""A run that is steered: another rate, other epochs, and a new run from the weights of an old one."""

from __future__ import annotations

import json
import os
import shutil
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segmodels.errors import UserError
from segmodels.evaluation.evaluate import evaluate
from segmodels.evaluation.evaluated_data import evaluated_recipe
from segmodels.hub import linked
from segmodels.hub.checkpoint import load_checkpoint, read_spec
from segmodels.prediction.predictor import Predictor
from segmodels.recipe import Recipe
from segmodels.training import changes
from segmodels.training.changes import Change, ask_for_change, changes_of, in_force, take_change, wanted_change
from segmodels.training.networks import spec_of
from segmodels.training.preflight import check
from segmodels.training.reporter import Reporter
from segmodels.training.runs import Run, check_resumable, find_checkpoint
from segmodels.training.schedule import learning_rate
from segmodels.training.start import kept_start, make_run
from segmodels.training.train import train
from segmodels.training.trainer import Trainer
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
    course = [learning_rate(longer, step, STEPS, begun=9) for step in range(8, 16)]
    assert rates(run)[8:] == pytest.approx(course, rel=1e-5)


def test_more_epochs_bring_no_second_warm_up(home: Path, tiny: dict[str, Any]) -> None:
    """And a run that is paused on the way ends as one that was not."""
    recipe = Recipe(**{**tiny, "epochs": 3, "schedule": "constant", "deterministic": True})
    whole, paused = (Run.create(recipe, home / name) for name in ("whole", "paused"))
    train(recipe, run_dir=whole.path, reporter=At(5, lambda: ask_for_change(whole, epochs=12)))
    (paused.path / "changes.json").write_bytes((whole.path / "changes.json").read_bytes())
    train(recipe, run_dir=paused.path, reporter=At(7, lambda: paused.request("pause")))
    train(resume=paused)
    same_end(paused, whole)
    assert len(whole.history()) == 12
    assert rates(whole)[1:] == pytest.approx([0.01] * 47), "a tenth of three epochs, not of twelve"


def test_more_epochs_after_early_stopping_are_trained(home: Path, tiny: dict[str, Any]) -> None:
    run = train(Recipe(**{**tiny, "epochs": 40, "learning_rate": 1e-9, "early_stopping": 1, "augment": "none"}))
    before = len(run.history())
    assert (run.state, run.status()["ended_early"]) == ("finished", True)
    assert before < 40
    ask_for_change(run, epochs=before + 1)
    train(resume=run)
    assert (run.state, len(run.history()), run.status()["ended_early"]) == ("finished", before + 1, False)


def test_epochs_asked_for_during_the_last_validation_are_trained(
    home: Path, tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(**{**tiny, "epochs": 1})
    run = Run.create(recipe, home / "run")
    close = Trainer._close_epoch

    def asked(trainer: Trainer, number: int, confusion: Any) -> None:
        close(trainer, number, confusion)
        if number == 1:
            ask_for_change(run, epochs=2)

    monkeypatch.setattr(Trainer, "_close_epoch", asked)
    train(recipe, run_dir=run.path)
    assert (run.state, len(run.history()), wanted_change(run.path)) == ("finished", 2, {})


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


def test_what_is_asked_for_while_a_wish_is_taken_comes_next(
    home: Path, tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.create(Recipe(**tiny), home / "run")
    run.write_status(state="paused")
    ask_for_change(run, learning_rate=0.005)
    write = changes.write_json

    def slow(path: Path, document: Any) -> None:
        monkeypatch.setattr(changes, "write_json", write)
        ask_for_change(run, epochs=50)
        write(path, document)

    monkeypatch.setattr(changes, "write_json", slow)
    take_change(run.path, (1, 2))
    take_change(run.path, (1, 3))
    now = run.recipe_now
    assert (now.learning_rate, now.epochs) == (0.005, 50)
    assert not list(run.path.glob("change*taken*"))


def test_a_wish_that_a_killed_process_had_taken_is_not_lost(tmp_path: Path) -> None:
    (tmp_path / "change-taken.json").write_text('{"learning_rate": 0.05, "epochs": 9}')
    (tmp_path / "change.json").write_text('{"epochs": 12}')
    take_change(tmp_path, (2, 1))
    now = in_force(Recipe(data="toy-pets"), changes_of(tmp_path))
    assert (now.learning_rate, now.epochs) == (0.05, 12)
    assert take_change(tmp_path, (2, 1)) is None


def test_of_two_who_ask_at_once_neither_is_lost(
    home: Path, tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.create(Recipe(**tiny), home / "run")
    run.write_status(state="paused")
    look = changes.wanted_change
    both = threading.Barrier(2)

    def seen(folder: Path) -> dict[str, Any]:
        found = look(folder)
        with suppress(threading.BrokenBarrierError):
            both.wait(0.5)  # for the other to have looked, too
        return found

    monkeypatch.setattr(changes, "wanted_change", seen)
    asked: list[dict[str, Any]] = [{"learning_rate": 0.005}, {"epochs": 50}]
    threads = [threading.Thread(target=ask_for_change, args=(run,), kwargs=values) for values in asked]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert look(run.path) == {"learning_rate": 0.005, "epochs": 50}


def test_a_run_that_is_deleted_while_it_is_asked_is_not_made_again(
    home: Path, tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.create(Recipe(**tiny))
    look = changes.wanted_change
    monkeypatch.setattr(changes, "wanted_change", lambda folder: (shutil.rmtree(folder), look(folder))[1])
    with pytest.raises(UserError, match=f"there is no run {run.id} any more"):
        ask_for_change(run, epochs=9)
    for write in (lambda: run.write("request.json", {}), lambda: run.write_status(epoch=1)):
        with pytest.raises(UserError, match="any more"):
            write()
    with monkeypatch.context() as patch:  # in the very last moment
        patch.setattr(Path, "is_dir", lambda _: True)
        with pytest.raises(UserError, match="cannot be made"):
            run.write("request.json", {})
    assert not run.path.exists()


OUT_OF_RANGE = ['{"epochs": 20000}', '{"epochs": 0}', '{"learning_rate": -1}', '{"learning_rate": NaN}']


@pytest.mark.parametrize(
    "text", ["[]", "null", "{", '{"epochs": "x"}', '{"learning_rate": [1]}', '{"more": 1}', *OUT_OF_RANGE]
)
def test_a_damaged_wish_changes_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "change.json").write_text(text)
    assert wanted_change(tmp_path) == {}
    assert take_change(tmp_path, (0, 0)) == []
    (tmp_path / "changes.json").write_text(text)
    if text != "[]":
        with pytest.raises(UserError, match=r"changes\.json is damaged: delete it"):
            changes_of(tmp_path)


@pytest.mark.parametrize("text", [*OUT_OF_RANGE, '{"epoch": -1}'])
def test_values_that_no_recipe_may_have_are_damage(tmp_path: Path, text: str) -> None:
    (tmp_path / "changes.json").write_text(json.dumps([{"epoch": 1, "step": 1, **json.loads(text)}]))
    with pytest.raises(UserError, match=r"changes\.json is damaged: delete it"):
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


class Notes(Reporter):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def test_a_fork_is_told_that_it_validates_on_what_its_start_has_seen(
    tiny_run: Run, home: Path, tiny: dict[str, Any], tmp_path: Path
) -> None:
    fields = {**tiny, "epochs": 1, "snapshots": 0, "start_from": str(tiny_run.path)}
    splits = json.loads((tiny_run.path / "split.json").read_text())["splits"]
    seen = {**splits, "train": splits["train"][4:] + splits["validation"], "validation": splits["train"][:4]}
    (tmp_path / "other.json").write_text(json.dumps({"splits": seen}))
    other, same = Notes(), Notes()
    train(Recipe(**fields, split_file=str(tmp_path / "other.json")), reporter=other)
    train(Recipe(**fields, split_file=str(tiny_run.path / "split.json")), reporter=same)
    said = f"4 of the validation pictures were trained on by {tiny_run.path}"
    assert [line.startswith(said) for line in other.said].count(True) == 1
    assert not any("validation pictures" in line for line in same.said)


def begun_with(run: Run, weights: Any) -> bool:
    """Whether a run of a rate of almost nothing began with these."""
    own = load_checkpoint(run.best)[0].trainable_weights
    return all(np.allclose(a, b, atol=1e-6) for a, b in zip(weights, own, strict=True))


def test_a_fork_has_its_weights_from_when_it_is_made(
    tiny_run: Run, home: Path, tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever becomes of the run that it starts from, and of its own trainer before it has saved anything."""
    fields = {**tiny, "epochs": 1, "learning_rate": 1e-9, "augment": "none"}
    shutil.copytree(tiny_run.path, home / "runs" / "source")
    source = Run(home / "runs" / "source")
    weights = [np.array(each) for each in load_checkpoint(source.best)[0].trainable_weights]
    waits, killed = (make_run(Recipe(**fields, start_from="source"), home / name) for name in ("waits", "killed"))
    assert (waits.path / "start" / "model.weights.h5").stat().st_nlink > 1, "another name, no copy"
    with pytest.raises(RuntimeError):
        train(killed.recipe, run_dir=killed.path, reporter=At(1, fail))
    shutil.rmtree(source.path)
    assert begun_with(train(waits.recipe, run_dir=waits.path), weights)
    shutil.rmtree(killed.last, ignore_errors=True)
    assert begun_with(train(resume=killed), weights)
    assert leftovers(waits.path) == []
    with pytest.raises(UserError, match="neither a checkpoint"):
        make_run(Recipe(**fields, start_from="source"), home / "late")
    assert not (home / "late").exists()


def test_a_fork_made_by_hand_keeps_what_it_first_began_with(
    tiny_run: Run, home: Path, tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: Any) -> None:
        raise OSError("another disk")

    monkeypatch.setattr(os, "link", no_links)
    recipe = Recipe(**{**tiny, "epochs": 1, "learning_rate": 1e-9}, start_from=f"{tiny_run.path}@2")
    run = Run.create(recipe, home / "by-hand")
    train(recipe, run_dir=run.path)
    theirs, kept = tiny_run.snapshot(2) / "model.weights.h5", run.path / "start" / "model.weights.h5"
    assert kept.read_bytes() == theirs.read_bytes()
    assert begun_with(run, load_checkpoint(tiny_run.snapshot(2))[0].trainable_weights)


def test_a_start_is_of_one_epoch(tiny_run: Run, home: Path, tiny: dict[str, Any], monkeypatch: Any) -> None:
    """A better epoch takes the place of the best between its two files."""
    shutil.copytree(tiny_run.best, home / "source")
    link, left = linked._link, [1, 2]

    def slow(source: Path, target: Path) -> None:
        if target.name == "model.weights.h5" and left:
            (home / "source").rename(home / f"old-{left.pop()}")
            shutil.copytree(tiny_run.best, home / "source")
            (home / "source" / "model.weights.h5").write_text(f"newer {len(left)}")
        link(source, target)

    monkeypatch.setattr(linked, "_link", slow)
    run = Run.create(Recipe(**tiny), home / "run")
    found = kept_start(run, str(home / "source"))
    assert (found / "model.weights.h5").read_text() == "newer 0"
    (home / "source" / "model.weights.h5").unlink()
    (home / "other").mkdir()
    with pytest.raises(UserError, match="source lacks a file"):
        kept_start(Run(home / "other"), str(home / "source"))


def test_an_epoch_is_that_which_its_folder_says(tiny_run: Run, home: Path) -> None:
    """`best/` is replaced before the status, which says another epoch until then; and moved aside on the way."""
    shutil.copytree(tiny_run.path, home / "runs" / "mine")
    run = Run(home / "runs" / "mine")
    shutil.rmtree(run.path / "epochs")
    metrics = json.loads((run.best / "metrics.json").read_text())
    (run.best / "metrics.json").write_text(json.dumps({**metrics, "epoch": 4}))
    run.write_status(best={"epoch": 3, "mean_iou": 0.5})
    assert run.kept_epochs() == [4]
    assert find_checkpoint("mine@4") == run.best
    with pytest.raises(UserError, match=r"has no weights of epoch 3: it keeps of epochs 4"):
        find_checkpoint("mine@3")
    run.best.rename(run.path / ".best.previous")
    assert find_checkpoint("mine@4") == run.path / ".best.previous"
    (run.path / ".best.previous" / "metrics.json").write_text("[]")
    assert run.kept_epochs() == []


def test_a_run_may_be_called_like_an_epoch(tiny_run: Run, home: Path) -> None:
    shutil.copytree(tiny_run.path, home / "runs" / "mine@2")
    assert find_checkpoint("mine@2") == home / "runs" / "mine@2" / "best"
    assert find_checkpoint(str(home / "runs" / "mine@2")) == home / "runs" / "mine@2" / "best"
    assert find_checkpoint("mine@2@3") == home / "runs" / "mine@2" / "epochs" / "0003"
    shutil.rmtree(home / "runs" / "mine@2" / "best")
    with pytest.raises(UserError, match="has no checkpoint yet"):
        find_checkpoint("mine@2")


def test_classes_of_other_names_are_told_apart_anew(tiny_run: Run, home: Path, tiny: dict[str, Any]) -> None:
    """Of the same number, so that the shapes fit: in another order they would be the wrong ones."""
    shutil.copytree(tiny_run.best, home / "source")
    spec = json.loads((home / "source" / "segmodels.json").read_text())
    spec["classes"].reverse()
    (home / "source" / "segmodels.json").write_text(json.dumps(spec))
    begun, _ = load_checkpoint(tiny_run.best)
    fields = {**tiny, "epochs": 1, "learning_rate": 1e-9}
    for path, kept in ((home / "source", False), (tiny_run.best, True)):
        run = train(Recipe(**fields, start_from=str(path)))
        own = load_checkpoint(run.best)[0]
        same = {
            ours.path: np.allclose(ours, theirs, atol=1e-6)
            for ours, theirs in zip(own.trainable_weights, begun.trainable_weights, strict=True)
        }
        head = own.trainable_weights[-2].path
        assert own.trainable_weights[-2].shape[-1] == 3
        assert same.pop(head) is kept
        same.pop(own.trainable_weights[-1].path)  # its bias may be near to nothing either way
        assert all(same.values())
        assert (f"{head.rpartition('/')[0]} begin anew" in run.log()) is not kept


def test_a_file_of_weights_is_not_named_in_a_checkpoint(tmp_path: Path) -> None:
    named = Recipe(data="toy-pets", backbone="mobilenetv2", weights=str(tmp_path / "mine.h5"))
    for recipe, weights in ((named, "none"), (named.model_copy(update={"weights": "imagenet"}), "imagenet")):
        assert spec_of(recipe, recipe.dataset().classes).recipe["weights"] == weights


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


def test_an_epoch_is_judged_on_the_split_of_its_run(tiny_run: Run) -> None:
    """As the run validated it: on the pictures that its own file names."""
    report = evaluate(f"{tiny_run.path}@3", split="validation", at="model")
    assert report["mean_iou"] == pytest.approx(tiny_run.history()[2]["val_mean_iou"], rel=1e-4)
    snapshot = Predictor(tiny_run.snapshot(3))
    recipe = evaluated_recipe(snapshot.path, snapshot.spec.recipe, None, None)
    assert recipe.split_file == str(tiny_run.path / "split.json")
