"""One run as it goes: state, figures, curves, samples, log; drawn from the files of its directory."""

from __future__ import annotations

from typing import Any

import streamlit as st

from segmodels.training.launch import relaunch
from segmodels.training.runs import ALIVE, RESUMABLE, Run
from ui import charts
from ui.frame import in_place, plain
from ui.samples_view import samples_view

#: Seconds between two looks at a run that is alive.
LOOK = 1.5

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
    st.fragment(_live, run_every=LOOK if alive else None)(run, alive)
    with st.expander("Recipe", icon=":material/receipt_long:"):
        with in_place():
            recipe = run.recipe
            st.code(recipe.command(), language="bash", wrap_lines=True)
            st.json(recipe.model_dump(mode="json"), expanded=False)
        st.caption(f"Run directory: {plain(str(run.path))}")
    with st.expander("Log", icon=":material/terminal:"):
        st.code(run.log(60) or "The log is empty so far.", language=None)


def _live(run: Run, was_alive: bool) -> None:
    status = run.status()
    alive = status["state"] in ALIVE
    if was_alive and not alive:
        st.rerun()  # the whole page, which then stops looking
    _head(run, status)
    _buttons(run, status)
    history = run.history()
    _figures(status, history)
    _curves(run, status, history)
    samples_view(run)


def _head(run: Run, status: dict[str, Any]) -> None:
    state = status["state"]
    icon, colour = BADGES.get(state, (":material/help:", "gray"))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(state, icon=icon, color=colour)  # type: ignore[arg-type]
        st.caption(f"{plain(run.id)} · {plain(_device(status))}")
    if status.get("error"):
        st.error(plain(str(status["error"])), icon=":material/error:")
    epochs, epoch, steps = status.get("epochs", 1), status.get("epoch", 0), status.get("steps_per_epoch")
    if state in ALIVE and status.get("waiting_for"):
        st.info(_waiting(status), icon=":material/hourglass_top:")
    elif state in ALIVE:
        done = (max(0, epoch - 1) + status.get("step", 0) / steps) / epochs if steps and epoch else 0.0
        left = status.get("seconds_left")
        text = f"{status.get('phase', 'starting')} · epoch {epoch} of {epochs}"
        text += f" · {duration(left)} left" if left else ""
        st.progress(min(1.0, done), plain(text))


def _device(status: dict[str, Any]) -> str:
    """What it runs on, in which precision, and whether the step is compiled as a whole."""
    parts = [status.get("device") or "waiting for a device", status.get("precision"), status.get("xla") and "XLA"]
    return ", ".join(str(part) for part in parts if part)


def _waiting(status: dict[str, Any]) -> str:
    """What a run in the queue waits for, in Markdown."""
    others = status.get("place") or 1
    line = f" It is number {others} in line." if others > 1 else ""
    return f"Waiting for **{plain(str(status['waiting_for']))}**: a device trains one run at a time.{line}"


def _buttons(run: Run, status: dict[str, Any]) -> None:
    state = status["state"]
    with st.container(horizontal=True), in_place():
        if state in ALIVE and status.get("waiting_for"):
            if st.button(
                "Leave the queue", icon=":material/close:", key=f"leave-{run.id}", help="Resume queues it again"
            ):
                run.request("stop")
                st.toast("Leaving the queue.")
        elif state in ALIVE:
            if st.button("Stop", icon=":material/stop:", key=f"stop-{run.id}", help="End and keep the best epoch"):
                run.request("stop")
                st.toast("Stopping after this step; the best epoch is kept.")
            if st.button("Pause", icon=":material/pause:", key=f"pause-{run.id}", help="Save all and free the device"):
                run.request("pause")
                st.toast("Pausing after this step.")
        elif state in RESUMABLE and st.button(
            "Resume", icon=":material/play_arrow:", key=f"resume-{run.id}", type="primary"
        ):
            relaunch(run)
            st.rerun()
        if run.has_best:
            st.page_link(
                "pages/4_Predict.py",
                label="Predict with its best epoch",
                icon=":material/draw:",
                query_params={"model": run.id},
            )


def _figures(status: dict[str, Any], history: list[dict[str, Any]]) -> None:
    shown = ("val_mean_iou", "val_pixel_accuracy")
    rows = [row for row in history if all(row.get(figure) is not None for figure in shown)]
    best = max(rows, key=lambda row: row["val_mean_iou"], default=None)
    speed = status.get("images_per_second")
    columns = st.columns(4)
    columns[0].metric("Best mean IoU", f"{best['val_mean_iou']:.3f}" if best else "–", help="On the validation part")
    columns[1].metric("Its accuracy", f"{best['val_pixel_accuracy']:.3f}" if best else "–", help="Share of pixels")
    columns[2].metric("Best epoch", f"{best['epoch']}" if best else "–")
    columns[3].metric("Images a second", f"{speed:.1f}" if speed else "–")


def _curves(run: Run, status: dict[str, Any], history: list[dict[str, Any]]) -> None:
    steps = run.steps()
    if not steps:
        if status["state"] in ALIVE and not status.get("waiting_for"):
            st.info("The curves begin with the first step; building the network takes some seconds.")
        return
    along = st.segmented_control(
        "Curves", ["epochs", "steps"], default="steps" if len(history) < 2 else "epochs", required=True,
        key=f"along-{run.id}", label_visibility="collapsed",
    )  # fmt: skip
    per_step = along == "steps"
    figures = {**charts.FIGURES, **(charts.ADVERSARIAL if "discriminator_loss" in steps[-1] else {})}
    rows = [st.columns(3) for _ in range(0, len(figures), 3)]
    for column, figure in zip([column for row in rows for column in row], figures, strict=True):
        if per_step or not history:
            per_epoch = status.get("steps_per_epoch") or max(row["step"] for row in steps)
            drawn = charts.by_step(charts.thin(steps), history, per_epoch, figure, run.id)
        else:
            drawn = charts.by_epoch(history, figure, run.id)
        last = history[-1].get(f"val_{figure}") if history else None
        said = f", validation {last:.3f} after epoch {history[-1]['epoch']}" if last is not None else ""
        column.plotly_chart(
            drawn, key=f"{figure}-{per_step}-{run.id}", config={"displaylogo": False},
            alt=f"{figures[figure]} of training and validation{said}",
        )  # fmt: skip


def duration(seconds: float) -> str:
    """Seconds in words: 45 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
