"""Training from teachers: the loss, what they answer, what a network becomes by them, and what is told of it."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segmodels.cli import parser
from segmodels.cli_recipes import recipe_of
from segmodels.data.images import resize_image
from segmodels.data.loader import in_order
from segmodels.errors import UserError
from segmodels.files import read_json, write_json
from segmodels.hub.card import card
from segmodels.hub.checkpoint import WEIGHTS, load_checkpoint, read_spec, write_checkpoint
from segmodels.hub.finished.fingerprint import fingerprint
from segmodels.hub.lineage import MOST_OTHERS, TEACHERS, others_of
from segmodels.recipe import Recipe
from segmodels.training.estimate import estimate
from segmodels.training.losses import cross_entropy
from segmodels.training.losses.distillation import distillation
from segmodels.training.preflight import check
from segmodels.training.rate_test import rate_test
from segmodels.training.runs import Run
from segmodels.training.start import make_run
from segmodels.training.teachers import Teachers
from segmodels.training.train import train
from segmodels.training.training_set import training_set
from tests.test_changes import Notes
from tests.test_train import At, fail


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits.astype(np.float64))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def example() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What teachers say, masks with ignored pixels, and logits."""
    rng = np.random.default_rng(3)
    taught = softmax(rng.normal(0, 2, (2, 5, 4, 3))).astype(np.float32)
    masks = rng.integers(0, 3, (2, 5, 4)).astype(np.uint8)
    masks[rng.random(masks.shape) < 0.3] = 255
    return taught, masks, rng.normal(0, 2, (2, 5, 4, 3)).astype(np.float32)


@pytest.mark.parametrize("weights", [None, (1.0, 2.0, 0.5)])
def test_the_loss_agrees_with_a_slow_loop(weights: tuple[float, ...] | None) -> None:
    taught, masks, logits = example()
    each, counts = [], []
    for place in zip(*np.nonzero(masks != 255), strict=True):
        counted = taught[place] * np.asarray(weights or (1, 1, 1))
        counts.append(counted.sum())
        wanted, found = counted / counted.sum(), softmax(logits[place])
        each.append(sum(p * (np.log(p) - np.log(q)) for p, q in zip(wanted, found, strict=True)))
    expected = np.average(each, weights=counts)
    assert float(distillation(taught, masks, logits, weights)) == pytest.approx(expected, rel=1e-5)
    assert float(distillation(taught, masks, np.log(taught))) == pytest.approx(0, abs=1e-6), "the same answer"
    nothing = np.full_like(masks, 255)
    assert float(distillation(taught, nothing, logits, weights)) == 0


@pytest.mark.parametrize("weights", [None, (1.0, 2.0, 0.5)])
def test_where_teachers_are_sure_it_is_the_cross_entropy(weights: tuple[float, ...] | None) -> None:
    _, masks, logits = example()
    sure = np.eye(3, dtype=np.float32)[np.where(masks == 255, 0, masks)]
    found = float(distillation(sure, masks, logits, weights))
    assert found == pytest.approx(float(cross_entropy(masks, logits, weights)), rel=1e-5)


def test_what_they_say_is_the_mean_of_their_probabilities(tiny_run: Run, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    places = [tiny_run.snapshot(2), tiny_run.best]
    each = [softmax(np.asarray(load_checkpoint(place)[0](images))) for place in places]
    assert np.abs(each[0] - each[1]).max() > 0.05
    found = Teachers(places)(images)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, (each[0] + each[1]) / 2, atol=1e-4)


def test_a_teacher_of_whole_pictures_sees_them_at_its_own_size(tiny_run: Run, home: Path) -> None:
    """At 32 pixels it was trained: what it says of pictures of 64 is what it says of them at 32."""
    recipe = Recipe(**{**tiny_run.recipe.model_dump(), "image_size": 64})
    learned = training_set(recipe, recipe.dataset(), lambda *_: None)
    images, masks, _ = next(in_order(learned.data, 8))
    found = Teachers([tiny_run.best])(images)
    assert found.shape == (8, 64, 64, 3)
    right = (found.argmax(-1) == masks).mean()
    unsized = softmax(np.asarray(load_checkpoint(tiny_run.best)[0](images)))
    assert right > (unsized.argmax(-1) == masks).mean() + 0.02
    small = images.reshape(8, 32, 2, 32, 2, 3).mean((2, 4))
    said = softmax(np.asarray(load_checkpoint(tiny_run.best)[0](small)))
    assert np.abs(found.reshape(8, 32, 2, 32, 2, 3).mean((2, 4)) - said).mean() < 0.05


@pytest.fixture(scope="module")
def stubborn(tiny_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that calls everything the third class, whatever the picture."""
    model, spec = load_checkpoint(tiny_run.best)
    kernel, bias = model.trainable_weights[-2:]
    kernel.assign(np.zeros(kernel.shape))
    bias.assign([0, 0, 8])
    folder = tmp_path_factory.mktemp("stubborn") / "teacher"
    folder.mkdir()
    write_checkpoint(folder, model, spec)
    return folder


def of_third(run: Run) -> float:
    """The share of validation pixels that a run's network calls the third class after its last epoch."""
    dataset = run.recipe.dataset()
    pictures = [resize_image(dataset.read_image(sample), 32, 32) for sample in dataset.samples("validation")[:16]]
    logits = load_checkpoint(run.snapshot(run.recipe.epochs))[0](np.stack(pictures))
    return float((np.asarray(logits).argmax(-1) == 2).mean())


def test_a_network_becomes_as_its_teachers(stubborn: Path, home: Path, tiny: dict[str, Any]) -> None:
    """As much as their weight says: at 1 the masks say nothing."""
    own, half, all_of_it = (
        train(Recipe(**{**tiny, "snapshots": 1}, **fields), run_dir=home / "runs" / name)
        for name, fields in {
            "own": {},
            "half": {"teachers": str(stubborn), "teacher_weight": 0.5},
            "all": {"teachers": (str(stubborn),), "teacher_weight": 1},
        }.items()
    )
    assert of_third(own) < 0.3
    assert of_third(all_of_it) > 0.99
    assert all_of_it.recipe.teacher_weight == 1
    assert half.history()[-1]["loss"] != own.history()[-1]["loss"]
    assert float(all_of_it.history()[-1]["loss"]) < float(all_of_it.history()[0]["loss"]) < 8
    assert float(all_of_it.history()[-1]["val_loss"]) > 1, "validation is by the masks"


def test_a_run_has_its_teachers_from_when_it_is_made(stubborn: Path, home: Path, tiny: dict[str, Any]) -> None:
    """Whatever becomes of them, and of its own trainer before it has saved anything."""
    shutil.copytree(stubborn, home / "teacher")
    fields = {**tiny, "snapshots": 1, "teachers": "teacher", "teacher_weight": 1}
    waits, killed = (make_run(Recipe(**fields), home / "runs" / name) for name in ("waits", "killed"))
    assert (waits.path / "teachers" / "0" / WEIGHTS).stat().st_nlink > 1, "another name, no copy"
    with pytest.raises(RuntimeError):
        train(killed.recipe, run_dir=killed.path, reporter=At(3, fail))
    shutil.rmtree(home / "teacher")
    assert of_third(train(waits.recipe, run_dir=waits.path)) > 0.99
    assert of_third(train(resume=killed)) > 0.99
    with pytest.raises(UserError, match="neither a checkpoint"):
        make_run(Recipe(**fields), home / "runs" / "late")
    assert not (home / "runs" / "late").exists()


def test_the_rate_test_and_the_estimate_are_of_such_a_training(
    stubborn: Path, home: Path, tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(**tiny, teachers=str(stubborn), teacher_weight=1)
    alone = rate_test(Recipe(**tiny), steps=20)["losses"][0]
    assert abs(rate_test(recipe, steps=20)["losses"][0] - alone) > 0.5
    answered: list[int] = []
    call: Callable = Teachers.__call__
    monkeypatch.setattr(Teachers, "__call__", lambda self, images: answered.append(1) or call(self, images))
    estimate(recipe, steps=2)
    assert len(answered) >= 3


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"teachers": "nothing-here"}, "neither a checkpoint directory nor a run"),
        ({"sampling": "tiles"}, "teachers: .*sampling=resize, but the recipe has sampling=tiles"),
        ({"data": "toy-nuclei"}, "teachers: the classes of .* are pet, background, border, but those of toy-nuclei"),
    ],
)
def test_what_cannot_teach_is_refused_at_once(
    fields: dict[str, Any], words: str, tiny_run: Run, home: Path, tiny: dict[str, Any]
) -> None:
    with pytest.raises(UserError, match=words):
        check(Recipe(**{"sampling": "resize", **tiny, "teachers": str(tiny_run.path), **fields}))


def test_known_validation_pictures_are_told(tiny_run: Run, home: Path, tiny: dict[str, Any], tmp_path: Path) -> None:
    splits = read_json(tiny_run.path / "split.json")["splits"]
    seen = {**splits, "train": splits["train"][4:] + splits["validation"], "validation": splits["train"][:4]}
    write_json(tmp_path / "other.json", {"splits": seen})
    fields = {**tiny, "epochs": 1, "snapshots": 0, "split_file": str(tmp_path / "other.json")}
    told = Notes()
    train(Recipe(**fields, teachers=str(tiny_run.path)), reporter=told)
    said = f"4 of the validation pictures were trained on by {tiny_run.path}"
    assert [line.startswith(said) for line in told.said].count(True) == 1


def test_the_digest_of_a_training_is_of_what_its_teachers_know(tiny_run: Run, tmp_path: Path, tiny: Any) -> None:
    for name in ("one", "same", "other"):
        shutil.copytree(tiny_run.snapshot(2) if name == "other" else tiny_run.best, tmp_path / name)
    one, same, other = (fingerprint(Recipe(**tiny, teachers=str(tmp_path / n))) for n in ("one", "same", "other"))
    assert one == same != other
    assert fingerprint(Recipe(**tiny)) not in (one, other)
    assert fingerprint(Recipe(**tiny, teachers=str(tmp_path / "one"), teacher_weight=0.9)) != one


def test_the_card_says_how_it_was_taught(tiny_run: Run, stubborn: Path, home: Path, tiny: dict[str, Any]) -> None:
    shutil.copytree(tiny_run.path, home / "runs" / "wise one")
    train(Recipe(**{**tiny, "epochs": 1}, start_from=str(home / "runs" / "wise one")), run_dir=home / "runs" / "fork")
    recipe = Recipe(**{**tiny, "epochs": 1}, teachers=("fork@1", str(stubborn)), teacher_weight=0.25)
    run = train(recipe, run_dir=home / "runs" / "taught")
    spec = read_spec(run.best)
    assert (spec.recipe["teachers"], spec.recipe["teacher_weight"]) == (None, None), "they are names of this machine"
    text = (run.best / "README.md").read_text()
    assert str(home) not in text
    commands = [shlex.split(line)[3:] for line in re.findall(r"^python -m segmodels train .*$", text, re.MULTILINE)]
    last, first, second, third = (recipe_of(parser().parse_args(words)) for words in commands)
    assert (last.teachers, last.teacher_weight) == (("fork@1", "teacher"), 0.25)
    places = [words[words.index("--run-dir") + 1] for words in commands[1:]]
    assert places == ["fork-1", "fork", "teacher"]
    assert (first.start_from, second.start_from, third.start_from) == (None, "fork-1", None)
    assert (first.epochs, second.epochs, first.teachers) == (5, 1, None)


@pytest.mark.parametrize(
    "told",
    [
        4, "a", [4], [{"name": "a"}], [{"name": 4, "recipes": []}], [{"name": "a", "recipes": 4}],
        [{"name": "a", "recipes": [4]}], {"name": "a", "recipes": []},
    ],
    ids=str,
)  # fmt: skip
def test_a_strangers_word_on_teachers_is_left_out(told: Any, tiny_run: Run) -> None:
    assert others_of({"teachers": told}, TEACHERS) == []
    text = card(read_spec(tiny_run.best), {"teachers": told}, [])
    assert "arXiv:1503.02531" not in text
    assert "--teachers" not in text


def test_a_strangers_teacher_is_a_name_and_no_more(tiny_run: Run) -> None:
    name = "x`\n```\n<script>alert(1)</script>; rm -rf /"
    told = [{"name": name, "recipes": [tiny_run.recipe.model_dump(mode="json"), {"data": name}]}] * 20
    assert len(others_of({"teachers": told}, TEACHERS)) == MOST_OTHERS
    text = card(read_spec(tiny_run.best), {"teachers": told, "teacher_weight": "`1`"}, [])
    assert text.count("\n```") % 2 == 0
    assert not re.search(r"^<script|^rm |; rm -rf /$", re.sub(r"'[^'\n]*'|`[^`\n]*`", "", text), re.MULTILINE)
