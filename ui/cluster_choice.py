"""A Ray cluster, and what of it each piece of work gets."""

from __future__ import annotations

import os

import streamlit as st

from segmodels.cluster.connection import ADDRESS
from segmodels.training.placed import Resources

#: The cluster that was started on this machine.
HERE = "auto"


def choose_cluster(key: str, each: str, before: Resources | None = None, *, own: bool = False) -> Resources:
    """Widgets for it.

    Args:
        key: of the widgets; each place on a page has its own.
        each: what a piece of work is called, such as "run".
        before: what they begin with.
        own: without an address, for a Ray of the work's own on this machine.
    """
    before, address = before or Resources(), None
    if not own:
        address = st.text_input(
            "Address", before.address or os.environ.get(ADDRESS, HERE), key=f"{key}-address",
            help="HOST:PORT of its head, of which this machine is a node; auto is the one that `ray start --head` "
            "started here",
        )  # fmt: skip
        address = address.strip() or HERE
    with st.container(horizontal=True):
        cpus = st.number_input(
            f"Processors a {each}", 1, 1024, before.cpus, key=f"{key}-cpus", placeholder="all, or a GPU's part",
            help=f"Fewer let more of them go at a time: what one {each} gets, the others wait for",
        )  # fmt: skip
        gpus = st.number_input(
            f"GPUs a {each}", 0, 64, before.gpus, key=f"{key}-gpus", placeholder="1 if there is any",
        )  # fmt: skip
    return Resources(address=address, cpus=cpus, gpus=gpus)
