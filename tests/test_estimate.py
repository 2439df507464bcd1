"""What a training costs before it starts: against real runs and prepared data; and who asks for it."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segmodels import worker
from segmodels.cli import main
from segmodels.data.dataset import ClassLabel, Dataset, Sample
from segmodels.data.datasets import open_dataset
from segmodels.data.prepare import prepare
from segmodels.data.tiles import Tiling
from segmodels.durations import duration
from segmodels.errors import UserError
from segmodels.named_recipes import NAMED_RECIPES, named_recipe
from segmodels.recipe import Recipe
from segmodels.training import estimate as module
from segmodels.training import queue, unprepared
from segmodels.training.estimate import estimate
from segmodels.training.estimate_text import estimate_text
from segmodels.training.recipe_times import times_here
from segmodels.training.runs import Run
from segmodels.training.unprepared import Unprepared

#: A network whose steps take longer than what else an epoch does.
SMALL: dict[str, Any] = {
    "data": "toy-pets", "options": {"width": 8, "depth": 3}, "image_size": 64, "limit": 100, "epochs": 2,
}  # fmt: skip
#: What is measured, where the measuring itself is not the question.
FOUND = dict(zip(module.TIMES, (10**9, 5.0, 0.25, 0.1, 107.0, 1000.0), strict=True))


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Recipe]:
    """Nothing is measured; the recipes that would have been."""
    found: list[Recipe] = []
    monkeypatch.setattr(module, "_measured", lambda recipe, *_: found.append(recipe) or FOUND)
    return found


# The figures.


def test_an_estimate_is_what_the_run_then_takes(home: Path) -> None:
    from segmodels.models.build import build
    from segmodels.training.train import train

    recipe = Recipe(**SMALL)
    found = estimate(recipe)
    assert not (home / "prepared").exists()
    assert not (home / "runs").exists()
    assert json.loads(json.dumps(found)) == found
    run = train(recipe)
    status, history = run.status(), run.history()
    for name in ("steps_per_epoch", "images", "validation_images", "batch_size", "precision", "device"):
        assert found[name] == status[name], name
    assert (found["images"], found["steps_per_epoch"]) == (100, 12), "the last four are left out"
    model = build("unet", classes=3, backbone="none", width=8, depth=3)
    trainable = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert found["parameters"] == {"total": model.count_params(), "trainable": trainable}
    assert found["parameters"]["total"] == status["parameters"]
    seconds = statistics.median(row["seconds"] for row in history[1:])
    assert seconds / 3 < found["epoch_seconds"] < seconds * 3
    assert found["total_seconds"] == pytest.approx(found["compile_seconds"] + 2 * found["epoch_seconds"])
    batches = 12 * found["step_seconds"] + 5 * found["validation_step_seconds"]
    assert found["epoch_seconds"] == pytest.approx(batches)
    assert found["fits"]
    assert found["alone"]
    assert 100e6 < found["peak_bytes"] < 8e9
    assert 500e6 < found["training_bytes_estimate"] < found["memory_available"]


def test_whatever_a_step_is_made_of_is_measured(home: Path, tiny: dict[str, Any]) -> None:
    recipe = Recipe(
        **{**tiny, "loss": "dice+0.01*boundary+border_cross_entropy", "ema": 0.9, "accumulation": 2},
        class_weights="median frequency",
    )
    found = estimate(recipe, steps=2)
    assert 0 < found["step_seconds"] < 5
    assert found["validation_step_seconds"] > 0


def test_what_a_recipe_leaves_open_is_settled_without_the_masks(
    home: Path, measured: list[Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Dataset, "read", lambda *_: pytest.fail("nothing is read"))
    found = estimate(Recipe(**SMALL, class_weights="inverse frequency", batch_size="auto"))
    assert measured[0].class_weights == (1.0, 1.0, 1.0)
    assert measured[0].batch_size == found["batch_size"] == 32
    assert found["steps_per_epoch"] == 3
    few = estimate(Recipe(**{**SMALL, "limit": 5}))
    assert (few["batch_size"], few["steps_per_epoch"]) == (5, 1), "as the loader has it"


def test_what_does_not_fit_is_not_tried(home: Path, measured: list[Recipe], monkeypatch: pytest.MonkeyPatch) -> None:
    from segmodels.training import memory

    recipe = Recipe(**SMALL, batch_size=64)
    once, each = memory.training_bytes(recipe, 3)
    for room, fitting in ((once + 20 * each, 8), (once + each / 2, None)):
        monkeypatch.setattr(memory, "USABLE", 1.0)
        monkeypatch.setattr(memory, "available_bytes", lambda room=room: int(room))
        found = estimate(recipe)
        assert (found["fits"], found["fitting_batch_size"]) == (False, 16 if fitting else None)
        assert found["training_bytes_estimate"] == int(once + 64 * each)
        assert [found[name] for name in module.TIMES] == [None] * len(module.TIMES)
        advice = "--batch-size 16 should fit" if fitting else "smaller --image-size"
        assert advice in estimate_text(found)
    assert measured == []


def test_running_out_of_memory_is_an_answer(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_memory(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(module, "_measured", out_of_memory)
    found = estimate(Recipe(**SMALL))
    assert (found["fits"], found["fitting_batch_size"], found["total_seconds"]) == (False, 4, None)


def test_a_run_that_has_the_device_is_noticed_and_not_waited_for(home: Path, measured: list[Recipe]) -> None:
    run = Run.create(Recipe(**SMALL))
    with run.lock(), queue.turn(run.path, ["cpu"], wanted=lambda: None, waits=lambda _: None):
        found = estimate(Recipe(**SMALL), devices="cpu")
    assert not found["alone"]
    assert "another run was training" in estimate_text(found)
    assert "another run" not in estimate_text(estimate(Recipe(**SMALL)))


# How many pictures and tiles.


class Slides(Dataset):
    """Pictures of several sizes, one of them damaged."""

    name = "slides: test"
    title = description = licence = source = "test"
    classes = (ClassLabel("background", "#000000"), ClassLabel("nucleus", "#FFFFFF"))
    shapes = ((70, 90), (20, 100), (64, 64), (10, 12), (129, 40))

    def listed(self, split: str) -> list[Sample]:
        assert self.root is not None
        files = [(self.root / f"{number}-image.png", self.root / f"{number}-mask.png") for number in range(6)]
        return [Sample(image.stem, image_path=image, mask_path=mask) for image, mask in files]


@pytest.fixture
def slides(tmp_path: Path) -> Slides:
    root = tmp_path / "slides"
    root.mkdir()
    for number, shape in enumerate(Slides.shapes):
        Image.fromarray(np.zeros((*shape, 3), np.uint8)).save(root / f"{number}-image.png")
        Image.fromarray(np.ones(shape, np.uint8)).save(root / f"{number}-mask.png")
    (root / "5-image.png").write_bytes(b"no picture")
    return Slides(root)


@pytest.mark.parametrize("tiling", [Tiling(32, 32), Tiling(32, 24, "pad"), Tiling(32, 20, "drop")])
def test_tiles_are_as_many_as_are_cut(home: Path, slides: Slides, tiling: Tiling) -> None:
    found = Unprepared(slides, "train", 32, tiling=tiling)
    assert len(found) == len(prepare(slides, "train", 32, tiling=tiling))
    assert not found.extrapolated


def test_toy_nuclei_in_tiles_are_as_many_as_are_cut(home: Path) -> None:
    recipe = Recipe(data="toy-nuclei", sampling="tiles", image_size=96, tile_stride=64, limit=4)
    dataset = recipe.dataset()
    found = Unprepared(dataset, "train", 96, tiling=recipe.tiling, limit=4)
    assert len(found) == len(prepare(dataset, "train", 96, tiling=recipe.tiling, limit=4)) == 4 * 16


def test_of_many_pictures_some_heads_are_read(slides: Slides, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Slides, "read_image", Dataset.read_image)
    looked: list[str] = []
    real = unprepared.picture_size
    monkeypatch.setattr(unprepared, "picture_size", lambda path: looked.append(path.stem) or real(path))
    monkeypatch.setattr(unprepared, "LOOKED_AT", 3)
    found = Unprepared(slides, "train", 32, tiling=Tiling(32, 32))
    assert looked == ["0-image", "2-image", "5-image"]
    # 3 x 3 and 2 x 2 tiles, and none of the damaged one: so many of three, twice as many of six.
    assert (len(found), found.extrapolated) == (26, True)
    assert Unprepared(slides, "train", 32, tiling=Tiling(32, 32, foreground=0.1)).at_most
    assert len(Unprepared(slides, "train", 32, limit=4)) == 4


def test_no_usable_picture_is_said(slides: Slides) -> None:
    assert slides.root is not None
    for path in slides.root.glob("*-image.png"):
        path.write_bytes(b"no picture")
    with pytest.raises(UserError, match="no usable picture in the train split"):
        Unprepared(slides, "train", 32, tiling=Tiling(32, 32))


def test_random_pictures_are_valid(home: Path) -> None:
    dataset = open_dataset("toy-pets")
    images, masks = Unprepared(dataset, "train", 48).read(slice(0, 3))
    assert (images.shape, images.dtype, masks.shape, masks.dtype) == ((3, 48, 48, 3), np.uint8, (3, 48, 48), np.uint8)
    assert set(np.unique(masks)) == {0, 1, 2}


# The command line.


def test_the_command_prints_a_few_lines(home: Path, measured: list[Recipe], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["estimate", "--data", "toy-pets", "--option", "width=8", "--image-size", "64"]) == 0
    text = capsys.readouterr().out
    assert "240 pictures in 30 steps of 8, 40 to validate on: about 1 min 47 s" in text
    assert "20 epochs: about 16 min 40 s" in text
    assert main(["estimate", "--data", "toy-pets", "--option", "width=8", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["epoch_seconds"] == 107


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--steps", "1"], "steps=1"),
        (["--data", "toy-pet"], "did you mean 'toy-pets'"),
        (["--data", "toy-pets", "--class-weights", "1,2"], "has 2 weights"),
        (["--data", "toy-pets", "--architecture", "unett"], "did you mean 'unet'"),
        (["--data", "toy-pets", "--devices", "99"], "devices 99"),
        (["--recipe", "pets-quik"], "did you mean 'pets-quick'"),
    ],
)
def test_mistakes_are_one_line(words: list[str], expected: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["estimate", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert expected in captured.err


def test_mistakes_are_found_before_an_engine_loads(python: Callable, home: Path) -> None:
    code = (
        "import sys\nfrom segmodels.cli import main\n"
        "print(main(['estimate', '--data', 'toy-pets', '--class-weights', '1,2']))\n"
        "import segmodels.training.recipe_times, segmodels.training.estimate_text\n"
        "print([name for name in ('tensorflow', 'keras', 'jax', 'streamlit') if name in sys.modules])"
    )
    assert python("-c", code).stdout == "2\n[]\n"


# The worker.

WORDS = ("estimate", "--data", "toy-pets")


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch, home: Path) -> Iterator[list[dict[str, Any]]]:
    """Processes that answer as `answers` says, the next one first, instead of the real ones: their environments."""
    started: list[dict[str, Any]] = []
    real = worker.subprocess.Popen

    def answering(command: list[str], **fields: Any) -> Any:
        if command[0] == "nvidia-smi":
            return real(command, **fields)
        started.append(fields["env"])
        return real(
            [command[0], "-c", "print('{\"alone\": %s}')" % ("true" if len(started) > 1 else "false")], **fields
        )

    monkeypatch.setattr(worker.subprocess, "Popen", answering)
    yield started
    worker.cancel("estimates", WORDS)
    worker.cancel("estimates", WORDS, training=True)


def answer(**how: Any) -> worker.Answer:
    for _ in range(600):
        if (found := worker.ask("estimates", WORDS, **how)).state != "running":
            return found
        time.sleep(0.02)
    raise AssertionError("no answer")


def kept(home: Path) -> int:
    return len(list((home / "cache" / "estimates").glob("*.json")))


def test_only_a_question_about_training_has_the_device(
    processes: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    answer()
    answer(training=True)
    assert [each["CUDA_VISIBLE_DEVICES"] for each in processes] == ["-1", "0"]


def test_an_answer_found_beside_a_training_is_not_kept_for_long(
    processes: list[dict[str, Any]], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [answer(training=True).document for _ in range(3)] == [{"alone": False}] * 3
    assert (len(processes), kept(home)) == (1, 0)
    monkeypatch.setattr(worker, "DISTURBED", -1.0)
    assert worker.ask("estimates", WORDS, training=True).state == "running"
    assert answer(training=True).document == {"alone": True}
    assert (len(processes), kept(home)) == (2, 1)


def test_any_other_answer_is_kept(processes: list[dict[str, Any]], home: Path) -> None:
    assert answer().document == {"alone": False}
    assert kept(home) == 1


def test_a_question_about_training_may_take_longer(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    real = worker.subprocess.Popen
    monkeypatch.setattr(
        worker.subprocess,
        "Popen",
        lambda command, **how: real([command[0], "-c", "import time; time.sleep(60)"], **how),
    )
    monkeypatch.setattr(worker, "LIMIT", 0.1)
    monkeypatch.setattr(worker, "TRAINING_LIMIT", 0.9)
    began = time.monotonic()
    assert "no answer within 1 seconds" in answer(training=True).error
    assert time.monotonic() - began > 0.8
    worker.cancel("estimates", WORDS, training=True)
    assert "no answer within 0 seconds" in answer().error
    worker.cancel("estimates", WORDS)


def test_what_an_answer_hangs_on(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "segmodels"
    for name in ("models/unet.py", "training/losses/dice.py"):
        (package / name).parent.mkdir(parents=True)
        (package / name).touch()
    monkeypatch.setattr(worker.segmodels, "__file__", str(package / "__init__.py"))

    def places() -> tuple[Path, Path]:
        return worker._place("estimates", WORDS, False), worker._place("estimates", WORDS, True)

    first = places()
    assert first == places()
    assert first[0] != first[1]
    touched(package / "training" / "losses" / "dice.py", 1)
    second = places()
    assert (second[0] == first[0], second[1] == first[1]) == (True, False)
    monkeypatch.setattr(worker, "known_devices", lambda: [])
    third = places()
    assert (third[0] == first[0], third[1] == second[1]) == (True, False)
    touched(package / "models" / "unet.py", 2)
    assert not {*places()} & {*first, *second, *third}


def touched(path: Path, minutes: int) -> None:
    then = time.time() + 60 * minutes
    os.utime(path, (then, then))


# Recipes that have a name.


def test_reference_times_are_those_of_the_figures(capsys: pytest.CaptureFixture[str]) -> None:
    measured = {name: row for name, row in NAMED_RECIPES.items() if row.measured}
    on_a_gpu = measured.pop("nuclei-gpu")  # says nothing of how long it takes on a processor
    assert on_a_gpu.seconds is None
    assert on_a_gpu.measured.endswith(" on an H100")
    assert set(measured) == {"pets-quick", "pets-best", "nuclei-best"}
    for row in measured.values():
        assert row.seconds is not None
        assert row.measured.endswith(f" in {duration(row.seconds)}")
    assert all(row.seconds is None for name, row in NAMED_RECIPES.items() if name not in measured)
    assert main(["recipes"]) == 0
    assert "mean IoU 0.791 on 253 test pictures in 16 min 25 s" in capsys.readouterr().out
    assert main(["recipes", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert (rows["nuclei-best"]["seconds"], rows["camvid"]["measured"]) == (1129, "")


def finished(recipe: Recipe, seconds: list[Any], **status: Any) -> Run:
    run = Run.create(recipe)
    run.write_status(**{"state": "finished", "started": 0, "ended": 1e9, **status})
    rows = "".join(f"{number},{value}\n" for number, value in enumerate(seconds, start=1))
    (run.path / "metrics.csv").write_text(f"epoch,seconds\n{rows}")
    return run


def test_times_here_are_medians_of_finished_runs(home: Path) -> None:
    assert times_here() == {}
    quick, best = named_recipe("pets-quick"), named_recipe("pets-best")
    for seconds in (10, 2, 3):
        finished(quick, [seconds] * 16)
    finished(quick, [100.5] * 16, state="stopped")
    finished(quick, [100.5] * 15)
    finished(quick, [100.5] * 15, epochs=15)
    changed = finished(quick, [100.5] * 16)
    (changed.path / "changes.json").write_text('[{"epoch": 3, "step": 1, "learning_rate": 0.001}]')
    finished(quick.model_copy(update={"seed": 1}), [100.5] * 16)
    finished(best, [1.5] * 7, ended_early=True)
    for wrong in ("", "nan", "inf", "-1", "x"):
        finished(quick, [100.5] * 15 + [wrong])
    assert times_here() == {"pets-quick": 48, "pets-best": 10.5}
    for name, text in (("recipe.json", "[1]"), ("recipe.json", "{"), ("status.json", "[]"), ("metrics.csv", "\0")):
        run = finished(quick, [100.5] * 16)
        (run.path / name).write_text(text)
    assert times_here() == {"pets-quick": 48, "pets-best": 10.5}


def test_a_run_older_than_a_field_counts(home: Path) -> None:
    run = finished(named_recipe("pets-quick"), [1] * 16)
    document = json.loads((run.path / "recipe.json").read_text())
    del document["xla"]
    (run.path / "recipe.json").write_text(json.dumps(document))
    assert times_here() == {"pets-quick": 16}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (107, "1 min 47 s"), (3600, "1 h 0 min"), (7530, "2 h 5 min")],
)
def test_durations_in_words(seconds: float, text: str) -> None:
    assert duration(seconds) == text
