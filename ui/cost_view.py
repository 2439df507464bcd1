"""What a training would cost here, measured on a few steps by a process of its own."""

from __future__ import annotations

import shlex
from typing import Any

import streamlit as st

from segmodels.durations import duration
from segmodels.recipe import Recipe
from ui.figures import compact, memory
from ui.frame import plain
from ui.worker_view import Question, worker_view


def cost_view(recipe: Recipe) -> None:
    """An expander that measures once it is opened."""
    words = ("estimate", *shlex.split(recipe.command())[4:])
    doing = "Training a few steps in a process of its own"
    question = Question("cost", "estimates", words, doing, usual=25.0, training=True)
    worker_view(question, _show, label="What it costs here", icon=":material/timer:")


def _show(found: dict[str, Any]) -> None:
    counts, batch = found["parameters"], found["batch_size"]
    what = "tiles" if found["sampling"] == "tiles" else "pictures"
    about = "at most " if found["at_most"] else "about " if found["extrapolated"] else ""
    figures = [
        ("Parameters", compact(counts["total"]), f"{counts['total']:,}, of them {counts['trainable']:,} trainable"),
        (
            "Memory",
            memory(found["training_bytes_estimate"]),
            f"Estimated; {memory(found['memory_available'])} are free"
            + (f". The steps measured took {memory(found['peak_bytes'])}" if found["peak_bytes"] else ""),
        ),
    ]
    if found["fits"]:
        figures += [
            (
                "An epoch",
                duration(found["epoch_seconds"]),
                f"{about}{found['images']:,} {what} in {found['steps_per_epoch']:,} steps of {batch}, each "
                f"{found['step_seconds']:.3g} s, and {found['validation_images']:,} to validate on",
            ),
            (
                "In all",
                duration(found["total_seconds"]),
                f"{found['epochs']} epochs, and {duration(found['compile_seconds'])} to compile; preparing the data, "
                "once, comes on top",
            ),
        ]
    with st.container(horizontal=True, gap="small"):
        for label, value, help in figures:
            st.metric(label, value, help=help, width=150)
    if not found["fits"]:
        fitting = found["fitting_batch_size"]
        instead = f"a batch size of {fitting} should fit" if fitting else "try a smaller image size or network"
        st.warning(f"That is more memory than is free: {instead}.", icon=":material/memory:")
    if not found["alone"]:
        st.caption(":material/info: Another run was training on the device meanwhile: alone it is faster.")
    st.caption(f"Measured on {plain(found['device'])}, {found['precision']}.")
