"""The frame of every page, and how a page shows what went wrong."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from segmodels.device import device
from segmodels.errors import UserError
from segmodels.training.launch import revive
from ui.hosted import hosted_line

#: The pages in the order of the sidebar: script, name, icon.
PAGES = (
    ("app.py", "Home", ":material/home:"),
    ("pages/1_Browse.py", "Browse", ":material/photo_library:"),
    ("pages/2_Train.py", "Train", ":material/model_training:"),
    ("pages/3_Compare.py", "Compare", ":material/compare:"),
    ("pages/4_Predict.py", "Predict", ":material/draw:"),
    ("pages/5_Models.py", "Models", ":material/deployed_code:"),
)


def page(title: str, icon: str, text: str = "") -> None:
    """Start a page: its tab's title and icon, the sidebar, its heading, one line on what it is for. Call it first."""
    st.set_page_config(
        page_title=title if title == "segmodels" else f"{title} · segmodels", page_icon=icon, layout="wide"
    )
    with st.sidebar:
        for script, name, symbol in PAGES:
            st.page_link(script, label=name, icon=symbol)
        st.caption(f":material/memory: {plain(str(device()))}", help="What training runs on")
    st.title(title)
    if text:
        st.caption(text)
    with in_place():
        hosted_line()
    _settle()
    revive()  # what waits in the queue without a process, as after a new start of the machine


@st.cache_resource(show_spinner=False)
def _settle() -> None:
    """Take what is loaded by now out of the sight of the garbage collector, once.

    Streamlit collects after every drawing, also of a fragment; going through all modules each time cost several times
    what the drawing does.
    """
    gc.collect()
    gc.freeze()


@contextmanager
def in_place() -> Iterator[None]:
    """Show a `UserError` of the block, or that memory was short, as one line where it happened; the rest of the page
    goes on."""
    try:
        yield
    except UserError as error:
        st.error(plain(str(error)), icon=":material/error:")
    except MemoryError:
        st.error("There is not enough memory for this: try something smaller.", icon=":material/error:")


def plain(text: str) -> str:
    """Text that Markdown shows as it stands: names and messages come from files and from users."""
    for character in "\\`*_{}[]()<>#+-!|$~:":
        text = text.replace(character, f"\\{character}")
    return text
