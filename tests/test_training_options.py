"""What a recipe may ask of a training beyond the plain loop, each against what it means."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segmodels.data.class_weights import suggested_weights
from segmodels.data.prepare import load_data, prepare
from segmodels.errors import UserError
from segmodels.evaluation.evaluate import evaluate
from segmodels.hub.checkpoint import load_checkpoint
from segmodels.recipe import Recipe
from segmodels.training.averages import Averages
from segmodels.training.losses import make_loss
from segmodels.training.memory import fitting_batch_size, training_bytes
from segmodels.training.networks import build_networks, freeze
from segmodels.training.reporter import Reporter
from segmodels.training.runs import Run
from segmodels.training.settle import count_pixels
from segmodels.training.step import make_step
from segmodels.training.train import train
from tests.conftest import ROOT


def pictures(count: int, size: int = 32, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    return images, generator.integers(0, 3, (count, size, size), dtype=np.uint8)


def values(model: Any) -> list[np.ndarray]:
    return [np.array(variable) for variable in model.variables]


def test_a_frozen_backbone_stays_to_the_bit_and_then_learns(home: Path, weights_folder: Path) -> None:
    """Its BatchNorm statistics too, which training would else move."""
    recipe = Recipe(data="toy-pets", backbone="mobilenetv2", image_size=32, limit=16, epochs=2, freeze_epochs=1)
    seen: list[list[np.ndarray]] = []

    class Epochs(Reporter):
        def epoch(self, row: dict[str, Any], epochs: int) -> None:
            with np.load(run.last / "variables.npz") as stored:
                seen.append([stored[f"v{i:04d}"] for i in range(count)])

    data = load_data("toy-pets", split="train", image_size=32, limit=16)
    whole = build_networks(recipe, data)[1]
    start, count = values(whole), len(whole.variables)
    inside = {id(v) for v in whole.get_layer("backbone").variables}
    of_backbone = [id(v) in inside for v in whole.variables]
    run = Run.create(recipe)
    train(recipe, run_dir=run.path, reporter=Epochs())
    frozen, learned = seen
    for before, after, part in zip(start, frozen, of_backbone, strict=True):
        assert not part or np.array_equal(before, after)
    assert not all(np.array_equal(a, b) for a, b, part in zip(start, frozen, of_backbone, strict=True) if not part)
    moved = [not np.array_equal(a, b) for a, b, part in zip(frozen, learned, of_backbone, strict=True) if part]
    assert np.mean(moved) > 0.95
    rates = [row["learning_rate"] for row in run.steps()]
    assert max(rates[2:]) == pytest.approx(0.1 * max(rates[:2])), "a tenth of the rate once it is unfrozen"


def test_frozen_statistics_are_those_that_normalise() -> None:
    """A frozen BatchNorm normalises by what it learned, not by the batch: so the answer to one picture does not change
    with its neighbours."""
    recipe = Recipe(data="toy-pets", backbone="mobilenetv2", weights="none", image_size=32)
    model = build_networks(recipe, load_data("toy-pets", split="train", image_size=32, limit=4))[0]
    freeze(model, True)
    images, _ = pictures(4)
    backbone = model.get_layer("backbone")
    alone, among = (np.array(backbone(batch.astype("float32"), training=True)[2][:1]) for batch in (images[:1], images))
    np.testing.assert_allclose(alone, among, atol=1e-5)
    freeze(model, False)
    assert not np.allclose(np.array(backbone(images[:1].astype("float32"), training=True)[2]), alone, atol=1e-3)


@pytest.mark.parametrize("accumulation", [1, 2])
def test_the_mean_of_the_weights_is_that_of_its_formula(accumulation: int) -> None:
    recipe = Recipe(data="toy-pets", options={"width": 4, "depth": 2}, optimizer="sgd", accumulation=accumulation)
    model = build_networks(recipe, load_data("toy-pets", split="train", image_size=32, limit=4))[0]
    averages = Averages(model, 0.9, accumulation)
    step, (images, masks) = make_step(model, make_loss(recipe.loss), recipe, averages=averages), pictures(4)
    means = [np.array(v) for v in averages.averaged]
    for number in range(1, 7):
        step.train(images, masks, (), 0.05)
        updates = number // accumulation
        decay = min(0.9, (1 + updates) / (10 + updates)) ** (1 / accumulation)
        means = [decay * m + (1 - decay) * np.array(v) for m, v in zip(means, averages.averaged, strict=True)]
    for mean, expected in zip(averages.means, means, strict=True):
        np.testing.assert_allclose(np.array(mean), expected, atol=1e-6)
    weights = values(model)
    with step.averaged():
        inside = [np.array(v) for v in averages.averaged]
    assert all(np.array_equal(a, np.array(m)) for a, m in zip(inside, averages.means, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(weights, values(model), strict=True)), "and back again"


def test_the_best_checkpoint_holds_the_mean(home: Path, tiny: dict[str, Any]) -> None:
    run = train(Recipe(**{**tiny, "epochs": 2, "ema": 0.5}))
    model, _ = load_checkpoint(run.best)
    with np.load(run.last / "variables.npz") as stored:
        weights = [stored[f"v{i:04d}"] for i in range(len(model.variables))]
    assert not any(np.array_equal(a, b) for a, b in zip(weights, values(model), strict=True) if a.size > 10)
    best = run.history()[run.status()["best"]["epoch"] - 1]
    report = evaluate(run.best, split="validation", at="model")
    assert report["mean_iou"] == pytest.approx(best["val_mean_iou"], abs=2e-4)


def test_two_small_batches_are_one_large() -> None:
    """Without BatchNorm, and where no pixel is ignored, to the last digits of float32."""
    found = []
    for accumulation, parts in ((1, 1), (2, 2)):
        how = {"optimizer": "sgd", "loss": "cross_entropy", "accumulation": accumulation}
        recipe = Recipe(data="toy-pets", options={"width": 4, "depth": 2, "norm": "none"}, **how)
        model = build_networks(recipe, load_data("toy-pets", split="train", image_size=32, limit=4))[0]
        step, (images, masks) = make_step(model, make_loss(recipe.loss), recipe), pictures(8)
        for _ in range(3):
            for part in range(parts):
                chosen = slice(part * 8 // parts, (part + 1) * 8 // parts)
                step.train(images[chosen], masks[chosen], (), 0.1)
        step.store()
        found.append(values(model))
    assert len(found[0]) > 10
    for one, two in zip(*found, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)


def test_weights_of_the_classes_come_from_the_masks(home: Path, tiny: dict[str, Any]) -> None:
    run = train(Recipe(**{**tiny, "epochs": 1, "class_weights": "median frequency"}))
    data = prepare(run.recipe.dataset(), "train", 32, limit=run.recipe.limit)
    pixels = np.array([[(data[i][1] == c).sum() for c in range(3)] for i in range(len(data))])
    assert np.array_equal(count_pixels(data, 3), pixels)
    settled = json.loads((run.path / "settled.json").read_text())
    assert settled["class_weights"] == pytest.approx(suggested_weights(pixels, "median frequency"), abs=1e-6)
    spec = json.loads((run.best / "segmodels.json").read_text())
    assert spec["recipe"]["class_weights"] == settled["class_weights"]
    report = evaluate(run.id, split="validation", at="model")
    assert report["loss"] == pytest.approx(run.history()[0]["val_loss"], rel=0.02)


def test_a_run_without_progress_ends_early(home: Path, tiny: dict[str, Any]) -> None:
    """At a rate at which nothing is learned, the first epoch stays the best or nearly."""
    fields = {**tiny, "epochs": 30, "learning_rate": 1e-9, "early_stopping": 2}
    run = train(Recipe(**fields))
    best = run.status()["best"]["epoch"]
    assert run.state == "finished"
    assert len(run.history()) == best + 2 < 30
    assert "no better mean IoU in 2 epochs" in run.log()


def test_a_run_that_ended_early_is_not_taken_further(home: Path, tiny: dict[str, Any]) -> None:
    """Killed between its last epoch and its end, it ends there when it is resumed."""
    recipe = Recipe(**{**tiny, "epochs": 30, "learning_rate": 1e-9, "early_stopping": 2})
    run = train(recipe)
    epochs = len(run.history())
    run.write_status(state="interrupted")
    train(resume=run)
    assert run.state == "finished"
    assert len(run.history()) == epochs < 30


def test_steps_too_few_for_one_update_are_refused(home: Path, tiny: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="accumulation=64: the run has 4 steps"):
        train(Recipe(**{**tiny, "epochs": 1, "accumulation": 64}))


def test_a_damaged_settlement_is_said(home: Path, tiny: dict[str, Any]) -> None:
    recipe = Recipe(**{**tiny, "batch_size": "auto"})
    run = Run.create(recipe)
    for content in ("{}", "{", '{"batch_size": "auto", "precision": "float32"}', '{"batch_size": 0}'):
        (run.path / "settled.json").write_text(content)
        with pytest.raises(UserError, match="is damaged: delete it"):
            train(recipe, run_dir=run.path)
        run.write_status(state="queued")


def test_a_plateau_lowers_the_rate_of_the_next_epoch(home: Path, tiny: dict[str, Any]) -> None:
    fields = {**tiny, "epochs": 4, "learning_rate": 1e-9, "schedule": "plateau", "plateau_patience": 1}
    run = train(Recipe(**fields, warm_up_epochs=0))
    rows, expected, best = run.history(), [], float("inf")
    rate = 1e-9
    for row in rows:
        expected.append(rate)
        rate, best = (rate, row["val_loss"]) if row["val_loss"] < best else (rate / 2, best)
    assert [row["learning_rate"] for row in rows] == pytest.approx(expected)


@pytest.mark.parametrize(
    "fields",
    [
        {"architecture": "unet++", "options": {"widths": (4, 8, 8), "deep_supervision": True}},
        pytest.param({"architecture": "pspnet", "backbone": "mobilenetv2", "weights": "none"}, marks=pytest.mark.slow),
    ],
    ids=lambda fields: fields["architecture"],
)
def test_auxiliary_heads_train_and_are_left_behind(home: Path, fields: dict[str, Any]) -> None:
    """Their weights change, and the checkpoint is that of the network without them."""
    recipe = Recipe(data="toy-pets", image_size=32, limit=16, epochs=1, **fields)
    data = load_data("toy-pets", split="train", image_size=32, limit=16)
    model, whole = build_networks(recipe, data)
    assert model is not whole
    step, (images, masks) = make_step(whole, make_loss(recipe.loss), recipe), pictures(4)
    before = values(whole)
    loss = float(step.train(images, masks, (), 1e-3).loss)
    step.store()
    assert all(not np.array_equal(a, b) for a, b in zip(before, values(whole), strict=True) if a.size > 20)

    model, whole = build_networks(recipe, data)
    from segmodels.models.batch_norm_tensorflow import fused_batch_norm

    with fused_batch_norm():
        outputs = whole(images, training=True)
    each = [float(make_loss(recipe.loss)(masks, head)) for head in outputs["auxiliary"]]
    main = float(make_loss(recipe.loss)(masks, outputs["logits"]))
    expected = np.mean(each) if recipe.architecture == "unet++" else main + 0.4 * sum(each)
    assert loss == pytest.approx(expected, rel=0.02 if recipe.architecture == "pspnet" else 1e-4)  # dropout

    run = train(recipe)
    kept, _ = load_checkpoint(run.best)
    assert kept.count_params() <= whole.count_params()
    report = evaluate(run.best, split="validation", at="model")
    assert report["mean_iou"] == pytest.approx(run.history()[0]["val_mean_iou"], abs=2e-3)


def test_the_batch_is_the_largest_that_fits() -> None:
    recipe = Recipe(data="toy-pets", backbone="mobilenetv2", image_size=256)
    sizes = [2**30, 3 * 2**30, 8 * 2**30, 2**40]
    batches = [fitting_batch_size(recipe, 3, available=size) for size in sizes]
    assert batches[0] == 1
    assert batches[-1] == 32
    assert batches == sorted(batches)
    once, each = training_bytes(recipe, 3)
    for size, batch in zip(sizes[1:], batches[1:], strict=True):
        assert once + each * batch <= 0.8 * size
        assert batch == 32 or once + each * 2 * batch > 0.8 * size


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "backbone", "options"),
    [("unet", "mobilenetv2", {}), ("deeplabv3", "mobilenetv2", {"output_stride": 8}), ("segformer", "mit-b0", {})],
)
def test_a_training_stays_below_the_estimate(
    architecture: str, backbone: str, options: dict[str, Any], home: Path
) -> None:
    """The most that its process ever held, to what is said to be enough for it: never more, and over half of it."""
    network = {"architecture": architecture, "backbone": backbone, "weights": "none", "options": options}
    recipe = Recipe(data="toy-pets", **network, image_size=384, limit=16, epochs=1)
    program = (
        "import resource, sys; import segmodels\n"
        "segmodels.train(segmodels.Recipe.load(sys.argv[1]))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)"
    )
    recipe.save(home / "recipe.json")
    command = [sys.executable, "-c", program, str(home / "recipe.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    once, each = training_bytes(recipe, 3)
    assert 0.5 < int(done.stdout.split()[-1]) / (once + 8 * each) < 1


def test_the_batch_that_was_found_stays(home: Path, tiny: dict[str, Any]) -> None:
    run = train(Recipe(**{**tiny, "epochs": 1, "batch_size": "auto"}))
    settled = json.loads((run.path / "settled.json").read_text())
    assert settled == {"precision": "float32", "batch_size": 32}
    assert run.status()["batch_size"] == 32
