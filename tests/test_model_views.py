"""The views of a model's own: part of its input contract, used wherever nobody asks for others."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from segmodels.cli import main
from segmodels.data.datasets import open_dataset
from segmodels.data.images import read_image, resize_image, resize_mask
from segmodels.errors import UserError
from segmodels.evaluation.confusion import ConfusionMatrix
from segmodels.evaluation.evaluate import evaluate
from segmodels.evaluation.reports import kept_report, load_report
from segmodels.files import read_json
from segmodels.hub.checkpoint import SPEC, InputSpec, read_spec
from segmodels.hub.previews import draw_previews
from segmodels.hub.release import release
from segmodels.prediction.masks import overlay
from segmodels.prediction.predictor import Predictor
from segmodels.prediction.resize import resize_logits
from segmodels.prediction.softmax import softmax
from segmodels.prediction.speed import measure_speed
from segmodels.prediction.stored import StoredPredictions
from segmodels.training.runs import Run


def with_views(source: Path, target: Path, tta: Any) -> Path:
    shutil.copytree(source, target)
    document = json.loads((target / SPEC).read_text())
    document["input"]["tta"] = tta
    (target / SPEC).write_text(json.dumps(document))
    return target


def test_the_contract_names_known_views_and_nothing_where_there_are_none(tiny_run: Run, tmp_path: Path) -> None:
    assert InputSpec(mode="resize", size=64, tta=" turns,flips").tta == "flips,turns"
    assert InputSpec(mode="resize", size=64, tta="none").tta is None
    assert "tta" not in InputSpec(mode="resize", size=64).model_dump()
    assert "tta" not in json.loads((tiny_run.best / SPEC).read_text())["input"]
    for number, wrong in enumerate(("flip", 7, "x" * 1000, ["flips"], "flips,none")):
        with pytest.raises(UserError, match="tta"):
            read_spec(with_views(tiny_run.best, tmp_path / str(number), wrong))


def test_a_picture_is_seen_so_where_nobody_asks_for_others(tiny_run: Run, tmp_path: Path) -> None:
    plain, mirrored = Predictor(tiny_run.best), Predictor(with_views(tiny_run.best, tmp_path / "own", "flips"))
    picture = np.random.default_rng(0).integers(0, 256, (40, 52, 3), dtype=np.uint8)
    own = mirrored(picture).probabilities
    np.testing.assert_array_equal(own, plain(picture, tta="flips").probabilities)
    np.testing.assert_array_equal(mirrored(picture, tta="none").probabilities, plain(picture).probabilities)
    np.testing.assert_array_equal(mirrored(picture, tta=()).probabilities, plain(picture).probabilities)
    assert np.abs(own - plain(picture).probabilities).max() > 1e-4
    with pytest.raises(UserError, match="none stands alone"):
        plain(picture, tta="flips,none")


def test_evaluate_averages_the_probabilities_of_the_views(tiny_run: Run, home: Path, tmp_path: Path) -> None:
    """Against a loop that mirrors each picture by hand."""
    report = evaluate(tiny_run.best, tta="flips", split="validation", keep=False)
    predictor, dataset = Predictor(tiny_run.best, engine="keras"), open_dataset("toy-pets")
    size, confusion = predictor.spec.input.size, ConfusionMatrix(len(predictor.labels))
    for sample in dataset.samples("validation"):
        image, mask = dataset.read(sample)
        small = resize_image(image, size, size)
        mean = sum(
            softmax(predictor.logits(np.ascontiguousarray(small[None, :, ::step]))[0][:, ::step]) for step in (1, -1)
        )
        confusion.add(mask, resize_logits(np.log(mean / 2), *mask.shape).argmax(-1).astype(np.uint8))
    np.testing.assert_allclose(np.array(report["confusion_matrix"]), confusion.counts, atol=2)
    assert report["tta"] == "flips"

    own = with_views(tiny_run.best, tmp_path / "own", "flips")
    found = evaluate(own, split="validation", keep=False)
    assert found["confusion_matrix"] == report["confusion_matrix"]
    once = evaluate(own, split="validation", tta="none", keep=False)
    assert once["tta"] is None
    assert once["confusion_matrix"] == evaluate(tiny_run.best, split="validation", keep=False)["confusion_matrix"]
    assert once["confusion_matrix"] != report["confusion_matrix"]


def test_a_release_with_views_is_measured_and_shown_with_them(
    tiny_run: Run, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["release", str(tiny_run.path), "--out", str(tmp_path / "out"), "--tta", "--size", "64"]) == 0
    out = tmp_path / "out"
    assert read_spec(out).input == InputSpec(mode="resize", size=64, tta="flips")
    figures, card = read_json(out / "metrics.json")["test"], (out / "README.md").read_text()
    assert figures["pixel_accuracy"] == evaluate(out, keep=False)["pixel_accuracy"]
    assert figures["loss"] != evaluate(out, tta="none", keep=False)["loss"]
    assert "in 2 views (flips)" in card
    assert "`--tta none`" in card
    assert measure_speed(out, repeats=1, seconds=0)["views"] == 2
    capsys.readouterr()
    assert main(["evaluate", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tta"] == "flips"
    assert main(["evaluate", str(out)]) == 0
    assert "each seen in 2 views (flips)" in capsys.readouterr().out
    plain = release(out, tmp_path / "plain", tta="none")
    assert "tta" not in json.loads((plain / SPEC).read_text())["input"]
    assert " views" not in (plain / "README.md").read_text()


def test_where_few_are_to_validate_some_of_training_are_shown_too(
    tiny_run: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = open_dataset("toy-pets")
    kept = {"train": dataset.samples("train")[:5], "validation": dataset.samples("validation")[:1], "test": []}
    dataset.given_split = {**kept, "test": dataset.samples("test")}
    draw_previews(Predictor(tiny_run.best, engine="keras"), SimpleNamespace(dataset=lambda: dataset), tmp_path)
    shown = [kept["validation"][0], kept["train"][0], kept["train"][4]]
    size = read_spec(tiny_run.best).input.size
    for number, sample in enumerate(shown):
        picture = np.split(read_image(tmp_path / "previews" / f"{number}.png"), 3, axis=1)[0]
        np.testing.assert_array_equal(picture, resize_image(dataset.read_image(sample), size, size))
    assert len(list((tmp_path / "previews").iterdir())) == 3


def test_the_pictures_of_a_release_show_its_own_masks(tiny_run: Run, home: Path, tmp_path: Path) -> None:
    out = release(tiny_run.path, tmp_path / "out", size=48, tta="flips")
    predictor, dataset = Predictor(out, engine="keras"), open_dataset("toy-pets")
    samples = dataset.samples("validation")
    shown = sorted((out / "previews").iterdir())
    assert [path.name for path in shown] == ["0.png", "1.png", "2.png"]
    for path, sample in zip(shown, [samples[0], samples[(len(samples) - 1) // 2], samples[-1]], strict=True):
        image, truth = dataset.read(sample)
        small = resize_image(image, 48, 48)
        parts = np.split(read_image(path), 3, axis=1)
        np.testing.assert_array_equal(parts[0], small)
        np.testing.assert_array_equal(parts[1], overlay(small, resize_mask(truth, 48, 48), predictor.labels))
        np.testing.assert_array_equal(parts[2], overlay(small, predictor(small).mask, predictor.labels))


def test_a_report_of_other_views_is_not_taken_for_the_models_own(tiny_run: Run, home: Path, tmp_path: Path) -> None:
    own = with_views(tiny_run.best, tmp_path / "own", "flips")
    asked = (own, "toy-pets", None, "validation", "native")
    once = evaluate(own, split="validation", tta="none", masks=True)
    assert load_report(Path(once["report"])).document["tta"] is None
    assert kept_report(*asked) is None
    dataset = open_dataset("toy-pets")
    samples = dataset.samples("validation")
    assert StoredPredictions(own, dataset).missing(samples) == samples
    evaluate(own, split="validation", masks=True)
    assert kept_report(*asked).document["tta"] == "flips"
    assert StoredPredictions(own, dataset).missing(samples) == []
