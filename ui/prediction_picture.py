"""A picture that is to be predicted: what it is called, how it is read, and the truth where that is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import streamlit as st

from segmodels.data.dataset import ClassLabel
from segmodels.data.images import page_count

#: The page of a file of several, in the address, from 1.
PAGE = "tiff-page"


@dataclass(frozen=True)
class Chosen:
    """A picture that somebody gave, not read yet.

    Attributes:
        label: what it is called.
        identity: says which it is: of another picture it is another.
        read: its bytes as a file has them, or uint8 RGB `(height, width, 3)`; raises `UserError`.
        truth: its mask where that is known, uint8 `(height, width)`, and the classes of that.
        classes: of the truth.
        page: of a file of several pages, from 0.
        in_file: whether it is a file that may have pages.
    """

    label: str
    identity: str
    read: Callable[[], bytes | np.ndarray]
    truth: Callable[[], np.ndarray] | None = None
    classes: Sequence[ClassLabel] = ()
    page: int = 0
    in_file: bool = False

    @property
    def key(self) -> tuple[str, int]:
        """Which picture of which file it is."""
        return self.identity, self.page

    def truth_for(self, labels: Sequence[ClassLabel]) -> np.ndarray | None:
        """Its mask where it is of a model's classes: else its numbers mean other things."""
        same = [label.name for label in labels] == [label.name for label in self.classes]
        return self.truth() if self.truth is not None and same else None


def choose_page(chosen: Chosen) -> Chosen:
    """A box for the page of a file of several; it is in the address. `UserError` where the file cannot be read."""
    content = chosen.read() if chosen.in_file else None
    pages = page_count(content) if isinstance(content, bytes) else 1
    if pages < 2:
        st.query_params.pop(PAGE, None)
        return chosen
    key = f"{PAGE}-{chosen.identity}"
    asked = st.query_params.get(PAGE, "")
    if key not in st.session_state:
        st.session_state[key] = min(int(asked[:9]), pages) if asked.isdecimal() and int(asked[:9]) > 0 else 1
    number = int(st.number_input(f"Page, of {pages}", 1, pages, key=key, width=160))
    st.query_params[PAGE] = str(number)
    return replace(chosen, page=number - 1)
