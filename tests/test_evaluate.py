"""`evaluate` against an independent slow loop, and the form of its report."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from sklearn import metrics

from segmodels import cli
from segmodels.data.dataset import Dataset
from segmodels.data.datasets import open_dataset
from segmodels.data.images import resize_image
from segmodels.errors import UserError
from segmodels.evaluation.boundary import boundary_counts, boundary_f1, boundary_iou
from segmodels.evaluation.calibration import Calibration
from segmodels.evaluation.confusion import ConfusionMatrix
from segmodels.evaluation.evaluate import evaluate
from segmodels.evaluation.instances import FIGURES, instance_figures
from segmodels.evaluation.reports import kept_report, load_report
from segmodels.prediction.predictor import Predictor, Result
from segmodels.prediction.stored import StoredPredictions
from segmodels.training.losses import make_loss
from segmodels.training.reporter import Reporter
from segmodels.training.runs import Run

KEYS = [
    "model", "data", "split", "images", "at", "loss", "pixel_accuracy", "mean_iou", "mean_dice", "precision", "recall",
    "f1", "classes", "confusion_matrix", "instances", "images_per_second",
]  # fmt: skip
#: What the report has beside them.
MORE = ["mse", "boundary", "calibration", "skipped", "tiled", "tta", "root", "report"]
CLASS_KEYS = ["name", "iou", "dice", "precision", "recall", "pixels", "boundary_iou", "boundary_f1"]


@pytest.fixture(scope="module")
def predictor(tiny_run: Run) -> Predictor:
    return Predictor(tiny_run.best)


def slow(predictor: Predictor, split: str, at: str) -> tuple[np.ndarray, np.ndarray]:
    """Every counted pixel's class and prediction, one picture at a time, resized by TensorFlow."""
    tf = pytest.importorskip("tensorflow")
    dataset = open_dataset("toy-pets")
    truths, predictions = [], []
    for sample in dataset.samples(split):
        image, mask = dataset.read_image(sample), dataset.read_mask(sample)
        small = np.asarray(Image.fromarray(image).resize((32, 32), Image.Resampling.BILINEAR))
        logits = predictor.model(small[None].astype(np.float32), training=False)
        if at == "native":
            logits = tf.image.resize(logits, mask.shape, method="bilinear")
        else:
            mask = np.asarray(Image.fromarray(mask).resize((32, 32), Image.Resampling.NEAREST))
        prediction = np.asarray(logits)[0].argmax(-1)
        truths.append(mask[mask != 255])
        predictions.append(prediction[mask != 255])
    return np.concatenate(truths), np.concatenate(predictions)


@pytest.mark.parametrize("at", ["native", "model"])
def test_the_report_agrees_with_a_slow_loop(predictor: Predictor, at: Any) -> None:
    report = evaluate(predictor, data="toy-pets", split="validation", at=at)
    truth, prediction = slow(predictor, "validation", at)
    counts = metrics.confusion_matrix(truth, prediction, labels=range(3))
    differing = np.abs(np.array(report["confusion_matrix"]) - counts).sum()
    assert differing <= 1e-4 * counts.sum(), "but for ties in the last bit"
    assert np.array(report["confusion_matrix"]).sum() == len(truth)
    iou = metrics.jaccard_score(truth, prediction, labels=range(3), average=None)
    assert report["mean_iou"] == pytest.approx(iou.mean(), abs=1e-3)
    assert [row["iou"] for row in report["classes"]] == pytest.approx(list(iou), abs=1e-3)
    assert report["pixel_accuracy"] == pytest.approx((truth == prediction).mean(), abs=1e-3)
    macro = {"average": "macro", "zero_division": 0}
    assert report["precision"] == pytest.approx(metrics.precision_score(truth, prediction, **macro), abs=1e-3)
    assert report["recall"] == pytest.approx(metrics.recall_score(truth, prediction, **macro), abs=1e-3)
    assert report["mean_dice"] == pytest.approx(metrics.f1_score(truth, prediction, **macro), abs=1e-3)


def test_the_report_has_the_keys_of_the_design_in_order(predictor: Predictor, tiny_run: Run) -> None:
    report = evaluate(predictor, split="test")
    assert list(report) == KEYS + MORE
    assert [list(row) for row in report["classes"]] == [CLASS_KEYS] * 3
    assert [row["name"] for row in report["classes"]] == ["pet", "background", "border"]
    assert report["model"] == str(tiny_run.best)
    assert (report["data"], report["split"], report["images"], report["at"]) == ("toy-pets", "test", 40, "native")
    assert report["instances"] is None
    assert report["images_per_second"] > 0
    assert json.loads(json.dumps(report)) == report
    matrix = np.array(report["confusion_matrix"])
    assert [row["pixels"] for row in report["classes"]] == matrix.sum(axis=1).tolist()
    p, r = report["precision"], report["recall"]
    assert report["f1"] == pytest.approx(2 * p * r / (p + r))


@pytest.mark.parametrize("text", ["cross_entropy+dice", "lovasz", "border_cross_entropy+0.1*boundary"])
def test_the_loss_is_the_recipes(text: str, tiny_run: Run, tmp_path: Path) -> None:
    """Also one that needs maps of the masks, in which the pets' class 1 is the background."""
    folder = tmp_path / "checkpoint"
    shutil.copytree(tiny_run.best, folder)
    document = json.loads((folder / "segmodels.json").read_text())
    document["recipe"]["loss"] = text
    (folder / "segmodels.json").write_text(json.dumps(document))
    predictor = Predictor(folder)
    dataset = open_dataset("toy-pets")
    pairs = [dataset.read(sample) for sample in dataset.samples("test")]
    images = np.stack([np.asarray(Image.fromarray(i).resize((32, 32), Image.Resampling.BILINEAR)) for i, _ in pairs])
    masks = np.stack([np.asarray(Image.fromarray(m).resize((32, 32), Image.Resampling.NEAREST)) for _, m in pairs])
    loss = make_loss(text, background=1)
    logits = np.asarray(predictor.model(images, training=False))
    expected = np.mean([float(loss(masks[i : i + 8], logits[i : i + 8])) for i in range(0, 40, 8)])
    assert evaluate(predictor, split="test")["loss"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("at", ["native", "model"])
def test_the_report_is_kept_with_the_counts_of_each_picture(
    tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: Any
) -> None:
    monkeypatch.setenv("SEGMODELS_HOME", str(tmp_path / "home"))
    run = Path(shutil.copytree(tiny_run.path, tmp_path / "run", ignore=shutil.ignore_patterns("evaluations")))
    assert kept_report(run / "best", "toy-pets", None, "test", at) is None
    report = evaluate(run / "best", split="test", at=at, masks=True)
    kept = kept_report(run / "best", "toy-pets", None, "test", at)
    assert kept is not None
    assert kept.folder == run / "evaluations" / f"toy-pets-test-{at}" == Path(report["report"])
    assert kept.document == report
    assert kept.counts.ids == [sample.id for sample in open_dataset("toy-pets").samples("test")]
    assert kept.counts.confusion.sum(axis=0).tolist() == report["confusion_matrix"]
    outlines = kept.counts.boundary.sum(axis=0)
    assert [row["boundary_iou"] for row in report["classes"]] == boundary_iou(outlines).tolist()
    assert report["boundary"]["f1"] == pytest.approx(boundary_f1(outlines).mean())
    predictor, dataset = Predictor(run / "best"), open_dataset("toy-pets")
    stored = StoredPredictions(run / "best", dataset)
    for sample in dataset.samples("test")[:5]:
        found = stored.mask(sample)
        if at == "model":
            assert found is None, "masks of another size are of no use beside the pictures"
        else:
            assert found is not None
            image, mask = dataset.read(sample)
            assert (found != predictor(image).mask).mean() < 1e-3
            place = kept.counts.ids.index(sample.id)
            matrix = ConfusionMatrix(3)
            matrix.add(mask, found)
            np.testing.assert_array_equal(kept.counts.confusion[place], matrix.counts)
    weights = run / "best" / "model.weights.h5"
    later = (kept.folder / "report.json").stat().st_mtime + 1
    os.utime(weights, (later, later))
    assert kept_report(run / "best", "toy-pets", None, "test", at) is None, "the weights are others by now"


def test_outlines_and_confidence_are_of_the_same_pass(predictor: Predictor) -> None:
    report = evaluate(predictor, split="validation", boundary_width=2, keep=False)
    assert report["report"] is None
    dataset, calibration = open_dataset("toy-pets"), Calibration()
    outlines = np.zeros((3, 7), np.int64)
    for sample in dataset.samples("validation"):
        image, mask = dataset.read(sample)
        result = predictor(image)
        outlines += boundary_counts(mask, result.mask, 3, 2)
        calibration.add(mask, result.mask, result.confidence)
    found = [row["boundary_iou"] for row in report["classes"]]
    assert found == pytest.approx(boundary_iou(outlines).tolist(), abs=1e-3)
    assert report["calibration"]["ece"] == pytest.approx(calibration.figures()["ece"], abs=1e-3)
    pixels = sum(row["pixels"] for row in report["calibration"]["bins"])
    assert pixels == np.sum(report["confusion_matrix"])
    assert report["boundary"]["width"] == 2
    with pytest.raises(UserError, match="boundary width"):
        evaluate(predictor, boundary_width=0)


def test_a_model_of_whole_pictures_sees_no_tiles(predictor: Predictor) -> None:
    with pytest.raises(UserError, match="sees whole pictures, resized to 32 pixels"):
        evaluate(predictor, tiled=True)


@pytest.mark.usefixtures("few")
def test_tiled_and_whole_are_what_the_predictor_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool | None] = []

    class Asked(Sees):
        def __call__(self, picture: np.ndarray, *, tiled: bool | None = None, tta: str | None = None) -> Result:
            seen.append(tiled)
            return super().__call__(picture)

    asked = Asked(open_dataset("toy-nuclei"), "tiles", 256, blur=1)
    for tiled in (None, True, False):
        assert evaluate(asked, split="test", tiled=tiled)["tiled"] is tiled
    assert seen == [None] * 6 + [True] * 6 + [False] * 6


def test_a_report_that_cannot_be_beside_its_checkpoint_is_in_the_home(
    tiny_run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segmodels.evaluation.reports.os.access", lambda *_: False)
    report = evaluate(tiny_run.best, split="test", at="model")
    assert Path(report["report"]).is_relative_to(home / "evaluations")
    assert kept_report(tiny_run.best, "toy-pets", None, "test", "model").document == report  # type: ignore[union-attr]


@pytest.mark.parametrize("damage", ["", "{}", '{"model": "x", "images": "many"}', "[1]"])
def test_a_damaged_report_is_as_none(tiny_run: Run, tmp_path: Path, damage: str) -> None:
    run = Path(shutil.copytree(tiny_run.path, tmp_path / "run"))
    folder = Path(evaluate(run / "best", split="test", at="model")["report"])
    (folder / "report.json").write_text(damage)
    assert kept_report(run / "best", "toy-pets", None, "test", "model") is None
    with pytest.raises(UserError) as caught:
        load_report(folder)
    assert "\n" not in str(caught.value)


def changed(document: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    """A copy with another value at a place, such as `classes.0.iou`."""
    document = json.loads(json.dumps(document))
    *way, last = (int(part) if part.isdecimal() else part for part in place.split("."))
    inner: Any = document
    for part in way:
        inner = inner[part]
    inner[last] = value
    return document


NUMBERS = [
    "loss", "pixel_accuracy", "mean_iou", "mean_dice", "precision", "recall", "f1", "mse", "images_per_second",
    "boundary.iou", "boundary.f1", "calibration.ece", "calibration.bins.3.low", "calibration.bins.3.confidence",
    "calibration.bins.3.accuracy", "instances.pq", *(f"classes.1.{name}" for name in
    ("iou", "dice", "precision", "recall", "boundary_iou", "boundary_f1")),
]  # fmt: skip
WHOLE = ["images", "skipped", "boundary.width", "classes.1.pixels", "confusion_matrix.1.1", "calibration.bins.3.pixels"]


def test_what_readers_of_a_report_take_for_granted(tiny_run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "report"
    folder.mkdir()
    whole = evaluate(tiny_run.best, split="test", at="model", keep=False)
    whole["instances"] = dict.fromkeys(FIGURES, 0.5)

    def loaded(document: dict[str, Any]) -> bool:
        (folder / "report.json").write_text(json.dumps(document))
        with suppress(UserError):
            return bool(load_report(folder).document)
        return False

    assert loaded(whole)
    wrong = [(place, value) for place in NUMBERS for value in ("high", [1], True, 10**400)]
    wrong += [(place, float("nan")) for place in NUMBERS if place not in ("loss", "mse")]
    wrong += [(place, value) for place in WHOLE for value in (-1, 0.5, "1", True, 2**53, 10**400)]
    wrong += [("classes", []), ("classes.0.name", 3), ("classes.0", None), ("confusion_matrix", [[1]] * 3)]
    wrong += [("confusion_matrix.0", [2**52] * 3), ("calibration.bins", {}), ("calibration.bins.0", None)]
    wrong += [("instances", [1]), ("root", 3), ("boundary", None), ("calibration", []), ("mean_iou", None)]
    assert [(place, value) for place, value in wrong if loaded(changed(whole, place, value))] == []
    assert not loaded({**whole, "classes": [], "confusion_matrix": []})
    right = [
        (place, None) for place in NUMBERS if place not in ("pixel_accuracy", "mean_iou", "calibration.bins.3.low")
    ]
    right += [("instances", None), ("loss", float("nan")), ("loss", float("inf")), ("mse", float("nan"))]
    assert [place for place, value in right if not loaded(changed(whole, place, value))] == []


def test_counts_of_another_evaluation_are_said(tiny_run: Run, tmp_path: Path) -> None:
    """As many classes and pictures as the report has, and a pixel that was taken for another class."""
    run = Path(shutil.copytree(tiny_run.path, tmp_path / "run"))
    folder = Path(evaluate(run / "best", split="test", at="model")["report"])
    document = load_report(folder).document
    assert load_report(folder).counts.total.tolist() == document["confusion_matrix"]
    document["confusion_matrix"][0][0] += 1
    (folder / "report.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match="does not belong to its report: evaluate the model again"):
        _ = load_report(folder).counts


def test_a_model_is_named_by_run_id_or_directory(tiny_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGMODELS_HOME", str(tiny_run.path.parents[1]))
    by_id, by_path = evaluate(tiny_run.id, split="test"), evaluate(tiny_run.path, split="test")
    assert by_id["confusion_matrix"] == by_path["confusion_matrix"]


def test_what_cannot_be_read_is_skipped_and_named(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Dataset.read

    def some(self: Dataset, sample: Any) -> Any:
        if sample.id.endswith("3"):
            raise UserError(f"{sample.id}: the picture is truncated")
        return read(self, sample)

    class Notes(Reporter):
        def __init__(self) -> None:
            self.notes: list[str] = []

        def note(self, text: str) -> None:
            self.notes.append(text)

    monkeypatch.setattr(Dataset, "read", some)
    reporter = Notes()
    report = evaluate(predictor, split="test", reporter=reporter)
    assert report["images"] == 36
    assert reporter.notes == [f"skipped: test-{i:04d}: the picture is truncated" for i in (3, 13, 23, 33)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"data": "toy-nuclei"}, "the model knows the classes pet, background, border, but toy-nuclei has"),
        ({"data": "toy-pet"}, "did you mean 'toy-pets'"),
        ({"split": "tests"}, "did you mean 'test'"),
        ({"at": "natives"}, "did you mean 'native'"),
    ],
)
def test_what_cannot_be_compared(predictor: Predictor, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        evaluate(predictor, **arguments)


def test_a_model_that_is_not_there(home: Path, tmp_path: Path) -> None:
    for name in ("20200101-nothing", tmp_path, "x" * 5000, "no/such/place", ""):
        with pytest.raises(UserError, match="neither a checkpoint directory nor a run"):
            evaluate(name)


@pytest.mark.parametrize(
    "recipe", [{"loss": 5}, {"loss": "dise"}, {"class_weights": [1, 2]}, {"class_weights": "x"}, {"data": 7}], ids=str
)
def test_a_recipe_that_a_stranger_wrote(tiny_run: Run, tmp_path: Path, recipe: dict[str, Any]) -> None:
    folder = Path(shutil.copytree(tiny_run.best, tmp_path / "model"))
    document = json.loads((folder / "segmodels.json").read_text())
    document["recipe"].update(recipe)
    (folder / "segmodels.json").write_text(json.dumps(document))
    with pytest.raises(UserError) as caught:
        evaluate(folder, split="test")
    assert "\n" not in str(caught.value)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six pictures of each split, and no more."""
    samples = Dataset.samples
    monkeypatch.setattr(Dataset, "samples", lambda self, split: samples(self, split)[:6])


class Sees(Predictor):
    """Knows the answer for every picture of a data set: its true mask blurred, as float32 logits."""

    def __init__(self, dataset: Dataset, mode: str, size: int, blur: float) -> None:
        self.path, self.labels = Path("sees"), dataset.classes
        recipe = {"data": dataset.name, "image_size": 32}
        self.spec = SimpleNamespace(input=SimpleNamespace(mode=mode, size=size, overlap=0, tta=None), recipe=recipe)
        self.answers = {}
        for sample in dataset.samples("test"):
            image, mask = dataset.read_image(sample), dataset.read_mask(sample)
            chances = cv2.GaussianBlur(np.eye(len(self.labels), dtype=np.float32)[mask], (0, 0), blur)
            key = resize_image(image, size, size).tobytes()
            self.answers[key] = cv2.resize(np.log(chances.clip(1e-6)), (size, size))

    def __call__(self, picture: np.ndarray, *, tiled: bool | None = None, tta: str | None = None) -> Result:
        return Result(picture, self.logits(picture[None])[0], self.labels)

    def logits(self, images: np.ndarray) -> np.ndarray:
        nothing = np.zeros((*images.shape[1:3], len(self.labels)), np.float32)  # for what fills up a batch
        return np.stack([self.answers.get(image.tobytes(), nothing) for image in images])


@pytest.mark.parametrize(
    ("mode", "size", "at"), [("tiles", 256, "native"), ("resize", 256, "native"), ("resize", 128, "model")]
)
def test_instances_are_means_over_the_pictures(few: None, mode: str, size: int, at: Any) -> None:
    """Against the pictures one by one, each from what is public."""
    dataset = open_dataset("toy-nuclei")
    sees = Sees(dataset, mode, size, blur=1)
    report = evaluate(sees, split="test", at=at)
    expected = []
    for sample in dataset.samples("test"):
        image, mask, truth = dataset.read_image(sample), dataset.read_mask(sample), dataset.read_instances(sample)
        if size != 256:
            mask, truth = (
                np.asarray(Image.fromarray(part).resize((size, size), Image.Resampling.NEAREST))
                for part in (mask, truth)
            )
        result = Result(mask, sees.logits(resize_image(image, size, size)[None])[0], dataset.classes)
        figures = instance_figures(truth, result.instances())
        expected.append({**figures, "dice": metrics.f1_score(mask.ravel() > 0, result.mask.ravel() > 0)})
    assert list(report["instances"]) == ["dice", "aji", "aji_plus", "pq", "dq", "sq", "f1"]
    for name, value in report["instances"].items():
        assert value == pytest.approx(np.mean([figures[name] for figures in expected]), rel=1e-6), name
    assert 0.85 * size / 256 < report["instances"]["aji"] < 1, "less where nuclei are half as wide"
    assert json.loads(json.dumps(report)) == report


def test_instances_that_are_ignored_count_in_no_figure(few: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the left half of every mask ignored the right half alone is compared."""
    dataset = open_dataset("toy-nuclei")
    sees = Sees(dataset, "tiles", 256, blur=1)
    whole = [sees(dataset.read_image(sample)).instances() for sample in dataset.samples("test")]
    halves = [
        instance_figures(dataset.read_instances(sample)[:, 128:], found[:, 128:])
        for sample, found in zip(dataset.samples("test"), whole, strict=True)
    ]
    read_mask = type(dataset).read_mask

    def half(self: Dataset, sample: Any) -> np.ndarray:
        mask = read_mask(self, sample)
        mask[:, :128] = 255
        return mask

    monkeypatch.setattr(type(dataset), "read_mask", half)
    found = evaluate(sees, split="test")["instances"]
    for name in ("aji", "aji_plus", "pq", "dq", "sq", "f1"):
        assert found[name] == pytest.approx(np.mean([figures[name] for figures in halves])), name


def test_two_classes_are_parted_by_their_shape(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = Dataset.samples
    monkeypatch.setattr(Dataset, "samples", lambda self, split: samples(self, split)[:1])
    two = open_dataset("monuseg-2", data_folder)
    report = evaluate(Sees(two, "tiles", 1000, blur=1), root=data_folder, split="test")
    assert report["images"] == 1
    assert report["instances"]["dice"] > 0.99
    assert report["instances"]["aji"] > 0.9


def test_the_command_line_shows_the_figures_of_objects(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], predictor: Predictor
) -> None:
    report = evaluate(predictor, split="test")
    monkeypatch.setattr("segmodels.evaluation.evaluate.evaluate", lambda *_, **__: report)
    assert cli.main(["evaluate", "model"]) == 0
    without = capsys.readouterr().out
    report["instances"] = {"dice": 0.8, "aji": 0.58256, "aji_plus": 0.6}
    assert cli.main(["evaluate", "model"]) == 0
    with_ = capsys.readouterr().out
    assert with_.startswith(without.rstrip("\n"))
    lines = with_.removeprefix(without.rstrip("\n")).split()
    assert lines[:3] == ["of", "objects", "value"]
    assert lines[-6:] == ["dice", "0.8000", "aji", "0.5826", "aji_plus", "0.6000"]


def test_a_model_whose_backbone_was_frozen_at_first_is_evaluated(tiny_run: Run, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_run.path, tmp_path / "run"))
    recipe = json.loads((folder / "recipe.json").read_text())
    (folder / "recipe.json").write_text(
        json.dumps({**recipe, "backbone": "mobilenetv2", "options": {}, "weights": "imagenet", "freeze_epochs": 2})
    )
    assert evaluate(folder / "best", split="test")["images"] > 0
