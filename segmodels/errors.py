"""The one exception that means "the user can mend this", and the wordings it needs most."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Sequence
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError


class UserError(Exception):
    """A mistake in what was asked for, not in the program.

    Its message is one line that says what was wrong and what to do. The command line prints it and exits with 2, the
    app shows it in place; neither shows a traceback.
    """


class DiskFull(UserError):
    """There is no space left where something was to be written."""


def choose(what: str, name: str, known: Sequence[str]) -> str:
    """Return `name` if it is one of `known`, else raise `UserError` that names the nearest ones."""
    if name in known:
        return name
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise UserError(f"unknown {what} {reprlib.repr(name)}: {hint}choose one of {', '.join(known)}")


def explain(error: ValidationError, what: str, model: type[BaseModel]) -> UserError:
    """Turn a pydantic error into one line on the first thing wrong: the field, its value, and what is allowed."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in _place(model, first["loc"]))
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        known = [] if "." in field else list(model.model_fields)
        near = difflib.get_close_matches(field, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}" if known else ""
        return UserError(f"unknown {what} {reprlib.repr(field)}{hint}")
    if not field:
        return UserError(f"{what}: {message}")
    allowed = _range(model, field) or f"{message[0].lower()}{message[1:]}"
    return UserError(f"{what} {field}={reprlib.repr(first['input'])}: {allowed}")


def bounds(model: type[BaseModel], field: str) -> dict[str, float]:
    """What a number may be, by pydantic's names: `ge`, `gt`, `le`, `lt`, `multiple_of`; empty where nothing is said."""
    if field not in model.model_fields:
        return {}
    info = model.model_fields[field]
    kinds = [getattr(kind, "__metadata__", ()) for kind in get_args(info.annotation)]
    constraints = [*info.metadata, *(each for kind in kinds for one in kind for each in getattr(one, "metadata", ()))]
    names = ("ge", "gt", "le", "lt", "multiple_of")
    found = {name: getattr(each, name) for each in constraints for name in names if hasattr(each, name)}
    return {name: found[name] for name in names if name in found}


def takes_auto(annotation: Any) -> bool:
    """Whether a field is a number, or `auto`."""
    kinds = get_args(annotation)
    return any(get_origin(kind) is Literal and get_args(kind) == ("auto",) for kind in kinds)


def _place(model: type[BaseModel], loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Where pydantic saw an error, without the kind that it tried of a field that may be of several."""
    if loc and loc[0] in model.model_fields:
        kinds = get_args(model.model_fields[str(loc[0])].annotation)
        if (NoneType in kinds and len(kinds) > 2) or any(get_origin(kind) is Literal for kind in kinds):
            return loc[:1]
    return loc


def _range(model: type[BaseModel], field: str) -> str | None:
    """What a bounded number may be, in words, or None for any other field."""
    if not (limits := bounds(model, field)):
        return None
    words = {"ge": "at least {}", "gt": "greater than {}", "le": "at most {}", "lt": "less than {}"}
    words["multiple_of"] = "a multiple of {}"
    annotation = model.model_fields[field].annotation
    auto = takes_auto(annotation)
    kind = "a whole number" if annotation in (int, "int", int | None) or auto else "a number"
    other = "auto, or " if auto else ""
    return f"must be {other}{kind}, " + " and ".join(words[name].format(value) for name, value in limits.items())


class LostHost(UserError):
    """Another host of a training is gone. This process cannot end as others do: its engine would wait for that one."""
