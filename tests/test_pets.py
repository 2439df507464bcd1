"""The whole way on real photos: train, evaluate, predict on the pets of SEGMODELS_DATA."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import segmodels
from segmodels.models.architectures import ARCHITECTURES
from segmodels.training.runs import Run

MOBILENETV2 = "mobilenetv2_1.0_no_top.weights.h5"


def train(data_folder: Path, weights_folder: Path, **fields: object) -> Run:
    given = {"backbone": "mobilenetv2", "weights": str(weights_folder / MOBILENETV2), **fields}
    return segmodels.train(segmodels.Recipe(data="oxford-pets", root=str(data_folder / "oxford-iiit-pet"), **given))


def network(architecture: str) -> dict[str, object]:
    """On MobileNetV2 and its ImageNet weights, but for the transformer, which has none here."""
    own = {"backbone": "mit-b0", "weights": "none"} if architecture == "segformer" else {}
    return {"architecture": architecture, **own}


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["deeplabv3+", "segformer"])
def test_a_small_real_run_learns(architecture: str, home: Path, data_folder: Path, weights_folder: Path) -> None:
    run = train(data_folder, weights_folder, image_size=64, epochs=3, limit=32, **network(architecture))
    losses = [row["loss"] for row in run.history()]
    assert len(losses) == 3
    assert losses[-1] < 0.95 * losses[0]
    result = segmodels.Predictor(run.best)(data_folder / "oxford-iiit-pet" / "images" / "Abyssinian_5.jpg")
    assert result.mask.shape == result.image.shape[:2]


@pytest.mark.slow
def test_published_voc_weights_begin_a_training(
    home: Path, data_folder: Path, weights_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They know cats: thirty-two pictures are enough to tell them from the background."""
    monkeypatch.setenv("SEGMODELS_WEIGHTS_DIR", str(weights_folder))
    run = train(
        data_folder, weights_folder, architecture="deeplabv3", weights="voc", image_size=128, epochs=6, limit=32
    )
    assert run.recipe.options == {"aspp_rates": [], "output_stride": 8, "width": 256}
    assert max(row["val_pixel_accuracy"] for row in run.history()) > 0.75
    assert segmodels.Predictor(run.best).spec.architecture.options == run.recipe.options


#: What is enough for most, and what the others need.
EASY = {"image_size": 128, "epochs": 8}
HARDER = {
    # It sees nothing of the encoder but where its maxima were.
    "segnet": {"epochs": 16},
    # On this backbone its last blocks have four to eight channels.
    "linknet": {"epochs": 30},
    # They answer from the last stage alone, for which 128 pixels are a map of 4x4, or 8x8 dilated.
    **{name: {"image_size": 256, "epochs": 12} for name in ("fcn32", "deeplabv3", "pspnet")},
}


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("architecture", list(ARCHITECTURES))
def test_every_architecture_learns_the_pets(
    architecture: str, home: Path, data_folder: Path, weights_folder: Path
) -> None:
    run = train(
        data_folder, weights_folder, limit=128, **{**EASY, **HARDER.get(architecture, {})}, **network(architecture)
    )
    report = segmodels.evaluate(run.best, split="test")
    print(f"{architecture}: {report['pixel_accuracy']:.3f} {report['mean_iou']:.3f}")
    assert report["pixel_accuracy"] > (0.65 if architecture == "segformer" else 0.78)  # 0.61 is background


@pytest.mark.slow
def test_a_short_training_already_finds_the_pets(home: Path, data_folder: Path, weights_folder: Path) -> None:
    """Half of the pictures, 96 px, 10 epochs: with BatchNorm's own momentum of 0.999 this stays near 0.4."""
    run = train(data_folder, weights_folder, image_size=96, epochs=10, limit=112)
    history = run.history()
    assert history[-1]["loss"] < 0.7 * history[0]["loss"]
    report = segmodels.evaluate(run.best, split="test")
    assert report["images"] == 253
    assert sum(row["pixels"] for row in report["classes"]) == np.sum(report["confusion_matrix"])
    assert report["pixel_accuracy"] > 0.82
    assert report["mean_iou"] > 0.6

    photo = data_folder / "oxford-iiit-pet" / "images" / "Abyssinian_5.jpg"  # an RGBA PNG in truth
    result = segmodels.Predictor(run.best)(photo)
    with Image.open(photo) as original:
        assert result.overlay().size == original.size
        assert result.mask.shape == original.size[::-1]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_twenty_epochs_at_160_pixels_reach_the_stated_figures(
    home: Path, data_folder: Path, weights_folder: Path
) -> None:
    run = train(data_folder, weights_folder, image_size=160, epochs=20)
    report = segmodels.evaluate(run.best, split="test", at="native")
    assert report["pixel_accuracy"] >= 0.91
    assert report["mean_iou"] >= 0.75
