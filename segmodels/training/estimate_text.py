"""An estimate as text. Loads no Keras."""

from __future__ import annotations

from typing import Any

from segmodels.durations import duration


def estimate_text(document: dict[str, Any]) -> str:
    """The document of `estimate` in a few lines."""
    counts, batch = document["parameters"], document["batch_size"]
    lines = {
        "network": f"{counts['total']:,} parameters, {counts['trainable']:,} of them trainable; "
        f"{document['gflops']:.3g} GFLOPs a picture",
        "memory": _memory(document),
        "epoch": f"{_images(document)} in {document['steps_per_epoch']:,} steps of {batch}, "
        f"{document['validation_images']:,} to validate on",
    }
    if document["fits"]:
        step, compiling = document["step_seconds"], document["compile_seconds"]
        lines["epoch"] += f": about {duration(document['epoch_seconds'])}"
        lines["step"] = f"{step:.3g} s, {batch / step:.3g} of them a second; compiling takes {duration(compiling)}"
        lines["training"] = f"{document['epochs']:,} epochs: about {duration(document['total_seconds'])}"
    lines["device"] = f"{document['device']}, {document['precision']}"
    if not document["alone"]:
        lines["note"] = "another run was training on the device meanwhile: alone it is faster"
    return "\n".join(f"{name:<10}{line}" for name, line in lines.items())


def _images(document: dict[str, Any]) -> str:
    about = "at most " if document["at_most"] else "about " if document["extrapolated"] else ""
    what = "tiles" if document["sampling"] == "tiles" else "pictures"
    return f"{about}{document['images']:,} {what}"


def _memory(document: dict[str, Any]) -> str:
    """What a training takes, what there is, and what to do where that is less."""
    needed, there = document["training_bytes_estimate"] / 1e9, document["memory_available"] / 1e9
    text = f"about {needed:.1f} GB of the {there:.1f} GB that are free"
    if document["fits"]:
        peak = document["peak_bytes"]
        return f"{text}; the steps measured took {peak / 1e9:.1f} GB" if peak else text
    fitting = document["fitting_batch_size"]
    instead = f"--batch-size {fitting} should fit" if fitting else "try a smaller --image-size, or a smaller network"
    return f"{text}, which is too little: {instead}"
