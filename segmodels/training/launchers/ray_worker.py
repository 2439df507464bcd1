"""What a Ray worker does: train one run, in this process, which has the processors and GPUs that Ray gave it."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path

from segmodels.cluster.nodes import versions
from segmodels.errors import UserError

#: So many workers in a row may die with a run that does not get on.
STARTS = 5


class Worker:
    """An actor. It trains from when it is made, so that one which Ray starts again goes on by itself."""

    def __init__(self, run: str, name: str, environment: dict[str, str], gpus: int, asked: str) -> None:
        """Args:
            run: its directory, which is to be seen from here.
            name: the actor's own; a run that another one has by now is left alone.
            environment: set before an engine is loaded.
            gpus: how many there are to train on.
            asked: the versions of whoever sent this.

        Raises:
            UserError: another version, or the directory is not to be seen.
        """
        if versions() != asked:
            raise UserError(f"a node has {versions()}, the machine that sent the run {asked}: install the same on all")
        if not (Path(run) / "recipe.json").is_file():
            raise UserError(f"a node does not see {run}: set SEGMODELS_HOME to storage that all nodes share")
        os.environ.update(environment)
        self.run, self.name, self.gpus = Path(run), name, gpus
        threading.Thread(target=self._work, name="train", daemon=True).start()

    def arrived(self) -> bool:
        """Answers when the actor has its place."""
        return True

    def _work(self) -> None:
        import ray

        try:
            self._train()
        finally:
            # An actor that only ended would be started again.
            ray.kill(ray.get_runtime_context().current_actor, no_restart=True)

    def _train(self) -> None:
        from segmodels.training.placed import displace, place, placed
        from segmodels.training.runs import ALIVE, Run
        from segmodels.training.train import train

        run, where = Run(self.run), placed(self.run)
        if where is None or where.name != self.name:
            return
        step = int(run.status().get("step") or 0)
        starts = where.starts + 1 if step == where.step else 1
        try:
            if starts > STARTS:
                raise UserError(f"{STARTS} workers of the Ray cluster died with it at step {step}: is memory short?")
            place(run.path, replace(where, starts=starts, step=step))
            train(resume=run, devices="all" if self.gpus else "cpu", queue=False)
        except Exception as error:
            if run.state in (*ALIVE, "interrupted"):  # it had not begun, and so could not say why it ended
                text = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {str(error)[:300]}"
                run.write_status(state="failed", error=text, phase="failed")
        finally:
            if (now := placed(self.run)) is not None and now.name == self.name:
                displace(self.run)
