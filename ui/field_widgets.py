"""A widget for any field of a recipe, made from its type, its range and its description."""

from __future__ import annotations

import types
import typing
from collections.abc import Sequence
from typing import Any, Literal

import streamlit as st

from segmodels.errors import bounds, takes_auto
from segmodels.models.options import option_text
from segmodels.recipe import Recipe

#: Words of the fields' names that are written in capitals.
CAPITALS = {"ema", "xla"}
#: Fields whose step suits them better than one that follows from their type.
STEPS = {"image_size": 32, "learning_rate": 1e-4, "ema": 0.01, "momentum": 0.05, "norm_momentum": 0.05}

#: What was typed stays while another part of the page is looked at.
KEPT: Literal["session"] = "session"


def field_widget(
    field: str,
    first: Any,
    *,
    key: str,
    titles: dict[str, str] | None = None,
    low: int | None = None,
    high: int | None = None,
) -> Any:
    """Draw it; returns a value that the recipe takes, or refuses with a line that says why.

    A number that may be left out is an empty box; what then holds, the help says.

    Args:
        field: name of the recipe's field.
        first: the value that it shows at first.
        key: of the widget.
        titles: what choices are called.
        low, high: tighter limits than the recipe's own.
    """
    annotation = Recipe.model_fields[field].annotation
    if typing.get_origin(annotation) is typing.Literal:
        return choice(field, list(typing.get_args(annotation)), first, key=key, titles=titles)
    if annotation is bool:
        return st.toggle(title(field), bool(first), key=key, help=about(field), persist_state=KEPT)
    several = typing.get_origin(annotation) in (types.UnionType, typing.Union)
    kinds = typing.get_args(annotation) if several else (annotation,)
    plain = {int, float} & {typing.get_args(kind)[0] if typing.get_args(kind) else kind for kind in kinds}
    if not plain:
        shown = option_text(first) if first else ""
        typed = st.text_input(title(field), shown, max_chars=1000, key=key, help=about(field), persist_state=KEPT)
        return typed.strip() or None
    return _number(field, first, plain.pop(), kinds, key=key, low=low, high=high)


def choice(field: str, values: Sequence[str], first: str, *, key: str, titles: dict[str, str] | None = None) -> str:
    """A box to choose one of the values of a field from."""
    return st.selectbox(
        title(field),
        list(values),
        index=list(values).index(first) if first in values else 0,
        key=key,
        help=about(field),
        format_func=lambda value: (titles or {}).get(value, value),
        persist_state=KEPT,
    )


def open_choice(field: str, values: Sequence[str], first: str, *, key: str, help: str | None = None) -> str:
    """The same, where others may be typed."""
    known = list(values) if first in values else [first, *values]
    return st.selectbox(
        title(field),
        known,
        known.index(first),
        key=key,
        accept_new_options=True,
        help=help or about(field),
        persist_state=KEPT,
    )


def title(field: str) -> str:
    """What a field is called: "Learning rate", "EMA"."""
    words = [word.upper() if word in CAPITALS else word for word in field.split("_")]
    return " ".join([words[0][0].upper() + words[0][1:], *words[1:]])


def about(field: str) -> str:
    """What it says, by the recipe."""
    return str(Recipe.model_fields[field].description)


def _number(
    field: str,
    first: Any,
    kind: type,
    kinds: Sequence[Any],
    *,
    key: str,
    low: int | None,
    high: int | None,
) -> Any:
    limits: dict[str, Any] = bounds(Recipe, field)
    low = low if low is not None else limits.get("ge", limits.get("gt"))
    high = high if high is not None else limits.get("le", limits.get("lt"))
    auto, optional = takes_auto(Recipe.model_fields[field].annotation), types.NoneType in kinds
    shown = None if first in (None, "auto") else kind(first)
    if (auto or optional) and shown is not None:
        # A box whose first value is a number can never be emptied: this one begins empty, and then has a value.
        st.session_state.setdefault(key, shown)
        shown = None
    value = st.number_input(
        title(field),
        None if low is None else kind(low),
        None if high is None else kind(high),
        shown,
        step=kind(STEPS.get(field, 1 if kind is int else 0.05)),
        format="%d" if kind is int else "%g",
        key=key,
        help=about(field),
        placeholder="auto" if auto else "left out" if optional else None,
        persist_state=KEPT,
    )
    if value is None:
        return "auto" if auto else None
    return kind(value)
