"""The connection to a Ray cluster, and its errors in one line each."""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

from segmodels.cluster.watch import watched
from segmodels.errors import UserError

#: What has to be installed.
PACKAGE = "ray"
#: Names of actors are looked up in it, from whichever process.
NAMESPACE = "segmodels"
#: Ray's own variable for the address.
ADDRESS = "RAY_ADDRESS"
#: A cluster of this process alone, on this machine.
LOCAL = "local"
#: Seconds that the head of a cluster has to take a connection.
PATIENCE = 5.0

#: Called from another thread, with a few words, when the cluster that this process is connected to is gone; the command
#: line ends the process then.
when_gone: Callable[[str], None] | None = None


def missing_ray() -> str | None:
    """What to do where Ray is not installed; None where it is."""
    if importlib.util.find_spec(PACKAGE) is None:
        return "Ray is not installed: pip install 'segmodels[ray]', or -r requirements-ray.txt, here and on every node"
    return None


def address_of(address: str | None) -> str:
    """The address that is meant: the one given, else that of `RAY_ADDRESS`, else "local"."""
    return address or os.environ.get(ADDRESS) or LOCAL


@contextmanager
def connected(address: str | None = None, *, cpus: int | None = None) -> Iterator[Any]:
    """The module `ray`, connected to a cluster for the block; inside another such block, that block's connection.

    Args:
        address: "HOST:PORT" of a head of which this machine is a node; "auto" for the cluster that was started on this
            machine; "local" for one that lives as long as the block. Where left out: `RAY_ADDRESS`, else "local".
        cpus: of a local cluster; by default all.

    Raises:
        UserError: no Ray, no such cluster, or one of another version; also where the cluster goes away in the block.
    """
    if said := missing_ray():
        raise UserError(said)
    # Nothing is reported to Ray's makers. Workers shall not see GPUs that they were not given.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")
    import ray

    logging.getLogger("ray").setLevel(logging.ERROR)
    wanted = address_of(address)
    if ray.is_initialized():
        with explained(wanted):
            yield ray
        return
    _check_answers(wanted)
    own: dict[str, Any] = {"num_cpus": cpus, "include_dashboard": False} if wanted == LOCAL else {}
    try:
        # Ray prints what its daemons report, among a verb's own output; what was lost is said by whoever waits for it.
        ray._private.worker.print_to_stdstream = lambda *_, **__: None
        with explained(wanted):
            ray.init(
                wanted,
                namespace=NAMESPACE,
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=False,
                **own,
            )
        head = ray.get_runtime_context().gcs_address
        with watched(head, when_gone) if when_gone else nullcontext(), explained(wanted):
            yield ray
    finally:
        ray.shutdown()


@contextmanager
def explained(address: str) -> Iterator[None]:
    """Turn an error that lies in the cluster into one line, and one that a worker explained into that explanation."""
    import ray.exceptions as errors

    try:
        yield
    except errors.RayTaskError as error:
        if isinstance(error.cause, UserError):
            raise UserError(str(error.cause)) from None
        raise
    except ConnectionError:
        raise UserError(_no_cluster(address)) from None
    except (errors.RaySystemError, errors.RpcError, errors.LocalRayletDiedError) as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"the Ray cluster at {address} is gone or does not answer any more ({reason})") from None
    except RuntimeError as error:
        text = str(error)
        if "ersion mismatch" not in text:
            raise
        versions = re.findall(r"Ray: ([\w.]+)\s+Python: ([\w.]+)", text)
        said = " and ".join(f"Ray {ray} on Python {python}" for ray, python in versions)
        raise UserError(
            f"head and node of the Ray cluster at {address} differ ({said}): install the same on all"
        ) from None


def _check_answers(address: str) -> None:
    """`UserError` at once where nothing listens at an address, for which Ray itself would wait half a minute."""
    if address in (LOCAL, "auto"):
        return
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UserError(f"{address} is no address of a Ray cluster: write HOST:PORT of its head, auto, or local")
    with suppress(OSError), socket.create_connection((host.strip("[]"), int(port)), PATIENCE):
        return
    raise UserError(_no_cluster(address))


def _no_cluster(address: str) -> str:
    where = "on this machine" if address == "auto" else f"at {address}"
    return f"there is no Ray cluster {where}: `ray start --head` starts one, and address local makes one for this work"
