"""A few training steps of every kind, for any engine: prints what they gave as JSON.

Run as `python steps.py KIND …`; the same numbers are expected on TensorFlow and on JAX.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

from segmodels.backend import backend_name, clear, keras
from segmodels.models.build import build
from segmodels.models.pix2pix import discriminator
from segmodels.recipe import Recipe
from segmodels.training.adversarial import Adversary
from segmodels.training.averages import Averages
from segmodels.training.losses import make_loss
from segmodels.training.optimizers import make_optimizer
from segmodels.training.step import make_step

PLAIN = {"width": 4, "depth": 2, "norm": "batch"}
KINDS: dict[str, dict[str, Any]] = {
    "adamw, clipped, means": {
        "options": PLAIN,
        "optimizer": "adamw",
        "weight_decay": 0.1,
        "clip_norm": 0.1,
        "ema": 0.9,
    },
    "rmsprop, accumulated, means": {"options": PLAIN, "optimizer": "rmsprop", "accumulation": 2, "ema": 0.9},
    "deep supervision, maps": {
        "architecture": "unet++",
        "options": {"widths": (4, 8), "deep_supervision": True},
        "optimizer": "sgd",
        "loss": "border_cross_entropy+0.01*boundary+lovasz",
    },
    "taught": {"options": PLAIN, "teachers": "a run", "teacher_weight": 0.7},
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
    adversary = None
    if recipe.adversarial_weight:
        judge = discriminator(3, width=4)
        drawn_weights(judge.variables, 1)
        adversary = Adversary(judge, make_optimizer(recipe, judge), recipe.adversarial_weight, 2, 1.0)
    step = make_step(model, loss, recipe, averages=averages, adversary=adversary)
    generator = np.random.default_rng(2)
    found: dict[str, Any] = {"losses": [], "judge": []}
    for number in range(6):
        images = generator.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
        masks = generator.integers(0, 3, (2, 32, 32), dtype=np.uint8)
        masks[:, :4] = 255
        taught = generator.dirichlet((1, 1, 1), masks.shape).astype(np.float32)
        maps = [*loss.maps(masks, 3), *([taught] if recipe.teachers else [])]
        result = step.train(images, masks, maps, 0.002 * (number + 1))
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
    print(json.dumps({"engine": backend_name(), **{kind: played(KINDS[kind]) for kind in sys.argv[1:]}}))
