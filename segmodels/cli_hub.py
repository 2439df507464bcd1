"""The verbs of the Hugging Face Hub: `pull`, and `cache` for what is kept of it."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

from segmodels.data.disk import megabytes
from segmodels.terminal import Terminal, table


def add_verbs(add: Callable[..., argparse.ArgumentParser], verbs: Any) -> None:
    """Add them; `add(group, name, verb, text)` makes one."""
    pull = add(verbs, "pull", _pull, "bring a model from the Hub; private ones with the token of HF_TOKEN")
    pull.add_argument("name", metavar="OWNER/NAME[@REV]", help="a branch, a tag or a commit; default: main")
    pull.add_argument("--check", action="store_true", help="only say whether there is a newer commit than is kept")
    cache = verbs.add_parser("cache", help="models of the Hub that are kept").add_subparsers(
        required=True, metavar="VERB"
    )
    add(cache, "list", _list, "the models that were pulled, and their sizes")
    delete = add(cache, "delete", _delete, "remove models from the disk")
    delete.add_argument("names", nargs="+", metavar="OWNER/NAME[@REV]", help="all that is kept of it, or one commit")


def _pull(parsed: argparse.Namespace) -> tuple[Any, str]:
    from segmodels.hub.pull import newer, pull

    terminal = Terminal()
    try:
        if parsed.check:
            commit = newer(parsed.name)
            text = (
                f"{parsed.name}: commit {commit} is newer" if commit else f"{parsed.name}: what is kept is the newest"
            )
            return {"model": parsed.name, "newer": commit}, text
        path = pull(parsed.name, reporter=terminal)
    finally:
        terminal.close()
    document = {"model": parsed.name, "commit": path.name, "path": str(path)}
    return document, f"{parsed.name}, commit {path.name[:12]}: {path}"


def _list(_: argparse.Namespace) -> tuple[Any, str]:
    from segmodels.hub.pulled import pulled_models

    kept = pulled_models()
    rows = [
        {
            "model": str(each), "commit": each.commit, "revisions": list(each.revisions), "bytes": each.size,
            "pulled": each.pulled, "path": str(each.path),
        }
        for each in kept
    ]  # fmt: skip
    shown = [
        {
            **row, "commit": each.commit[:12], "size": megabytes(each.size),
            "pulled": time.strftime("%Y-%m-%d %H:%M", time.localtime(each.pulled)),
        }
        for row, each in zip(rows, kept, strict=True)
    ]  # fmt: skip
    total = f"\n\n{megabytes(sum(each.size for each in kept))} in all" if kept else ""
    return rows, table(shown, ["model", "commit", "size", "pulled", "path"]) + total


def _delete(parsed: argparse.Namespace) -> tuple[Any, str]:
    from segmodels.hub.pulled import delete_pulled

    gone = [each for name in parsed.names for each in delete_pulled(name)]
    lines = [f"deleted {each.name}, commit {each.commit[:12]}: {megabytes(each.size)}" for each in gone]
    return [{"model": each.name, "commit": each.commit, "bytes": each.size} for each in gone], "\n".join(lines)
