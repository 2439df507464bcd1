"""The verbs of trained models: `speed`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from segmodels.data.disk import megabytes
from segmodels.terminal import Terminal, table


def add_verbs(add: Callable[..., argparse.ArgumentParser], verbs: Any) -> None:
    """Add `speed`; `add(group, name, verb, text)` makes one."""
    speed = add(verbs, "speed", _speed, "what a model costs to use here: time a picture, memory and disk")
    speed.add_argument("model", metavar="MODEL", help="a checkpoint directory, a run, or hf://owner/name@revision")


def _speed(parsed: argparse.Namespace) -> tuple[Any, str]:
    from segmodels.prediction.speed import measure_speed

    terminal = Terminal()
    try:
        document = measure_speed(parsed.model, reporter=terminal)
    finally:
        terminal.close()
    return document, speed_text(document)


def speed_text(document: dict[str, Any]) -> str:
    """The document of `measure_speed` as a table."""
    on = "" if document["backbone"] == "none" else f" on {document['backbone']}"
    size, peak = document["image_size"], document["peak_bytes"]
    figures = {
        "parameters": f"{document['parameters']:,}",
        "operations": f"{document['gflops']:.3g} GFLOPs",
        "Keras": _time(document["keras_milliseconds"]),
        "ONNX Runtime": _onnx(document),
        "most memory": "not known" if peak is None else f"{megabytes(peak)} in use while Keras predicts",
        "weights": megabytes(document["checkpoint_bytes"]),
        "ONNX file": "-" if document["onnx_bytes"] is None else megabytes(document["onnx_bytes"]),
        "measured on": f"{document['device']}; {document['engine']}, {document['threads']} threads",
    }
    rows = [{"one picture": name, "takes": value} for name, value in figures.items()]
    return f"{document['model']}: {document['architecture']}{on}, {size} x {size} pixels\n\n" + table(
        rows, ["one picture", "takes"]
    )


def _onnx(document: dict[str, Any]) -> str:
    if document["onnx_error"]:
        return f"not measured: {document['onnx_error']}"
    times = document["keras_milliseconds"] / document["onnx_milliseconds"]
    return f"{_time(document['onnx_milliseconds'])} on the CPU, {times:.2g} times as fast"


def _time(milliseconds: float) -> str:
    return f"{milliseconds:.3g} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.3g} s"
