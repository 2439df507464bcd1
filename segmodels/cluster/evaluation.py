"""`evaluate` on a node of a Ray cluster."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from segmodels.cluster.connection import address_of, connected, explained
from segmodels.cluster.nodes import check_nodes, environment, share
from segmodels.training.reporter import Reporter
from segmodels.training.runs import find_checkpoint


def evaluate_on_ray(
    model: str | Path,
    wanted: dict[str, Any],
    *,
    address: str | None = None,
    cpus: int | None = None,
    gpus: int | None = None,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Evaluate a model on a node, and return its report, which is kept beside the checkpoint as ever.

    Args:
        model: what `find_checkpoint` takes; its folder, the home and the data are to be seen from the nodes.
        wanted: further arguments of `segmodels.evaluation.evaluate.evaluate`.
        address, cpus, gpus: of the cluster, and what of it the work gets (`segmodels.cluster`).
        reporter: told how it goes; by default nobody.

    Raises:
        UserError: no such cluster or model, or what `evaluate` says.
    """
    told = reporter or Reporter()
    checkpoint = find_checkpoint(model, told).resolve()
    with connected(address) as ray:
        part = share(ray, cpus, gpus)
        check_nodes(ray, [checkpoint])
        work = ray.remote(_evaluated).options(
            num_cpus=part.cpus, num_gpus=part.gpus, num_returns="streaming", max_retries=2
        )
        told.note(f"evaluating on {part} of the Ray cluster")
        answers = work.remote(str(checkpoint), wanted, environment(part.cpus), part.gpus)
        try:
            with explained(address_of(address)):
                for answer in answers:
                    name, values = ray.get(answer)
                    if name == "report":
                        return values
                    getattr(told, name)(*values)
        finally:
            with suppress(ray.exceptions.RayError, TypeError, ValueError):
                ray.cancel(answers, force=True)  # where it was left early
    raise AssertionError("the report is the last answer")


class _Told(Reporter):
    """Puts what it is told into a queue, as the name of the method and its values."""

    def __init__(self, answers: queue.Queue) -> None:
        self.answers = answers

    def note(self, text: str) -> None:
        self.answers.put(("note", (text,)))

    def progress(self, done: int, total: int, what: str) -> None:
        self.answers.put(("progress", (done, total, what)))


def _evaluated(model: str, wanted: dict[str, Any], variables: dict[str, str], gpus: int) -> Iterator[tuple[str, Any]]:
    """On a node: what is said meanwhile, then the report."""
    os.environ.update(variables)
    from segmodels.device import choose_pool, claim_all

    claim_all(choose_pool("all" if gpus else "cpu")[0])
    from segmodels.evaluation.evaluate import evaluate

    answers: queue.Queue[tuple[str, Any]] = queue.Queue()
    failed: list[BaseException] = []

    def work() -> None:
        try:
            answers.put(("report", evaluate(model, **wanted, reporter=_Told(answers))))
        except BaseException as error:
            failed.append(error)
            answers.put(("failed", None))

    threading.Thread(target=work, name="evaluate", daemon=True).start()
    while True:
        answer = answers.get()
        if failed:
            raise failed[0]
        yield answer
        if answer[0] == "report":
            return
