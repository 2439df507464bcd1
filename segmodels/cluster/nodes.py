"""What the nodes of a Ray cluster have, and whether they can do what is asked of them."""

from __future__ import annotations

import os
import platform
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import segmodels
from segmodels.errors import UserError
from segmodels.files import explain_disk_errors
from segmodels.home import home

#: Seconds that the nodes have to answer.
PATIENCE = 60.0
#: What of the environment work needs to be the same on every node.
_VARIABLES = ("KERAS_BACKEND", "SEGMODELS_DATA", "SEGMODELS_WEIGHTS_DIR")


@dataclass(frozen=True)
class Node:
    """A machine of the cluster: its id, its address, and the processors and GPUs that it lends in all."""

    id: str
    name: str
    cpus: int
    gpus: int


@dataclass(frozen=True)
class Share:
    """What one piece of work gets of a node.

    Attributes:
        cpus: processors, 1 or more.
        gpus: GPUs; several work together.
    """

    cpus: int
    gpus: int

    def __str__(self) -> str:
        return f"{_count(self.cpus, 'processor')}" + (f" and {_count(self.gpus, 'GPU')}" if self.gpus else "")


def nodes(ray: Any) -> list[Node]:
    """The nodes that are alive; `ray` is the connected module."""
    return [
        Node(
            each["NodeID"],
            each["NodeManagerAddress"],
            int(each["Resources"].get("CPU", 0)),
            int(each["Resources"].get("GPU", 0)),
        )
        for each in ray.nodes()
        if each["Alive"]
    ]


def share(ray: Any, cpus: int | None = None, gpus: int | None = None) -> Share:
    """What one piece of work gets: what is asked for; else a GPU, where there are any, and its node's processors for
    each, or all processors of the smallest node.

    Raises:
        UserError: no node has so much.
    """
    here = nodes(ray)
    most_gpus = max((node.gpus for node in here), default=0)
    gpus = min(1, most_gpus) if gpus is None else gpus
    if cpus is None:
        fitting = [node.cpus // node.gpus * gpus if gpus else node.cpus for node in here if node.gpus >= gpus]
        cpus = max(1, min(fitting, default=1))
    wanted = Share(cpus, gpus)
    if cpus < 1 or gpus < 0:
        raise UserError(f"{cpus} processors and {gpus} GPUs: work needs 1 processor or more, and 0 GPUs or more")
    if not any(node.cpus >= cpus and node.gpus >= gpus for node in here):
        most_cpus = max((node.cpus for node in here), default=0)
        has = Share(most_cpus, most_gpus)
        raise UserError(f"no node of the Ray cluster has {wanted}: the most that one has is {has}")
    return wanted


def environment(cpus: int) -> dict[str, str]:
    """What of this process's environment work on a node needs, with its engine held to so many processors."""
    return {
        **{name: os.environ[name] for name in _VARIABLES if name in os.environ},
        "SEGMODELS_HOME": str(home()),
        "TF_NUM_INTRAOP_THREADS": str(cpus),
        "TF_NUM_INTEROP_THREADS": str(cpus),
    }


def versions() -> str:
    """What has to be the same on every node, as one line."""
    return f"segmodels {segmodels.__version__} on Python {'.'.join(platform.python_version_tuple()[:2])}"


def check_nodes(ray: Any, folders: Sequence[Path]) -> None:
    """Ask every node whether it has this version of the package and sees the same folders.

    Args:
        ray: the connected module.
        folders: that work there reads or writes; they are made where they are missing.

    Raises:
        UserError: the first thing that is not so, with the node's address.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    seen: dict[str, str] = {}
    marks: list[Path] = []
    look = ray.remote(num_cpus=0, max_retries=0)(_look)
    try:
        for folder in folders:
            with explain_disk_errors(folder):
                folder.mkdir(parents=True, exist_ok=True)
                mark = folder / f".node-{secrets.token_hex(8)}"
                mark.write_text(seen.setdefault(str(mark), secrets.token_hex(16)))
                marks.append(mark)
        here = nodes(ray)
        asked = [
            look.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False)).remote(seen)
            for node in here
        ]
        for node, answer in zip(here, asked, strict=True):
            _check_answer(ray, node, answer)
    finally:
        for mark in marks:
            mark.unlink(missing_ok=True)


def _look(marks: dict[str, str]) -> tuple[str, list[str]]:
    """On a node: its versions, and the marks that it does not see."""
    unseen = []
    for path, text in marks.items():
        try:
            found = Path(path).read_text()
        except OSError:
            found = ""
        if found != text:
            unseen.append(path)
    return versions(), unseen


def _check_answer(ray: Any, node: Node, answer: Any) -> None:
    try:
        there, unseen = ray.get(answer, timeout=PATIENCE)
    except ray.exceptions.GetTimeoutError:
        raise UserError(f"node {node.name} of the Ray cluster does not answer: see whether it is alive") from None
    except (ray.exceptions.RayTaskError, ray.exceptions.RuntimeEnvSetupError) as error:
        if "No module named" not in str(error):
            raise
        raise UserError(f"node {node.name} has no segmodels: install the same version there, {versions()}") from None
    if there != versions():
        raise UserError(f"node {node.name} has {there}, this machine {versions()}: install the same on all")
    if unseen:
        raise UserError(
            f"node {node.name} does not see {Path(unseen[0]).parent}: set SEGMODELS_HOME, and keep data "
            "and results, on storage that all nodes share"
        )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
