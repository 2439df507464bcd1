"""What a model costs to use, and its ONNX file: the same logits as Keras, made once, and only for these weights."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segmodels import cli_models
from segmodels.data.datasets import dataset_type
from segmodels.errors import UserError
from segmodels.hub import onnx_model
from segmodels.hub.checkpoint import (
    SPEC,
    WEIGHTS,
    ArchitectureSpec,
    ClassSpec,
    InputSpec,
    Spec,
    input_spec,
    load_checkpoint,
    write_checkpoint,
)
from segmodels.hub.onnx_model import onnx_file, onnx_logits, onnx_session
from segmodels.prediction import speed
from segmodels.prediction.engines.keras_engine import compiled
from segmodels.prediction.predictor import Predictor
from segmodels.prediction.speed import measure_speed
from segmodels.training.reporter import Reporter

pytest.importorskip("tensorflow")
for package in onnx_model.PACKAGES:
    pytest.importorskip(package)

UNET: dict[str, Any] = {"width": 4, "depth": 3}
KEYS = {
    "model", "architecture", "backbone", "image_size", "views", "parameters", "gflops", "checkpoint_bytes",
    "keras_milliseconds", "onnx_milliseconds", "onnx_error", "onnx_bytes", "peak_bytes", "device", "engine", "threads",
}  # fmt: skip


def make(folder: Path, contract: InputSpec, name: str = "unet", seed: int = 0, **options: Any) -> Path:
    """A checkpoint of an untrained network; its running statistics and biases are not the initial ones."""
    from segmodels.models.build import build

    labels = dataset_type("toy-pets").classes
    spec = Spec(
        format=1,
        architecture=ArchitectureSpec(name=name, backbone="none", classes=3, options=options),
        classes=[ClassSpec(name=label.name, colour=label.colour) for label in labels],
        input=contract,
        recipe={"data": "toy-pets"},
    )
    model = build(name, classes=3, backbone="none", **options)
    generator = np.random.default_rng(seed)
    for variable in model.variables:
        if len(variable.shape) == 1:
            variable.assign(generator.uniform(0.5, 1.5, variable.shape).astype(np.float32))
    folder.mkdir(parents=True)
    write_checkpoint(folder, model, spec)
    return folder


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """A checkpoint and its ONNX file. Read them only."""
    place = tmp_path_factory.mktemp("exported")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEGMODELS_HOME", str(place / "home"))
        folder = make(place / "checkpoint", input_spec("resize", 32), **UNET)
        yield folder, onnx_file(folder)


@pytest.fixture
def checkpoint(exported: tuple[Path, Path], tmp_path: Path, home: Path) -> Path:
    """A copy to change, with a home where nothing was made of it."""
    return Path(shutil.copytree(exported[0], tmp_path / "copy"))


@pytest.fixture
def unmade(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """No file is made of a checkpoint; the checkpoints of which one would have been."""
    asked: list[Path] = []

    def make_nothing(folder: Path, path: Path) -> None:
        asked.append(folder)
        path.write_bytes(b"made anew")

    monkeypatch.setattr(onnx_model, "_make", make_nothing)
    return asked


def pictures(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).integers(0, 256, (*shape, 3), dtype=np.uint8)


def away(file: Path, folder: Path, images: np.ndarray) -> np.ndarray:
    """How far the logits of a file are from those of Keras' plain call, as shares of their range."""
    expected = np.asarray(load_checkpoint(folder)[0](images, training=False))
    found = onnx_logits(onnx_session(file), images)
    assert found.dtype == np.float32
    assert found.shape == expected.shape == (*images.shape[:3], 3)
    return np.abs(found - expected) / np.ptp(expected)


# The file.


def test_the_logits_are_those_of_keras_for_any_batch(exported: tuple[Path, Path]) -> None:
    folder, file = exported
    for batch in (1, 5):
        assert away(file, folder, pictures(batch, 32, 32)).max() < 1e-5


def test_a_model_of_tiles_takes_any_size(tmp_path: Path, home: Path) -> None:
    folder = make(tmp_path / "tiles", input_spec("tiles", 32), **UNET)
    file = onnx_file(folder)
    for shape in ((1, 32, 32), (3, 45, 70), (2, 1, 1)):
        assert away(file, folder, pictures(*shape)).max() < 1e-5


@pytest.mark.slow
def test_a_network_that_unpools_is_compared_without_its_ties(tmp_path: Path, home: Path) -> None:
    folder = make(tmp_path / "segnet", input_spec("resize", 64), "segnet", width=4)
    found = away(onnx_file(folder), folder, pictures(6, 64, 64))
    assert np.median(found.max(axis=(1, 2, 3))) < 1e-4


def test_the_file_is_kept_in_the_home(exported: tuple[Path, Path], unmade: list[Path]) -> None:
    folder, file = exported
    assert file.is_relative_to(folder.parent / "home" / "cache" / "onnx")
    assert not (folder / "model.onnx").exists()
    before = file.stat().st_mtime_ns
    assert onnx_file(folder) == onnx_file(str(folder)) == onnx_file(Predictor(folder)) == file
    assert file.stat().st_mtime_ns == before
    assert unmade == []
    assert [path.name for path in file.parent.iterdir() if path.suffix != ""] == [file.name]


def test_other_weights_make_another_file(checkpoint: Path, unmade: list[Path], tmp_path: Path) -> None:
    first = onnx_file(checkpoint)
    assert onnx_file(checkpoint) == first
    shutil.copy(make(tmp_path / "other", input_spec("resize", 32), seed=1, **UNET) / WEIGHTS, checkpoint)
    second = onnx_file(checkpoint)
    assert unmade == [checkpoint, checkpoint]
    assert second != first
    assert not first.exists(), "what nobody will ask for is not kept"
    assert onnx_file(checkpoint) == second


def test_a_file_in_the_checkpoint_is_used_where_it_names_the_weights(
    exported: tuple[Path, Path], checkpoint: Path, unmade: list[Path], tmp_path: Path
) -> None:
    beside = checkpoint / "model.onnx"
    shutil.copy(exported[1], beside)
    (checkpoint / WEIGHTS).touch()  # a copy of a checkpoint has times of its own
    assert onnx_file(checkpoint) == beside
    assert unmade == []
    whole = beside.read_bytes()
    for wrong in (b"", b"no ONNX", whole[: len(whole) // 2]):
        beside.write_bytes(wrong)
        assert onnx_file(checkpoint) != beside
    beside.write_bytes(whole)
    shutil.copy(make(tmp_path / "other", input_spec("resize", 32), seed=1, **UNET) / WEIGHTS, checkpoint)
    assert onnx_file(checkpoint) != beside
    assert beside.read_bytes() == whole


def test_a_file_for_another_size_is_not_used(exported: tuple[Path, Path], checkpoint: Path, unmade: list[Path]) -> None:
    shutil.copy(exported[1], checkpoint / "model.onnx")
    document = json.loads((checkpoint / SPEC).read_text())
    document["input"]["size"] = 64
    (checkpoint / SPEC).write_text(json.dumps(document))
    assert onnx_file(checkpoint).parent != checkpoint


def test_a_file_that_answers_otherwise_is_not_kept(
    checkpoint: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def moved(model: Any) -> Any:
        def forward(images: np.ndarray) -> np.ndarray:
            found = compiled(model)(images).copy()
            found[0, 3, 5, 1] += 0.01 * np.ptp(found)  # of one pixel
            return found

        return forward

    monkeypatch.setattr("segmodels.prediction.engines.keras_engine.compiled", moved)
    with pytest.raises(UserError, match=r"answers otherwise than Keras, by 0\.01 of the logits' range"):
        onnx_file(checkpoint)
    assert not list(home.rglob("*.onnx*"))


def test_a_checkpoint_that_changes_meanwhile_is_refused(
    checkpoint: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train_on(folder: Path, path: Path) -> None:
        path.write_bytes(b"of the earlier weights")
        (folder / WEIGHTS).touch()

    monkeypatch.setattr(onnx_model, "_make", train_on)
    with pytest.raises(UserError, match="written anew while"):
        onnx_file(checkpoint)
    assert not list(home.rglob("*.onnx*"))


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no ONNX")
    with pytest.raises(UserError, match=r"model\.onnx is no ONNX file or damaged") as caught:
        onnx_session(tmp_path / "model.onnx")
    assert "\n" not in str(caught.value)


def test_another_engine_makes_none_but_uses_what_is_there(
    exported: tuple[Path, Path], checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segmodels.backend.backend_name", lambda: "jax")
    with pytest.raises(UserError, match=r"made with TensorFlow, not with jax: pip install tensorflow onnx"):
        onnx_file(checkpoint)
    shutil.copy(exported[1], checkpoint / "model.onnx")
    assert onnx_file(checkpoint) == checkpoint / "model.onnx"


@pytest.mark.parametrize("name", onnx_model.PACKAGES)
def test_a_missing_package_is_named(name: str, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=rf"^an ONNX file needs {name}: pip install onnx onnxruntime tf2onnx$"):
        onnx_file(checkpoint)


# The figures.


class Heard(Reporter):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_the_figures_of_a_model(exported: tuple[Path, Path]) -> None:
    folder, file = exported
    heard = Heard()
    found = measure_speed(folder, repeats=5, seconds=0.1, reporter=heard)
    assert set(found) == KEYS
    model, _ = load_checkpoint(folder)
    assert found["parameters"] == model.count_params() > 0
    assert found["gflops"] > 0
    assert (found["architecture"], found["backbone"], found["image_size"]) == ("unet", "none", 32)
    assert found["checkpoint_bytes"] == (folder / WEIGHTS).stat().st_size
    assert found["onnx_bytes"] == file.stat().st_size >= 4 * found["parameters"]
    assert 0 < found["onnx_milliseconds"] < 1000
    assert 0 < found["keras_milliseconds"] < 1000
    assert found["onnx_error"] is None
    assert found["peak_bytes"] > 4 * found["parameters"]
    assert found["threads"] >= 1
    assert found["engine"].startswith("tensorflow 2")
    assert heard.notes == [], "nothing was made"


def test_keras_is_measured_where_onnx_cannot_be(
    checkpoint: Path, unmade: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as missing:
        missing.setitem(sys.modules, "tf2onnx", None)
        found = measure_speed(checkpoint, repeats=3, seconds=0)
    assert found["onnx_error"] == "an ONNX file needs tf2onnx: pip install onnx onnxruntime tf2onnx"
    assert found["onnx_milliseconds"] is found["onnx_bytes"] is None
    assert found["keras_milliseconds"] > 0
    assert unmade == []
    assert "not measured: an ONNX file needs tf2onnx" in cli_models.speed_text(found)
    heard = Heard()
    found = measure_speed(checkpoint, repeats=3, seconds=0, reporter=heard)
    assert heard.notes == [f"making an ONNX file of {checkpoint}, which is kept"]
    assert "is no ONNX file or damaged" in found["onnx_error"]
    assert found["onnx_milliseconds"] is found["onnx_bytes"] is None


@pytest.mark.parametrize(
    ("took", "repeats", "seconds", "rounds"),
    [((0.25, 0.125), 10, 2.0, 10), ((0.25, 0.125), 10, 4.0, 16), ((4.0, 1.0), 10, 2.0, 5), ((64.0, 1.0), 10, 2.0, 3)],
)
def test_the_engines_take_turns(
    took: tuple[float, ...], repeats: int, seconds: float, rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, order = [0.0], []

    def act(name: str, time: float) -> Callable[[], None]:
        def done() -> None:
            compiling = 100.0 if name not in order else 0.0
            disturbed = 8.0 if order.count(name) == 3 else 0.0
            order.append(name)
            clock[0] += time + compiling + disturbed

        return done

    monkeypatch.setattr(speed.time, "perf_counter", lambda: clock[0])
    acts = [act(name, time) for name, time in zip(("keras", "onnx"), took, strict=True)]
    assert speed._in_turns(acts, repeats, seconds, Reporter()) == list(took)
    assert order == ["keras", "onnx"] * (2 + rounds)


def test_no_repeats_are_refused(exported: tuple[Path, Path]) -> None:
    with pytest.raises(UserError, match="repeats=0"):
        measure_speed(exported[0], repeats=0)


# The command line.


def run(*arguments: str) -> tuple[Any, str]:
    parser = argparse.ArgumentParser()

    def add(group: Any, name: str, verb: Callable, text: str) -> argparse.ArgumentParser:
        made = group.add_parser(name, help=text)
        made.add_argument("--json", action="store_true")
        made.set_defaults(verb=verb)
        return made

    cli_models.add_verbs(add, parser.add_subparsers())
    parsed = parser.parse_args(arguments)
    return parsed.verb(parsed)


def test_the_verb(exported: tuple[Path, Path], capfd: pytest.CaptureFixture[str]) -> None:
    document, text = run("speed", str(exported[0]), "--json")
    assert set(json.loads(json.dumps(document, allow_nan=False))) == KEYS
    head, _, _, _, *lines = text.splitlines()
    assert head == f"{exported[0]}: unet, 32 x 32 pixels"
    values = dict(line.split("  ", 1) for line in lines)
    assert values["parameters"].strip() == f"{document['parameters']:,}"
    assert values["Keras"].strip() == f"{document['keras_milliseconds']:.3g} ms"
    assert values["ONNX Runtime"].strip().startswith(f"{document['onnx_milliseconds']:.3g} ms on the CPU, ")
    assert "tensorflow" in values["measured on"]
    assert capfd.readouterr().out == ""


def test_a_large_model_in_words() -> None:
    document: dict[str, Any] = {
        "model": "checkpoints/pets", "architecture": "unet", "backbone": "mobilenetv2", "image_size": 256,
        "views": 2, "parameters": 12_345_678, "gflops": 12.345, "checkpoint_bytes": 49_400_000,
        "keras_milliseconds": 1180.0, "onnx_milliseconds": 590.0, "onnx_error": None, "onnx_bytes": 49_300_000,
        "peak_bytes": None,
        "device": "a CPU, 2 cores", "engine": "tensorflow 2.21.0", "threads": 2,
    }  # fmt: skip
    assert set(document) == KEYS
    assert cli_models.speed_text(document).splitlines() == [
        "checkpoints/pets: unet on mobilenetv2, 256 x 256 pixels",
        "",
        "one picture   takes",
        "------------  --------------------------------------------",
        "views         2, each as long as is said here",
        "parameters    12,345,678",
        "operations    12.3 GFLOPs",
        "Keras         1.18 s",
        "ONNX Runtime  590 ms on the CPU, 2 times as fast",
        "most memory   not known",
        "weights       49.4 MB",
        "ONNX file     49.3 MB",
        "measured on   a CPU, 2 cores; tensorflow 2.21.0, 2 threads",
    ]
