"""ONNX Runtime as an engine, of a file that is made once and kept (`segmodels.hub.onnx_model`)."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from pathlib import Path

from segmodels.errors import UserError
from segmodels.hub.onnx_model import kept_onnx_file, onnx_file, onnx_logits, onnx_session
from segmodels.prediction.engines.engine import Forward, threads
from segmodels.training.reporter import Reporter


def open_onnx(folder: Path, reporter: Reporter) -> Forward:
    """The forward pass of a checkpoint; its file is made first where there is none, and then compared with Keras.

    One that is kept in the home and was damaged there is made anew; one beside the checkpoint is its owner's to remove.
    """
    path = onnx_file(folder, reporter=reporter)
    try:
        session = onnx_session(path, threads())
    except UserError:
        if path.parent == folder:
            raise
        path.unlink(missing_ok=True)
        session = onnx_session(onnx_file(folder, reporter=reporter), threads())
    return partial(onnx_logits, session)


def is_made(folder: Path) -> bool:
    """Whether the file of a checkpoint is there, and ONNX Runtime to use it."""
    return find_spec("onnxruntime") is not None and kept_onnx_file(folder) is not None
