"""Many pictures, one after the other: what is known of each is kept in the session, and nothing else of it.

Whatever is clicked meanwhile draws the page anew, which goes on where it was.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import streamlit as st

from segmodels.data.images import encoded, fitted, resize_image, resize_mask
from segmodels.errors import UserError
from segmodels.prediction import masks
from segmodels.prediction.export.settings import Settings, objects
from segmodels.prediction.result import Result
from ui.prediction_choice import How, Model
from ui.prediction_picture import Chosen
from ui.prediction_result import doubts_about, ignored, is_large, predict

#: The longest side of a small picture in the table, in pixels.
SIDE = 96
#: Rows that a session keeps, of all that it predicted.
KEPT = 3000
#: Where the session has them.
ROWS = "many-rows"


@dataclass(frozen=True)
class Job:
    """A picture, and a model that it is predicted with."""

    chosen: Chosen
    model: Model
    how: How

    @property
    def key(self) -> tuple[Any, ...]:
        return self.chosen.key, self.how.key(self.model), self.how.refinement


@dataclass(frozen=True)
class Row:
    """What is kept of a prediction, or why there is none.

    Attributes:
        error: one line; the rest is then empty.
        small: the picture under its mask as a data URL.
        width, height: pixels.
        confidence: the mean.
        shares: of the classes, by name.
        ignored: the share of the pixels.
        objects: how many; None where the picture is too large to find them.
        doubts: what speaks against it.
    """

    error: str = ""
    small: str = ""
    width: int = 0
    height: int = 0
    confidence: float | None = None
    shares: dict[str, float] = field(default_factory=dict)
    ignored: float = 0.0
    objects: int | None = None
    doubts: tuple[str, ...] = ()


def kept_rows() -> dict[tuple[Any, ...], Row]:
    """The rows of this session by the keys of their jobs, the oldest first."""
    return st.session_state.setdefault(ROWS, {})


def left(jobs: Sequence[Job]) -> list[Job]:
    """Those that are still to be predicted."""
    rows = kept_rows()
    return [job for job in jobs if job.key not in rows]


def work(job: Job, told: Callable[[float], None] | None = None) -> Row:
    """Predict a picture and keep its row; a failure is a row too. `told` is that of `predict`."""
    try:
        result = predict(job.model, job.chosen, job.how, told)
        row = row_of(result, tuple(doubts_about(job.model, result)))
    except UserError as error:
        row = Row(error=str(error))
    except MemoryError:
        row = Row(error="there is not enough memory for this picture: crop it or save it smaller")
    rows = kept_rows()
    rows[job.key] = row
    for oldest in list(rows)[:-KEPT]:
        del rows[oldest]
    return row


def row_of(result: Result, doubts: tuple[str, ...] = ()) -> Row:
    """What is kept of a prediction."""
    height, width = result.mask.shape
    return Row(
        small=_small(result),
        width=width,
        height=height,
        confidence=float(result.confidence.mean()),
        shares=result.shares,
        ignored=ignored(result),
        objects=None if is_large(result) else len(np.setdiff1d(objects(result, Settings()), [0])),
        doubts=doubts,
    )


def _small(result: Result) -> str:
    size = fitted(result.mask.shape[0], result.mask.shape[1], SIDE)
    seen = masks.overlay(resize_image(result.image, *size), resize_mask(result.mask, *size), result.labels)
    return f"data:image/jpeg;base64,{base64.b64encode(encoded(seen, 'JPEG', quality=80)).decode()}"
