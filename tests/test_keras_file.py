"""Import of what Keras saved: the same answers as Keras' own, whatever its size, and nothing in a file that can run."""

from __future__ import annotations

import base64
import copy
import io
import json
import marshal
import random
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from segmodels.cli import main
from segmodels.errors import UserError
from segmodels.hub.checkpoint import load_checkpoint, read_spec
from segmodels.hub.keras_file import import_keras
from segmodels.hub.keras_file.allowed import ACTIVATIONS, LAYERS, OPERATIONS
from segmodels.hub.keras_file.check import checked_network
from segmodels.hub.keras_file.labels import class_specs, distinct_colours
from tests.hub_server import Hub, serving_hub

RNG = np.random.default_rng(0)


def randomised(model: Any) -> Any:
    """The model with weights and statistics that are not the initial ones."""
    rng = np.random.default_rng(1)
    for weight in model.weights:
        if "float" in str(weight.dtype):
            weight.assign(np.abs(rng.normal(0.15, 0.2, weight.shape)).astype(np.float32))
    return model


def unet(side: int | None = None, channels: int = 3, activation: str | None = "softmax") -> Any:
    """A small U-Net of two levels, which rescales its pixels."""
    from segmodels.backend import keras

    layers = keras.layers
    images = keras.Input((side, side, 3))
    x = layers.Rescaling(1 / 255)(images)
    first = layers.Conv2D(6, 3, padding="same", activation="relu", kernel_regularizer="l2")(x)
    second = layers.SeparableConv2D(8, 3, padding="same", strides=2)(first)
    second = layers.Dropout(0.3)(layers.LeakyReLU()(layers.BatchNormalization()(second)))
    x = layers.Conv2D(8, 3, padding="same", activation=layers.ReLU(6.0))(layers.MaxPooling2D()(second))
    x = layers.Concatenate()([layers.UpSampling2D(interpolation="bilinear")(x), second])
    x = layers.Concatenate()([layers.Conv2DTranspose(6, 2, strides=2)(x), first])
    return randomised(keras.Model(images, layers.Conv2D(channels, 1, activation=activation)(x)))


def sequential() -> Any:
    from segmodels.backend import keras

    layers = keras.layers
    inner = keras.Sequential([layers.Conv2D(5, 3, padding="same"), layers.ReLU()])
    return randomised(keras.Sequential([keras.Input((48, 64, 3)), inner, layers.Conv2D(4, 1), layers.Softmax()]))


def one_score() -> Any:
    from segmodels.backend import keras

    images = keras.Input((None, None, 3))
    x = keras.layers.RandomFlip()(images / 127.5 - 1.0)
    x = keras.layers.Conv2D(4, 3, padding="same", activation="swish")(x)
    return randomised(keras.Model(images, keras.ops.sigmoid(keras.layers.Conv2D(1, 1)(x) - 0.5)))


def mobilenet() -> Any:
    """As the well-known tutorial has it: MobileNetV2 within, with several outputs, and a Sequential each step up."""
    from segmodels.backend import keras

    layers, side = keras.layers, 64
    base = keras.applications.MobileNetV2(input_shape=(side, side, 3), include_top=False, weights=None, alpha=0.35)
    names = ["block_1_expand_relu", "block_3_expand_relu", "block_6_expand_relu"]
    down = keras.Model(base.input, [base.get_layer(name).output for name in names])
    down.trainable = False
    images = keras.Input((side, side, 3))
    *skips, x = down(images)
    for skip in reversed(skips):
        up = keras.Sequential([layers.Conv2DTranspose(8, 3, strides=2, padding="same", use_bias=False), layers.ReLU()])
        x = layers.Concatenate()([up(x), skip])
    scores = layers.Conv2DTranspose(3, 3, strides=2, padding="same")(x)
    return randomised(keras.Model(images, layers.Activation("softmax")(scores)))


def quarter() -> Any:
    """It answers at a quarter of the size, with probabilities that are resized a little by itself."""
    from segmodels.backend import keras

    layers = keras.layers
    images = keras.Input((None, None, 3))
    x = layers.Normalization(mean=[120.0, 115.0, 100.0], variance=[3000.0, 3100.0, 3200.0])(images)
    x = layers.Conv2D(5, 3, strides=8, padding="same", activation="softmax")(x)
    return randomised(keras.Model(images, layers.UpSampling2D(2, interpolation="bilinear")(x)))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable], tuple[Any, Path]]:
    """The model that a function makes, and the file that Keras saves of it, once."""
    folder, made = tmp_path_factory.mktemp("saved"), {}

    def save(make: Callable) -> tuple[Any, Path]:
        if make not in made:
            path = folder / f"{make.__name__}.keras"
            model = make()
            model.compile("adam", "categorical_crossentropy")
            model.save(path)
            made[make] = model, path
        return made[make]

    return save


@pytest.fixture(scope="module")
def kept(saved: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The U-Net as a checkpoint. Read it only."""
    return import_keras(saved(unet)[1], tmp_path_factory.mktemp("kept") / "unet", size=64)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def answer(model: Any, picture: np.ndarray) -> np.ndarray:
    return np.asarray(model(picture, training=False))


def logits_of(folder: Path, picture: np.ndarray) -> np.ndarray:
    return answer(load_checkpoint(folder)[0], picture)


@pytest.mark.parametrize(
    ("make", "sides", "factor", "scale"),
    [
        (unet, (48, 64), 1, "0..255"),
        (sequential, (48, 64), 1 / 255, "0..1"),
        (one_score, (50, 33), 1, "0..255"),
        (mobilenet, (64, 64), 1 / 127.5, "-1..1"),
    ],
)
def test_it_answers_as_keras_does(
    saved: Callable, tmp_path: Path, make: Callable, sides: tuple[int, int], factor: float, scale: str
) -> None:
    model, path = saved(make)
    notes: list[str] = []
    out = import_keras(path, tmp_path / "out", scale=scale if scale == "-1..1" else None, note=notes.append)
    spec = read_spec(out)
    assert spec.architecture.options["scale"] == scale
    assert (scale == "-1..1") == (not notes)
    picture = RNG.integers(0, 256, (2, *sides, 3), dtype=np.uint8)
    expected = answer(model, picture.astype(np.float32) * np.float32(factor) - (1 if scale == "-1..1" else 0))
    found = softmax(logits_of(out, picture))
    if make is one_score:
        assert [label.name for label in spec.labels] == ["background", "thing"]
        expected = np.concatenate([1 - expected, expected], axis=-1)
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_any_size_is_taken(saved: Callable, tmp_path: Path) -> None:
    """What has skips is padded to what it halves; what has a fixed size is given that, and its answer resized."""
    _, path = saved(unet)
    free = import_keras(path, tmp_path / "free")
    assert read_spec(free).architecture.options["multiple"] == 4
    assert read_spec(free).input.model_dump() == {"mode": "resize", "size": 256}
    picture = RNG.integers(0, 256, (1, 37, 53, 3), dtype=np.uint8)
    padded = np.pad(picture, [(0, 0), (0, 3), (0, 3), (0, 0)])
    np.testing.assert_allclose(logits_of(free, picture), logits_of(free, padded)[:, :37, :53], atol=1e-4)

    model, path = saved(sequential)
    fixed = import_keras(path, tmp_path / "fixed")
    assert read_spec(fixed).input.size == 64
    grey = np.full((1, 100, 90, 3), 77, np.uint8)  # resized it is the same
    inner = softmax(logits_of(fixed, grey))[0, 40:60, 40:50].reshape(-1, 4)
    whole = answer(model, np.full((1, 48, 64, 3), 77 / 255, np.float32))[0, 20:28, 25:35].reshape(-1, 4)
    np.testing.assert_allclose(inner, np.broadcast_to(whole[0], inner.shape), atol=1e-4)
    assert logits_of(fixed, grey).shape == (1, 100, 90, 4)


def test_a_coarse_answer_of_probabilities_becomes_logits_of_the_pictures_size(saved: Callable, tmp_path: Path) -> None:
    model, path = saved(quarter)
    out = import_keras(path, tmp_path / "out", size=96)
    spec = read_spec(out)
    options = {key: value for key, value in spec.architecture.options.items() if key != "network"}
    assert options == {"scale": "0..255", "multiple": 32, "resized": True, "thing": False, "probabilities": True}
    picture = RNG.integers(0, 256, (1, 96, 96, 3), dtype=np.uint8)
    coarse = np.log(np.maximum(answer(model, picture.astype(np.float32)), 1e-7))[0]
    assert coarse.shape == (24, 24, 5)
    # Bilinear, pixels as areas: by its own formula.
    places = np.clip((np.arange(96) + 0.5) / 4 - 0.5, 0, 23)
    weights = np.maximum(1 - np.abs(places[:, None] - np.arange(24)), 0)
    expected = np.einsum("Hh,Ww,hwc->HWc", weights, weights, coarse)
    np.testing.assert_allclose(logits_of(out, picture)[0], expected, atol=1e-4)


def test_scales_are_what_they_say(saved: Callable, tmp_path: Path) -> None:
    model, path = saved(sequential)
    picture = RNG.integers(0, 256, (1, 48, 64, 3), dtype=np.uint8)
    mean, deviation = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    pixels = picture.astype(np.float32)
    for scale, seen in {
        "0..255": pixels,
        "0..1": pixels / 255,
        "-1..1": pixels / 127.5 - 1,
        "imagenet": (pixels / 255 - mean) / deviation,
    }.items():
        out = import_keras(path, tmp_path / scale, scale=scale)
        np.testing.assert_allclose(softmax(logits_of(out, picture)), answer(model, seen), atol=1e-5)


def test_what_comes_of_it_is_a_model_as_any(
    saved: Callable, tmp_path: Path, home: Path, capsys: pytest.CaptureFixture
) -> None:
    """The command line, the Predictor, both engines, the speed, the lists of the app and the card."""
    from segmodels.hub.card import write_card
    from segmodels.prediction.predictor import Predictor
    from segmodels.prediction.speed import measure_speed
    from ui.models import usable_models

    model, path = saved(unet)
    labels = tmp_path / "labels.txt"
    labels.write_text("0 0 0 ground\n255 0 0 cat\n0 0 255 dog\n")
    assert main(["import", str(path), "--classes", str(labels), "--size", "64", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert Path(document["model"]) == home / "unet"
    assert document["classes"] == ["ground", "cat", "dog"]
    assert (document["scale"], document["size"]) == ("0..255", 64)
    assert "unet" in usable_models()
    assert [label.colour for label in read_spec(home / "unet").labels] == ["#000000", "#FF0000", "#0000FF"]

    picture = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    expected = answer(model, picture[None].astype(np.float32))[0]
    for engine in ("keras", "onnx"):
        result = Predictor("unet", engine=engine)(picture)
        np.testing.assert_allclose(result.probabilities, expected, atol=1e-4)
        assert (result.mask == expected.argmax(-1)).mean() > 0.999
    figures = measure_speed("unet", repeats=3, seconds=0)
    assert (figures["architecture"], figures["parameters"]) == ("keras", model.count_params())
    assert figures["onnx_error"] is None
    write_card(home / "unet", read_spec(home / "unet"), {})
    assert "cat" in (home / "unet" / "README.md").read_text()

    assert main(["import", str(path), "--classes", "a,b"]) == 2
    assert capsys.readouterr().err.strip() == (
        f"segmodels: {path}: the network has 3 classes, but 2 names are given: give 3"
    )
    assert main(["import", str(path)]) == 0
    assert f"is now {home / 'unet-1'}: 3 classes (class 0, class 1, class 2)" in capsys.readouterr().out


def test_it_is_evaluated_on_the_data_that_is_named(saved: Callable, tmp_path: Path, home: Path) -> None:
    from segmodels.data.datasets import open_dataset
    from segmodels.evaluation.evaluate import evaluate

    model, path = saved(unet)
    names = [label.name for label in open_dataset("toy-pets").classes]
    out = import_keras(path, tmp_path / "out", classes=names, size=64)
    report = evaluate(out, data="toy-pets", split="test", at="model")
    dataset = open_dataset("toy-pets")
    right = pixels = 0
    for sample in dataset.samples("test"):
        picture, truth = dataset.read_at(sample, 64)
        right += ((answer(model, picture[None].astype(np.float32))[0].argmax(-1) == truth) & (truth != 255)).sum()
        pixels += (truth != 255).sum()
    assert np.sum(report["confusion_matrix"]) == pixels
    assert report["pixel_accuracy"] == pytest.approx(right / pixels, abs=1e-4)


@pytest.mark.slow
def test_on_jax_it_answers_the_same(saved: Callable, tmp_path: Path, jax_python: Path, python: Callable) -> None:
    _, path = saved(unet)
    out = import_keras(path, tmp_path / "out", size=64)
    picture = RNG.integers(0, 256, (1, 50, 64, 3), dtype=np.uint8)
    np.save(tmp_path / "picture.npy", picture)
    code = (
        "import sys, numpy as np\n"
        "from segmodels.hub.checkpoint import load_checkpoint\n"
        "from segmodels.hub.keras_file import import_keras\n"
        "picture = np.load(sys.argv[1])\n"
        "for folder in (sys.argv[2], import_keras(sys.argv[3], sys.argv[4])):\n"
        "    print(folder); np.save(sys.argv[5], np.asarray(load_checkpoint(folder)[0](picture, training=False)))\n"
        "    found = np.load(sys.argv[5]); np.testing.assert_allclose(found, np.load(sys.argv[6]), atol=1e-4)\n"
    )
    np.save(tmp_path / "expected.npy", logits_of(out, picture))
    arguments = [tmp_path / "picture.npy", out, path, tmp_path / "again", tmp_path / "x.npy", tmp_path / "expected.npy"]
    done = python("-c", code, *arguments, interpreter=jax_python, KERAS_BACKEND="jax")
    assert done.returncode == 0, done.stderr


def test_a_folder_and_the_hub(saved: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Keras' own saving to `hf://` writes, and a repository with one `.keras` file; only those files are asked."""
    _, path = saved(sequential)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    folder = tmp_path / "folder"
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    picture = RNG.integers(0, 256, (1, 48, 64, 3), dtype=np.uint8)
    expected = logits_of(import_keras(folder, tmp_path / "a"), picture)
    files = {each.name: each.read_bytes() for each in folder.iterdir() if each.is_file()}
    assert set(files) == {"config.json", "metadata.json", "model.weights.h5"}
    with serving_hub() as hub:
        _put(hub, "owner/parts", {**files, "README.md": b"text", "evil.py": b"raise SystemExit"})
        _put(hub, "owner/one", {"models/net.keras": path.read_bytes(), "evil.py": b"raise SystemExit"})
        _put(hub, "owner/none", {"README.md": b"text"})
        for number, name in enumerate(("owner/parts", "owner/one")):
            out = import_keras(f"hf://{name}", tmp_path / f"hub{number}", endpoint=hub.url)
            np.testing.assert_array_equal(logits_of(out, picture), expected)
        assert not hub.asked("evil.py")
        with pytest.raises(UserError, match=r"neither a config\.json with a model\.weights\.h5 nor one \.keras"):
            import_keras("hf://owner/none", tmp_path / "none", endpoint=hub.url)
    assert not list(tmp_path.glob(".import-*"))


def _put(hub: Hub, name: str, files: dict[str, bytes]) -> None:
    hub.commit(f"models/{name}", files)


# What is refused


@pytest.fixture
def parts(saved: Callable) -> dict[str, bytes]:
    """The members of a good archive, to spoil."""
    with zipfile.ZipFile(saved(unet)[1]) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}


def packed(path: Path, parts: dict[str, Any], *, how: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, content in parts.items():
            archive.writestr(name, content if isinstance(content, bytes) else json.dumps(content))
    return path


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Path]:
    """A file that nothing may make, and an ear for what would run code: marshal, pickle, a shell."""
    heard: list[str] = []
    listening = True

    def hear(event: str, _: object) -> None:
        if listening and event in ("marshal.loads", "pickle.find_class", "os.system", "subprocess.Popen", "os.exec"):
            heard.append(event)

    sys.addaudithook(hear)
    made = tmp_path / "was-run"
    yield made
    listening = False
    assert heard == []
    assert not made.exists()


def refusal(path: Path, tmp_path: Path, **options: Any) -> str:
    out = tmp_path / "refused"
    with pytest.raises(UserError) as caught:
        import_keras(path, out, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 600
    assert not out.exists()
    assert not list(tmp_path.glob(".import-*"))
    return text


def _code(made: Path) -> str:
    """A Lambda's marshalled code, which makes a file."""
    function = compile(f"open({str(made)!r}, 'w').close()", "<evil>", "exec")
    return base64.b64encode(marshal.dumps(function)).decode()


def _lambda(made: Path) -> dict[str, Any]:
    value = {"class_name": "__lambda__", "config": {"value": [_code(made), None, None]}}
    settings = {"name": "lambda", "trainable": True, "dtype": "float32", "function": value}
    return {"module": "keras.layers", "class_name": "Lambda", "config": settings, "registered_name": None}


def _record(module: Any, name: str, registered: str | None = None, /, **config: Any) -> dict[str, Any]:
    settings = {"name": "evil", **config}
    return {"module": module, "class_name": name, "config": settings, "registered_name": registered}


def _touch(made: Path) -> str:
    return f"touch {made}"


LAYER_ATTACKS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "Lambda": _lambda,
    "Lambda by a function's name": lambda made: _record("keras.layers", "Lambda", function="os.system"),
    "os.system": lambda made: _record("os", "system", command=_touch(made)),
    "class named as a function": lambda made: {**_record("os", "function"), "config": "system"},
    "keras.utils.get_file": lambda made: _record("keras.utils", "get_file", fname="x", origin="http://127.0.0.1:9/x"),
    "keras.src.utils": lambda made: _record("keras.src.utils.file_utils", "get_file", origin="http://127.0.0.1:9/x"),
    "keras.config": lambda made: {**_record("keras.config", "enable_unsafe_deserialization"), "config": {}},
    "a saved model's layer": lambda made: _record("keras.layers", "TFSMLayer", filepath=str(made)),
    "of torch": lambda made: _record("keras.layers", "TorchModuleWrapper", module="UEsDBA=="),
    "of jax": lambda made: _record("keras.layers", "JaxLayer", call_fn="os.system"),
    "of flax": lambda made: _record("keras.layers", "FlaxLayer", module="os.system"),
    "a vocabulary's file": lambda made: _record("keras.layers", "StringLookup", vocabulary="/etc/passwd"),
    "a text's vocabulary": lambda made: _record("keras.layers", "TextVectorization", vocabulary="/etc/passwd"),
    "a wrapper": lambda made: _record("keras.layers", "TimeDistributed", layer=_lambda(made)),
    "registered": lambda made: _record("keras.layers", "Dense", "someone>Evil", units=3),
    "registered by this package": lambda made: _record(None, "CropLike", "segmodels>CropLike"),
    "an unknown module": lambda made: _record("someone.evil", "Layer"),
    "keras_cv": lambda made: _record("keras_cv.layers", "Augmenter"),
    "a model class": lambda made: _record("keras", "Model"),
    "a type specification": lambda made: {**_record("os", "__typespec__"), "spec_name": "system", "config": [["x"]]},
    "a lambda as such": lambda made: {"class_name": "__lambda__", "config": {"value": [_code(made), None, None]}},
    "module None": lambda made: _record(None, "Dense", units=3),
    "module as a list": lambda made: _record(["keras.layers"], "Dense", units=3),
    "a layer's private module": lambda made: _record("keras.src.layers.core.lambda_layer", "Lambda"),
    "an unsafe operation": lambda made: _record("keras.src.ops.core", "Map", f="os.system"),
}


@pytest.mark.parametrize("attack", LAYER_ATTACKS)
def test_layers_that_could_run_something(
    parts: dict[str, Any], tmp_path: Path, watched: Path, kept: Path, attack: str
) -> None:
    """In a network, in one within it, in place of the network itself, and in a pulled spec."""
    evil = LAYER_ATTACKS[attack](watched)
    document = json.loads(parts["config.json"])
    call = copy.deepcopy(document["config"]["layers"][1]["inbound_nodes"])
    placed = {**evil, "name": "evil", "inbound_nodes": call}
    document["config"]["layers"].insert(2, placed)
    assert "refused" in refusal(packed(tmp_path / "a.keras", {**parts, "config.json": document}), tmp_path)

    nested = {"module": "keras", "class_name": "Sequential", "config": {"name": "evil", "layers": [evil]}}
    document["config"]["layers"][2] = {**nested, "registered_name": None, "name": "evil", "inbound_nodes": call}
    assert "refused" in refusal(packed(tmp_path / "b.keras", {**parts, "config.json": document}), tmp_path)
    assert "refused" in refusal(packed(tmp_path / "c.keras", {**parts, "config.json": evil}), tmp_path)

    checkpoint = shutil.copytree(kept, tmp_path / "good")
    spec = json.loads((checkpoint / "segmodels.json").read_text())
    spec["architecture"]["options"]["network"] = json.dumps(document)
    (checkpoint / "segmodels.json").write_text(json.dumps(spec))
    with pytest.raises(UserError, match="the network is refused"):
        load_checkpoint(checkpoint)


SETTING_ATTACKS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "activation of a module": lambda made: {
        "activation": {"module": "os", "class_name": "function", "config": "system", "registered_name": "system"}
    },
    "activation by its module": lambda made: {"activation": "os.system"},
    "activation as a lambda": lambda made: {
        "activation": {"class_name": "__lambda__", "config": {"value": [_code(made)]}}
    },
    "activation as a Lambda layer": lambda made: {"activation": _lambda(made)},
    "activation of a strange name": lambda made: {"activation": {"class_name": ["x"], "config": {}}},
    "activation that is registered": lambda made: {"activation": "someone>evil"},
    "a setting that is an object": lambda made: {"padding": _record("os", "system")},
    "a setting in a list": lambda made: {"strides": [_lambda(made)]},
    "an initialiser as a setting": lambda made: {"filters": {"class_name": "__numpy__", "config": {"value": [1]}}},
    "not a number": lambda made: {"filters": float("nan")},
    "infinite": lambda made: {"filters": float("inf")},
    "10^12 filters": lambda made: {"filters": 10**12},
    "10^5000 filters": lambda made: {"filters": 10**5000},
    "a long text": lambda made: {"padding": "x" * 10_000},
    "lora": lambda made: {"lora_rank": 8},
    "deep lists": lambda made: {"strides": [[[[[[[[[1]]]]]]]]]},
    "an unknown setting": lambda made: {"evil": 1},
    "a setting of no name": lambda made: {"__class__": 1},
}


@pytest.mark.parametrize("attack", SETTING_ATTACKS)
def test_settings_that_could_run_something(parts: dict[str, Any], tmp_path: Path, watched: Path, attack: str) -> None:
    document = json.loads(parts["config.json"])
    layer = next(layer for layer in document["config"]["layers"] if layer["class_name"] == "Conv2D")
    layer["config"] |= SETTING_ATTACKS[attack](watched)
    sys.set_int_max_str_digits(0)
    try:
        path = packed(tmp_path / "a.keras", {**parts, "config.json": document})
    finally:
        sys.set_int_max_str_digits(4300)
    text = refusal(path, tmp_path)
    assert "refused" in text or "cannot be built" in text or "not a valid JSON" in text


def test_what_belongs_to_training_is_not_even_looked_at(
    parts: dict[str, Any], tmp_path: Path, watched: Path, saved: Callable
) -> None:
    """An initialiser, a regulariser, a dtype policy, a compile and a build configuration may say what they like."""
    document = json.loads(parts["config.json"])
    assert "compile_config" in document
    document["compile_config"] = {"optimizer": _lambda(watched), "loss": {"class_name": "function", "config": "system"}}
    document["build_config"] = {"input_shape": _lambda(watched)}
    for layer in document["config"]["layers"]:
        if layer["class_name"] == "Conv2D":
            layer["build_config"] = _lambda(watched)
            for key in ("kernel_initializer", "bias_regularizer", "kernel_constraint", "activity_regularizer", "dtype"):
                layer["config"][key] = _lambda(watched)
    out = import_keras(packed(tmp_path / "a.keras", {**parts, "config.json": document}), tmp_path / "out")
    assert "lambda" not in (out / "segmodels.json").read_text().lower()
    picture = RNG.integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    np.testing.assert_allclose(
        softmax(logits_of(out, picture)), answer(saved(unet)[0], picture.astype(np.float32)), atol=1e-5
    )


CALL_ATTACKS: dict[str, Any] = {
    "numpy": {"class_name": "__numpy__", "config": {"value": [1], "dtype": "O"}},
    "tensor": {"class_name": "__tensor__", "config": {"value": [1], "dtype": "float32"}},
    "bytes": {"class_name": "__bytes__", "config": {"value": "x"}},
    "function": {"class_name": "function", "config": "system", "module": "os", "registered_name": "system"},
    "slice of objects": {"class_name": "__slice__", "config": {"start": {"class_name": "__lambda__"}}},
    "table": {"a": {"class_name": "__lambda__", "config": {"value": ["x"]}}},
    "a layer that is not there": {"class_name": "__keras_tensor__", "config": {"keras_history": ["no", 0, 0]}},
    "a call that is not there": {"class_name": "__keras_tensor__", "config": {"keras_history": ["rescaling", 99, 0]}},
    "a negative call": {"class_name": "__keras_tensor__", "config": {"keras_history": ["rescaling", -1, 0]}},
    "no history": {"class_name": "__keras_tensor__", "config": {}},
}


@pytest.mark.parametrize("attack", CALL_ATTACKS)
def test_calls_with_something_else_than_tensors(
    parts: dict[str, Any], tmp_path: Path, watched: Path, attack: str
) -> None:
    document = json.loads(parts["config.json"])
    layer = next(layer for layer in document["config"]["layers"] if layer["class_name"] == "Conv2D")
    layer["inbound_nodes"][0]["args"] = [CALL_ATTACKS[attack]]
    text = refusal(packed(tmp_path / "a.keras", {**parts, "config.json": document}), tmp_path)
    assert "refused" in text or "cannot be built" in text


def test_networks_that_would_fill_the_memory(parts: dict[str, Any], tmp_path: Path) -> None:
    """More weights than the file holds; an answer of 10^12 numbers; networks that call each other ever more often."""
    document = json.loads(parts["config.json"])
    layer = next(layer for layer in document["config"]["layers"] if layer["class_name"] == "Conv2D")
    layer["config"]["filters"] = 9_000_000
    text = refusal(packed(tmp_path / "a.keras", {**parts, "config.json": document}), tmp_path)
    assert "parameters, but its weights file holds" in text

    document = json.loads(parts["config.json"])
    up = next(layer for layer in document["config"]["layers"] if layer["class_name"] == "UpSampling2D")
    for conv in document["config"]["layers"]:
        if conv["class_name"] == "Conv2DTranspose":
            conv["config"]["strides"] = [1000, 1000]
    up["config"]["size"] = [10_000, 10_000]
    text = refusal(packed(tmp_path / "b.keras", {**parts, "config.json": document}), tmp_path)
    assert "at once: refused" in text or "cannot be built" in text

    inner = {"module": "keras.layers", "class_name": "ReLU", "config": {"name": "r"}, "registered_name": None}
    tower: Any = {"module": "keras", "class_name": "Sequential", "config": {"name": "s", "layers": [inner]}}
    for level in range(6):
        calls = [
            {"args": [{"class_name": "__keras_tensor__", "config": {"keras_history": ["x", 0, 0]}}], "kwargs": {}}
        ] * 30
        name = tower["config"]["name"]
        tower = {
            "module": "keras.src.models.functional",
            "class_name": "Functional",
            "config": {
                "name": f"f{level}",
                "layers": [{**tower, "name": name, "inbound_nodes": calls}],
                "input_layers": ["x", 0, 0],
                "output_layers": [name, 29, 0],
            },
        }
    text = refusal(packed(tmp_path / "c.keras", {**parts, "config.json": tower}), tmp_path)
    assert "10,000 times allowed" in text

    deep: Any = {"name": "x"}
    for _ in range(20):
        deep = {"module": "keras", "class_name": "Sequential", "config": {"name": "s", "layers": [deep]}}
    assert "deep" in refusal(packed(tmp_path / "d.keras", {**parts, "config.json": deep}), tmp_path)
    assert "refused" in refusal(packed(tmp_path / "e.keras", {**parts, "config.json": [1]}), tmp_path)
    bracket = b"[" * 200_000
    assert "JSON" in refusal(packed(tmp_path / "f.keras", {**parts, "config.json": bracket}), tmp_path)
    spread = {"name": "n", "axis": [1, 2, 3], "mean": 1.0, "variance": 1.0}
    document = json.loads(parts["config.json"])
    first = document["config"]["layers"][1]
    first |= {"class_name": "Normalization", "config": {**spread, "name": first["name"]}}
    assert "one for each channel" in refusal(packed(tmp_path / "g.keras", {**parts, "config.json": document}), tmp_path)


def test_archives_that_lie(parts: dict[str, Any], tmp_path: Path) -> None:
    def refused(content: bytes) -> str:
        path = tmp_path / "a.keras"
        path.write_bytes(content)
        return refusal(path, tmp_path)

    whole = packed(tmp_path / "whole.keras", parts).read_bytes()
    for kept in (0, 10, 1000, len(whole) // 2, len(whole) - 1):
        assert "no .keras file, or damaged" in refused(whole[:kept])
    assert "no .keras file" in refused(b"\x89HDF\r\n\x1a\n" + bytes(1000))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("config.json", parts["config.json"])
        archive.writestr("model.weights.h5", parts["model.weights.h5"])
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("config.json", parts["config.json"])
    assert "config.json twice" in refused(buffer.getvalue())
    bomb = packed(tmp_path / "bomb.keras", {**parts, "config.json": b" " * 17_000_000}, how=zipfile.ZIP_DEFLATED)
    assert "17,000,000 bytes, more than the 16,000,000 allowed" in refusal(bomb, tmp_path)
    many = {**parts, **{f"assets/{number}": b"" for number in range(2_001)}}
    assert "2,000 files" in refusal(packed(tmp_path / "many.keras", many), tmp_path)
    for missing in ("config.json", "model.weights.h5"):
        less = {name: content for name, content in parts.items() if name != missing}
        assert f"has no {missing}" in refusal(packed(tmp_path / "less.keras", less), tmp_path)
    old = {**parts, "metadata.json": {"keras_version": "2.15.0"}}
    assert "written by Keras '2.15.0'" in refusal(packed(tmp_path / "old.keras", old), tmp_path)


def test_names_that_climb_out_of_an_archive_are_written_nowhere(parts: dict[str, Any], tmp_path: Path) -> None:
    names = ["../../climbed", "/tmp/climbed-by-a-test", "assets/../../climbed", "..\\climbed"]
    path = packed(tmp_path / "a.keras", {**parts, **dict.fromkeys(names, b"evil")})
    out = import_keras(path, tmp_path / "deep" / "out")
    assert sorted(each.name for each in out.iterdir()) == ["README.md", "model.weights.h5", "segmodels.json"]
    assert not list(tmp_path.rglob("*climbed*"))
    assert not Path("/tmp/climbed-by-a-test").exists()


def test_weights_that_are_hostile_or_of_another_network(parts: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "model.weights.h5"

    def refused(change: Callable[[h5py.File], object]) -> str:
        file.write_bytes(parts["model.weights.h5"])
        with h5py.File(file, "a") as opened:
            change(opened)
        return refusal(packed(tmp_path / "a.keras", {**parts, "model.weights.h5": file.read_bytes()}), tmp_path)

    def relink(opened: h5py.File) -> None:
        del opened["layers/conv2d"]
        opened["layers/conv2d"] = h5py.ExternalLink("/etc/hostname", "/")

    assert "link to another file" in refused(relink)
    assert "holds 1,157 numbers" in refused(lambda opened: opened.__delitem__("layers/conv2d"))
    assert "does not fit" in refused(lambda opened: opened.__setitem__("layers/x/vars/0", np.ones(3, np.float32)))
    small = parts["model.weights.h5"][:5000]
    assert "damaged" in refusal(packed(tmp_path / "b.keras", {**parts, "model.weights.h5": small}), tmp_path)


def _functional(inputs: Any, outputs: Any) -> Any:
    from segmodels.backend import keras

    return keras.Model(inputs, outputs)


def test_networks_that_are_no_segmentation(tmp_path: Path) -> None:
    from segmodels.backend import keras

    layers = keras.layers
    colour, grey = keras.Input((32, 32, 3)), keras.Input((32, 32, 1))
    convolved = layers.Conv2D(3, 1)(colour)
    cases = {
        "takes 1 channels, not RGB": _functional(grey, layers.Conv2D(2, 1)(grey)),
        "not a score for each pixel": _functional(colour, layers.Dense(3)(layers.Flatten()(colour))),
        "once for a whole picture": _functional(colour, layers.GlobalAveragePooling2D(keepdims=True)(convolved)),
        "2 outputs": _functional(colour, [convolved, layers.ReLU()(convolved)]),
        "2 inputs": _functional([colour, grey], layers.Conv2D(3, 1)(layers.Concatenate()([colour, grey]))),
        "300 classes": _functional(colour, layers.Conv2D(300, 1)(colour)),
        "is no layer of Keras that is allowed": _functional(
            colour, layers.Conv2D(3, 1)(layers.Lambda(lambda x: x * 2)(colour))
        ),
    }
    for words, model in cases.items():
        model.save(tmp_path / "a.keras")
        assert words in refusal(tmp_path / "a.keras", tmp_path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scale": "0..2"}, "unknown scale '0..2'"),
        ({"size": 8}, "from 32 to 2048"),
        ({"classes": ["a", "b"]}, "has 3 classes, but 2 names"),
        ({"classes": ["a", "a", "b"]}, "a name of its own"),
        ({"classes": ["a", "", "b"]}, "a name of its own"),
        ({"colours": ["red", "#000000", "#00ff00"]}, "#RRGGBB"),
        ({"colours": ["#000000"]}, "1 colours"),
    ],
    ids=str,
)
def test_a_wrong_wish(saved: Callable, tmp_path: Path, options: dict[str, Any], words: str) -> None:
    assert words in refusal(saved(unet)[1], tmp_path, **options)


def test_a_wrong_place(saved: Callable, tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "gone.keras", tmp_path)
    assert "old form of Keras" in refusal(tmp_path / "model.h5", tmp_path)
    assert "has no config.json" in refusal(tmp_path, tmp_path)
    with pytest.raises(UserError, match="is there already"):
        import_keras(
            saved(unet)[1], tmp_path / "old", classes=(tmp_path / "old").mkdir() or (tmp_path / "old" / "x").touch()
        )
    with pytest.raises(UserError, match="48 pixels only"):
        import_keras(saved(sequential)[1], tmp_path / "out", size=128)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"network": "{"}, "no JSON"),
        ({"network": "[" * 100_000}, "no JSON"),
        ({"network": "1"}, "no Functional"),
        ({"network": {}}, "network"),
        ({"scale": "os.system"}, "scale"),
        ({"multiple": 10**9}, "multiple"),
        ({"multiple": "4"}, "multiple"),
        ({"evil": 1}, "evil"),
        ({"thing": True}, "answers"),
        ({"network": "x" * 800_000}, "network"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_pulled_spec_is_checked_at_every_load(kept: Path, tmp_path: Path, change: dict[str, Any], words: str) -> None:
    folder = shutil.copytree(kept, tmp_path / "out")
    spec = json.loads((folder / "segmodels.json").read_text())
    spec["architecture"]["options"] |= change
    (folder / "segmodels.json").write_text(json.dumps(spec))
    with pytest.raises(UserError, match=words) as caught:
        load_checkpoint(folder)
    assert "\n" not in str(caught.value)


def _places(document: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The keys that lead to each part of a document."""
    if place:
        yield place
    for key in document if isinstance(document, dict) else range(len(document)) if isinstance(document, list) else ():
        yield from _places(document[key], (*place, key))


def test_whatever_is_changed_it_is_refused_in_a_line_or_checked_the_same_again(parts: dict[str, bytes]) -> None:
    rng = random.Random(0)
    values = [None, True, -1, 10**9, 1.5, "", "x", "os.system", [], [1], [[]], {}, {"class_name": ["x"], "config": {}}]
    whole, refused = json.loads(parts["config.json"]), 0
    places = list(_places(whole))
    for _ in range(400):
        document = copy.deepcopy(whole)
        *path, last = rng.choice(places)
        part: Any = document
        for key in path:
            part = part[key]
        part[last] = rng.choice(values)
        try:
            checked = checked_network(document)
        except UserError:
            refused += 1
            continue
        assert checked_network(checked) == checked
    assert 80 < refused < 320


def test_what_was_checked_is_checked_the_same_again(saved: Callable) -> None:
    for make in (unet, sequential, one_score, mobilenet, quarter):
        with zipfile.ZipFile(saved(make)[1]) as archive:
            once = checked_network(json.loads(archive.read("config.json")))
        assert checked_network(json.loads(json.dumps(once))) == once


def test_what_is_allowed_is_there_and_takes_no_code() -> None:
    """Every name is one of Keras; none has an argument by which files, functions or classes come in."""
    import inspect

    from segmodels.backend import keras

    for name in LAYERS:
        parameters = set(inspect.signature(getattr(keras.layers, name)).parameters)
        assert not parameters & {"function", "fn", "call_fn", "vocabulary", "filepath", "module", "layer", "path"}, name
    for module, names in OPERATIONS.items():
        for name in names:
            assert issubclass(getattr(sys.modules[module], name), keras.Operation)
    assert all(callable(getattr(keras.activations, name)) for name in ACTIVATIONS)
    assert not LAYERS & {"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "TextVectorization"}


def test_colours_lie_apart() -> None:
    found = distinct_colours(20)
    assert len(set(found)) == 20
    assert found[0] == "#000000"
    numbers = np.array([[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in found])
    apart = np.abs(numbers[:, None] - numbers[None]).sum(-1)[~np.eye(20, dtype=bool)]
    assert apart.min() > 40
    assert [each.name for each in class_specs(3, None, None)] == ["class 0", "class 1", "class 2"]
