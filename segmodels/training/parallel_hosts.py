"""Data-parallel training on several hosts, with JAX's own multi-process runtime.

Every host runs the same loop over the same batches and hands its devices their parts of them. The first host alone has
the run: it sends the others what they need of its directory, and what it was asked for from outside.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from segmodels.device import Device
from segmodels.errors import UserError
from segmodels.files import whole
from segmodels.training.hosts import Hosts
from segmodels.training.parallel_jax import ShardedDevices, split_cpu

#: Seconds that hosts wait for each other at the start: the first may wait for its turn.
MEET = 600
#: Seconds without a sign of life after which a host counts as lost, where no broken connection tells it before.
LOST = 30
#: Bytes of what is said at every step; more needs a second message.
SHORT = 256
#: What the others need of a run, and may write in it: files and folders.
SENT = (
    "recipe.json", "split.json", "settled.json", "changes.json", "metrics.csv", "start", "teachers", "last", "best",
)  # fmt: skip


class JoinedHosts(ShardedDevices):
    """See `segmodels.training.parallel.Parallel`."""

    def agreed(self, value: Any) -> Any:
        return json.loads(self._from_first(json.dumps(value).encode()))

    def _from_first(self, data: bytes) -> bytes:
        """The first host's bytes; what the others give does not count."""
        head = np.zeros(SHORT, np.uint8)
        head[:8] = np.frombuffer(len(data).to_bytes(8, "little"), np.uint8)
        head[8 : 8 + len(data)] = np.frombuffer(data[: SHORT - 8], np.uint8)
        head = np.asarray(multihost_utils.broadcast_one_to_all(head))
        length = int.from_bytes(head[:8].tobytes(), "little")
        if length <= SHORT - 8:
            return head[8 : 8 + length].tobytes()
        rest = np.frombuffer(data.ljust(length, b"\0")[:length], np.uint8)
        return np.asarray(multihost_utils.broadcast_one_to_all(rest)).tobytes()

    def send_run(self, folder: Path, *, resume: bool) -> None:
        """On the first host: send its run to the others, and whether it goes on from its `last/`."""
        contents: dict[str, bytes] = {}
        for name in SENT:
            path = whole(folder / name)
            files = [path] if path.is_file() else sorted(path.rglob("*"))
            contents |= {
                (PurePosixPath(name) / file.relative_to(path)).as_posix(): file.read_bytes()
                for file in files
                if file.is_file()
            }
        sizes = [[name, len(data)] for name, data in contents.items()]
        self.agreed({"run": folder.name, "resume": resume, "files": sizes})
        self._from_first(b"".join(contents.values()))

    def receive_run(self, folder: Path) -> tuple[Path, bool]:
        """On another host: write what the first sends below a folder; the run's directory, and whether it goes on."""
        said = self.agreed(None)
        data, place, run = self._from_first(b""), 0, folder / PurePosixPath(said["run"]).name
        for name, size in said["files"]:
            parts = PurePosixPath(name).parts
            if not parts or parts[0] not in SENT or ".." in parts:
                raise UserError(f"the first host sent {name!r}, which is of no run: use one version on all hosts")
            path = run.joinpath(*parts)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data[place : place + size])
            place += size
        return run, bool(said["resume"])


def join(hosts: Hosts, devices: Sequence[Device]) -> JoinedHosts:
    """Join the devices of this host with those of the others, which is waited for.

    Raises:
        UserError: they do not come, or JAX runs already.
    """
    if devices[0].kind == "cpu":
        split_cpu(len(devices))
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.config.update("jax_enable_preemption_service", False)  # it would take SIGTERM away from us
    try:
        jax.distributed.initialize(
            coordinator_address=hosts.address,
            num_processes=hosts.count,
            process_id=hosts.number,
            local_device_ids=list(range(len(devices))),
            initialization_timeout=MEET,
            heartbeat_timeout_seconds=LOST,
            shutdown_timeout_seconds=LOST,
        )
        count = jax.device_count()
    except Exception as error:
        raise UserError(
            f"the {hosts.count} hosts of this training did not find each other at {hosts.address}: "
            f"{' '.join(str(error).split())[:200]}"
        ) from None
    if count != hosts.count * len(devices):
        raise UserError(f"the hosts have {count} devices, and this one {len(devices)}: give each as many as the others")
    joined = JoinedHosts()
    with _standard_output_as_error():  # Gloo tells there who has come
        joined.agreed(None)
    return joined


@contextmanager
def _standard_output_as_error() -> Iterator[None]:
    """Have what C++ code writes to standard output, which may be a JSON document, go to standard error meanwhile."""
    sys.stdout.flush()
    try:
        kept = os.dup(1)
        os.dup2(2, 1)
    except OSError:  # one of them is closed
        yield
        return
    try:
        yield
    finally:
        ctypes.CDLL(None).fflush(None)  # C++ keeps back what it writes to a pipe
        os.dup2(kept, 1)
        os.close(kept)


def is_loss(error: Exception) -> bool:
    """Whether an error of JAX means that another host is gone, and not that something is wrong here."""
    text = str(error).lower()
    words = ("gloo", "connection reset", "connection closed", "socket closed", "unavailable", "deadline_exceeded",
             "nccl", "coordination service", "heartbeat")  # fmt: skip
    return type(error).__name__ in ("JaxRuntimeError", "XlaRuntimeError", "ValueError") and any(
        word in text for word in words
    )
