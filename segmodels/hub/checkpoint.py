"""The checkpoint directory: all that is needed to use a model, and nothing that can run.

`segmodels.json` holds the spec (architecture, classes, input contract, recipe), `model.weights.h5` the weights. A
checkpoint is loaded by building the network from the spec with this package's own code and then reading arrays into it:
nothing is unpickled and no class is looked up by a name from the file.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from segmodels.data.dataset import ClassLabel
from segmodels.errors import UserError, explain
from segmodels.files import read_json, whole, write_text
from segmodels.hub.smaller import widened
from segmodels.models.architectures import ARCHITECTURES, ENSEMBLE, IMPORTED, checked_options, network_name
from segmodels.prediction.views import views_text

if TYPE_CHECKING:
    from segmodels.backend import keras

SPEC = "segmodels.json"
WEIGHTS = "model.weights.h5"
FORMAT = 1
#: The side in pixels at which a model may see pictures.
SMALLEST, LARGEST = 32, 2048
#: Networks of an ensemble.
MOST_MEMBERS = 8


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ArchitectureSpec(_Part):
    """The arguments of `build`, without the pretrained weights that training began with."""

    name: str = Field(max_length=50)
    backbone: str = Field(max_length=50)
    classes: int = Field(ge=1, le=255)
    options: dict[str, Any] = Field(default_factory=dict, max_length=50)

    @property
    def described(self) -> str:
        """In words: "unet on mobilenetv2", "unet, width=30"; of an ensemble those of its networks."""
        if self.is_ensemble:
            return f"ensemble ({'; '.join(member.described for member in self.members)})"
        options = [f"{key}={value}" for key, value in self.options.items()]
        return ", ".join([network_name(self.name, self.backbone), *options])

    @property
    def multiple(self) -> int:
        """What the network fills the sides of a picture up to a multiple of, in pixels; 1 where that is not known."""
        if self.is_ensemble:
            return math.lcm(*(member.multiple for member in self.members))
        if self.name not in ARCHITECTURES:
            return 1
        return ARCHITECTURES[self.name].stride(checked_options(self.name, self.backbone, self.options))

    @property
    def is_ensemble(self) -> bool:
        """Whether it is several networks together."""
        return (self.name, self.backbone) == (ENSEMBLE, "none")

    @property
    def members(self) -> list[ArchitectureSpec]:
        """The networks of an ensemble; `UserError` where they are none."""
        told = self.options.get("members")
        try:
            if not isinstance(told, list) or not 2 <= len(told) <= MOST_MEMBERS:
                raise UserError(f"an ensemble needs 2 to {MOST_MEMBERS} members")
            found = [ArchitectureSpec(**{**each, "classes": self.classes}) for each in told]
        except (TypeError, ValidationError):
            raise UserError("an ensemble whose members are no networks: get a sound copy of it") from None
        for member in found:
            if member.name not in ARCHITECTURES:
                raise UserError(
                    f"an ensemble with a member {member.name[:40]!r}: it may have {', '.join(ARCHITECTURES)}"
                )
        return found


class ClassSpec(_Part):
    """A class as the checkpoint knows it."""

    name: str = Field(min_length=1, max_length=100)
    colour: str = Field(pattern=r"^#[0-9a-fA-F]{6}$")


class InputSpec(_Part):
    """The input contract: at what scale the model sees a picture.

    "resize": the whole picture at `size` x `size`, and the logits resized back to the picture's own size. "tiles": the
    picture as it is, whole where it is small enough, else in tiles of `size` that share `overlap` pixels.

    `tta` names the views (`segmodels.prediction.views`) in which it sees every picture where nobody asks for others,
    such as "flips"; their answers are averaged. None is the picture as it is.
    """

    mode: Literal["resize", "tiles"]
    size: int = Field(ge=SMALLEST, le=LARGEST)
    overlap: int | None = Field(None, ge=0)
    tta: str | None = Field(default=None, min_length=1, max_length=50)

    @field_validator("tta")
    @classmethod
    def _known_views(cls, names: str | None) -> str | None:
        try:
            return views_text(names)
        except UserError as error:
            raise ValueError(str(error)) from None  # which says of what file and field it is

    @model_validator(mode="after")
    def _overlap_fits(self) -> InputSpec:
        if self.mode == "resize" and self.overlap is not None:
            raise ValueError("pictures that are resized have no overlap")
        if self.mode == "tiles" and (self.overlap is None or self.overlap > self.size // 2):
            raise ValueError(f"tiles of {self.size} pixels need an overlap of 0 to {self.size // 2}")
        return self

    @model_serializer(mode="wrap")
    def _without_nothing(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in serialise(self).items() if value is not None}


class Spec(_Part):
    """The whole of `segmodels.json`."""

    format: int
    architecture: ArchitectureSpec
    classes: list[ClassSpec] = Field(min_length=1, max_length=255)
    input: InputSpec
    recipe: dict[str, Any] = Field(default_factory=dict)

    @property
    def labels(self) -> tuple[ClassLabel, ...]:
        return tuple(ClassLabel(c.name, c.colour) for c in self.classes)


def input_spec(mode: Literal["resize", "tiles"], size: int) -> InputSpec:
    """The input contract of a model trained on pictures resized to `size`, or on tiles of that size."""
    # A quarter on each side: neighbours then see most of what lies around a pixel they share.
    return InputSpec(mode=mode, size=size, overlap=size // 8 * 2 if mode == "tiles" else None)


def read_spec(folder: str | Path) -> Spec:
    """Read and check a checkpoint's spec without loading Keras; `UserError` where it is missing, damaged or too new."""
    folder = whole(Path(folder))
    if not (folder / SPEC).is_file():
        raise UserError(f"{folder} is no checkpoint directory: it has no {SPEC}")
    document = read_json(folder / SPEC, limit=1_000_000)
    found = document.get("format") if isinstance(document, dict) else None
    if type(found) is not int or found != FORMAT:
        raise UserError(f"{folder / SPEC} has format {found!r}, but this version reads {FORMAT}: update segmodels")
    try:
        spec = Spec(**document)
    except ValidationError as error:
        raise explain(error, f"{folder / SPEC}: field", Spec) from None
    if spec.architecture.is_ensemble:
        try:
            spec.architecture.members  # noqa: B018 - whoever uses the spec may rely on them
        except UserError as error:
            raise UserError(f"{folder / SPEC}: {error}") from None
    if len(spec.classes) != spec.architecture.classes:
        raise UserError(
            f"{folder / SPEC} names {len(spec.classes)} classes, but its network has {spec.architecture.classes}"
        )
    if len({label.name for label in spec.classes}) != len(spec.classes):
        raise UserError(f"{folder / SPEC} names a class twice")
    try:
        spec.model_dump_json()
    except ValueError:  # half a letter, or lists in lists without end
        raise UserError(f"{folder / SPEC} holds what cannot be written again: get a sound copy of it") from None
    return spec


def write_checkpoint(folder: Path, model: keras.Model, spec: Spec) -> None:
    """Write spec and weights into an existing folder (the caller makes the folder appear as a whole)."""
    write_text(folder / SPEC, spec.model_dump_json(indent=2) + "\n")
    model.save_weights(str(folder / WEIGHTS))


def load_checkpoint(folder: str | Path) -> tuple[keras.Model, Spec]:
    """Build the network of a checkpoint and read its weights.

    Raises:
        UserError: no checkpoint, or a spec or weights that are damaged or do not fit each other.
    """
    folder = whole(Path(folder))
    spec = read_spec(folder)
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise UserError(f"{folder} has no {WEIGHTS}: copy the checkpoint again")
    from segmodels.hub.weights_file import check_weights_file

    # Before Keras sees it: the file may be a stranger's.
    shapes = check_weights_file(weights)
    model = build_spec(spec, sum(math.prod(shape) for shape in shapes.values()))
    read_weights(model, weights, shapes, f"its {SPEC}")
    return model, spec


def build_spec(spec: Spec, held: float = math.inf) -> keras.Model:
    """Build the network of a spec, without its weights.

    Args:
        held: numbers in its weights file: a network that needs more is not built.

    Raises:
        UserError: a network that cannot be, or that is refused.
    """
    network = spec.architecture
    if network.name == IMPORTED and network.backbone == "none":
        from segmodels.hub.keras_file.network import build_keras, keras_options

        return build_keras(keras_options(network.options), network.classes, spec.input.size, held)
    if network.is_ensemble:
        from segmodels.models.ensemble import join

        parts = [spec.model_copy(update={"architecture": member}) for member in network.members]
        return join([build_spec(part, held) for part in parts])
    from segmodels.models.build import build

    # Only the architecture's own keywords: a strange spec must not reach the other arguments of `build`.
    checked_options(network.name, network.backbone, network.options)

    def made() -> keras.Model:
        return build(network.name, classes=network.classes, backbone=network.backbone, **network.options)

    if network.options and held < math.inf:  # with its own keywords it may be of any size
        from segmodels.models.weightless import weightless

        check_held(weightless(lambda: made().count_params()), held)
    return made()


def check_held(parameters: int, held: float) -> None:
    """`UserError` where a network needs more numbers than its weights file holds."""
    if parameters > held:
        raise UserError(
            f"the network has {parameters:,} parameters, but its weights file holds {held:,} numbers: "
            "it is damaged or does not fit"
        )


def read_weights(model: keras.Model, path: Path, shapes: Mapping[str, tuple[int, ...]], what: str) -> None:
    """Read a weights file that was looked through (`segmodels.hub.weights_file`), with the `shapes` found in it.

    Raises:
        UserError: it lacks something that the network has, or has something that the network lacks. `what` is what it
            should fit.
    """
    try:
        with warnings.catch_warnings(action="ignore"), widened(path, shapes) as read:  # of what it then raises about
            model.load_weights(str(read))
    except UserError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} is damaged or does not fit {what} ({reason})") from None
    # Keras says nothing of arrays that are left over. Beside its layers' a file may hold an optimizer's.
    there = sum(name.startswith(("layers/", "vars/")) for name in shapes)
    if there != len(model.weights):
        raise UserError(
            f"{path} is damaged or does not fit {what} (it has {there} arrays, the network {len(model.weights)})"
        )


def weights_written(path: Path) -> int:
    """When the weights of a checkpoint were written, in nanoseconds; `UserError` where there are none."""
    try:
        return (whole(path) / WEIGHTS).stat().st_mtime_ns
    except OSError:
        raise UserError(f"{path} has no {WEIGHTS}: the checkpoint is incomplete, or its run was deleted") from None
