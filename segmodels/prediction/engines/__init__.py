"""What computes a network's answer: Keras, ONNX Runtime or OpenVINO.

`ENGINES` is the table of them. Each is opened for a checkpoint and is then a function from pictures to logits.
"""

from __future__ import annotations

from pathlib import Path

from segmodels.device import device
from segmodels.prediction.engines.engine import Engine, Forward
from segmodels.prediction.engines.keras_engine import open_keras
from segmodels.prediction.engines.onnx_engine import is_made, open_onnx
from segmodels.prediction.engines.openvino_engine import open_openvino

__all__ = ["ENGINES", "Engine", "Forward", "suited"]

#: By the name that the command line uses. Adding an engine is one file and an entry here.
ENGINES: dict[str, Engine] = {
    "keras": Engine("Keras on TensorFlow or JAX, on a GPU where there is one", open_keras),
    "onnx": Engine("ONNX Runtime on the processor, from a file that is made once", open_onnx, fixed=True),
    "openvino": Engine(
        "OpenVINO on the processor, from the same file; in bfloat16 where the processor has AMX", open_openvino,
        fixed=True, packages=("openvino",),
    ),
}  # fmt: skip


def suited(model: Path) -> str:
    """The engine that answers soonest for a checkpoint directory as things are: on a processor ONNX Runtime where the
    file it needs is there, else Keras."""
    return "onnx" if device().kind == "cpu" and is_made(model) else "keras"
