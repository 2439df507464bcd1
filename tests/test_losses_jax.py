"""The same losses and gradients on JAX, compiled, in an environment that has no TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from segmodels.training.losses import LOSSES, make_loss
from tests.loss_oracles import ORACLES
from tests.test_losses import WEIGHTS, example, one_hot, value_and_gradient

SCRIPT = """
import importlib.util, json, sys
assert importlib.util.find_spec("tensorflow") is None, "this environment must not have TensorFlow"
import jax
import numpy as np
from segmodels.training.losses import make_loss

folder, texts, weights = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
with np.load(folder + "/batch.npz") as batch:
    masks, one_hot, logits, hard = (batch[name] for name in ("masks", "one_hot", "logits", "hard"))
losses = [make_loss(text, weights) for text in texts]
maps = [loss.maps(masks, logits.shape[-1]) for loss in losses]

@jax.jit
def all_of_them(logits, masks, one_hot):
    half = logits.astype("bfloat16")
    found = {}
    for text, loss, own in zip(texts, losses, maps):
        value, gradient = jax.value_and_grad(lambda logits: loss(masks, logits, own))(logits)
        of_half = loss(masks, half, own)
        assert value.dtype == of_half.dtype == "float32"
        found |= {f"{text} value": value, f"{text} gradient": gradient, f"{text} half": of_half,
                  f"{text} one-hot": loss(one_hot, logits, own)}
    return found

nothing = np.full_like(masks, 255)
for name, batch in (("plain", (logits, masks)), ("hard", (hard, masks)), ("ignored", (logits, nothing))):
    np.savez(f"{folder}/{name}.npz", **all_of_them(*batch, one_hot))
"""


def test_jax_finds_the_same(jax_python: Path, python: Callable, tmp_path: Path) -> None:

    import tensorflow as tf

    masks, logits = example()
    hard = 1e4 * np.sign(logits)
    np.savez(tmp_path / "batch.npz", masks=masks, one_hot=one_hot(masks), logits=logits, hard=hard)
    texts, weights = list(LOSSES), WEIGHTS[1]
    done = python(
        "-c", SCRIPT, tmp_path, json.dumps(texts), json.dumps(weights), interpreter=jax_python, KERAS_BACKEND="jax"
    )
    assert done.returncode == 0, done.stderr[-3000:]
    plain, at_extremes, ignored = (np.load(tmp_path / f"{name}.npz") for name in ("plain", "hard", "ignored"))
    rounded = tf.cast(tf.cast(logits, tf.bfloat16), tf.float32).numpy()
    for text in texts:
        expected = ORACLES[text](masks, logits, weights)
        np.testing.assert_allclose(plain[f"{text} value"], expected, rtol=1e-5, err_msg=text)
        np.testing.assert_allclose(plain[f"{text} one-hot"], expected, rtol=1e-5, err_msg=text)
        expected = ORACLES[text](masks, rounded, weights)
        np.testing.assert_allclose(plain[f"{text} half"], expected, rtol=1e-5, err_msg=text)
        loss = make_loss(text, weights)
        gradient = value_and_gradient(loss, masks, logits)[1]
        np.testing.assert_allclose(plain[f"{text} gradient"], gradient, rtol=1e-4, atol=1e-7, err_msg=text)
        np.testing.assert_allclose(at_extremes[f"{text} value"], loss(masks, hard), rtol=1e-5, err_msg=text)
        assert np.isfinite(at_extremes[f"{text} gradient"]).all(), text
        assert ignored[f"{text} value"] == 0
        assert not ignored[f"{text} gradient"].any()
