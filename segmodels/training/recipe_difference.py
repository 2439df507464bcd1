"""In what two recipes differ, by what they mean: a field that is left out has its default. Loads no Keras."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from segmodels.models.architectures import checked_options
from segmodels.recipe import Recipe


@dataclass(frozen=True)
class Difference:
    """A field and its value on either side, as JSON has it; None where a recipe does not say it."""

    field: str
    one: Any
    other: Any


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[Difference]:
    """In what two recipes differ, in the order of a recipe's fields; an option is `options.KEY`.

    Args:
        one: fields and their values, as in a `recipe.json` of any version.
        other: the same.

    Returns:
        the differences; those in what is no field of a recipe come last, by name.
    """
    found = []
    means, others_mean = _meaning(one), _meaning(other)
    for name in Recipe.model_fields:
        mine, its = means[name], others_mean[name]
        if name == "options" and isinstance(mine, dict) and isinstance(its, dict):
            found += _in_options(means, others_mean)
        elif not _same(mine, its):
            found.append(Difference(name, mine, its))
    strange = sorted({str(key) for key in (*one, *other)} - set(Recipe.model_fields))
    mine, its = ({str(key): value for key, value in each.items()} for each in (one, other))
    return found + [Difference(k, mine.get(k), its.get(k)) for k in strange if not _same(mine.get(k), its.get(k))]


def _meaning(document: Mapping[str, Any]) -> dict[str, Any]:
    """Every field of a recipe: as it is checked or, where it is no recipe of this version, as it was written."""
    known = {name: document[name] for name in Recipe.model_fields if name in document}
    try:
        return Recipe(**known).model_dump(mode="json")
    except Exception:  # the checks expect a field to be of some kind, and this may be of any
        return {**Recipe().model_dump(mode="json"), **known}


def _in_options(one: dict[str, Any], other: dict[str, Any]) -> list[Difference]:
    """In which options two recipes differ; what one says is compared with the other's default."""
    keys = [*dict.fromkeys(str(key) for key in (*one["options"], *other["options"]))]
    mine, its = _all_options(one), _all_options(other)
    return [
        Difference(f"options.{key}", mine.get(key), its.get(key))
        for key in keys
        if not _same(mine.get(key), its.get(key))
    ]


def _all_options(recipe: dict[str, Any]) -> dict[str, Any]:
    """The options with the defaults of those that are left out."""
    said = {str(key): value for key, value in recipe["options"].items()}
    try:
        usual = checked_options(recipe["architecture"], recipe["backbone"], recipe["options"]).model_dump(mode="json")
    except Exception:  # as above
        return said
    return {**usual, **said}


def _same(one: Any, other: Any) -> bool:
    try:
        return bool(one == other) or (one != one and other != other)  # NaN is not equal to itself
    except RecursionError:
        return False
