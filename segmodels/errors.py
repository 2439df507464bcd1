"""The one exception that means "the user can mend this", and the wordings it needs most."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError


class UserError(Exception):
    """A mistake in what was asked for, not in the program.

    Its message is one line that says what was wrong and what to do. The command line prints it and exits with 2, the
    app shows it in place; neither shows a traceback.
    """


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
    field = ".".join(str(part) for part in first["loc"])
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


def _range(model: type[BaseModel], field: str) -> str | None:
    """What a bounded number may be, in words, or None for any other field."""
    bounds = {}
    for constraint in model.model_fields[field].metadata if field in model.model_fields else ():
        for kind in ("ge", "gt", "le", "lt", "multiple_of"):
            if (value := getattr(constraint, kind, None)) is not None:
                bounds[kind] = value
    if not bounds:
        return None
    words = {"ge": "at least {}", "gt": "greater than {}", "le": "at most {}", "lt": "less than {}"}
    words["multiple_of"] = "a multiple of {}"
    kind = "a whole number, " if model.model_fields[field].annotation in (int, "int", int | None) else "a number, "
    return "must be " + kind + " and ".join(words[key].format(value) for key, value in bounds.items())
