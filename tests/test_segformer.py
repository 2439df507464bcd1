"""SegFormer and its Mix Transformer: against keras-cv with the same weights, against NumPy, at any size, on JAX."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from segmodels.backend import keras, ops
from segmodels.errors import UserError
from segmodels.models.backbones import BACKBONES
from segmodels.models.layers import Upsample
from segmodels.models.mit import VARIANTS, ChannelsAsRows, mix_transformer
from segmodels.models.mit_presets import FILE, copy_weights, load_imagenet
from segmodels.models.segformer import SegFormerOptions, segformer

ORDERS = ("spatial", "keras-cv")
STAGES = (1, 2, 3, 4)


#: keras-cv takes seconds to build, and up to half a minute for the largest.
QUICK_FIRST = [name if name == "mit_b0" else pytest.param(name, marks=pytest.mark.slow) for name in VARIANTS]


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    keras.utils.set_random_seed(7)
    yield
    keras.backend.clear_session()


def picture(height: int, width: int, batch: int = 2) -> np.ndarray:
    return np.random.default_rng([height, width]).uniform(0, 255, (batch, height, width, 3)).astype(np.float32)


def shake(model: keras.Model) -> None:
    """Give every weight a value of its own, normalisations and biases included, as training would."""
    random = np.random.default_rng(3)
    for weight in model.weights:
        noise = random.normal(size=weight.shape)
        if weight.name == "moving_variance":
            weight.assign(0.5 + np.abs(noise))
        else:
            weight.assign(ops.convert_to_numpy(weight) + noise * (0.03 if len(weight.shape) > 1 else 0.2))


def keras_cv_backbone(variant: str, size: int = 64, **options: Any) -> Any:
    keras_cv = pytest.importorskip("keras_cv")
    widths, depths = VARIANTS[variant]
    options = {"include_rescaling": False, **options}
    return keras_cv.models.MiTBackbone(
        embedding_dims=list(widths), depths=list(depths), input_shape=(size, size, 3), **options
    )


def whole(backbone: str = "mit-b0", classes: int = 3, **options: Any) -> keras.Model:
    images = keras.Input((None, None, 3))
    checked = SegFormerOptions(backbone=backbone, **options)
    return keras.Model(images, segformer(images, classes, checked)["logits"])


def stages(network: keras.Model) -> keras.Model:
    return keras.Model(network.input, [network.get_layer(f"stage{stage}_norm").output for stage in STAGES])


def assert_same(found: Any, expected: Any, tolerance: float = 1e-4) -> None:
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    assert expected.std() > 0.01
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("variant", QUICK_FIRST)
def test_backbone_agrees_with_keras_cv(variant: str) -> None:
    source = keras_cv_backbone(variant)
    shake(source)
    network = mix_transformer(variant, "keras-cv")
    copy_weights(source, network)
    assert source.count_params() == network.count_params() == BACKBONES[variant.replace("_", "-")].parameters

    images = picture(64, 64) / 255
    theirs = keras.Model(source.input, [source.get_layer(f"output_level_{index}").output for index in range(4)])
    for found, expected in zip(stages(network)(images), theirs(images), strict=True):
        assert_same(found, expected)


@pytest.mark.parametrize("variant", QUICK_FIRST)
def test_segformer_agrees_with_keras_cv(variant: str) -> None:
    source = keras_cv_backbone(variant, size=96, include_rescaling=True)
    import keras_cv

    name = variant.replace("_", "-")
    model = whole(name, classes=5, token_order="keras-cv")
    width = model.get_layer("fuse_conv").filters
    theirs = keras_cv.models.SegFormer(backbone=source, num_classes=5, projection_filters=width)
    shake(theirs)
    assert model.count_params() == theirs.count_params()

    network = mix_transformer(variant, "keras-cv")
    copy_weights(source, network)
    for layer in model.get_layer("backbone").layers:
        layer.set_weights(network.get_layer(layer.name).get_weights())
    fuse = next(layer for layer in theirs.layers if isinstance(layer, keras.Sequential))
    pairs = {
        "fuse_conv": fuse.layers[0],
        "fuse_norm": fuse.layers[1],
        "logits": next(layer for layer in theirs.layers if isinstance(layer, keras.layers.Conv2D)),
        **{f"level{stage}_project": theirs.get_layer(f"linear_{VARIANTS[variant][0][stage - 1]}") for stage in STAGES},
    }
    for ours, layer in pairs.items():
        model.get_layer(ours).set_weights(layer.get_weights())

    # keras-cv enlarges probabilities, and we enlarge scores, which is what a loss wants.
    images = picture(96, 96)
    scores = keras.Model(model.input, model.get_layer("logits").output)(images, training=False)
    assert_same(Upsample(4)(ops.softmax(scores)), theirs(images, training=False))
    assert_same(model(images, training=False), Upsample(4)(scores))


@pytest.mark.parametrize(
    "variant", [pytest.param(name, marks=pytest.mark.slow if name > "mit_b1" else ()) for name in VARIANTS]
)
def test_backbones_have_the_known_parameters(variant: str) -> None:
    assert mix_transformer(variant).count_params() == BACKBONES[variant.replace("_", "-")].parameters


def norm(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, epsilon: float) -> np.ndarray:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + epsilon) * gamma + beta


def test_spatial_attention_is_that_of_the_paper() -> None:
    """Pixel by pixel, on a map of 8 x 12 where 4 x 4 pixels become one key: Xie et al. 2021, equations 1 and 2."""
    network = mix_transformer("mit_b0")
    shake(network)
    name, heads, reduction = "stage2_block2_attention", 2, 4
    part = keras.Model(network.get_layer(f"{name}_norm").output, network.get_layer(f"{name}_out").output)
    features = np.random.default_rng(0).normal(size=(1, 8, 12, 64)).astype(np.float32)

    def weights(layer: str) -> list[np.ndarray]:
        return [value.astype(np.float64) for value in network.get_layer(f"{name}_{layer}").get_weights()]

    def dense(x: np.ndarray, layer: str) -> np.ndarray:
        kernel, bias = weights(layer)
        return x @ kernel + bias

    kernel, bias = weights("reduce")
    places = []
    for top in range(0, 8, reduction):
        for left in range(0, 12, reduction):
            patch = features[0, top : top + reduction, left : left + reduction]
            places.append(np.einsum("ijc,ijcd->d", patch, kernel) + bias)
    places = norm(np.array(places), *weights("reduce_norm"), 1e-3)
    keys, values, queries = dense(places, "key"), dense(places, "value"), dense(features[0], "query")
    expected = np.empty((8, 12, 64))
    for row, column, head in np.ndindex(8, 12, heads):
        part_of = slice(head * 32, (head + 1) * 32)
        scores = np.exp(keys[:, part_of] @ queries[row, column, part_of] / np.sqrt(32))
        expected[row, column, part_of] = scores @ values[:, part_of] / scores.sum()
    assert_same(part(features)[0], dense(expected, "out"), 1e-5)


def test_the_order_of_keras_cv_is_undone_on_any_map() -> None:
    features = np.arange(2 * 4 * 6 * 5, dtype=np.float32).reshape(2, 4, 6, 5)
    rows = ChannelsAsRows()(features)
    expected = [features[1, row, column, channel] for channel, row, column in np.ndindex(5, 4, 6)]
    np.testing.assert_array_equal(np.asarray(rows)[1].ravel(), expected)
    np.testing.assert_array_equal(np.asarray(ChannelsAsRows(back=True)(rows)), features)


@pytest.mark.parametrize(
    "order", [pytest.param(order, marks=pytest.mark.slow if order == "keras-cv" else ()) for order in ORDERS]
)
def test_any_size_in_any_mode(order: str) -> None:
    tf = pytest.importorskip("tensorflow")
    model = whole(token_order=order)
    shake(model)
    maps = stages(mix_transformer("mit_b0", order))(picture(32, 96) / 255)
    assert [tuple(x.shape) for x in maps] == [(2, 8, 24, 32), (2, 4, 12, 64), (2, 2, 6, 160), (2, 1, 3, 256)]

    compiled = tf.function(
        lambda images: model(images, training=False), input_signature=[tf.TensorSpec((None, None, None, 3))]
    )
    for images in (picture(32, 32), picture(64, 32, batch=1), picture(32, 96)):
        expected = model(images, training=False)
        assert expected.shape == (*images.shape[:3], 3)
        assert_same(compiled(images), expected)
    if order == "spatial":  # the other has all its operations and more
        return
    fused = tf.function(lambda images: model(images, training=False), jit_compile=True)
    assert_same(fused(images), model(images, training=False))


@pytest.mark.parametrize("order", ORDERS)
def test_gradients_reach_every_weight(order: str) -> None:
    tf = pytest.importorskip("tensorflow")
    model = whole(token_order=order, dropout=0)
    with tf.GradientTape() as tape:
        # At 32 pixels a stage has a single key, and softmax over one leaves nothing for queries to learn.
        value = ops.mean(model(picture(64, 96), training=True) ** 2)
    gradients = tape.gradient(value, model.trainable_variables)
    dead = [v.path for v, g in zip(model.trainable_variables, gradients, strict=True) if g is None]
    dead += [
        v.path for v, g in zip(model.trainable_variables, gradients, strict=True) if g is not None and not np.any(g)
    ]
    assert not dead


def test_whole_branches_are_dropped_ever_more_often() -> None:
    network = mix_transformer("mit_b1")
    dropped = [layer for layer in network.layers if isinstance(layer, keras.layers.Dropout)]
    assert {layer.noise_shape for layer in dropped} == {(None, 1, 1, 1)}
    rates = [layer.rate for layer in dropped if "mlp" in layer.name]
    np.testing.assert_allclose(rates, np.linspace(0, 0.1, 8)[1:])
    images = picture(32, 32) / 255
    assert np.abs(np.asarray(network(images, training=False)) - np.asarray(network(images))).max() == 0


def test_options_shape_the_network() -> None:
    model = whole(width=24, dropout=0.5)
    assert model.get_layer("fuse_conv").filters == model.get_layer("level3_project").units == 24
    assert model.get_layer("fuse_norm").momentum == 0.9
    images = picture(32, 32)
    assert np.abs(np.asarray(model(images, training=True)) - np.asarray(model(images, training=False))).max() > 0
    assert [SegFormerOptions(backbone=f"mit-b{n}").channels for n in range(6)] == [256, 256, 768, 768, 768, 768]
    assert "backbone" not in SegFormerOptions(backbone="mit-b0").model_dump()


@pytest.mark.parametrize(
    "wrong", [{"width": 7}, {"width": 2049}, {"dropout": 1}, {"token_order": "rows"}, {"depth": 3}]
)
def test_options_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        SegFormerOptions(backbone="mit-b0", **wrong)


def test_an_unknown_token_order_is_refused() -> None:
    with pytest.raises(UserError, match="choose one of spatial, keras-cv"):
        mix_transformer("mit_b0", "rows")  # type: ignore[arg-type]


def test_logits_are_float32_under_mixed_precision() -> None:
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = whole()
    finally:
        keras.config.set_dtype_policy(policy)
    scores = model(picture(32, 64))
    assert keras.backend.standardize_dtype(scores.dtype) == "float32"
    assert np.unique(np.asarray(scores)).size > 0.9 * np.asarray(scores).size, "rounded to bfloat16 on the way"


def test_a_saved_network_is_read_back(tmp_path: Path) -> None:
    model = whole(token_order="keras-cv")
    shake(model)
    model.save(tmp_path / "segformer.keras")
    again = keras.models.load_model(tmp_path / "segformer.keras")
    assert_same(again(picture(32, 64), training=False), model(picture(32, 64), training=False), 1e-6)


@pytest.mark.parametrize("rescaling", [pytest.param(True, marks=pytest.mark.slow), False])
def test_weights_that_keras_cv_wrote(tmp_path: Path, rescaling: bool) -> None:
    source = keras_cv_backbone("mit_b0", include_rescaling=rescaling)
    shake(source)
    source.save_weights(tmp_path / FILE)
    network = mix_transformer("mit_b0", "keras-cv")
    load_imagenet(network, tmp_path / FILE)
    images = picture(64, 64)
    assert_same(network(images / 255), source(images if rescaling else images / 255))


def test_published_weights_come_by_keras_cv(monkeypatch: pytest.MonkeyPatch) -> None:
    source = keras_cv_backbone("mit_b0")
    import keras_cv

    asked = []
    monkeypatch.setattr(keras_cv.models.MiTBackbone, "from_preset", lambda name: asked.append(name) or source)
    network = mix_transformer("mit_b0", "keras-cv")
    load_imagenet(network, None)
    assert asked == ["mit_b0_imagenet"]
    assert_same(network(picture(64, 64) / 255), source(picture(64, 64) / 255))


def test_missing_published_weights_say_where_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    keras_cv = pytest.importorskip("keras_cv")

    def no_network(*_: Any, **__: Any) -> None:
        raise OSError("no route\nto host")

    monkeypatch.setattr(keras_cv.models.MiTBackbone, "from_preset", no_network)
    with pytest.raises(UserError) as caught:
        load_imagenet(mix_transformer("mit_b0"), None)
    for word in (FILE, "SEGMODELS_WEIGHTS_DIR", "Kaggle", "mit_b0_imagenet"):
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_weights_files_that_do_not_fit(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("no weights")
    with pytest.raises(UserError, match=r"does not hold weights of keras-cv's MiT-B0") as caught:
        load_imagenet(mix_transformer("mit_b0"), tmp_path / FILE)
    assert "\n" not in str(caught.value)
    keras_cv_backbone("mit_b1").save_weights(tmp_path / FILE)
    with pytest.raises(UserError, match=r"does not hold weights of keras-cv's MiT-B0") as caught:
        load_imagenet(mix_transformer("mit_b0"), tmp_path / FILE)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="not weights of MiT-B0"):
        copy_weights(keras_cv_backbone("mit_b1"), mix_transformer("mit_b0"))


def test_without_keras_cv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keras_cv", None)
    with pytest.raises(UserError, match="need keras-cv and TensorFlow") as caught:
        load_imagenet(mix_transformer("mit_b0"), None)
    assert "\n" not in str(caught.value)


JAX_SCRIPT = """
import sys
import numpy as np
from segmodels.backend import backend_name, keras
from segmodels.errors import UserError
from segmodels.models.mit import mix_transformer
from segmodels.models.mit_presets import load_imagenet
from segmodels.models.segformer import SegFormerOptions, segformer

assert backend_name() == "jax"
folder = sys.argv[1]
pictures = np.load(f"{folder}/pictures.npy")
for order in ("spatial", "keras-cv"):
    images = keras.Input((None, None, 3))
    model = keras.Model(images, segformer(images, 3, SegFormerOptions(backbone="mit-b0", token_order=order))["logits"])
    model.load_weights(f"{folder}/model.weights.h5")
    np.save(f"{folder}/{order}.npy", model.predict(pictures, verbose=0))
try:
    load_imagenet(mix_transformer("mit_b0"), None)
except UserError as error:
    print(error)
"""


@pytest.mark.slow
def test_jax_computes_the_same(jax_python: Path, python: Callable, tmp_path: Path) -> None:
    models = {order: whole(token_order=order) for order in ORDERS}
    shake(models["spatial"])
    models["keras-cv"].set_weights(models["spatial"].get_weights())
    models["spatial"].save_weights(tmp_path / "model.weights.h5")
    np.save(tmp_path / "pictures.npy", picture(64, 96))
    done = python("-c", JAX_SCRIPT, tmp_path, interpreter=jax_python, KERAS_BACKEND="jax")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "need the TensorFlow backend" in done.stdout
    assert len(done.stdout.splitlines()) == 1
    for order, model in models.items():
        assert_same(np.load(tmp_path / f"{order}.npy"), model(picture(64, 96), training=False))


@pytest.mark.slow
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    "trained", [True, False]
)  # the exporter drops biases that are zero, and then merges what is left
def test_onnx_takes_any_size(tmp_path: Path, order: str, trained: bool) -> None:
    pytest.importorskip("tf2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    model = whole(token_order=order)
    if trained:
        shake(model)
    model(picture(32, 32))  # Keras exports no model that was never called
    model.export(tmp_path / "segformer.onnx", format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "segformer.onnx", providers=["CPUExecutionProvider"])
    for images in (picture(32, 96), picture(128, 64, batch=1)):
        (scores,) = session.run(None, {session.get_inputs()[0].name: images})
        assert_same(scores, model(images, training=False))
