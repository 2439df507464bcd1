"""Data-parallel training: every device has the whole network and its part of each batch, and all learn as one.

The batch is the recipe's, whatever the number of devices, and so is everything that depends on it: the loss is that of
the whole batch (its count of valid pixels, its Dice, its order of errors), BatchNorm normalises over the whole batch,
and gradients are clipped when they are whole. So several devices learn what one would have learned, but for the order
in which floats are added; a run may be resumed on another number of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from segmodels.data.dataset import IGNORE
from segmodels.device import Device
from segmodels.engines import chosen_engine
from segmodels.errors import UserError
from segmodels.training.hosts import Hosts

if TYPE_CHECKING:
    from segmodels.training.step import Step

#: For each engine the module whose `together` joins the devices of this process.
MODULES = {
    "tensorflow": "segmodels.training.parallel_tensorflow",
    "jax": "segmodels.training.parallel_jax",
}


class Parallel(ABC):
    """The devices that train one network together.

    Attributes:
        devices: how many there are, on all hosts.
        hosts: how many machines or processes they belong to.
    """

    devices: int
    hosts: int = 1

    @abstractmethod
    def step_type(self, *, adversarial: bool) -> type[Step]:
        """The step that a batch is trained by."""

    @abstractmethod
    def keywords(self) -> dict[str, Any]:
        """What its constructor takes beside what all steps take."""

    def scope(self) -> AbstractContextManager:
        """Where the variables of networks, optimizers and means are made."""
        return nullcontext()

    def agreed(self, value: Any) -> Any:
        """What the first host says here, of values as JSON has them; all hosts ask at the same place."""
        return value

    def check_batch(self, size: int, pictures: int) -> None:
        """`UserError` where a batch does not give each device as many pictures as the others.

        Args:
            size: of the batch.
            pictures: there are to train on, to which a batch is cut.
        """
        if size % self.devices == 0:
            return
        below, above = size - size % self.devices, size - size % self.devices + self.devices
        fitting = " or ".join(str(each) for each in (below, above) if 0 < each <= pictures)
        raise UserError(
            f"a batch of {size} pictures cannot be split evenly over {self.devices} devices: "
            + (f"use batch_size {fitting}, or fewer devices" if fitting else "use fewer devices")
        )

    def describe(self, batch: int) -> str:
        """As the log and the status have it: `2 devices, data-parallel, 4 pictures each`."""
        each = batch // self.devices
        where = f" on {self.hosts} hosts" if self.hosts > 1 else ""
        return f"{self.devices} devices{where}, data-parallel, {each} picture{'s' if each != 1 else ''} each"


def make_parallel(devices: Sequence[Device], hosts: Hosts | None = None) -> Parallel | None:
    """Join the devices that this process has claimed, and those of other hosts; None where that is one. Before the
    engine has begun to compute.

    Raises:
        UserError: the engine cannot, or is running already; the other hosts do not come.
    """
    if hosts:
        import segmodels.backend  # (before the engine, which it tells how to start)
        from segmodels.training.parallel_hosts import join

        return join(hosts, devices)
    if len(devices) < 2:
        return None
    engine = str(chosen_engine())
    if engine not in MODULES:
        raise UserError(f"several devices train together on TensorFlow and JAX, not on {engine}: name one device")
    import segmodels.backend  # noqa: F401 (before the engine, which it tells how to start)

    made: Parallel = import_module(MODULES[engine]).together(devices)
    return made


def padded(
    parts: int, images: np.ndarray, masks: np.ndarray, maps: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
    """A batch to evaluate, filled up with ignored pictures until it has as many for each of the `parts`."""
    missing = -len(images) % parts
    if not missing:
        return images, masks, tuple(maps)

    def filled(array: np.ndarray, value: int) -> np.ndarray:
        return np.concatenate([array, np.full((missing, *array.shape[1:]), value, array.dtype)])

    return filled(images, 0), filled(masks, IGNORE), tuple(filled(each, 0) for each in maps)
