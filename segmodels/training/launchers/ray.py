"""The launcher of a Ray cluster: an actor for each run, which waits for its processors and GPUs, trains, and ends.

The actors are detached: they outlive whoever started them. Ray starts one again whose process or node has died, and its
run goes on from the state that was saved last.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

from segmodels.cluster.connection import LOCAL, NAMESPACE, address_of, connected, explained
from segmodels.cluster.nodes import check_nodes, environment, share, versions
from segmodels.errors import UserError
from segmodels.home import home
from segmodels.recipe import Recipe
from segmodels.training.placed import Placed, Resources, displace, hold_as_launcher, place, placed
from segmodels.training.preflight import check
from segmodels.training.runs import ALIVE, ENDED_BY, NOT_WAITING, Run, check_resumable
from segmodels.training.start import make_run


class RayLauncher:
    """See `segmodels.training.launchers.Launcher`."""

    def __init__(self, ray: Any, resources: Resources) -> None:
        self.ray = ray
        self.resources = resources
        self.address = address_of(resources.address)
        self.share = share(ray, resources.cpus, resources.gpus)
        there = ray.get_runtime_context().gcs_address  # a cluster of this process's own has one, too
        self.words = Resources(None, there, resources.cpus, resources.gpus).words("ray")
        self.arrivals: dict[str, Any] = {}
        self.locks: list[FileLock] = []
        self.checked = False

    def start(
        self, recipe: Recipe, *, path: str | Path | None = None, made: Callable[[Run], None] = lambda run: None
    ) -> Run:
        check(recipe)
        self._check_nodes()
        run = make_run(recipe, path)
        made(run)
        self._send(run)
        return run

    def resume(self, run: Run) -> None:
        if self._actor(run) is not None:
            return  # Ray is about to start it again
        if not run.was_forgotten:
            check_resumable(run)
        self._check_nodes()
        run.take_request()
        run.write_status(state="queued", error=None)
        self._send(run)

    def watch(self, run: Run) -> str | None:
        where = placed(run.path)
        if where is None or run.locked() or run.state not in (*ALIVE, "interrupted"):
            return None
        with explained(self.address):
            if self._actor(run) is not None:
                return f"{self.share} of the Ray cluster"
            reason = self._reason(where.name)
        if not run.locked() and placed(run.path) == where:  # else it has ended between the two looks
            displace(run.path)
            run.write_status(state="failed", error=reason, phase="failed", **NOT_WAITING)
        return None

    def stop(self, run: Run, how: str = "stop") -> None:
        if run.locked() or run.state not in (*ALIVE, "interrupted"):
            run.request(how)
            return
        with explained(self.address):
            if (actor := self._actor(run)) is not None:
                self.ray.kill(actor, no_restart=True)
        displace(run.path)
        run.write_status(state=ENDED_BY[how], phase=ENDED_BY[how], **NOT_WAITING)

    def _send(self, run: Run) -> None:
        """Give a run that is queued to an actor of its own."""
        from segmodels.training.launchers.ray_worker import Worker

        name = f"{run.id}-{secrets.token_hex(4)}"
        own = self.address == LOCAL
        if own:
            self.locks.append(hold_as_launcher(run.path))
        place(run.path, Placed("ray", name, self.resources, with_launcher=own))
        run.write_status(phase=f"waiting for {self.share} of the Ray cluster", **NOT_WAITING)
        with explained(self.address):
            actor = (
                self.ray.remote(Worker)
                .options(
                    name=name,
                    namespace=NAMESPACE,
                    lifetime="detached",
                    num_cpus=self.share.cpus,
                    num_gpus=self.share.gpus,
                    max_restarts=-1,
                )
                .remote(str(run.path), name, environment(self.share.cpus), self.share.gpus, versions())
            )
            self.arrivals[name] = actor.arrived.remote()

    def _actor(self, run: Run) -> Any | None:
        """The actor that has a run, or is about to have it."""
        if (where := placed(run.path)) is None:
            return None
        try:
            return self.ray.get_actor(where.name, namespace=NAMESPACE)
        except ValueError:
            return None

    def _reason(self, name: str) -> str:
        """Why an actor died."""
        with suppress(KeyError):
            try:
                self.ray.get(self.arrivals[name], timeout=1)
            except self.ray.exceptions.RayError as error:
                if isinstance(cause := getattr(error, "cause", None), UserError):
                    return str(cause)
                lines = [line.strip() for line in str(error).splitlines() if line.strip()]
                return f"its worker ended: {lines[-1][:300]}" if lines else "its worker ended"
        return "its worker is gone from the Ray cluster"

    def _check_nodes(self) -> None:
        if not self.checked:
            with explained(self.address):
                check_nodes(self.ray, [home() / "runs"])
            self.checked = True


@contextmanager
def open_ray(resources: Resources) -> Iterator[RayLauncher]:
    """The launcher of a Ray cluster for the block; its runs outlive it, but for those of a cluster of its own."""
    with connected(resources.address) as ray:
        launcher = RayLauncher(ray, resources)
        try:
            yield launcher
        finally:
            for lock in launcher.locks:
                lock.release()
