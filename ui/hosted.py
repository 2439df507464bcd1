"""What a visitor of a hosted app is told, and how much of it one visit may take (`segmodels.hosted`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import streamlit as st

from segmodels.errors import UserError
from segmodels.hosted import limits

if TYPE_CHECKING:
    from ui.prediction_picture import Chosen

#: In the session: the identities of the pictures that were uploaded, and what was started, by its id.
PICTURES, STARTED = "hosted-pictures", "hosted-started"


def hosted_line() -> None:
    """Say what is limited, where anything is."""
    allowed = limits()
    if not allowed.hosted:
        return
    parts = []
    if not allowed.training:
        parts.append("nothing is trained here")
    elif trained := [f"{most} {what}" for most, what in _training() if most is not None]:
        parts.append(f"trainings of up to {', '.join(trained)}")
    if allowed.upload_megabytes is not None:
        parts.append(f"files of up to {allowed.upload_megabytes} MB")
    if not allowed.pushing:
        parts.append("no pushing to the Hub")
    st.caption(
        f":material/cloud: Hosted demo: {'; '.join(parts) or 'shared by all its visitors'}. "
        "All visitors see the same runs and models."
    )


def _training() -> list[tuple[int | None, str]]:
    allowed = limits()
    return [
        (allowed.epochs, "epochs"),
        (allowed.pictures, "pictures"),
        (allowed.image_size, "px"),
        (allowed.minutes, "minutes"),
    ]


def started(start: Callable[[], str]) -> str:
    """Start a run or a comparison, which `start` returns the id of; it is this visitor's own from then on.

    Raises:
        UserError: this visitor has started enough; or as `start` does.
    """
    most, begun = limits().session_runs, st.session_state.setdefault(STARTED, set())
    if most is not None and len(begun) >= most:
        raise UserError(f"hosted demo: {most} runs a visit: run segmodels on a computer of your own for more")
    begun.add(name := start())
    return name


def is_own(name: str) -> bool:
    """Whether a run or a comparison may be stopped, changed or deleted from here: what a visitor of a hosted app
    did not start in this visit is somebody else's."""
    return not limits().hosted or name in st.session_state.get(STARTED, ())


def admitted(pictures: Sequence[Chosen]) -> list[Chosen]:
    """Of uploaded pictures those that this visitor may have predicted; a line says where some are left out."""
    if (most := limits().session_pictures) is None:
        return list(pictures)
    known: set[str] = st.session_state.setdefault(PICTURES, set())
    kept = []
    for chosen in pictures:
        if chosen.identity in known or len(known) < most:
            known.add(chosen.identity)
            kept.append(chosen)
    if left_out := len(pictures) - len(kept):
        st.warning(
            f"Hosted demo: {most} pictures a visit, {left_out} of these are left out.", icon=":material/filter_list:"
        )
    return kept
