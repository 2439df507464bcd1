"""`measure_speed`: what a trained model costs to use: time, memory and disk, measured on this machine."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from segmodels.data.ahead import cores
from segmodels.device import device
from segmodels.engines import engine_versions
from segmodels.errors import UserError
from segmodels.files import whole
from segmodels.hub.checkpoint import WEIGHTS, build_spec
from segmodels.hub.onnx_model import onnx_file, onnx_logits, onnx_session
from segmodels.prediction.predictor import Predictor
from segmodels.training.reporter import Reporter

#: Seconds after which an engine is not measured again, once it was so often.
LONGEST, FEWEST = 20.0, 3


def measure_speed(
    model: str | Path | Predictor, *, repeats: int = 10, seconds: float = 2.0, reporter: Reporter | None = None
) -> dict[str, Any]:
    """What a model takes here to predict one picture, in Keras and in ONNX Runtime.

    Measured is the network alone: a batch of one random picture at the size of the model's input contract (of tiles one
    tile), from the picture in memory to its logits in memory, once both engines have compiled it. The engines take
    turns, a picture each, so that whatever else the machine does meets both. The ONNX file is made first where there is
    none (`segmodels.hub.onnx_model.onnx_file`).

    Args:
        model: a `Predictor`, a checkpoint directory, a run or its id.
        repeats: how often each engine is measured at least; fewer times where that would take over 20 s.
        seconds: how long the slower engine is measured at least.
        reporter: told how it goes; by default nobody.

    Returns a JSON document:
        model: the checkpoint directory.
        architecture, backbone, image_size: what it is, and the side of the picture in pixels.
        views: in how many it sees a picture, each of which takes as long.
        parameters, gflops: as `segmodels.models.summary` counts them, of one picture.
        checkpoint_bytes, onnx_bytes: of the weights' file and of the ONNX file.
        keras_milliseconds, onnx_milliseconds: medians. ONNX Runtime computes on the processor even where Keras has a
            GPU.
        onnx_error: why there are no figures of ONNX, in one line; `onnx_bytes` and `onnx_milliseconds` are None then.
            Else it is None.
        peak_bytes: the most that was held while Keras compiled the model and predicted the picture, of the GPU, or on
            a CPU of the whole process, engine and weights included; None where that is not known.
        device, engine, threads: what Keras ran on, with its version, and the cores that both engines have.

    Raises:
        UserError: no such model, or a damaged one; under 1 repeat.
    """
    if repeats < 1:
        raise UserError(f"repeats={repeats}: measure once or more often")
    reporter = reporter or Reporter()
    predictor = model if isinstance(model, Predictor) else Predictor(model, engine="keras", reporter=reporter)
    # They load Keras.
    from segmodels.backend import backend_name
    from segmodels.models.summary import figures_of
    from segmodels.training.peak_memory import forget_peak, peak_bytes

    network, size, here, engine = predictor.spec.architecture, predictor.spec.input.size, device(), backend_name()
    counted = figures_of(partial(build_spec, predictor.spec), size)
    picture = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), dtype=np.uint8)
    keras_answers = partial(predictor.logits, picture)
    # Before the ONNX file is made, which takes more memory than any use of the model.
    forget_peak(here.kind)
    for _ in range(2):
        keras_answers()
    peak = peak_bytes(here.kind)

    onnx_bytes, onnx_error, answers = None, None, [keras_answers]
    try:
        path = onnx_file(predictor, reporter=reporter)
        onnx_bytes = path.stat().st_size
        answers.append(partial(onnx_logits, onnx_session(path, cores()), picture))
    except UserError as error:
        onnx_bytes, onnx_error = None, str(error)
    milliseconds = [1000 * each for each in _in_turns(answers, repeats, seconds, reporter)]
    return {
        "model": str(predictor.path),
        "architecture": network.name,
        "backbone": network.backbone,
        "image_size": size,
        "views": len(predictor.views()),
        "parameters": counted["parameters"]["total"],
        "gflops": counted["gflops"],
        "checkpoint_bytes": (whole(predictor.path) / WEIGHTS).stat().st_size,
        "keras_milliseconds": milliseconds[0],
        "onnx_milliseconds": None if onnx_error else milliseconds[1],
        "onnx_error": onnx_error,
        "onnx_bytes": onnx_bytes,
        "peak_bytes": peak,
        "device": str(here),
        "engine": " ".join(filter(None, (engine, engine_versions().get(engine)))),
        "threads": cores(),
    }


def _in_turns(acts: Sequence[Callable[[], Any]], repeats: int, seconds: float, reporter: Reporter) -> list[float]:
    """The median seconds that each takes, one after the other in every round, after two rounds to warm up."""
    _round(acts)
    slowest = max(_round(acts))
    rounds = max(repeats, math.ceil(seconds / slowest))
    rounds = max(FEWEST, min(rounds, math.ceil(LONGEST / slowest)))
    found = []
    for done in range(1, rounds + 1):
        found.append(_round(acts))
        reporter.progress(done, rounds, "measuring")
    return np.median(found, axis=0).tolist()


def _round(acts: Sequence[Callable[[], Any]]) -> list[float]:
    """The seconds of each, done once."""
    found = []
    for act in acts:
        began = time.perf_counter()
        act()
        found.append(time.perf_counter() - began)
    return found
