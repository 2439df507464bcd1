"""What a new run may train on: shown where there is one device, chosen where there are several."""

from __future__ import annotations

import streamlit as st

from segmodels.device import Device, known_devices
from segmodels.training.queue import ahead
from ui.frame import plain

ANY, ALL, CHOSEN = "The first that is free", "All together", "Some"


def choose_device() -> str | None:
    """Say what the run will train on, and for whom it would wait; returns what `launch` takes as devices."""
    here = known_devices()
    chosen = _chosen(here) if len(here) > 1 else None
    if len(here) == 1:
        st.caption(f":material/memory: On {plain(str(here[0]))}")
    keys = [found.key for found in here if chosen in (None, "all") or str(found.number) in (chosen or "").split(",")]
    if waits_for := ahead(keys if chosen is None else [",".join(keys)]).waits_for:
        st.caption(f":material/hourglass_top: A new run waits until {plain(waits_for)} has ended.")
    return chosen


def _chosen(here: list[Device]) -> str | None:
    """One or several devices, as `choose_pool` reads them; None for any."""
    way = st.radio(
        "Devices",
        [ANY, ALL, CHOSEN],
        horizontal=True,
        key="device_use",
        help="Together, each device has its part of every batch; the run learns what it would learn on one.",
    )
    if way == ALL:
        return "all"
    if way == ANY:
        return None
    numbers = [found.number for found in here if found.number is not None]
    chosen = st.multiselect(
        "GPUs" if here[0].kind == "gpu" else "Parts of the CPU",
        numbers,
        format_func=lambda number: f"{number}: {here[number]}",
        placeholder="the first that is free",
        key="devices",
        help="The run has these to itself; several train it together.",
    )
    return ",".join(map(str, chosen)) or None
