"""`import_keras`: from a model as Keras 3 saves it to a checkpoint directory, with nothing of the file executed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from segmodels.data.dataset import Progress
from segmodels.data.disk import Report, Stop, make_folder
from segmodels.errors import UserError, choose
from segmodels.files import replacing, slug
from segmodels.home import home
from segmodels.hub.card import write_card
from segmodels.hub.checkpoint import (
    SPEC,
    ArchitectureSpec,
    InputSpec,
    Spec,
    input_spec,
    load_checkpoint,
    write_checkpoint,
)
from segmodels.hub.keras_file.check import checked_network
from segmodels.hub.keras_file.ending import input_size, scales_itself, with_input, without_activation
from segmodels.hub.keras_file.labels import class_specs
from segmodels.hub.keras_file.source import KerasFiles, opened
from segmodels.hub.names import is_model_name, parse_model
from segmodels.models.architectures import IMPORTED

if TYPE_CHECKING:
    from segmodels.backend import keras
    from segmodels.hub.keras_file.network import KerasOptions

#: At what size a network that takes any sees pictures, where nothing is said.
SIZE = 256

#: Sides are padded to a multiple of one of these: how often a network halves them.
MULTIPLES = (1, 2, 4, 8, 16, 32, 64, 128)

#: How far the checkpoint's logits may be from those of the network that was read, as a share of their range.
TOLERANCE = 1e-4


def import_keras(
    source: str | Path,
    out: str | Path,
    *,
    classes: Sequence[str] | str | Path | None = None,
    colours: Sequence[str] | None = None,
    scale: str | None = None,
    size: int | None = None,
    token: str | None = None,
    endpoint: str | None = None,
    progress: Progress | None = None,
    stop: Stop | None = None,
    note: Callable[[str], None] | None = None,
) -> Path:
    """Make a checkpoint directory of a model that Keras 3 saved; returns it.

    The network becomes one of this package: it takes RGB 0..255 of any size and returns float32 logits of that size. A
    last softmax or sigmoid is taken off; one score becomes two classes, "background" and "thing". A network of a fixed
    size is given pictures resized to it; an answer of another size is resized.

    Nothing in the file can run: the network is built from its configuration only where that is made of Keras' own
    layers (`segmodels.hub.keras_file.allowed`), and the weights are read only from a file of plain arrays.

    Args:
        source: a `.keras` file; a folder with its three files; or `hf://owner/name@revision`.
        out: a new folder.
        classes: names in the order of the channels, or a label file; by number where None.
        colours: `#RRGGBB` for each class.
        scale: the pixels that the network was trained on: "0..255", "0..1", "-1..1" or "imagenet" (0..1 less
            ImageNet's mean, by its deviation). Where None "0..255" of a network that rescales its input, else "0..1".
        size: the side in pixels at which a network of any size is to see pictures; 256 where None.
        token: for private models of the Hub.
        progress, stop: of downloads and unpacking.
        note: told what was found out or guessed, in lines.

    Raises:
        UserError: no such model, one that is damaged or hostile, has layers that are not Keras' own, other input than
            RGB or other output than scores for each pixel; a folder that is not empty.
    """
    from segmodels.hub.keras_file.network import SCALES

    out = Path(out).expanduser()
    if (out.exists() and not out.is_dir()) or (out.is_dir() and any(out.iterdir())):
        raise UserError(f"{out} is there already: name a new folder")
    if scale is not None:
        choose("scale", scale, SCALES)
    note = note or (lambda line: None)
    report = Report(progress, stop)
    make_folder(out.parent)
    with opened(source, out.parent, report, token=token, endpoint=endpoint) as files:
        try:
            configuration = checked_network(files.config)
            return _imported(files, configuration, out, classes, colours, scale, size, report, note)
        except UserError as error:
            if str(error).startswith(("the network", "keras option")):
                raise UserError(f"{source}: {error}") from None
            raise


def _imported(
    files: KerasFiles,
    configuration: dict[str, Any],
    out: Path,
    classes: Sequence[str] | str | Path | None,
    colours: Sequence[str] | None,
    scale: str | None,
    size: int | None,
    report: Report,
    note: Callable[[str], None],
) -> Path:
    from segmodels.hub.keras_file.network import INNER, Scale, build_keras, built, keras_options

    report(0, 3, "building the network")
    configuration, ending = without_activation(configuration)
    height, width = input_size(configuration)
    held = sum(math.prod(shape) for shape in files.shapes.values())
    contract = _contract(height, width, size)
    multiple, resized, channels = _sizes(configuration, height, width, held)
    thing = channels == 1
    specs = class_specs(
        2 if thing else channels, ["background", "thing"] if thing and classes is None else classes, colours
    )
    if scale is None:
        scale = "0..255" if scales_itself(configuration) else "0..1"
        found = "the network rescales them" if scale == "0..255" else "the network does not rescale them"
        note(f"pixels are given as {scale}, since {found}: if it was trained on others, name their scale")
    probabilities = False
    if ending == "none":  # it may still answer with probabilities, which something was done with afterwards
        network = built(with_input(configuration, height, width))
        _read(network, files)
        probabilities = _are_probabilities(network, height, width, multiple)
    options: dict[str, Any] = {
        "network": json.dumps(configuration, separators=(",", ":"), ensure_ascii=False),
        "scale": cast("Scale", scale),
        "multiple": multiple,
        "resized": resized,
        "thing": thing,
        "probabilities": probabilities,
    }
    checked: KerasOptions = keras_options(options)
    report(1, 3, "building the network")
    model = build_keras(checked, len(specs), contract.size, held)
    _read(model.get_layer(INNER), files)
    spec = Spec(
        format=1,
        architecture=ArchitectureSpec(name=IMPORTED, backbone="none", classes=len(specs), options=options),
        classes=specs,
        input=contract,
        recipe={},
    )
    with replacing(out) as beside:
        beside.mkdir()
        write_checkpoint(beside, model, spec)
        if (beside / SPEC).stat().st_size > 1_000_000:
            raise UserError("the network has too many layers to be imported")
        write_card(beside, spec, {})
        report(2, 3, "predicting a picture")
        _compare(beside, model, contract)
    report(3, 3, "imported")
    return out


def _contract(height: int | None, width: int | None, size: int | None) -> InputSpec:
    """At what size the network is to see pictures."""
    own = max(height, width) if height and width else None
    if own is not None and size not in (None, own):
        raise UserError(f"size={size}: the network takes pictures of {width} x {height} pixels only: leave size out")
    side = own or (SIZE if size is None else size)
    if type(side) is not int or not 32 <= side <= 2048:
        raise UserError(f"size={side}: must be a whole number from 32 to 2048")
    return input_spec("resize", side)


def _sizes(configuration: dict[str, Any], height: int | None, width: int | None, held: int) -> tuple[int, bool, int]:
    """To a multiple of what sides must be padded, whether the answer is of another size, and its channels.

    Raises:
        UserError: no size fits, or the answer is not `(batch, height, width, channels)`.
    """
    from segmodels.hub.keras_file.network import tried

    if bool(height) != bool(width):
        raise UserError(f"the network takes pictures of {width} x {height} pixels: fix both sides or none")
    fallback, problem = None, None
    for multiple in (1,) if height else MULTIPLES:
        odd = max(3, 48 // multiple // 2 * 2 + 1)  # what is halved once more than the multiple allows has a rest
        high, wide = height or multiple * odd, width or multiple * (odd + 2)
        try:
            trial = tried(configuration, high, wide)
        except UserError as error:
            problem = problem or error
            continue
        trial.check(held)
        shape = trial.shape
        if len(shape) != 4 or any(side is None for side in shape[1:]):
            raise UserError(
                f"the network answers {tuple(shape)} for a picture, not a score for each pixel and class "
                "(batch, height, width, classes): it cannot be used here"
            )
        found = (multiple, shape[1:3] != (high, wide), int(shape[3] or 0))
        if not 1 <= found[2] <= 255:
            raise UserError(f"the network has {found[2]} classes: at most 255 are possible")
        if not found[1]:
            return found
        if shape[1] == shape[2] == 1:
            raise UserError("the network answers once for a whole picture, not for each pixel: it is of no use here")
        if fallback is None or multiple <= 32:
            fallback = found
    if fallback is None:
        raise problem or UserError("the network takes pictures of no size")
    return fallback


def _read(network: keras.Model, files: KerasFiles) -> None:
    """Read the weights; `UserError` where they are not all those of this network."""
    from segmodels.hub.checkpoint import read_weights

    read_weights(network, files.weights, files.shapes, "the network of its config.json")


def _are_probabilities(network: keras.Model, height: int | None, width: int | None, multiple: int) -> bool:
    """Whether the answer to a random picture is a share for each class."""
    side = math.ceil(64 / multiple) * multiple
    picture = np.random.default_rng(0).random((1, height or side, width or side, 3), dtype=np.float32)
    try:
        answers = [np.asarray(network(picture * factor, training=False)) for factor in (1.0, 255.0)]
    except Exception as error:  # each engine has classes of its own
        raise UserError(f"the network cannot predict a picture ({' '.join(str(error).split())[:160]})") from None
    between = all(answer.min() >= 0 and answer.max() <= 1 for answer in answers)
    if answers[0].shape[-1] == 1:
        return between and any(np.ptp(answer) > 0 for answer in answers)
    return between and all(np.abs(answer.sum(axis=-1) - 1).max() < 1e-3 for answer in answers)


def _compare(folder: Path, model: keras.Model, contract: InputSpec) -> None:
    """`UserError` unless the checkpoint, loaded as anyone would, answers as the network that was written."""
    picture = np.random.default_rng(0).integers(0, 256, (1, contract.size, contract.size, 3), dtype=np.uint8)
    expected = np.asarray(model(picture, training=False))
    found = np.asarray(load_checkpoint(folder)[0](picture, training=False))
    if not np.isfinite(expected).all():
        raise UserError("the network answers with numbers that are none: its weights are damaged")
    if found.shape != expected.shape or np.abs(found - expected).max() > TOLERANCE * max(float(np.ptp(expected)), 1e-6):
        raise UserError("the network answers otherwise once it is written and read again: it cannot be imported")


def default_folder(source: str | Path) -> Path:
    """Where an imported model is kept where nothing is said: below the home, by its own name, a number behind it where
    that is taken."""
    name = parse_model(str(source)).name if is_model_name(str(source)) else Path(source).expanduser().resolve().name
    name = slug(name.removesuffix(".keras"))
    folders = (home() / f"{name}{f'-{number}' if number else ''}" for number in range(1000))
    return next(folder for folder in folders if not folder.exists())
