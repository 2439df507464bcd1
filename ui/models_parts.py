"""Small parts that the list of models and a model's own view share."""

from __future__ import annotations

import html
from collections.abc import Sequence
from datetime import datetime

import streamlit as st

from segmodels.data.dataset import ClassLabel
from ui.frame import plain
from ui.models_glance import Glance

#: Where a model is from: what a person calls it, its icon and colour.
KINDS = {
    "here": ("on this computer", ":material/hard_drive:", "gray"),
    "pulled": ("from the Hub", ":material/cloud_download:", "blue"),
    "run": ("best epoch of a run", ":material/model_training:", "green"),
}


def legend(labels: Sequence[ClassLabel], most: int) -> None:
    """Classes with their colours; of what is not this module's own only escaped text, and colours that were checked."""
    entries = [
        '<span style="white-space: nowrap; margin-right: 0.9em"><span style="display: inline-block; width: 0.75em; '
        "height: 0.75em; border-radius: 2px; border: 1px solid rgba(128, 128, 128, 0.6); margin-right: 0.3em; "
        f'background: {label.colour}" aria-hidden="true"></span>{html.escape(label.name[:40])}</span>'
        for label in labels[:most]
    ]
    if len(labels) > most:
        entries.append(f"and {len(labels) - most} more")
    st.html(f'<div style="font-size: 0.85rem; display: flex; flex-wrap: wrap">{"".join(entries)}</div>')


def unlinked(text: str) -> str:
    """A stranger's text that Markdown shows as it stands, and makes no link of: a bare address would be one.

    Not for names that people copy: it has letters in between that are not seen.
    """
    text = text.replace("://", ":\u200b//").replace("www.", "www\u200b.").replace("@", "@\u200b")
    return plain(text)


def kind_badge(seen: Glance) -> None:
    """Where it is from."""
    text, icon, colour = KINDS[seen.model.kind]
    st.badge(text, icon=icon, color=colour)  # type: ignore[arg-type]


def date(seconds: float) -> str:
    """A day for people; a dash where it is not known."""
    try:
        return f"{datetime.fromtimestamp(seconds):%Y-%m-%d}" if seconds > 0 else "–"
    except (OverflowError, OSError, ValueError):
        return "–"


def size(count: int) -> str:
    """Bytes as kB, MB or GB, of 1000 each."""
    for factor, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count} bytes"


def facts(seen: Glance) -> str:
    """Figure, size and date in a line of Markdown."""
    figure = f"mean IoU **{seen.mean_iou:.3f}**" if seen.mean_iou is not None else "no figure"
    return f"{figure} · {plain(size(seen.size))} · {plain(date(seen.when))}"
