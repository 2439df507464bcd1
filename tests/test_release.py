"""A model that is given away: half the bytes, and figures that are of just these."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from segmodels.cli import main
from segmodels.data.dataset import SPLITS
from segmodels.data.datasets import open_dataset
from segmodels.errors import UserError
from segmodels.evaluation.evaluate import evaluate
from segmodels.files import read_json
from segmodels.hub import smaller
from segmodels.hub.average import average
from segmodels.hub.checkpoint import SPEC, WEIGHTS, load_checkpoint, read_spec
from segmodels.hub.lineage import mean_before
from segmodels.hub.release import release
from segmodels.hub.smaller import write_smaller
from segmodels.training.runs import Run


def arrays(path: Path) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def test_a_release_is_small_and_its_figures_are_its_own(tiny_run: Run, home: Path, tmp_path: Path) -> None:
    out = release(tiny_run.path, tmp_path / "tiny")
    whole, half = arrays(tiny_run.best / WEIGHTS), arrays(out / WEIGHTS)
    assert whole.keys() == half.keys()
    kernels = [name for name, array in whole.items() if array.ndim > 1]
    assert kernels
    assert {half[name].dtype for name in kernels} == {np.dtype("float16")}
    assert all(np.array_equal(half[name], array) for name, array in whole.items() if array.ndim < 2)
    for name in kernels:
        assert np.abs(half[name].astype("float32") - whole[name]).max() <= 1e-3 * np.abs(whole[name]).max()
    report = evaluate(out, keep=False)
    metrics = read_json(out / "metrics.json")
    assert metrics["validation"] == read_json(tiny_run.best / "metrics.json")["validation"]
    assert metrics["test"]["mean_iou"] == report["mean_iou"]
    assert metrics["test"]["images"] == report["images"]
    card = (out / "README.md").read_text()
    assert f"On the test split of Toy pets ({report['images']} pictures), compared at each mask's own size" in card
    assert f"{report['mean_iou']:.4f}" in card
    assert "split: test" in card
    travels = {"segmodels.json", WEIGHTS, "metrics.json", "history.csv", "README.md"}
    assert travels <= {path.name for path in out.iterdir()} <= {*travels, "previews"}


def test_a_release_may_see_pictures_at_another_size(tiny_run: Run, home: Path, tmp_path: Path) -> None:
    trained = read_spec(tiny_run.best).input.size
    out = release(tiny_run.path, tmp_path / "larger", size=trained + 32)
    assert read_spec(out).input.size == trained + 32
    assert read_json(out / "metrics.json")["test"]["loss"] != evaluate(tiny_run.best, keep=False)["loss"]
    assert (
        f"resized to {trained + 32} x {trained + 32} pixels (it was trained at {trained})"
        in (out / "README.md").read_text()
    )
    with pytest.raises(UserError, match="size 16: give a number of pixels from 32 to 2048"):
        release(tiny_run.path, tmp_path / "small", size=16)


def test_half_weights_are_read_as_any_others(tiny_run: Run, tmp_path: Path) -> None:
    half = Path(shutil.copytree(tiny_run.best, tmp_path / "half"))
    write_smaller(tiny_run.best / WEIGHTS, half / WEIGHTS, 16)
    picture = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    first, second = (np.asarray(load_checkpoint(path)[0](picture)) for path in (tiny_run.best, half))
    assert second.dtype == np.float32
    assert 0 < np.abs(first - second).max() < 0.02 * np.abs(first).max()


def test_weights_of_eight_bits_are_read_as_any_others(
    tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each number within half a step of its channel, of which the largest has 127."""
    monkeypatch.setattr(smaller, "FEWEST_OF_EIGHT", 100)
    small = Path(shutil.copytree(tiny_run.best, tmp_path / "small"))
    write_smaller(tiny_run.best / WEIGHTS, small / WEIGHTS, 8)
    before, after = arrays(tiny_run.best / WEIGHTS), arrays(small / WEIGHTS)
    eight = {name for name, array in after.items() if array.dtype == np.int8}
    assert {f"scales/{name}" for name in eight} == {name for name in after if name.startswith("scales/")}
    assert eight == {name for name, array in before.items() if array.ndim == 4 and array.size >= 100}
    model = load_checkpoint(small)[0]
    read = {array.shape: np.array(array) for array in model.weights}
    for name in eight:
        most = np.abs(before[name]).max(axis=(0, 1, 2))
        off = np.abs(after[name] * after[f"scales/{name}"] - before[name])
        assert (off <= most / 254 * 1.001).all()
        assert np.abs(after[name]).max() == 127
        if sum(array.shape == before[name].shape for array in before.values()) == 1:
            np.testing.assert_array_equal(read[before[name].shape], after[name] * after[f"scales/{name}"])
    picture = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    first, second = (np.asarray(load_checkpoint(path)[0](picture)) for path in (tiny_run.best, small))
    assert 0 < np.abs(first - second).max() < 0.05 * np.abs(first).max()
    write_smaller(small / WEIGHTS, tmp_path / "same.h5", 8)
    assert (tmp_path / "same.h5").read_bytes() == (small / WEIGHTS).read_bytes()
    with pytest.raises(UserError, match="is of eight bits: average what it was made of"):
        average([small, tiny_run.path], tmp_path / "mean")
    assert not (tmp_path / "mean").exists()
    with pytest.raises(UserError, match="eight bits already"):
        write_smaller(small / WEIGHTS, tmp_path / "half.h5", 16)


@pytest.mark.parametrize("wrong", ["shape", "nothing to scale"])
def test_scales_that_fit_nothing_are_refused(
    wrong: str, tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smaller, "FEWEST_OF_EIGHT", 100)
    small = Path(shutil.copytree(tiny_run.best, tmp_path / "small"))
    write_smaller(tiny_run.best / WEIGHTS, small / WEIGHTS, 8)
    with h5py.File(small / WEIGHTS, "a") as file:
        name = next(name for name in arrays(small / WEIGHTS) if name.startswith("scales/"))
        scale = file[name][()]
        del file[name]
        file[name if wrong == "shape" else f"{name}0"] = scale[:-1]
    with pytest.raises(UserError, match=r"is damaged: its scale of '.*' fits no array"):
        load_checkpoint(small)


def test_what_float16_cannot_hold_is_kept(tmp_path: Path) -> None:
    values = {
        "large": np.full((2, 2), 1e6, np.float32), "tiny": np.full((2, 2), 1e-9, np.float32),
        "usual": np.ones((2, 2), np.float32), "bias": np.ones(3, np.float32), "count": np.ones((2, 2), np.int64),
    }  # fmt: skip
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, array in values.items():
            file["layer/" + name] = array
        file["layer"].attrs["name"] = "layer"
    write_smaller(tmp_path / "a.h5", tmp_path / "b.h5", 16)
    found = arrays(tmp_path / "b.h5")
    assert {name.removeprefix("layer/"): str(array.dtype) for name, array in found.items()} == {
        "large": "float32", "tiny": "float32", "usual": "float16", "bias": "float32", "count": "int64",
    }  # fmt: skip
    with h5py.File(tmp_path / "b.h5") as file:
        assert file["layer"].attrs["name"] == "layer"


def test_the_commands_of_what_it_began_with_stand_first(tiny_run: Run, home: Path, tmp_path: Path) -> None:
    for name, before in (("second", tiny_run.path), ("third", home / "runs" / "second")):
        run = Path(shutil.copytree(tiny_run.path, home / "runs" / name))
        shutil.copytree(before / "best", run / "start")
        recipe = read_json(run / "recipe.json")
        (run / "recipe.json").write_text(json.dumps({**recipe, "start_from": str(before)}))
    assert main(["release", "third", "--out", str(tmp_path / "out"), "--bits", "32"]) == 0
    lines = (tmp_path / "out" / "README.md").read_text().split("To train it again:")[1].splitlines()
    first, second, third = (line for line in lines if line.startswith("python -m segmodels train"))
    assert "--start-from" not in first
    assert first.endswith(" --run-dir training-1")
    assert " --start-from training-1" in second
    assert second.endswith(" --run-dir training-2")
    assert third.count("training-") == 1
    assert " --start-from training-2" in third
    weights = [tmp_path / "out" / WEIGHTS, home / "runs" / "third" / "best" / WEIGHTS]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert len(list((tmp_path / "out" / "previews").iterdir())) <= 3


def test_a_folder_with_something_else_is_left_alone(tiny_run: Run, home: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(UserError, match="is no checkpoint directory: name a new folder"):
        release(tiny_run.path, tmp_path / "mine")
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"
    first = release(tiny_run.path, tmp_path / "again", bits=32)
    before = (first / "metrics.json").stat().st_mtime_ns
    with pytest.raises(UserError):
        release(tiny_run.path, tmp_path / "again", split="nowhere")
    assert (first / "metrics.json").stat().st_mtime_ns == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "mine"]


def test_a_release_is_measured_as_its_run_was_split(tiny_run: Run, home: Path, tmp_path: Path) -> None:
    """What the run was trained on is not in its test split, though it is in the data set's own."""
    run = Run(shutil.copytree(tiny_run.path, home / "runs" / "split"))
    samples = {split: [each.id for each in open_dataset("toy-pets").samples(split)] for split in SPLITS}
    (run.path / "split.json").write_text(json.dumps({"splits": {**samples, "test": samples["test"][:3]}}))
    out = release(run.path, tmp_path / "out", bits=32)
    assert read_json(out / "metrics.json")["test"]["images"] == 3
    assert "On the test split of Toy pets (3 pictures)" in (out / "README.md").read_text()


def test_figures_of_the_training_are_left_out_where_they_are_not_its_own(
    tiny_run: Run, home: Path, tmp_path: Path
) -> None:
    larger = release(tiny_run.path, tmp_path / "larger", size=read_spec(tiny_run.best).input.size + 32)
    assert "validation" not in read_json(larger / "metrics.json")
    assert "which were chosen by these figures" not in (larger / "README.md").read_text()
    again = release(tiny_run.path, tmp_path / "again", split="validation")
    assert read_json(again / "metrics.json")["validation"]["at"] == "native"
    assert (again / "README.md").read_text().count("On the validation split") == 1


def test_a_release_of_a_release_tells_the_same_tale(tiny_run: Run, home: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(tiny_run.path, home / "runs" / "second"))
    shutil.copytree(tiny_run.best, run / "start")
    recipe = read_json(run / "recipe.json")
    (run / "recipe.json").write_text(json.dumps({**recipe, "start_from": str(tiny_run.path)}))
    first = release(run, tmp_path / "first")
    second = release(first, tmp_path / "second")
    commands = [(folder / "README.md").read_text().split("To train it again:")[1] for folder in (first, second)]
    assert commands[0] == commands[1]
    assert commands[0].count("python -m segmodels train") == 2


def test_a_card_names_no_folder_of_this_computer(
    tiny_run: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(shutil.copytree(tiny_run.path, home / "runs" / "second"))
    shutil.copytree(tiny_run.best, run / "start")
    recipe = read_json(run / "recipe.json")
    (run / "recipe.json").write_text(json.dumps({**recipe, "start_from": str(tiny_run.path)}))
    (tmp_path / "training-1").mkdir()  # as the commands of the card leave it
    monkeypatch.chdir(tmp_path)
    card = (release(run, tmp_path / "out") / "README.md").read_text()
    assert " --start-from training-1" in card
    assert str(tmp_path) not in card


def test_no_lineage_is_read_from_where_one_happens_to_be(
    tiny_run: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_run.best, tmp_path / "mean")
    (tmp_path / "mean" / "metrics.json").write_text('{"averaged": ["x@1", "y@2"]}')
    monkeypatch.chdir(tmp_path / "mean")
    assert mean_before(tiny_run.best) == []


def test_a_folder_that_holds_more_than_a_checkpoint_is_not_replaced(tiny_run: Run, home: Path, tmp_path: Path) -> None:
    clone = release(tiny_run.path, tmp_path / "clone")
    (clone / ".git").mkdir()
    with pytest.raises(
        UserError, match=r"clone holds \.git beside a checkpoint, which would be lost: name a new folder"
    ):
        release(tiny_run.path, clone)
    assert (clone / ".git").is_dir()


def test_a_spec_that_cannot_be_written_again_is_refused(tiny_run: Run, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_run.best, tmp_path / "odd"))
    text = (folder / SPEC).read_text()
    (folder / SPEC).write_text(text.replace('"toy-pets"', '"\\ud800"'))
    with pytest.raises(UserError, match="holds what cannot be written again"):
        read_spec(folder)
