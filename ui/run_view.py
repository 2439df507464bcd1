"""One run as it goes: state, figures, curves, pictures, log; drawn from the files of its directory."""

from __future__ import annotations

from typing import Any

import streamlit as st

from segmodels.durations import duration
from segmodels.training.runs import ALIVE, Run
from ui.curves_view import curves_view
from ui.epoch_view import epoch_view
from ui.figures import memory
from ui.frame import in_place, plain
from ui.run_actions import run_actions
from ui.run_record import run_record

#: Seconds between two looks at a run that is alive: at its state, its curves, and what an epoch or a line adds.
LOOK, CURVES, EPOCHS = 1.0, 1.5, 4.0

BADGES = {
    "queued": (":material/schedule:", "gray"),
    "running": (":material/play_circle:", "blue"),
    "paused": (":material/pause_circle:", "orange"),
    "stopped": (":material/stop_circle:", "orange"),
    "finished": (":material/check_circle:", "green"),
    "failed": (":material/error:", "red"),
    "interrupted": (":material/power_off:", "red"),
}


def run_view(run: Run) -> None:
    """Draw a run; while a trainer is at work the view looks again by itself, and stops when the run has ended."""
    alive = run.state in ALIVE
    st.fragment(_head, run_every=LOOK if alive else None)(run, alive)
    run_actions(run, run.status())
    st.fragment(_curves, run_every=CURVES if alive else None)(run)
    st.fragment(_epochs, run_every=EPOCHS if alive else None)(run)
    st.fragment(_log, run_every=EPOCHS if alive else None)(run)
    with in_place():
        run_record(run)


def _head(run: Run, was_alive: bool) -> None:
    status = run.status()
    state = status["state"]
    waits = bool(status.get("waiting_for"))
    if was_alive and (state not in ALIVE or waits != st.session_state.get(f"waits-{run.id}", waits)):
        st.session_state.pop(f"waits-{run.id}", None)
        st.rerun()  # the whole page, which then stops looking, or has other buttons
    st.session_state[f"waits-{run.id}"] = waits
    icon, colour = BADGES.get(state, (":material/help:", "gray"))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(state, icon=icon, color=colour)  # type: ignore[arg-type]
        st.caption(f"{plain(run.id)} · {plain(_device(status))}")
    if status.get("error"):
        st.error(plain(str(status["error"])), icon=":material/error:")
    epochs, epoch, steps = status.get("epochs") or 1, status.get("epoch") or 0, status.get("steps_per_epoch")
    if state in ALIVE and waits:
        st.info(_waiting(status), icon=":material/hourglass_top:")
    elif state in ALIVE:
        done = (max(0, epoch - 1) + (status.get("step") or 0) / steps) / epochs if steps and epoch else 0.0
        left = status.get("seconds_left")
        text = f"{status.get('phase', 'starting')} · epoch {epoch} of {epochs}"
        text += f" · {duration(left)} left" if left else ""
        st.progress(min(1.0, max(0.0, done)), plain(text))
    _figures(run, status)


def _device(status: dict[str, Any]) -> str:
    """What it runs on, in which precision, and whether the step is compiled as a whole."""
    parts = [status.get("device") or "waiting for a device", status.get("precision"), status.get("xla") and "XLA"]
    return ", ".join(str(part) for part in parts if part)


def _waiting(status: dict[str, Any]) -> str:
    """What a run in the queue waits for, in Markdown."""
    others = status.get("place") or 1
    line = f" It is number {others} in line." if others > 1 else ""
    return f"Waiting for **{plain(str(status['waiting_for']))}**: a device trains one run at a time.{line}"


def _figures(run: Run, status: dict[str, Any]) -> None:
    shown = ("val_mean_iou", "val_pixel_accuracy")
    rows = [row for row in run.history() if all(row.get(figure) is not None for figure in shown)]
    best = max(rows, key=lambda row: row["val_mean_iou"], default=None)
    speed, peak, use = (status.get(name) for name in ("images_per_second", "peak_memory_bytes", "gpu_use"))
    figures = [
        ("Best mean IoU", f"{best['val_mean_iou']:.3f}" if best else "–", "On the validation part"),
        ("Its accuracy", f"{best['val_pixel_accuracy']:.3f}" if best else "–", "Share of pixels"),
        ("Best epoch", str(best.get("epoch")) if best else "–", "The one that is kept"),
        ("Images a second", f"{speed:.1f}" if isinstance(speed, (int, float)) else "–", "Of the training"),
        ("Memory", memory(peak) if isinstance(peak, int) else "–", "The most that the trainer had to itself"),
    ]
    if isinstance(use, (int, float)):
        used = status.get("gpu_memory_bytes")
        held = f"; {memory(used)} of its memory in use" if isinstance(used, int) else ""
        figures.append(("GPU", f"{100 * use:.0f} %", f"Its load at the moment{held}"))
    with st.container(horizontal=True, gap="small"):
        for label, value, help in figures:
            st.metric(label, value, help=help, width=130)


def _curves(run: Run) -> None:
    with in_place():
        curves_view(run)


def _epochs(run: Run) -> None:
    epoch_view(run)


def _log(run: Run) -> None:
    with st.expander("Log", icon=":material/terminal:"):
        st.code(run.log(60) or "The log is empty so far.", language=None)
