"""Every architecture through one tester, on its own encoder and on one backbone; the whole grid when asked.

What is compiled runs in a process of its own: TensorFlow keeps what a process has compiled, weights and all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from segmodels.backend import keras
from segmodels.models.architectures import ARCHITECTURES
from segmodels.models.backbones import BACKBONES
from tests import zoo

pytest.importorskip("tensorflow")
pytestmark = pytest.mark.filterwarnings("ignore")

#: Of every kind of network one, through every check.
SPAN = [("segnet", "none"), ("deeplabv3+", "mobilenetv2"), ("segformer", "mit-b0")]


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    keras.backend.clear_session()


def alone(python: Callable, name: str, backbone: str, checks: str, folder: Path, **how: object) -> None:
    """Run checks of `tests.zoo` on one network in a process of its own."""
    done = python("-m", "tests.zoo", name, backbone, checks, folder, timeout=1500, **how)
    assert done.returncode == 0, done.stderr[-2000:]


def check_loading(pairs: list[tuple[str, str]], folder: Path, process: Callable, **how: object) -> None:
    """A fresh process builds each saved network from its checkpoint and answers the same."""
    done = process("-m", "tests.zoo", "load", folder, **how)
    assert done.returncode == 0, done.stderr[-3000:]
    for name, backbone in pairs:
        saved = folder / f"{name}-{backbone}"
        zoo.agree(name, np.load(saved / "found.npy"), np.load(saved / "expected.npy"))


def test_the_tester_knows_every_architecture_and_takes_every_convolutional_backbone() -> None:
    assert set(zoo.CASES) == set(ARCHITECTURES)
    taken = {backbone for _, backbone in zoo.QUICK}
    left_to_the_grid = {"efficientnetb4", "mit-b1", "mit-b2", "mit-b3", "mit-b4", "mit-b5"}
    assert taken == ({"none"} | set(BACKBONES)) - left_to_the_grid


#: Large encoders, of which a smaller one of the same kind is tried always.
LARGE = {"densenet121", "efficientnetb1", "efficientnetb2", "efficientnetb3", "resnet101"}


@pytest.mark.parametrize(
    ("name", "backbone"),
    [pytest.param(*pair, marks=pytest.mark.slow if pair[1] in LARGE else ()) for pair in zoo.QUICK],
)
def test_any_size(name: str, backbone: str) -> None:
    zoo.any_size(zoo.shake(zoo.small(name, backbone)))


# SegFormer and DeepLabv3+ take a minute each for this, and SegFormer for learning by heart: the grid has them.
@pytest.mark.parametrize(("name", "backbone"), [pair for pair in SPAN if pair[0] not in ("segformer", "deeplabv3+")])
@pytest.mark.slow
def test_xla_mixed_precision_and_onnx(name: str, backbone: str, python: Callable, tmp_path: Path) -> None:
    alone(python, name, backbone, "xla,mixed-xla,onnx", tmp_path)


@pytest.mark.parametrize(("name", "backbone"), [pair for pair in SPAN if pair[0] not in ("deeplabv3+", "segformer")])
@pytest.mark.slow
def test_training_on_jax(name: str, backbone: str, python: Callable, jax_python: Path, tmp_path: Path) -> None:
    alone(python, name, backbone, "steps", tmp_path, interpreter=jax_python, KERAS_BACKEND="jax")


def test_eight_pictures_are_learned_by_heart(python: Callable, tmp_path: Path) -> None:
    alone(python, "unet++", "none", "heart", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["tensorflow", "jax"])
def test_checkpoints_load_in_a_fresh_process_and_answer_the_same(
    engine: str, tmp_path: Path, python: Callable, jax_python: Path
) -> None:
    how = {"interpreter": jax_python, "KERAS_BACKEND": "jax"} if engine == "jax" else {}
    pairs = [pair for pair in zoo.QUICK if pair[1] in ("none", "mit-b0")]
    pairs += [("fpn", "mobilenetv2"), ("linknet", "mobilenetv2"), ("deeplabv3", "mobilenet")]
    if engine == "jax":  # which compiles each operation of each by itself: of every kind one
        pairs = [pair for pair in pairs if pair[0] in ("unet++", "segnet", "deeplabv3", "segformer")]
    for name, backbone in pairs:
        model = zoo.shake(zoo.small(name, backbone))
        zoo.save(model, name, backbone, tmp_path / f"{name}-{backbone}", zoo.pictures(name, 61, 75))
    check_loading(pairs, tmp_path, python, **how)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("name", "backbone"), zoo.QUICK)
def test_training_under_xla_and_on_jax(
    name: str, backbone: str, python: Callable, jax_python: Path, tmp_path: Path
) -> None:
    alone(python, name, backbone, "mixed-xla", tmp_path)
    alone(python, name, backbone, "steps", tmp_path, interpreter=jax_python, KERAS_BACKEND="jax")


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("name", "backbone"), zoo.GRID)
def test_every_architecture_on_every_backbone(
    name: str, backbone: str, python: Callable, jax_python: Path, tmp_path: Path
) -> None:
    """Any size, XLA, ONNX, mixed precision, learned by heart, saved, and loaded anew by either engine."""
    alone(python, name, backbone, "size,xla,onnx,mixed,save,heart", tmp_path)
    check_loading([(name, backbone)], tmp_path, python)
    check_loading([(name, backbone)], tmp_path, python, interpreter=jax_python, KERAS_BACKEND="jax")
