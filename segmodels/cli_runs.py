"""The verbs of `python -m segmodels runs`, and `devices`."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from typing import Any

from segmodels import cli_many_runs
from segmodels.cli_cluster import add_on, is_on_ray, resources_of
from segmodels.cluster.connection import LOCAL, address_of
from segmodels.errors import UserError, choose
from segmodels.terminal import table


def add_verbs(add: Callable[..., argparse.ArgumentParser], runs: Any) -> None:
    """Add the verbs to the group `runs`; `add(group, name, verb, text)` makes one."""
    cli_many_runs.add_verbs(add, runs)
    for name, verb, text in (
        ("show", show, "one run: status, recipe and figures"),
        ("pause", request, "save and end, or leave the queue; `resume` goes on"),
        ("stop", request, "end and keep the best epoch, or leave the queue"),
        ("resume", resume, "go on in a process of its own, at the end of the queue"),
    ):
        made = add(runs, name, verb, text)
        made.add_argument("run", metavar="RUN")
        made.set_defaults(name=name)
        if name == "resume":
            add_devices(made)
            add_on(made)
    changed = add(runs, "change", change, "another learning rate or number of epochs, from the next step on")
    changed.add_argument("run", metavar="RUN")
    changed.add_argument("--learning-rate", type=float, metavar="X", help="its highest value; the schedule follows it")
    changed.add_argument("--epochs", type=int, metavar="N", help="more, of a finished run too, or fewer")
    reported = add(runs, "report", report, "all of a run in one HTML file that opens anywhere, also of a damaged one")
    reported.add_argument("run", metavar="RUN")
    reported.add_argument("--out", metavar="FILE.html", help="default: RUN.html in the working directory")
    exported = add(runs, "export", export, "the figures of runs for TensorBoard, or all that a spreadsheet reads")
    exported.add_argument("runs", metavar="RUN", nargs="+")
    exported.add_argument("--to", required=True, metavar="tensorboard|csv", help="event files, or a zip for each run")
    exported.add_argument("--out", required=True, metavar="DIR")


def add_devices(verb: argparse.ArgumentParser) -> None:
    """The option `--devices` of what trains."""
    verb.add_argument(
        "--devices", metavar="all|N,...|any|cpu",
        help="all GPUs or several, by their numbers of `devices`, train the run together; one trains it alone; any is "
        "the first that is free (the default; the CPU where there is no GPU); a run waits while they train another",
    )  # fmt: skip


def show(parsed: argparse.Namespace) -> tuple[Any, str]:
    """`runs show`."""
    from segmodels.training.launch import revive
    from segmodels.training.runs import find_run

    revive()
    run = find_run(parsed.run)
    status, history = run.status(), run.history()
    document = {
        "run": run.id,
        "path": str(run.path),
        "status": status,
        "recipe": run.recipe.model_dump(mode="json"),
        "history": history,
    }
    columns = ["epoch", "loss", "mean_iou", "val_loss", "val_pixel_accuracy", "val_mean_iou", "seconds"]
    state = status["state"]
    if status.get("error") or status.get("waiting_for"):
        state += f": {status.get('error') or status['phase']}"
    return document, "\n".join([f"{run.path}", state, run.recipe.command(), table(history, columns)])


def request(parsed: argparse.Namespace) -> tuple[Any, str]:
    """`runs pause` and `runs stop`."""
    from segmodels.training.launch import revive
    from segmodels.training.launchers import stop
    from segmodels.training.runs import find_run

    run = find_run(parsed.run)
    stop(run, parsed.name)
    state = run.wait()  # for a step, the saving of the state, or the compilation that is under way
    revive()
    return {"run": run.id, "state": state}, f"run {run.id} is {state}"


def change(parsed: argparse.Namespace) -> tuple[Any, str]:
    """`runs change`."""
    from segmodels.training.changes import ask_for_change, wanted_change
    from segmodels.training.runs import ALIVE, find_run

    run = find_run(parsed.run)
    ask_for_change(run, learning_rate=parsed.learning_rate, epochs=parsed.epochs)
    wanted = {name: value for name in ("learning_rate", "epochs") if (value := getattr(parsed, name)) is not None}
    state = run.state
    said = ", ".join(f"{name} {value:g}" for name, value in wanted.items())
    when = "from its next step on" if state in ALIVE else f"once it goes on: python -m segmodels runs resume {run.id}"
    return {
        "run": run.id,
        "state": state,
        "wanted": {**wanted, **wanted_change(run.path)},
    }, f"run {run.id}: {said} {when}"


def resume(parsed: argparse.Namespace) -> tuple[Any, str]:
    """`runs resume`."""
    from segmodels.training.launch import revive
    from segmodels.training.launchers import opened, settle
    from segmodels.training.runs import find_run

    if is_on_ray(parsed) and address_of(parsed.address) == LOCAL:
        raise UserError("a Ray of this command alone ends with it: name a cluster's --address, or `train --resume RUN`")
    revive()  # those come first
    run = find_run(parsed.run)
    settle(run)
    with opened(parsed.on, resources_of(parsed)) as launcher:
        launcher.resume(run)
    waiting_for = run.status().get("waiting_for")
    document = {"run": run.id, "state": "queued", "waiting_for": waiting_for}
    goes_on = f"goes on after {waiting_for}" if waiting_for else "goes on"
    return document, f"run {run.id} {goes_on}; its log is {run.path / 'log.txt'}"


def report(parsed: argparse.Namespace) -> tuple[Any, str]:
    """`runs report`."""
    from segmodels.files import user_path, write_text
    from segmodels.report.run_report import run_report
    from segmodels.training.run_files import find_remains

    run = find_remains(parsed.run)
    path = user_path(parsed.out if parsed.out is not None else f"{run.id}.html")
    write_text(path, run_report(run))
    return {"run": run.id, "file": str(path)}, f"report of run {run.id}: {path}"


def export(parsed: argparse.Namespace) -> tuple[Any, str]:
    """`runs export`."""
    from segmodels.files import user_path
    from segmodels.training.run_files import find_remains, write_archive
    from segmodels.training.tensorboard import write_events

    form, folder = choose("form", parsed.to, ("tensorboard", "csv")), user_path(parsed.out)
    found = list({run.path: run for run in map(find_remains, parsed.runs)}.values())
    names = [run.id for run in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"two of the runs are called {twice[0]}: export them into folders of their own")
    rows = []
    for run in found:
        path = write_events(run, folder / run.id) if form == "tensorboard" else None
        path = path or write_archive(run, folder / f"{run.id}.zip")
        rows.append({"run": run.id, "file": str(path)})
    lines = [f"run {row['run']}: {row['file']}" for row in rows]
    if form == "tensorboard":
        lines.append(f"next: {shlex.join(['tensorboard', '--logdir', str(folder)])}")
    return rows, "\n".join(lines)


def devices(_: argparse.Namespace) -> tuple[Any, str]:
    """`devices`."""
    from segmodels.device import devices
    from segmodels.engines import chosen_engine, engine_versions
    from segmodels.training.queue import at_work

    found, engines, runs = devices(), engine_versions(), at_work()
    rows = [{**device.document(), "run": runs.get(device.key)} for device in found]
    shown = [
        {
            "number": "-" if device.number is None else device.number,
            "device": device.name,
            "memory": f"{device.memory / 2**30:.0f} GB",
            "free": f"{device.free / 2**30:.0f} GB" if device.free is not None else None,
            "compute": ".".join(map(str, device.capability))
            if device.capability
            else " ".join(device.features) or None,
            "driver": device.driver,
            "precision": device.precision,
            "xla": "yes" if device.xla else "no",
            "run": row["run"],
        }
        for device, row in zip(found, rows, strict=True)
    ]
    chosen = chosen_engine()
    named = ", ".join(
        f"{name} {version or 'is not installed'}{' (in use)' if name == chosen and version else ''}"
        for name, version in engines.items()
    )
    notes = [device.note for device in found if device.note]
    text = "\n".join([table(shown, list(shown[0])), "", f"engines: {named}", *notes])
    return {"devices": rows, "engines": engines, "engine": chosen, "notes": notes}, text
