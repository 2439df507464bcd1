"""The whole way on real photos: train, evaluate, predict on the pets of SEGMODELS_DATA."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import segmodels
from segmodels.training.runs import Run

MOBILENETV2 = "mobilenetv2_1.0_no_top.weights.h5"


def train(data_folder: Path, weights_folder: Path, **fields: object) -> Run:
    recipe = segmodels.Recipe(
        data="oxford-pets",
        root=str(data_folder / "oxford-iiit-pet"),
        backbone="mobilenetv2",
        weights=str(weights_folder / MOBILENETV2),
        **fields,
    )
    return segmodels.train(recipe)


def test_a_short_training_already_finds_the_pets(home: Path, data_folder: Path, weights_folder: Path) -> None:
    """Half of the pictures, 96 px, 8 epochs: with BatchNorm's own momentum of 0.999 this stays near 0.4."""
    run = train(data_folder, weights_folder, image_size=96, epochs=8, limit=112)
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
