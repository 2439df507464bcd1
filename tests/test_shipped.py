"""The models that ship: small, whole, licensed, useful at once, and as good as their cards say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage import data as pictures

from segmodels.data.datasets import open_dataset
from segmodels.evaluation.evaluate import evaluate
from segmodels.evaluation.instances import instance_figures
from segmodels.files import read_json
from segmodels.hub.checkpoint import read_spec
from segmodels.hub.contents import contents_of
from segmodels.prediction.predictor import Predictor
from tests.conftest import ROOT

NAMES = ("nuclei", "pets")
#: Bytes that one may have with all its files.
MOST_BYTES = 15_000_000


def folder(name: str) -> Path:
    return ROOT / "checkpoints" / name


def figures(name: str) -> dict[str, Any]:
    return read_json(folder(name) / "metrics.json")["test"]


def test_just_these_ship() -> None:
    there = {path.parent.name for path in (ROOT / "checkpoints").glob("*/segmodels.json")}
    assert set(NAMES) <= there
    listed = (ROOT / "checkpoints" / "README.md").read_text()
    assert all(f"[`{name}/`]({name}/README.md)" in listed for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_they_are_small_and_whole(name: str) -> None:
    files = contents_of(folder(name))
    assert sum((folder(name) / path).stat().st_size for path in files) <= MOST_BYTES
    assert {"segmodels.json", "model.weights.h5", "metrics.json", "README.md"} <= set(files)
    # What is several trainings together has no history of its own.
    assert ("history.csv" in files) != read_spec(folder(name)).architecture.is_ensemble
    assert any(path.startswith("previews/") for path in files)


@pytest.mark.parametrize(
    ("name", "licence", "said"),
    [
        ("pets", "cc-by-sa-4.0", "CC BY-SA 4.0; the photos belong to their owners"),
        ("nuclei", "cc-by-nc-sa-4.0", "It is for research. It is not for diagnosis"),
    ],
)
def test_their_cards_name_licence_figures_and_training(name: str, licence: str, said: str) -> None:
    card = (folder(name) / "README.md").read_text()
    assert f"license: {licence}\n" in card
    assert said in card
    assert f"{figures(name)['mean_iou']:.4f}" in card
    assert "On the test split of" in card
    commands = [line for line in card.splitlines() if line.startswith("python -m segmodels train")]
    assert commands
    assert "/" not in " ".join(commands), "a path of whoever trained it"
    assert "/" not in str(read_spec(folder(name)).recipe.get("root") or "")


def test_pets_finds_a_cat_that_it_has_never_seen() -> None:
    result = Predictor(folder("pets"), engine="keras")(pictures.cat())
    assert [label.name for label in result.labels] == ["pet", "background", "border"]
    pet = result.mask == 0
    height, width = pet.shape
    assert 0.2 < pet.mean() < 0.8
    assert pet[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3].mean() > 0.9, "its face is in the middle"


def test_nuclei_are_counted_in_slides_that_it_has_never_seen(data_folder: Path) -> None:
    data, predictor = open_dataset("monuseg"), Predictor(folder("nuclei"), engine="keras")
    samples = data.samples("test")
    found = [predictor(data.read_image(sample), tta="none").instances() for sample in samples]
    truth = [data.read_instances(sample) for sample in samples]
    counts = np.array([[objects.max() for objects in maps] for maps in (found, truth)])
    assert counts[0].sum() == pytest.approx(counts[1].sum(), rel=0.15)
    for one, other in zip(found, truth, strict=True):
        assert instance_figures(other, one)["f1"] > 0.75


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_they_are_as_good_as_they_say(name: str, data_folder: Path) -> None:
    report, said = evaluate(folder(name), keep=False), figures(name)
    for key in ("pixel_accuracy", "mean_iou", "mean_dice"):
        assert report[key] == pytest.approx(said[key], abs=1e-3)
    assert report["images"] == said["images"]
    if name == "nuclei":
        assert report["instances"]["aji"] == pytest.approx(said["instances"]["aji"], abs=2e-3)
        assert report["tta"] == "flips,turns"
        assert report["instances"]["aji"] >= 0.67
        assert report["instances"]["dice"] >= 0.83
    else:
        assert report["tta"] == "flips"
        assert report["pixel_accuracy"] >= 0.93
        assert report["mean_iou"] >= 0.80
