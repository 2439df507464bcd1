"""A summary as text: what `python -m segmodels summary` prints. Loads no Keras."""

from __future__ import annotations

from typing import Any

from segmodels.terminal import table


def summary_text(summary: dict[str, Any], *, layers: bool = False) -> str:
    """Totals, then a table of the stages, or with `layers` of every layer."""
    counts, memory = summary["parameters"], summary["memory"]
    size, padded = summary["image_size"], summary["padded_size"]
    on = "its own encoder" if summary["backbone"] == "none" else summary["backbone"]
    seen = "" if padded == size else f", padded to {padded} x {padded}"
    lines = [
        f"{summary['title']} on {on}, {summary['classes']} classes, one picture of {size} x {size}{seen}",
        f"{summary['paper']}",
        *([summary["note"]] if summary["note"] else []),
        "",
        f"parameters  {counts['total']:,}: backbone {counts['backbone']:,}, rest {counts['rest']:,}; "
        f"{counts['trainable']:,} are trained",
        f"operations  {summary['gflops']:.2f} GFLOPs: {summary['multiply_adds']:,} multiply-adds, two operations each",
        f"predicting  {_megabytes(memory['inference_bytes'])}: weights {_megabytes(memory['weights_bytes'])}, "
        f"feature maps {_megabytes(memory['inference_peak_bytes'])} at most (float32)",
        f"training    {_megabytes(memory['training_bytes'])} with Adam: a further picture in the batch takes "
        f"{_megabytes(memory['activations_bytes'])}",
        *([f"not counted {', '.join(summary['uncounted'])}"] if summary["uncounted"] else []),
        "",
    ]
    if layers:
        rows = [
            {**row, "inputs": ", ".join(row["inputs"]), "output": " x ".join(map(str, row["output_shape"]))}
            for row in summary["layers"]
        ]
        columns = ["name", "kind", "inputs", "output", "parameters", "multiply_adds", "stage"]
    else:
        rows = [{**row, "output": f"{row['height']} x {row['width']} x {row['channels']}"} for row in summary["stages"]]
        columns = ["name", "part", "stride", "output", "parameters", "multiply_adds", "layers"]
    return "\n".join([*lines, table(rows, columns)])


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
