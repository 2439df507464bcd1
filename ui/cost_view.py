"""What a training would cost here, measured on a few steps by a process of its own."""

from __future__ import annotations

import shlex
from typing import Any

import streamlit as st

from segmodels import worker
from segmodels.durations import duration
from segmodels.recipe import Recipe
from ui.figures import compact, memory
from ui.frame import plain

#: Where the worker keeps its answers, and the expander whether it is open.
KIND, OPEN = "estimates", "cost-open"
#: Seconds between two looks at the worker, and those that it usually takes.
LOOK, USUAL = 1.0, 25.0


def cost_view(recipe: Recipe) -> None:
    """An expander that measures nothing until it is opened, and stops measuring when it is closed."""
    words = ("estimate", *shlex.split(recipe.command())[4:])
    expander = st.expander("What it costs here", icon=":material/timer:", key=OPEN, on_change="rerun")
    asked = st.session_state.pop("cost-asked", None)
    if asked is not None and (not expander.open or asked != words):
        worker.cancel(KIND, asked, training=True)
    if expander.open:
        with expander:
            running = worker.ask(KIND, words, training=True).state == "running"
            if running:
                st.session_state["cost-asked"] = words
            st.fragment(_look, run_every=LOOK if running else None)(words, running)


def _look(words: tuple[str, ...], was_running: bool) -> None:
    if not st.session_state.get(OPEN):
        st.rerun()  # stopped: the whole page, with the expander closed
    answer = worker.ask(KIND, words, training=True)
    if was_running and answer.state != "running":
        st.rerun()  # the whole page, which then stops looking
    if answer.state == "running":
        text = f"Training a few steps in a process of its own … {answer.seconds:.0f} s"
        st.progress(min(0.95, answer.seconds / USUAL), text)
        st.button("Stop", icon=":material/stop:", key="cost-stop", on_click=_stop, args=(words,))
    elif answer.state == "failed":
        st.error(plain(answer.error), icon=":material/error:")
        st.button("Try again", icon=":material/refresh:", key="cost-again", on_click=_again, args=(words,))
    else:
        _show(answer.document)


def _stop(words: tuple[str, ...]) -> None:
    worker.cancel(KIND, words, training=True)
    st.session_state[OPEN] = False


def _again(words: tuple[str, ...]) -> None:
    worker.cancel(KIND, words, training=True)


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
