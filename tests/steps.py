"""A few training steps of every kind, for any engine: prints what they gave as JSON.

Run as `python steps.py`; the same numbers are expected on TensorFlow and on JAX.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from segmodels.backend import backend_name, clear, keras
from segmodels.models.build import build
from segmodels.recipe import Recipe
from segmodels.training.adversarial import make_adversary
from segmodels.training.averages import Averages
from segmodels.training.losses import make_loss
from segmodels.training.step import make_step

PLAIN = {"width": 4, "depth": 2, "norm": "batch"}
KINDS: dict[str, dict[str, Any]] = {
    "adam, means": {"options": PLAIN, "ema": 0.9},
    "adamw, clipped": {"options": PLAIN, "optimizer": "adamw", "weight_decay": 0.1, "clip_norm": 0.1},
    "rmsprop, accumulated": {"options": PLAIN, "optimizer": "rmsprop", "accumulation": 2, "ema": 0.9},
    "lion": {"options": PLAIN, "optimizer": "lion"},
    "borders": {"options": PLAIN, "optimizer": "sgd", "loss": "border_cross_entropy+0.01*boundary+lovasz"},
    "deep supervision": {"architecture": "unet++", "options": {"widths": (4, 8), "deep_supervision": True}},
    "adversarial": {
        "options": PLAIN,
        "optimizer": "sgd",
        "adversarial_weight": 0.5,
        "discriminator_every": 2,
        "ema": 0.9,
    },
}


def drawn_weights(variables: list[Any], seed: int) -> None:
    """The same weights on every engine."""
    generator = np.random.default_rng(seed)
    for variable in variables:
        if "kernel" in variable.name:
            variable.assign(generator.normal(0, 0.1, variable.shape).astype("float32"))


def played(fields: dict[str, Any]) -> dict[str, Any]:
    """Six steps, and what is then found with the weights and with their mean."""
    clear()
    recipe = Recipe(data="toy-pets", **fields)
    model = build(recipe.architecture, classes=3, auxiliary=recipe.architecture == "unet++", **recipe.options)
    drawn_weights(model.variables, 0)
    loss = make_loss(recipe.loss)
    averages = Averages(model, recipe.ema, recipe.accumulation) if recipe.ema else None
    adversary = make_adversary(recipe, 3) if recipe.adversarial_weight else None
    if adversary:
        drawn_weights(adversary.network.variables, 1)
    step = make_step(model, loss, recipe, averages=averages, adversary=adversary)
    generator = np.random.default_rng(2)
    found: dict[str, Any] = {"losses": [], "judge": []}
    for number in range(6):
        images = generator.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
        masks = generator.integers(0, 3, (2, 32, 32), dtype=np.uint8)
        masks[:, :4] = 255
        result = step.train(images, masks, loss.maps(masks, 3), 0.002 * (number + 1))
        found["losses"].append(float(result.loss))
        for name, value in result.figures.items():
            found.setdefault(name, []).append(float(value))
        if adversary:
            step.store()
            found["judge"].append(
                float(keras.ops.sum(keras.ops.abs(adversary.network.get_layer("judge0_conv").kernel)))
            )
    found["evaluated"] = float(step.evaluate(images, masks, loss.maps(masks, 3))[0])
    with step.averaged():
        found["averaged"] = float(step.evaluate(images, masks, loss.maps(masks, 3))[0])
    found["after"] = float(step.evaluate(images, masks, loss.maps(masks, 3))[0])
    found["weights"] = [float(keras.ops.sum(keras.ops.abs(v))) for v in model.trainable_variables]
    return found


if __name__ == "__main__":
    print(json.dumps({"engine": backend_name(), **{kind: played(fields) for kind, fields in KINDS.items()}}))
