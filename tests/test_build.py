"""Networks: their parameters, any picture size, the input contract, weights, and messages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segmodels.backend import keras, ops
from segmodels.errors import UserError
from segmodels.models.backbones import BACKBONES
from segmodels.models.build import build
from segmodels.models.layers import CropLike, PadToMultiple, Upsample

SMALL: dict[str, Any] = {"width": 4, "depth": 3}


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    keras.utils.set_random_seed(7)
    yield
    keras.backend.clear_session()


def picture(height: int, width: int, batch: int = 1, kind: type = np.uint8) -> np.ndarray:
    return np.random.default_rng([height, width]).integers(0, 256, (batch, height, width, 3)).astype(kind)


def run(model: keras.Model, images: np.ndarray) -> np.ndarray:
    return np.asarray(model(images, training=False))


def test_plain_unet_has_the_parameters_of_the_paper() -> None:
    assert build("unet", classes=1, norm="none").count_params() == 31_031_745


def test_unet_with_batch_norm_has_the_known_parameters() -> None:
    model = build("unet", classes=2)
    assert model.count_params() == 31_049_474
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == 31_037_698


def test_unet_on_mobilenetv2_has_the_known_parameters() -> None:
    assert build("unet", backbone="mobilenetv2", classes=3).count_params() == 6_665_331


@pytest.mark.parametrize(("name", "count"), [("mobilenet", 3_228_864), ("mobilenetv2", 2_257_984)])
def test_backbones_have_the_known_parameters(name: str, count: int) -> None:
    model = build("unet", backbone=name, classes=3)
    assert model.get_layer("backbone").count_params() == count == BACKBONES[name].parameters


@pytest.mark.parametrize("backbone", ["none", "mobilenet", "mobilenetv2"])
def test_any_picture_size_and_number_type(backbone: str) -> None:
    options = SMALL if backbone == "none" else {"widths": (8, 8, 8, 8, 8)}
    model = build("unet", backbone=backbone, classes=3, **options)
    for height, width in ((97, 131), (1, 1), (33, 64)):
        images = picture(height, width, batch=2)
        scores = run(model, images)
        assert scores.shape == (2, height, width, 3)
        assert scores.dtype == np.float32
        assert np.isfinite(scores).all()
        np.testing.assert_array_equal(run(model, images.astype(np.float32)), scores)


@pytest.mark.parametrize("backbone", ["none", "mobilenetv2"])
def test_logits_are_float32_under_mixed_precision(backbone: str) -> None:
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        options = {**SMALL, "upsample": "bilinear"} if backbone == "none" else {"widths": (8, 8, 8, 8, 8)}
        model = build("unet", backbone=backbone, classes=3, **options)
    finally:
        keras.config.set_dtype_policy(policy)
    scores = model(picture(37, 45))
    assert keras.backend.standardize_dtype(scores.dtype) == "float32"
    assert np.isfinite(np.asarray(scores)).all()
    assert any(layer.compute_dtype == "bfloat16" for layer in model.layers)


def test_sizes_that_fit_are_not_padded() -> None:
    images = picture(32, 64, kind=np.float32)
    padded = PadToMultiple(32)(images)
    np.testing.assert_array_equal(np.asarray(padded), images)
    np.testing.assert_array_equal(np.asarray(CropLike()(padded, images)), images)


def test_padding_is_zeros_to_the_right_and_below() -> None:
    images = picture(5, 9, kind=np.float32) + 1
    padded = np.asarray(PadToMultiple(8)(images))
    assert padded.shape == (1, 8, 16, 3)
    np.testing.assert_array_equal(padded[:, :5, :9], images)
    assert padded[:, 5:].max() == padded[:, :, 9:].max() == 0


def test_a_padded_picture_is_one_with_black_edges() -> None:
    model = build("unet", classes=2, **SMALL)
    images = picture(30, 41)
    whole = np.pad(images, [(0, 0), (0, 2), (0, 3), (0, 0)])
    np.testing.assert_allclose(run(model, images), run(model, whole)[:, :30, :41], atol=1e-5)


def test_padding_reaches_no_further_than_the_network_sees() -> None:
    model = build("unet", classes=2, width=4, depth=2, convs=1, norm="none")
    images, sight = picture(40, 40), 8
    whole, part = run(model, images), run(model, images[:, :33, :37])
    np.testing.assert_allclose(part[:, : 33 - sight, : 37 - sight], whole[:, : 33 - sight, : 37 - sight], atol=1e-5)
    assert np.abs(part[:, 32, 36] - whole[:, 32, 36]).max() > 1e-3


@pytest.mark.parametrize("factor", [2, 3])
def test_upsample_is_bilinear_with_centres_at_halves(factor: int) -> None:
    features = np.random.default_rng(0).normal(size=(2, 5, 7, 3)).astype(np.float32)
    expected = features
    for axis in (1, 2):
        length = features.shape[axis]
        centres = (np.arange(length * factor) + 0.5) / factor - 0.5

        def along(line: np.ndarray, x: np.ndarray = centres, n: int = length) -> np.ndarray:
            return np.interp(x, np.arange(n), line)

        expected = np.apply_along_axis(along, axis, expected)
    np.testing.assert_allclose(np.asarray(Upsample(factor)(features)), expected, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"upsample": "transpose"},
        {"upsample": "bilinear"},
        {"norm": "none"},
        {"norm": "instance"},
        {"norm": "group", "width": 8},
        {"convs": 1},
    ],
    ids=str,
)
def test_gradients_reach_every_weight(options: dict[str, Any]) -> None:
    tf = pytest.importorskip("tensorflow")
    model = build("unet", classes=3, **{**SMALL, **options})
    with tf.GradientTape() as tape:
        value = ops.mean(model(picture(32, 32, batch=4), training=True) ** 2)
    gradients = tape.gradient(value, model.trainable_variables)
    dead = [v.path for v, g in zip(model.trainable_variables, gradients, strict=True) if g is None or not np.any(g)]
    assert not dead


def test_gradients_reach_the_backbone() -> None:
    tf = pytest.importorskip("tensorflow")
    model = build("unet", backbone="mobilenetv2", classes=3, widths=(8, 8, 8, 8, 8))
    with tf.GradientTape() as tape:
        value = ops.mean(model(picture(64, 64, batch=2), training=True) ** 2)
    gradients = tape.gradient(value, model.trainable_variables)
    assert [v.path for v, g in zip(model.trainable_variables, gradients, strict=True) if g is None] == []


def kinds(model: keras.Model) -> list[str]:
    return [type(layer).__name__ for layer in model.layers]


def test_options_shape_the_network() -> None:
    assert kinds(build("unet", classes=2, **SMALL)).count("BatchNormalization") == 10
    assert kinds(build("unet", classes=2, norm="none", **SMALL)).count("BatchNormalization") == 0
    instance = build("unet", classes=2, norm="instance", **SMALL).get_layer("down0_1_norm")
    assert instance.groups == -1 or instance.groups == 4
    assert build("unet", classes=2, norm="group", width=16, depth=2).get_layer("down0_1_norm").groups == 8
    assert "Upsample" in kinds(build("unet", classes=2, upsample="bilinear", **SMALL))
    assert kinds(build("unet", classes=2, **SMALL)).count("Conv2DTranspose") == 2
    assert kinds(build("unet", classes=2, convs=3, **SMALL)).count("Conv2D") == 3 * 5 + 1
    dropped = build("unet", classes=2, dropout=0.5, **SMALL)
    assert "Dropout" in kinds(dropped)
    images = picture(32, 32)
    assert np.abs(np.asarray(dropped(images, training=True)) - run(dropped, images)).max() > 0


def test_batch_statistics_serve_short_trainings() -> None:
    model = build("unet", backbone="mobilenetv2", classes=3, widths=(8, 8, 8, 8, 8))
    layers = [*model.layers, *model.get_layer("backbone").layers]
    momenta = {layer.momentum for layer in layers if isinstance(layer, keras.layers.BatchNormalization)}
    assert momenta == {0.9}


def test_auxiliary_returns_both_kinds_of_heads() -> None:
    outputs = build("unet", classes=2, auxiliary=True, **SMALL)(picture(8, 8))
    assert set(outputs) == {"logits", "auxiliary"}
    assert outputs["logits"].shape == (1, 8, 8, 2)


@pytest.mark.parametrize("classes", [0, 256, -1, 2.5, "3", None])
def test_classes_out_of_range(classes: Any) -> None:
    with pytest.raises(UserError, match="1 to 255"):
        build("unet", classes=classes, **SMALL)


@pytest.mark.parametrize("classes", [1, 255])
def test_classes_at_the_edges(classes: int) -> None:
    assert build("unet", classes=classes, **SMALL).output_shape[-1] == classes


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"architecture": "unett"}, ["unett", "did you mean 'unet'"]),
        ({"backbone": "mobilnetv2"}, ["mobilnetv2", "did you mean 'mobilenetv2'"]),
        ({"depth": 9}, ["depth=9", "at least 2 and at most 7"]),
        ({"width": 0}, ["width=0", "at least 1 and at most 512"]),
        ({"convs": 5}, ["convs=5", "at least 1 and at most 4"]),
        ({"dropout": 1.0}, ["dropout=1.0", "at least 0 and less than 1"]),
        ({"norm": "layer"}, ["norm='layer'", "batch", "instance", "group", "none"]),
        ({"upsample": "nearest"}, ["upsample='nearest'", "transpose", "bilinear"]),
        ({"dept": 4}, ["dept", "did you mean 'depth'"]),
        ({"widths": (8, 8, 8, 8, 8)}, ["widths", "width and depth"]),
        ({"backbone": "mobilenet", "depth": 4}, ["depth", "widths"]),
        ({"backbone": "mobilenet", "widths": (8, 8)}, ["widths", "8"]),
        ({"norm": "group", "width": 4}, ["group", "multiple of 8"]),
        ({"weights": "imagenet"}, ["weights='imagenet'", "needs a backbone"]),
    ],
    ids=str,
)
def test_what_cannot_be_built_is_said_in_one_line(arguments: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        build(**{"architecture": "unet", "classes": 3, **arguments})
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("name", ["mobilenet", "mobilenetv2"])
def test_pixels_are_scaled_as_the_backbone_was_trained(name: str) -> None:
    module = {"mobilenet": keras.applications.mobilenet, "mobilenetv2": keras.applications.mobilenet_v2}[name]
    model = build("unet", backbone=name, classes=3, widths=(8, 8, 8, 8, 8))
    scaled = keras.Model(model.input, model.get_layer("preprocessing").output)
    images = picture(32, 32)
    expected = module.preprocess_input(images.astype(np.float32).copy())
    np.testing.assert_allclose(run(scaled, images), expected, atol=1e-6)


@pytest.mark.parametrize("name", ["mobilenet", "mobilenetv2"])
def test_imagenet_weights_are_found_by_name(name: str, weights_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [weights_folder / file for file in BACKBONES[name].weights if (weights_folder / file).is_file()]
    assert files, f"none of {BACKBONES[name].weights} in {weights_folder}"
    monkeypatch.setenv("SEGMODELS_WEIGHTS_DIR", str(weights_folder))
    model = build("unet", backbone=name, classes=3, weights="imagenet", widths=(8, 8, 8, 8, 8))
    oracle = getattr(keras.applications, BACKBONES[name].factory)(
        include_top=False, weights=None, input_shape=(None, None, 3)
    )
    oracle.load_weights(str(files[0]))
    scaled = picture(64, 64) / 127.5 - 1
    taps = model.get_layer("backbone")(scaled.astype(np.float32), training=False)
    np.testing.assert_allclose(np.asarray(taps[-1]), run(oracle, scaled.astype(np.float32)), atol=1e-4)
    assert [64 // tap.shape[1] for tap in taps] == [2, 4, 8, 16, 32]


def test_missing_imagenet_weights_say_where_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: Any, **__: Any) -> str:
        raise OSError("no route to host")

    monkeypatch.setenv("SEGMODELS_WEIGHTS_DIR", str(tmp_path))
    monkeypatch.setattr(keras.utils, "get_file", no_network)
    with pytest.raises(UserError) as caught:
        build("unet", backbone="mobilenetv2", classes=3, weights="imagenet")
    message = str(caught.value)
    assert "SEGMODELS_WEIGHTS_DIR" in message
    assert BACKBONES["mobilenetv2"].weights[0] in message
    assert "https://" in message
    assert "\n" not in message


def test_a_weights_file_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.h5 does not exist"):
        build("unet", backbone="mobilenetv2", classes=3, weights=tmp_path / "gone.h5")


@pytest.mark.parametrize("name", ["notes.h5", "notes.weights.h5", "notes.txt"])
def test_a_weights_file_that_holds_no_weights(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("no weights")
    with pytest.raises(UserError, match="does not hold weights of MobileNetV2") as caught:
        build("unet", backbone="mobilenetv2", classes=3, weights=tmp_path / name)
    assert "\n" not in str(caught.value)


def test_weights_of_another_backbone(tmp_path: Path, weights_folder: Path) -> None:
    found = [weights_folder / name for name in BACKBONES["mobilenet"].weights if (weights_folder / name).is_file()]
    shutil.copy(found[0], tmp_path / found[0].name)
    with pytest.raises(UserError, match="does not hold weights of MobileNetV2"):
        build("unet", backbone="mobilenetv2", classes=3, weights=tmp_path / found[0].name)
