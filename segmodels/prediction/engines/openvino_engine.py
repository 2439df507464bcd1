"""OpenVINO as an engine, of the file that ONNX Runtime takes."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np

from segmodels.errors import UserError
from segmodels.hub.onnx_model import onnx_file
from segmodels.prediction.engines.engine import Forward, threads
from segmodels.training.reporter import Reporter


def open_openvino(folder: Path, reporter: Reporter) -> Forward:
    """The forward pass of a checkpoint in bfloat16 where the processor computes in it (AMX), else in float32.

    Raises:
        UserError: OpenVINO is not installed, or the network has no form in ONNX.
    """
    try:
        import openvino
    except ImportError:
        raise UserError("the engine openvino needs OpenVINO: pip install -r requirements-openvino.txt") from None
    core = openvino.Core()
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads(),
        "INFERENCE_PRECISION_HINT": "bf16" if has_amx() else "f32",
    }
    path = onnx_file(folder, reporter=reporter)
    try:
        model = core.compile_model(core.read_model(str(path)), "CPU", settings)
    except Exception as error:  # of OpenVINO's own, for whatever it cannot compile
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"OpenVINO cannot compile {path} ({reason}): use the engine onnx") from None
    requests = threading.local()  # a request has memory of its own for each thread

    def forward(images: np.ndarray) -> np.ndarray:
        if not hasattr(requests, "own"):
            requests.own = model.create_infer_request()
        return np.array(requests.own.infer([np.ascontiguousarray(images)])[0])

    return forward


def has_amx() -> bool:
    """Whether the processor multiplies matrices of bfloat16 (Intel's AMX), as Linux tells; False elsewhere."""
    try:
        return "amx_bf16" in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        return False
