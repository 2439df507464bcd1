"""Every architecture through one tester, on its own encoder and on one backbone; the whole grid when asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from segmodels.backend import keras
from segmodels.models.architectures import ARCHITECTURES
from segmodels.models.backbones import BACKBONES
from tests import zoo

tf = pytest.importorskip("tensorflow")

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    keras.backend.clear_session()


def check_any_size_and_xla(name: str, backbone: str) -> None:
    model = zoo.shake(zoo.small(name, backbone))
    compiled = tf.function(lambda images: model(images, training=False), jit_compile=True)
    for height, width in ((97, 131), (1, 1)):
        images = zoo.noise(height, width, batch=2)
        expected = np.asarray(model(images, training=False))
        assert expected.shape == (2, height, width, 3)
        assert expected.dtype == np.float32
        assert np.isfinite(expected).all()
    images = zoo.noise(97, 131)
    zoo.agree(name, compiled(tf.constant(images)), model(images, training=False))


def check_onnx(name: str, backbone: str, folder: Path) -> None:
    model = zoo.shake(zoo.small(name, backbone))
    onnx = zoo.export_onnx(model, folder / "model.onnx")
    for height, width in ((64, 64), (97, 131)):
        images = zoo.noise(height, width)
        zoo.agree(name, onnx(images), model(images, training=False))


def check_loading(pairs: list[tuple[str, str]], folder: Path, process: Callable, **how: object) -> None:
    """A fresh process builds each network from its checkpoint and answers the same."""
    for name, backbone in pairs:
        model = zoo.shake(zoo.small(name, backbone))
        zoo.save(model, name, backbone, folder / f"{name}-{backbone}", zoo.noise(61, 75))
    done = process("-c", zoo.LOAD_ALL, folder, **how)
    assert done.returncode == 0, done.stderr[-3000:]
    for name, backbone in pairs:
        saved = folder / f"{name}-{backbone}"
        zoo.agree(name, np.load(saved / "found.npy"), np.load(saved / "expected.npy"))


def test_the_tester_knows_every_architecture_and_takes_every_convolutional_backbone() -> None:
    assert set(zoo.CASES) == set(ARCHITECTURES)
    taken = {backbone for _, backbone in zoo.QUICK}
    left_to_the_grid = {"efficientnetb4", "mit-b1", "mit-b2", "mit-b3", "mit-b4", "mit-b5"}
    assert taken == ({"none"} | set(BACKBONES)) - left_to_the_grid


@pytest.mark.parametrize(("name", "backbone"), zoo.QUICK)
def test_any_size_compiled_by_xla(name: str, backbone: str) -> None:
    check_any_size_and_xla(name, backbone)


@pytest.mark.parametrize(("name", "backbone"), zoo.QUICK)
def test_mixed_precision_trains_with_a_finite_loss(name: str, backbone: str) -> None:
    assert np.isfinite(zoo.mixed_precision_loss(name, backbone, xla=False))


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_a_training_step_compiles_under_xla(name: str) -> None:
    backbone = "mobilenetv2" if "mobilenetv2" in ARCHITECTURES[name].backbones else "mit-b0"
    assert np.isfinite(zoo.mixed_precision_loss(name, backbone, xla=True))


def test_checkpoints_load_in_a_fresh_process(tmp_path: Path, python: Callable) -> None:
    check_loading(zoo.QUICK, tmp_path, python)


def test_checkpoints_load_on_jax_and_answer_the_same(tmp_path: Path, python: Callable, jax_python: Path) -> None:
    check_loading(zoo.QUICK, tmp_path, python, interpreter=jax_python, KERAS_BACKEND="jax")


ONNX_QUICK = [("unet", "mobilenetv2"), ("segnet", "none"), ("deeplabv3+", "mobilenetv2"), ("segformer", "mit-b0")]


@pytest.mark.parametrize(("name", "backbone"), ONNX_QUICK)
def test_onnx_answers_the_same_at_any_size(name: str, backbone: str, tmp_path: Path) -> None:
    check_onnx(name, backbone, tmp_path)


LEARN_QUICK = [
    ("unet", "none"), ("unet++", "none"), ("segnet", "none"), ("fcn8", "mobilenetv2"), ("pspnet", "mobilenetv2"),
    ("deeplabv3", "mobilenetv2"), ("deeplabv3+", "mobilenetv2"), ("pix2pix", "mobilenetv2"), ("segformer", "mit-b0"),
    ("fpn", "mobilenetv2"), ("linknet", "mobilenetv2"), ("upernet", "mobilenetv2"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "backbone"), LEARN_QUICK)
def test_eight_pictures_are_learned_by_heart(name: str, backbone: str) -> None:
    assert zoo.learn_by_heart(name, backbone) >= 0.99


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("name", "backbone"), zoo.GRID)
class TestGrid:
    """Every architecture on every backbone that it takes."""

    def test_any_size_compiled_by_xla(self, name: str, backbone: str) -> None:
        check_any_size_and_xla(name, backbone)

    def test_mixed_precision(self, name: str, backbone: str) -> None:
        assert np.isfinite(zoo.mixed_precision_loss(name, backbone, xla=False))

    def test_onnx(self, name: str, backbone: str, tmp_path: Path) -> None:
        check_onnx(name, backbone, tmp_path)

    def test_learned_by_heart(self, name: str, backbone: str) -> None:
        assert zoo.learn_by_heart(name, backbone) >= 0.99


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("engine", ["tensorflow", "jax"])
@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_the_grid_loads_in_fresh_processes(
    name: str, engine: str, tmp_path: Path, python: Callable, jax_python: Path
) -> None:
    pairs = [pair for pair in zoo.GRID if pair[0] == name]
    how = {"interpreter": jax_python, "KERAS_BACKEND": "jax"} if engine == "jax" else {}
    for pair in pairs:  # one at a time, so that the checkpoints of large networks do not pile up
        check_loading([pair], tmp_path / pair[1], python, **how)
