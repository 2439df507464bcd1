"""`train`: one run from start to end, with its lock, its status and its signals."""

from __future__ import annotations

import contextlib
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from segmodels.device import Device, choose_pool_for_this_process, claim_all, device
from segmodels.errors import LostHost, UserError
from segmodels.files import whole
from segmodels.recipe import Recipe
from segmodels.training import queue as line
from segmodels.training.follow import LOST_HOST, lost_host, send_run
from segmodels.training.hosts import NUMBER, hosts
from segmodels.training.parallel import make_parallel
from segmodels.training.preflight import check
from segmodels.training.reporter import Log, Reporter
from segmodels.training.runs import ENDED_BY, NOT_WAITING, Run, check_resumable, find_run, is_run, whereabouts
from segmodels.training.signals import asked_by_signal
from segmodels.training.start import make_run
from segmodels.training.usage import Usage

#: Seconds between two writes of `status.json`; more often only when the state changes.
HEARTBEAT = 1.0


def train(
    recipe: Recipe | None = None,
    *,
    run_dir: str | Path | None = None,
    resume: str | Path | Run | None = None,
    reporter: Reporter | None = None,
    devices: str | None = None,
    queue: bool = True,
) -> Run:
    """Train, and return the run when it has finished or was stopped. Waits first while other runs have the device.

    Args:
        recipe: what to train; left out when resuming.
        run_dir: where to write; by default a new folder in the home's `runs/`. A folder that was prepared with
            `Run.create` and not started yet is taken as it is.
        resume: a run, its id or its directory, to go on with from where it was saved last.
        reporter: told how it goes; by default nobody.
        devices: which it may use, as `choose_pool` reads it; the first that is free is taken, or several together.
        queue: whether the run waits for its turn on them; else they are its own, as on a cluster that gave them to it.

    Where the environment names several hosts (`segmodels.training.hosts`), this is for the first of them; the others
    `follow` it.

    Raises:
        UserError: a device that is not there, a run that another process trains; data or weights that are missing, a
            loss that is not a number, too little memory: then the run's state is "failed" and its `status.json` has
            the reason.
    """
    others = hosts()
    if others and not others.leads:
        raise UserError(f"{NUMBER}={others.number}: the first host has the run; this one follows it")
    pool = choose_pool_for_this_process(devices)
    run = _run_for(recipe, run_dir, resume)
    told = reporter or Reporter()
    if not _standard_error_is(run.path / "log.txt"):
        told = Log(run.path / "log.txt", told)
    finished = False
    with run.lock(), _requests(run) as wanted, contextlib.ExitStack() as held:
        if resume is None and (run.path / "steps.csv").exists():
            raise UserError(f"run {run.id} was started already: continue it with --resume {run.id}")
        going_on = resume is not None and whole(run.last).exists()
        claimed = held.enter_context(_turn(run, pool, wanted, told)) if queue else claim_all(pool[0])
        if claimed is None:
            return run
        with _Status(run, Usage([each.key for each in claimed if each.kind == "gpu"])) as status:
            from segmodels.training.trainer import Interrupted, Trainer  # loads Keras: only now, with a device held

            trainer = None
            try:
                if others:
                    status.update(phase=f"waiting for {others.count - 1} other hosts at {others.address}")
                parallel = make_parallel(claimed, others)
                status.update(device=_device(len(claimed)), backend=_versions(), parallel=None)
                told.note(f"{run.id} on {status.fields['device']}, {status.fields['backend']}")
                if others:
                    send_run(parallel, run, going_on)
                trainer = Trainer(
                    run.recipe,
                    run,
                    update=status.update,
                    wanted=wanted,
                    reporter=told,
                    resume=going_on,
                    parallel=parallel,
                )
                trainer.fit()
                status.end("finished")
                finished = True
            except Interrupted as reason:
                status.end(ENDED_BY.get(str(reason), "interrupted"))
            except UserError as error:
                status.end("failed", error=str(error))
                raise
            except Exception as error:
                if others and lost_host(error):
                    status.end("interrupted", error=LOST_HOST)
                    raise LostHost(f"{LOST_HOST}: start it anew on all, here with --resume {run.id}") from None
                if not out_of_memory(error):
                    status.end("failed", error=f"{type(error).__name__}: {' '.join(str(error).split())[:500]}")
                    raise
                from segmodels.training.memory import advice

                text = advice(trainer.recipe if trainer else run.recipe, len(run.recipe.dataset().classes))
                status.end("failed", error=text)
                raise UserError(text) from None
    if finished:
        from segmodels.hub.finished.outbox import queue_finished

        queue_finished(run, told)  # only now: the device is free for the next
    return run


def _run_for(recipe: Recipe | None, run_dir: str | Path | None, resume: str | Path | Run | None) -> Run:
    if resume is not None:
        if recipe is not None:
            raise UserError("a run is resumed under its own recipe: leave the recipe out, or start a new run")
        run = resume if isinstance(resume, Run) else find_run(resume)
        if run.state != "queued":  # as `launch` and `relaunch` leave it
            check_resumable(run)
            run.take_request()
        return run
    if recipe is None:
        raise UserError("train needs a recipe, or a run to resume")
    if run_dir is not None and (Path(run_dir) / "recipe.json").is_file():
        run = Run(run_dir)
        if run.recipe == recipe and run.status().get("state") == "queued":
            return run
    check(recipe)
    return make_run(recipe, run_dir)


@contextlib.contextmanager
def _turn(run: Run, pool: list[str], wanted: Callable[[], str | None], told: Reporter) -> Iterator[list[Device] | None]:
    """Wait in the queue for a key of the pool and make its devices this process's own for the block; None where the run
    was asked to wait no longer, which its status then says."""

    def waits(place: line.Place) -> None:
        run.write_status(state="queued", **place.status, **whereabouts())
        told.note(
            f"{place.status['phase']}: a device trains one run at a time (Ctrl-C or `runs stop {run.id}` ends the wait)"
        )

    with line.turn(run.path, pool, wanted=wanted, waits=waits) as turn:
        if turn.device is None:
            state = "queued" if turn.stays else ENDED_BY.get(turn.reason or "", "interrupted")
            if is_run(run.path):  # it may have been removed
                run.write_status(
                    state=state,
                    phase="waiting for a new start" if turn.stays else state,
                    **whereabouts(),
                    **NOT_WAITING,
                )
            yield None
            return
        try:
            claimed = claim_all(turn.device)
        except UserError as error:
            run.write_status(state="failed", error=str(error), phase="failed", **NOT_WAITING)
            raise
        run.write_status(**NOT_WAITING)
        yield claimed


class _Status:
    """Writes `status.json` from memory: at once when the state changes, else once a heartbeat from a thread of its own,
    so that it stays fresh while the network compiles and costs the training loop nothing."""

    def __init__(self, run: Run, usage: Usage) -> None:
        self.run, self.usage = run, usage
        self.fields: dict[str, Any] = {}
        self.guard = threading.Lock()
        self.done = threading.Event()

    def __enter__(self) -> _Status:
        self.run.write_status(state="running", started=time.time(), error=None, phase="starting", **whereabouts())
        self.thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self.thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if not self.done.is_set():  # left by something that train() does not catch, such as a second Ctrl-C
            self.end("interrupted", error=f"{type(error).__name__}" if error else None)

    def update(self, **fields: Any) -> None:
        with self.guard:
            self.fields.update(fields)

    def end(self, state: str, error: str | None = None) -> None:
        self.done.set()
        self.thread.join()
        with self.guard:
            self.run.write_status(
                **{
                    **self.fields,
                    "state": state,
                    "error": error,
                    "phase": state,
                    "ended": time.time(),
                    "seconds_left": 0,
                }
            )

    def _beat(self) -> None:
        while not self.done.wait(HEARTBEAT):
            self.update(**self.usage.look())
            with self.guard:
                fields = dict(self.fields)
            with contextlib.suppress(OSError, UserError):  # a full disk must not end the heartbeat
                self.run.write_status(**fields)


@contextlib.contextmanager
def _requests(run: Run) -> Iterator[Callable[[], str | None]]:
    """Yield what tells whether the run was asked to end, by a signal or by another process."""
    with asked_by_signal() as signalled:
        yield lambda: signalled() or (run.take_request() if (run.path / "request.json").exists() else None)


def _standard_error_is(path: Path) -> bool:
    """Whether what is written to standard error comes to stand in `path` anyway, as it does in a launched process."""
    try:
        return os.path.samestat(os.fstat(2), path.stat())
    except OSError:
        return False


def _device(count: int) -> str:
    """The device of the engine that is loaded now, and how many there are like it."""
    found, kind = device(), "gpu" if _on_gpu() else "cpu"
    name = str(found) if found.kind == kind else kind
    return name if count == 1 else f"{count} x {name}"


def _on_gpu() -> bool:
    from segmodels.backend import backend_name

    if backend_name() == "jax":
        import jax

        return jax.default_backend() == "gpu"
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def _versions() -> str:
    from segmodels.backend import backend_name, keras

    engine = __import__(backend_name())
    return f"{backend_name()} {engine.__version__}, keras {keras.__version__}, python {platform.python_version()}"


def out_of_memory(error: Exception) -> bool:
    """Whether an error of an engine means that memory was too small."""
    if isinstance(error, MemoryError):
        return True
    return "RESOURCE_EXHAUSTED" in str(error) or type(error).__name__ == "ResourceExhaustedError"
