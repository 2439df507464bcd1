"""Recipes on the command line: their fields as options, `recipes`, `rate-test` and `estimate`."""

from __future__ import annotations

import argparse
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from segmodels.cli_runs import add_devices
from segmodels.errors import UserError, takes_auto
from segmodels.models.architectures import implied_options
from segmodels.named_recipes import NAMED_RECIPES, named_recipe
from segmodels.recipe import Recipe
from segmodels.terminal import Terminal, table

#: Fields that `none` on the command line takes out of the recipe that was the start; as weights it is a value.
MAY_BE_NONE = {
    name for name, field in Recipe.model_fields.items() if types.NoneType in typing.get_args(field.annotation)
} - {"weights"}
#: Fields that have a value of their own for what another field says, and that field.
FOLLOWS = {"weight_decay": "optimizer", "adversarial_weight": "architecture", "sampling": "data"}


def add_verbs(add: Callable[..., argparse.ArgumentParser], verbs: Any) -> None:
    """Add `recipes`, `rate-test` and `estimate`; `add(group, name, verb, text)` makes one."""
    recipes = add(verbs, "recipes", _recipes, "the recipes that have a name, for `train --recipe NAME`")
    recipes.add_argument("name", metavar="NAME", nargs="?", help="print this one, as a file that --recipe takes")
    rates = add(verbs, "rate-test", _rate_test, "find a learning rate: train some steps while it rises")
    add_fields(rates)
    add_devices(rates)
    rates.add_argument("--steps", type=int, default=100, metavar="N", help="default: 100")
    rates.add_argument("--lowest", type=float, default=1e-6, metavar="X", help="default: 1e-6")
    rates.add_argument("--highest", type=float, default=1.0, metavar="X", help="default: 1")
    cost = add(verbs, "estimate", _estimate, "what a training would take: memory, and time measured on a few steps")
    add_fields(cost)
    add_devices(cost)
    cost.add_argument("--steps", type=int, default=5, metavar="N", help="default: 5")


def add_fields(verb: argparse.ArgumentParser) -> None:
    """Every field of a recipe as an option, and `--recipe`."""
    for name, field in Recipe.model_fields.items():
        if name == "options":
            add_option(verb)
            continue
        default = "" if field.default is None else f" (default: {field.default})"
        verb.add_argument(
            f"--{name.replace('_', '-')}", dest=f"field_{name}", metavar=_metavar(field.annotation),
            help=f"{field.description}{default}".replace("%", "%%"),
        )  # fmt: skip
    verb.add_argument(
        "--recipe", metavar="NAME|FILE", help="start from a recipe: one of `recipes`, or a file; options beside it win"
    )


def add_option(verb: argparse.ArgumentParser) -> None:
    """The architecture's own keywords."""
    verb.add_argument(
        "--option", metavar="KEY=VALUE", action="append", default=[], help="of the architecture (repeatable)"
    )


def given_fields(parsed: argparse.Namespace) -> dict[str, Any]:
    """The fields that were given as options, as they were typed."""
    typed = {key.removeprefix("field_"): value for key, value in vars(parsed).items() if key.startswith("field_")}
    return {
        key: None if value.lower() == "none" and key in MAY_BE_NONE else value
        for key, value in typed.items()
        if value is not None
    }


def recipe_of(parsed: argparse.Namespace) -> Recipe:
    """The recipe of a command: that of `--recipe`, overridden by the options given."""
    given = given_fields(parsed)
    start = _start(parsed.recipe).model_dump() if parsed.recipe is not None else {}
    if start and {"backbone", "architecture", "weights"} & given.keys():
        # The file's weights were for its own network, and so is what only they asked for.
        implied = implied_options(start["architecture"], start["backbone"], start["weights"], {})
        start["options"] = {key: value for key, value in start["options"].items() if key not in implied}
        del start["weights"], start["backbone_rate"]
    for name, leader in FOLLOWS.items():
        if start and leader in given and start[name] == getattr(Recipe(**{leader: start[leader]}), name):
            del start[name]
    if start and "adversarial_weight" not in start and given["architecture"] != start["architecture"]:
        del start["discriminator_every"], start["discriminator_rate"]
    options = {**start.get("options", {}), **options_of(parsed)}
    return Recipe(**{**start, **given, **({"options": options} if options else {})})


def options_of(parsed: argparse.Namespace) -> dict[str, Any]:
    """The architecture's keywords of `--option KEY=VALUE …`; a value with commas is a list."""
    options: dict[str, Any] = {}
    for text in parsed.option:
        key, separator, value = text.partition("=")
        if not separator or not key:
            raise UserError(f"--option {text}: write KEY=VALUE, such as depth=4")
        options[key] = value.split(",") if "," in value else value
    return options


def _start(text: str) -> Recipe:
    """A recipe by its name, or of a file."""
    if text in NAMED_RECIPES:
        return named_recipe(text)
    looks_like_a_file = "." in text or "/" in text or "\\" in text or Path(text).is_file()
    return Recipe.load(text) if looks_like_a_file else named_recipe(text)  # which says what there is


def _metavar(annotation: Any) -> str:
    if typing.get_origin(annotation) is typing.Literal:
        return "|".join(str(value) for value in typing.get_args(annotation))
    kinds = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    if takes_auto(annotation):
        return "N|auto"
    names = {int: "N", float: "X", bool: "true|false", str: "NAME"}
    return next((names[kind] for kind in kinds if kind in names), "X,X,…")


def _recipes(parsed: argparse.Namespace) -> tuple[Any, str]:
    if parsed.name is not None:
        document = named_recipe(parsed.name).model_dump(mode="json")
        return document, yaml.safe_dump(document, sort_keys=False).rstrip()
    rows = [
        {
            "name": name,
            "purpose": row.purpose,
            "measured": row.measured,
            "seconds": row.seconds,
            "published": row.published,
            "used": row.used,
            "fields": row.fields,
        }
        for name, row in NAMED_RECIPES.items()
    ]
    shown = [{**row, "figures": _figures(row)} for row in rows]
    return rows, table(shown, ["name", "purpose", "figures"])


def _figures(row: dict[str, Any]) -> str:
    """Those that the recipe had here, on two processor cores, or those of the system whose settings it has."""
    if row["measured"]:
        return f"{row['measured']}, two cores"
    return f"published: {row['published']} (on {row['used']})" if row["published"] else ""


def _rate_test(parsed: argparse.Namespace) -> tuple[Any, str]:
    from segmodels.training.rate_test import rate_test

    recipe = recipe_of(parsed)
    terminal = Terminal()
    try:
        found = rate_test(
            recipe,
            steps=parsed.steps,
            lowest=parsed.lowest,
            highest=parsed.highest,
            reporter=terminal,
            devices=parsed.devices,
        )
    finally:
        terminal.close()
    shown = max(1, len(found["rates"]) // 20)
    rows = [
        {"learning_rate": f"{rate:.2e}", "loss": loss, "": "#" * round(40 * loss / max(found["smoothed"]))}
        for rate, loss in list(zip(found["rates"], found["smoothed"], strict=True))[::shown]
    ]
    last = f"\nsuggested: --learning-rate {found['suggested']:.2g}"
    return found, table(rows, ["learning_rate", "loss", ""]) + last


def _estimate(parsed: argparse.Namespace) -> tuple[Any, str]:
    from segmodels.training.estimate import estimate
    from segmodels.training.estimate_text import estimate_text

    recipe = recipe_of(parsed)
    terminal = Terminal()
    try:
        found = estimate(recipe, steps=parsed.steps, reporter=terminal, devices=parsed.devices)
    finally:
        terminal.close()
    return found, estimate_text(found)
