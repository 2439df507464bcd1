"""Where a run went: a small file in its directory, for whoever asks for it later. Loads no Keras."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import NonNegativeInt, PositiveInt
from pydantic.dataclasses import dataclass

from segmodels.errors import UserError
from segmodels.files import read_json, write_json
from segmodels.training.tickets import is_held

#: This machine, whose queue needs no such file.
LOCAL = "local"
_FILE, _LOCK = "launched.json", "launched.lock"


@dataclass(frozen=True)
class Resources:
    """What each run may use.

    Attributes:
        devices: of this machine, as `segmodels.device.choose_pool` reads it.
        address: of a cluster.
        cpus: processors of a cluster; None leaves it to the launcher.
        gpus: GPUs of a cluster.
    """

    devices: str | None = None
    address: str | None = None
    cpus: PositiveInt | None = None
    gpus: NonNegativeInt | None = None

    def words(self, on: str) -> list[str]:
        """The options of the command line that give this to work of a launcher."""
        values = {"on": None if on == LOCAL else on, **asdict(self)}
        return [word for name, value in values.items() if value is not None for word in (f"--{name}", str(value))]


@dataclass(frozen=True)
class Placed:
    """Where a run went that this machine's queue does not have.

    Attributes:
        on: the launcher's name.
        name: what the launcher calls it; another one each time that it is started.
        resources: what it was given.
        with_launcher: it is lost where the process that started it ends, which until then holds a lock.
        starts: how often a worker began with it without getting on.
        step: of `status.json`, when the last of them began.
    """

    on: str
    name: str
    resources: Resources
    with_launcher: bool = False
    starts: NonNegativeInt = 0
    step: NonNegativeInt = 0


def placed(run: Path) -> Placed | None:
    """Where a run is; None of one that is, or was last, this machine's."""
    with suppress(UserError, TypeError, ValueError):
        return Placed(**read_json(run / _FILE))
    return None


def place(run: Path, where: Placed) -> None:
    """Say where a run is."""
    write_json(run / _FILE, asdict(where), make_folder=False)


def displace(run: Path) -> None:
    """Say that a run is nowhere else any more."""
    (run / _FILE).unlink(missing_ok=True)


def hold_as_launcher(run: Path) -> FileLock:
    """Hold the lock of the process without which a run is lost; `UserError` where another holds it."""
    lock = FileLock(run / _LOCK)
    try:
        lock.acquire(timeout=2)
    except Timeout:
        raise UserError(f"run {run.name} belongs to another process already: stop that first") from None
    return lock


def in_line(run: Path) -> bool:
    """Whether a run waits elsewhere, as far as can be told from here."""
    where = placed(run)
    return where is not None and (not where.with_launcher or is_held(run / _LOCK))
