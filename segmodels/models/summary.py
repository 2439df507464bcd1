"""`summarise`: what a network costs before it is trained: parameters, operations, memory, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from segmodels.backend import keras
from segmodels.errors import UserError
from segmodels.models.architectures import architecture_row, checked_options, default_backbone
from segmodels.models.build import build
from segmodels.models.summary_cost import multiply_adds
from segmodels.models.summary_graph import PICTURE, Step, execution, live_elements
from segmodels.models.summary_stages import describe_stages, stage_names
from segmodels.models.weightless import weightless

SMALLEST, LARGEST = 32, 4096
#: Bytes of a float32.
BYTES = 4


def summarise(
    architecture: str, *, classes: int, backbone: str | None = None, image_size: int = 256, **options: Any
) -> dict[str, Any]:
    """What the network of `build(architecture, …)` holds and takes for one picture of `image_size` x `image_size`.

    No weight is made and nothing is computed, so a network of any size is summed up within a second. Sizes are those
    after padding to the network's stride.

    Returns a JSON document:
        architecture, backbone, title, paper, note, classes, image_size, padded_size, options: what was asked for.
        parameters: `total`, `trainable`, those of the `backbone` and the `rest`.
        multiply_adds, gflops: of one picture. One multiply-add is two floating-point operations, and giga is 10^9, so
            `gflops` is 2 x `multiply_adds` / 10^9. Only convolutions and matrix products count, see
            `segmodels.models.summary_cost`; `uncounted` names the layers whose products are not known.
        memory: in bytes of float32, for one picture. `weights_bytes`; `inference_peak_bytes`, the most that feature
            maps take at once while predicting, each held from the layer that makes it to the last that reads it, with
            no layer fused or done in place (`live_elements`); `inference_bytes`, both together; `activations_bytes`,
            the outputs of all layers, which the backward pass needs; `training_bytes`, these, the weights, and for
            each trainable one a gradient and Adam's two moments. Of a batch of n the weights, gradients and moments
            are held once, the feature maps n times. What an engine itself takes comes on top.
        layers: in the order in which they run: `name, kind, inputs` (names; `images` is the picture), `output_shape`
            (height, width, channels), `parameters, multiply_adds, stage`.
        stages, edges: the same for a drawing, see `segmodels.models.summary_stages`.

    Raises:
        UserError: what `build` raises, and a size out of 32 to 4096.
    """
    if isinstance(image_size, bool) or not isinstance(image_size, int) or not SMALLEST <= image_size <= LARGEST:
        raise UserError(f"image_size={image_size!r}: must be a whole number from {SMALLEST} to {LARGEST}")
    row = architecture_row(architecture)
    backbone = default_backbone(architecture) if backbone is None else backbone
    checked = checked_options(architecture, backbone, options).model_dump(mode="json")
    make = partial(build, architecture, classes=classes, backbone=backbone, **options)
    return {
        "architecture": architecture,
        "backbone": backbone,
        "title": row.title,
        "paper": row.paper,
        "note": row.note(backbone),
        "classes": classes,
        "image_size": image_size,
        "options": {key: checked[key] for key in options},
        **figures_of(make, image_size),
    }


def figures_of(make: Callable[[], keras.Model], image_size: int) -> dict[str, Any]:
    """All of a summary that follows from the layers of the network that `make` builds; see `summarise`."""
    steps, counted = weightless(lambda: _steps(make, image_size))
    return _figures(steps, counted, image_size)


def _steps(make: Callable[[], keras.Model], image_size: int) -> tuple[list[Step], dict[str, int]]:
    model = make()
    trainable = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    return execution(model, image_size), {"total": model.count_params(), "trainable": trainable}


def _figures(steps: list[Step], counted: dict[str, int], image_size: int) -> dict[str, Any]:
    """All of a summary that follows from the layers."""
    parameters, seen = [], set()
    for step in steps:
        weights = [weight for weight in getattr(step.layer, "weights", []) if id(weight) not in seen]
        seen |= {id(weight) for weight in weights}  # a layer that runs twice has its weights once
        parameters.append(sum(math.prod(weight.shape) for weight in weights))
    costs = [multiply_adds(step.layer, step.input_shapes, step.output_shapes) for step in steps]
    known = [cost or 0 for cost in costs]
    padded = next((step.output_shapes[0][1] for step in steps if step.name == "pad"), image_size)
    stage = stage_names(steps, padded)
    stages, edges = describe_stages(steps, stage, parameters, known, padded)
    inner = sum(own for step, own in zip(steps, parameters, strict=True) if step.inner)
    peak = live_elements(steps, picture=image_size * image_size * 3)
    kept = sum(step.elements for step in steps)
    return {
        "padded_size": padded,
        "parameters": {**counted, "backbone": inner, "rest": counted["total"] - inner},
        "multiply_adds": sum(known),
        "gflops": 2 * sum(known) / 1e9,
        "uncounted": [step.name for step, cost in zip(steps, costs, strict=True) if cost is None],
        "memory": {
            "weights_bytes": BYTES * counted["total"],
            "inference_peak_bytes": BYTES * peak,
            "inference_bytes": BYTES * (counted["total"] + peak),
            "activations_bytes": BYTES * kept,
            "training_bytes": BYTES * (counted["total"] + 3 * counted["trainable"] + kept),
        },
        "layers": [
            {
                "name": step.name,
                "kind": step.kind,
                "inputs": ["images" if made == PICTURE else steps[made].name for made in step.inputs],
                "output_shape": list(step.output_shapes[0][1:]),
                "parameters": parameters[i],
                "multiply_adds": known[i],
                "stage": stage[i],
            }
            for i, step in enumerate(steps)
        ],
        "stages": stages,
        "edges": edges,
    }
