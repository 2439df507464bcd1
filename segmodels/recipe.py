"""`Recipe`: everything about a training run, in one validated, plain document."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from segmodels.data.augment import parse_augmentation
from segmodels.data.class_weights import METHODS
from segmodels.data.dataset import Dataset
from segmodels.data.datasets import data_name, default_sampling, open_dataset
from segmodels.data.datasets.own import FORMS
from segmodels.data.tiles import Edge, Tiling
from segmodels.errors import UserError, choose, explain
from segmodels.files import user_path, write_text
from segmodels.hub.names import is_model_name, parse_model
from segmodels.models.architectures import (
    NAMED_WEIGHTS,
    architecture_row,
    check_backbone,
    checked_options,
    default_backbone,
    default_weights,
    implied_options,
)
from segmodels.models.backbones import PLAIN
from segmodels.models.options import option_text

#: Fields that may change while a run goes.
Epochs = Annotated[int, Field(ge=1, le=10_000)]
Rate = Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)]
#: Bytes of a recipe's file that are read.
LARGEST = 1_000_000


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases: ten lines of them can stand for billions of values."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not allowed")
        return super().compose_node(parent, index)


def _checkpoint_name(name: str) -> str:
    """A checkpoint as a recipe keeps it: a folder is made absolute, the name of a run stays one."""
    name = name.strip()
    if not name:
        raise ValueError("give a run, RUN@EPOCH, hf://owner/name, or the folder of a checkpoint; or leave it out")
    if is_model_name(name):
        return str(parse_model(name))
    path = user_path(name)
    return name if re.fullmatch(r"[\w.+-]+(@\d+)?", name) and not path.exists() else str(path)


class Recipe(BaseModel):
    """What to train, on what, and how. Immutable; every field is checked when it is made.

    Raises:
        UserError: for the first field that is wrong, naming it, its value and what is allowed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    data: str = Field("oxford-pets", description="name of the data set, or a folder of your own data")
    root: str | None = Field(None, description="folder of a named data set, where it has files")
    form: str | None = Field(None, description="how a folder of your own is read; recognised where left out")
    split_file: str | None = Field(None, description="a file that says which picture is in which split")
    architecture: str = Field("unet", description="name of the architecture")
    backbone: str = Field(
        PLAIN, description="encoder: none for the architecture's own, or a pretrained network; else its default"
    )
    weights: str | None = Field(
        None, description="of the backbone: imagenet, none, voc, or a file; imagenet where some are published"
    )
    options: dict[str, Any] = Field(default_factory=dict, description="the architecture's own keywords")
    start_from: str | None = Field(
        None, description="a checkpoint to begin with the weights of: a run, RUN@EPOCH, hf://owner/name, or a folder"
    )
    image_size: int = Field(256, ge=32, le=2048, description="side in pixels at which the model sees pictures")
    sampling: Literal["resize", "tiles"] = Field(
        None,  # type: ignore[arg-type]
        description="how pictures are seen: resize (whole, at the image size) or tiles (cut from them as they are); "
        "as suits the data set where left out",
    )
    tile_stride: int | None = Field(
        None, ge=1, le=2048, description="pixels from one tile to the next; the image size where left out"
    )
    tile_edge: Edge = Field(
        "shift",
        description="where a last tile is not filled: pad it by reflection, shift it back, or drop it",
    )
    tile_foreground: float = Field(0.0, ge=0, le=1, description="least share of a training tile that is not background")
    epochs: Epochs = Field(20, description="passes over the training pictures")
    batch_size: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = Field(
        8, description="pictures a step; auto for the most that memory takes, up to 32"
    )
    accumulation: int = Field(1, ge=1, le=1024, description="steps whose gradients make one update together")
    loss: str = Field("cross_entropy+dice", description="a loss, or a weighted sum such as cross_entropy+0.5*dice")
    class_weights: tuple[float, ...] | str | None = Field(
        None,
        description=f"a weight a class in the loss, never in the score; or {', '.join(METHODS)}: from the masks",
    )
    teachers: tuple[str, ...] | None = Field(
        None,
        max_length=8,
        description="checkpoints whose mean answer is learned beside the masks, with commas between them: each a run, "
        "RUN@EPOCH, hf://owner/name, or a folder",
    )
    teacher_weight: float | None = Field(
        None, gt=0, le=1, description="share of the loss that is theirs; 0.5 where there are teachers"
    )
    auxiliary_weight: float | None = Field(
        None, ge=0, le=10, description="of auxiliary heads in the loss; the architecture's own where left out"
    )
    adversarial_weight: float | None = Field(
        None, ge=0, le=1000, description="of fooling a PatchGAN, beside the loss; 1 for pix2pix, else 0: there is none"
    )
    discriminator_every: int = Field(1, ge=1, le=1000, description="steps of the network to one of its discriminator")
    discriminator_rate: float = Field(1.0, gt=0, le=10, description="the discriminator's share of the learning rate")
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop", "lion"] = Field(
        "adam", description="how gradients become updates; sgd is with Nesterov's momentum"
    )
    learning_rate: Rate = Field(1e-3, description="its highest value")
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd and rmsprop; the first beta of adam, adamw and lion")
    weight_decay: float | None = Field(
        None, ge=0, le=1, description="without biases and normalisations; 0.0001 for adamw and lion, else 0"
    )
    clip_norm: float | None = Field(None, gt=0, description="longest gradient, over all variables together")
    schedule: Literal["cosine", "constant", "polynomial", "one_cycle", "plateau"] = Field(
        "cosine", description="course of the learning rate after the warm-up"
    )
    warm_up_epochs: float | None = Field(
        None, ge=0, le=1000, description="in which the learning rate rises; 200 steps or a tenth where left out"
    )
    plateau_patience: int = Field(
        5, ge=1, le=1000, description="epochs without a lower validation loss before schedule plateau lowers the rate"
    )
    plateau_factor: float = Field(0.5, gt=0, lt=1, description="by which schedule plateau lowers the rate")
    backbone_rate: float | None = Field(
        None, ge=0, le=1, description="the backbone's share of it; 0.2 where its weights are pretrained, else 1"
    )
    layer_decay: float | None = Field(
        None, gt=0, le=1, description="share of the rate from each stage of the backbone to the one before it"
    )
    freeze_epochs: int = Field(
        0, ge=0, le=10_000, description="first epochs in which the backbone, its BatchNorm too, stays as it is"
    )
    fine_tune_rate: float = Field(0.1, gt=0, le=1, description="share of the learning rate once it is unfrozen")
    early_stopping: int | None = Field(
        None, ge=1, le=10_000, description="epochs without a better validation mean IoU that end the run"
    )
    ema: float | None = Field(
        None, gt=0, lt=1, description="decay of a running mean of the weights, which is validated and kept; 0.999"
    )
    augment: str = Field(
        "light", description="how training pictures are varied: a preset, or operations such as flip+rotate(degrees=15)"
    )
    norm_momentum: float = Field(
        0.9, ge=0, lt=1, description="of the backbone's BatchNorm statistics; 0.9 suits short trainings"
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="what the network computes in; auto is bfloat16 on a GPU that has it"
    )
    xla: Literal["auto", "on", "off"] = Field(
        "auto", description="whether TensorFlow compiles the step with XLA; auto on a GPU only (JAX always does)"
    )
    seed: int = Field(0, ge=0, le=2**31 - 1, description="of weights, order and augmentation")
    split_seed: int = Field(0, ge=0, le=2**31 - 1, description="of the validation part that is split off")
    deterministic: bool = Field(False, description="the same numbers at every run on one machine, at some cost")
    snapshots: int = Field(
        3, ge=0, le=100, description="epochs whose weights are kept beside the best, evenly over the run, to fork from"
    )
    limit: int | None = Field(None, ge=1, description="use the first so many training pictures only")

    def __init__(self, /, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise explain(error, "recipe field", Recipe) from None

    @field_validator("data")
    @classmethod
    def _known_data(cls, name: str) -> str:
        return data_name(name)

    @field_validator("loss")
    @classmethod
    def _known_loss(cls, text: str) -> str:
        from segmodels.training.losses import parse_loss

        return parse_loss(text).text

    @field_validator("form")
    @classmethod
    def _known_form(cls, name: str | None) -> str | None:
        return name if name is None else choose("form", name, list(FORMS))

    @field_validator("root", "split_file", "weights")
    @classmethod
    def _absolute(cls, path: str | None, info: ValidationInfo) -> str | None:
        """A run may be resumed from another folder than it was started in."""
        named = path is None or (info.field_name == "weights" and path in NAMED_WEIGHTS)
        return path if named else str(user_path(path))  # type: ignore[arg-type]

    @field_validator("start_from")
    @classmethod
    def _checkpoint(cls, name: str | None) -> str | None:
        return None if name is None else _checkpoint_name(name)

    @field_validator("teachers", mode="before")
    @classmethod
    def _with_commas(cls, names: Any) -> Any:
        return tuple(names.split(",")) if isinstance(names, str) else names

    @field_validator("teachers")
    @classmethod
    def _teachers(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if names == ():
            raise ValueError("name one at least, or leave it out")
        return None if names is None else tuple(map(_checkpoint_name, names))

    @field_validator("augment")
    @classmethod
    def _known_augmentation(cls, text: str) -> str:
        return parse_augmentation(text).text

    @field_validator("class_weights", mode="before")
    @classmethod
    def _numbers_or_a_method(cls, weights: Any) -> Any:
        if not isinstance(weights, str):
            return weights
        if (method := " ".join(re.split(r"[\s_-]+", weights.strip().lower()))) in METHODS:
            return method
        try:
            return tuple(float(part) for part in weights.split(","))
        except ValueError:
            raise ValueError(f"write a number a class, with commas between them, or {' or '.join(METHODS)}") from None

    @field_validator("class_weights")
    @classmethod
    def _positive(cls, weights: tuple[float, ...] | str | None) -> tuple[float, ...] | str | None:
        if isinstance(weights, tuple) and (min(weights, default=0) < 0 or sum(weights) == 0):
            raise ValueError("weights must be 0 or more, one a class, and not all 0")
        return weights

    @model_validator(mode="before")
    @classmethod
    def _usual_weights(cls, given: Any) -> Any:
        if given.get("weight_decay") is None:
            given = {**given, "weight_decay": 1e-4 if given.get("optimizer") in ("adamw", "lion") else 0.0}
        if given.get("adversarial_weight") is None:
            given = {**given, "adversarial_weight": 1.0 if given.get("architecture") == "pix2pix" else 0.0}
        if given.get("teacher_weight") is None and given.get("teachers"):
            given = {**given, "teacher_weight": 0.5}
        return given

    @model_validator(mode="before")
    @classmethod
    def _fit_to_the_backbone(cls, given: Any) -> Any:
        """Pretrained features are worth keeping: where there are some they are taken, and changed more slowly."""
        if given.get("backbone") is None:
            given = {**given, "backbone": default_backbone(given.get("architecture", "unet"))}
        if given.get("weights") is None:
            given = {**given, "weights": default_weights(given["backbone"])}
        if given.get("backbone_rate") is None:
            given = {**given, "backbone_rate": 1.0 if given["weights"] == "none" else 0.2}
        return given

    @model_validator(mode="before")
    @classmethod
    def _fit_to_the_data(cls, given: Any) -> Any:
        if given.get("sampling") is None:
            data = given.get("data", "oxford-pets")
            given = {**given, "sampling": default_sampling(data) if isinstance(data, str) else "resize"}
        return given

    @model_validator(mode="after")
    def _tiles_fit(self) -> Recipe:
        if self.sampling == "resize":
            for name in ("tile_stride", "tile_edge", "tile_foreground"):
                if (value := getattr(self, name)) != Recipe.model_fields[name].default:
                    raise UserError(
                        f"recipe field {name}={value!r}: sampling resize has no tiles; leave it out, or sampling=tiles"
                    )
        elif self.tile_stride is not None and self.tile_stride > self.image_size:
            raise UserError(
                f"recipe field tile_stride={self.tile_stride}: over the image_size of {self.image_size} it leaves gaps "
                "between the tiles"
            )
        return self

    @model_validator(mode="after")
    def _fields_agree(self) -> Recipe:
        """A field that would change nothing is a mistake: whoever sets it expects otherwise."""
        checks = (
            (self.freeze_epochs >= self.epochs, "freeze_epochs", f"must be fewer than the {self.epochs} epochs"),
            (self.freeze_epochs and self.weights == "none", "freeze_epochs", "needs a pretrained backbone to freeze"),
            (
                self.backbone == PLAIN and self.weights == "none" and self.backbone_rate != 1,
                "backbone_rate",
                "needs a backbone",
            ),
            (
                self.layer_decay and self.backbone == PLAIN,
                "layer_decay",
                "needs a backbone, which has stages",
            ),
            (
                self.schedule == "one_cycle" and self.warm_up_epochs is not None,
                "warm_up_epochs",
                "schedule one_cycle has a rise of its own; leave it out",
            ),
            (
                (self.warm_up_epochs or 0) > (shortest := min(self.freeze_epochs or self.epochs, self.epochs)),
                "warm_up_epochs",
                f"must be at most the {shortest} epochs that it begins",
            ),
        )
        for wrong, name, why in checks:
            if wrong:
                raise UserError(f"recipe field {name}={getattr(self, name)!r}: {why}")
        for names, needed, has in (
            (("plateau_patience", "plateau_factor"), "schedule plateau", self.schedule == "plateau"),
            (("fine_tune_rate",), "freeze_epochs, after which it holds", self.freeze_epochs),
            (("discriminator_every", "discriminator_rate"), "adversarial_weight above 0", self.adversarial_weight),
            (("teacher_weight",), "teachers", self.teachers),
        ):
            for name in names:
                if getattr(self, name) != Recipe.model_fields[name].default and not has:
                    raise UserError(f"recipe field {name}={getattr(self, name)!r}: needs {needed}; leave it out")
        return self

    @model_validator(mode="after")
    def _network_exists(self) -> Recipe:
        check_backbone(self.architecture, self.backbone)
        if self.backbone == PLAIN and self.weights != "none":
            raise UserError(f"recipe field weights={self.weights!r}: needs a backbone; choose one, or weights none")
        options = implied_options(self.architecture, self.backbone, self.weights or "none", self.options)
        checked = checked_options(self.architecture, self.backbone, options)
        # As checked, not as typed: `depth=3` of a command line and 3 of a file are one recipe.
        plain = checked.model_dump(mode="json")
        object.__setattr__(self, "options", {key: plain[key] for key in options if plain[key] is not None})
        least = architecture_row(self.architecture).stride(checked)
        if self.image_size < least:
            raise UserError(
                f"recipe field image_size={self.image_size}: {self.architecture} on backbone {self.backbone} needs at "
                f"least {least} pixels a side"
            )
        return self

    def dataset(self) -> Dataset:
        """The data set opened; `UserError` where it is not there."""
        return open_dataset(
            self.data, self.root, split_seed=self.split_seed, form=self.form, split_file=self.split_file
        )

    @property
    def tiling(self) -> Tiling | None:
        """How training pictures are cut; None where they are resized."""
        if self.sampling == "resize":
            return None
        return Tiling(self.image_size, self.tile_stride or self.image_size, self.tile_edge, self.tile_foreground)

    def yaml(self) -> str:
        """The whole recipe as YAML, which `load` and `parse` take."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)

    def save(self, path: Path) -> None:
        """Write as JSON, or as YAML where the name ends so."""
        as_yaml = path.suffix in (".yaml", ".yml")
        write_text(path, self.yaml() if as_yaml else self.model_dump_json(indent=2) + "\n")

    @staticmethod
    def load(path: str | Path) -> Recipe:
        """Read a JSON or YAML file; `UserError` where it is missing, damaged or wrong."""
        path = Path(path)
        try:
            with path.open(encoding="utf-8") as file:
                text = file.read(LARGEST)
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(f"recipe file {path} does not exist") from None
        except (ValueError, OSError):
            raise UserError(f"recipe file {path} is neither YAML nor JSON") from None
        return Recipe.parse(text, str(path))

    @staticmethod
    def parse(text: str, name: str) -> Recipe:
        """Read the text of a JSON or YAML file; `UserError`, which calls it `name`, where it is damaged or wrong."""
        try:
            document = json.loads(text) if text.lstrip().startswith("{") else yaml.load(text, _PlainLoader)
        except (yaml.YAMLError, ValueError, RecursionError):
            raise UserError(f"recipe file {name} is neither YAML nor JSON") from None
        if not isinstance(document, dict) or not all(isinstance(key, str) for key in document):
            raise UserError(f"recipe file {name} must hold fields and their values")
        return Recipe(**document)

    def command(self) -> str:
        """The same run as a command line, without the fields that have their default."""
        words = ["python", "-m", "segmodels", "train"]
        # The defaults of the other fields are those of this network, which fits itself.
        leaders = ("architecture", "backbone", "optimizer")
        network = {name: Recipe.model_fields[name].default for name in leaders}
        usual = Recipe(data=self.data, architecture=self.architecture, backbone=self.backbone)
        plain = Recipe(**{name: getattr(self, name) for name in ("data", "weights", *leaders)})
        for name in Recipe.model_fields:
            value = getattr(self, name)
            if name == "options":
                words += [word for key, v in value.items() for word in ("--option", f"{key}={option_text(v)}")]
            elif (
                name == "data"
                or value != getattr(usual if name == "weights" else plain, name)
                or (name in network and value != network[name])
            ):
                words += [f"--{name.replace('_', '-')}", option_text(value)]
        return shlex.join(words)
