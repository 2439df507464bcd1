"""`predict --on ray`: the files and rows of `predict`, whatever dies; on one real Ray of two processors."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segmodels.cli import main
from segmodels.cluster.connection import connected, missing_ray
from segmodels.data.disk import Stopped
from segmodels.errors import UserError
from segmodels.prediction.predictor import Predictor
from segmodels.prediction.scale import predict_at_scale
from segmodels.prediction.scale.records import FOLDER
from segmodels.prediction.write import predict_files
from segmodels.training.runs import Run

pytestmark = pytest.mark.skipif(missing_ray() is not None, reason="Ray is not installed")

FORMATS = ["png", "overlay", "npz", "csv"]
ENGINE = {"engine": "onnx", "cpus": 1}


@pytest.fixture(scope="module")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A Ray of two processors, for all of this file; the home that its workers use."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEGMODELS_HOME", str(tmp_path_factory.mktemp("scale") / "home"))
        patch.delenv("RAY_ADDRESS", raising=False)
        patch.setenv("RAY_BACKEND_LOG_LEVEL", "fatal")
        with connected("local", cpus=2) as module:
            yield module


@pytest.fixture(scope="module")
def model(tiny_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "checkpoint"
    shutil.copytree(tiny_run.best, folder)
    return folder


@pytest.fixture(scope="module")
def predictor(ray: Any, model: Path) -> Predictor:
    return Predictor(model, engine="onnx")


def picture(number: int, side: int = 40) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (side, side + 10, 3), dtype=np.uint8)


def folder_of(place: Path, many: int) -> Path:
    place.mkdir(parents=True)
    for number in range(many):
        Image.fromarray(picture(number)).save(place / f"{number:03}.png")
    return place


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def as_at(rows: list[dict[str, Any]], out: Path) -> list[dict[str, Any]]:
    """Rows with the names of their files alone."""
    return [{**row, "files": [str(Path(file).relative_to(out)) for file in row["files"]]} for row in rows]


def test_files_and_rows_are_those_of_this_machine(
    predictor: Predictor, model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = folder_of(tmp_path / "plates" / "a", 2).parent
    folder_of(folder / "b", 1)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 and no more")
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        for number in (5, 6):
            Image.fromarray(picture(number)).save(file := io.BytesIO(), "PNG")
            archive.writestr(f"in/{number}.png", file.getvalue())
    stored = folder_of(tmp_path / "stored", 2)
    paths = [folder, tmp_path / "some.zip", tmp_path / "gone.png"]
    options = {"tta": "flips"}
    here = predict_files(predictor, [*paths, stored], tmp_path / "here", FORMATS, **options)  # type: ignore[arg-type]
    capfd.readouterr()
    there = predict_at_scale(
        model, [*paths, stored.as_uri()], tmp_path / "there", FORMATS, tta="flips", engine="onnx", cpus=1
    )
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""
    for row in there:
        row["image"] = row["image"].removeprefix("file://")
    assert as_at(there, tmp_path / "there") == as_at(here, tmp_path / "here")
    assert [row["error"] is None for row in there] == [True, True, True, False, True, True, False, True, True]
    assert contents(tmp_path / "there") == contents(tmp_path / "here")
    assert len(contents(tmp_path / "there")) == 7 * len(FORMATS)


@pytest.mark.slow
def test_the_command_line_goes_on_with_what_is_missing(
    ray: Any, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder_of(tmp_path / "some", 4)

    def predict(*options: str) -> tuple[list[dict[str, Any]], str, dict[str, int]]:
        arguments = ["predict", str(model), "some", "--out", "out", "--json", "--engine", "onnx", *options]
        assert main(arguments) == 0
        captured = capsys.readouterr()
        return json.loads(captured.out), captured.err, {p.name: p.stat().st_mtime_ns for p in Path("out").iterdir()}

    on_ray = ("--on", "ray", "--cpus", "1")
    local = predict()[0]
    shutil.rmtree("out")
    first, _, times = predict(*on_ray)
    assert first == local
    Path("out/002-mask.png").unlink()
    Image.fromarray(picture(9)).save("some/001.png")
    again, said, now = predict(*on_ray)
    assert "2 of 4 pictures are done already" in said
    assert [row["image"] for row in again] == [row["image"] for row in first]
    assert [row == was for row, was in zip(again, first, strict=True)] == [True, False, True, True]
    changed = {name for name in now if now[name] != times[name] and name != FOLDER}
    assert changed == {f"{stem}-{form}.png" for stem in ("001", "002") for form in ("mask", "overlay")}
    _, said, same = predict(*on_ray)
    assert "4 of 4 pictures are done already" in said
    assert {name: same[name] for name in same if name != FOLDER} == {n: now[n] for n in now if n != FOLDER}


def test_workers_that_are_killed_lose_nothing(predictor: Predictor, model: Path, tmp_path: Path) -> None:
    many = 120
    folder = folder_of(tmp_path / "many", many)
    here, there = tmp_path / "here", tmp_path / "there"
    expected = predict_files(predictor, [folder], here, ["png"])
    killed: list[int] = []

    def kill() -> None:
        """A worker once a third, and another once two thirds of the results are there."""
        for share in (many // 3, 2 * many // 3):
            until = time.monotonic() + 60
            while len(list(there.glob("*-mask.png"))) < share and time.monotonic() < until:
                time.sleep(0.005)
            workers = workers_of_this_process()
            if workers:
                os.kill(workers[0], signal.SIGKILL)
                killed.append(workers[0])

    killer = threading.Thread(target=kill)
    there.mkdir()
    killer.start()
    rows = predict_at_scale(model, [folder], there, ["png"], **ENGINE)  # type: ignore[arg-type]
    killer.join()
    assert len(killed) == 2
    assert as_at(rows, there) == as_at(expected, here)
    assert contents(there) == contents(here)
    assert not list((there / FOLDER).glob("*.tries"))


def workers_of_this_process() -> list[int]:
    """The processes of Ray, below this one, that predict."""
    parents, found = {}, []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(process.name)] = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            if b"PictureWorker" in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue

    def is_below(process: int) -> bool:
        while process > 1:
            if process == os.getpid():
                return True
            process = parents.get(process, 0)
        return False

    return sorted(filter(is_below, found))


@pytest.mark.slow
def test_a_picture_that_kills_its_workers_fails_alone(
    ray: Any, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from segmodels.prediction.scale import conduct, worker

    folder = folder_of(tmp_path / "some", 5)

    class Deadly(worker.PictureWorker):
        def _predicted(self, predictor: Predictor, item: worker.Item) -> dict[str, Any]:
            if item.name == "003.png":
                os.kill(os.getpid(), signal.SIGKILL)
            return super()._predicted(predictor, item)

    monkeypatch.setattr(conduct, "PictureWorker", Deadly)
    rows = predict_at_scale(model, [folder], tmp_path / "out", ["png"], **ENGINE)  # type: ignore[arg-type]
    assert [row["error"] is None for row in rows] == [True, True, True, False, True]
    assert "003.png: its worker died 3 times over it" in rows[3]["error"]
    assert rows[3]["files"] == []
    assert len(contents(tmp_path / "out")) == 4


def test_stopped_it_keeps_what_is_done(ray: Any, model: Path, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "some", 40)
    with pytest.raises(Stopped, match="of 40 pictures, which are in"):
        predict_at_scale(model, [folder], tmp_path / "out", ["png"], stop=lambda: True, **ENGINE)  # type: ignore[arg-type]
    done = {path.name for path in (tmp_path / "out" / FOLDER).glob("*.json")}
    assert done


def test_mistakes_are_one_line(ray: Any, model: Path, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "some", 1)

    def refused(message: str, *, of: Path = model, formats: str = "png", **options: Any) -> None:
        with pytest.raises(UserError, match=message) as raised:
            predict_at_scale(of, [folder], tmp_path / "out", [formats], **options)
        assert "\n" not in str(raised.value)

    refused("no node of the Ray cluster has 1 processor and 3 GPUs", cpus=1, gpus=3)
    refused("no node of the Ray cluster has 64 processors", cpus=64)
    refused("did you mean 'png'", formats="pgn")
    refused("did you mean 'onnx'", engine="onx")
    refused("neither a checkpoint directory nor a run", of=tmp_path / "none")
    damaged = tmp_path / "damaged"
    shutil.copytree(model, damaged)
    (damaged / "model.weights.h5").write_bytes(b"no weights")
    refused("damaged", of=damaged, engine="keras", cpus=1)
