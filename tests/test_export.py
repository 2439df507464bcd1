"""Exports for other runtimes: they answer as Keras does, say what they are, and the program beside each works."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segmodels.backend import keras
from segmodels.cli import main
from segmodels.data.datasets import open_dataset
from segmodels.data.images import resize_image
from segmodels.errors import UserError
from segmodels.hub.export import FORMATS, agreement, export, litert
from segmodels.hub.export.litert import open_litert
from segmodels.prediction.predictor import Predictor
from segmodels.training.reporter import Reporter
from segmodels.training.runs import Run
from tests import zoo
from tests.conftest import needed

pytest.importorskip("tensorflow")
pytestmark = pytest.mark.filterwarnings("ignore")

NAMES = {"onnx": "model.onnx", "saved_model": "model", "litert": "model.tflite"}


@pytest.fixture(scope="module")
def tiles(tiny_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same network, which sees pictures as they are, in tiles of 32 pixels."""
    folder = tmp_path_factory.mktemp("tiles") / "checkpoint"
    shutil.copytree(tiny_run.best, folder)
    spec = json.loads((folder / "segmodels.json").read_text())
    spec["input"] = {"mode": "tiles", "size": 32, "overlap": 8}
    (folder / "segmodels.json").write_text(json.dumps(spec))
    return folder


def picture(height: int, width: int) -> np.ndarray:
    """A generated pet, which is more to a network than noise."""
    dataset = open_dataset("toy-pets")
    return resize_image(dataset.read_image(dataset.samples("test")[0]), height, width)


def program_mask(python: Callable, sample: Path, image: np.ndarray, folder: Path) -> np.ndarray:
    """Class ids that a program beside an export gives, in a process that sees nothing of this package."""
    Image.fromarray(image).save(folder / "picture.png")
    done = python("-I", sample, folder / "picture.png", folder / "mask.png")
    assert done.returncode == 0, done.stderr[-2000:]
    colours = [label.rgb for label in open_dataset("toy-pets").classes]
    drawn = np.asarray(Image.open(folder / "mask.png"))
    found = np.stack([(drawn == colour).all(-1) for colour in colours])
    assert (found.sum(0) == 1).all(), "every pixel has the colour of a class"
    return found.argmax(0)


@pytest.mark.parametrize("name", list(FORMATS))
def test_a_file_answers_as_keras_says_what_it_is_and_its_program_draws_the_mask(
    name: str, tiny_run: Run, tmp_path: Path, home: Path, python: Callable
) -> None:
    done = export(tiny_run.best, name, tmp_path / "a" / NAMES[name])
    assert (done.same_pixels, done.pictures, done.size, done.float_operators) == (1.0, 24, 32, None)
    assert done.difference < 1e-4
    assert done.compared_on == "toy-pets, validation"
    kept = {path.name for path in (tmp_path / "a").iterdir()}
    assert kept == ({"model"} if name == "saved_model" else {done.path.name, done.sample.name})

    said = FORMATS[name].described(done.path)
    assert said is not None
    labels = open_dataset("toy-pets").classes
    assert said["classes"] == [{"name": label.name, "colour": label.colour} for label in labels]
    assert said["input"] == {"mode": "resize", "size": 32}
    assert said["data"] == "toy-pets"
    assert said["licence"] == open_dataset("toy-pets").licence
    assert said["takes"] == "uint8 RGB (batch, 32, 32, 3), 0..255"

    image = picture(97, 131)
    expected = Predictor(tiny_run.best, engine="keras")(image).mask
    assert len(np.unique(expected)) > 1
    # Pillow and OpenCV resize logits alike but for rounding.
    assert (program_mask(python, done.sample, image, tmp_path) == expected).mean() > 0.999


@pytest.mark.parametrize("name", ["onnx", "litert"])
def test_a_model_of_tiles_sees_a_picture_whole_where_the_file_can_and_else_in_tiles(
    name: str, tiles: Path, tmp_path: Path, home: Path, python: Callable
) -> None:
    done = export(tiles, name, tmp_path / NAMES[name])
    assert done.size == (32 if name == "litert" else None)
    assert done.same_pixels == 1.0
    image = picture(75, 61)
    expected = Predictor(tiles, engine="keras")(image, tiled=name == "litert").mask
    # The edges of tiles count a little in the program where the package leaves them out.
    assert (program_mask(python, done.sample, image, tmp_path) == expected).mean() > (
        0.99 if name == "litert" else 0.9999
    )


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small U-Net that has seen some real pets for forty steps."""
    from segmodels.hub.checkpoint import ArchitectureSpec, ClassSpec, InputSpec, Spec, write_checkpoint
    from segmodels.models.build import build
    from segmodels.recipe import Recipe
    from segmodels.training.losses import make_loss
    from segmodels.training.step import make_step

    needed("SEGMODELS_DATA")
    dataset = open_dataset("oxford-pets")
    read = [dataset.read_at(sample, 48) for sample in dataset.samples("train")[:64]]
    images, masks = (np.stack(each) for each in zip(*read, strict=True))
    keras.utils.set_random_seed(0)
    options = {"width": 12, "depth": 3}
    model = build("unet", classes=3, backbone="none", **options)
    step = make_step(model, make_loss("cross_entropy"), Recipe(data="oxford-pets"))
    for number in range(40):
        chosen = np.random.default_rng(number).permutation(64)[:8]
        step.train(images[chosen], masks[chosen], (), 5e-3)
    step.store()
    spec = Spec(
        format=1,
        architecture=ArchitectureSpec(name="unet", backbone="none", classes=3, options=options),
        classes=[ClassSpec(name=label.name, colour=label.colour) for label in open_dataset("toy-pets").classes],
        input=InputSpec(mode="resize", size=48),
        recipe={"data": "oxford-pets"},
    )
    folder = tmp_path_factory.mktemp("pets") / "checkpoint"
    folder.mkdir()
    write_checkpoint(folder, model, spec)
    return folder


def test_int8_agrees_with_keras_on_real_pictures_that_it_was_not_measured_on(
    pets: Path, tmp_path: Path, home: Path, python: Callable
) -> None:
    done = export(pets, "litert", tmp_path / "int8.tflite", int8=True)
    assert (done.calibrated_on, done.compared_on) == ("oxford-pets, train", "oxford-pets, validation")
    assert done.same_pixels >= 0.98
    assert done.bytes < (pets / "model.weights.h5").stat().st_size / 2
    assert done.float_operators in litert.IN_FLOAT

    # The same again, by hand, on pictures of the third split.
    dataset, keras_engine = open_dataset("oxford-pets"), Predictor(pets, engine="keras")
    images = np.stack([dataset.read_at(sample, 48)[0] for sample in dataset.samples("test")[:40]])
    expected = keras_engine.logits(images).argmax(-1)
    assert len(np.unique(expected)) > 1
    assert (open_litert(done.path)(images).argmax(-1) == expected).mean() >= 0.98
    kinds, types, customs = _operators(done.path)
    assert not customs
    assert {"QUANTIZE", "CONV_2D", "DEQUANTIZE"} <= kinds
    assert types.count("INT8") >= 0.6 * len(types)
    image = dataset.read_image(dataset.samples("test")[0])
    assert (program_mask(python, done.sample, image, tmp_path) == keras_engine(image).mask).mean() >= 0.97


def _operators(path: Path) -> tuple[set[str], list[str], list[Any]]:
    """The kinds of a file's operators, the types of what they give, and the operators that are not built in."""
    from ai_edge_litert import schema_py_generated as schema

    content = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    names = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
    types = {number: name for name, number in vars(schema.TensorType).items() if isinstance(number, int)}
    kinds = [names[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in content.operatorCodes]
    graph = content.subgraphs[0]
    given = [types[graph.tensors[operator.outputs[0]].type] for operator in graph.operators]
    return set(kinds), given, [code.customCode for code in content.operatorCodes if code.customCode]


@pytest.mark.parametrize(
    ("name", "backbone"), [("segnet", "none"), pytest.param("unet", "mobilenetv2", marks=pytest.mark.slow)]
)
def test_networks_that_unpool_or_stand_on_a_backbone_run_with_built_in_operators(
    name: str, backbone: str, tmp_path: Path, home: Path
) -> None:
    model = zoo.shake(zoo.small(name, backbone))
    zoo.save(model, name, backbone, tmp_path / "checkpoint", zoo.pictures(name, 64, 64))
    done = export(tmp_path / "checkpoint", "litert", tmp_path / "model.tflite")
    assert done.same_pixels > 0.999
    assert not _operators(done.path)[2]
    images = np.load(tmp_path / "checkpoint" / "images.npy")
    zoo.agree(name, open_litert(done.path)(images.astype(np.uint8)), np.load(tmp_path / "checkpoint" / "expected.npy"))


def test_another_size_or_any(tiny_run: Run, tiles: Path, tmp_path: Path, home: Path) -> None:
    onnx = FORMATS["onnx"]
    done = export(tiny_run.best, "onnx", tmp_path / "48.onnx", size=48)
    assert (done.size, onnx.described(done.path)["input"]) == (48, {"mode": "resize", "size": 48})
    assert onnx.open(done.path)(np.zeros((2, 48, 48, 3), np.uint8)).shape == (2, 48, 48, 3)
    done = export(tiny_run.best, "onnx", tmp_path / "48.onnx", size="any")  # in the place of the other
    assert (done.size, onnx.described(done.path)["input"]) == (None, {"mode": "resize", "size": 32})
    images = np.stack([picture(40, 56)] * 2)
    expected = Predictor(tiny_run.best, engine="keras").model(images, training=False)
    np.testing.assert_allclose(onnx.open(done.path)(images), np.asarray(expected), atol=1e-3)
    done = export(tiles, "saved_model", tmp_path / "saved")
    assert done.size is None
    assert FORMATS["saved_model"].open(done.path)(images).shape == (2, 40, 56, 3)
    assert FORMATS["saved_model"].described(done.path)["input"] == {"mode": "tiles", "size": 32, "overlap": 8}


def test_what_cannot_be_exported_is_one_line(tiny_run: Run, tmp_path: Path, home: Path) -> None:
    model, out = tiny_run.best, tmp_path / "model.tflite"
    for message, arguments in {
        r"unknown format 'lite': did you mean 'litert'\?": {"format": "lite"},
        r"onnx is not written in int8: .* choose the format litert": {"format": "onnx", "int8": True},
        r"litert files are of a fixed size: give it in pixels, such as 32": {"size": "any"},
        r"size 30: give 32 to 2048 pixels": {"size": 30},
        r"size 50: unet computes in multiples of 4 pixels: give 48 or 52": {"size": 50},
        r"ends in \.tflite: name it model\.tflite": {"out": tmp_path / "model.bin"},
        r"'nothing' is neither a checkpoint directory nor a run": {"model": "nothing"},
        r"unknown data set 'pats'": {"data": "pats"},
    }.items():
        with pytest.raises(UserError, match=message):
            export(**{"model": model, "format": "litert", "out": out, **arguments})
    assert not list(tmp_path.glob("*.tflite"))


def test_without_its_data_a_model_is_compared_on_generated_pictures_and_int8_is_refused(
    tiny_run: Run, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(tiny_run.best, folder)
    spec = json.loads((folder / "segmodels.json").read_text())
    spec["recipe"] = {"data": "camvid"}
    (folder / "segmodels.json").write_text(json.dumps(spec))
    monkeypatch.setenv("SEGMODELS_DATA", str(tmp_path))
    assert export(folder, "litert", tmp_path / "model.tflite").compared_on == "toy-pets, validation"
    with pytest.raises(
        UserError, match=r"int8 is measured on pictures that the model was trained on, but CamVid is not in "
    ):
        export(folder, "litert", tmp_path / "int8.tflite", int8=True)
    with pytest.raises(UserError, match=r"none: no such folder"):
        export(folder, "litert", tmp_path / "int8.tflite", root=tmp_path / "none")


def test_a_package_or_an_engine_that_is_missing_is_named(
    tiny_run: Run, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "ai_edge_litert", None)
        with pytest.raises(UserError, match=r"litert needs ai-edge-litert: pip install tensorflow ai-edge-litert"):
            export(tiny_run.best, "litert", tmp_path / "model.tflite")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with pytest.raises(
        UserError, match=r"made with TensorFlow, not with jax: pip install tensorflow onnx .*unset KERAS"
    ):
        export(tiny_run.best, "onnx", tmp_path / "model.onnx")


@pytest.mark.parametrize("name", list(FORMATS))
def test_what_is_no_export_is_left_alone(name: str, tiny_run: Run, tmp_path: Path, home: Path) -> None:
    row, out = FORMATS[name], tmp_path / NAMES[name]
    if row.is_folder:
        out.mkdir()
        (out / "precious.txt").write_text("precious")
    else:
        out.write_bytes(b"\x1c\x00\x00\x00TFL3 precious")
    with pytest.raises(UserError, match=f"is there already and is no {name} export"):
        export(tiny_run.best, name, out)
    assert "precious" in (out / "precious.txt" if row.is_folder else out).read_text()
    shutil.rmtree(out) if row.is_folder else out.unlink()
    if not row.is_folder:
        row.sample_place(out).write_text("precious")
        with pytest.raises(UserError, match="is no program of an export"):
            export(tiny_run.best, name, out)
        out.mkdir()
        with pytest.raises(UserError, match="is there already"):
            export(tiny_run.best, name, out)


class _Stops(Reporter):
    """Ctrl-C while a file is compared."""

    def progress(self, done: int, total: int, what: str) -> None:
        if what.startswith("comparing"):
            raise KeyboardInterrupt


def test_nothing_is_left_of_a_failed_check_or_a_stopped_export(
    tiny_run: Run, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = export(tiny_run.best, "litert", tmp_path / "model.tflite")
    before = done.path.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        export(tiny_run.best, "litert", tmp_path / "model.tflite", reporter=_Stops())
    monkeypatch.setattr(agreement, "TOLERANCE", 0.0)
    with pytest.raises(UserError, match=r"the litert export of .* answers otherwise than Keras, by \d"):
        export(tiny_run.best, "litert", tmp_path / "model.tflite")
    monkeypatch.setattr(agreement, "INT8_AGREEMENT", 1.01)
    monkeypatch.setattr(litert, "IN_FLOAT", (0,))
    with pytest.raises(UserError, match=r"agrees with Keras on \d+\.\d% of the pixels, not on 101%"):
        export(tiny_run.best, "litert", tmp_path / "other.tflite", int8=True)
    assert sorted(path.name for path in tmp_path.iterdir() if path != home) == [done.sample.name, "model.tflite"]
    assert done.path.read_bytes() == before


def test_the_command_line(tiny_run: Run, tmp_path: Path, home: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "model.tflite"
    assert main(["export", str(tiny_run.best), "--format", "litert", "--out", str(out), "--json", "--size", "40"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["path"], document["size"], document["bytes"]) == (str(out), 40, out.stat().st_size)
    assert document["same_pixels"] == 1.0
    assert main(["export", str(tiny_run.best), "--format", "litert", "--out", str(out), "--size", "x"]) == 2
    assert "--size 'x': give a number of pixels, such as 256, or any" in capsys.readouterr().err
