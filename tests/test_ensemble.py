"""Several models as one: what it answers, what its files say, and what cannot be one."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segmodels.cli import main, parser
from segmodels.cli_recipes import recipe_of
from segmodels.errors import UserError
from segmodels.files import read_json
from segmodels.hub.checkpoint import SPEC, load_checkpoint, read_spec, write_checkpoint
from segmodels.hub.ensemble import ensemble
from segmodels.hub.export import export
from segmodels.models.build import build
from segmodels.prediction.predictor import Predictor
from segmodels.recipe import Recipe
from segmodels.training.runs import Run
from segmodels.training.train import train
from tests.test_app import opened
from tests.test_app_models import fine, words


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng([height, width]).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def other(tiny_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SegNet for the same pictures, as it is before any training: it unpools, and fills sides up to 32 pixels."""
    spec = read_spec(tiny_run.best)
    network = spec.architecture.model_copy(update={"name": "segnet", "backbone": "none", "options": {"width": 4}})
    folder = tmp_path_factory.mktemp("other") / "segnet"
    folder.mkdir()
    write_checkpoint(folder, build("segnet", classes=3, width=4), spec.model_copy(update={"architecture": network}))
    return folder


@pytest.fixture(scope="module")
def both(tiny_run: Run, other: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ensemble([other, tiny_run.path], tmp_path_factory.mktemp("both") / "both")


@pytest.mark.parametrize("engine", ["keras", "onnx"])
def test_its_answer_is_the_mean_of_the_probabilities(
    engine: str, tiny_run: Run, other: Path, both: Path, home: Path
) -> None:
    each = [Predictor(path, engine="keras")(picture(50, 70)).logits for path in (other, tiny_run.best)]
    exponentials = [np.exp(logits - logits.max(-1, keepdims=True)) for logits in each]
    first, second = (found / found.sum(-1, keepdims=True) for found in exponentials)
    # At the size that it sees: resizing is of logits, and a mean of logits is none of probabilities.
    small = picture(32, 32)
    images = small[None].astype(np.float32)
    logits = [np.asarray(load_checkpoint(path)[0](images))[0] for path in (other, tiny_run.best)]
    soft = [np.exp(each - each.max(-1, keepdims=True)) for each in logits]
    expected = np.mean([each / each.sum(-1, keepdims=True) for each in soft], axis=0)
    found = Predictor(both, engine=engine)(small).probabilities
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.abs(soft[0] / soft[0].sum(-1, keepdims=True) - expected).max() > 0.05
    mask = Predictor(both, engine=engine)(picture(50, 70)).mask
    assert np.mean(mask == (first + second).argmax(-1)) > 0.97


def test_it_says_what_it_is(tiny_run: Run, other: Path, both: Path) -> None:
    spec = read_spec(both)
    assert [member.described for member in spec.architecture.members] == [
        read_spec(other).architecture.described,
        read_spec(tiny_run.best).architecture.described,
    ]
    assert spec.architecture.described.startswith("ensemble (segnet, width=4; unet, width=4")
    assert spec.input == read_spec(tiny_run.best).input
    assert (both / "split.json").read_bytes() == (tiny_run.path / "split.json").read_bytes()
    text = (both / "README.md").read_text()
    assert "# Ensemble of SegNet and U-Net, trained on" in text
    assert "`segnet`" in text
    assert f"`{tiny_run.id}@{read_json(tiny_run.best / 'metrics.json')['epoch']}`" in text


def test_its_card_trains_it_again(tiny_run: Run, home: Path, tiny: dict[str, Any], tmp_path: Path) -> None:
    shutil.copytree(tiny_run.path, home / "runs" / "first")
    taught = Recipe(**{**tiny, "epochs": 1}, start_from="first", teachers="first", teacher_weight=0.75)
    train(taught, run_dir=home / "runs" / "second")
    out = tmp_path / "out"
    assert main(["ensemble", "first@5", "second", "--out", str(out)]) == 0
    text = (out / "README.md").read_text()
    commands = [shlex.split(line)[3:] for line in re.findall(r"^python -m segmodels .*$", text, re.MULTILINE)]
    *trainings, joined = [command for command in commands if command[0] in ("train", "ensemble")]
    assert joined == ["ensemble", "first", "second", "--out", "ensemble"]
    first, start, second = (recipe_of(parser().parse_args(command)) for command in trainings)
    assert [command[command.index("--run-dir") + 1] for command in trainings] == ["first", "second-1", "second"]
    assert (first.epochs, first.start_from, first.teachers) == (5, None, None)
    assert start.epochs == 5
    assert (second.start_from, second.teachers, second.teacher_weight) == ("second-1", ("first",), 0.75)
    assert main(["release", str(out), "--bits", "8", "--out", str(tmp_path / "small")]) == 0
    released = read_json(tmp_path / "small" / "metrics.json")
    assert [member["name"] for member in released["members"]] == ["first@5", "second@1"]
    assert 0 < released["test"]["mean_iou"] < 1
    assert "ensemble first second --out ensemble" in (tmp_path / "small" / "README.md").read_text()


def test_an_export_is_of_all_of_it(both: Path, tmp_path: Path, home: Path) -> None:
    found = export(both, "onnx", tmp_path / "both.onnx", size=64)
    assert (tmp_path / "both.onnx").is_file()
    assert found
    with pytest.raises(UserError, match="computes in multiples of 32 pixels: give 32 or 64"):
        export(both, "onnx", tmp_path / "odd.onnx", size=40)


def test_the_page_of_a_model_shows_its_networks(both: Path, home: Path) -> None:
    shutil.copytree(both, home / "both")
    app = fine(opened("5_Models", model="both"))
    labels = [expander.label for expander in app.expander]
    assert "The network: SegNet" in labels
    assert "The network: U-Net" in labels
    assert "SegNet + U-Net" in words(app)


def changed(source: Path, target: Path, **changes: Any) -> Path:
    shutil.copytree(source, target)
    document = read_json(target / SPEC)
    for key, value in changes.items():
        document[key] = {**document[key], **value} if isinstance(value, dict) else value
    (target / SPEC).write_text(json.dumps(document))
    return target


def test_what_is_no_ensemble(tiny_run: Run, both: Path, tmp_path: Path) -> None:
    classes = [{"name": name, "colour": "#000000"} for name in ("a", "b", "c")]
    wrong = {
        "1 models are no ensemble: name 2 to 8": [tiny_run.path],
        "9 models are no ensemble": [tiny_run.path] * 9,
        "which can be no part of an ensemble": [both, tiny_run.path],
        "other classes": [changed(tiny_run.best, tmp_path / "classes", classes=classes), tiny_run.path],
        "at 64 pixels, and .* by resize at 32": [
            changed(tiny_run.best, tmp_path / "size", input={"size": 64}), tiny_run.path,
        ],
        "neither a checkpoint": [tmp_path / "nowhere", tiny_run.path],
    }  # fmt: skip
    for said, models in wrong.items():
        with pytest.raises(UserError, match=said):
            ensemble(models, tmp_path / "out")
        assert not (tmp_path / "out").exists()


MEMBER = {"name": "unet", "backbone": "none", "options": {"width": 4}}


@pytest.mark.parametrize(
    ("members", "said"),
    [
        (None, "needs 2 to 8 members"),
        ([MEMBER], "needs 2 to 8 members"),
        ([MEMBER] * 9, "needs 2 to 8 members"),
        ([MEMBER, 4], "members are no networks"),
        ([MEMBER, {"name": "unet"}], "members are no networks"),
        ([MEMBER, {**MEMBER, "weights": "/etc/passwd"}], "members are no networks"),
        ([MEMBER, {**MEMBER, "name": "keras"}], "a member 'keras'"),
        ([MEMBER, {"name": "ensemble", "backbone": "none", "options": {"members": []}}], "a member 'ensemble'"),
    ],
    ids=str,
)
def test_a_strangers_members_are_checked(members: Any, said: str, both: Path, tmp_path: Path) -> None:
    network = {"options": {} if members is None else {"members": members}}
    with pytest.raises(UserError, match=said):
        read_spec(changed(both, tmp_path / "strange", architecture=network))


def test_a_strangers_member_takes_no_memory_before_its_weights_are_seen(both: Path, tmp_path: Path) -> None:
    huge = [MEMBER, {**MEMBER, "options": {"width": 512}}]
    with pytest.raises(UserError, match="parameters, but its weights file holds"):
        load_checkpoint(changed(both, tmp_path / "huge", architecture={"options": {"members": huge}}))
