"""The command line as its users meet it: exit codes, what goes to which stream, and what is left on disk."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segmodels.cli import parser
from segmodels.cli_recipes import recipe_of
from segmodels.models.architectures import ARCHITECTURES
from segmodels.models.backbones import BACKBONES
from segmodels.named_recipes import NAMED_RECIPES
from segmodels.recipe import Recipe
from segmodels.training.runs import Run

Cli = Callable[..., Any]


@pytest.fixture
def cli(python: Callable, home: Path) -> Cli:
    """Run a verb in a process of its own, under an empty home."""
    return lambda *words, **variables: python("-m", "segmodels", *words, **{"SEGMODELS_DATA": "", **variables})


@pytest.fixture
def runs_home(tiny_run: Run, tmp_path: Path) -> Path:
    """A home that holds a copy of one finished run."""
    shutil.copytree(tiny_run.path, tmp_path / "runs-home" / "runs" / tiny_run.id)
    return tmp_path / "runs-home"


def own(stream: str) -> list[str]:
    """Our lines of standard error; an engine writes some of its own."""
    return [line for line in stream.splitlines() if line.startswith("segmodels:")]


def mistake(done: Any) -> str:
    """The one line of a user's mistake."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert len(own(done.stderr)) == 1, done.stderr
    return own(done.stderr)[0]


def document(done: Any) -> Any:
    """The one JSON document of standard output."""
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_lists_are_read_without_an_engine(cli: Cli) -> None:
    found = {row["name"]: row for row in document(cli("architectures", "--json"))}
    assert set(found) == set(ARCHITECTURES)
    assert found["deeplabv3+"].keys() >= {"title", "paper", "year", "strengths", "on", "parameters", "gflops"}
    assert {row["name"] for row in document(cli("backbones", "--json"))} == set(BACKBONES)
    for verb in ("architectures", "backbones"):
        assert max(map(len, cli(verb).stdout.splitlines())) < 250
    rows = {row["name"]: row for row in document(cli("datasets", "list", "--json"))}
    assert rows["toy-pets"]["train"] == 240
    assert rows["oxford-pets"]["here"] == "no"
    assert rows["oxford-pets"]["problem"]
    shown = cli("datasets", "list")
    assert shown.returncode == 0
    assert "toy-nuclei" in shown.stdout
    assert shown.stderr == ""


def test_help_and_version(cli: Cli) -> None:
    shown = cli("train", "--help")
    assert shown.returncode == 0
    for words in (
        "--image-size",
        "--class-weights",
        "--option KEY=VALUE",
        "--resume RUN",
        "true|false",
        "adam|adamw|sgd|rmsprop|lion",
        "--batch-size N|auto",
    ):
        assert words in shown.stdout
    assert cli("--version").stdout.strip() == "0.1.0"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "VERB"),
        (["trian"], "trian"),
        (["train", "--epoch", "3"], "--epoch"),
        (["train", "--epochs", "many"], "epochs='many'"),
        (["train", "--data", "toy-pet"], "did you mean 'toy-pets'"),
        (["train", "--architecture", "unett"], "did you mean 'unet'"),
        (["train", "--option", "depth"], "KEY=VALUE"),
        (["train", "--option", "depth=99"], "depth='99'"),
        (["train", "--option", "backbone=mobilenet"], "backbone"),
        (["train", "--class-weights", "1,x"], "class_weights='1,x'"),
        (["train", "--recipe", "gone.yaml"], "gone.yaml"),
        (["train", "--recipe", "pet-best"], "did you mean 'pets-best'"),
        (["train", "--resume", "nothing", "--recipe", "pets-best"], "leave --recipe out"),
        (["train", "--batch-size", "many"], "batch_size='many': must be auto, or a whole number"),
        (["train", "--freeze-epochs", "30", "--backbone", "mobilenet"], "fewer than the 20 epochs"),
        (["train", "--freeze-epochs", "3"], "needs a pretrained backbone"),
        (["train", "--plateau-factor", "0.3"], "needs schedule plateau"),
        (["train", "--discriminator-every", "4"], "needs adversarial_weight"),
        (["train", "--loss", "dise"], "did you mean 'dice'"),
        (["rate-test", "--data", "toy-pets", "--steps", "3"], "20 or more"),
        (["train", "--resume", "nothing"], "no run 'nothing'"),
        (["runs", "show", "nothing"], "no run 'nothing'"),
        (["runs", "delete", ""], "no run ''"),
        (["datasets", "prepare", "toy-pets", "--image-size", "7"], "image_size=7"),
        (["datasets", "prepare", "oxford-pets", "--root", "/no/such/place"], "/no/such/place"),
        (["datasets", "download", "toy-pets"], "nothing to download"),
        (["predict", "nothing", "cat.jpg", "--out", "out"], "'nothing'"),
        (["predict", "nothing", "cat.jpg", "--out", "out", "--format", "pdf"], "'pdf'"),
        (["evaluate", "nothing"], "'nothing'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_one_line_and_exit_2(
    words: list[str], expected: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from segmodels.cli import main

    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("segmodels: ")
    assert expected in captured.err


def test_a_mistake_in_a_real_process(cli: Cli, home: Path) -> None:
    done = cli("train", "--data", "toy-pet", "--json")
    assert "did you mean 'toy-pets'" in mistake(done)
    assert done.stderr.count("\n") == 1
    assert not home.exists()


def test_preparing_decodes_every_split(cli: Cli, home: Path) -> None:
    report = document(cli("datasets", "prepare", "toy-pets", "--image-size", "32", "--json"))
    assert report["image_size"] == 32
    assert [(row["split"], row["pictures"]) for row in report["splits"]] == [
        ("train", 240), ("validation", 40), ("test", 40)
    ]  # fmt: skip
    assert len(list((home / "prepared").iterdir())) == 3


def test_from_training_to_a_report(cli: Cli, home: Path) -> None:
    words = "--data toy-pets --option width=4 --option depth=3 --image-size 32 --limit 16 --epochs 2"
    done = cli("train", *words.split(), "--json")
    report = document(done)
    assert report["status"]["state"] == "finished"
    assert "epoch 2/2" in done.stderr
    assert "mean IoU" in done.stderr
    assert Path(report["path"]).parent == home / "runs"
    listed = document(cli("runs", "list", "--json"))
    assert [(row["run"], row["state"], row["epochs"]) for row in listed] == [(report["run"], "finished", 2)]
    figures = document(cli("evaluate", report["run"], "--split", "test", "--json"))
    assert figures["images"] == 40
    assert 0 < figures["mean_iou"] < 1


def test_data_that_is_not_there_is_said(cli: Cli, home: Path) -> None:
    done = cli("train", "--data", "oxford-pets", "--root", "/no/such/place", "--epochs", "1")
    assert "/no/such/place" in mistake(done)
    for run in document(cli("runs", "list", "--json")):
        assert run["state"] == "failed"
        assert run["best_epoch"] is None
    assert not list(home.rglob("*.part"))


def test_runs_are_shown_and_deleted(cli: Cli, runs_home: Path, tiny_run: Run) -> None:
    shown = document(cli("runs", "show", tiny_run.id, "--json", SEGMODELS_HOME=runs_home))
    assert shown["status"]["state"] == "finished"
    assert len(shown["history"]) == 5
    assert shown["recipe"]["data"] == "toy-pets"
    text = cli("runs", "show", tiny_run.id, SEGMODELS_HOME=runs_home).stdout
    assert "python -m segmodels train --data toy-pets" in text
    for verb in ("stop", "pause", "resume"):
        assert "finished" in mistake(cli("runs", verb, tiny_run.id, SEGMODELS_HOME=runs_home))
    deleted = document(cli("runs", "delete", tiny_run.id, "--json", SEGMODELS_HOME=runs_home))
    assert deleted["state"] == "deleted"
    assert not (runs_home / "runs" / tiny_run.id).exists()
    assert cli("runs", "list", SEGMODELS_HOME=runs_home).stdout == "no runs yet\n"


def test_predicting_writes_masks_at_each_pictures_size(cli: Cli, tiny_run: Run, tmp_path: Path) -> None:
    for folder, size in (("a", (70, 50)), ("b", (31, 97))):
        (tmp_path / folder).mkdir()
        Image.new("RGB", size, "orange").save(tmp_path / folder / "cat.png")
    (tmp_path / "note.jpg").write_text("no picture")
    images = [tmp_path / "a" / "cat.png", tmp_path / "note.jpg", tmp_path / "b" / "cat.png"]
    done = cli("predict", tiny_run.path, *images, "--out", tmp_path / "out", "--format", "png,overlay,npz", "--json")
    assert done.returncode == 2, "a picture failed, and a script must notice"
    rows = json.loads(done.stdout)
    assert [row["error"] is None for row in rows] == [True, False, True]
    assert len(own(done.stderr)) == 1
    assert "note.jpg" in own(done.stderr)[0]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "cat-2-mask.png", "cat-2-overlay.png", "cat-2.npz", "cat-mask.png", "cat-overlay.png", "cat.npz"
    ]  # fmt: skip
    for row, size in ((rows[0], (70, 50)), (rows[2], (31, 97))):
        mask, overlay, arrays = row["files"]
        with Image.open(mask) as stored:
            assert stored.mode == "P"
            assert stored.size == size
            ids = np.asarray(stored)
        assert ids.max() < 3
        assert Image.open(overlay).size == size
        with np.load(arrays) as stored_arrays:
            np.testing.assert_array_equal(stored_arrays["mask"], ids)
            assert stored_arrays["probabilities"].shape == (*ids.shape, 3)
        assert (row["width"], row["height"]) == size
        assert sum(row["shares"].values()) == pytest.approx(1)


def test_a_picture_that_fails_leaves_nothing(
    tiny_run: Run, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from segmodels.cli import main

    (tmp_path / "cat.jpg").write_text("no picture")
    assert main(["predict", str(tiny_run.path), str(tmp_path / "cat.jpg"), "--out", str(tmp_path / "out")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(own(captured.err)) == 1, captured.err
    assert "cat.jpg" in own(captured.err)[0]
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_a_place_that_cannot_be_written(
    tiny_run: Run, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from segmodels.cli import main

    Image.new("RGB", (9, 9)).save(tmp_path / "cat.png")
    (tmp_path / "file").write_text("in the way")
    assert main(["predict", str(tiny_run.path), str(tmp_path / "cat.png"), "--out", str(tmp_path / "file")]) == 2
    assert len(own(capsys.readouterr().err)) == 1


def test_a_run_on_data_with_a_root_is_evaluated_where_its_data_is(
    cli: Cli, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`train --root DIR` prints `evaluate RUN` as the next thing to do: that must find the data again."""
    from segmodels.evaluation.evaluate import evaluate
    from segmodels.recipe import Recipe
    from segmodels.training.train import train

    monkeypatch.delenv("SEGMODELS_DATA", raising=False)
    root = tmp_path / "pets"
    (root / "annotations" / "trimaps").mkdir(parents=True)
    (root / "images").mkdir()
    lists: dict[str, list[str]] = {"trainval": [], "test": []}
    for breed, number in (("Sphynx", 1), ("pug", 2)):
        for index in range(1, 11):
            name = f"{breed}_{index}"
            Image.new("RGB", (40, 30), (index * 20, 0, 0)).save(root / "images" / f"{name}.jpg")
            Image.fromarray(np.full((30, 40), 1 + index % 3, np.uint8)).save(
                root / "annotations" / "trimaps" / f"{name}.png"
            )
            lists["trainval" if index <= 8 else "test"].append(f"{name} {number} 1 1")
    for split, lines in lists.items():
        (root / "annotations" / f"{split}.txt").write_text("\n".join(lines) + "\n")
    fields: dict[str, Any] = {"options": {"width": 4, "depth": 2}, "image_size": 32, "epochs": 1}
    run = train(Recipe(data="oxford-pets", root=str(root), **fields))
    assert evaluate(run.id, split="test")["images"] == 4


def test_a_backbone_given_beside_a_recipe_learns_at_its_own_rate(tmp_path: Path) -> None:
    Recipe(data="toy-pets").save(tmp_path / "plain.yaml")
    words = ["train", "--recipe", str(tmp_path / "plain.yaml"), "--backbone", "mobilenetv2"]
    recipe = recipe_of(parser().parse_args(words))
    assert (recipe.weights, recipe.backbone_rate) == ("imagenet", 0.2)


def test_what_a_recipe_only_implied_follows_the_options_beside_it(tmp_path: Path) -> None:
    """What it says of itself stays: a decay that is not the optimizer's usual one."""
    path = tmp_path / "gan.yaml"
    Recipe(data="toy-pets", architecture="pix2pix", optimizer="adamw").save(path)
    words = ["train", "--recipe", str(path)]
    recipe = recipe_of(parser().parse_args([*words, "--architecture", "unet", "--optimizer", "sgd"]))
    assert (recipe.adversarial_weight, recipe.weight_decay) == (0.0, 0.0)
    Recipe(data="toy-pets", optimizer="adamw", weight_decay=0.3).save(path)
    assert recipe_of(parser().parse_args([*words, "--optimizer", "lion"])).weight_decay == 0.3


def test_a_named_recipe_is_a_start_like_a_file(cli: Cli, tmp_path: Path) -> None:
    recipe = recipe_of(parser().parse_args(["train", "--recipe", "pets-quick", "--epochs", "2"]))
    assert recipe == Recipe(**{**NAMED_RECIPES["pets-quick"].fields, "epochs": 2})
    printed = cli("recipes", "pets-quick")
    (tmp_path / "mine.yaml").write_text(printed.stdout)
    assert Recipe.load(tmp_path / "mine.yaml") == NAMED_RECIPES["pets-quick"].recipe()
    rows = json.loads(cli("recipes", "--json").stdout)
    assert [row["name"] for row in rows] == list(NAMED_RECIPES)


def test_none_takes_a_field_out_of_the_recipe_that_was_the_start() -> None:
    words = ["train", "--recipe", "camvid", "--class-weights", "none", "--ema", "none"]
    assert recipe_of(parser().parse_args(words)).class_weights is None
    words = ["train", "--recipe", "classic-aerial-pix2pix", "--architecture", "unet"]
    recipe = recipe_of(parser().parse_args(words))
    assert (recipe.adversarial_weight, recipe.discriminator_every) == (0.0, 1)


def test_a_rate_is_found(cli: Cli, home: Path) -> None:
    small = ("--data", "toy-pets", "--image-size", "32", "--limit", "16", "--option", "width=4", "--option", "depth=2")
    done = cli("rate-test", *small, "--steps", "20", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["rates"][0] < found["suggested"] < found["rates"][-1]
    assert not list(home.glob("runs/*"))
