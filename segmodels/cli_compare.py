"""`compare` and the verbs of `python -m segmodels comparisons`."""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from segmodels import cli_finished, cli_recipes
from segmodels.cli_cluster import add_on, is_on_ray, resources_of
from segmodels.cli_runs import add_devices
from segmodels.device import choose_devices
from segmodels.errors import UserError, choose
from segmodels.files import user_path, write_text
from segmodels.terminal import Terminal, table

#: What `comparisons show --format` prints.
FORMATS = ("text", "csv", "markdown", "latex")


def add_verbs(add: Callable[..., argparse.ArgumentParser], verbs: Any) -> None:
    """Add `compare` and the group `comparisons`; `add(group, name, verb, text)` makes one."""
    made = add(verbs, "compare", compare, "train and rank architectures, recipes and models under one protocol")
    cli_recipes.add_fields(made)
    made.add_argument(
        "--architectures", metavar="A,B,…", help="each trained by the same recipe; A:BACKBONE for one of its own"
    )
    made.add_argument("--recipes", metavar="R,S,…", help="named recipes, each trained as it is, on the data set")
    made.add_argument("--models", metavar="M,N,…", help="runs and checkpoints that are there already")
    made.add_argument("--seeds", type=int, metavar="N", help="runs of each, to see the spread (default: 1)")
    made.add_argument("--split", help="what all are evaluated on (default: test)")
    made.add_argument("--at", help="native: at each mask's own size, the default; model: at the model's")
    made.add_argument("--title", default="", help="of the comparison")
    made.add_argument("--report", metavar="FILE.html", help="write all of it into one file that opens anywhere")
    made.add_argument("--resume", metavar="COMPARISON", help="go on with one, and try again what failed")
    cli_finished.add_option(made)
    add_devices(made)
    add_on(made)
    group = verbs.add_parser("comparisons", help="comparisons, wherever they were started")
    group = group.add_subparsers(required=True, metavar="VERB")
    add(group, "list", listed, "all of them, newest first")
    for name, verb, text in (
        ("show", show, "the table of one, and which differences are real"),
        ("stop", stop, "end it and pause its runs; `compare --resume` goes on"),
        ("delete", delete, "remove it; its runs stay"),
    ):
        one = add(group, name, verb, text)
        one.add_argument("comparison", metavar="COMPARISON")
        if name == "show":
            one.add_argument("--format", default="text", metavar="|".join(FORMATS), help="of the table")
    reported = add(group, "report", report, "all of one in one HTML file that opens anywhere")
    reported.add_argument("comparison", metavar="COMPARISON")
    reported.add_argument("--out", metavar="FILE.html", help="default: COMPARISON.html in the working directory")


def compare(parsed: argparse.Namespace) -> tuple[Any, str]:
    """`compare`."""
    from segmodels.evaluation.compare.comparison import find_comparison
    from segmodels.evaluation.compare.conduct import conduct

    is_on_ray(parsed)
    resources = resources_of(parsed)
    choose_devices(parsed.devices)
    said = cli_finished.choice(parsed)
    if parsed.report:
        _report_target(parsed.report)  # a mistake is said before hours of training
    if parsed.resume is not None:
        _alone(parsed)
        comparison = find_comparison(parsed.resume)
        if comparison.state != "starting":  # as `begin` leaves it: a stop that was asked for since holds
            comparison.take_request()
    else:
        comparison = _create(parsed)
    terminal = Terminal()
    terminal.note(f"comparison {comparison.id}: {comparison.path}")
    asks = said == "ask" and parsed.resume is None
    take = said == "take" or (asks and cli_finished.all_wanted(comparison.to_train(), terminal))
    with asked_to_end() as ends:
        try:
            state = conduct(
                comparison, on=parsed.on, resources=resources, take_finished=take, reporter=terminal, stop=ends
            )
        finally:
            terminal.close()
    document, text = _shown(comparison, "text", parsed.json)
    if state != "finished":
        text += f"\n\nstopped: python -m segmodels compare --resume {comparison.id} goes on"
    if parsed.report:
        text += f"\n\n{_write_report(comparison, parsed.report)}"
    return document, text


def _create(parsed: argparse.Namespace) -> Any:
    from segmodels.evaluation.compare.comparison import Comparison
    from segmodels.evaluation.compare.entries import MOST_SEEDS
    from segmodels.evaluation.compare.members import architecture_members, model_members, recipe_members

    seeds = 1 if parsed.seeds is None else parsed.seeds
    if not 1 <= seeds <= MOST_SEEDS:
        raise UserError(f"--seeds {seeds}: give a number from 1 to {MOST_SEEDS}")
    if parsed.field_data is None and parsed.recipe is None:
        raise UserError("compare needs --data: what all are trained and evaluated on")
    if parsed.field_architecture is not None:
        raise UserError("write --architectures A,B,…: --architecture is for one")
    recipe = cli_recipes.recipe_of(parsed)
    members = architecture_members(_names(parsed.architectures), recipe, seeds)
    members += recipe_members(_names(parsed.recipes), recipe.data, recipe.root, seeds)
    members += model_members(_names(parsed.models), members)
    return Comparison.create(
        members,
        data=recipe.data,
        root=recipe.root,
        split=parsed.split or "test",
        at=parsed.at or "native",
        protocol="own" if parsed.recipes else "same",
        title=parsed.title,
    )


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _alone(parsed: argparse.Namespace) -> None:
    """`--resume` goes on with what was asked for before."""
    given = {**cli_recipes.given_fields(parsed), "recipe": parsed.recipe, "architectures": parsed.architectures}
    given |= {name: getattr(parsed, name) for name in ("recipes", "models", "title", "seeds", "split", "at")}
    if also := [name for name, value in given.items() if value]:
        raise UserError(f"--resume goes on with the comparison as it is: leave --{also[0].replace('_', '-')} out")


@contextmanager
def asked_to_end() -> Any:
    """Yield what tells whether Ctrl-C or SIGTERM came; a second one ends at once."""
    received: list[int] = []

    def handle(number: int, _: object) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def listed(_: argparse.Namespace) -> tuple[Any, str]:
    """`comparisons list`."""
    from segmodels.evaluation.compare.comparison import list_comparisons

    rows = []
    for comparison in list_comparisons():
        states = [entry.state for entry in comparison.entries()]
        rows.append(
            {
                "comparison": comparison.id,
                "title": comparison.title,
                "state": comparison.state,
                "data": comparison.data,
                "split": comparison.split,
                "members": len(comparison.members),
                "evaluated": f"{states.count('evaluated')} of {len(states)}",
                "failed": states.count("failed"),
            }
        )
    columns = ["comparison", "title", "state", "data", "split", "members", "evaluated", "failed"]
    return rows, table(rows, columns) if rows else "no comparison yet: `compare --data D --architectures A,B` makes one"


def show(parsed: argparse.Namespace) -> tuple[Any, str]:
    """`comparisons show`."""
    from segmodels.evaluation.compare.comparison import find_comparison

    return _shown(find_comparison(parsed.comparison), choose("format", parsed.format, FORMATS), parsed.json)


def _shown(comparison: Any, form: str, pairs: bool) -> tuple[Any, str]:
    from segmodels.evaluation.compare.differences import real_differences
    from segmodels.evaluation.compare.table import comparison_table
    from segmodels.evaluation.compare.table_formats import to_csv, to_latex, to_markdown
    from segmodels.evaluation.compare.text import comparison_document, comparison_text

    entries = comparison.entries()
    rows = comparison_table(comparison, entries)
    if form != "text":
        written = {"csv": to_csv, "markdown": to_markdown, "latex": to_latex}[form](rows)
        return comparison_document(comparison, rows, None), written.rstrip("\n")
    found = real_differences(entries)
    return comparison_document(comparison, rows, found if pairs else None), comparison_text(comparison, rows, found)


def stop(parsed: argparse.Namespace) -> tuple[Any, str]:
    """`comparisons stop`."""
    from segmodels.conducted import ALIVE
    from segmodels.evaluation.compare.comparison import find_comparison

    comparison = find_comparison(parsed.comparison)
    comparison.request_stop()
    if comparison.wait(120) in ALIVE:
        raise UserError(f"comparison {comparison.id} has not stopped yet: its run ends after its present step")
    return {"comparison": comparison.id, "state": comparison.state}, f"comparison {comparison.id} is {comparison.state}"


def delete(parsed: argparse.Namespace) -> tuple[Any, str]:
    """`comparisons delete`."""
    from segmodels.evaluation.compare.comparison import find_comparison

    comparison = find_comparison(parsed.comparison)
    comparison.delete()
    return {"comparison": comparison.id, "deleted": True}, f"comparison {comparison.id} is deleted; its runs stay"


def report(parsed: argparse.Namespace) -> tuple[Any, str]:
    """`comparisons report`."""
    from segmodels.evaluation.compare.comparison import find_comparison

    comparison = find_comparison(parsed.comparison)
    path = parsed.out or f"{comparison.id}.html"
    return {"comparison": comparison.id, "path": str(user_path(path))}, _write_report(comparison, path)


def _report_target(path: str) -> Path:
    """Where a report is to be written; `UserError` where none can be."""
    target = user_path(path)
    folder = next((place for place in target.parents if place.exists()), target)
    if target.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UserError(f"{target} cannot be written: name a file in a folder of yours")
    return target


def _write_report(comparison: Any, path: str) -> str:
    from segmodels.report.comparison_report import comparison_report

    target = _report_target(path)
    write_text(target, comparison_report(comparison))
    return f"report: {target}"
