"""Google's DeepLabv3 for PASCAL VOC: it finds pets, from every form of its weights, and no other file passes."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segmodels.backend import backend_name, keras
from segmodels.errors import UserError
from segmodels.models import voc
from segmodels.models.build import build
from segmodels.prediction.resize import resize_logits

SIDE = 513


@pytest.fixture
def arrays(weights_folder: Path) -> Path:
    return weights_folder / voc.ARRAYS


@cache
def network(weights: Path) -> keras.Model:
    model = build("deeplabv3", backbone="mobilenetv2", classes=21, aspp_rates=(), output_stride=8)
    voc.load_voc(model, weights)
    return model


def photos(data_folder: Path, side: int, count: int) -> np.ndarray:
    paths = sorted((data_folder / "oxford-iiit-pet" / "images").glob("*.jpg"))
    chosen = paths[:: len(paths) // count][:count]
    return np.stack([np.asarray(Image.open(path).convert("RGB").resize((side, side))) for path in chosen])


def run(model: keras.Model, images: np.ndarray, *, training: bool = False) -> np.ndarray:
    return np.asarray(model(images, training=training))


# ---- what it finds


def find_pets(weights: Path, data_folder: Path, *, every: int) -> tuple[int, int, float]:
    """Pictures with the right animal, pictures, and the animal's IoU with the border left out."""
    folder = data_folder / "oxford-iiit-pet"
    trimaps = [path for path in sorted((folder / "annotations" / "trimaps").glob("*.png")) if path.name[0] != "."]
    model = network(weights)
    right = both = either = 0
    for path in trimaps[::every]:
        photo = Image.open(folder / "images" / f"{path.stem}.jpg").convert("RGB")
        factor = SIDE / max(photo.size)
        width, height = (max(1, round(side * factor)) for side in photo.size)
        canvas = np.full((1, SIDE, SIDE, 3), 127, np.uint8)
        canvas[0, :height, :width] = np.asarray(photo.resize((width, height), Image.Resampling.BILINEAR))
        scores = model.predict_on_batch(canvas)[0, :height, :width]
        found = resize_logits(scores, photo.height, photo.width).argmax(-1)
        animal = voc.VOC_CLASSES.index("cat" if path.stem[0].isupper() else "dog")
        right += int(np.bincount(found.ravel(), minlength=21)[1:].argmax() + 1 == animal)
        trimap = np.asarray(Image.open(path))
        truth, inside = trimap == 1, trimap != 3
        both += int((truth & (found == animal)).sum())
        either += int(((truth | (found == animal)) & inside).sum())
    return right, len(trimaps[::every]), both / either


def test_it_finds_pets(arrays: Path, data_folder: Path) -> None:
    right, pictures, iou = find_pets(arrays, data_folder, every=32)
    assert pictures == 16
    assert right >= 15
    assert iou >= 0.94


@pytest.mark.slow
def test_it_finds_pets_on_every_second_picture(arrays: Path, data_folder: Path) -> None:
    right, pictures, iou = find_pets(arrays, data_folder, every=2)
    assert pictures == 255
    assert right >= 0.96 * pictures
    assert iou >= 0.94


def test_the_classes_are_those_of_voc() -> None:
    assert len(voc.VOC_CLASSES) == len(set(voc.VOC_CLASSES)) == 21
    assert [voc.VOC_CLASSES[index] for index in (0, 1, 8, 12, 15, 20)] == [
        "background", "aeroplane", "cat", "dog", "person", "tvmonitor"
    ]  # fmt: skip


@pytest.mark.parametrize(("height", "width"), [(65, 97), (40, 31)])
def test_the_network_is_the_published_one(arrays: Path, height: int, width: int) -> None:
    """Against the network in NumPy, also where a picture is padded with mid-grey to 8 k + 1 pixels."""
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    model = network(arrays)
    scores = run(keras.Model(model.input, model.get_layer("logits").output), picture[None])[0]
    tall, wide = (8 * -(-(side - 1) // 8) + 1 for side in (height, width))
    padded = np.full((tall, wide, 3), 127.5, np.float32)
    padded[:height, :width] = picture
    expected = voc.voc_logits(voc.read_voc(arrays), padded)
    np.testing.assert_allclose(scores, expected, atol=2e-3)
    np.testing.assert_allclose(run(model, picture[None])[0, ::8, ::8][: height // 8, : width // 8],
                               expected[: height // 8, : width // 8], atol=2e-3)  # fmt: skip


def test_build_finds_them_by_name(arrays: Path) -> None:
    model = build("deeplabv3", backbone="mobilenetv2", classes=21, weights="voc")
    picture = np.random.default_rng(1).integers(0, 256, (1, 33, 41, 3), dtype=np.uint8)
    np.testing.assert_array_equal(run(model, picture), run(network(arrays), picture))


def test_another_network_on_the_same_encoder_takes_it(arrays: Path) -> None:
    picture = np.random.default_rng(3).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    for name in ("unet", "fpn", "deeplabv3+"):
        model = build(name, backbone="mobilenetv2", classes=3, weights="voc")
        found = voc.read_voc(arrays)
        filled = [row for row in voc.ROWS if row.layer in {each.name for each in model.get_layer("backbone").layers}]
        assert {row.scope for row in filled} >= {row.scope for row in voc.ROWS if row.scope.startswith("Mobi")} - {
            "MobilenetV2/expanded_conv_16/project"
        }
        for row in filled:
            layer = model.get_layer("backbone").get_layer(row.layer)
            np.testing.assert_array_equal(layer.get_weights()[0], found[row.scope][0])
        assert run(model, picture).shape == (1, 64, 64, 3)
    with pytest.raises(
        UserError, match="are those of deeplabv3 on mobilenetv2, not on mobilenet: choose that backbone"
    ):
        build("unet", backbone="mobilenet", classes=3, weights="voc")


def test_other_classes_leave_the_last_layer_new(arrays: Path) -> None:
    model = build("deeplabv3", backbone="mobilenetv2", classes=3, aspp_rates=(), output_stride=8)
    before = model.get_layer("logits").get_weights()
    voc.load_voc(model, arrays)
    for old, new in zip(before, model.get_layer("logits").get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    picture = np.random.default_rng(2).integers(0, 256, (1, 33, 33, 3), dtype=np.uint8)
    features = [
        run(keras.Model(one.input, one.get_layer("projection_relu").output), picture)
        for one in (model, network(arrays))
    ]
    np.testing.assert_array_equal(*features)


def test_another_network_is_refused_unchanged(arrays: Path) -> None:
    model = build("deeplabv3", backbone="mobilenetv2", classes=21, aspp_rates=(), output_stride=8, width=16)
    before = model.get_weights()
    with pytest.raises(UserError, match="width=256"):
        voc.load_voc(model, arrays)
    assert all(np.array_equal(*pair) for pair in zip(before, model.get_weights(), strict=True))
    with pytest.raises(UserError, match="fit deeplabv3"):
        voc.load_voc(build("unet", backbone="mobilenetv2", classes=21, widths=(8, 8, 8, 8, 8)), arrays)


# ---- the frozen graph


def graph(arrays: Path, edit: Callable[[dict[str, np.ndarray]], Any] | None = None) -> bytes:
    """A frozen graph with these weights, every batch norm unfolded at random; `edit` changes its constants."""
    tf = pytest.importorskip("tensorflow")
    rng = np.random.default_rng(3)
    constants: dict[str, np.ndarray] = {}
    epsilons: dict[str, float] = {}
    weights = voc.read_voc(arrays)
    for row in voc.ROWS:
        kernel, offset = weights[row.scope]
        name = f"{row.scope}/{'depthwise_weights' if row.depthwise else 'weights'}"
        if row.norm is None:
            constants |= {name: kernel, f"{row.scope}/biases": offset}
            continue
        gamma, mean, variance = (rng.uniform(0.5, 2, offset.shape) for _ in range(3))
        epsilon = row.epsilon
        if rng.random() < 0.5:  # the others say nothing, so that it is what the networks were trained with
            epsilon = epsilons[row.scope] = float(np.float32(rng.uniform(1e-5, 1e-2)))
        scale = gamma / np.sqrt(variance + epsilon)
        constants[name] = kernel / (scale[:, None] if row.depthwise else scale)
        parts = {"gamma": gamma, "beta": offset + mean * scale, "moving_mean": mean, "moving_variance": variance}
        constants |= {f"{row.scope}/BatchNorm/{part}": values for part, values in parts.items()}
    if edit:
        edit(constants)
    made = tf.compat.v1.GraphDef()
    for name, values in constants.items():
        node = made.node.add(name=name, op="Const")
        node.attr["dtype"].type = tf.float32.as_datatype_enum
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(values.astype(np.float32)))
        made.node.add(name=f"{name}/read", op="Identity", input=[name])
    for scope, epsilon in epsilons.items():
        inputs = ["x", *(f"{scope}/BatchNorm/{part}/read" for part in ("gamma", "beta", "moving_mean"))]
        node = made.node.add(name=f"MobilenetV2/{scope}/FusedBatchNorm", op="FusedBatchNormV3", input=inputs)
        node.attr["epsilon"].f = epsilon
    return made.SerializeToString()


def archive(path: Path, *contents: bytes, name: str = voc.GRAPH) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for number, content in enumerate(contents):
            member = tarfile.TarInfo(f"deeplab{number}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_the_official_archive_gives_what_the_arrays_give(
    arrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = graph(arrays)
    packed = archive(tmp_path / voc.ARCHIVE, content)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "my.pb").write_bytes(content)
    expected = voc.read_voc(arrays)
    for path in (packed, tmp_path / "other" / "my.pb"):
        for scope, (kernel, offset) in voc.read_voc(path).items():
            np.testing.assert_allclose(kernel, expected[scope][0], rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(offset, expected[scope][1], rtol=1e-5, atol=1e-5)
    picture = np.random.default_rng(4).integers(0, 256, (1, 57, 41, 3), dtype=np.uint8)
    (tmp_path / "keras" / "models").mkdir(parents=True)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("SEGMODELS_WEIGHTS_DIR", str(tmp_path))
    for place in (packed, tmp_path / "keras" / "models" / voc.ARCHIVE):  # found by name, and then in Keras' cache
        packed.replace(place)
        model = build("deeplabv3", backbone="mobilenetv2", classes=21, weights="voc")
        np.testing.assert_allclose(run(model, picture), run(network(arrays), picture), atol=5e-3)


# ---- what is not these weights


def refused(path: Path, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        voc.read_voc(path)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)


def linked(arrays: Path, folder: Path, without: str) -> Path:
    """The folder of arrays once more, but for one."""
    folder.mkdir()
    for source in arrays.glob("*.npy"):
        if source.name != without:
            (folder / source.name).symlink_to(source)
    return folder / without


class Touch:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize(
    "name", ["aspp0_Conv2D.npy", "MobilenetV2_expanded_conv_9_depthwise_BatchNorm_FusedBatchNorm.npy"]
)
def test_bad_arrays(arrays: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "arrays"
    path = linked(arrays, folder, name)
    refused(folder, f"{name}: No such file")
    np.save(path, np.array([Touch(tmp_path / "ran")], dtype=object), allow_pickle=True)
    refused(folder, name)
    assert not (tmp_path / "ran").exists()
    path.write_text("no array")
    refused(folder, name)
    good = (arrays / name).read_bytes()
    path.write_bytes(good[:-8])
    refused(folder, name)
    path.write_bytes(good.replace(b"'shape': (", b"'shape': (99999999,", 1))  # claims more than there is
    refused(folder, name)
    np.save(path, np.load(arrays / name)[..., :-1])
    refused(folder, f"{name} is no float32 array of shape")
    np.save(path, np.load(arrays / name).astype(np.float64))
    refused(folder, f"{name} is no float32 array of shape")
    np.save(path, np.load(arrays / name)[::-1].copy() + 1)
    refused(folder, "reference output is another")
    np.save(path, np.load(arrays / name) * np.float32("nan"))
    refused(folder, "reference output is another")


def test_bad_graphs(arrays: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.pb"
    edits: list[tuple[Callable[[dict[str, np.ndarray]], Any], str]] = [
        (lambda c: c.pop("aspp0/BatchNorm/beta"), "aspp0/BatchNorm/beta is missing"),
        (lambda c: c.update({"aspp0/weights": c["aspp0/weights"][..., :7]}), "aspp0/weights is no float32 tensor"),
        (lambda c: c.update({"aspp0/BatchNorm/moving_variance": -np.ones(256)}), "reference output is another"),
        (lambda c: c.update({"MobilenetV2/Conv/weights": c["MobilenetV2/Conv/weights"][::-1]}), "reference output"),
    ]
    for edit, words in edits:
        path.write_bytes(graph(arrays, edit))
        refused(path, words)
    whole = graph(arrays)
    for content in (whole[: len(whole) // 2], b"no graph", os.urandom(1000), b""):
        path.write_bytes(content)
        refused(path, "no TensorFlow graph|is missing")


def test_bad_archives(arrays: Path, tmp_path: Path) -> None:
    whole = archive(tmp_path / "whole.tar.gz", graph(arrays)).read_bytes()
    path = tmp_path / "bad.tar.gz"
    path.write_bytes(whole[: len(whole) // 2])
    refused(path, "not a whole")
    path.write_text("no archive")
    refused(path, "not a whole")
    refused(archive(path, b"x", name="notes.txt"), "0 files frozen_inference_graph.pb")
    refused(archive(path, b"x", b"y"), "2 files frozen_inference_graph.pb")
    refused(archive(path, b"x"), "no TensorFlow graph")
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo(f"deeplab/{voc.GRAPH}")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(member)
    refused(path, "is a link")
    refused(tmp_path / "gone.pb", "does not exist|do not exist")


def test_missing_weights_say_where_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: Any, **__: Any) -> str:
        raise OSError("no route to host")

    monkeypatch.setenv("SEGMODELS_WEIGHTS_DIR", str(tmp_path))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(keras.utils, "get_file", no_network)
    with pytest.raises(UserError) as caught:
        build("deeplabv3", backbone="mobilenetv2", classes=21, weights="voc")
    message = str(caught.value)
    assert f"{voc.URL}/{voc.ARCHIVE}" in message
    assert "SEGMODELS_WEIGHTS_DIR" in message
    assert "\n" not in message


# ---- batch norm for fine-tuning


def test_unfolded_batch_norm_trains_as_it_infers(arrays: Path, data_folder: Path) -> None:
    images = photos(data_folder, 97, 24)
    measured, others = images[::2], images[1::2]
    model = build("deeplabv3", backbone="mobilenetv2", classes=21, aspp_rates=(), output_stride=8, dropout=0)
    voc.load_voc(model, arrays)
    expected, expected_of_others = run(model, measured), run(model, others)
    folded = model.get_weights()
    collapsed = run(model, others, training=True)
    model.set_weights(folded)

    voc.unfold_batch_norm(model, measured)
    np.testing.assert_allclose(run(model, measured), expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
    statistics = [np.asarray(value).copy() for value in model.non_trainable_variables]
    np.testing.assert_allclose(run(model, measured, training=True), expected, atol=1e-2 * np.abs(expected).max())
    for before, after in zip(statistics, model.non_trainable_variables, strict=True):  # the batch's are the moving ones
        np.testing.assert_allclose(np.asarray(after), before, rtol=1e-2, atol=1e-3)
    trained = run(model, others, training=True)
    error, before_error = (np.abs(scores - expected_of_others).mean() for scores in (trained, collapsed))
    assert error < before_error / 2
    same, before_same = ((scores.argmax(-1) == expected_of_others.argmax(-1)).mean() for scores in (trained, collapsed))
    assert same > max(0.8, before_same + 0.05)


def test_any_batch_norm_is_unfolded() -> None:
    """Statistics of any value, nested and shared layers, other epsilons, any number of pictures at once."""
    rng = np.random.default_rng(5)
    inner = keras.Sequential([keras.layers.Conv2D(5, 3), keras.layers.BatchNormalization(epsilon=0.1)])
    pictures = keras.Input((None, None, 3))
    x = inner(keras.layers.Rescaling(1 / 255)(pictures))
    shared = keras.layers.BatchNormalization()
    first = x
    second = keras.layers.ReLU()(shared(first))
    model = keras.Model(pictures, keras.layers.BatchNormalization(scale=False)(shared(second)))
    inputs = keras.Model(pictures, [first, second])  # of the shared norm
    model.set_weights([rng.uniform(0.5, 2, value.shape) for value in model.get_weights()])
    images = rng.integers(0, 256, (7, 16, 16, 3), dtype=np.uint8)
    folded, expected = model.get_weights(), run(model, images)
    both = np.concatenate([np.asarray(each) for each in inputs(images, training=False)])
    voc.unfold_batch_norm(model, images, batch_size=3)
    np.testing.assert_allclose(shared.moving_mean, both.mean((0, 1, 2)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(shared.moving_variance, both.var((0, 1, 2)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(run(model, images), expected, rtol=1e-4, atol=1e-4)
    at_threes = model.get_weights()
    features = np.asarray(inner.layers[0](images / np.float32(255)))
    np.testing.assert_allclose(inner.layers[1].moving_mean, features.mean((0, 1, 2)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(inner.layers[1].moving_variance, features.var((0, 1, 2)), rtol=1e-4, atol=1e-5)
    model.set_weights(folded)
    voc.unfold_batch_norm(model, images)
    for one, other in zip(at_threes, model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


# ---- without TensorFlow

SCRIPT = """
import importlib.util, sys
assert importlib.util.find_spec("tensorflow") is None, "this environment must not have TensorFlow"
import numpy as np
from segmodels.errors import UserError
from segmodels.models import voc
from segmodels.models.build import build

folder = sys.argv[1]
images = np.load(folder + "/images.npy")
model = build("deeplabv3", backbone="mobilenetv2", classes=21, weights="voc", dropout=0)
np.save(folder + "/logits.npy", np.asarray(model(images, training=False)))
voc.unfold_batch_norm(model, images)
np.save(folder + "/unfolded.npy", np.asarray(model(images, training=False)))
np.save(folder + "/trained.npy", np.asarray(model(images, training=True)))
try:
    voc.read_voc(__import__("pathlib").Path(folder, "frozen.pb"))
except UserError as error:
    print(error)
"""


@pytest.mark.slow
def test_the_arrays_need_no_tensorflow(
    arrays: Path, data_folder: Path, jax_python: Path, python: Callable, tmp_path: Path
) -> None:
    images = photos(data_folder, 65, 4)
    np.save(tmp_path / "images.npy", images)
    (tmp_path / "frozen.pb").write_bytes(b"")
    done = python("-c", SCRIPT, tmp_path, interpreter=jax_python, KERAS_BACKEND="jax")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "only TensorFlow reads this" in done.stdout
    assert backend_name() != "jax"
    expected = run(network(arrays), images)
    for name in ("logits", "unfolded", "trained"):
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), expected, atol=1e-2)
