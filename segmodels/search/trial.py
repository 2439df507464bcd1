"""What a worker does with one trial of a search: it makes its run, or goes on with it, and tells of each epoch.

The training has a thread of its own, which waits after each epoch until the search has decided whether the trial goes
on. All that is worth keeping is in the run's directory: a worker may be killed at any moment.
"""

from __future__ import annotations

import math
import os
import queue
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from segmodels.conducted import document_of
from segmodels.errors import UserError
from segmodels.files import write_json
from segmodels.search.search import Search, starts_path
from segmodels.training.reporter import Log, Reporter
from segmodels.training.runs import Run, is_run
from segmodels.training.start import make_run

#: So many workers in a row may die with a trial that does not get on.
STARTS = 5
#: Seconds that the trainer of a worker which was just killed has to be gone, and one that is asked to end has for it.
PATIENCE, ENDING = 60.0, 600.0


class TrialWorker:
    """One trial in this process.

    Args:
        folder: of the search.
        number: of the trial.
        variables: of the environment, set before an engine is loaded.
        gpus: how many it has; several train together.
    """

    def __init__(self, folder: str, number: int, variables: Mapping[str, str], gpus: int) -> None:
        os.environ.update(variables)
        self.search, self.number, self.gpus = Search(Path(folder)), number, gpus
        self.told: queue.Queue[dict[str, Any]] = queue.Queue()
        self.goes_on = threading.Event()
        self.thread: threading.Thread | None = None

    def step(self) -> dict[str, Any]:
        """Train for an epoch; returns its figures, or how the trial ended: then `done` is true, `state` is that of its
        run, and `said` the reason where it failed."""
        if self.thread is None:
            self.thread = threading.Thread(target=self._work, name="train", daemon=True)
            self.thread.start()
        self.goes_on.set()
        return self.told.get()

    def end(self) -> None:
        """End before the last epoch, with all saved. Where the search wrote down that it pruned the trial, its run says
        so; else it is paused."""
        if self.thread is None or not self.thread.is_alive():
            return
        record = document_of(self.search.record_path(self.number))
        pruned, run = record.get("state") == "pruned", Run(self.search.run_path(self.number))
        with suppress(UserError):  # it has just ended
            run.request("stop" if pruned else "pause")
        self.goes_on.set()
        self.thread.join(ENDING)
        if pruned and not self.thread.is_alive():
            said = f"pruned by asha {record.get('said')}"
            Log(run.path / "log.txt", Reporter()).note(said)
            with suppress(UserError):
                run.write_status(phase=said)

    def _work(self) -> None:
        try:
            said = self._train()
        except UserError as error:
            said = {"state": "failed", "said": str(error)}
        except Exception as error:
            said = {"state": "failed", "said": f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"}
        self.told.put({**said, "done": True})

    def _train(self) -> dict[str, Any]:
        run = self._run()
        self._count_starts(run)
        state = run.state
        if state == "finished":
            return {"state": state, "said": ""}

        from segmodels.training.train import train

        reporter = _Epochs(self.told, self.goes_on, run, self.search.space.how.metric)
        train(resume=run, devices="all" if self.gpus else "cpu", queue=False, reporter=reporter)
        return {"state": run.state, "said": ""}

    def _run(self) -> Run:
        """The trial's run, made where there is none, and free of a worker that was killed."""
        path = self.search.run_path(self.number)
        if not is_run(path):
            shutil.rmtree(path, ignore_errors=True)  # what a worker left that was killed while it made one
            return make_run(self.search.recipe_of(self.number), path)
        run, end = Run(path), time.monotonic() + PATIENCE
        while run.locked() and time.monotonic() < end:
            time.sleep(0.2)
        return run

    def _count_starts(self, run: Run) -> None:
        """`UserError` where the workers before all died at the same place."""
        path = starts_path(self.search.record_path(self.number))
        before, status = document_of(path), run.status()
        place = [int(status.get("epoch") or 0), int(status.get("step") or 0)]
        starts = int(before.get("starts") or 0) + 1 if before.get("place") == place else 1
        if starts > STARTS:
            raise UserError(
                f"{STARTS} workers died with it at epoch {place[0]}, step {place[1]}: is memory short? "
                "Search smaller networks or batches"
            )
        write_json(path, {"starts": starts, "place": place})


class _Epochs(Reporter):
    """Tells of each epoch, and waits until it may go on, or the run is asked to end."""

    def __init__(self, told: queue.Queue[dict[str, Any]], goes_on: threading.Event, run: Run, metric: str) -> None:
        self.told, self.goes_on, self.run, self.metric = told, goes_on, run, metric

    def epoch(self, row: dict[str, Any], epochs: int) -> None:
        value = row.get(self.metric)
        figure = value if isinstance(value, int | float) else math.nan
        self.goes_on.clear()
        self.told.put({"epoch": row["epoch"], "epochs": epochs, self.metric: figure, "done": False})
        request: Callable[[], bool] = (self.run.path / "request.json").exists
        while not self.goes_on.wait(0.2) and not request():
            pass
