"""A model made ready for many pictures: with the engine that answers soonest, whose file is made first."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from segmodels.device import device
from segmodels.engines import chosen_engine
from segmodels.errors import UserError
from segmodels.hub.onnx_model import PACKAGES
from segmodels.prediction.predictor import AUTO, Predictor
from segmodels.training.reporter import Reporter


def ready_predictor(model: str | Path, engine: str = AUTO, reporter: Reporter | None = None) -> Predictor:
    """The predictor of a model. With no engine named, on a processor, its ONNX file is made first, once: from then on
    every picture takes half the time. Where it cannot be made Keras does. Raises `UserError` as `Predictor` does."""
    makes = chosen_engine() == "tensorflow" and all(importlib.util.find_spec(name) for name in PACKAGES)
    if engine == AUTO and makes and device().kind == "cpu":
        try:
            return Predictor(model, engine="onnx", reporter=reporter)
        except UserError:  # of the file; if it is of the model, Keras says so
            return Predictor(model, engine="keras")
    return Predictor(model, engine=engine, reporter=reporter)
