"""What a host does that trains along with a first one, which has the run."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from segmodels.device import choose_pool, claim_all
from segmodels.errors import LostHost
from segmodels.training.hosts import Hosts
from segmodels.training.parallel import Parallel, make_parallel
from segmodels.training.reporter import Reporter
from segmodels.training.runs import ENDED_BY, Run

#: What is said where another host ended before its time.
LOST_HOST = "another host is gone, and the training cannot go on without it"


def follow(hosts: Hosts, devices: str | None = None, reporter: Reporter | None = None) -> tuple[str, str]:
    """Train along with the first host until its run ends; returns the run's id and how it ended.

    Nothing is kept here but what is prepared of the data: the run's directory is the first host's. The devices must be
    free; no queue is asked.

    Args:
        devices: which to use, as `choose_pool` reads it; as many as on the other hosts.

    Raises:
        UserError: the first host does not come, or a host has gone; data that is missing or is not the first host's.
    """
    told = reporter or Reporter()
    told.note(f"host {hosts.number} of 0 to {hosts.count - 1}: waiting for the others at {hosts.address}")
    claimed = claim_all(choose_pool(devices)[0])
    from segmodels.training.trainer import Interrupted, Trainer  # loads Keras: only now

    parallel: Any = make_parallel(claimed, hosts)
    with tempfile.TemporaryDirectory() as folder:
        try:
            path, resume = parallel.receive_run(Path(folder))
            run = Run(path)
            told.note(f"training along with run {run.id}")
            trainer = Trainer(
                run.recipe,
                run,
                update=lambda **fields: None,
                wanted=lambda: None,
                reporter=told,
                resume=resume,
                parallel=parallel,
            )
            trainer.fit()
        except Interrupted as reason:
            return run.id, ENDED_BY.get(str(reason), "interrupted")
        except Exception as error:
            if lost_host(error):
                raise LostHost(LOST_HOST) from None
            raise
    return run.id, "finished"


def send_run(parallel: Parallel | None, run: Run, resume: bool) -> None:
    """On the first host: send the others its run."""
    parallel.send_run(run.path, resume=resume)  # type: ignore[union-attr]


def lost_host(error: Exception) -> bool:
    """Whether an error means that another host is gone."""
    if "jax" not in sys.modules:
        return False
    from segmodels.training.parallel_hosts import is_loss

    return is_loss(error)
