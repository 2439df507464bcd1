"""Every architecture as a LiteRT file and as a SavedModel."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from segmodels.backend import keras
from tests import zoo

pytest.importorskip("tensorflow")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("name", "backbone"), zoo.QUICK)
def test_every_architecture_is_exported(name: str, backbone: str, tmp_path: Path, home: Path, python: Callable) -> None:
    zoo.save(zoo.shake(zoo.small(name, backbone)), name, backbone, tmp_path / "model", zoo.pictures(name, 64, 64))
    keras.backend.clear_session()
    for form, out in (("litert", "model.tflite"), ("saved_model", "saved")):
        # In a process of its own: TensorFlow keeps what a process has compiled.
        done = python(
            "-m", "segmodels", "export", tmp_path / "model", "--format", form, "--out", tmp_path / out, "--json"
        )
        assert done.returncode == 0, done.stderr[-2000:]
        found = json.loads(done.stdout)
        assert found["same_pixels"] >= 0.999
        assert found["difference"] < 1e-4 or name == "segnet"
