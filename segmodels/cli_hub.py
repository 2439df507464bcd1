"""The verbs of the Hugging Face Hub: `push`, `pull`, and `cache` for what is kept of it."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

from segmodels import cli_finished
from segmodels.data.disk import megabytes
from segmodels.terminal import Terminal, table


def add_verbs(add: Callable[..., argparse.ArgumentParser], verbs: Any) -> None:
    """Add them; `add(group, name, verb, text)` makes one."""
    pull = add(verbs, "pull", _pull, "bring a model from the Hub; private ones with the token of HF_TOKEN")
    pull.add_argument("name", metavar="OWNER/NAME[@REV]", help="a branch, a tag or a commit; default: main")
    pull.add_argument("--check", action="store_true", help="only say whether there is a newer commit than is kept")
    push = add(
        verbs,
        "push",
        _push,
        "put a model on the Hub in one commit; the token is that of HF_TOKEN or of `hf auth login`",
    )
    push.add_argument("model", metavar="MODEL", help="a checkpoint directory, a run, or hf://owner/name@revision")
    push.add_argument("name", metavar="OWNER/NAME", help="a repository, which is made where there is none")
    push.add_argument("--private", action="store_true", help="only its owner may see a repository that is made")
    push.add_argument("--revision", metavar="BRANCH", help="made where there is none (default: main)")
    push.add_argument("--pull-request", action="store_true", help="propose the commit instead of making it")
    push.add_argument("--message", metavar="TEXT", help="of the commit")
    cache = verbs.add_parser("cache", help="models of the Hub that are kept").add_subparsers(
        required=True, metavar="VERB"
    )
    cli_finished.add_verbs(add, cache)
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


def _push(parsed: argparse.Namespace) -> tuple[Any, str]:
    from segmodels.hub.push import push

    terminal = Terminal()
    try:
        pushed = push(
            parsed.model,
            parsed.name,
            private=parsed.private or None,
            revision=parsed.revision,
            pull_request=parsed.pull_request,
            message=parsed.message,
            progress=terminal.progress,
        )
    finally:
        terminal.close()
    document = {
        "repository": pushed.repository, "commit": pushed.commit, "url": pushed.url,
        "pull_request": pushed.pull_request, "files": pushed.files, "bytes": pushed.size,
    }  # fmt: skip
    if not pushed.files:
        return document, f"{parsed.name} has this checkpoint already, commit {pushed.commit[:12]}: {pushed.url}"
    what = "proposed in" if pushed.pull_request else "commit"
    count = f"{pushed.files} file{'s' if pushed.files != 1 else ''}, {megabytes(pushed.size)}"
    return document, f"{parsed.name}, {what} {pushed.commit[:12]}, {count}: {pushed.url}"


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
