"""The verb `train`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from segmodels import cli_finished, cli_recipes
from segmodels.cli_cluster import add_on, is_on_ray, resources_of
from segmodels.cli_runs import add_devices
from segmodels.errors import UserError
from segmodels.terminal import Terminal

if TYPE_CHECKING:
    from segmodels.training.hosts import Hosts
    from segmodels.training.runs import Run


def add_verbs(add: Callable[..., argparse.ArgumentParser], verbs: Any) -> None:
    """Add `train`; `add(group, name, verb, text)` makes a verb."""
    made = add(verbs, "train", train, "train a model; every field of a recipe is an option")
    cli_recipes.add_fields(made)
    made.add_argument("--run-dir", metavar="DIR", help="where to write (default: a new folder in the home's runs/)")
    made.add_argument("--resume", metavar="RUN", help="go on with a run that was paused, stopped or interrupted")
    made.add_argument("--background", action="store_true", help="start it, or put it in the queue, and return at once")
    cli_finished.add_option(made)
    add_devices(made)
    add_on(made)


def train(parsed: argparse.Namespace) -> tuple[Any, str]:
    """`train`."""
    from segmodels.training.hosts import hosts
    from segmodels.training.launch import revive

    terminal = Terminal()
    if (others := hosts()) and not others.leads:
        return _follow(others, parsed.devices, terminal)
    elsewhere = is_on_ray(parsed) or parsed.background
    if others and elsewhere:
        raise UserError("several hosts train here, together: leave --on and --background out")
    revive()
    recipe = None if parsed.resume is not None else cli_recipes.recipe_of(parsed)
    if parsed.resume is not None:
        _check_alone(parsed)
    said = cli_finished.choice(parsed)
    try:
        run = None
        if recipe is not None:
            run = cli_finished.taken_instead(recipe, said, path=parsed.run_dir, reporter=terminal)
        if run is None:
            run = (_elsewhere if elsewhere else _here)(parsed, recipe, terminal)
    finally:
        terminal.close()
    status = run.status()
    best = status.get("best") or {}
    lines = [f"{status['state']}: {run.path}"]
    if best.get("epoch"):
        lines.append(f"best epoch {best['epoch']}, validation mean IoU {best['mean_iou']:.4f}")
        lines.append(f"next: python -m segmodels evaluate {run.id if parsed.run_dir is None else run.path}")
    return {"run": run.id, "path": str(run.path), "status": status}, "\n".join(lines)


def _check_alone(parsed: argparse.Namespace) -> None:
    given = {**cli_recipes.given_fields(parsed), "recipe": parsed.recipe, "option": parsed.option}
    given["finished"] = parsed.finished != "ask"
    if also := [name for name, value in given.items() if value]:
        option = also[0].replace("_", "-")
        raise UserError(f"--resume goes on under the run's own recipe: leave --{option} out")


def _here(parsed: argparse.Namespace, recipe: Any, terminal: Terminal) -> Run:
    """Train in this process."""
    from segmodels.training.launchers import settle
    from segmodels.training.runs import find_run
    from segmodels.training.train import train

    if recipe is None:
        settle(find_run(parsed.resume))
    return train(recipe, run_dir=parsed.run_dir, resume=parsed.resume, reporter=terminal, devices=parsed.devices)


def _elsewhere(parsed: argparse.Namespace, recipe: Any, terminal: Terminal) -> Run:
    """Have it trained by a launcher, and stay with it unless it is to be left."""
    from segmodels.cluster.connection import LOCAL, address_of
    from segmodels.training.launchers import opened, settle
    from segmodels.training.launchers.wait import wait
    from segmodels.training.runs import find_run

    if parsed.on == "ray" and parsed.background and address_of(parsed.address) == LOCAL:
        raise UserError("a Ray of this command alone ends with it: leave --background out, or name an --address")
    run = None if parsed.resume is None else find_run(parsed.resume)
    with opened(parsed.on, resources_of(parsed)) as launcher:
        if run is None:
            run = launcher.start(recipe, path=parsed.run_dir)
        else:
            settle(run)
            launcher.resume(run)
        terminal.note(f"{run.id} goes to {parsed.on}")
        if not parsed.background:
            wait(launcher, run, terminal)
    return run


def _follow(hosts: Hosts, devices: str | None, terminal: Terminal) -> tuple[Any, str]:
    """`train` on a host that is not the first, which alone says what is trained."""
    from segmodels.training.follow import follow

    try:
        run, state = follow(hosts, devices, terminal)
    finally:
        terminal.close()
    return {"run": run, "state": state, "host": hosts.number}, f"{state}: {run}, which the first host has"
