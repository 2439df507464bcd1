"""Pictures of any size in tiles: blended without seams, a band at a time; and a model of tiles from start to end."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from segmodels import cli
from segmodels.cli_recipes import recipe_of
from segmodels.data.dataset import ClassLabel, Dataset
from segmodels.data.datasets import open_dataset
from segmodels.evaluation.confusion import ConfusionMatrix
from segmodels.evaluation.evaluate import evaluate
from segmodels.evaluation.instances import MeanFigures, instance_figures
from segmodels.hub.checkpoint import InputSpec, read_spec
from segmodels.prediction import predictor as prediction
from segmodels.prediction.predictor import Predictor, Result
from segmodels.prediction.tiling import tiled_logits
from segmodels.recipe import Recipe
from segmodels.training.reporter import Reporter
from segmodels.training.runs import Run
from segmodels.training.train import train

LABELS = (ClassLabel("a", "#000000"), ClassLabel("b", "#FFFFFF"))
Forward = Callable[[np.ndarray], np.ndarray]


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng([height, width]).integers(0, 256, (height, width, 3), dtype=np.uint8)


def network(radius: int) -> Forward:
    """Convolutions whose field reaches `radius` pixels, with zeros around the picture as networks have them."""

    def forward(images: np.ndarray) -> np.ndarray:
        values = images.astype(np.float32) / 255
        blurred = ndimage.uniform_filter(values, (0, 2 * radius + 1, 2 * radius + 1, 0), mode="constant")
        return np.concatenate([blurred, values[..., :1] - blurred[..., :1]], axis=-1)

    return forward


def joined(forward: Forward, image: np.ndarray, size: int, overlap: int) -> np.ndarray:
    rows, logits = zip(*tiled_logits(forward, image, size, overlap), strict=True)
    assert [part.start for part in rows] == [0, *(part.stop for part in rows[:-1])]
    assert [part.stop - part.start for part in rows] == [len(part) for part in logits]
    return np.concatenate(logits)


@pytest.mark.parametrize("shape", [(150, 203), (64, 300), (301, 65), (65, 64)])
def test_tiles_agree_with_the_whole_where_the_overlap_covers_the_field(shape: tuple[int, int]) -> None:
    image, forward = picture(*shape), network(radius=4)
    np.testing.assert_allclose(joined(forward, image, 64, 16), forward(image[None])[0], atol=1e-5)


def test_a_field_that_reaches_further_leaves_no_hard_seam() -> None:
    image, forward = picture(200, 200), network(radius=12)
    error = np.abs(joined(forward, image, 64, 32) - forward(image[None])[0])
    side_by_side = np.abs(joined(forward, image, 64, 0) - forward(image[None])[0])
    assert error.max() < 0.3 * side_by_side.max()


@pytest.mark.parametrize("shape", [(5, 7), (20, 200), (64, 64), (131, 97), (200, 20)])
@pytest.mark.parametrize("overlap", [0, 2, 16, 32])
def test_a_constant_stays_one(shape: tuple[int, int], overlap: int) -> None:
    values = np.array([3.5, -2, 0.25], np.float32)
    found = joined(lambda images: np.broadcast_to(values, (*images.shape[:3], 3)), picture(*shape), 64, overlap)
    assert found.shape == (*shape, 3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.broadcast_to(values, found.shape), rtol=1e-5)


def test_every_pass_has_one_shape_and_a_band_is_all_that_is_kept() -> None:
    shapes = set()

    def forward(images: np.ndarray) -> np.ndarray:
        shapes.add(images.shape)
        return images[..., :2].astype(np.float32)

    image = picture(1000, 300)
    for _, logits in tiled_logits(forward, image, 64, 16):
        assert len(logits) <= 64
    assert len(shapes) == 1


def test_rows_are_asked_for_one_row_of_tiles_at_a_time_and_come_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    image, asked = picture(301, 130), list[slice]()

    class Stored:
        shape = image.shape

        def __getitem__(self, rows: slice) -> np.ndarray:
            asked.append(rows)
            return image[rows]

    forward = network(radius=3)
    expected = joined(forward, image, 64, 16)
    monkeypatch.setattr("segmodels.prediction.resize.BAND", 10 * 130 * 4)
    parts = list(tiled_logits(forward, Stored(), 64, 16))
    assert max(len(logits) for _, logits in parts) == 10
    np.testing.assert_array_equal(np.concatenate([logits for _, logits in parts]), expected)
    assert asked == [slice(top, top + 64) for top in (0, 48, 96, 144, 192, 237)]


def test_a_result_of_bands_is_that_of_the_whole() -> None:
    image, forward = picture(90, 130), network(radius=2)
    whole = Result(image, forward(image[None])[0][..., :2], LABELS)
    bands = Result(image, lambda: tiled_logits(lambda x: forward(x)[..., :2], image, 32, 8), LABELS)
    np.testing.assert_array_equal(bands.mask, whole.mask)
    np.testing.assert_allclose(bands.confidence, whole.confidence, atol=1e-5)
    np.testing.assert_allclose(bands.probabilities, whole.probabilities, atol=1e-5)


# From training to the mask

TILES: dict[str, Any] = {
    "data": "toy-nuclei",
    "sampling": "tiles",
    "tile_stride": 64,
    "image_size": 64,
    "options": {"width": 4, "depth": 3},
    "batch_size": 8,
    "limit": 4,
    "epochs": 2,
    "learning_rate": 0.01,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEGMODELS_HOME", str(tmp_path_factory.mktemp("tiles") / "home"))
        return train(Recipe(**TILES, deterministic=True))


@pytest.fixture(scope="module")
def model(run: Run) -> Predictor:
    return Predictor(run.best)


def test_training_on_tiles(run: Run) -> None:
    status = run.status()
    assert run.state == "finished"
    assert (status["images"], status["validation_images"]) == (4 * 16, 40 * 16)
    assert len(run.steps()) == 2 * 8
    assert read_spec(run.best).input == InputSpec(mode="tiles", size=64, overlap=16)
    document = json.loads((run.best / "segmodels.json").read_text())
    assert document["input"] == {"mode": "tiles", "size": 64, "overlap": 16}
    assert Image.open(run.path / "samples" / "0-image.png").size == (64, 64)
    assert "tiles of 64 x 64 pixels" in (run.best / "README.md").read_text()


def test_a_picture_is_seen_whole_where_it_is_small(model: Predictor) -> None:
    image = picture(200, 300)
    expected = np.asarray(model.model(image[None], training=False))[0]
    result = model(image)
    np.testing.assert_allclose(result.logits, expected, atol=1e-4)
    assert result.mask.shape == (200, 300)


def test_a_large_picture_goes_in_tiles(model: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    image = open_dataset("toy-nuclei").read_image(open_dataset("toy-nuclei").samples("test")[0])
    image = np.tile(image, (2, 2, 1))[:300, :200]
    whole = model(image)
    monkeypatch.setattr(prediction, "WHOLE_PIXELS", 10_000)
    tiled = model(image)
    assert callable(tiled.scores)
    assert tiled.mask.shape == (300, 200)
    assert (tiled.mask == whole.mask).mean() > 0.95
    np.testing.assert_allclose(tiled.probabilities.sum(-1), 1, atol=1e-5)


@pytest.mark.parametrize("at", ["native", pytest.param("model", marks=pytest.mark.slow)])
def test_evaluating_is_predicting_each_picture(model: Predictor, monkeypatch: pytest.MonkeyPatch, at: Any) -> None:
    report = evaluate(model, split="validation", at=at)
    dataset, confusion, means = open_dataset("toy-nuclei"), ConfusionMatrix(3), MeanFigures()
    for sample in dataset.samples("validation"):
        image, mask = dataset.read(sample)
        result = model(image)
        confusion.add(mask, result.mask)
        means.add(instance_figures(dataset.read_instances(sample), result.instances()))
    assert report["confusion_matrix"] == confusion.counts.tolist()
    assert sum(map(sum, report["confusion_matrix"])) == 40 * 256 * 256
    expected = means.figures()
    assert expected is not None
    assert all(report["instances"][name] == pytest.approx(expected[name]) for name in ("aji", "aji_plus", "pq", "f1"))
    assert report["images"] == 40
    assert np.isfinite(report["loss"])


def test_evaluating_in_tiles(model: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = Dataset.samples
    monkeypatch.setattr(Dataset, "samples", lambda self, split: samples(self, split)[:6])
    whole = evaluate(model, split="test")
    monkeypatch.setattr(prediction, "WHOLE_PIXELS", 1)
    tiled = evaluate(model, split="test")
    assert tiled["images"] == whole["images"] == 6
    assert np.sum(tiled["confusion_matrix"]) == np.sum(whole["confusion_matrix"])
    assert tiled["pixel_accuracy"] == pytest.approx(whole["pixel_accuracy"], abs=0.03)
    assert tiled["loss"] == pytest.approx(whole["loss"], rel=0.2)


class PauseAt(Reporter):
    def __init__(self, step: int, run: Run) -> None:
        self.left, self.run = step, run

    def step(self, row: dict[str, Any], steps: int) -> None:
        self.left -= 1
        if self.left == 0:
            self.run.request("pause")


def test_paused_within_an_epoch_and_resumed_is_as_never_paused(home: Path, run: Run) -> None:
    """The moved windows hang on seed, epoch and step alone."""
    recipe = Recipe(**TILES, deterministic=True)
    paused = Run.create(recipe, home / "paused")
    train(recipe, run_dir=paused.path, reporter=PauseAt(11, paused))
    assert paused.state == "paused"
    assert 8 < len(paused.steps()) < 16
    train(resume=paused)
    for rows, others in ((run.steps(), paused.steps()), (run.history(), paused.history())):
        times = ("seconds", "images_per_second")
        ours, theirs = ([{k: v for k, v in row.items() if k not in times} for row in part] for part in (rows, others))
        assert ours == theirs
    with np.load(run.last / "variables.npz") as ours, np.load(paused.last / "variables.npz") as theirs:
        assert len(ours.files) > 10
        for name in ours.files:
            np.testing.assert_array_equal(ours[name], theirs[name])


def test_the_command_line_trains_and_predicts_in_tiles(home: Path, tmp_path: Path, run: Run) -> None:
    words = shlex.split(Recipe(**TILES, deterministic=True).command())[3:]
    assert "--sampling" in words
    assert recipe_of(cli.parser().parse_args(words)).sampling == "tiles"
    Image.fromarray(picture(200, 300)).save(tmp_path / "slide.png")
    arguments = ["predict", str(run.best), str(tmp_path / "slide.png"), "--out", str(tmp_path / "out")]
    assert cli.main([*arguments, "--format", "png,overlay,npz"]) == 0
    assert Image.open(tmp_path / "out" / "slide-mask.png").size == (300, 200)
    assert np.load(tmp_path / "out" / "slide.npz")["probabilities"].shape == (200, 300, 3)


def test_what_was_seen_in_tiles_is_seen_once() -> None:
    """Mask, objects and maps are of one pass through the network, where the logits are small enough to be kept."""
    asked = []

    def bands() -> Iterator[tuple[slice, np.ndarray]]:
        asked.append(1)
        for top in range(0, 40, 10):
            yield slice(top, top + 10), np.random.default_rng(top).normal(size=(10, 30, 3)).astype(np.float32)

    labels = open_dataset("toy-nuclei").classes
    result = Result(np.zeros((40, 30, 3), np.uint8), bands, labels)
    assert result.mask.shape == result.entropy.shape == result.instances().shape == (40, 30)
    np.testing.assert_array_equal(result.mask, result.logits.argmax(-1))
    assert asked == [1]
