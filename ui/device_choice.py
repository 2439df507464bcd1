"""What a new run may train on: shown where there is one device, chosen where there are several GPUs."""

from __future__ import annotations

import streamlit as st

from segmodels.device import known_devices
from segmodels.training.queue import ahead
from ui.frame import plain


def choose_device() -> str | None:
    """Say what the run will train on, and for whom it would wait; returns what `launch` takes as devices."""
    here = known_devices()
    chosen: list[int] = []
    if len(here) > 1:
        numbers = [found.number for found in here if found.number is not None]
        chosen = st.multiselect(
            "GPUs",
            numbers,
            format_func=lambda number: f"{number}: {here[number]}",
            placeholder="any, the first that is free",
            key="devices",
            help="One run has a GPU to itself. It takes the first of these that is free.",
        )
    else:
        st.caption(f":material/memory: On {plain(str(here[0]))}")
    allowed = [found.key for found in here if not chosen or found.number in chosen]
    if waits_for := ahead(allowed).waits_for:
        st.caption(f":material/hourglass_top: A new run waits until {plain(waits_for)} has ended.")
    return ",".join(map(str, chosen)) or None
