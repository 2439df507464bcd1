"""The same package on JAX, in an environment that has no TensorFlow."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from segmodels.hub.checkpoint import load_checkpoint
from segmodels.training.runs import Run

SCRIPT = """
import importlib.util, json, sys
assert importlib.util.find_spec("tensorflow") is None, "this environment must not have TensorFlow"
import numpy as np
import segmodels
from segmodels.backend import backend_name

checkpoint, folder = sys.argv[1:]
images = np.load(folder + "/images.npy")
predictor = segmodels.Predictor(checkpoint)
np.save(folder + "/logits.npy", predictor.logits(images))
np.save(folder + "/odd.npy", np.asarray(predictor.model(images[:1, :29, :23], training=False)))

options = {"width": 4, "depth": 3, "upsample": "bilinear", "dropout": 0.2}
run = segmodels.train(segmodels.Recipe(
    data="toy-pets", options=options, image_size=32, limit=16, epochs=3, learning_rate=0.01, optimizer="adamw"
))
history, report = run.history(), segmodels.evaluate(run.best, split="validation", at="model")
mask = segmodels.Predictor(run.id)(np.zeros((41, 67, 3), np.uint8)).mask
print(json.dumps({
    "backend": backend_name(), "state": run.state, "losses": [row["loss"] for row in history],
    "best": max(row["val_mean_iou"] for row in history), "report": report, "mask": mask.shape,
    "engine": run.status()["backend"],
}))
"""


def test_train_evaluate_and_predict_without_tensorflow(
    jax_python: Path, python: Callable, tiny_run: Run, home: Path, tmp_path: Path
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    done = python("-c", SCRIPT, tiny_run.best, tmp_path, interpreter=jax_python, KERAS_BACKEND="jax")
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])

    assert found["backend"] == "jax"
    assert found["engine"].startswith("jax ")
    assert found["state"] == "finished"
    assert found["losses"][-1] < found["losses"][0]
    assert abs(found["report"]["mean_iou"] - found["best"]) < 2e-4
    assert found["mask"] == [41, 67]

    model, _ = load_checkpoint(tiny_run.best)
    expected = np.asarray(model(images, training=False))
    np.testing.assert_allclose(np.load(tmp_path / "logits.npy"), expected, atol=1e-4)
    odd = np.asarray(model(images[:1, :29, :23], training=False))
    np.testing.assert_allclose(np.load(tmp_path / "odd.npy"), odd, atol=1e-4)


KEEPING = """
import os, sys
import segmodels.device
kind, given = sys.argv[1:]
os.environ.pop("JAX_COMPILATION_CACHE_DIR")
if given:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = given
segmodels.device.known_devices = lambda: [segmodels.device.Device(kind, "a card", 0)]
import segmodels.backend
import jax, jax.numpy as jnp
import jax.monitoring as monitoring
found = []
monitoring.register_event_listener(lambda name, **_: found.append(name.rpartition("/")[2]))
jax.jit(lambda x: jnp.tanh(x) @ x)(jnp.ones((8, 8))).block_until_ready()
print(os.environ.get("JAX_COMPILATION_CACHE_DIR"), found.count("cache_hits"), found.count("cache_misses"))
"""


def test_on_a_gpu_compiled_programs_are_kept_for_the_next_start(jax_python: Path, python: Callable, home: Path) -> None:
    def start(kind: str, given: str = "") -> tuple[str, int, int]:
        done = python("-c", KEEPING, kind, given, interpreter=jax_python, KERAS_BACKEND="jax")
        assert done.returncode == 0, done.stderr[-3000:]
        place, hits, misses = done.stdout.split()
        return place, int(hits), int(misses)

    place, hits, misses = start("gpu")
    assert place == str(home / "cache" / "jax")
    assert (hits, misses > 0) == (0, True)
    assert start("gpu") == (place, misses, 0)
    assert start("cpu")[0] == "None"
    own = str(home / "own")
    assert start("gpu", own)[0] == own  # whoever sets it has another place


def test_programs_that_were_cut_off_are_forgotten(tmp_path: Path) -> None:
    """JAX writes two files of each; where the second is missing it keeps no other program any more."""
    from segmodels.backend import HALF_SECONDS, _forget_halves

    for name in ("whole-cache", "whole-atime", "half-cache", "new-cache"):
        (tmp_path / name).write_bytes(b"program")
        old = time.time() - HALF_SECONDS - 60
        os.utime(tmp_path / name, (old, old) if name != "new-cache" else None)
    _forget_halves(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new-cache", "whole-atime", "whole-cache"]
    _forget_halves(tmp_path / "nowhere")
