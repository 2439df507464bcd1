"""Conducting a search with Ray Tune: each trial is a run of its own, trained by a worker that Ray starts.

One process does this for one search, and can be killed at any moment: what is done is on disk, and the next process
goes on from there. A trial whose worker dies is started again by Tune and goes on from what its run saved last.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any

from segmodels.cluster.connection import LOCAL, connected, missing_ray
from segmodels.cluster.nodes import check_nodes, environment, share
from segmodels.cluster.watch import watched
from segmodels.conducted import ALIVE
from segmodels.errors import UserError
from segmodels.files import explain_disk_errors
from segmodels.home import home
from segmodels.hosted import limits
from segmodels.process import start
from segmodels.search.search import DONE, Search, Trial
from segmodels.search.space import values_text
from segmodels.training.reporter import Reporter

#: Seconds between two writes of how far it is.
LOOK = 2.0
#: Seconds that runs have to end when the search is stopped; those that take longer are cut off, and lose a little.
ENDING = 120.0
#: What is set for Tune: nothing but what is asked for is written, and nothing of it to the console.
_QUIET = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # the last message of a trial has no figures
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # who asks for the search to end is heard by `stop`
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_THRESHOLD_S": "1000",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
}


def conduct(
    search: Search,
    *,
    reporter: Reporter | None = None,
    stop: Callable[[], bool] = lambda: False,
    gone: Callable[[str], None] = lambda said: None,
) -> str:
    """Go through a search, or go on with it; returns its state then: "finished" or "stopped".

    Trials that are finished or were pruned stay as they are, others go on, and what failed is tried again. Runs that
    train when it is stopped are paused.

    Args:
        stop: asked several times a second.
        gone: called from another thread, with a line on it, when the cluster has vanished. Ray then leaves this process
            waiting, and ends it after a minute; all runs can go on elsewhere.

    Raises:
        UserError: no Ray, no such cluster, another process conducts it, it was deleted, or the disk is full.
    """
    told = reporter or Reporter()
    with search.lock():
        search.forget_failures()
        try:
            _Conductor(search, told, stop, gone).go()
        except UserError as error:
            with suppress(UserError):
                search.write_status(state="interrupted", phase="interrupted", error=str(error))
            raise
        finally:
            shutil.rmtree(search.path / "tune", ignore_errors=True)
        left = [trial for trial in search.trials() if trial.state not in (*DONE, "failed")]
        state = "stopped" if left else "finished"
        search.write_status(state=state, phase=state)
        return state


def begin(search: Search) -> None:
    """Conduct it in a process of its own, which outlives whoever started it; returns at once.

    Raises:
        UserError: no Ray, a process is at work on it, or it cannot be written to.
    """
    if said := missing_ray():
        raise UserError(said)
    if limits().hosted:
        raise UserError("hosted demo: nothing is searched here; run segmodels on a computer of your own")
    if (state := search.status().get("state")) in ALIVE and search.locked():
        raise UserError(f"search {search.id} is {state} already")
    search.take_request()  # what was asked before is no concern of this process
    search.write_status(state="starting", phase="starting")
    with explain_disk_errors(search.path), (search.path / "log.txt").open("ab") as log:
        start(
            ["tune", "--resume", str(search.path)],
            variables={"SEGMODELS_HOME": str(home()), "PYTHONUNBUFFERED": "1"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


class _Conductor:
    """One search while this process conducts it."""

    def __init__(self, search: Search, told: Reporter, stop: Callable[[], bool], gone: Callable[[str], None]) -> None:
        self.search, self.told, self.stop, self.gone = search, told, stop, gone
        self.stops = False
        self.phase, self.said, self.looked = "", -1, 0.0
        self.done: set[int] = set()

    def go(self) -> None:
        resources = self.search.resources
        address = resources.address if self.search.on == "ray" else LOCAL
        trials = self.search.trials()
        open_trials = [trial for trial in trials if trial.state not in DONE]
        self.done = {trial.number for trial in trials if trial.state in DONE}
        self._say("connecting to Ray")
        if not open_trials:
            return
        with _quiet(), connected(address) as ray:
            each = share(ray, resources.cpus, resources.gpus)
            check_nodes(ray, [home(), self.search.path])
            self._say(f"training, {each} a trial")
            # Tune takes trials in their order; those that have begun come first.
            order = sorted(open_trials, key=lambda trial: (trial.run is None, trial.number))
            with watched(ray.get_runtime_context().gcs_address, self._gone):
                self._tune([trial.number for trial in order], trials, each.cpus, each.gpus)

    def _gone(self, said: str) -> None:
        line = (
            f"{said}: go on elsewhere, as with python -m segmodels tune --resume {self.search.id} --on ray "
            "--address local"
        )
        with suppress(UserError):
            self.search.write_status(state="running", phase="the cluster is gone", error=line)
        self.gone(line)

    def _tune(self, numbers: list[int], trials: list[Trial], cpus: int, gpus: int) -> None:
        from ray import tune

        how = self.search.space.how
        trainable = tune.with_resources(_trainable(), {"CPU": cpus, "GPU": gpus})
        tune.Tuner(
            trainable,
            param_space={
                "folder": str(self.search.path),
                "variables": environment(cpus),
                "gpus": gpus,
                "number": tune.grid_search(numbers),
            },
            tune_config=tune.TuneConfig(
                scheduler=_asha(self, trials) if how.method == "asha" else None,
                max_concurrent_trials=how.parallel,
                trial_dirname_creator=lambda trial: f"{trial.config['number']:03d}-{trial.trial_id}",
            ),
            run_config=tune.RunConfig(
                name="trials",
                storage_path=str(self.search.path / "tune"),
                stop=_stopper(self),
                callbacks=[_callback(self)],
                failure_config=tune.FailureConfig(max_failures=-1),  # a worker counts how often it began
                verbose=0,
            ),
        ).fit()

    def asked_to_stop(self) -> bool:
        """Whether the search ends now; the first time, its runs are paused before that is said."""
        if self.stops:
            return True
        if not self.stop() and not self.search.take_request():
            self._say()
            return False
        self.stops = True
        self._say("stopping: the runs end after their present step")
        asked = []
        for trial in self.search.trials():
            if trial.run is not None and trial.state == "running":
                with suppress(UserError):  # it has just ended
                    trial.run.request("pause")
                    asked.append(trial.run)
        end = time.monotonic() + ENDING
        for run in asked:
            run.wait(max(0.0, end - time.monotonic()))
        return True

    def ended(self, number: int, state: str, said: str) -> None:
        """A trial has come to an end of its own."""
        kept = state if state in (*DONE, "failed") else None
        if kept is None:  # its run was paused or stopped by somebody
            self._tell(number, state)
            return
        self.search.keep(number, kept, said)
        self.done.add(number)
        self._tell(number, f"{state} {said}" if state == "pruned" else f"{state}: {said}" if said else state)

    def _tell(self, number: int, what: str) -> None:
        trial = self.search.trial(number)
        metric = self.search.space.how.metric
        figure = "" if trial.value is None else f"  {metric} {trial.value:.4f} (epoch {trial.best_epoch})"
        so_far = f"{len(self.done)} of {len(self.search.values)}"
        self.told.note(f"{so_far}: trial {number} ({values_text(trial.values)}) {what}{figure}")
        self._say()

    def _say(self, phase: str | None = None) -> None:
        """Write what it is at, every few seconds and when it is something else, which whoever is told hears of."""
        if phase is not None and phase != self.phase:
            self.told.note(phase)
            self.phase = phase
        elif len(self.done) == self.said and time.monotonic() - self.looked < LOOK:
            return
        self.looked, self.said = time.monotonic(), len(self.done)
        self.search.write_status(state="running", phase=self.phase, done=self.said, total=len(self.search.values))


def _trainable() -> Any:
    """The class that Tune makes one of in each worker; made here, so that only who searches imports Ray."""
    from ray import tune

    class TrialOfTune(tune.Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            from segmodels.search.trial import TrialWorker

            self.worker = TrialWorker(config["folder"], config["number"], config["variables"], config["gpus"])

        def step(self) -> dict[str, Any]:
            return self.worker.step()

        def cleanup(self) -> None:
            self.worker.end()

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            """Nothing: the run's directory has all."""

        def load_checkpoint(self, checkpoint: Any) -> None:
            """Nothing, as above."""

    return TrialOfTune


def _asha(conductor: _Conductor, trials: list[Trial]) -> Any:
    """Asynchronous successive halving, which knows the trials that came to their end before."""
    from ray.tune.schedulers import ASHAScheduler

    search, how = conductor.search, conductor.search.space.how

    class Asha(ASHAScheduler):
        def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
            action = super().on_trial_result(tune_controller, trial, result)
            if action != self.STOP or "epoch" not in result:
                return action
            epoch, epochs = result["epoch"], result["epochs"]
            if epoch >= epochs:
                return self.CONTINUE  # it has ended anyway, and as one that is finished
            number = trial.config["number"]
            said = f"after epoch {epoch} of {epochs}: {how.metric} {result[how.metric]:.4g} is too low"
            if how.mode == "min":
                said = f"{said.removesuffix('low')}high"
            conductor.ended(number, "pruned", said)
            return action

    scheduler = Asha(
        time_attr="epoch",
        metric=how.metric,
        mode=how.mode,
        max_t=max(trial.epochs for trial in trials),
        grace_period=how.grace,
        reduction_factor=how.reduction,
        stop_last_trials=False,
    )
    for trial in trials:
        if trial.state in DONE and (rows := search.history(trial.number)):
            before: Any = SimpleNamespace(trial_id=f"before-{trial.number}")
            scheduler.on_trial_add(None, before)  # type: ignore[arg-type]
            for row in rows:
                ASHAScheduler.on_trial_result(scheduler, None, before, row)  # type: ignore[arg-type]
    return scheduler


def _stopper(conductor: _Conductor) -> Any:
    from ray.tune import Stopper

    class Asked(Stopper):
        def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
            return False

        def stop_all(self) -> bool:
            return conductor.asked_to_stop()

    return Asked()


def _callback(conductor: _Conductor) -> Any:
    from ray.tune import Callback

    class Told(Callback):
        def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **_: Any) -> None:
            if result.get("done") and "state" in result:
                conductor.ended(trial.config["number"], result["state"], result.get("said") or "")

        def on_trial_recover(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
            conductor.told.note(f"trial {trial.config['number']}: its worker died; it goes on with another")

        def on_trial_error(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
            conductor.ended(trial.config["number"], "failed", "its worker failed to start: see the log of Ray")

    return Told()


@contextmanager
def _quiet() -> Iterator[None]:
    """Tune as `_QUIET` says, and its loggers only with errors."""
    before = {name: os.environ.get(name) for name in _QUIET}
    os.environ.update(_QUIET)
    logger = logging.getLogger("ray")
    level = logger.level
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            logger.setLevel(logging.ERROR)
            yield
    finally:
        logger.setLevel(level)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
