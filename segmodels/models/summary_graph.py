"""Every layer of a network in the order it runs, with its shapes at one picture size; nothing is computed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from segmodels.backend import keras

#: The step number that stands for the picture itself.
PICTURE = -1
#: Layers that, when a network predicts, hand on what they are given: their output needs no memory of its own.
VIEWS = {"Dropout", "SpatialDropout2D", "StochasticDepth", "Reshape", "Flatten", "Identity"}


@dataclass(frozen=True)
class Step:
    """One call of one layer.

    Attributes:
        name: the layer's, made unique where two networks inside each other use the same one.
        layer: the Keras layer (or operation) itself.
        inputs: numbers of the steps it reads; `PICTURE` for the picture.
        input_shapes: of all tensors it is given, batch 1 included.
        output_shapes: of all tensors it returns, batch 1 included.
        inner: whether it is part of the nested backbone.
        tap: whether what it returns leaves the backbone.
    """

    name: str
    layer: Any
    inputs: tuple[int, ...]
    input_shapes: tuple[tuple[int, ...], ...]
    output_shapes: tuple[tuple[int, ...], ...]
    inner: bool
    tap: bool

    @property
    def kind(self) -> str:
        return type(self.layer).__name__

    @property
    def elements(self) -> int:
        """Numbers that it returns."""
        return sum(math.prod(shape) for shape in self.output_shapes)


class _Recorder:
    """Runs a functional model on symbolic tensors of a known size and writes down each call.

    `keras.models.clone_model` runs a model call by call, in the order in which the model itself runs, and asks
    `call_function` to do each; the layers stay the same ones. A nested model is walked on inputs of its own, and what
    comes out of it is tied to what the outer model sees.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[Any, list[Any], list[Any], bool]] = []
        self.same: dict[int, Any] = {}  # a tensor of an outer or inner model, and the one that a layer made
        self.taps: set[int] = set()

    def walk(self, model: Any, inputs: list[Any], inner: bool) -> list[Any]:
        if isinstance(model, keras.Sequential):
            x = inputs[0]
            for layer in model.layers:
                x = self.call(layer, x, inner=inner)
            return [x]
        walked = keras.models.clone_model(
            model,
            input_tensors=inputs if isinstance(model.input, (list, tuple)) else inputs[0],
            clone_function=lambda layer: layer,
            call_function=lambda layer, *args, **kwargs: self.call(layer, *args, inner=inner, **kwargs),
        )
        return walked.outputs

    def call(self, layer: Any, *args: Any, inner: bool, **kwargs: Any) -> Any:
        outputs = layer(*args, **kwargs)
        given, returned = _tensors((args, kwargs)), _tensors(outputs)
        if isinstance(layer, keras.Model):
            backbone = layer.name == "backbone"
            fresh = [keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype) for tensor in given]
            self.same.update({id(new): old for new, old in zip(fresh, given, strict=True)})
            made = self.walk(layer, fresh, inner or backbone)
            self.same.update({id(seen): origin for seen, origin in zip(returned, made, strict=True)})
            if backbone:
                self.taps.update(id(self.origin(tensor)) for tensor in made)
            # Held, for Python would else give their ids to others.
            self.calls.append((None, fresh, [*made, *returned], inner))
        else:
            self.calls.append((layer, given, returned, inner))
        return outputs

    def origin(self, tensor: Any) -> Any:
        while id(tensor) in self.same:
            tensor = self.same[id(tensor)]
        return tensor


def execution(model: Any, size: int, width: int | None = None) -> list[Step]:
    """The calls of `model` for one picture of `size` x `size`, or `size` x `width`, in the order in which they run."""
    recorder = _Recorder()
    picture = keras.Input((size, width or size, 3), batch_size=1)
    recorder.walk(model, [picture], inner=False)
    steps: list[Step] = []
    maker = {id(picture): PICTURE}
    names: dict[str, int] = {}
    for layer, given, returned, inner in recorder.calls:
        if layer is None:
            continue
        read = [maker[id(recorder.origin(tensor))] for tensor in given]
        names[layer.name] = names.get(layer.name, 0) + 1
        name = layer.name if names[layer.name] == 1 else f"{layer.name}#{names[layer.name]}"
        maker.update({id(tensor): len(steps) for tensor in returned})
        steps.append(
            Step(
                name=name,
                layer=layer,
                inputs=tuple(dict.fromkeys(read)),
                input_shapes=tuple(tuple(tensor.shape) for tensor in given),
                output_shapes=tuple(tuple(tensor.shape) for tensor in returned),
                inner=inner,
                tap=any(id(tensor) in recorder.taps for tensor in returned),
            )
        )
    return steps


def live_elements(steps: list[Step], picture: int) -> int:
    """The most numbers that are held at once while the network predicts, its weights not counted.

    A tensor lives from the step that makes it to the last step that reads it; the network's output, which nothing
    reads, to the end. While a step runs, what it reads and what it returns are both there: no step writes over its
    input, and none is fused with the next, so an engine that does so needs less. `VIEWS` take no memory.

    Args:
        steps: of `execution`.
        picture: numbers in the picture itself.
    """
    root = {PICTURE: PICTURE}  # whose memory a step's output is in
    last: dict[int, int] = {}  # the step after which that memory is free
    for i, step in enumerate(steps):
        root[i] = root[step.inputs[0]] if step.kind in VIEWS and len(step.inputs) == 1 else i
        last.update({root[made]: i for made in (*step.inputs, i)})
    read = {root[made] for step in steps for made in step.inputs}
    last.update({made: len(steps) - 1 for made in last if made not in read})

    def size(made: int) -> int:
        return picture if made == PICTURE else steps[made].elements

    now = peak = picture
    for i in range(len(steps)):
        now += size(i) if root[i] == i else 0
        peak = max(peak, now)
        now -= sum(size(made) for made, end in last.items() if end == i)
    return peak


def _tensors(structure: Any) -> list[Any]:
    """The tensors in the arguments or results of a call, however nested."""
    return [item for item in keras.tree.flatten(structure) if isinstance(item, keras.KerasTensor)]
