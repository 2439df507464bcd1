"""JSON documents with something in them replaced: what parsers of strangers' files must survive."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


def mutated(document: Any, steps: list[tuple[int, Any]]) -> Any:
    """The document with something in it replaced, at each step at another place."""
    for number, value in steps:
        places: list[tuple[Any, Any]] = []

        def visit(node: Any, places: list[tuple[Any, Any]] = places) -> None:
            for key in list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
                places.append((node, key))
                visit(node[key])

        visit(document)
        if not places:
            return document
        node, key = places[number % len(places)]
        node[key] = value
    return document


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value within a document."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, inner in inside for place in places(inner, (*path, key)))]


def changed(document: Any, changes: Iterable[tuple[tuple[Any, ...], Any]]) -> Any:
    """A copy of the document with other values at some of its `places`, where those are still there."""
    copy = json.loads(json.dumps(document))
    for path, value in changes:
        with contextlib.suppress(KeyError, IndexError, TypeError):
            inside = copy
            for key in path[:-1]:
                inside = inside[key]
            inside[path[-1]] = value
    return copy
