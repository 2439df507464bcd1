"""A checked network of Keras as one of this package: any picture of RGB 0..255 in, float32 logits of its size out."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from segmodels.backend import keras, ops
from segmodels.errors import UserError, explain
from segmodels.hub.checkpoint import check_held
from segmodels.hub.keras_file.check import checked_network
from segmodels.hub.keras_file.ending import input_size, with_input
from segmodels.models.backbones import Scaling
from segmodels.models.layers import CropLike, PadToMultiple, register
from segmodels.models.pixels import scale_pixels
from segmodels.models.resize import ResizeLike, bilinear_matrix
from segmodels.models.summary_graph import execution
from segmodels.models.weightless import weightless

#: What pixels a network was trained on.
Scale = Literal["0..255", "0..1", "-1..1", "imagenet"]
SCALES: tuple[Scale, ...] = get_args(Scale)

_SCALINGS: dict[Scale, Scaling] = {"0..1": "zero-to-one", "-1..1": "minus-one-to-one", "imagenet": "imagenet"}

#: Numbers in what a layer returns for one picture, 4 GB of them.
LARGEST_TENSOR = 1 << 30

#: Characters of a network's settings; the spec of a checkpoint holds a million.
MOST_TEXT = 700_000

#: The name of the imported network within the whole one.
INNER = "network"


class KerasOptions(BaseModel):
    """The options of the architecture "keras" in a checkpoint's spec.

    Attributes:
        network: the checked configuration, as JSON.
        scale: what pixels it was trained on.
        multiple: what both sides are padded to a multiple of, where it takes any size.
        resized: whether its answer has another size than what it is given.
        thing: whether it returns one score, of a thing against a background.
        probabilities: whether it returns probabilities, and not logits.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    network: str = Field(max_length=MOST_TEXT)
    scale: Scale
    multiple: int = Field(1, ge=1, le=256)
    resized: bool = False
    thing: bool = False
    probabilities: bool = False

    def configuration(self) -> dict[str, Any]:
        """The network's configuration, checked again: it may come from a stranger's spec."""
        try:
            document = json.loads(self.network)
        except (ValueError, RecursionError):
            raise UserError("the network is refused: its settings are no JSON") from None
        return checked_network(document)


def keras_options(options: dict[str, Any]) -> KerasOptions:
    """The options of a spec; `UserError` names what is wrong."""
    try:
        return KerasOptions(**options)
    except (ValidationError, TypeError) as error:
        if isinstance(error, ValidationError):
            raise explain(error, "keras option", KerasOptions) from None
        raise UserError("keras options: a name is no text") from None


def build_keras(options: KerasOptions, classes: int, size: int, held: float) -> keras.Model:
    """Build an imported network; its weights are still to be read.

    Args:
        classes: that its spec names.
        size: the side in pixels at which it sees pictures.
        held: numbers in its weights file. A network that needs more is not built.

    Raises:
        UserError: a configuration that is refused, too large, or does not answer with the classes for each pixel.
    """
    configuration = options.configuration()
    height, width = input_size(configuration)
    multiple = 1 if height and width else options.multiple
    padded = math.ceil(size / multiple) * multiple
    trial = tried(configuration, height or padded, width or padded)
    trial.check(held)
    channels = 1 if options.thing else classes
    if len(trial.shape) != 4 or trial.shape[-1] != channels:
        raise UserError(f"the network answers {trial.shape} for a picture, not (batch, height, width, {channels})")
    configuration["config"]["name"] = INNER
    with _explained():
        return _whole(options, built(with_input(configuration, height, width)), height, width)


@dataclass(frozen=True)
class Trial:
    """What a network would be, found out without making a weight or computing anything.

    Attributes:
        parameters: numbers in its weights.
        largest: numbers in the largest thing that a layer returns for one picture.
        shape: of its answer to one picture.
    """

    parameters: int
    largest: int
    shape: tuple[int | None, ...]

    def check(self, held: float) -> None:
        """`UserError` where there are fewer weights than the network needs, or where it would take too much memory."""
        check_held(self.parameters, held)
        if self.largest > LARGEST_TENSOR:
            raise UserError(f"the network makes {self.largest:,} numbers of one picture at once: refused")


def tried(configuration: dict[str, Any], height: int, width: int) -> Trial:
    """What a checked network would be for pictures of a size; `UserError` where none can be made of it."""

    def attempt() -> Trial:
        model = built(with_input(configuration, *input_size(configuration)))
        shape = model.compute_output_shape((1, height, width, 3))
        if not isinstance(shape, tuple) or not shape or isinstance(shape[0], tuple):
            raise UserError("the network has several outputs: make one with a single output and save that")
        largest = max((step.elements for step in execution(model, height, width)), default=0)
        return Trial(model.count_params(), largest, (None, *shape[1:]))

    with _explained():
        return weightless(attempt)


@contextmanager
def _explained() -> Iterator[None]:
    """Make one line of what Keras raises, which has no class of its own for what does not fit."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise UserError(f"the network cannot be built ({reason}): save it again with Keras 3") from None


def built(configuration: dict[str, Any]) -> keras.Model:
    """The network of a checked configuration."""
    model = keras.saving.deserialize_keras_object(configuration, safe_mode=True)
    if type(model) not in (keras.Model, keras.Sequential) and type(model).__name__ != "Functional":
        raise UserError("the network is refused: it is no Functional or Sequential network")
    return model


def _whole(options: KerasOptions, network: keras.Model, height: int | None, width: int | None) -> keras.Model:
    """The network between what makes its input of any picture and what makes logits of its answer."""
    images = keras.Input((None, None, 3), name="images")
    if height and width:
        seen = ResizeTo(height, width, name="resize")(images)
    else:
        seen = PadToMultiple(options.multiple, name="pad")(images)
    pixels = seen if options.scale == "0..255" else scale_pixels(seen, _SCALINGS[options.scale])
    scores = network(pixels)
    if options.probabilities or options.thing:
        scores = Scores(options.probabilities, options.thing, name="scores")(scores)
    if height and width:
        scores = ResizeLike(name="resize_back", dtype="float32")(scores, images)
    else:
        if options.resized:
            scores = ResizeLike(name="resize_back", dtype="float32")(scores, seen)
        scores = CropLike(name="crop", dtype="float32")(scores, images)
    return keras.Model(images, scores, name="keras")


@register
class ResizeTo(keras.layers.Layer):
    """Resize `(batch, h, w, c)` bilinearly to a fixed `height` and `width`."""

    def __init__(self, height: int, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.height, self.width = height, width

    def call(self, images: Any) -> Any:
        images = ops.cast(images, "float32")
        _, height, width, _ = ops.shape(images)
        images = ops.einsum("Hh,bhwc->bHwc", bilinear_matrix(height, self.height), images)
        return ops.einsum("Ww,bhwc->bhWc", bilinear_matrix(width, self.width), images)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape[0], self.height, self.width, input_shape[3]

    def multiply_adds(self, input_shape: tuple, output_shape: tuple) -> int:
        _, height, width, channels = input_shape
        return channels * width * self.height * (height + self.width)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "height": self.height, "width": self.width}


@register
class Scores(keras.layers.Layer):
    """Logits of a network's answer: of probabilities their logarithms, of one channel those of background and thing."""

    def __init__(self, probabilities: bool, thing: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.probabilities, self.thing = probabilities, thing

    def call(self, answer: Any) -> Any:
        if self.probabilities:
            least = 1e-7
            sure = ops.log(ops.maximum(answer, least))
            answer = sure - ops.log(ops.maximum(1 - answer, least)) if self.thing else sure
        return ops.concatenate([ops.zeros_like(answer), answer], axis=-1) if self.thing else answer

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (*input_shape[:-1], 2 if self.thing else input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "probabilities": self.probabilities, "thing": self.thing}
