"""`predict_files` and `predict`: many pictures from files, folders and archives, one result each, whatever fails."""

from __future__ import annotations

import csv
import io
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from segmodels.cli import main
from segmodels.data.dataset import IGNORE
from segmodels.data.disk import Stopped
from segmodels.data.images import read_mask
from segmodels.errors import UserError
from segmodels.prediction import large
from segmodels.prediction.predictor import Predictor
from segmodels.prediction.result import Refinement
from segmodels.prediction.write import predict_files
from segmodels.training.reporter import Reporter
from segmodels.training.runs import Run


@pytest.fixture(scope="module")
def predictor(tiny_run: Run) -> Predictor:
    return Predictor(tiny_run.best, engine="keras")


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng([height, width]).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def given(tmp_path: Path) -> list[Path]:
    """A picture, a folder with another and one that is broken, and an archive with a third."""
    folder = tmp_path / "plates"
    (folder / "deep").mkdir(parents=True)
    Image.fromarray(picture(40, 50)).save(tmp_path / "one.png")
    Image.fromarray(picture(31, 33)).save(folder / "deep" / "two.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 and no more")
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        Image.fromarray(picture(20, 64)).save(file := io.BytesIO(), "PNG")
        archive.writestr("a/three.png", file.getvalue())
    return [tmp_path / "one.png", folder, tmp_path / "some.zip"]


def test_each_picture_has_its_result_and_one_that_fails_stops_no_other(
    predictor: Predictor, given: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    rows = predict_files(predictor, given, out, ["png"])
    assert [row["error"] is None for row in rows] == [True, False, True, True]
    assert "broken.jpg" in rows[1]["error"]
    assert "\n" not in rows[1]["error"]
    sizes = [(40, 50), (31, 33), (20, 64)]
    for row, size in zip([rows[0], *rows[2:]], sizes, strict=True):
        mask = read_mask(Path(row["files"][0]))
        np.testing.assert_array_equal(mask, predictor(picture(*size)).mask)
        assert (row["height"], row["width"]) == size
    assert len(list(out.iterdir())) == 3


def test_what_is_asked_for_reaches_the_mask(predictor: Predictor, given: list[Path], tmp_path: Path) -> None:
    plain = predictor(picture(40, 50), tta="flips")
    threshold = float(np.median(plain.confidence))
    (row,) = predict_files(
        predictor, given[:1], tmp_path, ["png"], tta="flips", refinement=Refinement(threshold, smallest=9)
    )
    mask = read_mask(Path(row["files"][0]))
    np.testing.assert_array_equal(mask, plain.refined(threshold=threshold, smallest=9).mask)
    assert (mask == IGNORE).any()


def test_stopped_between_pictures_it_keeps_what_is_done(
    predictor: Predictor, given: list[Path], tmp_path: Path
) -> None:
    asked = iter([False, False, True])
    with pytest.raises(Stopped, match="after 2 of 4 pictures"):
        predict_files(predictor, given, tmp_path / "out", ["png"], stop=lambda: next(asked))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["one-mask.png"]


def test_one_picture_alone_tells_of_its_views_and_is_stopped_between_them(
    predictor: Predictor, given: list[Path], tmp_path: Path
) -> None:
    told: list[tuple[int, int]] = []

    class Told(Reporter):
        def progress(self, done: int, total: int, what: str) -> None:
            if what == f"predicting {given[0]}":
                told.append((done, total))

    predict_files(predictor, given[:1], tmp_path / "out", ["png"], tta="flips", reporter=Told())
    assert told == [(1, 2), (2, 2)]
    asked = iter([False, False, True])
    with pytest.raises(Stopped, match="nothing of it was written"):
        predict_files(predictor, given[:1], tmp_path / "none", ["png"], tta="flips,turns", stop=lambda: next(asked))
    assert list((tmp_path / "none").iterdir()) == []


def test_too_little_memory_for_one_is_its_error(
    predictor: Predictor, given: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits = Predictor.logits
    calls = []

    def once(self: Predictor, images: np.ndarray) -> np.ndarray:
        calls.append(1)
        if len(calls) == 1:
            raise MemoryError
        return logits(self, images)

    monkeypatch.setattr(Predictor, "logits", once)
    rows = predict_files(predictor, [given[0], given[2]], tmp_path / "out", ["png"])
    assert "not enough memory" in rows[0]["error"]
    assert rows[1]["error"] is None


def test_a_picture_too_large_to_hold_goes_by_region(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = picture(150, 170)
    tifffile.imwrite(tmp_path / "slide.tif", image, tile=(64, 64), photometric="rgb")
    monkeypatch.setattr("segmodels.prediction.large.picture.MAX_PIXELS", 20_000)
    assert large.is_large(tmp_path / "slide.tif")
    rows = predict_files(predictor, [tmp_path / "slide.tif"], tmp_path / "out", ["png", "overlay"])
    assert rows[0]["error"] is None
    assert (rows[0]["height"], rows[0]["width"]) == (150, 170)
    with Image.open(rows[0]["files"][0]) as mask:
        found = np.asarray(mask)
    # It is reduced row by row, which differs by rounding from doing so at once.
    assert (found == predictor(image).mask).mean() > 0.99
    (refused,) = predict_files(
        predictor, [tmp_path / "slide.tif"], tmp_path / "out", ["png"], refinement=Refinement(0.5)
    )
    assert "leave out what asks for all of it at once" in refused["error"]


def test_annotations_beside_the_picture_are_not_overwritten(
    predictor: Predictor, given: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "one.json").write_text("by hand")
    (row,) = predict_files(predictor, given[:1], tmp_path, ["labelme"])
    assert "name another folder" in row["error"]
    assert (tmp_path / "one.json").read_text() == "by hand"


def test_no_picture_is_written_over(predictor: Predictor, tmp_path: Path) -> None:
    """A mask that was drawn by hand is called as the one that would be predicted."""
    Image.fromarray(picture(40, 50)).save(tmp_path / "a.jpg")
    drawn = np.full((40, 50), 2, np.uint8)
    Image.fromarray(drawn).save(tmp_path / "a-mask.png")
    first, second = predict_files(predictor, [tmp_path], tmp_path / "." / "", ["png"])
    assert first["error"] is None
    assert "a-mask.png would replace a picture" in second["error"]
    np.testing.assert_array_equal(read_mask(tmp_path / "a-mask.png"), drawn)
    (alone,) = predict_files(predictor, [tmp_path / "a.jpg"], tmp_path / "out", ["png"])
    assert alone["error"] is None


def test_no_result_is_written_over_by_that_of_another(predictor: Predictor, tmp_path: Path) -> None:
    """LabelMe's picture of the one has the name of the other's mask."""
    for name in ("a.png", "a-mask.png"):
        Image.fromarray(picture(40, len(name))).save(tmp_path / name)
    paths = [tmp_path / "a-mask.png", tmp_path / "a.png"]
    for _ in range(2):
        first, second = predict_files(predictor, paths, tmp_path / "out", ["png", "labelme"])
        assert first["error"] is None
        assert "a-mask.png would replace a picture or the result of another" in second["error"]
        assert Image.open(tmp_path / "out" / "a-mask.png").size == (len("a-mask.png"), 40)


def test_whatever_fails_stops_no_other(
    predictor: Predictor, given: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Predictor, images: np.ndarray) -> np.ndarray:
        monkeypatch.undo()
        raise ZeroDivisionError("of\nnothing")

    monkeypatch.setattr(Predictor, "logits", fails)
    rows = predict_files(predictor, [given[0], given[2]], tmp_path / "out", ["png"])
    assert rows[0]["error"] == f"{given[0]}: it failed unexpectedly (ZeroDivisionError: of nothing)"
    assert rows[1]["error"] is None
    monkeypatch.setattr(Predictor, "logits", fails)
    with pytest.raises(ZeroDivisionError):
        predict_files(predictor, given[:1], tmp_path / "out", ["png"])


def test_a_folder_that_cannot_be_made_is_said_before_anything_is_predicted(
    predictor: Predictor, given: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Predictor, "logits", lambda *_: pytest.fail("it was predicted"))
    with pytest.raises(UserError, match="a file is in its way"):
        predict_files(predictor, given, given[0] / "out", ["png"])


def test_nothing_to_predict_is_said(predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (row,) = predict_files(predictor, [tmp_path / "empty"], tmp_path / "out", ["png"])
    assert "empty" in row["error"]
    with pytest.raises(UserError, match="unknown format 'pgn': did you mean 'png'"):
        predict_files(predictor, [tmp_path / "empty"], tmp_path / "out", ["pgn"])


@pytest.fixture(scope="module")
def exported(tiny_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "checkpoint"
    shutil.copytree(tiny_run.best, folder)
    return folder


def test_the_command_line_makes_the_fast_engine_once(
    exported: Path, given: list[Path], home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    assert main(["predict", str(exported), str(given[0]), "--out", out, "--format", "csv", "--micrometres", "0.5"]) == 0
    assert "making an ONNX file" in capsys.readouterr().err
    with (tmp_path / "out" / "one.csv").open() as file:
        for row in csv.DictReader(file):
            assert float(row["area_um2"]) == pytest.approx(float(row["area"]) / 4)
    assert main(["predict", str(exported), str(given[0]), "--out", out, "--tta", "--json"]) == 0
    captured = capsys.readouterr()
    assert "making" not in captured.err
    assert json.loads(captured.out)[0]["error"] is None
    assert main(["engines", str(exported), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["engine"] == "onnx"
    mistakes = {
        "--tta=flip": "did you mean 'flips'",
        "--engine=onx": "did you mean 'onnx'",
        "--tile=64": "leave tiled out",
        "--tile=9000": "32 to 2048",
        "--page=3": "page",
        "--threshold=2": "from 0 to 1",
        "--objects=water": "unknown method",
        "--micrometres=-1": "side of a pixel",
    }
    for option, message in mistakes.items():
        assert main(["predict", str(exported), str(given[0]), "--out", out, option]) == 2, option
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("segmodels: ")]
        assert len(lines) == 1, option
        assert message in lines[0], option


def test_the_engines_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["engines", "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == ["keras", "onnx", "openvino"]
