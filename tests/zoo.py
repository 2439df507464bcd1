"""The tester of every architecture: what all must do, whatever they are. A new one needs a row in `CASES`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from segmodels.backend import keras
from segmodels.data.datasets import dataset_type, open_dataset
from segmodels.data.images import resize_image, resize_mask
from segmodels.hub.checkpoint import ArchitectureSpec, ClassSpec, InputSpec, Spec, write_checkpoint
from segmodels.models.architectures import ARCHITECTURES
from segmodels.models.build import build
from segmodels.recipe import Recipe
from segmodels.training.losses import make_loss
from segmodels.training.step import make_step

BORDER, IGNORE = 2, 255


@dataclass(frozen=True)
class Case:
    """How one architecture is tested.

    Attributes:
        plain: keywords that make its own form small.
        on_backbone: keywords that make its decoder small.
        steady: keywords without dropout, to learn pictures by heart.
        pictures: what it can learn to the last pixel: "pets" with their borders where it answers at full size, "pets
            without borders" where it answers at a quarter or an eighth, "stripes" where it answers at a thirty-second.
        rate: of learning by heart; a transformer that starts at random stays at one class at that of the others.
        backbone: for the quick tests, so that together they take every backbone; `none` is tested where there is one.
    """

    backbone: str
    pictures: str
    plain: dict[str, Any] = field(default_factory=dict)
    on_backbone: dict[str, Any] = field(default_factory=dict)
    steady: dict[str, Any] = field(default_factory=dict)
    rate: float = 2e-3


_SMALL_FCN: dict[str, Any] = {"head_width": 64, "head_kernel": 3}
CASES: dict[str, Case] = {
    "unet": Case("mobilenetv2", "pets", {"width": 8, "depth": 4}, {"widths": (64, 32, 32, 16, 16)}),
    "unet++": Case(
        "efficientnetb0", "pets", {"widths": (8, 16, 32, 32), "norm": "batch"}, {"widths": (32, 32, 32, 16, 16)}
    ),
    "segnet": Case("mobilenet", "pets", {"width": 16}),
    "fcn32": Case("efficientnetb1", "stripes", _SMALL_FCN, _SMALL_FCN, {"dropout": 0.0}),
    "fcn16": Case("efficientnetb2", "stripes", _SMALL_FCN, _SMALL_FCN, {"dropout": 0.0}),
    "fcn8": Case("vgg16", "stripes", _SMALL_FCN, _SMALL_FCN, {"dropout": 0.0}),
    "pspnet": Case("resnet50", "pets without borders", {}, {"width": 64}, {"dropout": 0.0}),
    "deeplabv3": Case("xception", "pets without borders", {}, {"width": 64}, {"dropout": 0.0, "output_stride": 8}),
    "deeplabv3+": Case("densenet121", "pets without borders", {}, {"width": 64}, {"dropout": 0.0}),
    "pix2pix": Case("efficientnetb3", "pets", {"width": 16}, {"width": 16}, {"dropout": 0.0}),
    "segformer": Case("mit-b0", "pets without borders", {}, {"width": 64}, {"dropout": 0.0}, rate=5e-4),
    "fpn": Case("efficientnetv2b0", "pets without borders", {}, {"pyramid_width": 64, "width": 64}, {"dropout": 0.0}),
    "linknet": Case("resnet101", "pets", {}, {}),
    "upernet": Case("convnexttiny", "pets without borders", {}, {"width": 64}),
}

#: Every architecture on its own encoder, where it has one, and on the backbone of its case.
QUICK = [
    (name, backbone)
    for name, case in CASES.items()
    for backbone in dict.fromkeys(("none", case.backbone))
    if backbone in ARCHITECTURES[name].backbones
]
GRID = [(name, backbone) for name, row in ARCHITECTURES.items() for backbone in row.backbones]


def small(name: str, backbone: str, *, steady: bool = False, **keywords: Any) -> keras.Model:
    """A small network of an architecture, seeded, for 3 classes."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(1)
    return build(name, classes=3, backbone=backbone, **options(name, backbone, steady=steady), **keywords)


def options(name: str, backbone: str, *, steady: bool = False) -> dict[str, Any]:
    case = CASES[name]
    return {**(case.plain if backbone == "none" else case.on_backbone), **(case.steady if steady else {})}


def noise(height: int, width: int, batch: int = 1) -> np.ndarray:
    """Float32 pixels 0..255."""
    generator = np.random.default_rng([height, width])
    return generator.integers(0, 256, (batch, height, width, 3)).astype(np.float32)


def shake(model: keras.Model) -> keras.Model:
    """Give every weight that starts as a constant a value of its own, as training would."""
    generator = np.random.default_rng(0)
    for variable in model.variables:
        if "float" not in str(variable.dtype):
            continue
        value = np.asarray(variable)
        if value.size > 1 and np.ptp(value) == 0:
            spread = (
                generator.uniform(0.7, 1.3, value.shape) if value.flat[0] else generator.normal(0, 0.05, value.shape)
            )
            variable.assign(spread * value if value.flat[0] else spread)
    return model


def difference(found: Any, expected: Any) -> float:
    """The largest difference of two answers, as a share of the largest value."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    assert np.isfinite(found).all()
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def pictures(name: str, height: int, width: int) -> np.ndarray:
    """What two engines are compared on: float32 `(pictures, height, width, 3)`."""
    return noise(height, width, batch=6 if name == "segnet" else 1)


def agree(name: str, found: Any, expected: Any, tolerance: float = 1e-4) -> None:
    """Assert that two engines answer the same.

    SegNet keeps the places of the larger of neighbours: where two are equal but for rounding, engines choose otherwise
    and what is unpooled moves by a pixel. That befalls one picture in six and changes hardly a class; the other
    pictures answer the same.
    """
    if name != "segnet":
        assert difference(found, expected) < tolerance
        return
    found, expected = np.asarray(found), np.asarray(expected)
    by_picture = [difference(*pair) for pair in zip(found, expected, strict=True)]
    assert np.median(by_picture) < tolerance, by_picture
    assert (found.argmax(-1) != expected.argmax(-1)).mean() < 0.001


def eight(kind: str, size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Eight pictures with masks to learn by heart: uint8 `(8, size, size, 3)` and `(8, size, size)`."""
    if kind == "stripes":
        return _stripes()
    dataset = open_dataset("toy-pets")
    read = [dataset.read(sample) for sample in dataset.samples("train")[:8]]
    images = np.stack([resize_image(image, size, size) for image, _ in read])
    masks = np.stack([resize_mask(mask, size, size) for _, mask in read])
    if kind == "pets without borders":
        masks[masks == BORDER] = IGNORE
    return images, masks


def _stripes(size: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """Two coloured halves that meet on the grid of a stride of 32, with a grey line on the left of where they do."""
    generator = np.random.default_rng(0)
    images, masks = np.zeros((8, size, size, 3), np.uint8), np.zeros((8, size, size), np.uint8)
    colours = np.array([(200, 60, 40), (60, 160, 80), (50, 90, 200)])
    for index in range(8):
        edge, classes = 32 * (1 + index % 3), generator.permutation(3)[:2]
        masks[index, :, :edge], masks[index, :, edge:] = classes
        images[index] = colours[masks[index]] + generator.integers(-20, 20, (size, size, 3))
        if index >= 4:
            images[index], masks[index] = images[index].transpose(1, 0, 2), masks[index].T
    return images, masks


def learn_by_heart(name: str, backbone: str, *, most: int = 400) -> float:
    """Train on eight pictures until 99 % of their pixels are right, as the network then answers, or `most` steps;
    returns the share of the pixels that are right, after checking that no weight stayed where it was."""
    images, masks = eight(CASES[name].pictures)
    if name == "pix2pix" and backbone == "none":  # pictures of 64 pixels would be padded to 256 all the same
        images, masks = eight(CASES[name].pictures, 256)
    model = small(name, backbone, steady=True)
    before = [np.array(variable) for variable in model.trainable_variables]
    step = make_step(model, make_loss("cross_entropy"), Recipe(data="toy-pets"))
    right, counted = 0.0, masks != IGNORE
    for number in range(1, most + 1):
        rate = CASES[name].rate * min(1.0, number / 10) * (1.0 if number < most // 2 else 0.3)
        assert np.isfinite(float(step.train(images, masks, (), rate).loss))
        if number % 20 == 0:
            _, ids = step.evaluate(images, masks, ())
            right = float((np.asarray(ids) == masks)[counted].mean())
            if right >= 0.99:
                break
    step.store()
    still = [v.path for v, was in zip(model.trainable_variables, before, strict=True) if np.array_equal(v, was)]
    assert not still, f"no gradient reached {still[:5]}"
    return right


def mixed_precision_loss(name: str, backbone: str, *, compiled: bool) -> float:
    """The loss of one training step that computes in bfloat16, compiled by XLA if asked for."""
    import tensorflow as tf

    with precision("mixed_bfloat16"):
        model = small(name, backbone)
    loss, optimizer = make_loss("cross_entropy+dice"), keras.optimizers.Adam(1e-4)
    optimizer.build(model.trainable_variables)
    images, masks = eight("pets")

    @tf.function(jit_compile=compiled)
    def step(images: Any, masks: Any) -> Any:
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            value = loss(masks, logits)
        optimizer.apply(tape.gradient(value, model.trainable_variables), model.trainable_variables)
        return value, logits

    value, logits = step(tf.constant(images[:2]), tf.constant(masks[:2]))
    assert logits.dtype == "float32"
    assert all(np.isfinite(np.asarray(variable, np.float32)).all() for variable in model.trainable_variables)
    assert np.isfinite(float(value))
    return float(value)


@contextmanager
def precision(policy: str) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def save(model: keras.Model, name: str, backbone: str, folder: Path, images: np.ndarray) -> None:
    """A checkpoint of a small network in a new folder, and what it answers to `images`."""
    labels = dataset_type("toy-pets").classes
    spec = Spec(
        format=1,
        architecture=ArchitectureSpec(name=name, backbone=backbone, classes=3, options=options(name, backbone)),
        classes=[ClassSpec(name=label.name, colour=label.colour) for label in labels],
        input=InputSpec(mode="resize", size=64),
        recipe={"data": "toy-pets"},
    )
    folder.mkdir(parents=True)
    write_checkpoint(folder, model, spec)
    np.save(folder / "images.npy", images)
    np.save(folder / "expected.npy", np.asarray(model(images, training=False)))


def load_all(folder: Path) -> None:
    """Load every checkpoint below a folder and write what it answers beside it."""
    from segmodels.hub.checkpoint import load_checkpoint
    from segmodels.prediction.engines.keras_engine import compiled

    for spec in sorted(folder.glob("*/segmodels.json")):
        model, _ = load_checkpoint(spec.parent)
        np.save(spec.parent / "found.npy", np.asarray(compiled(model)(np.load(spec.parent / "images.npy"))))
        keras.backend.clear_session()


def export_onnx(model: keras.Model, path: Path) -> Any:
    """The network in ONNX Runtime: a function of float32 pictures of any size."""
    import onnxruntime

    model.export(str(path), format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {session.get_inputs()[0].name: images})[0]


def any_size(model: keras.Model) -> None:
    for height, width in ((97, 131), (1, 1)):
        answer = np.asarray(model(noise(height, width, batch=2), training=False))
        assert answer.shape == (2, height, width, 3)
        assert answer.dtype == np.float32
        assert np.isfinite(answer).all()


def xla(name: str, model: keras.Model) -> None:
    import tensorflow as tf

    compiled = tf.function(lambda images: model(images, training=False), jit_compile=True)
    images = pictures(name, 97, 131)
    agree(name, compiled(tf.constant(images)), model(images, training=False))


def onnx(name: str, model: keras.Model, folder: Path) -> None:
    model(noise(64, 64))  # Keras exports no model that was never called
    exported = export_onnx(model, folder / "model.onnx")
    for height, width in ((64, 64), (97, 131)):
        images = pictures(name, height, width)
        agree(name, exported(images), model(images, training=False))


def heart(name: str, backbone: str) -> None:
    share = learn_by_heart(name, backbone)
    assert share >= 0.99, f"{share:.4f} of the pixels are right"


def three_steps(name: str, backbone: str) -> None:
    """A few training steps on whichever engine runs, after which the loss on the same pictures is lower."""
    images, masks = eight("pets")
    model = small(name, backbone, steady=True)
    step = make_step(model, make_loss("cross_entropy"), Recipe(data="toy-pets"))
    losses = [float(step.train(images[:4], masks[:4], (), 1e-3).loss) for _ in range(4)]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0], losses


def main() -> None:
    """`python -m tests.zoo NAME BACKBONE CHECK,… FOLDER`, or `load FOLDER`."""
    if sys.argv[1] == "load":
        return load_all(Path(sys.argv[2]))
    name, backbone, checks, folder = sys.argv[1:]

    @cache
    def model() -> keras.Model:
        return shake(small(name, backbone))

    for check in checks.split(","):
        began = time.perf_counter()
        {
            "size": lambda: any_size(model()),
            "xla": lambda: xla(name, model()),
            "onnx": lambda: onnx(name, model(), Path(folder)),
            "save": lambda: save(model(), name, backbone, Path(folder) / f"{name}-{backbone}", pictures(name, 61, 75)),
            "mixed": lambda: mixed_precision_loss(name, backbone, compiled=False),
            "mixed-xla": lambda: mixed_precision_loss(name, backbone, compiled=True),
            "heart": lambda: heart(name, backbone),
            "steps": lambda: three_steps(name, backbone),
        }[check]()
        print(f"{name} on {backbone}: {check} in {time.perf_counter() - began:.0f} s", flush=True)
    return None


if __name__ == "__main__":
    main()
