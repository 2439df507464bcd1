"""What each architecture's paper has: counts, and the parts that toy versions miss, each against an oracle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segmodels.backend import keras
from segmodels.errors import UserError
from segmodels.models.architectures import ARCHITECTURES
from segmodels.models.backbones import BACKBONES, CONVOLUTIONAL
from segmodels.models.build import build
from segmodels.models.deeplab import DeepLabOptions, rates_at
from segmodels.models.dilation import DilatedPooling, adapt
from segmodels.models.features import backbone_network
from segmodels.models.pixels import scale_pixels
from segmodels.models.resize import AdaptiveAveragePooling, ResizeLike
from segmodels.models.unet_plus_plus import prune
from segmodels.models.unpooling import PoolingPlaces, Unpooling
from tests import zoo

tf = pytest.importorskip("tensorflow")


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    keras.utils.set_random_seed(3)
    yield
    keras.backend.clear_session()


def trainable(model: keras.Model) -> int:
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)


@pytest.mark.parametrize(
    ("name", "keywords", "total", "learned"),
    [
        ("unet", {"classes": 1, "norm": "none"}, 31_031_745, 31_031_745),
        ("unet", {"classes": 2}, 31_049_474, 31_037_698),
        ("unet", {"classes": 3, "backbone": "mobilenetv2"}, 6_665_331, 4_405_363 + 2_223_872),
        ("unet++", {"classes": 1}, 9_042_177, 9_042_177),
        ("unet++", {"classes": 1, "deep_supervision": True}, 9_042_276, 9_042_276),
        ("segnet", {"classes": 11}, 29_465_227, 29_449_355),
        ("segnet", {"classes": 11, "backbone": "vgg16"}, 29_465_227, 29_449_355),
        ("fcn32", {"classes": 21, "backbone": "vgg16"}, 136_152_917, 136_152_917),
        ("fcn16", {"classes": 21, "backbone": "vgg16"}, 134_815_994, 134_815_994),
        ("fcn8", {"classes": 21, "backbone": "vgg16"}, 134_489_759, 134_489_759),
        ("pspnet", {"classes": 21, "backbone": "resnet50"}, 46_677_397, 46_619_157),
        ("pspnet", {"classes": 21, "backbone": "resnet50", "auxiliary": True}, 49_043_114, 48_984_362),
        ("deeplabv3", {"classes": 21, "backbone": "resnet50"}, 39_722_133, 39_665_429),
        ("deeplabv3+", {"classes": 21, "backbone": "resnet50"}, 40_436_053, 40_378_741),
        ("pix2pix", {"classes": 3}, 54_423_811, 54_413_955),
    ],
    ids=str,
)
def test_published_parameter_counts(name: str, keywords: dict[str, Any], total: int, learned: int) -> None:
    model = build(name, **keywords)
    assert (model.count_params(), trainable(model)) == (total, learned)


#: Trainable parameters of decoder and head with 3 classes in segmentation_models.pytorch 0.5.
PEER = {
    ("unet", "resnet50"): 9_012_928 + 435,
    ("unet", "mobilenetv2"): 4_404_928 + 435,
    ("unet++", "resnet50"): 25_477_568 + 435,
    ("unet++", "mobilenetv2"): 4_600_704 + 435,
    ("fpn", "resnet50"): 2_607_872 + 387,
    ("fpn", "mobilenetv2"): 1_991_424 + 387,
    ("linknet", "resnet50"): 7_669_712 + 99,
    ("linknet", "mobilenetv2"): 2_095_954 + 99,
    ("upernet", "resnet50"): 13_776_384 + 771,
    ("upernet", "mobilenetv2"): 10_795_824 + 771,
    ("segformer", "mit-b0"): 394_752 + 771,
}


@pytest.mark.parametrize(("name", "backbone"), list(PEER), ids=str)
def test_decoders_have_the_parameters_of_the_peer_library(name: str, backbone: str) -> None:
    model = build(name, classes=3, backbone=backbone)
    assert trainable(model) - trainable(model.get_layer("backbone")) == PEER[name, backbone]


#: Larger ones of a kind of which a smaller one is tried always.
LARGER = {"efficientnetb1", "efficientnetb2", "efficientnetb3", "efficientnetb4", "resnet101"}
EACH = [pytest.param(name, marks=pytest.mark.slow if name in LARGER else ()) for name in CONVOLUTIONAL]


@pytest.mark.parametrize("name", EACH)
def test_backbones_have_their_parameters_and_strides(name: str) -> None:
    row = BACKBONES[name]
    network = backbone_network(row)
    # EfficientNet's seven: mean, variance and count of pixels, which here are constants and no weights.
    assert network.count_params() == row.parameters - 7 * row.factory.startswith("EfficientNetB")
    taps = keras.Model(network.inputs[0], [network.get_layer(tap).output for tap in row.taps if tap])
    maps = taps(np.zeros((1, 64, 96, 3), np.float32))
    strides = [stride for stride, tap in zip((2, 4, 8, 16, 32), row.taps, strict=True) if tap]
    assert [tuple(found.shape[1:3]) for found in maps] == [(64 // stride, 96 // stride) for stride in strides]


@pytest.mark.parametrize("name", EACH)
def test_no_backbone_has_convolutions_in_groups(name: str) -> None:
    """Keras' TensorFlow computes them by a function that XLA compiles: slow, and in no ONNX file."""
    for layer in backbone_network(BACKBONES[name]).layers:
        assert getattr(layer, "groups", 1) == 1, layer.name


def test_convnexts_depthwise_convolutions_are_keras_own() -> None:
    published = zoo.shake(
        keras.applications.ConvNeXtTiny(
            include_top=False, weights=None, input_shape=(None, None, 3), include_preprocessing=False
        )
    )
    images = np.random.default_rng(0).normal(size=(1, 64, 96, 3)).astype(np.float32)
    ours = adapt(published, BACKBONES["convnexttiny"], 32)
    np.testing.assert_allclose(ours(images), published(images), atol=1e-5)
    assert {type(layer).__name__ for layer in ours.layers} >= {"DepthwiseConv2D", "Gelu"}
    assert ours.count_params() == published.count_params()


@pytest.mark.parametrize("stride", [16, pytest.param(8, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", EACH)
def test_dilated_backbones_compute_what_they_did_before(name: str, stride: int) -> None:
    """The dense features, taken at every (32 / stride)th place, are the features of stride 32, with the same weights.

    Exactly so, but where a network averages over the whole picture (squeeze and excitation): the denser average is
    another.
    """
    row = BACKBONES[name]
    network = zoo.shake(backbone_network(row))
    step = 32 // stride
    offset = {"mobilenet": step - 1, "mobilenetv2": step - 1}.get(name, 0)
    if name.startswith("efficientnet"):
        offset = step - 1
    if name == "convnexttiny":
        offset = step // 4  # its patches of 2x2 are centred once they are dilated
    images = np.random.default_rng(0).normal(size=(1, 64, 96, 3)).astype(np.float32)
    deepest = [
        keras.Model(n.inputs[0], n.get_layer(row.taps[-1]).output) for n in (network, adapt(network, row, stride))
    ]
    coarse, dense = (np.asarray(model(images, training=False)) for model in deepest)
    assert dense.shape[1:3] == (64 // stride, 96 // stride)
    error = zoo.difference(dense[:, offset::step, offset::step], coarse)
    assert error < (0.02 if name.startswith("efficientnet") else 1e-5)


@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize("size", [2, 3])
def test_dilated_pooling_is_pooling_of_every_second_place(kind: str, size: int) -> None:
    features = np.random.default_rng(0).normal(size=(1, 8, 12, 2)).astype(np.float32)
    dense = np.asarray(DilatedPooling(size, 2, kind)(features))
    pool = {"max": np.max, "average": np.mean}[kind]
    for row, column in ((0, 0), (3, 4), (7, 11), (6, 5)):
        window = features[0, row : row + 2 * size : 2, column : column + 2 * size : 2]
        np.testing.assert_allclose(dense[0, row, column], pool(window, axis=(0, 1)), rtol=1e-6)


def tied(shape: tuple[int, ...]) -> Any:
    """Features with flat areas and many equal values, as real pictures and their padding have."""
    values = np.random.default_rng(0).integers(0, 4, shape).astype(np.float32)
    values[:, : shape[1] // 2, : shape[2] // 2] = 1
    return tf.constant(values)


@pytest.mark.parametrize("xla", [False, True])
def test_unpooling_is_tensorflows_own_in_values_and_gradients(xla: bool) -> None:
    features = tied((2, 8, 12, 3))
    weights = tf.constant(np.random.default_rng(1).normal(size=(2, 8, 12, 3)).astype(np.float32))
    places, pool, unpool = PoolingPlaces(), keras.layers.MaxPooling2D(2), Unpooling()

    @tf.function(jit_compile=xla)
    def ours(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            back = unpool(pool(x), places(x))
            value = tf.reduce_sum(back * weights)
        return back, tape.gradient(value, x)

    with tf.GradientTape() as tape:
        tape.watch(features)
        pooled, flat = tf.nn.max_pool_with_argmax(features, 2, 2, "VALID", include_batch_in_index=True)
        theirs = tf.reshape(
            tf.scatter_nd(tf.reshape(flat, (-1, 1)), tf.reshape(pooled, (-1,)), (2 * 8 * 12 * 3,)), features.shape
        )
        value = tf.reduce_sum(theirs * weights)
    back, gradient = ours(features)
    np.testing.assert_array_equal(back, theirs)
    np.testing.assert_allclose(gradient, tape.gradient(value, features), rtol=1e-6)


def test_fcn_begins_as_a_bilinear_resize() -> None:
    for factor in (2, 8):
        from segmodels.models.bilinear import Bilinear

        layer = keras.layers.Conv2DTranspose(
            3, 2 * factor, strides=factor, padding="same", use_bias=False, kernel_initializer=Bilinear()
        )
        features = np.random.default_rng(0).normal(size=(1, 6, 9, 3)).astype(np.float32)
        enlarged = np.asarray(layer(features))
        expected = tf.image.resize(features, (6 * factor, 9 * factor), method="bilinear").numpy()
        inner = np.s_[:, factor:-factor, factor:-factor]  # beyond the border one has zeros, the other the last value
        np.testing.assert_allclose(enlarged[inner], expected[inner], atol=1e-5)


def test_fcn_scores_begin_at_zero_and_answer_nothing() -> None:
    model = build("fcn8", classes=4, backbone="mobilenetv2", head_width=16)
    assert np.abs(np.asarray(model(zoo.noise(64, 64)))).max() == 0


@pytest.mark.parametrize("bins", [1, 2, 3, 6])
@pytest.mark.parametrize("size", [(8, 12), (7, 13), (33, 6), (4, 5)])
def test_pyramid_bins_are_adaptive_averages(bins: int, size: tuple[int, int]) -> None:
    features = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
    found = np.asarray(AdaptiveAveragePooling(bins)(features))
    for row in range(bins):
        for column in range(bins):
            (top, bottom), (left, right) = (
                (index * length // bins, -(-(index + 1) * length // bins))
                for index, length in zip((row, column), size, strict=True)
            )
            expected = features[:, top:bottom, left:right].mean(axis=(1, 2))
            np.testing.assert_allclose(found[:, row, column], expected, atol=1e-5)


@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize(
    ("source", "target"), [((3, 6), (17, 20)), ((1, 2), (5, 7)), ((9, 9), (9, 9)), ((65, 3), (9, 11))]
)
def test_resizing_by_matrices_is_interpolation(source: Any, target: Any, corners: bool) -> None:
    features = np.random.default_rng(0).normal(size=(1, *source, 2)).astype(np.float32)
    found = np.asarray(ResizeLike(corners=corners)(features, np.zeros((1, *target, 1), np.float32)))
    expected = features
    for axis, (length, out) in enumerate(zip(source, target, strict=True), start=1):
        places = np.arange(out)
        at = places * (length - 1) / max(out - 1, 1) if corners else (places + 0.5) * length / out - 0.5
        line = np.arange(length)
        expected = np.apply_along_axis(lambda values, at=at, line=line: np.interp(at, line, values), axis, expected)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["deeplabv3", "deeplabv3+"])
def test_aspp_rates_follow_the_output_stride(name: str) -> None:
    assert [rates_at(stride) for stride in (8, 16, 32)] == [(12, 24, 36), (6, 12, 18), (3, 6, 9)]
    for stride in (8, 16):
        model = build(name, classes=2, backbone="mobilenetv2", output_stride=stride, width=8)
        rates = [model.get_layer(f"aspp{index}_conv").dilation_rate[0] for index in (1, 2, 3)]
        assert rates == list(rates_at(stride))
        features = keras.Model(model.input, model.get_layer("aspp0_conv").output)(zoo.noise(64, 64))
        assert features.shape[1:3] == (64 // stride, 64 // stride)
    assert DeepLabOptions(backbone="resnet50", output_stride="8").aspp_rates == (12, 24, 36)  # as typed
    assert DeepLabOptions(backbone="resnet50", aspp_rates="").aspp_rates == ()
    assert DeepLabOptions(backbone="resnet50", output_stride=8, aspp_rates=(4,)).aspp_rates == (4,)


@pytest.mark.parametrize(("size", "rate"), [((9, 13), 3), ((4, 4), 6), ((16, 20), 12), ((5, 40), 18)])
def test_atrous_convolution_is_keras_own(size: tuple[int, int], rate: int) -> None:
    from segmodels.models.atrous import AtrousConv2D

    features = tf.constant(np.random.default_rng(0).normal(size=(2, *size, 7)).astype(np.float32))
    results = []
    weights = None
    for kind in (AtrousConv2D, keras.layers.Conv2D):
        layer = kind(5, 3, padding="same", dilation_rate=rate, bias_initializer="normal")
        layer.build(features.shape)
        weights = weights or layer.get_weights()
        layer.set_weights(weights)
        with tf.GradientTape() as tape:
            tape.watch(features)
            out = layer(features)
            value = tf.reduce_sum(out**2)
        results.append([out, *tape.gradient(value, [features, layer.kernel.value, layer.bias.value])])
    for mine, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-4)


def test_the_discriminator_judges_patches_of_70_pixels() -> None:
    from segmodels.models.pix2pix import discriminator

    model = discriminator(3)
    assert (model.count_params(), trainable(model)) == (2_770_497, 2_768_705)
    images, masks = tf.zeros((1, 256, 256, 3)), tf.Variable(tf.random.normal((1, 256, 256, 3)))
    with tf.GradientTape() as tape:
        verdict = model([images, masks], training=False)
        one = verdict[0, 15, 15, 0]
    assert verdict.shape == (1, 30, 30, 1)
    seen = np.abs(tape.gradient(one, masks).numpy()[0]).max(axis=-1) > 0
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (70, 70)


def test_pix2pix_begins_with_small_normal_weights_and_drops_out_in_three_levels() -> None:
    model = build("pix2pix", classes=3, width=16)
    kernels = [layer.kernel for layer in model.layers if "_conv" in layer.name or "_transpose" in layer.name]
    deviations = [float(np.std(kernel)) for kernel in kernels]
    assert all(abs(deviation - 0.02) < 0.004 for deviation in deviations)
    assert sum(isinstance(layer, keras.layers.Dropout) for layer in model.layers) == 3
    assert sum(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers) == 6 + 7
    assert sum(layer.use_bias for layer in model.layers if hasattr(layer, "use_bias")) == 1


UNETPP: dict[str, Any] = {"widths": (4, 8, 16, 32), "norm": "batch", "deep_supervision": True}


@pytest.mark.parametrize("head", [1, 2, 3])
def test_a_pruned_unet_plus_plus_is_the_truncated_network(head: int) -> None:
    whole = zoo.shake(build("unet++", classes=3, auxiliary=True, **UNETPP))
    images = zoo.noise(45, 51)
    outputs = whole(images, training=False)
    assert len(outputs["auxiliary"]) == 3
    pruned = prune(whole, head)
    np.testing.assert_allclose(pruned(images), outputs["auxiliary"][head - 1], atol=1e-5)
    assert pruned.count_params() < whole.count_params() or head == 3

    truncated = build("unet++", classes=3, **{**UNETPP, "widths": UNETPP["widths"][: head + 1], "head": head})
    assert truncated.count_params() == pruned.count_params()
    for layer in truncated.layers:
        if layer.weights:
            layer.set_weights(pruned.get_layer(layer.name).get_weights())
    cut = images[:, :40, :48]  # where both pad alike
    np.testing.assert_allclose(truncated(cut), pruned(cut), atol=1e-4)


def test_a_unet_plus_plus_on_a_backbone_is_pruned_with_its_encoder() -> None:
    keywords: dict[str, Any] = {"backbone": "mobilenetv2", "widths": (16, 16, 8, 8, 8), "deep_supervision": True}
    whole = zoo.shake(build("unet++", classes=3, auxiliary=True, **keywords))
    images = zoo.noise(45, 51)
    heads = whole(images, training=False)["auxiliary"]
    counts = []
    for head in range(1, len(heads) + 1):
        pruned = prune(whole, head)
        np.testing.assert_allclose(pruned(images), heads[head - 1], atol=1e-5)
        counts.append(pruned.count_params())
        alone = build("unet++", classes=3, head=head, **keywords)
        assert alone.count_params() == counts[-1]
    assert counts == sorted(counts)
    assert counts[0] < whole.count_params() / 10, "the deep half of the encoder is gone"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "backbone"), [("unet", "mobilenetv2"), ("deeplabv3+", "mobilenetv2"), ("linknet", "vgg16")]
)
def test_a_picture_of_three_megapixels(name: str, backbone: str) -> None:
    """What it answers in a corner is what it answers to that corner alone, away from the cut."""
    model = zoo.small(name, backbone)
    images = zoo.noise(1504, 2001)
    answer = np.asarray(model(images, training=False))
    assert answer.shape == (1, 1504, 2001, 3)
    assert np.isfinite(answer).all()
    if name != "deeplabv3+":  # whose image pooling sees everything
        corner = np.asarray(model(images[:, :512, :512], training=False))
        np.testing.assert_allclose(answer[:, :128, :128], corner[:, :128, :128], atol=1e-4 * np.abs(answer).max())


def test_deep_supervision_answers_by_the_mean_of_its_heads() -> None:
    outputs = zoo.shake(build("unet++", classes=3, auxiliary=True, **UNETPP))(zoo.noise(32, 40))
    mean = np.mean([np.asarray(head) for head in outputs["auxiliary"]], axis=0)
    np.testing.assert_allclose(outputs["logits"], mean, atol=1e-5)


def test_what_cannot_be_pruned_is_said() -> None:
    with pytest.raises(UserError, match="deep_supervision"):
        prune(build("unet++", classes=2, widths=(4, 8)), 1)
    with pytest.raises(UserError, match="from 1 to 3"):
        prune(build("unet++", classes=3, auxiliary=True, **UNETPP), 4)


def test_pspnets_auxiliary_head_is_on_the_stage_before_the_last() -> None:
    model = build("pspnet", classes=3, backbone="resnet50", width=8, auxiliary=True)
    outputs = model(zoo.noise(40, 48))
    assert outputs["logits"].shape == outputs["auxiliary"][0].shape == (1, 40, 48, 3)
    assert model.get_layer("auxiliary_conv").kernel.shape == (3, 3, 1024, 256)


KERAS_MODULES = {
    "vgg16": "vgg16", "resnet50": "resnet", "resnet101": "resnet", "xception": "xception", "densenet121": "densenet",
    "mobilenet": "mobilenet", "mobilenetv2": "mobilenet_v2",
}  # fmt: skip


@pytest.mark.parametrize("name", list(KERAS_MODULES))
def test_pixels_are_what_keras_own_preprocessing_gives(name: str) -> None:
    images = zoo.noise(9, 11)
    expected = getattr(keras.applications, KERAS_MODULES[name]).preprocess_input(images.copy())
    np.testing.assert_allclose(scale_pixels(images, BACKBONES[name].scaling), expected, atol=1e-4)


@pytest.mark.parametrize("name", ["efficientnetb0", "efficientnetv2b0", "convnexttiny"])
def test_pixels_are_what_keras_own_layers_make_of_them(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """These networks scale inside; EfficientNet's factory adds one more layer once it loads ImageNet's weights."""
    monkeypatch.setattr(keras.Model, "load_weights", lambda *_, **__: None)
    for module in ("efficientnet", "efficientnet_v2", "convnext"):
        import importlib

        source = importlib.import_module(f"keras.src.applications.{module}")
        monkeypatch.setattr(source.file_utils, "get_file", lambda *_, **__: "")
    network = getattr(keras.applications, BACKBONES[name].factory)(include_top=False, weights="imagenet")
    for layer in network.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.input_mean is None:  # as its weights file has it
            layer.set_weights([np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225]), np.int64(1)])
            layer.finalize_state()
    first = {"efficientnetb0": "stem_conv_pad", "efficientnetv2b0": "stem_conv", "convnexttiny": "convnext_tiny_stem"}
    scaled = keras.Model(network.input, network.get_layer(first[name]).input)
    images = zoo.noise(32, 32)
    np.testing.assert_allclose(scale_pixels(images, BACKBONES[name].scaling), scaled(images), atol=1e-4)


def test_vgg16s_own_classifier_goes_into_fcn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a VGG16 whose classifier is a thousandth of the real one; the file has its real name and layers."""
    from segmodels.models import fcn

    def narrow_vgg16(weights: None) -> keras.Model:
        network = keras.applications.VGG16(include_top=False, weights=None, input_shape=(224, 224, 3))
        x = keras.layers.Flatten(name="flatten")(network.output)
        x = keras.layers.Dense(8, activation="relu", name="fc1")(x)
        x = keras.layers.Dense(8, activation="relu", name="fc2")(x)
        return keras.Model(network.input, keras.layers.Dense(10, activation="softmax", name="predictions")(x))

    monkeypatch.setattr(keras.applications, "VGG16", lambda include_top=True, **how: (
        narrow_vgg16(None) if include_top else _vgg16(include_top=False, **how)
    ))  # fmt: skip
    monkeypatch.setattr(fcn.FCNOptions, "has_vgg_head", property(lambda options: options.head_width == 8))
    source = narrow_vgg16(None)
    path = tmp_path / fcn.VGG16_WITH_TOP.replace(".h5", ".weights.h5")
    source.save_weights(str(path))
    model = build("fcn32", classes=2, backbone="vgg16", weights=path, head_width=8)
    pixels = scale_pixels(zoo.noise(224, 224), "caffe")
    hidden = keras.Model(source.input, source.get_layer("fc2").output)(pixels)
    ours = keras.Model(model.input, model.get_layer("fc7").output)(zoo.noise(224, 224), training=False)
    # At the middle of the 7x7 features fc6 sees all of them, as the classifier does.
    np.testing.assert_allclose(ours[0, 3, 3], hidden[0], rtol=1e-3, atol=1e-3)
    assert float(np.abs(hidden).max()) > 0


_vgg16 = keras.applications.VGG16


def test_segnets_convolutions_begin_with_vgg16s(tmp_path: Path) -> None:
    source = keras.applications.VGG16(include_top=False, weights=None, input_shape=(None, None, 3))
    source.save_weights(str(tmp_path / "vgg16.weights.h5"))
    model = build("segnet", classes=2, backbone="vgg16", weights=tmp_path / "vgg16.weights.h5")
    for name in ("block1_conv1", "block5_conv3"):
        ours, theirs = (network.get_layer(name).get_weights() for network in (model.get_layer("backbone"), source))
        for mine, published in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(mine, published)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"architecture": "fcn8", "backbone": "mit-b0"}, ["fcn8 cannot be built on MiT-B0", "vgg16"]),
        ({"architecture": "segformer", "backbone": "resnet50"}, ["cannot be built on ResNet-50", "mit-b0", "mit-b5"]),
        ({"architecture": "segformer", "backbone": "none"}, ["no encoder of its own", "mit-b0"]),
        ({"architecture": "pspnet", "backbone": "none"}, ["no encoder of its own", "resnet50"]),
        ({"architecture": "unet", "backbone": "resnet5"}, ["resnet5", "did you mean 'resnet50'"]),
        ({"architecture": "deeplab"}, ["deeplab", "did you mean 'deeplabv3'"]),
        ({"architecture": "deeplabv3", "output_stride": 4}, ["output_stride=4", "8, 16 or 32"]),
        ({"architecture": "deeplabv3", "aspp_rates": (0,)}, ["aspp_rates", "1 to 64"]),
        ({"architecture": "pspnet", "bins": (1, 1)}, ["bins", "different"]),
        ({"architecture": "unet++", "head": 2}, ["head", "deep_supervision"]),
        ({"architecture": "unet++", "deep_supervision": True, "head": 5}, ["head=5", "4 heads"]),
        ({"architecture": "unet++", "backbone": "vgg16", "widths": (8, 8)}, ["widths", "5 levels"]),
        ({"architecture": "segnet", "backbone": "resnet50", "width": 8}, ["width", "plain encoder"]),
        ({"architecture": "fpn", "width": 48}, ["width=48", "a multiple of 32"]),
        ({"architecture": "deeplabv3", "backbone": "resnet50", "weights": "voc"}, ["voc", "mobilenetv2"]),
        (
            {"architecture": "deeplabv3", "backbone": "mobilenetv2", "weights": "voc", "output_stride": 16},
            ["output_stride=8"],
        ),
        ({"architecture": "segformer", "backbone": "mit-b3", "weights": "imagenet"}, ["MiT-B3", "mit-b0"]),
        ({"architecture": "unet", "classes": 0}, ["classes=0", "1 to 255"]),
        ({"architecture": "unet", "classes": 256}, ["classes=256"]),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_built_is_said_in_one_line(arguments: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        build(**{"classes": 3, **arguments})
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_the_table_states_what_its_networks_cost(name: str) -> None:
    from segmodels.models.summary import summarise

    row = ARCHITECTURES[name]
    found = summarise(name, classes=3, backbone=row.shown_on, image_size=256)
    assert found["parameters"]["total"] == row.parameters
    assert round(found["gflops"], 2) == row.gflops


def test_networks_on_another_encoder_say_what_is_different() -> None:
    assert ARCHITECTURES["fcn8"].note("vgg16") == ARCHITECTURES["segnet"].note("none") == ""
    assert "ResNet-50" in ARCHITECTURES["fcn8"].note("resnet50")
    assert "pooling indices" in ARCHITECTURES["segnet"].note("mobilenetv2")
    assert ARCHITECTURES["unet"].note("mobilenetv2") == ""
