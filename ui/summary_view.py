"""What the chosen network holds and takes, before it is trained; a process of its own builds it, not the server."""

from __future__ import annotations

from functools import partial
from typing import Any

import streamlit as st

from segmodels.models.options import option_text
from ui.figures import compact, memory
from ui.frame import plain
from ui.network_chart import architecture_drawing, said
from ui.worker_view import Question, worker_view


def summary_view(
    architecture: str,
    backbone: str,
    classes: int,
    image_size: int,
    options: dict[str, Any],
    batch_size: int = 1,
    *,
    name: str = "network",
    label: str = "The network",
) -> None:
    """An expander that builds nothing until it is opened.

    Args:
        name: what the keys of its widgets begin with.
    """
    words = _words(architecture, backbone, classes, image_size, options)
    # Nearly all of the time goes into loading Keras.
    question = Question(name, "summaries", words, "Building the network in a process of its own", usual=8.0)
    worker_view(question, partial(_show, batch_size=batch_size), label=label, icon=":material/schema:")


def _words(architecture: str, backbone: str, classes: int, image_size: int, options: dict[str, Any]) -> tuple[str, ...]:
    words = ["summary", "--architecture", architecture, "--backbone", backbone, "--classes", str(classes)]
    words += ["--image-size", str(image_size)]
    for key, value in sorted(options.items()):
        words += ["--option", f"{key}={option_text(value)}"]
    return tuple(words)


def _show(summary: dict[str, Any], batch_size: int) -> None:
    counts, held = summary["parameters"], summary["memory"]
    # Of a batch the feature maps are held once a picture, all else once.
    training = held["training_bytes"] + (batch_size - 1) * held["activations_bytes"]
    size = summary["padded_size"]
    with st.container(horizontal=True, gap="small"):
        _metric(
            "Parameters",
            compact(counts["total"]),
            f"{counts['total']:,}: backbone {counts['backbone']:,}, the rest {counts['rest']:,}",
        )
        _metric(
            "GFLOPs",
            f"{summary['gflops']:.3g}",
            f"Of a picture of {size} x {size} pixels: {summary['multiply_adds']:,} multiply-adds, two operations each; "
            "convolutions and matrix products only",
        )
        _metric(
            "Predicting",
            memory(held["inference_bytes"]),
            f"Memory for one picture, float32: weights {memory(held['weights_bytes'])}, and feature maps of "
            f"{memory(held['inference_peak_bytes'])} at most at once. What the engine takes comes on top.",
        )
        _metric(
            "Training",
            memory(training),
            f"Memory for a batch of {batch_size}, float32, Adam: weights, gradients, moments, outputs of all layers "
            f"({memory(held['activations_bytes'])} a picture). What the engine takes comes on top.",
        )
    if summary["note"]:
        st.caption(plain(summary["note"]))
    st.plotly_chart(
        architecture_drawing(summary), key="network-drawing", alt=said(summary),
        config={"displayModeBar": False, "scrollZoom": False},
    )  # fmt: skip
    st.caption("Lower is smaller, taller is larger, wider has more channels; the number is the channels.")
    _table(summary)
    if summary["uncounted"]:
        st.caption(f"Operations not counted: {plain(', '.join(summary['uncounted']))}")


def _metric(label: str, value: str, text: str) -> None:
    st.metric(label, value, help=text, width=112)  # two in a row, also on a phone


def _table(summary: dict[str, Any]) -> None:
    of = st.segmented_control(
        "Table", ["stages", "layers"], default="stages", required=True, key="network-table",
        label_visibility="collapsed",
    )  # fmt: skip
    if of == "layers":
        rows = [
            {
                "Layer": layer["name"],
                "Output": " x ".join(map(str, layer["output_shape"])),
                "Parameters": layer["parameters"],
                "Multiply-adds": layer["multiply_adds"],
                "Kind": layer["kind"],
                "Stage": layer["stage"],
            }
            for layer in summary["layers"]
        ]
    else:
        rows = [
            {
                "Stage": stage["name"],
                "Output": f"{stage['height']} x {stage['width']} x {stage['channels']}",
                "Parameters": stage["parameters"],
                "Multiply-adds": stage["multiply_adds"],
                "Part": stage["part"],
                "Layers": stage["layers"],
            }
            for stage in summary["stages"]
        ]
    numbers = {name: st.column_config.NumberColumn(format="compact") for name in ("Parameters", "Multiply-adds")}
    st.dataframe(rows, hide_index=True, column_config=numbers, key=f"network-{of}", alt=f"The network's {of}")
