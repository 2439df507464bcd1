"""Start a training in a process of its own, which outlives whoever started it. Loads no Keras."""

from __future__ import annotations

import subprocess
import threading

from segmodels.errors import UserError
from segmodels.files import explain_disk_errors
from segmodels.process import start
from segmodels.recipe import Recipe
from segmodels.training.preflight import check
from segmodels.training.runs import Run, check_resumable


def launch(recipe: Recipe) -> Run:
    """Create a run and start its trainer; returns at once. `UserError` where it cannot train or be written."""
    check(recipe)
    run = Run.create(recipe)
    _start(run, ["--recipe", str(run.path / "recipe.json"), "--run-dir", str(run.path)])
    return run


def relaunch(run: Run) -> None:
    """Start a trainer that goes on with a run that was paused, stopped or interrupted; `UserError` for any other."""
    check_resumable(run)
    run.take_request()  # what was asked of the trainer before is no concern of the next
    run.write_status(state="queued", error=None, phase="starting")
    _start(run, ["--resume", str(run.path)])


def _start(run: Run, arguments: list[str]) -> None:
    with explain_disk_errors(run.path), (run.path / "log.txt").open("ab") as log:
        process = start(
            ["train", *arguments],
            variables={"PYTHONUNBUFFERED": "1"},
            stdout=log,
            stderr=log,
            start_new_session=True,  # a closed terminal or a stopped server does not take it along
        )
    threading.Thread(target=_reap, args=(run, process), name=f"reap-{run.id}", daemon=True).start()


def _reap(run: Run, process: subprocess.Popen) -> None:
    """Wait, so that no zombie is left; a process that died before it took its run says so in the status."""
    code = process.wait()
    try:
        if code and run.status().get("state") == "queued":
            lines = [line for line in run.log(20).splitlines() if line.strip()]
            reason = lines[-1] if lines else f"the trainer ended with exit code {code}"
            run.write_status(state="failed", error=reason, phase="failed")
    except (OSError, UserError):
        pass  # the run was deleted meanwhile
