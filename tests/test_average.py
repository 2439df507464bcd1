"""The mean of checkpoints: exact, of one network only, and told of in the card."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from segmodels.cli import main
from segmodels.data.dataset import SPLITS
from segmodels.data.datasets import open_dataset
from segmodels.errors import UserError
from segmodels.evaluation.evaluate import evaluate
from segmodels.files import read_json
from segmodels.hub.average import average
from segmodels.hub.checkpoint import SPEC, WEIGHTS, load_checkpoint, read_spec
from segmodels.hub.lineage import trainings_before
from segmodels.hub.release import release
from segmodels.training.runs import Run
from tests.test_release import arrays


def changed(source: Path, target: Path, seed: int) -> Path:
    """The same checkpoint with other numbers in its weights."""
    rng = np.random.default_rng(seed)
    shutil.copytree(source, target)
    with h5py.File(target / WEIGHTS, "r+") as file:
        for name in arrays(source / WEIGHTS):
            if np.issubdtype(file[name].dtype, np.floating):
                file[name][...] = rng.uniform(0.1, 1, file[name].shape)
    return target


def edited(source: Path, target: Path, **fields: Any) -> Path:
    shutil.copytree(source, target)
    document = json.loads((target / SPEC).read_text())
    for key, value in fields.items():
        document[key] = {**document[key], **value} if isinstance(value, dict) else value
    (target / SPEC).write_text(json.dumps(document))
    return target


def test_it_is_the_mean_of_every_array(tiny_run: Run, home: Path, tmp_path: Path) -> None:
    folders = [changed(tiny_run.best, tmp_path / f"{seed}", seed) for seed in range(3)]
    out = average(folders, tmp_path / "mean")
    given, found = [arrays(folder / WEIGHTS) for folder in folders], arrays(out / WEIGHTS)
    assert found.keys() == given[0].keys()
    for name, values in found.items():
        of_all = np.stack([each[name] for each in given])
        if np.issubdtype(values.dtype, np.floating):
            np.testing.assert_allclose(values, of_all.astype(np.float64).mean(0), rtol=1e-6, atol=1e-7)
            assert values.dtype == np.float32
        else:
            np.testing.assert_array_equal(values, given[-1][name])
    model, spec = load_checkpoint(out)
    assert spec == read_spec(folders[-1])
    assert np.isfinite(np.asarray(model(np.zeros((1, 32, 32, 3), np.uint8)))).all()
    assert {path.name for path in out.iterdir()} == {SPEC, WEIGHTS, "metrics.json", "history.csv", "README.md"}


def test_of_a_model_with_itself_it_is_that_model(tiny_run: Run, home: Path, tmp_path: Path) -> None:
    out = average([tiny_run.path, tiny_run.best], tmp_path / "same")
    ours, theirs = arrays(out / WEIGHTS), arrays(tiny_run.best / WEIGHTS)
    assert all(np.array_equal(ours[name], values) for name, values in theirs.items())
    report, before = (evaluate(path, keep=False) for path in (out, tiny_run.best))
    assert report["confusion_matrix"] == before["confusion_matrix"]


def test_the_card_of_its_release_says_what_it_is_the_mean_of(
    tiny_run: Run, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    epochs = tiny_run.kept_epochs()
    names = [f"{tiny_run.path}@{epoch}" for epoch in epochs]
    assert len(names) > 1
    assert main(["average", *names, "--out", str(tmp_path / "mean"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["path"] == str(tmp_path / "mean")
    told = [f"{tiny_run.id}@{epoch}" for epoch in epochs]
    assert read_json(tmp_path / "mean" / "metrics.json")["averaged"] == told
    out = release(tmp_path / "mean", tmp_path / "given")
    card = (out / "README.md").read_text()
    listed = ", ".join(f"`{name}`" for name in told)
    assert f"the mean of those of {len(told)} checkpoints" in card
    assert listed in card
    assert "--run-dir training-1" in card
    assert read_json(out / "metrics.json")["test"]["mean_iou"] == evaluate(out, keep=False)["mean_iou"]


def test_a_training_that_began_with_a_mean_is_told_of(tiny_run: Run, home: Path, tmp_path: Path) -> None:
    first = Path(shutil.copytree(tiny_run.path, home / "runs" / "first"))
    mean = average([first, f"{first}@{tiny_run.kept_epochs()[0]}"], tmp_path / "mean")
    document = read_json(mean / "metrics.json")
    before = [{**read_spec(first / "best").recipe, "seed": seed} for seed in (5, 6)]
    (mean / "metrics.json").write_text(json.dumps({**document, "trainings": before}))
    for name, begun in (("second", mean), ("third", home / "runs" / "second")):
        run = Path(shutil.copytree(tiny_run.path, home / "runs" / name))
        shutil.copytree(mean if begun == mean else begun / "best", run / "start")
        recipe = read_json(run / "recipe.json")
        (run / "recipe.json").write_text(json.dumps({**recipe, "start_from": str(begun)}))
    card = (release("second", tmp_path / "out") / "README.md").read_text()
    assert "The last training began with the mean of those of 2 checkpoints" in card
    assert "Its weights are" not in card
    lines = [line for line in card.splitlines() if line.startswith("python -m segmodels train")]
    assert ["--seed 5" in line for line in lines] == [True, False, False, False]
    assert ["--seed 6" in line for line in lines] == [False, True, False, False]
    assert lines[3].endswith("--start-from training-3") or "--start-from training-3 " in lines[3]
    later = (release("third", tmp_path / "later") / "README.md").read_text()
    assert "began with the mean" not in later
    assert sum(line.startswith("python -m segmodels train") for line in later.splitlines()) == 5


def test_the_tale_asks_no_hub(tiny_run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Path(shutil.copytree(tiny_run.path, home / "runs" / "fetched"))
    shutil.copytree(run / "best", run / "start")
    recipe = {**read_json(run / "recipe.json"), "start_from": "hf://someone/cells"}
    (run / "recipe.json").write_text(json.dumps(recipe))
    monkeypatch.setattr("segmodels.hub.pull.pull", lambda *_, **__: pytest.fail("it asked the Hub"))
    assert [each["data"] for each in trainings_before(run / "best")] == ["toy-pets"]


def test_a_run_that_says_it_began_with_itself_ends_the_tale(tiny_run: Run, home: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(tiny_run.path, home / "runs" / "loop"))
    shutil.copytree(run / "best", run / "start")
    (run / "recipe.json").write_text(json.dumps({**read_json(run / "recipe.json"), "start_from": str(run)}))
    assert len(trainings_before(run / "best")) == 5


@pytest.mark.parametrize("told", ["text", [1, 2], {"a": 1}, ["<img src=x>`|\n# big"]])
def test_a_strangers_list_is_inert(told: Any, tiny_run: Run, home: Path, tmp_path: Path) -> None:
    strange = Path(shutil.copytree(tiny_run.best, tmp_path / "strange"))
    document = {**read_json(strange / "metrics.json"), "averaged": told, "trainings": [{"data": 3}, 4]}
    (strange / "metrics.json").write_text(json.dumps(document))
    card = (release(strange, tmp_path / "given") / "README.md").read_text()
    assert "\n# big" not in card
    assert card.count("python -m segmodels train") == 1
    is_list_of_names = told == ["<img src=x>`|\n# big"]
    assert ("`<img src=x>ˋ¦ # big`" in card) == is_list_of_names
    assert ("the mean of those" in card) == is_list_of_names


def test_what_has_no_mean(tiny_run: Run, home: Path, tmp_path: Path) -> None:
    best, out = tiny_run.best, tmp_path / "mean"
    wider = edited(best, tmp_path / "wider", architecture={"options": {"width": 5}})
    classes = [{**each, "name": each["name"] + "s"} for each in json.loads((best / SPEC).read_text())["classes"]]
    renamed = edited(best, tmp_path / "renamed", classes=classes)
    tiles = edited(best, tmp_path / "tiles", input={"mode": "tiles", "overlap": 8})
    damaged = Path(shutil.copytree(best, tmp_path / "damaged"))
    (damaged / WEIGHTS).write_bytes((best / WEIGHTS).read_bytes()[:2000])
    smaller = Path(shutil.copytree(best, tmp_path / "smaller"))
    with h5py.File(smaller / WEIGHTS, "r+") as file:
        name = next(name for name, values in arrays(best / WEIGHTS).items() if values.ndim == 4)
        del file[name]
        file[name] = np.zeros((1, 1, 2, 2), np.float32)
    other = tmp_path / "other"
    other.mkdir()
    (other / "letter.txt").write_text("mine")
    for models, target, said in (
        ([best], out, "1 models have no mean: name 2 to 100"),
        ([wider, best], out, "is another network than"),
        ([renamed, best], out, "have other classes"),
        ([tiles, best], out, "average models of one kind"),
        ([damaged, best], out, "damaged"),
        ([smaller, best], out, "has other arrays than"),
        ([tmp_path / "nothing", best], out, "neither a checkpoint directory nor a run"),
        ([best, best], other, "is no checkpoint directory: name a new folder"),
    ):
        with pytest.raises(UserError, match=said):
            average(models, target)
        assert not out.exists()
    assert (other / "letter.txt").read_text() == "mine"
    assert not list(tmp_path.glob("*.part*"))


def test_a_mean_is_evaluated_as_the_last_run_was_split(tiny_run: Run, home: Path, tmp_path: Path) -> None:
    run = Run(shutil.copytree(tiny_run.path, home / "runs" / "split"))
    samples = {split: [each.id for each in open_dataset("toy-pets").samples(split)] for split in SPLITS}
    (run.path / "split.json").write_text(json.dumps({"splits": {**samples, "test": samples["test"][:3]}}))
    mean = average([tiny_run.path, run.path], tmp_path / "mean")
    assert evaluate(mean, keep=False)["images"] == 3
    again = average([run.path, mean], tmp_path / "again")
    assert evaluate(again, keep=False)["images"] == 3
    average([run.path, mean], tmp_path / "again")  # what it wrote may be replaced by it
    out = release(again, tmp_path / "out")
    assert read_json(out / "metrics.json")["test"]["images"] == 3
