"""Data-parallel training on TensorFlow, with its `MirroredStrategy`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from types import MethodType
from typing import Any

import numpy as np
import tensorflow as tf

from segmodels.backend import keras
from segmodels.device import Device
from segmodels.errors import UserError
from segmodels.training.parallel import Parallel, padded
from segmodels.training.step import Result
from segmodels.training.step_tensorflow import TensorFlowStep


class MirroredDevices(Parallel):
    """See `segmodels.training.parallel.Parallel`."""

    def __init__(self, names: Sequence[str]) -> None:
        self.devices = len(names)
        self.strategy = tf.distribute.MirroredStrategy(list(names))

    def step_type(self, *, adversarial: bool) -> type[MirroredStep]:
        if adversarial:
            raise UserError(
                "adversarial training on TensorFlow has one device: name one, or set KERAS_BACKEND=jax for several"
            )
        return MirroredStep

    def keywords(self) -> dict[str, Any]:
        return {"strategy": self.strategy}

    def scope(self) -> AbstractContextManager:
        return self.strategy.scope()


def together(devices: Sequence[Device]) -> MirroredDevices:
    """Join the GPUs that this process sees, or split its CPU into as many logical ones."""
    kind = devices[0].kind.upper()
    if kind == "CPU":
        each = [tf.config.LogicalDeviceConfiguration() for _ in devices]
        try:
            tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], each)
        except RuntimeError:
            raise UserError("TensorFlow runs already, on one CPU: start a new process") from None
    found = tf.config.list_logical_devices(kind)
    if len(found) < len(devices):
        raise UserError(f"TensorFlow sees {len(found)} of the {len(devices)} devices: start a new process")
    return MirroredDevices([device.name for device in found[: len(devices)]])


class MirroredStep(TensorFlowStep):
    """A step in which each device computes its part of the pictures, and all of them the loss of the whole batch.

    The parts' logits are gathered on every device, because most losses are no sum over pictures: a Dice, an order of
    errors, a mean over the pixels that count. From that loss each device follows the slope back through its own part,
    and the sum of what they find is the gradient of the whole. All then make the same update of their own copies.

    Never compiled with XLA, which knows one device at a time.
    """

    def __init__(self, *arguments: Any, strategy: tf.distribute.Strategy, **keywords: Any) -> None:
        super().__init__(*arguments, **{**keywords, "xla": False})
        self.strategy, self.parts = strategy, strategy.num_replicas_in_sync
        update_each_copy(self.optimizer)
        synchronise_batch_norm(self.model)
        self._train = tf.function(self._on_all(self._trained), reduce_retracing=True, autograph=False)
        self._evaluate = tf.function(self._on_all(self._evaluated), reduce_retracing=True, autograph=False)

    def train(self, images: np.ndarray, masks: np.ndarray, maps: Sequence[np.ndarray], rate: float) -> Result:
        self.optimizer.learning_rate.assign(rate)
        loss, ids = self._train(self._split(images), tf.constant(masks), tuple(map(tf.constant, maps)))
        return Result(loss, ids, {})

    def evaluate(self, images: np.ndarray, masks: np.ndarray, maps: Sequence[np.ndarray]) -> tuple[Any, Any]:
        real = len(images)
        images, masks, maps = padded(self.parts, images, masks, maps)
        loss, ids = self._evaluate(self._split(images), tf.constant(masks), tuple(map(tf.constant, maps)))
        return loss, ids[:real]

    def batch_norm(self) -> AbstractContextManager:
        """Keras' own, which adds up over all devices: the fused kernel is for one, and one thread at a time traces
        it."""
        return nullcontext()

    def _split(self, images: np.ndarray) -> Any:
        """Each device's part of the pictures, on that device."""
        each = len(images) // self.parts

        def part(context: Any) -> tf.Tensor:
            first = context.replica_id_in_sync_group * each
            return tf.constant(images[first : first + each])

        return self.strategy.experimental_distribute_values_from_function(part)

    def _on_all(self, compute: Any) -> Any:
        """A computation on all devices at once, whose results, the same on all, come from the first."""

        def run(*arguments: Any) -> Any:
            found = self.strategy.run(compute, args=arguments)
            return tuple(self.strategy.experimental_local_results(each)[0] for each in found)

        return run

    def _whole(self, outputs: Any) -> Any:
        return tf.nest.map_structure(_gathered, outputs)

    def _summed(self, gradients: list[Any]) -> list[Any]:
        there = [gradient for gradient in gradients if gradient is not None]
        summed = iter(tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, there))
        return [None if gradient is None else next(summed) for gradient in gradients]


@tf.custom_gradient
def _gathered(part: tf.Tensor) -> tuple[tf.Tensor, Any]:
    """The parts of all devices in their order; backwards, what is this device's of the whole."""
    context = tf.distribute.get_replica_context()
    each = tf.shape(part)[0]
    first = tf.cast(context.replica_id_in_sync_group, tf.int32) * each

    def back(slope: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(slope[first : first + each], part.shape)

    whole = context.all_gather(part, axis=0)
    return tf.ensure_shape(whole, [None, *part.shape[1:]]), back


def update_each_copy(optimizer: keras.optimizers.Optimizer) -> None:
    """Have an optimizer of `MirroredStrategy` change each device's copy of a variable there, by a gradient that is the
    same on all.

    Keras would sum the gradients itself: after it has clipped them, and never while it accumulates them.
    """
    plain = keras.src.optimizers.base_optimizer.BaseOptimizer
    for name in ("_backend_update_step", "_backend_increment_gradient_accumulators", "_apply_weight_decay"):
        setattr(optimizer, name, MethodType(getattr(plain, name), optimizer))


def synchronise_batch_norm(model: keras.Model) -> None:
    """Let BatchNorm take its statistics from the parts of all devices.

    It is said of the layers that train alone, and stands in no saved network: other engines refuse it.
    """
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
