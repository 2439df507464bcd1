"""Finished weights on the Hub, for the command line: the option of `train` and `compare`; to look, take and send."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segmodels.errors import UserError, choose
from segmodels.recipe import Recipe
from segmodels.training.reporter import Reporter

if TYPE_CHECKING:
    from segmodels.hub.finished.offers import Offer
    from segmodels.training.runs import Run

#: What `--finished` says.
CHOICES = ("ask", "take", "ignore")
#: Seconds in which the trainings of a comparison are looked up, before anybody is asked.
LONGEST = 30.0


def add_option(verb: argparse.ArgumentParser) -> None:
    """`--finished`."""
    verb.add_argument(
        "--finished", metavar="|".join(CHOICES), default="ask",
        help="weights of the same training that are on the Hub, in the repository of SEGMODELS_HUB: ask in a terminal "
        "whether to take them, take them, or train again (default: ask)",
    )  # fmt: skip


def add_verbs(add: Callable[..., argparse.ArgumentParser], cache: Any) -> None:
    """Add `find`, `take` and `send` to the group `cache`; `add(group, name, verb, text)` makes one."""
    from segmodels.cli_recipes import add_fields

    add_fields(add(cache, "find", _find, "whether finished weights of a recipe and its data are on the Hub"))
    take = add(cache, "take", _take, "take them, as a finished run, where they are")
    add_fields(take)
    take.add_argument("--run-dir", metavar="DIR", help="where to write (default: a new folder in the home's runs/)")
    send = add(cache, "send", _send, "send to the Hub what waits of finished runs")
    send.add_argument("--due", action="store_true", help="only what was not tried in the last minutes, quietly")


def choice(parsed: argparse.Namespace) -> str:
    """What `--finished` says; `UserError` where it is nothing, or needs a repository that is not set."""
    from segmodels.hub.finished.settings import VARIABLE, hub_repository

    said = choose("--finished", parsed.finished, CHOICES)
    if said == "take" and hub_repository() is None:
        raise UserError(f"--finished take needs a repository to look in: set {VARIABLE}=owner/name")
    return said


def taken_instead(recipe: Recipe, said: str, *, path: str | None, reporter: Reporter) -> Run | None:
    """The run of finished weights that are taken instead of training; None where there are none, or not to be taken.

    Args:
        said: as `choice` gives it.
        path: where the run is to be made.
    """
    from segmodels.hub.finished.settings import hub_repository
    from segmodels.training.preflight import check

    if said == "ignore" or hub_repository() is None:
        return None
    from segmodels.hub.finished.offers import look_up, take

    check(recipe)
    offer = look_up(recipe, reporter=reporter)
    if offer is None:
        if said == "take":
            reporter.note("no finished weights to take: training")
        return None
    if said == "ask" and not _wanted([offer], reporter):
        return None
    try:
        return take(offer, recipe, path=path, reporter=reporter)
    except UserError as error:
        reporter.note(f"not taken, training instead: {error}")
        return None


def all_wanted(recipes: Sequence[Recipe], reporter: Reporter) -> bool:
    """Ask once whether the finished weights of several trainings are to be taken; False where there are none."""
    from segmodels.hub.finished.settings import hub_repository

    if (repository := hub_repository()) is None:
        return False
    from segmodels.hub.finished.offers import find, fingerprint

    offers: list[Offer] = []
    end = time.monotonic() + LONGEST
    for number, recipe in enumerate(recipes):
        reporter.progress(number, len(recipes), f"looking in {repository}")
        if time.monotonic() > end:
            reporter.note(f"only {number} of {len(recipes)} trainings were looked up in {LONGEST:.0f} seconds")
            break
        try:
            offers += [offer] if (offer := find(fingerprint(recipe))) else []
        except UserError as error:  # the others would wait as long for the same
            reporter.note(f"not looked up what was trained already: {error}")
            break
    reporter.progress(len(recipes), len(recipes), f"looking in {repository}")
    return bool(offers) and _wanted(offers, reporter, of=len(recipes))


def _wanted(offers: Sequence[Offer], reporter: Reporter, of: int = 1) -> bool:
    """Ask in a terminal; elsewhere say how they are taken."""
    here, them = offers[0], "them" if of > 1 else "it"
    what = f"{len(offers)} of {of} trainings were" if of > 1 else "this training was"
    text = f"{what} finished already: {here.repository} has the weights ({', '.join(each.figures for each in offers)})"
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        reporter.note(f"{text}; --finished take takes {them} instead of training again")
        return False
    print(f"{text}\ntake {them} instead of training again? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _find(parsed: argparse.Namespace) -> tuple[Any, str]:
    from segmodels.cli_recipes import recipe_of
    from segmodels.hub.finished.offers import find, fingerprint

    repository, recipe = _repository(), recipe_of(parsed)
    key = fingerprint(recipe)
    offer = find(key)
    document = {"repository": repository, "fingerprint": key, "offer": offer.document() if offer else None}
    if offer is None:
        return document, f"{repository} has no finished weights of this recipe and data ({key[:12]}…)"
    return document, f"{repository} has finished weights of this recipe and data: {offer.figures} ({offer.path})"


def _take(parsed: argparse.Namespace) -> tuple[Any, str]:
    from segmodels.cli_recipes import recipe_of
    from segmodels.hub.finished.offers import find, fingerprint, take
    from segmodels.hub.repository import Unreachable
    from segmodels.terminal import Terminal
    from segmodels.training.preflight import check

    repository, recipe = _repository(), recipe_of(parsed)
    check(recipe)
    terminal = Terminal()
    document: dict[str, Any] = {"run": None, "path": None, "offer": None, "reachable": True}
    try:
        offer = find(fingerprint(recipe))
        if offer is None:
            return document, f"{repository} has no finished weights of this recipe and data"
        run = take(offer, recipe, path=parsed.run_dir, reporter=terminal)
    except Unreachable as error:
        return {**document, "reachable": False}, f"nothing taken: {error}"
    finally:
        terminal.close()
    return {**document, "run": run.id, "path": str(run.path), "offer": offer.document()}, f"finished: {run.path}"


def _repository() -> str:
    from segmodels.hub.finished.settings import VARIABLE, hub_repository

    if (repository := hub_repository()) is None:
        raise UserError(f"there is no repository to look in: set {VARIABLE}=owner/name")
    return repository


def _send(parsed: argparse.Namespace) -> tuple[Any, str]:
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # read when the library is loaded
    from dataclasses import asdict

    from segmodels.data.disk import make_folder
    from segmodels.hub.finished.outbox import outbox_folder, send
    from segmodels.terminal import Terminal
    from segmodels.training.reporter import Log

    if parsed.due and hasattr(os, "nice"):
        os.nice(10)  # a training beside it goes first
    make_folder(outbox_folder())
    told = Log(outbox_folder() / "log.txt", Reporter() if parsed.due else Terminal())
    done = send(due=parsed.due, reporter=told)
    parsed.exit_code = 2 if any(each.outcome == "waiting" for each in done) else 0
    lines = [f"{each.outcome}: {Path(each.run).name} to {each.repository}" for each in done]
    return [asdict(each) for each in done], "\n".join(lines) or "nothing waits to be sent"
