"""What a model sees in a data set, kept: against predicting it, and what becomes of it when something changes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segmodels.data.dataset import IGNORE, Dataset, Sample
from segmodels.data.datasets import open_dataset
from segmodels.data.disk import Stopped
from segmodels.prediction.predictor import Predictor
from segmodels.prediction.stored import StoredPredictions, disagreement
from segmodels.training.runs import Run
from tests.small_pets import write_small_pets


@pytest.fixture(scope="module")
def predictor(tiny_run: Run) -> Predictor:
    return Predictor(tiny_run.best)


@pytest.fixture
def pets(home: Path, tmp_path: Path) -> Dataset:
    return open_dataset("oxford-pets", write_small_pets(tmp_path / "pets"))


def all_samples(pets: Dataset) -> list[Sample]:
    return [*pets.samples("train"), *pets.samples("test")]


def test_the_share_that_differs_leaves_out_what_is_ignored() -> None:
    truth = np.array([[0, 1, 2], [IGNORE, 1, 0]], np.uint8)
    predicted = np.array([[0, 1, 1], [1, 0, 0]], np.uint8)
    assert disagreement(truth, predicted) == 2 / 5
    assert disagreement(np.full((2, 2), IGNORE, np.uint8), np.zeros((2, 2), np.uint8)) == 0


def test_masks_and_figures_are_those_of_predicting(predictor: Predictor, pets: Dataset) -> None:
    samples, told = all_samples(pets), []
    stored = StoredPredictions(predictor.path, pets)
    assert stored.disagreement(samples) == {}
    assert stored.mask(samples[0]) is None
    stored.predict(predictor, samples, progress=lambda done, total, what: told.append((done, total)))
    assert told == [(done, len(samples)) for done in range(len(samples) + 1)]
    kept = StoredPredictions(predictor.path, pets)  # as another session finds it
    figures = kept.disagreement(samples)
    assert list(figures) == [sample.id for sample in samples]
    for sample in samples:
        image, truth = pets.read(sample)
        mask = predictor(image).mask
        np.testing.assert_array_equal(kept.mask(sample), mask)
        assert figures[sample.id] == pytest.approx(np.mean((truth != mask)[truth != IGNORE]))


def test_it_goes_on_where_it_was_stopped(predictor: Predictor, pets: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = all_samples(pets)
    stored = StoredPredictions(predictor.path, pets)
    asked = iter([False, False, True])
    with pytest.raises(Stopped):
        stored.predict(predictor, samples, stop=lambda: next(asked))
    assert list(stored.disagreement(samples)) == [sample.id for sample in samples[:2]]
    seen: list[str] = []
    plain = Predictor.__call__

    def watched(self: Predictor, picture: np.ndarray, *, name: str) -> object:
        seen.append(name)
        return plain(self, picture, name=name)

    monkeypatch.setattr(Predictor, "__call__", watched)
    stored.predict(predictor, samples)
    assert seen == [sample.id for sample in samples[2:]]
    assert len(stored.disagreement(samples)) == len(samples)


def test_what_changed_is_not_found_any_more(predictor: Predictor, pets: Dataset, tmp_path: Path) -> None:
    first, second, third, fourth, *_ = samples = all_samples(pets)
    model = Path(shutil.copytree(predictor.path, tmp_path / "model"))
    stored = StoredPredictions(model, pets)
    stored.predict(predictor, samples)
    assert first.mask_path is not None
    assert second.image_path is not None
    Image.fromarray(np.full((30, 40), 2, np.uint8)).save(first.mask_path)  # another truth
    second.image_path.unlink()
    (stored.folder / "masks" / f"{pets.state(third)}.png").write_bytes(b"no picture")
    (stored.folder / "masks" / f"{pets.state(fourth)}.png").unlink()
    with (stored.folder / "index.jsonl").open("a") as index:
        index.write('\n{"state": "cut o')
    left = stored.disagreement(samples)
    assert set(left) == {sample.id for sample in samples[2:]}
    assert stored.mask(first) is stored.mask(second) is stored.mask(third) is stored.mask(fourth) is None
    assert stored.missing(samples) == [first, fourth]

    before = stored.folder
    stored.predict(predictor, samples)  # a picture that is gone is passed over
    assert set(stored.disagreement(samples)) == {sample.id for sample in samples} - {second.id}
    assert stored.mask(fourth) is not None
    weights = model / "model.weights.h5"
    weights.write_bytes(weights.read_bytes() + b" ")
    other = StoredPredictions(model, pets)
    assert other.disagreement(samples) == {}, "another model"
    other.predict(predictor, samples)
    assert not before.exists(), "of an earlier state nothing is kept"


def test_what_cannot_be_read_is_tried_once(predictor: Predictor, pets: Dataset) -> None:
    first, *_ = samples = all_samples(pets)
    assert first.image_path is not None
    first.image_path.write_bytes(b"no picture")
    stored = StoredPredictions(predictor.path, pets)
    stored.predict(predictor, samples)
    assert first.id not in stored.disagreement(samples)
    assert stored.missing(samples) == []
