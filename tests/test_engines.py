"""Keras, ONNX Runtime and OpenVINO give one answer; which of them is taken; and what is missing is named."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from segmodels.errors import UserError
from segmodels.hub.onnx_model import onnx_file
from segmodels.prediction.engines import ENGINES, openvino_engine
from segmodels.prediction.pool import Pool
from segmodels.prediction.predictor import Predictor
from segmodels.training.runs import Run
from tests.conftest import Process


@pytest.fixture(scope="module")
def checkpoint(tiny_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whose ONNX file lies beside its weights."""
    folder = tmp_path_factory.mktemp("engines") / "checkpoint"
    shutil.copytree(tiny_run.best, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEGMODELS_HOME", str(folder.parent / "home"))
        shutil.copy(onnx_file(folder), folder / "model.onnx")
    return folder


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng([height, width]).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
@pytest.mark.parametrize("size", [(32, 32), (97, 131)])
def test_every_engine_answers_as_keras_does(engine: str, size: tuple[int, int], checkpoint: Path) -> None:
    image = picture(*size)
    expected = Predictor(checkpoint, engine="keras")(image).probabilities
    predictor = Predictor(checkpoint, engine=engine)
    assert predictor.engine == engine
    # bfloat16 has 8 bits of mantissa.
    near = 0.03 if engine == "openvino" and openvino_engine.has_amx() else 1e-4
    np.testing.assert_allclose(predictor(image).probabilities, expected, atol=near)
    np.testing.assert_allclose(predictor(image, tta="scales").probabilities.sum(-1), 1, atol=1e-5)


def test_onnx_runtime_is_taken_where_its_file_is(checkpoint: Path, tiny_run: Run, home: Path) -> None:
    assert Predictor(checkpoint).engine == "onnx"
    assert Predictor(tiny_run.best).engine == "keras"


def test_a_file_of_other_weights_is_not_taken(checkpoint: Path, tiny_run: Run, tmp_path: Path, home: Path) -> None:
    folder = tmp_path / "trained-on"
    shutil.copytree(checkpoint, folder)
    assert Predictor(folder).engine == "onnx"
    from segmodels.hub.checkpoint import WEIGHTS, load_checkpoint

    model = load_checkpoint(folder)[0]
    model.set_weights([weight + 0.01 for weight in model.get_weights()])
    model.save_weights(folder / WEIGHTS)
    assert Predictor(folder).engine == "keras"


def test_onnx_runtime_predicts_without_loading_keras(checkpoint: Path, python: Process, home: Path) -> None:
    code = f"""
import json, sys
import numpy as np
from segmodels import Predictor
found = Predictor({str(checkpoint)!r})(np.zeros((40, 50, 3), np.uint8))
print(json.dumps([list(found.mask.shape), [name for name in ("tensorflow", "keras", "jax") if name in sys.modules]]))
"""
    assert json.loads(python("-c", code).stdout.splitlines()[-1]) == [[40, 50], []]


def test_an_engine_that_is_not_there_is_named(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"unknown engine 'onx': did you mean 'onnx'\?"):
        Predictor(checkpoint, engine="onx")
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UserError, match=r"needs OpenVINO: pip install -r requirements-openvino\.txt"):
        Predictor(checkpoint, engine="openvino")


def test_the_table_names_every_engine_of_the_command_line() -> None:
    assert list(ENGINES) == ["keras", "onnx", "openvino"]
    assert all(engine.description for engine in ENGINES.values())


def test_what_an_engine_cannot_take_is_one_line(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = Predictor(checkpoint, engine="onnx")

    def fails(images: np.ndarray) -> np.ndarray:
        raise RuntimeError("BFCArena: failed to\nallocate")

    monkeypatch.setattr(predictor, "_forward", fails)
    with pytest.raises(UserError, match=r"onnx cannot predict 1 of 32 x 32 pixels at once \(BFCArena: failed to alloc"):
        predictor(picture(50, 50))
    monkeypatch.undo()
    assert predictor(picture(50, 50)).mask.shape == (50, 50), "and the next one has its turn"


@pytest.mark.parametrize("classes", [1, 9])
def test_an_answer_of_other_classes_is_refused(classes: int, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of an ONNX file that was changed by hand."""
    predictor = Predictor(checkpoint, engine="onnx")
    monkeypatch.setattr(predictor, "_forward", lambda images: np.zeros((*images.shape[:3], classes), np.float32))
    with pytest.raises(UserError, match=rf"onnx answers \(1, 32, 32, {classes}\) where \(1, 32, 32, 3\) belongs"):
        predictor(picture(50, 50))


def test_a_model_that_is_ready_stays_so_when_its_files_are_gone(checkpoint: Path, tmp_path: Path, home: Path) -> None:
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        shutil.copytree(checkpoint, folder)
    pool = Pool()
    first = pool.get(folders[0])
    shutil.rmtree(folders[0])
    assert pool.get(folders[1]).engine == "onnx"
    assert len(pool) == 2
    assert first(picture(32, 32)).mask.shape == (32, 32)


def test_a_kept_file_that_was_damaged_is_made_anew(checkpoint: Path, tmp_path: Path, home: Path) -> None:
    folder = tmp_path / "alone"
    shutil.copytree(checkpoint, folder, ignore=shutil.ignore_patterns("model.onnx"))
    kept = onnx_file(folder)
    assert home in kept.parents
    kept.write_bytes(b"cut off")
    image = picture(40, 48)
    found = Predictor(folder, engine="onnx")(image).probabilities
    np.testing.assert_allclose(found, Predictor(checkpoint, engine="onnx")(image).probabilities, atol=1e-6)
    assert kept.stat().st_size > 1000
