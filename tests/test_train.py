"""Training: what a run leaves on disk, and that it can be stopped, killed and continued at any step."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segmodels.errors import UserError
from segmodels.evaluation.evaluate import evaluate
from segmodels.recipe import Recipe
from segmodels.training import step as training_step
from segmodels.training import trainer
from segmodels.training.launch import launch, relaunch
from segmodels.training.reporter import Reporter
from segmodels.training.runs import Run, find_checkpoint, find_run, list_runs
from segmodels.training.train import train

METRICS = ["pixel_accuracy", "mean_iou", "mean_dice", "precision", "recall", "f1"]
TIMES = ("seconds", "images_per_second")


class At(Reporter):
    """Does something after a step, counted from 1 over all epochs, or after an epoch."""

    def __init__(self, step: int, action: Callable[[], None]) -> None:
        self.left, self.action = step, action

    def step(self, row: dict[str, Any], steps: int) -> None:
        self.left -= 1
        if self.left == 0:
            self.action()


def fail() -> None:
    raise RuntimeError("the power went out")


def untimed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key not in TIMES} for row in rows]


def leftovers(folder: Path) -> list[Path]:
    """What a write that was cut off leaves; the state before the last one stays on purpose until the run is done."""
    kept = folder / ".last.previous"
    return [p for p in folder.rglob("*") if p.name.endswith(".part") or (".previous" in p.name and p != kept)]


@contextmanager
def trainer_of(recipe: Recipe) -> Iterator[Run]:
    """A run in a process of its own, which is gone afterwards whatever happened."""
    run = launch(recipe)
    try:
        yield run
    finally:
        if (pid := run.status().get("pid")) and run.locked():
            os.kill(pid, signal.SIGKILL)
        wait(lambda: not run.locked())


def wait(condition: Callable[[], Any], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def test_a_run_directory_holds_everything(tiny_run: Run) -> None:
    path = tiny_run.path
    for name in ("recipe.json", "status.json", "metrics.csv", "steps.csv", "lock", "last/variables.npz"):
        assert (path / name).is_file(), name
    for name in ("segmodels.json", "model.weights.h5", "metrics.json", "history.csv", "README.md", "previews/0.png"):
        assert (tiny_run.best / name).is_file(), name
    assert leftovers(path) == []
    assert not (path / ".last.previous").exists(), "a run that is done needs no second state"
    status = json.loads((path / "status.json").read_text())
    assert status["state"] == tiny_run.state == "finished"
    assert status["epoch"] == status["epochs"] == 5
    assert status["error"] is None
    assert status["images"] == 32
    assert status["validation_images"] == 40
    assert status["parameters"] == 7719
    assert {"step", "heartbeat", "device", "backend", "pid", "host", "created", "started", "ended"} <= set(status)
    assert not tiny_run.locked()


def test_rows_and_samples_of_every_epoch(tiny_run: Run) -> None:
    assert [row["epoch"] for row in tiny_run.history()] == [1, 2, 3, 4, 5]
    assert [(row["epoch"], row["step"]) for row in tiny_run.steps()] == [
        (e, s) for e in range(1, 6) for s in range(1, 5)
    ]
    samples = tiny_run.path / "samples"
    assert len(json.loads((samples / "index.json").read_text())["ids"]) == 4
    for number in range(4):
        for name in ("image", "truth", *(f"epoch-{epoch:04d}" for epoch in range(1, 6))):
            assert Image.open(samples / f"{number}-{name}.png").size == (32, 32)
    assert np.asarray(Image.open(samples / "0-epoch-0005.png")).max() < 3
    assert (tiny_run.best / "history.csv").read_text() == (tiny_run.path / "metrics.csv").read_text()


def test_training_learns(tiny_run: Run) -> None:
    rows = tiny_run.history()
    assert rows[-1]["loss"] < 0.9 * rows[0]["loss"]
    assert rows[-1]["mean_iou"] > rows[0]["mean_iou"]


def test_the_best_epoch_is_kept_and_its_figures_can_be_repeated(tiny_run: Run) -> None:
    rows = tiny_run.history()
    best = max(rows, key=lambda row: row["val_mean_iou"])
    assert tiny_run.status()["best"]["epoch"] == best["epoch"]
    report = evaluate(tiny_run.best, split="validation", at="model")
    assert report["images"] == 40
    for name in METRICS:
        assert report[name] == pytest.approx(best[f"val_{name}"], abs=2e-4), name
    stored = json.loads((tiny_run.best / "metrics.json").read_text())
    assert stored["epoch"] == best["epoch"]
    assert stored["validation"]["mean_iou"] == pytest.approx(report["mean_iou"], abs=2e-4)


def test_the_card_says_what_the_model_is(tiny_run: Run) -> None:
    card = (tiny_run.best / "README.md").read_text()
    assert card.startswith("---\n")
    for words in ("U-Net", "toy-pets", "32 x 32", "border", "previews/0.png", "| **mean** |"):
        assert words in card


def test_the_log_has_each_epoch_once(tiny_run: Run) -> None:
    lines = [line for line in tiny_run.log().splitlines() if " epoch " in line]
    assert len(lines) == tiny_run.recipe.epochs
    assert f"mean IoU {tiny_run.history()[-1]['val_mean_iou']:.4f}" in lines[-1]


def test_a_launched_run_keeps_its_log(home: Path, tiny: dict[str, Any]) -> None:
    with trainer_of(Recipe(**{**tiny, "epochs": 1})) as run:
        wait(lambda: run.state not in ("queued", "running"))
        assert run.state == "finished", run.log()
        assert "epoch 1/1" in run.log()
        assert [found.id for found in list_runs()] == [run.id]


@pytest.mark.parametrize(
    "more",
    [
        {},
        pytest.param(
            {"ema": 0.9, "accumulation": 2, "optimizer": "lion", "schedule": "plateau", "plateau_patience": 1},
            marks=pytest.mark.slow,
        ),
        {"adversarial_weight": 0.5, "discriminator_every": 2, "ema": 0.9, "class_weights": "inverse frequency"},
    ],
    ids=["plain", "means", "adversarial"],
)
def test_paused_and_resumed_is_as_never_paused(home: Path, tiny: dict[str, Any], more: dict[str, Any]) -> None:
    fields = {**tiny, "epochs": 3, "deterministic": True, "options": {**tiny["options"], "dropout": 0.3}, **more}
    whole = train(Recipe(**fields))
    run = Run.create(Recipe(**fields), home / "paused")
    train(Recipe(**fields), run_dir=run.path, reporter=At(6, lambda: run.request("pause")))
    assert run.state == "paused"
    assert len(run.history()) == 1
    assert 6 <= len(run.steps()) < 8, "in the middle of the second epoch"
    train(resume=run)
    assert run.state == "finished"
    assert untimed(run.steps()) == untimed(whole.steps())
    assert untimed(run.history()) == untimed(whole.history())
    assert leftovers(home) == []


def test_a_stopped_run_has_a_model_even_of_half_an_epoch(home: Path, tiny: dict[str, Any]) -> None:
    run = Run.create(Recipe(**tiny), home / "stopped")
    train(Recipe(**tiny), run_dir=run.path, reporter=At(2, lambda: run.request("stop")))
    assert run.state == "stopped"
    assert run.history() == []
    assert evaluate(run.path, split="test")["images"] == 40
    train(resume=run.path)
    assert run.state == "finished"
    assert [row["epoch"] for row in run.history()] == [1, 2, 3, 4, 5]
    assert len(run.steps()) == 20


def test_what_a_stop_kept_of_half_an_epoch_does_not_compete_with_whole_ones(home: Path, tiny: dict[str, Any]) -> None:
    recipe = Recipe(**{**tiny, "epochs": 2, "deterministic": True})
    run = Run.create(recipe, home / "early")
    train(recipe, run_dir=run.path, reporter=At(1, lambda: run.request("stop")))
    assert run.has_best
    assert json.loads((run.last / "position.json").read_text())["best_epoch"] == 0
    train(resume=run)
    whole = train(recipe)
    assert untimed(run.history()) == untimed(whole.history())
    assert run.status()["best"] == whole.status()["best"]


def test_a_recipe_that_was_changed_is_not_resumed(home: Path, tiny: dict[str, Any]) -> None:
    run = Run.create(Recipe(**tiny), home / "changed")
    train(Recipe(**tiny), run_dir=run.path, reporter=At(5, lambda: run.request("pause")))
    Recipe(**{**tiny, "learning_rate": 0.5, "loss": "dice"}).save(run.path / "recipe.json")
    with pytest.raises(UserError, match=r"was changed since it was saved \(loss, learning_rate\)"):
        train(resume=run)
    Recipe(**tiny).save(run.path / "recipe.json")
    train(resume=run)
    assert run.state == "finished"


def test_a_stop_that_comes_before_the_trainer_is_honoured(home: Path, tiny: dict[str, Any]) -> None:
    run = Run.create(Recipe(**tiny), home / "queued")
    run.request("stop")
    train(Recipe(**tiny), run_dir=run.path)
    assert run.state == "stopped"
    assert len(run.steps()) < 20


def test_a_paused_run_goes_on_in_its_own_process(home: Path, tiny: dict[str, Any]) -> None:
    run = Run.create(Recipe(**tiny), home / "runs" / "paused")
    train(Recipe(**tiny), run_dir=run.path, reporter=At(5, lambda: run.request("pause")))
    relaunch(run)
    wait(lambda: run.state not in ("queued", "running"))
    assert run.state == "finished", run.status()["error"]
    assert len(run.steps()) == 20


def test_a_finished_or_running_run_is_not_launched_again(home: Path, tiny: dict[str, Any]) -> None:
    run = train(Recipe(**{**tiny, "epochs": 1}))
    with pytest.raises(UserError, match="finished"):
        relaunch(run)
    assert run.state == "finished"
    run.write_status(state="running")
    with run.lock(), pytest.raises(UserError, match="running"):
        relaunch(run)
    assert json.loads((run.path / "status.json").read_text())["state"] == "running"


def test_a_killed_run_is_found_interrupted_and_finished_later(home: Path, tiny: dict[str, Any]) -> None:
    """And is then, to the bit, what it would have become."""
    recipe = Recipe(**{**tiny, "epochs": 12, "deterministic": True})
    with trainer_of(recipe) as run:
        wait(lambda: len(run.history()) >= 2)
        os.kill(run.status()["pid"], signal.SIGKILL)
        wait(lambda: not run.locked())
    assert run.state == "interrupted"
    assert run.status()["error"]
    assert find_checkpoint(run.path) == run.best
    train(resume=run.id)
    assert run.state == "finished"
    whole = train(recipe)
    assert untimed(run.history()) == untimed(whole.history())
    assert untimed(run.steps()) == untimed(whole.steps())
    with np.load(run.last / "variables.npz") as ours, np.load(whole.last / "variables.npz") as theirs:
        assert all(np.array_equal(ours[name], theirs[name]) for name in theirs.files)


def test_sigterm_saves_where_it_was(home: Path, tiny: dict[str, Any]) -> None:
    with trainer_of(Recipe(**{**tiny, "epochs": 200})) as run:
        wait(lambda: len(run.steps()) >= 3)
        os.kill(run.status()["pid"], signal.SIGTERM)
        wait(lambda: not run.locked())
    assert run.state == "interrupted"
    position = json.loads((run.last / "position.json").read_text())
    rows = run.steps()
    assert (position["epoch"] + 1, position["step"]) == (rows[-1]["epoch"], rows[-1]["step"]) or position["step"] == 0
    assert leftovers(run.path) == []


def test_a_run_that_fails_says_why_and_starts_over_cleanly(home: Path, tiny: dict[str, Any]) -> None:
    """It failed before anything was saved, so that it begins again, without the rows of the first attempt."""
    run = Run.create(Recipe(**tiny), home / "failed")
    with pytest.raises(RuntimeError):
        train(Recipe(**tiny), run_dir=run.path, reporter=At(3, fail))
    assert run.state == "failed"
    assert run.status()["error"] == "RuntimeError: the power went out"
    train(resume=run)
    assert [(row["epoch"], row["step"]) for row in run.steps()] == [(e, s) for e in range(1, 6) for s in range(1, 5)]


@pytest.mark.parametrize("name", ["variables.npz", pytest.param("position.json", marks=pytest.mark.slow)])
def test_damaged_state_gives_way_to_the_one_before(home: Path, tiny: dict[str, Any], tiny_run: Run, name: str) -> None:
    """The state at the end of the first epoch, when the one after its next step is damaged; then both are."""
    run = Run.create(Recipe(**tiny), home / "damaged")
    train(Recipe(**tiny), run_dir=run.path, reporter=At(5, lambda: run.request("pause")))
    damaged = run.last / name
    whole = damaged.read_bytes()
    before = run.path / ".last.previous" / name
    for content in (whole[: len(whole) // 2], b"", b"PK\x03\x04 and no more", b"text"):
        damaged.write_bytes(content)
        kept = before.read_bytes()
        before.write_bytes(content)
        run.write_status(state="paused")
        with pytest.raises(UserError, match="cannot be resumed from") as caught:
            train(resume=run)
        assert "\n" not in str(caught.value)
        before.write_bytes(kept)
    assert run.state == "failed"
    train(resume=run)
    assert run.state == "finished"
    assert "going on from the state before it" in run.log()
    assert run.history()[0]["val_loss"] == pytest.approx(tiny_run.history()[0]["val_loss"], rel=1e-3)
    assert [(row["epoch"], row["step"]) for row in run.steps()] == [(e, s) for e in range(1, 6) for s in range(1, 5)]


def test_a_swap_that_was_cut_off_loses_nothing(home: Path, tiny: dict[str, Any]) -> None:
    """A process that dies between the two renames leaves the old folder under another name."""
    run = Run.create(Recipe(**tiny), home / "cut")
    train(Recipe(**tiny), run_dir=run.path, reporter=At(5, lambda: run.request("pause")))
    for folder in (run.last, run.best):
        aside = folder.with_name(f".{folder.name}.previous")
        shutil.rmtree(aside, ignore_errors=True)
        folder.rename(aside)
    assert find_checkpoint(run.path).parent == run.path
    began = len(run.steps())
    seen: list[int] = []

    class First(Reporter):
        def step(self, row: dict[str, Any], steps: int) -> None:
            seen.append(row["epoch"] * 100 + row["step"])

    train(resume=run, reporter=First())
    assert len(seen) == 20 - began, "it went on where it was"


def test_only_one_process_trains_a_run(home: Path, tiny: dict[str, Any], tiny_run: Run) -> None:
    recipe = Recipe(**tiny)
    run = Run.create(recipe, home / "mine")
    with run.lock():
        assert run.locked()
        with pytest.raises(UserError, match="already being trained"):
            train(recipe, run_dir=run.path)
        run.write_status(state="running")
        with pytest.raises(UserError, match="stop it first"):
            run.delete()
    assert run.state == "interrupted", "nobody holds the lock any more"
    with pytest.raises(UserError, match="holds a run already"):
        train(recipe, run_dir=tiny_run.path)
    with pytest.raises(UserError, match="is finished"):
        train(resume=tiny_run)
    with pytest.raises(UserError, match="nothing to stop"):
        tiny_run.request("stop")
    assert tiny_run.state == "finished"


def test_a_folder_that_is_not_empty_is_left_alone(home: Path, tmp_path: Path, tiny: dict[str, Any]) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="not empty"):
        train(Recipe(**tiny), run_dir=tmp_path / "mine")
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="file"):
        train(Recipe(**tiny), run_dir=tmp_path / "file")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_a_folder_with_a_recipe_alone_is_no_run(home: Path, tmp_path: Path) -> None:
    """Somebody's own folder, which `runs delete` must never remove."""
    (tmp_path / "mine").mkdir()
    Recipe().save(tmp_path / "mine" / "recipe.json")
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="no run"):
        find_run(tmp_path / "mine")


def test_a_loss_that_is_no_number_ends_the_run(
    home: Path, tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = training_step.loss_of_heads
    monkeypatch.setattr(training_step, "loss_of_heads", lambda *given: right(*given) * float("nan"))
    with pytest.raises(UserError, match=r"the loss is nan at epoch 1, step 1.*learning_rate") as caught:
        train(Recipe(**tiny))
    run = list_runs()[0]
    assert run.state == "failed"
    assert run.status()["error"] == str(caught.value)
    assert not run.best.exists()


def test_weights_that_are_no_numbers_are_never_the_best(
    home: Path, tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last update of an epoch may ruin the weights without any training loss to tell it."""
    calls = []

    def spoiled(step: Any, *given: Any, **named: Any) -> Any:
        calls.append(1)
        for variable in step.model.trainable_variables:
            variable.assign(np.full(variable.shape, np.nan, np.float32))
        return validate(step, *given, **named)

    validate = trainer.validate
    monkeypatch.setattr(trainer, "validate", spoiled)
    with pytest.raises(UserError, match="loss is nan"):
        train(Recipe(**tiny))
    assert calls
    assert not list_runs()[0].best.exists()


def test_class_weights_must_fit_the_classes(home: Path, tiny: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="class_weights has 2 weights, but toy-pets has 3 classes"):
        train(Recipe(**tiny, class_weights=(1, 2)))
    assert list_runs() == [], "a recipe that cannot train leaves no run behind"


@pytest.mark.parametrize(
    "fields",
    [
        {"precision": "bfloat16"},
        {"optimizer": "adamw", "schedule": "constant", "augment": "none"},
        {"optimizer": "sgd", "loss": "dice", "class_weights": (1, 2, 3), "batch_size": 100},
    ],
    ids=str,
)
def test_other_recipes_train_too(home: Path, tiny: dict[str, Any], fields: dict[str, Any]) -> None:
    run = train(Recipe(**{**tiny, "epochs": 1, **fields}))
    with (run.path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 1
    assert 0 < float(rows[0]["val_pixel_accuracy"]) < 1
    assert np.isfinite(float(rows[0]["val_loss"]))


def test_a_damaged_status_is_an_interrupted_run(home: Path, tiny: dict[str, Any]) -> None:
    run = Run.create(Recipe(**tiny))
    for content in ("", "{", "[]", "{}", "null"):
        (run.path / "status.json").write_text(content)
        assert run.state == "interrupted", content


def test_what_was_asked_of_an_earlier_trainer_does_not_end_a_resumed_run(home: Path, tiny: dict[str, Any]) -> None:
    run = Run.create(Recipe(**tiny))
    run.write_status(state="interrupted")
    (run.path / "request.json").write_text('{"request": "stop"}')
    assert train(resume=run).state == "finished"
