"""The mask viewer: a picture under its masks, in the browser and without reruns.

`viewer` draws one. It is a Streamlit component of plain JavaScript: the `.js` files here are the parts of one module,
each on one idea, put together in the order of `PARTS`.
"""

from __future__ import annotations

import base64
import binascii
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import streamlit as st

from segmodels.data.tiles import Tiles
from segmodels.errors import UserError
from ui.viewer.message import Heat, Layer, Picture, pack, pack_part, with_settings
from ui.viewer.parts import script, style

__all__ = ["Click", "Heat", "Layer", "Picture", "Seen", "viewer"]

#: The parts of the module; `viewer.js` has its one export.
PARTS = (
    "decode", "picture", "sources", "overlays", "camera", "draw", "detail", "tiles", "gestures", "controls", "readout",
    "edit", "viewer",
)  # fmt: skip

_component = st.components.v2.component(
    "segmodels_viewer",
    html='<div data-viewer class="viewer"></div>',
    css=style(),
    js=script(*PARTS),
)


@dataclass(frozen=True)
class Click:
    """A click into the picture.

    Attributes:
        x: column in pixels of the picture.
        y: row.
        classes: the class id there, by layer.
        instance: the object's number in the first layer; 0 where there is none, None where it numbers none.
    """

    x: int
    y: int
    classes: dict[str, int]
    instance: int | None


@dataclass(frozen=True)
class Seen:
    """What a viewer reports in this rerun.

    Attributes:
        clicked: where somebody clicked.
        saved: the first layer's mask as it was corrected, uint8 `(height, width)`.
    """

    clicked: Click | None = None
    saved: np.ndarray | None = None


def viewer(
    load: Callable[[], Picture],
    *,
    shows: str,
    key: str,
    link: str | None = None,
    edits: str | None = None,
    clicks: bool = False,
    tiles: Tiles | None = None,
    compact: bool = False,
    opacity: float = 0.5,
    layout: Literal["one", "swipe", "side"] = "one",
    first: int = 0,
    second: int = 1,
    focus: tuple[int, int, int, int] | None = None,
) -> Seen:
    """Draw a picture with its masks.

    Args:
        load: gives them; called where `shows` was not drawn before.
        shows: says what is shown, such as the data set, the sample, the times of its files and whether it is edited: it
            is loaded anew when this changes, and only then.
        key: of the component, one on a page.
        link: viewers with the same link look at the same part of their pictures.
        edits: names the mask of the first layer, which can then be corrected and saved: what is painted stays as long
            as this does, whatever else is shown with it.
        clicks: report clicks, each of which is a rerun.
        tiles: into which the picture is cut, drawn over it.
        compact: one of several beside each other: the picture first, so that all stand on one line, and fewer controls,
            below it.
        opacity: of the masks at first, 0 to 1.
        layout: at first: one picture, two overlays parted by a line, or two side by side. This, `opacity`, `first` and
            `second` hold until somebody chooses otherwise, for the pictures that follow too.
        first: which of the overlays is shown at first: the layers, then the errors of each where truth is known, then
            where two differ, then the heats.
        second: which is shown beside it, where two are.
        focus: left, top, width and height in pixels of a part that has a frame; the view moves there where it is out of
            sight or small.

    Raises:
        UserError: as `load` does, or a mask that is not of the picture's size.
    """
    settings = {
        "key": shows, "link": link, "edits": edits, "clicks": clicks, "compact": compact,
        "tiles": tiles and {"size": tiles.size, "lefts": tiles.lefts.tolist(), "tops": tiles.tops.tolist()},
        "focus": focus and dict(zip(("x", "y", "width", "height"), focus, strict=True)),
        "show": {"opacity": opacity, "mode": layout, "first": first, "second": second},
    }  # fmt: skip
    window = _window(st.session_state.get(key), shows)
    packed = _part(shows, window, load) if window else _whole(shows, load)
    result = _component(
        key=key,
        data=with_settings(packed, settings),
        on_clicked_change=_nothing,
        on_saved_change=_nothing,
        on_window_change=_nothing,
    )
    return Seen(_click(result.get("clicked"), shows), _mask(result.get("saved"), edits))


def _nothing() -> None:
    """A state that has a callback is one that the component may set."""


# Of a session: a picture that somebody uploaded is forgotten with it.
@st.cache_data(max_entries=16, show_spinner=False, scope="session")
def _whole(shows: str, _load: Callable[[], Picture]) -> bytes:
    return pack(_load())


@st.cache_data(max_entries=16, show_spinner=False, scope="session")
def _part(shows: str, window: tuple[float, float, float, float], _load: Callable[[], Picture]) -> bytes:
    return pack_part(_load(), window)


def _window(state: Any, shows: str) -> tuple[float, float, float, float] | None:
    """The part of this picture that a browser asked for; it may have sent anything."""
    try:
        asked = state["window"]
        if asked["key"] != shows:
            return None
        numbers = tuple(min(max(float(asked[name]), -1e7), 1e7) for name in ("x", "y", "width", "height"))
    except (KeyError, TypeError, ValueError):
        return None
    return None if any(map(math.isnan, numbers)) else numbers  # type: ignore[return-value]


def _click(reported: Any, shows: str) -> Click | None:
    """Where a browser says that somebody clicked."""
    try:
        if reported["key"] != shows:
            return None
        classes = {str(name): int(value) for name, value in reported["classes"].items()}
        instance = None if reported["instance"] is None else int(reported["instance"])
        return Click(int(reported["x"]), int(reported["y"]), classes, instance)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _mask(reported: Any, edits: str | None) -> np.ndarray | None:
    """What a browser sent as a mask; it may be anything."""
    if not isinstance(reported, dict) or edits is None:
        return None
    if reported.get("key") != edits:
        raise UserError("the mask that was saved is of another picture: open that again and save it there")
    try:
        height, width = int(reported["height"]), int(reported["width"])
        if min(height, width) < 1 or height * width > 2**26:
            raise ValueError
        packed = base64.b64decode(reported["mask"], validate=True)
        unpacked = zlib.decompressobj()
        values = unpacked.decompress(packed, height * width)
        if len(values) != height * width or unpacked.decompress(unpacked.unconsumed_tail, 1):
            raise ValueError
    except (KeyError, TypeError, ValueError, binascii.Error, zlib.error):
        raise UserError("the corrected mask did not arrive whole: save it again") from None
    return np.frombuffer(values, np.uint8).reshape(height, width).copy()
