"""Data-parallel training on JAX: the step is compiled for all devices as it is for one.

Its inputs say where they lie, each picture on one device and every weight on all, as `keras.distribution` puts it; the
compiler splits the computation accordingly and adds what the devices have to tell each other. What a step means does
not change by that, so the loss, BatchNorm and Dropout are those of the whole batch by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from segmodels.backend import keras
from segmodels.device import Device
from segmodels.errors import UserError
from segmodels.training.adversarial_jax import AdversarialJaxStep
from segmodels.training.parallel import Parallel, padded
from segmodels.training.step import Result
from segmodels.training.step_jax import JaxStep


class ShardedDevices(Parallel):
    """See `segmodels.training.parallel.Parallel`; the devices of all hosts that were joined."""

    def __init__(self) -> None:
        self.devices, self.hosts = jax.device_count(), jax.process_count()
        self.distribution = keras.distribution.DataParallel(devices=jax.devices(), auto_shard_dataset=False)
        self.everywhere = keras.distribution.TensorLayout((), self.distribution.device_mesh).backend_layout

    def step_type(self, *, adversarial: bool) -> type[JaxStep]:
        return ShardedAdversarialStep if adversarial else ShardedStep

    def keywords(self) -> dict[str, Any]:
        return {"placement": self}

    def split(self, array: np.ndarray) -> jax.Array:
        """A batch, each device's part on that device; every host has the whole, and hands on the parts of its own."""
        layout = self.distribution.get_data_layout(array.shape).backend_layout
        return jax.make_array_from_callback(array.shape, layout, lambda part: array[part])

    def copied(self, array: Any) -> jax.Array:
        """A copy on every device; all hosts have the same."""
        values = np.array(array)
        return jax.make_array_from_callback(values.shape, self.everywhere, lambda part: values[part])


def together(devices: Sequence[Device]) -> ShardedDevices:
    """Join the GPUs that this process sees, or split its CPU into as many."""
    if devices[0].kind == "cpu":
        split_cpu(len(devices))
    if jax.device_count() < len(devices):
        raise UserError(f"JAX sees {jax.device_count()} of the {len(devices)} devices: start a new process")
    return ShardedDevices()


def split_cpu(parts: int) -> None:
    """Have JAX take the CPU for several devices; `UserError` where it runs already."""
    try:
        jax.config.update("jax_num_cpu_devices", parts)
    except RuntimeError:
        raise UserError("JAX runs already, on one CPU: start a new process") from None


class _Sharded:
    """Mixed into a step on JAX: what goes into it says where it lies, and the results are on every device."""

    placement: ShardedDevices
    state: tuple[list[Any], ...]

    def __init__(self, *arguments: Any, placement: ShardedDevices, **keywords: Any) -> None:
        self.placement = placement
        super().__init__(*arguments, **keywords)

    def train(self, images: np.ndarray, masks: np.ndarray, maps: Sequence[np.ndarray], rate: float) -> Result:
        split = self.placement.split
        found: Result = super().train(split(images), split(masks), tuple(map(split, maps)), rate)  # type: ignore[misc]
        return found

    def evaluate(self, images: np.ndarray, masks: np.ndarray, maps: Sequence[np.ndarray]) -> tuple[Any, Any]:
        real, split = len(images), self.placement.split
        images, masks, maps = padded(self.placement.devices, images, masks, maps)
        loss, ids = super().evaluate(split(images), split(masks), tuple(map(split, maps)))  # type: ignore[misc]
        return loss, np.asarray(ids)[:real]

    def load(self) -> None:
        super().load()  # type: ignore[misc]
        self.state = jax.tree.map(self.placement.copied, self.state)

    def store(self) -> None:
        """By way of the host: a variable belongs to one device, and no other host takes part in this."""
        for variables, arrays in zip(self._groups(), self.state, strict=True):  # type: ignore[attr-defined]
            for variable, array in zip(variables, arrays, strict=True):
                variable.assign(np.array(array))

    def _trained(self, *arguments: Any) -> Any:
        return self._everywhere(super()._trained(*arguments))  # type: ignore[misc]

    def _evaluated(self, *arguments: Any) -> Any:
        return self._everywhere(super()._evaluated(*arguments))  # type: ignore[misc]

    def _played(self, *arguments: Any, **keywords: Any) -> Any:
        return self._everywhere(super()._played(*arguments, **keywords))  # type: ignore[misc]

    def _everywhere(self, found: Any) -> Any:
        return jax.lax.with_sharding_constraint(found, self.placement.everywhere)


class ShardedStep(_Sharded, JaxStep):
    """See `segmodels.training.step.Step`."""


class ShardedAdversarialStep(_Sharded, AdversarialJaxStep):
    """See `segmodels.training.adversarial`."""
