"""Data that changes under a run, and odd files: what was split stays split, and nothing is a traceback."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import segmodels
from segmodels.cli import main
from segmodels.data.datasets import open_dataset
from segmodels.data.datasets.polygon_folder import picture_size
from segmodels.data.images import read_mask
from segmodels.errors import UserError
from segmodels.files import write_json
from segmodels.recipe import Recipe
from tests.own_forms import write_form


def trained(folder: Path, **fields: Any) -> Any:
    options = {"width": 4, "depth": 3}
    return segmodels.train(Recipe(data=str(folder), options=options, image_size=32, epochs=1, **fields))


def test_a_run_keeps_its_split_when_pictures_come_and_go(home: Path, tmp_path: Path) -> None:
    folder = write_form("masks", tmp_path / "grows")
    run = trained(folder)
    split = json.loads((run.path / "split.json").read_text())
    assert split["classes"] == ["background", "cell", "gland"]
    assert {name: len(ids) for name, ids in split["splits"].items()} == {"train": 10, "validation": 1, "test": 1}
    for part in ("images", "masks"):
        for number in (20, 21):
            shutil.copy(folder / part / "sample-00.png", folder / part / f"sample-{number}.png")
    anew = {name: [sample.id for sample in open_dataset(str(folder)).samples(name)] for name in split["splits"]}
    assert anew != split["splits"], "a split made anew would move pictures"
    assert segmodels.evaluate(run.best, split="train")["images"] == 10
    assert segmodels.evaluate(run.best, data=str(folder), split="test")["images"] == 1

    (folder / "images" / f"{split['splits']['test'][0].rpartition('/')[2]}.png").unlink()
    with pytest.raises(UserError, match="has no sample"):
        segmodels.evaluate(run.best, split="test")


def test_a_run_is_not_resumed_on_other_classes(home: Path, tmp_path: Path) -> None:
    folder = write_form("masks", tmp_path / "renamed")
    run = trained(folder, limit=4)
    (folder / "labels.txt").write_text("background\ngland\ncell\n")
    status = json.loads((run.path / "status.json").read_text())
    write_json(run.path / "status.json", {**status, "state": "interrupted"})
    with pytest.raises(UserError, match="now has the classes background, gland, cell, but when the run began"):
        segmodels.train(resume=run)


def test_a_name_that_is_no_utf8_is_a_name(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_form("masks", tmp_path / "odd")
    odd = os.fsdecode(b"bad\xff.png")
    for part in ("images", "masks"):
        shutil.copy(folder / part / "sample-00.png", folder / part / odd)
    for words in (["statistics", folder], ["verify", folder], ["prepare", folder, "--image-size", "32"]):
        assert main(["datasets", *map(str, words), "--json"]) == 0
        json.loads(capsys.readouterr().out)
    out = tmp_path / "split.json"
    assert main(["datasets", "split", str(folder), "--out", str(out)]) == 0
    again = open_dataset(str(folder), split_file=out)
    assert any("\udcff" in sample.id for split in ("train", "validation", "test") for sample in again.samples(split))


@pytest.mark.parametrize("order", ["<", ">"])
def test_masks_of_sixteen_bits_in_either_byte_order(order: str, tmp_path: Path) -> None:
    values = np.array([[0, 1, 2], [2, 1, 0]], f"{order}u2")
    Image.frombytes("I;16" if order == "<" else "I;16B", (3, 2), values.tobytes()).save(tmp_path / "mask.tif")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.tif"), values.astype(np.uint8))


@pytest.mark.parametrize("suffix", ["jpg", "tif", "png"])
@pytest.mark.parametrize(("orientation", "turned"), [(1, False), (3, False), (6, True), (8, True), (9, False)])
def test_the_size_of_a_turned_picture_is_that_of_its_pixels(
    suffix: str, orientation: int, turned: bool, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"photo.{suffix}"
    Image.new("RGB", (30, 20)).save(path, exif=exif)
    assert picture_size(path) == ((30, 20) if turned else (20, 30))
    assert picture_size(path) == segmodels.data.images.read_image(path).shape[:2]


def test_a_name_that_is_too_long_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="too long a name"):
        write_json(tmp_path / ("n" * 300), {})
    write_json(tmp_path / ("n" * 250), {})
    write_json(tmp_path / ("字" * 80), {})
    assert len(list(tmp_path.iterdir())) == 2


def test_a_recipe_of_aliases_is_refused_at_once(tmp_path: Path) -> None:
    lines = ["a0: &a0 {x: 1}", *(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 12))]
    (tmp_path / "bomb.yaml").write_text("\n".join(lines))
    with pytest.raises(UserError, match="neither YAML nor JSON"):
        Recipe.load(tmp_path / "bomb.yaml")
    (tmp_path / "odd.yaml").write_text("data: [1]")
    with pytest.raises(UserError, match="data"):
        Recipe.load(tmp_path / "odd.yaml")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "--resume", ""], "resume"),
        (["train", "--recipe", ""], "unknown recipe ''"),
        (["train", "--run-dir", "a\0b"], "is no path"),
        (["datasets", "statistics", "/tmp/a\nb"], "/tmp/a b"),
    ],
)
def test_mistakes_are_one_line(words: list[str], said: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert said in error or said == "resume"
