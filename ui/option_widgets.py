"""Widgets for the keywords of any architecture, made from the types, ranges and descriptions of its options class."""

from __future__ import annotations

import types
import typing
from typing import Any

import streamlit as st
from pydantic.fields import FieldInfo

from segmodels.errors import UserError
from segmodels.models.architectures import architecture_row, checked_options, implied_options
from ui.field_widgets import KEPT

#: Words of the options' names that are written in capitals.
CAPITALS = {"aspp"}
#: As many choices stand side by side in the form's column.
ROW = 3


def option_widgets(
    architecture: str, backbone: str, weights: str, start: dict[str, Any], version: int = 0
) -> dict[str, Any]:
    """Draw them; returns what differs from the defaults of this architecture on this backbone.

    Options that would have one value only beside the backbone, the weights and the options above them are not drawn.

    Args:
        start: first values other than the defaults.
        version: of the form; another one has widgets of its own.
    """
    chosen: dict[str, Any] = {}
    sound = implied_options(architecture, backbone, weights, {})  # what later defaults and ranges may depend on
    for name, field in architecture_row(architecture).options_type().model_fields.items():
        if field.exclude or name in sound:
            continue
        default = checked_options(architecture, backbone, sound).model_dump()[name]
        if not any(_fits(architecture, backbone, {**sound, name: other}) for other in _others(field, default)):
            continue
        first = start.get(name, default)
        # A default that changes makes another widget: no value of one network is left over in the next.
        value = _widget(name, field, first, f"option-{version}-{architecture}-{backbone}-{name}-{first}")
        if value != default:
            chosen[name] = value
            if _fits(architecture, backbone, {**sound, name: value}):
                sound[name] = value
    return chosen


def _fits(architecture: str, backbone: str, options: dict[str, Any]) -> bool:
    try:
        checked_options(architecture, backbone, options)
    except UserError:
        return False
    return True


def _others(field: FieldInfo, default: Any) -> list[Any]:
    """Some values beside the default: where all are refused, the option has no place in this network."""
    if isinstance(default, tuple):
        return [(*default[:-1], default[-1] + 1) if default else (1,)]
    values = [not default] if field.annotation is bool else [*_choices(field), *_bounds(field).values()]
    return [value for value in values if value != default]


def _widget(name: str, field: FieldInfo, first: Any, key: str) -> Any:
    """What its kind of value is chosen with; words that are no numbers stay as typed, for the recipe to refuse."""
    words = [word.upper() if word in CAPITALS else word for word in name.split("_")]
    label = " ".join([words[0][0].upper() + words[0][1:], *words[1:]])
    about = field.description
    choices = _choices(field)
    if len(choices) > ROW:
        return st.selectbox(label, choices, choices.index(first), key=key, help=about, persist_state=KEPT)
    if choices:
        return st.segmented_control(
            label, choices, default=first, required=True, key=key, help=about, persist_state=KEPT
        )
    if field.annotation is bool:
        return st.toggle(label, first, key=key, help=about, persist_state=KEPT)
    if isinstance(first, tuple):
        typed = st.text_input(label, ", ".join(map(str, first)), max_chars=100, key=key, help=about, persist_state=KEPT)
        return tuple(_whole(word) for word in typed.replace(",", " ").split())
    if isinstance(field.annotation, types.UnionType):
        typed = st.text_input(
            label,
            "" if first is None else str(first),
            max_chars=20,
            key=key,
            help=about,
            placeholder="by itself",
            persist_state=KEPT,
        )
        return _whole(typed.strip()) if typed.strip() else None
    kind: type[int] | type[float] = int if field.annotation is int else float
    bounds = {limit: kind(value) for limit, value in _bounds(field).items()}
    low, high = bounds.get("ge", bounds.get("gt")), bounds.get("le", bounds.get("lt"))
    step = bounds.get("multiple_of", 1 if kind is int else 0.05)
    return kind(st.number_input(label, low, high, kind(first), step=step, key=key, help=about, persist_state=KEPT))


def _choices(field: FieldInfo) -> list[Any]:
    return list(typing.get_args(field.annotation)) if typing.get_origin(field.annotation) is typing.Literal else []


def _bounds(field: FieldInfo) -> dict[str, Any]:
    kinds = ("ge", "gt", "le", "lt", "multiple_of")
    return {kind: getattr(item, kind) for item in field.metadata for kind in kinds if hasattr(item, kind)}


def _whole(word: str) -> int | str:
    return int(word) if word.isdecimal() and len(word) < 10 else word
