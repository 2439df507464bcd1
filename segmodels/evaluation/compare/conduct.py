"""Conducting a comparison: every run through the queue, then every evaluation, then what each model costs to use.

One process does this for one comparison, and can be killed at any moment: what is done is on disk, the runs go on by
themselves, and the next process goes on from there. Each model is evaluated and timed in a process of its own, so that
one that fails is a row with its reason. Trainings come first and timings last, so that no figure is of a machine that
was at something else.
"""

from __future__ import annotations

import shlex
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from segmodels.conducted import ALIVE
from segmodels.device import choose_devices
from segmodels.errors import UserError
from segmodels.evaluation.compare.comparison import Comparison
from segmodels.evaluation.compare.entries import CHECKPOINT, HISTORY, RECIPE, SPEED, TRAINING, Entry, checkpoint_of
from segmodels.evaluation.reports import COUNTS, DOCUMENT, load_report
from segmodels.files import explain_disk_errors, replacing, write_json
from segmodels.home import home
from segmodels.hub.checkpoint import read_spec
from segmodels.process import ask, start
from segmodels.recipe import Recipe
from segmodels.training.launch import revive
from segmodels.training.launchers import Launcher, opened, settle
from segmodels.training.launchers import stop as stop_run
from segmodels.training.placed import LOCAL, Resources
from segmodels.training.reporter import Reporter
from segmodels.training.runs import ALIVE as RUN_ALIVE
from segmodels.training.runs import RESUMABLE, Run

#: Seconds between two looks at the runs.
LOOK = 1.0


class Stopped(Exception):
    """The comparison was asked to end."""


def conduct(
    comparison: Comparison,
    *,
    on: str = LOCAL,
    resources: Resources | None = None,
    take_finished: bool = False,
    reporter: Reporter | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> str:
    """Go through a comparison, or go on with it; returns its state then: "finished" or "stopped".

    What failed before is tried again. Runs of it that wait or train when it is stopped are paused.

    Args:
        on: the launcher of its runs, by its name; evaluations go there too.
        resources: what each run may use.
        take_finished: whether weights of the same training that are on the Hub are taken instead of training.
        stop: asked every second.

    Raises:
        UserError: another process conducts it, it was deleted, or the disk is full.
    """
    told = reporter or Reporter()
    with comparison.lock():
        comparison.forget_failures()

        def look() -> None:
            if stop() or comparison.take_request():
                raise Stopped

        try:
            with opened(on, resources) as launcher:
                _train(comparison, launcher, told, look, Finished(told, look) if take_finished else None)
                _evaluate(comparison, launcher, told, look)
            _measure(comparison, told, look)
        except Stopped:
            _pause(comparison)
            comparison.write_status(state="stopped", phase="stopped")
            return "stopped"
        except UserError as error:
            with suppress(UserError):
                comparison.write_status(state="interrupted", phase="interrupted", error=str(error))
            raise
        comparison.write_status(state="finished", phase="finished")
        return "finished"


def begin(
    comparison: Comparison, on: str = LOCAL, resources: Resources | None = None, *, take_finished: bool = False
) -> None:
    """Conduct it in a process of its own, which outlives whoever started it; returns at once.

    Raises:
        UserError: a process is at work on it, no such device, or it cannot be written to.
    """
    wanted = resources or Resources()
    choose_devices(wanted.devices)
    if (state := comparison.status().get("state")) in ALIVE and comparison.locked():
        raise UserError(f"comparison {comparison.id} is {state} already")
    comparison.take_request()  # what was asked before is no concern of this process
    comparison.write_status(state="starting", phase="starting")
    words = ["compare", "--resume", str(comparison.path), *wanted.words(on)]
    words += ["--finished", "take"] if take_finished else []
    with explain_disk_errors(comparison.path), (comparison.path / "log.txt").open("ab") as log:
        start(
            words,
            variables={"SEGMODELS_HOME": str(home()), "PYTHONUNBUFFERED": "1"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _train(
    comparison: Comparison,
    launcher: Launcher,
    told: Reporter,
    look: Callable[[], None],
    finished: Finished | None,
) -> None:
    """Every run that is not there yet is made and put in the queue, or taken as it is on the Hub; then they are waited
    for."""
    _say(comparison, told, "queueing the runs")
    for entry in comparison.entries():
        member = comparison.members[entry.member]
        if member.recipe is None or entry.state == "evaluated":
            continue
        try:
            if entry.run is None:
                recipe, made = comparison.recipe_of(entry), partial(comparison.keep_run, entry.member, entry.seed)
                if finished is not None and (run := finished.run_of(recipe, entry.name)):
                    made(run)
                else:
                    launcher.start(recipe, made=made)
            elif entry.run.state in RESUMABLE or entry.run.was_forgotten:
                settle(entry.run)
                launcher.resume(entry.run)
        except UserError as error:
            comparison.fail(entry, str(error))
        look()
    runs = len(_own(comparison))
    while going := [entry for entry in _own(comparison) if entry.run and _goes(launcher, entry.run)]:
        revive()
        first = next((entry for entry in going if entry.state == "training"), going[0])
        _say(comparison, told, f"training {first.name}: {first.said}", runs - len(going), runs)
        look()
        time.sleep(LOOK)


def _goes(launcher: Launcher, run: Run) -> bool:
    """Whether a run trains, waits for its turn, or is about to be started again by whoever has it."""
    waits = launcher.watch(run)
    return waits is not None or run.state in RUN_ALIVE


class Finished:
    """Finished weights on the Hub, each looked for and taken by a process of its own: this one loads no engine."""

    def __init__(self, told: Reporter, look: Callable[[], None]) -> None:
        self.told, self.look = told, look
        self.reachable = True

    def run_of(self, recipe: Recipe, name: str) -> Run | None:
        """The run that was made of the weights of a training; None where there are none, or not to be trusted."""
        if not self.reachable:  # once is enough to wait for
            return None
        self.told.note(f"looking for finished weights of {name}")
        try:
            found = _ask(["cache", "take", *shlex.split(recipe.command())[4:]], self.look)
        except UserError as error:
            self.told.note(f"{name} is trained: {error}")
            return None
        self.reachable = found["reachable"]
        self.told.note(f"{name} is taken as {found['run']}" if found["run"] else f"{name} is trained")
        return Run(found["path"]) if found["run"] else None


def _own(comparison: Comparison) -> list[Entry]:
    return [entry for entry in comparison.entries() if comparison.members[entry.member].recipe is not None]


def _evaluate(comparison: Comparison, launcher: Launcher, told: Reporter, look: Callable[[], None]) -> None:
    entries = comparison.entries()
    for number, entry in enumerate(entries):
        if entry.state == "failed" or (entry.state == "evaluated" and _readable(entry)):
            continue
        member = comparison.members[entry.member]
        _say(comparison, told, f"evaluating {entry.name}", number, len(entries))
        try:
            state = entry.run.state if entry.run else ""
            if state in RUN_ALIVE:
                raise UserError(f"its run is {entry.said}: compare it once it has ended")
            if member.recipe is not None and entry.run is not None and state != "finished":
                raise UserError(f"its training was {entry.said}: go on with the comparison to finish it")
            checkpoint = checkpoint_of(entry, member)
            words = ["evaluate", str(checkpoint), "--data", comparison.data, "--split", comparison.split]
            words += ["--at", comparison.at, "--masks", *launcher.words]
            if comparison.root:
                words += ["--root", comparison.root]
            report = _ask(words, look)
            _keep(comparison, entry, checkpoint, Path(report["report"]))
        except UserError as error:
            comparison.fail(entry, str(error))
        look()


def _readable(entry: Entry) -> bool:
    """Whether what was kept of an evaluation is whole."""
    with suppress(UserError):
        return entry.report is not None and len(entry.report.counts) > 0
    return False


def _keep(comparison: Comparison, entry: Entry, checkpoint: Path, report: Path) -> None:
    """Copy into the comparison what it shows of a model: the model itself may learn on, or be deleted."""
    comparison.check_there()
    ours = {sample.id for sample in comparison.dataset().samples(comparison.split)}
    others = sum(sample_id not in ours for sample_id in load_report(report).counts.ids)
    with explain_disk_errors(entry.folder):
        entry.folder.mkdir(parents=True, exist_ok=True)
        if (run := entry.run) is None:
            recipe = dict(read_spec(checkpoint).recipe)
        else:
            recipe = run.recipe_now.model_dump(mode="json")
            if (run.path / "metrics.csv").is_file():
                _copy(run.path / "metrics.csv", entry.folder / HISTORY)
            write_json(entry.folder / TRAINING, _training(run))
        write_json(entry.folder / RECIPE, recipe)
        write_json(entry.folder / CHECKPOINT, {"path": str(checkpoint), "other_pictures": others})
        _copy(report / COUNTS, entry.folder / COUNTS)
        _copy(report / DOCUMENT, entry.folder / DOCUMENT)  # last: with it the entry counts as evaluated


def _copy(source: Path, target: Path) -> None:
    with replacing(target) as beside:
        shutil.copyfile(source, beside)


def _training(run: Run) -> dict[str, Any]:
    """What a training took."""
    status, history = run.status(), run.history()
    seconds = [row["seconds"] for row in history if isinstance(row.get("seconds"), int | float)]
    speeds = sorted(
        row["images_per_second"] for row in history if isinstance(row.get("images_per_second"), int | float)
    )
    best = status.get("best") or {}
    return {
        "run": run.id,
        "seconds": sum(seconds) if seconds else None,
        "images_per_second": speeds[len(speeds) // 2] if speeds else None,
        "peak_memory_bytes": status.get("peak_memory_bytes"),
        "epochs": status.get("epoch"),
        "best_epoch": best.get("epoch"),
        **{name: status.get(name) for name in ("device", "backend", "precision")},
    }


def _measure(comparison: Comparison, told: Reporter, look: Callable[[], None]) -> None:
    """What each model costs to use, once a member: seeds differ in nothing that this measures."""
    entries = comparison.entries()
    for number, entry in enumerate(entries):
        seeds = [other for other in entries if other.member == entry.member and other.state == "evaluated"]
        if not seeds or entry is not seeds[0] or entry.speed:
            continue
        _say(comparison, told, f"timing {entry.name}", number, len(entries))
        try:
            found = _ask(["speed", str(checkpoint_of(entry, comparison.members[entry.member]))], look)
        except UserError as error:
            found = {"error": str(error)}
        write_json(entry.folder / SPEED, found)
        look()


def _pause(comparison: Comparison) -> None:
    asked = []
    for entry in _own(comparison):
        if entry.run is not None and entry.run.state in RUN_ALIVE:
            with suppress(UserError):  # it has just ended
                stop_run(entry.run, "pause")
                asked.append(entry.run)
    for run in asked:
        run.wait()


def _ask(words: list[str], look: Callable[[], None]) -> dict[str, Any]:
    return ask(words, variables={"SEGMODELS_HOME": str(home())}, look=look)


def _say(comparison: Comparison, told: Reporter, phase: str, done: int = 0, total: int = 0) -> None:
    """Write what it is at; whoever is told hears of it once."""
    if comparison.status().get("phase") != phase:
        told.note(phase)
    comparison.write_status(state="running", phase=phase, done=done, total=total)
