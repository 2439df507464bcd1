"""Google's published DeepLabv3 on MobileNetV2 for PASCAL VOC: 21 classes, cats and dogs, people and cars among them.

Chen et al. 2017, "Rethinking Atrous Convolution for Semantic Image Segmentation", arXiv:1706.05587, on Sandler et al.
2018, "MobileNetV2", arXiv:1801.04381; published as a frozen TensorFlow graph under Apache-2.0. Every batch norm is
folded into its convolution, so that a layer is a kernel and an offset whatever the source: right for inference; before
training with batch statistics, `unfold_batch_norm` gives each batch norm its own again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from segmodels.data.archive import unpack
from segmodels.errors import UserError
from segmodels.files import user_path
from segmodels.models.weights import download, in_weights_folder

VOC_CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip

#: What `weights=` is called, the three forms it comes in, where from, and more bytes than any of them has (25 million).
NAME = "voc"
ARRAYS = "deeplabv3-mobilenetv2-voc"
ARCHIVE = "deeplabv3_mnv2_pascal_trainval_2018_01_29.tar.gz"
GRAPH = "frozen_inference_graph.pb"
URL = "http://download.tensorflow.org/models"
MAX_BYTES = 1 << 28

#: Kernel and offset by scope; the kernel as Keras holds it, `(h, w, in, out)`, depthwise `(h, w, channels, 1)`.
Weights = dict[str, tuple[np.ndarray, np.ndarray]]


class Row(NamedTuple):
    """A convolution: its scope in the graph, its Keras layers, its kernel's shape, the epsilon of its batch norm."""

    scope: str
    layer: str
    norm: str | None
    shape: tuple[int, int, int, int]
    epsilon: float = 1e-3

    @property
    def depthwise(self) -> bool:
        return self.shape[3] == 1

    @property
    def channels(self) -> int:
        return self.shape[2] if self.depthwise else self.shape[3]


#: Output channels of MobileNetV2's seventeen blocks.
_BLOCKS = (16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320)


def _rows() -> Iterator[Row]:
    yield Row("MobilenetV2/Conv", "Conv1", "bn_Conv1", (3, 3, 3, 32))
    before = 32
    for number, after in enumerate(_BLOCKS):
        scope = "MobilenetV2/expanded_conv" + (f"_{number}" if number else "")
        block = f"block_{number}" if number else "expanded_conv"
        wide = before * 6 if number else before
        if number:
            yield Row(f"{scope}/expand", f"{block}_expand", f"{block}_expand_BN", (1, 1, before, wide))
        yield Row(f"{scope}/depthwise", f"{block}_depthwise", f"{block}_depthwise_BN", (3, 3, wide, 1))
        yield Row(f"{scope}/project", f"{block}_project", f"{block}_project_BN", (1, 1, wide, after))
        before = after
    yield Row("image_pooling", "image_pooling_conv", "image_pooling_norm", (1, 1, 320, 256), 1e-5)
    yield Row("aspp0", "aspp0_conv", "aspp0_norm", (1, 1, 320, 256), 1e-5)
    yield Row("concat_projection", "projection_conv", "projection_norm", (1, 1, 512, 256), 1e-5)
    yield Row("logits/semantic", "logits", None, (1, 1, 256, len(VOC_CLASSES)))


ROWS = tuple(_rows())


def load_voc(model: Any, weights: str | Path = NAME, *, encoder_only: bool = False) -> None:
    """Fill `deeplabv3` on `mobilenetv2` with `aspp_rates=()`; with other classes than 21 its last layer stays as it is.

    Args:
        model: the whole network, its backbone a layer named "backbone".
        encoder_only: fill nothing but that backbone, of whatever network on `mobilenetv2`.
        weights: "voc", which is looked up in `SEGMODELS_WEIGHTS_DIR` and Keras' cache and else downloaded; or a path.

    Raises:
        UserError: weights that are not to be had, damaged, or not these; another network. The model is unchanged then.
    """
    targets = list(_targets(model, encoder_only))
    if str(weights) == NAME:
        what = "PASCAL VOC weights of DeepLabv3 on MobileNetV2"
        path = in_weights_folder((ARRAYS, ARCHIVE, GRAPH)) or download(ARCHIVE, URL, "", what)
    else:
        path = user_path(weights)
    found = read_voc(path)
    for row, layer, norm in targets:
        kernel, offset = found[row.scope]
        layer.set_weights([kernel] if norm else [kernel, offset])
        if norm:
            one = np.ones_like(offset)
            norm.set_weights([one * np.sqrt(1 + norm.epsilon), offset, 0 * one, one])


def _targets(model: Any, encoder_only: bool) -> Iterator[tuple[Row, Any, Any]]:
    """The layers to fill; `UserError` where the network is another."""
    try:
        backbone = model.get_layer("backbone")
        there = {layer.name for layer in backbone.layers}
        for row in ROWS:
            if encoder_only and row.layer not in there:  # a head, or deeper than this network goes
                continue
            owner = backbone if row.scope.startswith("MobilenetV2") else model
            layer = owner.get_layer(row.layer)
            shape = tuple(layer.kernel.shape)
            if row.norm is None and shape[:3] == row.shape[:3] and shape != row.shape:
                continue  # other classes
            if shape != row.shape:
                raise ValueError(row.layer)
            yield row, layer, row.norm and owner.get_layer(row.norm)
    except (ValueError, AttributeError):
        raise UserError(
            f"weights {NAME!r} fit deeplabv3 on mobilenetv2 with aspp_rates=() and width=256: choose these, or others"
        ) from None


def read_voc(path: Path) -> Weights:
    """Read a folder of arrays, the archive or its graph; every name and shape and one reference output are checked, as
    no checksum is published."""
    with np.errstate(all="ignore"):  # what a damaged file computes is no number, and refused for that
        weights = _from_arrays(path) if path.is_dir() else _from_file(path)
        y, x, channel = np.indices((33, 33, 3))  # a picture with some texture, the same on every machine
        scores = voc_logits(weights, (x * x * 3 + y * 29 + x * y * (channel + 1) + channel * 71) % 256)[2, 2]
    if not np.allclose(scores, _REFERENCE_LOGITS, rtol=0, atol=0.01):
        raise _unusable(path, "their reference output is another")
    return weights


def _from_file(path: Path) -> Weights:
    if not path.is_file():
        raise UserError(f"weights {path} do not exist: give {ARCHIVE}, its {GRAPH} or a folder of arrays, or {NAME!r}")
    if path.suffix == ".pb":
        return _from_graph(path, path)
    with tempfile.TemporaryDirectory() as place:
        unpacked = unpack([path], Path(place) / NAME, max_members=100, max_bytes=MAX_BYTES)
        graphs = [found for found in unpacked.rglob(GRAPH) if found.is_file()]
        if len(graphs) != 1:
            raise _unusable(path, f"{len(graphs)} files {GRAPH}, not one")
        return _from_graph(graphs[0], path)


def _unusable(path: Path, why: str) -> UserError:
    return UserError(f"{path} does not hold the PASCAL VOC weights of DeepLabv3 ({why}): fetch {URL}/{ARCHIVE} again")


def _from_arrays(folder: Path) -> Weights:
    """Arrays as LiteRT holds them: `(out, h, w, in)`, depthwise `(1, h, w, channels)`."""

    def array(name: str, shape: tuple[int, ...]) -> np.ndarray:
        try:
            # As a map, which believes no header that claims more than the file holds.
            found = np.load(folder / name, mmap_mode="r", allow_pickle=False)
        except Exception as error:
            reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:100]
            raise _unusable(folder, f"{name}: {reason}") from None
        if not isinstance(found, np.ndarray) or found.dtype != np.float32 or found.shape != shape:
            raise _unusable(folder, f"{name} is no float32 array of shape {shape}")
        return np.array(found)

    weights = {}
    for row in ROWS:
        scope = row.scope.replace("/", "_")
        kernel = f"{scope}_{'depthwise' if row.depthwise else 'Conv2D'}"
        offset = f"{kernel}_bn_offset" if row.norm else f"{scope}_biases"
        if row.depthwise and row.shape[2] > 192:  # dilated, which kept the graph from folding its batch norm by itself
            offset = f"{scope}_BatchNorm_FusedBatchNorm"
        turned = array(f"{kernel}.npy", (row.shape[3], *row.shape[:3]))
        weights[row.scope] = turned.transpose(1, 2, 3, 0), array(f"{offset}.npy", (row.channels,))
    return weights


def _from_graph(path: Path, shown: Path) -> Weights:
    """A frozen graph, whose constants bear the names of the checkpoint's variables; nothing of it is run."""
    try:
        import tensorflow as tf
    except ImportError:
        raise UserError(f"{shown}: only TensorFlow reads this; install it, or use the folder {ARRAYS}") from None
    if path.stat().st_size > MAX_BYTES:
        raise _unusable(shown, f"more than {MAX_BYTES:,} bytes")
    graph = tf.compat.v1.GraphDef()
    try:
        graph.ParseFromString(path.read_bytes())
    except Exception:  # protobuf's own, whose module is not for others to import
        raise _unusable(shown, "no TensorFlow graph") from None
    constants = {node.name: node.attr["value"].tensor for node in graph.node if node.op == "Const"}
    epsilons = {
        node.input[1].removesuffix("/read"): node.attr["epsilon"].f
        for node in graph.node
        if node.op.startswith("FusedBatchNorm") and len(node.input) > 1 and "epsilon" in node.attr
    }

    def tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
        if name not in constants:
            raise _unusable(shown, f"{name} is missing")
        found = constants[name]
        if found.dtype != tf.float32.as_datatype_enum or tuple(d.size for d in found.tensor_shape.dim) != shape:
            raise _unusable(shown, f"{name} is no float32 tensor of shape {shape}")
        try:
            return tf.make_ndarray(found)
        except Exception:
            raise _unusable(shown, f"{name} is damaged") from None

    weights = {}
    for row in ROWS:
        kernel = tensor(f"{row.scope}/{'depthwise_weights' if row.depthwise else 'weights'}", row.shape)
        if row.norm is None:
            weights[row.scope] = kernel, tensor(f"{row.scope}/biases", (row.channels,))
            continue
        names = (f"{row.scope}/BatchNorm/{part}" for part in ("gamma", "beta", "moving_mean", "moving_variance"))
        gamma, beta, mean, variance = (tensor(name, (row.channels,)) for name in names)
        scale = gamma / np.sqrt(variance + epsilons.get(f"{row.scope}/BatchNorm/gamma", row.epsilon))
        weights[row.scope] = kernel * (scale[:, None] if row.depthwise else scale), beta - mean * scale
    return weights


def voc_logits(weights: Weights, picture: np.ndarray) -> np.ndarray:
    """The network in NumPy, at output stride 8: RGB 0..255 `(8 h - 7, 8 w - 7, 3)` to logits `(h, w, 21)`."""

    def convolve(x: np.ndarray, scope: str, top: float | None, stride: int = 1, dilation: int = 1) -> np.ndarray:
        kernel, offset = weights[scope]
        height, width, _ = x.shape
        margin = dilation * (len(kernel) // 2)
        padded, total = np.pad(x, [(margin, margin), (margin, margin), (0, 0)]), offset
        for i, j in np.ndindex(kernel.shape[:2]):
            seen = padded[i * dilation :, j * dilation :][:height:stride, :width:stride]
            total = total + (seen * kernel[i, j, :, 0] if kernel.shape[3] == 1 else seen @ kernel[i, j])
        return total if top is None else np.clip(total, 0, top)

    x = convolve(picture.astype(np.float32) / 127.5 - 1, "MobilenetV2/Conv", 6, stride=2)
    for number in range(len(_BLOCKS)):
        scope = "MobilenetV2/expanded_conv" + (f"_{number}" if number else "")
        y = convolve(x, f"{scope}/expand", 6) if number else x
        dilation = 1 if number < 7 else 2 if number < 14 else 4
        y = convolve(y, f"{scope}/depthwise", 6, stride=2 if number in (1, 3) else 1, dilation=dilation)
        y = convolve(y, f"{scope}/project", None)
        x = x + y if x.shape == y.shape else y
    pooled = convolve(x.mean((0, 1), keepdims=True), "image_pooling", np.inf)
    features = convolve(x, "aspp0", np.inf)
    both = np.concatenate([np.broadcast_to(pooled, features.shape), features], axis=-1)
    return convolve(convolve(both, "concat_projection", np.inf), "logits/semantic", None)


def unfold_batch_norm(model: Any, images: np.ndarray, *, batch_size: int = 4) -> None:
    """Give every batch norm of a network the statistics that it really sees; inference stays what it was.

    Folded, a batch norm says mean 0 and variance 1 of features that have neither, and the network collapses in the
    first step that trains on batch statistics. `images` are RGB 0..255, `(n, h, w, 3)`, as those to come; some 16, as a
    norm behind image pooling sees one value a picture. `batch_size` of them are in memory at once.
    """
    from segmodels.backend import backend_name, keras, ops

    found: dict[Any, list[Any]] = {}  # of the present batch, one a call, of which a shared norm has several

    def watched(norm: Any) -> Any:
        plain = norm.call

        def call(inputs: Any, *args: Any, **kwargs: Any) -> Any:
            axes = [axis for axis in range(len(inputs.shape)) if axis != norm.axis % len(inputs.shape)]
            found.setdefault(norm, []).append(ops.moments(ops.cast(inputs, "float32"), axes))
            return plain(inputs, *args, **kwargs)

        return call

    def look(state: Any, batch: np.ndarray) -> list[list[Any]]:
        found.clear()
        model.stateless_call(*state, batch, training=False)
        return list(found.values())

    kind = keras.layers.BatchNormalization
    norms = [x for x in model._flatten_layers() if isinstance(x, kind) and x.scale and x.center]
    if backend_name() == "jax":  # one by one, JAX would compile every operation by itself
        import jax

        look = jax.jit(look)
    seen: dict[Any, list[tuple[int, np.ndarray, np.ndarray]]] = {}
    state = [[v.value for v in group] for group in (model.trainable_variables, model.non_trainable_variables)]
    try:
        for norm in norms:
            norm.call = watched(norm)
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size]
            moments = look(state, batch)
            for norm, calls in zip(found, moments, strict=True):
                for pair in calls:
                    mean, variance = (ops.convert_to_numpy(value).astype(np.float64) for value in pair)
                    seen.setdefault(norm, []).append((len(batch), mean, variance))
    finally:
        for norm in norms:
            vars(norm).pop("call", None)  # the method of its class again
    for norm, parts in seen.items():
        counts, means, variances = (np.array(values) for values in zip(*parts, strict=True))
        mean = np.average(means, axis=0, weights=counts)
        variance = np.average(variances + (means - mean) ** 2, axis=0, weights=counts)
        gamma, beta, old_mean, old_variance = (value.astype(np.float64) for value in norm.get_weights())
        scale = gamma / np.sqrt(old_variance + norm.epsilon)
        gamma, beta = scale * np.sqrt(variance + norm.epsilon), beta + scale * (mean - old_mean)
        norm.set_weights([value.astype(np.float32) for value in (gamma, beta, mean, variance)])


#: In the middle of the reference picture, computed from the arrays.
_REFERENCE_LOGITS = (
    25.601, -4.624, 0.219, 3.217, -3.208, 23.514, 5.595, 3.983, 14.354, 17.578, -1.635, 20.225, 9.010, -2.433, -0.274,
    18.629, 7.123, 4.789, 9.313, 8.672, 4.594,
)  # fmt: skip
