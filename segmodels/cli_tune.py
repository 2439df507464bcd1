"""`tune` and the verbs of `python -m segmodels searches`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from segmodels import cli_cluster, cli_recipes
from segmodels.cli_compare import asked_to_end
from segmodels.errors import UserError, choose
from segmodels.models.architectures import implied_options
from segmodels.recipe import Recipe
from segmodels.terminal import Terminal, table


def add_verbs(add: Callable[..., argparse.ArgumentParser], verbs: Any) -> None:
    """Add `tune` and the group `searches`; `add(group, name, verb, text)` makes one."""
    made = add(verbs, "tune", tune, "search for good values of a recipe's fields with Ray Tune; each trial is a run")
    cli_recipes.add_fields(made)
    made.add_argument("--space", metavar="FILE", help="what is searched, and how: YAML or JSON")
    made.add_argument("--name", default="", help="of the search (default: its data set and method)")
    made.add_argument(
        "--resume", metavar="SEARCH", help="go on with one, here or with --on elsewhere, and try again what failed"
    )
    cli_cluster.add_on(made)
    group = verbs.add_parser("searches", help="searches of hyper-parameters, wherever they were started")
    group = group.add_subparsers(required=True, metavar="VERB")
    add(group, "list", listed, "all of them, newest first")
    for name, verb, text in (
        ("show", show, "its trials, the best first"),
        ("stop", stop, "end it and pause its runs; `tune --resume` goes on"),
        ("delete", delete, "remove it; its runs stay"),
    ):
        add(group, name, verb, text).add_argument("search", metavar="SEARCH")


def tune(parsed: argparse.Namespace) -> tuple[Any, str]:
    """`tune`."""
    from segmodels.search.conduct import conduct
    from segmodels.search.search import find_search

    on = _on(parsed)
    if parsed.resume is not None:
        _alone(parsed)
        search = find_search(parsed.resume)
        if on == "ray" or parsed.cpus is not None or parsed.gpus is not None:
            search.move(on if on == "ray" else search.on, _elsewhere(parsed, search.resources))
        if search.state != "starting":  # as `begin` leaves it: a stop that was asked for since holds
            search.take_request()
    else:
        search = _create(parsed, on)
    terminal = Terminal()
    terminal.note(f"search {search.id}: {search.path}")
    with asked_to_end() as ends:
        try:
            state = conduct(search, reporter=terminal, stop=ends, gone=cli_cluster.end_at_once)
        finally:
            terminal.close()
    document, text = _shown(search)
    if state != "finished":
        text += f"\n\nstopped: python -m segmodels tune --resume {search.id} goes on"
    return document, text


def _on(parsed: argparse.Namespace) -> str:
    """Where the trials go. On this machine alone they have a Ray of their own, whose processors they share."""
    on = choose("place", parsed.on, cli_cluster.PLACES)
    if on == "local" and parsed.address is not None:
        raise UserError("--address is of a Ray cluster: add --on ray, or leave it out")
    return on


def _create(parsed: argparse.Namespace, on: str) -> Any:
    from segmodels.cluster.connection import missing_ray
    from segmodels.search.search import Search
    from segmodels.search.space import Space

    if said := missing_ray():
        raise UserError(said)
    if parsed.space is None:
        raise UserError("tune needs --space FILE: which fields are searched, and their values")
    space = Space.load(parsed.space, _fixed(parsed))
    if "data" not in space.recipe:
        raise UserError("tune needs --data, or data in the recipe of the space: what all trials are trained on")
    return Search.create(space, name=parsed.name, on=on, resources=cli_cluster.resources_of(parsed))


def _fixed(parsed: argparse.Namespace) -> dict[str, Any]:
    """The fields that the command line says, and those of `--recipe` that are not as they would be anyway."""
    start = _own_fields(cli_recipes.recipe_of(parsed)) if parsed.recipe is not None else {}
    given = {name: _value(name, text) for name, text in cli_recipes.given_fields(parsed).items()}
    options = {**start.get("options", {}), **cli_recipes.options_of(parsed)}
    return {**start, **given, **({"options": options} if options else {})}


def _own_fields(recipe: Recipe) -> dict[str, Any]:
    """What of a recipe does not follow from the rest: other values may then be tried of what it follows from."""
    fields = recipe.model_dump(mode="json")
    leaders = ("data", "architecture", "backbone", "optimizer")
    usual = Recipe(**{name: fields[name] for name in leaders})
    network = {name: Recipe.model_fields[name].default for name in leaders[1:]}
    kept = {name: value for name, value in fields.items() if value != network.get(name, getattr(usual, name))}
    implied = implied_options(recipe.architecture, recipe.backbone, recipe.weights or "none", {})
    options = {key: value for key, value in recipe.options.items() if key not in implied}
    return {**kept, "data": recipe.data, "options": options}


def _value(name: str, text: Any) -> Any:
    """A field as its type has it; as it was typed where it is none, which the recipe then says."""
    try:
        return TypeAdapter(Recipe.model_fields[name].rebuild_annotation()).validate_python(text)
    except ValidationError:
        return text


def _alone(parsed: argparse.Namespace) -> None:
    """`--resume` goes on with what was asked for before."""
    given = {**cli_recipes.given_fields(parsed), "recipe": parsed.recipe, "option": parsed.option}
    given |= {name: getattr(parsed, name) for name in ("space", "name")}
    if also := [name for name, value in given.items() if value]:
        raise UserError(f"--resume goes on with the search as it is: leave --{also[0].replace('_', '-')} out")


def _elsewhere(parsed: argparse.Namespace, before: Any) -> Any:
    """What a search that goes on gets: what is said now, else what it had; another cluster has another address."""
    now = cli_cluster.resources_of(parsed)
    return replace(
        now,
        address=now.address if parsed.on == "ray" else before.address,
        cpus=now.cpus or before.cpus,
        gpus=before.gpus if now.gpus is None else now.gpus,
    )


def listed(_: argparse.Namespace) -> tuple[Any, str]:
    """`searches list`."""
    from segmodels.search.search import DONE, list_searches

    rows = []
    for search in list_searches():
        trials = search.trials()
        best = search.best(trials)
        rows.append(
            {
                "search": search.id,
                "title": search.title,
                "state": search.state,
                "data": search.space.recipe.get("data"),
                "method": search.space.how.method,
                "trials": len(trials),
                "done": sum(trial.state in DONE for trial in trials),
                "failed": sum(trial.state == "failed" for trial in trials),
                "metric": search.space.how.metric,
                "best": best.value if best else None,
            }
        )
    columns = ["search", "title", "state", "data", "method", "trials", "done", "failed", "metric", "best"]
    return rows, table(rows, columns) if rows else "no search yet: `tune --data D --space FILE` makes one"


def show(parsed: argparse.Namespace) -> tuple[Any, str]:
    """`searches show`."""
    from segmodels.search.search import find_search

    return _shown(find_search(parsed.search))


def _shown(search: Any) -> tuple[Any, str]:
    from segmodels.search.text import search_document, search_text

    return search_document(search), search_text(search)


def stop(parsed: argparse.Namespace) -> tuple[Any, str]:
    """`searches stop`."""
    from segmodels.conducted import ALIVE
    from segmodels.search.conduct import ENDING
    from segmodels.search.search import find_search

    search = find_search(parsed.search)
    search.request_stop()
    if search.wait(ENDING + 60) in ALIVE:
        raise UserError(f"search {search.id} has not stopped yet: its runs end after their present step")
    return {"search": search.id, "state": search.state}, f"search {search.id} is {search.state}"


def delete(parsed: argparse.Namespace) -> tuple[Any, str]:
    """`searches delete`."""
    from segmodels.search.search import find_search

    search = find_search(parsed.search)
    search.delete()
    return {"search": search.id, "deleted": True}, f"search {search.id} is deleted; its runs stay"
