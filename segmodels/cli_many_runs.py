"""The verbs of `python -m segmodels runs` that keep many of them in order: find, note, compare, line up, delete."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segmodels.errors import UserError, choose
from segmodels.terminal import table

if TYPE_CHECKING:
    from segmodels.training.runs import Run


def add_verbs(add: Callable[..., argparse.ArgumentParser], runs: Any) -> None:
    """Add the verbs to the group `runs`; `add(group, name, verb, text)` makes one."""
    listed = add(runs, "list", list_all, "every run with its state and best figures")
    listed.add_argument("--state", metavar="S", action="append", default=[], help="only in this state (repeatable)")
    listed.add_argument("--tag", metavar="T", action="append", default=[], help="only with this tag (repeatable)")
    listed.add_argument(
        "--search", metavar="TEXT", default="",
        help="only those with all of these words in name, data set, network, note or tags",
    )  # fmt: skip
    deleted = add(runs, "delete", delete, "put runs and all that they hold away; `restore` has them back for a week")
    deleted.add_argument("runs", metavar="RUN", nargs="+")
    deleted.add_argument("--for-good", action="store_true", help="remove them at once")
    restored = add(runs, "restore", restore, "have a deleted run back")
    restored.add_argument("run", metavar="RUN", nargs="?", help="left out: list those that there are")
    add(runs, "empty", empty, "remove the deleted runs for good")
    noted = add(runs, "note", note, "read or write what you have to say about a run")
    noted.add_argument("run", metavar="RUN")
    noted.add_argument("text", metavar="TEXT", nargs="?", help="the note, in place of the one before; '' for none")
    noted.add_argument("--tag", metavar="TAG", action="append", default=[], help="add it (repeatable)")
    noted.add_argument("--untag", metavar="TAG", action="append", default=[], help="take it away (repeatable)")
    compared = add(runs, "diff", diff, "in what the recipes of two runs differ")
    for name in ("one", "other"):
        compared.add_argument(name, metavar="RUN", help="a run, or a recipe: one of `recipes`, or a file")
    moved = add(runs, "move", move, "put a waiting run at another place in the queue")
    moved.add_argument("run", metavar="RUN")
    moved.add_argument("place", metavar="PLACE", nargs="?", type=int, help="among those that wait; 1 is the next")
    moved.add_argument("--first", action="store_true", help="the next")
    moved.add_argument("--last", action="store_true", help="behind all others")


def list_all(parsed: argparse.Namespace) -> tuple[Any, str]:
    """`runs list`."""
    from segmodels.training.launch import revive
    from segmodels.training.overview import STATES, overview, select

    states = [choose("state", state, STATES) for state in parsed.state]
    revive()
    every = overview()
    rows = []
    for row in select(every, text=parsed.search, states=states, tags=parsed.tag):
        said = asdict(row)
        first = ("state", "epoch", "epochs", "best_epoch", "mean_iou", "place", "waiting_for")
        rows.append({"run": said.pop("id"), **{name: said.pop(name) for name in first}, **said, "path": str(row.path)})
    columns = ["run", "state", "epoch", "epochs", "best_epoch", "mean_iou"]
    if any(row["waiting_for"] for row in rows):
        columns += ["place", "waiting_for"]
    if any(row["tags"] for row in rows):
        columns += ["tags"]
    if not rows:
        return rows, "no run is like that" if every else "no runs yet"
    shown = [{**row, "run": _line(row["run"]), "tags": _line(", ".join(row["tags"]))} for row in rows]
    problems = [f"{_line(row['run'])}: {row['problem']}" for row in rows if row["problem"]]
    return rows, "\n".join([table(shown, columns), *problems])


def delete(parsed: argparse.Namespace) -> tuple[Any, str]:
    """`runs delete`: of one run as of several, which stops at none that cannot be deleted."""
    from segmodels.training import trash
    from segmodels.training.launch import revive

    found = list({run.path: run for run in map(_find_listed, parsed.runs)}.values())
    rows: list[dict[str, Any]] = []
    for run in found:
        try:
            trash.remove(run) if parsed.for_good else trash.delete(run)
            rows.append({"run": run.id, "state": "deleted"})
        except UserError as error:
            if len(found) == 1:
                raise
            print(f"segmodels: {_line(str(error))}", file=sys.stderr)
            rows.append({"run": run.id, "state": run.state, "error": str(error)})
            parsed.exit_code = 2
    revive()
    for_good = " for good" if parsed.for_good else ""
    lines = [f"run {_line(row['run'])} is deleted{for_good}" for row in rows if row["state"] == "deleted"]
    if lines and not for_good:
        lines.append("`runs restore RUN` has it back within a week")
    return rows[0] if len(found) == 1 else rows, "\n".join(lines)


def restore(parsed: argparse.Namespace) -> tuple[Any, str]:
    """`runs restore`."""
    from segmodels.training import trash

    if parsed.run is not None:
        run = trash.restore(parsed.run)
        return {"run": run.id, "path": str(run.path), "state": run.state}, f"run {_line(run.id)} is back: {run.path}"
    found = trash.deleted()
    rows = [{"run": entry.id, "deleted": entry.when, "path": str(entry.origin)} for entry in found]
    shown = [
        {
            "run": _line(entry.id),
            "deleted": datetime.fromtimestamp(entry.when).strftime("%Y-%m-%d %H:%M"),
            "path": _line(str(entry.origin)),
        }
        for entry in found
    ]
    return rows, table(shown, ["run", "deleted", "path"]) if rows else "there is nothing to restore"


def empty(_: argparse.Namespace) -> tuple[Any, str]:
    """`runs empty`."""
    from segmodels.training.trash import purge

    removed = purge(0)
    runs = "1 run is" if removed.runs == 1 else f"{removed.runs} runs are"
    return asdict(removed), f"{runs} removed for good, which freed {removed.bytes / 1e6:,.1f} MB"


def note(parsed: argparse.Namespace) -> tuple[Any, str]:
    """`runs note`."""
    from segmodels.training.notes import read_notes, write_notes
    from segmodels.training.runs import find_run

    run = find_run(parsed.run)
    notes = read_notes(run)
    if parsed.text is not None or parsed.tag or parsed.untag:
        gone = {" ".join(tag.split()).casefold() for tag in parsed.untag}
        tags = [tag for tag in (*notes.tags, *parsed.tag) if tag.casefold() not in gone]
        notes = write_notes(run, parsed.text, tags)
    lines = [f"run {_line(run.id)}", *([notes.note] if notes.note else [])]
    lines += [f"tags: {', '.join(notes.tags)}"] if notes.tags else []
    nothing = [] if len(lines) > 1 else ["no note and no tags yet"]
    return {"run": run.id, "note": notes.note, "tags": list(notes.tags)}, "\n".join(lines + nothing)


def diff(parsed: argparse.Namespace) -> tuple[Any, str]:
    """`runs diff`."""
    from segmodels.models.options import option_text
    from segmodels.training.recipe_difference import differences

    (one, its), (other, others) = _recipe(parsed.one), _recipe(parsed.other)
    found = differences(its, others)
    document = {"one": one, "other": other, "differences": [asdict(each) for each in found]}
    if not found:
        return document, f"{_line(one)} and {_line(other)} have the same recipe"
    left, right = _line(one), _line(other) if other != one else f"{_line(other)} (2)"
    rows = [
        {
            "field": _line(each.field),
            left: None if each.one is None else _line(option_text(each.one)),
            right: None if each.other is None else _line(option_text(each.other)),
        }
        for each in found
    ]
    return document, table(rows, ["field", left, right])


def move(parsed: argparse.Namespace) -> tuple[Any, str]:
    """`runs move`."""
    from segmodels.training import queue
    from segmodels.training.launch import revive
    from segmodels.training.runs import find_run

    if (parsed.place is not None) + parsed.first + parsed.last != 1:
        raise UserError("say where to: a PLACE, 1 for the next, or --first, or --last")
    if parsed.place is not None and parsed.place < 1:
        raise UserError(f"there is no place {parsed.place}: 1 is the next")
    revive()
    run = find_run(parsed.run)
    to = 0 if parsed.first else sys.maxsize if parsed.last else parsed.place - 1
    place = queue.move(run.path, to) + 1
    line = queue.waiting_runs()
    where = "is the next" if place == 1 else f"has place {place} of the {max(place, len(line))} that wait"
    return {"run": run.id, "place": place, "line": line}, f"run {_line(run.id)} {where}"


def _find_listed(name: str) -> Run:
    """A run by its id or its directory, also one of which only a part is left; `UserError` where there is none."""
    from segmodels.training.overview import overview
    from segmodels.training.runs import Run, find_run

    try:
        return find_run(name)
    except UserError:
        for row in overview():
            if row.id == name:
                return Run(row.path)
        raise


def _recipe(name: str) -> tuple[str, dict[str, Any]]:
    """What a run or a recipe is called, and its fields; of a run as they stand there, of whatever version, after what
    was changed while it went."""
    from segmodels.files import read_json
    from segmodels.named_recipes import NAMED_RECIPES, named_recipe
    from segmodels.recipe import Recipe
    from segmodels.training.changes import changes_of
    from segmodels.training.runs import find_run

    try:
        run = find_run(name)
    except UserError:
        if name in NAMED_RECIPES:
            return name, named_recipe(name).model_dump(mode="json")
        if "\0" not in name and Path(name).is_file():
            return name, Recipe.load(name).model_dump(mode="json")
        raise
    document = read_json(run.path / "recipe.json")
    if not isinstance(document, dict):
        raise UserError(f"{run.path / 'recipe.json'} is no recipe; it may be damaged")
    for change in changes_of(run.path):
        document |= change.values
    return run.id, document


def _line(text: str) -> str:
    """A text that may hold anything, on one line of a terminal."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", text)
