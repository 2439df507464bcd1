"""Evaluating a model in the app: the work in a process of its own, and what its report shows, counted again by hand."""

from __future__ import annotations

import csv
import io
import json
import shutil
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from segmodels import worker
from segmodels.data.datasets import open_dataset
from segmodels.evaluation.boundary import COUNTS
from segmodels.evaluation.instances import FIGURES
from segmodels.evaluation.picture_counts import PictureCounts
from segmodels.evaluation.reports import Report, kept_report, save_report
from segmodels.home import home as the_home
from segmodels.prediction.stored import StoredPredictions
from segmodels.training.runs import Run
from tests.test_app import texts, widget
from ui.confusion_chart import BY_PREDICTION, BY_TRUTH, CALLED, TRUTH, confusion_chart, shown_values
from ui.confusion_chart import COUNTS as PIXELS
from ui.confusion_view import distinct, most_confused
from ui.evaluate_view import progress_of
from ui.score_charts import reliability_chart, score_histogram
from ui.scores_view import ranking, scores_csv

SCRIPT = "from ui.evaluate_view import evaluate_view\nevaluate_view()"
ALONE = """
from pathlib import Path
from segmodels.evaluation.reports import load_report
from ui.report_view import report_view
report_view(load_report(Path({folder!r})), key="one")
"""


@pytest.fixture(autouse=True)
def _nothing_cached() -> None:
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture(scope="module")
def evaluated_home(tiny_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a run, its report on the test split, and its masks."""
    from segmodels.evaluation.evaluate import evaluate

    folder = tmp_path_factory.mktemp("evaluated") / "home"
    shutil.copytree(tiny_run.path, folder / "runs" / "own")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEGMODELS_HOME", str(folder))
        evaluate(folder / "runs" / "own" / "best", masks=True)
    return folder


@pytest.fixture
def own(evaluated_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The checkpoint of that run; what a test changes it puts back."""
    monkeypatch.setenv("SEGMODELS_HOME", str(evaluated_home))
    return evaluated_home / "runs" / "own" / "best"


@pytest.fixture
def bare(tiny_run: Run, home: Path) -> Path:
    """The checkpoint of a run that was not evaluated."""
    evaluated = shutil.ignore_patterns("evaluations")  # which other tests may have left
    return shutil.copytree(tiny_run.path, home / "runs" / "own", ignore=evaluated) / "best"


def opened(script: str = SCRIPT, **query: str) -> AppTest:
    app = AppTest.from_string(script, default_timeout=60)
    for key, value in query.items():
        app.query_params[key] = value
    return app.run()


def documents(app: AppTest) -> list[dict[str, Any]]:
    """The first document of each component's message."""
    messages = [element.proto.bytes for element in app.get("bidi_component")]
    return [json.loads(each[4 : 4 + struct.unpack("<I", each[:4])[0]]) for each in messages]


def grids(app: AppTest) -> list[list[dict[str, Any]]]:
    return [each["tiles"] for each in documents(app) if isinstance(each.get("tiles"), list)]


def report_of(model: Path, split: str = "test", at: str = "native") -> Report:
    report = kept_report(model, "toy-pets", None, split, at)
    assert report is not None
    return report


def confused_by_hand(model: Path, truth: int, called: int) -> list[tuple[str, int, float]]:
    """From the masks themselves: id, pixels, share of the true class."""
    dataset, found = open_dataset("toy-pets"), []
    stored = StoredPredictions(model, dataset)
    for sample in dataset.samples("test"):
        mask, predicted = dataset.read_mask(sample), stored.mask(sample)
        assert predicted is not None
        pixels = int(((mask == truth) & (predicted == called)).sum())
        if pixels:
            found.append((sample.id, pixels, pixels / int((mask == truth).sum())))
    return sorted(found, key=lambda row: -row[1])


WORDS = ("evaluate", "nothing")


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch, home: Path) -> Iterator[Callable[[str], list[Any]]]:
    """Let a line of Python stand for the process; returns those that were started."""
    real, started = worker.subprocess.Popen, []

    def stand_for(code: str) -> list[Any]:
        def popen(command: list[str], **fields: Any) -> Any:
            if command[0] == "nvidia-smi":
                return real(command, **fields)
            started.append(real([command[0], "-c", code], **fields))
            return started[-1]

        monkeypatch.setattr(worker.subprocess, "Popen", popen)
        return started

    yield stand_for
    worker.cancel("evaluations", WORDS)
    worker._jobs.clear()
    for each in started:
        each.kill()


def until(condition: Callable[[], Any], seconds: float = 20) -> Any:
    for _ in range(int(seconds / 0.05)):
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come to that")


# The report.


def test_a_kept_report_is_shown_at_once(own: Path) -> None:
    app = opened()
    assert not app.exception
    assert not app.error
    document = report_of(own).document
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown["Mean IoU"] == f"{document['mean_iou']:.4f}"
    assert shown["Boundary F1"] == f"{document['boundary']['f1']:.4f}"
    assert shown["ECE"] == f"{document['calibration']['ece']:.4f}"
    assert "AJI" not in shown, "pets are not numbered"
    assert widget(app.button, "Evaluate again")
    assert "Evaluated on 20" in texts(app)
    table = app.dataframe[0].value
    assert list(table["Class"]) == [row["name"] for row in document["classes"]]
    assert list(table["IoU"]) == [row["iou"] for row in document["classes"]]
    assert sum(table["Share"]) == pytest.approx(100)
    assert app.query_params["evaluate-model"] == "own"
    assert app.query_params["evaluate-data"] == "toy-pets"


def test_the_worst_pictures_of_a_cell_are_those_that_the_masks_say(own: Path) -> None:
    names = [label.name for label in open_dataset("toy-pets").classes]
    truth, called = names.index("background"), names.index("pet")
    expected = confused_by_hand(own, truth, called)[:24]
    app = opened(**{"evaluate-truth": "background", "evaluate-called": "pet"})
    assert not app.exception
    captions = [f"{sid} · {pixels:,} px, {100 * share:.3g} %" for sid, pixels, share in expected]
    assert [tile["caption"] for tile in grids(app)[0]] == captions
    assert all("mask" in tile for tile in grids(app)[0])
    # Two boxes do what a click does.
    app = widget(app.selectbox, "Truth").set_value("pet").run()
    app = widget(app.selectbox, "Called").set_value("pet").run()
    right = confused_by_hand(own, names.index("pet"), names.index("pet"))[:24]
    assert [tile["id"] for tile in grids(app)[0]] == [sid for sid, _, _ in right]
    assert app.query_params["evaluate-truth"] == "pet"


def test_the_cell_that_is_chosen_first_is_the_most_confused(own: Path) -> None:
    app = opened()
    counts = np.array(report_of(own).document["confusion_matrix"])
    cells = [(counts[t, c], t, c) for t in range(3) for c in range(3) if t != c]
    names = [label.name for label in open_dataset("toy-pets").classes]
    _, truth, called = max(cells)
    assert widget(app.selectbox, "Truth").value == names[truth]
    assert widget(app.selectbox, "Called").value == names[called]


def test_best_and_worst_pictures_by_a_score(own: Path) -> None:
    dataset, scores = open_dataset("toy-pets"), {}
    stored = StoredPredictions(own, dataset)
    for sample in dataset.samples("test"):
        mask = dataset.read_mask(sample)
        counted = mask != 255
        scores[sample.id] = float((mask == stored.mask(sample))[counted].mean())
    app = opened(**{"evaluate-score": "pixel_accuracy"})
    shown = [tile["id"] for tile in grids(app)[1]]
    assert [scores[sid] for sid in shown] == sorted(scores.values())[:24]
    order = next(group for group in app.button_group if group.label == "Order")
    app = order.set_value("best first").run()
    best = [tile["caption"] for tile in grids(app)[1]]
    assert [caption.split(" · ")[1] for caption in best] == [
        f"{score:.3f}" for score in sorted(scores.values(), reverse=True)[:24]
    ]


def test_a_link_opens_a_picture_in_its_list_errors_first(own: Path) -> None:
    query = {"evaluate-truth": "background", "evaluate-called": "pet", "evaluate-in": "confusion"}
    ids = [tile["id"] for tile in grids(opened(**query))[0]]
    app = opened(**query, **{"evaluate-picture": ids[1]})
    assert not app.exception
    assert len(grids(app)) == 1, "the other list stays"
    (settings,) = [each for each in documents(app) if "show" in each]
    assert settings["show"]["first"] == 2, "truth, prediction, then the errors"
    assert f"{ids[1]}" in texts(app).replace("\\", "")
    app = widget(app.button, "Next").click().run()
    assert app.query_params["evaluate-picture"] == ids[2]
    app = widget(app.button, "All of them").click().run()
    assert len(grids(app)) == 2
    assert "evaluate-picture" not in app.query_params
    gone = opened(**query, **{"evaluate-picture": "no-such-picture"})
    assert not gone.exception
    assert len(grids(gone)) == 2


def test_masks_that_are_not_kept_are_said_and_predicted(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worst = confused_by_hand(own, 1, 0)[0][0]
    dataset = open_dataset("toy-pets")
    sample = next(sample for sample in dataset.samples("test") if sample.id == worst)
    stored = StoredPredictions(own, dataset)
    path = stored.folder / "masks" / f"{dataset.state(sample)}.png"
    before = path.read_bytes()
    path.unlink()
    names = [label.name for label in dataset.classes]
    query = {"evaluate-truth": names[1], "evaluate-called": names[0]}
    app = opened(**query)
    assert "No mask of 1 of these 24 pictures is kept" in texts(app)
    assert "no mask" in next(tile["said"] for tile in grids(app)[0] if tile["id"] == worst)
    large = opened(**query, **{"evaluate-in": "confusion", "evaluate-picture": worst})
    (settings,) = [each for each in documents(large) if "show" in each]
    assert settings["show"]["first"] == 0, "there are no errors to show"
    app = next(button for button in app.button if button.label == "Predict it").click().run()
    assert not app.exception
    assert path.read_bytes() == before
    assert "is kept" not in texts(app)


def test_a_damaged_file_of_counts_is_one_line_and_the_rest_is_shown(own: Path) -> None:
    path = report_of(own).folder / "pictures.npz"
    content = path.read_bytes()
    try:
        path.write_bytes(content[:100])
        app = opened()
    finally:
        path.write_bytes(content)
    assert not app.exception
    assert {error.value.replace("\\", "") for error in app.error} == {f"{path} is damaged: evaluate the model again"}
    assert len(app.metric) == 8
    assert len(app.get("vega_lite_chart")) == 1
    assert not app.get("download_button")[1:], "no scores"


def test_pictures_that_are_gone_are_named(own: Path, tmp_path: Path) -> None:
    kept = report_of(own)
    counts, more = kept.counts, PictureCounts(3)
    for number, sample_id in enumerate(counts.ids):
        renamed = "gone-7" if number == 7 else sample_id
        more.add(renamed, counts.confusion[number], counts.boundary[number], None)
    save_report(tmp_path / "report", kept.document, more)
    app = opened(ALONE.format(folder=str(tmp_path / "report")), **{"one-score": "pixel_accuracy", "one-truth": "pet"})
    lists = grids(app)
    there = [tile for tiles in lists for tile in tiles if tile["id"] == "gone-7"]
    assert not app.exception
    assert there
    assert all("problem" in tile for tile in there)
    assert "Not in toy-pets any more: gone-7" in texts(app).replace("\\", "")


def test_many_classes_and_thousands_of_pictures(home: Path, own: Path, tmp_path: Path) -> None:
    classes, pictures = 40, 3000
    rng = np.random.default_rng(0)
    counts = PictureCounts(classes)
    for number in range(pictures):
        matrix = np.zeros((classes, classes), np.int64)
        some = rng.choice(classes, 4)
        matrix[np.ix_(some, some)] = rng.integers(1, 1000, (4, 4))
        counts.add(
            f"test-{number:04d}", matrix, np.zeros((classes, len(COUNTS)), np.int64), dict.fromkeys(FIGURES, 0.5)
        )
    document = {
        **report_of(own).document,
        "images": pictures,
        "classes": [{"name": f"class {number}", "iou": 0.5, "pixels": 5} for number in range(classes)],
        "confusion_matrix": counts.confusion.sum(axis=0).tolist(),
        "instances": dict.fromkeys(FIGURES, 0.5),
    }
    save_report(tmp_path / "report", document, counts)
    app = opened(ALONE.format(folder=str(tmp_path / "report")))
    assert not app.exception
    assert not app.error
    assert {"AJI", "AJI+", "PQ", "DQ", "SQ", "Dice"} <= {metric.label for metric in app.metric}
    assert widget(app.selectbox, "Score of each picture").value == "instances: aji"
    began = time.monotonic()
    app = widget(app.selectbox, "Truth").set_value("class 3").run()
    assert time.monotonic() - began < 5
    assert not app.exception


# The process.


def test_evaluating_shows_how_far_it_is_and_can_be_stopped(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []
    at_work = False
    said = ["", "evaluating test: 10 of 40", "skipped: one picture", "evaluating test: 30 of 40"]

    def ask(kind: str, words: tuple[str, ...], **terms: Any) -> worker.Answer:
        nonlocal at_work
        at_work = True
        asked.append((kind, words, terms))
        return worker.Answer("running", seconds=65, said=said[0])

    def cancel(*_: Any, **__: Any) -> None:
        nonlocal at_work
        at_work = False

    monkeypatch.setattr(worker, "ask", ask)
    monkeypatch.setattr(worker, "cancel", cancel)
    monkeypatch.setattr(worker, "is_asked", lambda *_, **__: at_work)
    app = opened(**{"evaluate-split": "validation", "evaluate-at": "model", "evaluate-width": "3"})
    assert "pictures of the validation split" in texts(app)
    assert not asked, "nothing is started by a link"
    app = widget(app.button, "Evaluate").click().run()
    assert not app.exception
    _, words, terms = asked[-1]
    assert words == (
        "evaluate", str(bare), "--data", "toy-pets", "--split", "validation", "--at", "model", "--masks",
        "--boundary-width", "3",
    )  # fmt: skip
    assert terms["limit"] > 3600
    assert not terms["keep"]
    shown = []
    for _ in range(4):
        app = app.run()
        shown.append(app.get("progress")[0].proto.text)
        said.pop(0) if len(said) > 1 else None
    assert shown[0] == "Evaluating: loading the model and the first pictures · 1 min 5 s"
    assert [text.split(":")[1].split("·")[0].strip() for text in shown[1:]] == [
        "10 of 40 pictures", "10 of 40 pictures", "30 of 40 pictures",
    ]  # fmt: skip
    app = widget(app.button, "Stop").click().run()
    assert not app.exception
    assert not at_work
    assert widget(app.button, "Evaluate")


def test_evaluating_ends_in_the_report(bare: Path, evaluated_home: Path, process: Callable) -> None:
    kept, place = evaluated_home / "runs" / "own" / "evaluations", bare.parent / "evaluations"
    started = process(f"import shutil; shutil.copytree({str(kept)!r}, {str(place)!r}); print('{{}}')")
    app = widget(opened().button, "Evaluate").click().run()
    app = until(lambda: found if (found := app.run()).metric else None)
    assert not app.exception
    assert len(app.metric) == 8
    assert widget(app.button, "Evaluate again")
    assert "No mask of 24 of these 24 pictures is kept" in texts(app), "this process kept none"
    app = widget(app.button, "Evaluate again").click().run()
    assert len(started) == 2, "it is worked out anew"
    until(lambda: app.run().error)  # the folder is there already: the process says so in its last line
    assert len(app.metric) == 8, "the report that was there is still shown"


def test_a_failure_is_one_line_in_place(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cancelled: list[Any] = []
    monkeypatch.setattr(worker, "is_asked", lambda *_, **__: not cancelled)
    monkeypatch.setattr(worker, "ask", lambda *_, **__: worker.Answer("failed", error="no usable picture in it"))
    monkeypatch.setattr(worker, "cancel", lambda *_, **__: cancelled.append(1))
    app = opened()
    assert [error.value for error in app.error] == ["no usable picture in it"]
    app = widget(app.button, "Close").click().run()
    assert not app.error
    assert widget(app.button, "Evaluate")


def test_other_classes_are_said_before_anything_is_started(bare: Path) -> None:
    app = opened(**{"evaluate-data": "toy-nuclei"})
    assert not app.exception
    assert len(app.error) == 1
    assert "choose a data set with its own classes" in app.error[0].value
    assert not any(button.label.startswith("Evaluate") for button in app.button)


def test_a_model_may_be_typed(bare: Path, tmp_path: Path, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = shutil.copytree(own, tmp_path / "elsewhere")
    monkeypatch.setenv("SEGMODELS_HOME", str(bare.parents[2]))
    app = opened(**{"evaluate-model": "other"})
    assert not app.error
    app = widget(app.text_input, "Checkpoint directory, run, or run with epoch").set_value(str(elsewhere)).run()
    assert not app.exception
    assert widget(app.button, "Evaluate")
    app = app.text_input(key="evaluate-checkpoint").set_value("nothing/here").run()
    assert "neither a checkpoint directory nor a run" in app.error[0].value.replace("\\", "")


def test_a_link_to_a_model_that_is_gone_says_so(bare: Path) -> None:
    app = opened(**{"evaluate-model": "/etc/passwd"})
    assert not app.exception
    assert "is not here any more" in texts(app)
    assert widget(app.selectbox, "Model").value == "own"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("evaluating test: 40 of 253", (40, 253)),
        ("evaluating validation: 9 of 9", (9, 9)),
        ("evaluating test: 50 of 40", (40, 40)),
        ("evaluating test: 0 of 0", (0, 0)),
        ("evaluating test: done", (0, 0)),
        ("", (0, 0)),
    ],
)
def test_how_far_a_line_says_it_is(said: str, expected: tuple[int, int]) -> None:
    assert progress_of(said) == expected


# The worker.


def test_what_a_process_says_is_known_while_it_runs(process: Callable) -> None:
    process(
        "import sys, time; print('evaluating test: 3 of 9', file=sys.stderr, flush=True); print(file=sys.stderr);"
        "time.sleep(60)"
    )
    until(lambda: worker.ask("evaluations", WORDS).said == "evaluating test: 3 of 9")
    assert worker.is_asked("evaluations", WORDS)
    worker.cancel("evaluations", WORDS)
    assert not worker.is_asked("evaluations", WORDS)


def test_an_answer_that_is_not_kept_is_made_anew(process: Callable) -> None:
    started = process("import sys; print('x' * 200_000, file=sys.stderr); print('{\"mean_iou\": 0.5}')")

    def answer() -> worker.Answer:
        return until(lambda: found if (found := worker.ask("evaluations", WORDS, keep=False)).state == "done" else None)

    assert answer().document == {"mean_iou": 0.5}
    assert answer().document == {"mean_iou": 0.5}
    assert len(started) == 1, "known until it is forgotten"
    assert not list((the_home() / "cache").rglob("*.json"))
    worker.cancel("evaluations", WORDS)
    assert answer().document == {"mean_iou": 0.5}
    assert len(started) == 2


def test_a_limit_and_a_patience_of_its_own(process: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "LIMIT", 0.1)
    monkeypatch.setattr(worker, "PATIENCE", 0.1)
    started = process("import time; time.sleep(60)")
    worker.ask("evaluations", WORDS, limit=60, patience=60)
    time.sleep(1)
    assert started[0].poll() is None
    assert worker.ask("evaluations", WORDS, limit=60, patience=60).state == "running"
    worker.cancel("evaluations", WORDS)
    until(lambda: started[0].poll() is not None)
    worker.ask("evaluations", WORDS, limit=60, patience=0.3)
    until(lambda: len(started) == 2 and started[1].poll() is not None, 10)


# Charts and tables.


def test_the_matrix_is_shown_as_counts_and_by_row_and_column() -> None:
    counts = np.array([[8, 2, 0], [1, 0, 3], [0, 0, 0]])
    np.testing.assert_array_equal(shown_values(counts, PIXELS), counts)
    np.testing.assert_allclose(shown_values(counts, BY_TRUTH), [[0.8, 0.2, 0], [0.25, 0, 0.75], [0, 0, 0]])
    np.testing.assert_allclose(shown_values(counts, BY_PREDICTION), [[8 / 9, 1, 0], [1 / 9, 0, 1], [0, 0, 0]])
    assert most_confused(counts) == (1, 2)
    assert most_confused(np.diag([3, 4])) is None


def test_cells_of_the_chart() -> None:
    counts = np.array([[800, 200], [1, 99]])
    document = confusion_chart(counts, ["a.b", "<c>"], BY_TRUTH, (1, 0)).to_dict()
    (rows,) = document["datasets"].values()
    assert [(row[TRUTH], row[CALLED], row["text"]) for row in rows] == [
        ("a.b", "a.b", "80.0"), ("a.b", "<c>", "20.0"), ("<c>", "a.b", "1.0"), ("<c>", "<c>", "99.0"),
    ]  # fmt: skip
    assert [row["chosen"] for row in rows] == [False, False, True, False]
    assert rows[1]["of called"] == "66.89 %"
    assert [param["name"] for param in document["params"]] == ["cell"]


def test_of_many_classes_only_cells_with_pixels_are_sent() -> None:
    document = confusion_chart(np.diag(np.arange(1, 61)), [str(n) for n in range(60)], PIXELS, (0, 1)).to_dict()
    (rows,) = document["datasets"].values()
    assert len(rows) == 61, "the diagonal, and the cell that is chosen"


def test_names_that_are_the_same_are_told_apart() -> None:
    assert distinct(["road", "car", "road"]) == ["road (0)", "car", "road (2)"]


def test_a_histogram_counts_every_picture_once() -> None:
    scores = np.array([0.0, 0.31, 0.31, 1.0, np.nan, 0.999])
    figure = score_histogram(scores, "Mean IoU")
    assert sum(figure.data[0].y) == 5
    assert figure.layout.shapes[0].x0 == pytest.approx(np.nanmean(scores))
    assert score_histogram(np.array([np.nan]), "x").data[0].y is not None


def test_the_reliability_curve() -> None:
    bins = [
        {"low": 0.0, "high": 0.5, "pixels": 0, "confidence": None, "accuracy": None},
        {"low": 0.5, "high": 1.0, "pixels": 10, "confidence": 0.75, "accuracy": 0.6},
    ]
    bars, _, line = reliability_chart(bins).data
    assert list(bars.y) == [0, 100]
    assert (list(line.x), list(line.y)) == ([0.75], [60.0])


def test_pictures_in_the_order_of_their_score() -> None:
    values = np.array([0.5, np.nan, 0.1, 0.9, 0.1])
    assert ranking(values, best=False) == [2, 4, 0, 3]
    assert ranking(values, best=True) == [3, 0, 2, 4]


def test_scores_as_a_table() -> None:
    text = scores_csv(["a,b", "c"], {"mean_iou": np.array([0.25, np.nan]), "instances: pq": np.array([1.0, 0.5])})
    assert list(csv.reader(io.StringIO(text))) == [
        ["id", "mean_iou", "instances: pq"], ["a,b", "0.250000", "1.000000"], ["c", "", "0.500000"],
    ]  # fmt: skip
