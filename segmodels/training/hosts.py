"""Which hosts train together, as the environment says it. Loads no engine.

On each of them the same command is started with the variables below. The first host has the run; the others work in a
copy of it, which is thrown away.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from segmodels.engines import chosen_engine
from segmodels.errors import UserError

#: Where the first host listens (HOST:PORT), how many processes there are, and which of them, from 0, this is. The names
#: are those that launchers of JAX programs set.
ADDRESS, COUNT, NUMBER = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"


@dataclass(frozen=True)
class Hosts:
    """The hosts of one training, by the process that each has.

    Attributes:
        address: where the first is found, `HOST:PORT`.
        count: of processes.
        number: of this one, from 0.
    """

    address: str
    count: int
    number: int

    @property
    def leads(self) -> bool:
        """Whether this one has the run."""
        return self.number == 0


def hosts() -> Hosts | None:
    """What the environment says; None where it names one process or none.

    Raises:
        UserError: it says a part, or makes no sense, or the engine is not JAX.
    """
    texts = {name: os.environ.get(name, "").strip() for name in (ADDRESS, COUNT, NUMBER)}
    if not texts[COUNT] and not texts[NUMBER]:  # a launcher may name the address alone
        return None
    if missing := [name for name, text in texts.items() if not text]:
        raise UserError(f"training on several hosts needs {missing[0]} too: set {ADDRESS}, {COUNT} and {NUMBER}")
    for name in (COUNT, NUMBER):
        if not texts[name].isdecimal():
            raise UserError(f"{name}={texts[name]}: it must be a whole number")
    count, number = int(texts[COUNT]), int(texts[NUMBER])
    if number >= max(count, 1):
        raise UserError(f"{NUMBER}={number}: of {count} processes the last is {max(count, 1) - 1}")
    host, _, port = texts[ADDRESS].rpartition(":")
    if not host or not port.isdecimal():
        raise UserError(f"{ADDRESS}={texts[ADDRESS]}: it must be HOST:PORT of the first host")
    if count < 2:
        return None
    if (engine := chosen_engine()) != "jax":
        raise UserError(f"several hosts train together on JAX, not on {engine}: set KERAS_BACKEND=jax")
    return Hosts(texts[ADDRESS], count, number)
