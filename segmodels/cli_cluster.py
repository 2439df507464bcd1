"""The options that say where work goes: this machine, or a Ray cluster."""

from __future__ import annotations

import argparse
import os
import sys

from segmodels.cluster import connection
from segmodels.errors import UserError, choose
from segmodels.training.placed import Resources

#: Where work can go.
PLACES = ("local", "ray")


def add_on(verb: argparse.ArgumentParser) -> None:
    """`--on`, and what of a cluster each piece of work gets."""
    verb.add_argument("--on", default="local", metavar="|".join(PLACES), help="this machine, or a Ray cluster")
    verb.add_argument(
        "--address", metavar="HOST:PORT|auto|local",
        help="of the Ray cluster: its head, of which this machine is a node; the one started here; or one for this "
        "work alone (default: RAY_ADDRESS, else local)",
    )  # fmt: skip
    verb.add_argument("--cpus", type=int, metavar="N", help="processors of it for each (default: a GPU's part)")
    verb.add_argument("--gpus", type=int, metavar="N", help="GPUs of it for each (default: 1 if it has any)")


def is_on_ray(parsed: argparse.Namespace) -> bool:
    """Whether work goes to a Ray cluster; `UserError` where an option says something of one, but it does not."""
    if choose("place", parsed.on, PLACES) == "ray":
        if getattr(parsed, "devices", None) is not None:
            raise UserError("--devices names this machine's: on a Ray cluster, say --gpus N and --cpus N instead")
        connection.when_gone = _gone
        return True
    for name in ("address", "cpus", "gpus"):
        if getattr(parsed, name) is not None:
            raise UserError(f"--{name} is of a Ray cluster: add --on ray, or leave it out")
    return False


def resources_of(parsed: argparse.Namespace) -> Resources:
    """What the options give to each run."""
    for name, least in (("cpus", 1), ("gpus", 0)):
        if (value := getattr(parsed, name)) is not None and value < least:
            raise UserError(f"--{name} {value}: give a number, {least} or more")
    return Resources(getattr(parsed, "devices", None), parsed.address, parsed.cpus, parsed.gpus)


def end_at_once(said: str) -> None:
    """Say so in a line and end: the process waits for a cluster that is gone, and cannot end as others do."""
    print(f"segmodels: {said}", file=sys.stderr, flush=True)
    os._exit(2)


def _gone(said: str) -> None:
    goes_on = "`runs resume RUN` goes on with a run, and all else by the same command at another --address"
    end_at_once(f"{said}: what was done is kept; {goes_on}")
