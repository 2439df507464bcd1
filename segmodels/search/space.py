"""What a search tries: the values of each field, how they are chosen, and the recipes that this makes. Loads neither
Keras nor Ray.

A space is a document of three parts, in YAML or JSON:

    search: {method: asha, trials: 20, metric: val_mean_iou, grace: 2, reduction: 3}
    recipe: {data: oxford-pets, epochs: 20}
    space:
      learning_rate: {log: [0.0001, 0.01]}
      batch_size: [4, 8, 16]
      options.width: [16, 32]

`search` says how, `recipe` what all trials have, `space` what they differ in: a list is a choice, `log`, `uniform` and
`integers` are ranges from the lowest to the highest value, and `options.KEY` is a keyword of the architecture.
"""

from __future__ import annotations

import itertools
import json
import math
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from segmodels.errors import UserError, choose, explain
from segmodels.files import user_path
from segmodels.models.options import option_text
from segmodels.recipe import Recipe

#: The most trials of a search, fields that are searched, and choices of one.
MOST_TRIALS, MOST_FIELDS, MOST_CHOICES = 1000, 32, 200
#: Bytes of a space's file that are read.
LARGEST = 100_000
#: What the trials of a search have in common, or their figures could not be compared.
COMMON = ("data", "root", "form", "split_file", "split_seed", "limit")
#: The figures of an epoch that a search can be after, and which way.
METRICS: dict[str, Literal["max", "min"]] = {
    "val_mean_iou": "max",
    "val_mean_dice": "max",
    "val_pixel_accuracy": "max",
    "val_f1": "max",
    "val_loss": "min",
}
RANGES = ("log", "uniform", "integers")
#: A keyword of the architecture among the fields.
OPTION = "options."
#: How often values are drawn again that were tried already.
_DRAWS = 200


@dataclass(frozen=True)
class Choice:
    """One of a few values."""

    values: tuple[Any, ...]

    def draw(self, rng: np.random.Generator) -> Any:
        return self.values[int(rng.integers(len(self.values)))]

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values that stand for all, where they are checked."""
        return self.values

    @property
    def document(self) -> Any:
        return list(self.values)


@dataclass(frozen=True)
class Range:
    """A number from `low` to `high`, both included; `kind` says how it is drawn: "log", "uniform" or "integers"."""

    kind: str
    low: float
    high: float

    def draw(self, rng: np.random.Generator) -> Any:
        if self.kind == "integers":
            return int(rng.integers(int(self.low), int(self.high) + 1))
        if self.kind == "log":
            value = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        else:
            value = rng.uniform(self.low, self.high)
        return min(self.high, max(self.low, float(f"{value:.4g}")))  # more digits tell nothing

    @property
    def ends(self) -> tuple[Any, ...]:
        return (int(self.low), int(self.high)) if self.kind == "integers" else (self.low, self.high)

    @property
    def document(self) -> Any:
        return {self.kind: list(self.ends)}


Domain = Choice | Range


class How(BaseModel):
    """How a search goes: its part `search`. Raises `UserError` for the first field that is wrong."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    method: Literal["random", "grid", "asha"] = Field("random", description="how values are chosen")
    trials: int | None = Field(None, ge=1, le=MOST_TRIALS, description="how many, but for grid, which tries all")
    metric: str = Field("val_mean_iou", description="what is to be best, of its best epoch")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="of the values that are drawn")
    grace: int = Field(1, ge=1, le=10_000, description="epochs that asha gives every trial")
    reduction: int = Field(3, ge=2, le=100, description="of so many trials asha lets one go on, at each of its rungs")
    parallel: int | None = Field(None, ge=1, le=MOST_TRIALS, description="the most trials at a time")

    def __init__(self, /, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise explain(error, "search field", How) from None
        if self.method == "grid" and self.trials is not None:
            raise UserError(f"search field trials={self.trials}: method grid tries all there are; leave it out")
        if self.method != "asha" and (given := [name for name in ("grace", "reduction") if name in fields]):
            raise UserError(f"search field {given[0]}={fields[given[0]]!r}: only method asha has it; leave it out")

    @field_validator("metric")
    @classmethod
    def _known_metric(cls, name: str) -> str:
        return choose("metric", name, list(METRICS))

    @property
    def mode(self) -> Literal["max", "min"]:
        """Whether the metric is to be high or low."""
        return METRICS[self.metric]


@dataclass(frozen=True)
class Space:
    """What a search tries.

    Attributes:
        how: the method, and how many trials.
        fields: of the recipe, those that differ, each with its values.
        recipe: of the recipe, what is the same in all trials; what stands nowhere has its default.
    """

    how: How
    fields: Mapping[str, Domain]
    recipe: Mapping[str, Any]

    @staticmethod
    def of(document: Any, fixed: Mapping[str, Any] | None = None, name: str = "the space") -> Space:
        """From a document as above.

        Args:
            fixed: fields of the recipe that win over those of the document, as from a command line.
            name: what a message calls it.

        Raises:
            UserError: the first thing that is wrong, naming the field. What no trial could be trained by is only found
                by `trials`.
        """
        parts = _object(document, name)
        if unknown := [part for part in parts if part not in ("search", "recipe", "space")]:
            raise UserError(f"{name}: unknown part {reprlib.repr(unknown[0])}: there are search, recipe and space")
        how = How(**_object(parts.get("search") or {}, f"{name}: search"))
        given = _object(parts.get("space") or {}, f"{name}: space")
        if not given:
            raise UserError(f"{name} is empty: name a field and its values, such as batch_size: [4, 8, 16]")
        if len(given) > MOST_FIELDS:
            raise UserError(f"{name} has {len(given)} fields: up to {MOST_FIELDS} can be searched together")
        fields = {_field(field): _domain(field, value, how) for field, value in given.items()}
        recipe = {**_object(parts.get("recipe") or {}, f"{name}: recipe"), **(fixed or {})}
        for field in recipe:
            choose("recipe field", field, list(Recipe.model_fields))
        options = recipe.get("options") or {}
        for field in fields:
            if field in recipe or (field.startswith(OPTION) and field.removeprefix(OPTION) in options):
                raise UserError(f"recipe field {field} is searched and fixed at once: leave it out on one side")
        if "options" in fields and any(field.startswith(OPTION) for field in fields):
            raise UserError("options and options.KEY are both searched: choose one way")
        return Space(how, fields, recipe)

    @staticmethod
    def parse(text: str, fixed: Mapping[str, Any] | None = None, name: str = "the space") -> Space:
        """From the text of a YAML or JSON file; `UserError` as `of`, and where it is neither."""
        if len(text.encode("utf-8", "replace")) > LARGEST:
            raise UserError(f"{name} is over {LARGEST:,} bytes: a space is a few lines")
        try:
            if text.lstrip().startswith("{"):
                return Space.of(json.loads(text), fixed, name)
            # Ten lines of aliases can stand for billions of values.
            if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text, yaml.SafeLoader)):
                raise UserError(f"{name}: aliases are not allowed; write the values out")
            return Space.of(yaml.safe_load(text), fixed, name)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            mark = getattr(error, "problem_mark", None)
            where = f" (line {mark.line + 1})" if mark is not None else ""
            raise UserError(f"{name} is neither YAML nor JSON{where}") from None

    @staticmethod
    def load(path: str | Path, fixed: Mapping[str, Any] | None = None) -> Space:
        """From a file; `UserError` where it is missing, damaged or wrong."""
        place = user_path(path)
        try:
            with place.open("rb") as file:
                data = file.read(LARGEST + 1)
        except OSError as error:
            raise UserError(f"the space {place} cannot be read: {error.strerror}") from None
        return Space.parse(data.decode("utf-8", "replace"), fixed, place.name)

    @property
    def document(self) -> dict[str, Any]:
        """What `of` makes the same space of."""
        return {
            "search": self.how.model_dump(mode="json", exclude_unset=True),
            "recipe": dict(self.recipe),
            "space": {field: domain.document for field, domain in self.fields.items()},
        }

    def yaml(self) -> str:
        """The same as text, which `parse` takes."""
        return yaml.safe_dump(json.loads(json.dumps(self.document)), sort_keys=False, default_flow_style=None)

    def recipe_of(self, values: Mapping[str, Any]) -> Recipe:
        """The recipe of a trial; `UserError` where it is none."""
        options = {field.removeprefix(OPTION): value for field, value in values.items() if field.startswith(OPTION)}
        fields = {**self.recipe, **{field: value for field, value in values.items() if not field.startswith(OPTION)}}
        if options:
            fields["options"] = {**(fields.get("options") or {}), **options}
        return Recipe(**fields)

    def trials(self) -> list[dict[str, Any]]:
        """The values of all trials, in their order, each once; the same at every call.

        Where there are fewer different ones than trials were asked for, those.

        Raises:
            UserError: a value that a recipe cannot have, values that do not go together, or too many trials.
        """
        found = list(self._all() if self.how.method == "grid" else self._drawn())
        self._check_values(found)
        found = [self._as_checked(number, values) for number, values in enumerate(found, 1)]
        if self.how.method == "asha" and self.how.grace >= (most := max(self.recipe_of(v).epochs for v in found)):
            raise UserError(f"search field grace={self.how.grace}: no trial has more than {most} epochs; lower it")
        return found

    def _as_checked(self, number: int, values: dict[str, Any]) -> dict[str, Any]:
        """Values as their recipe has them, not as they were typed: YAML takes 1e-4, without a point, for text."""
        try:
            plain = self.recipe_of(values).model_dump(mode="json")
        except UserError as error:
            raise UserError(f"trial {number} ({values_text(values)}) cannot be trained: {error}") from None
        return {field: value if field == "options" else plain.get(field, value) for field, value in values.items()}

    def _all(self) -> Iterator[dict[str, Any]]:
        choices = {field: domain.ends for field, domain in self.fields.items()}
        if (count := math.prod(map(len, choices.values()))) > MOST_TRIALS:
            raise UserError(f"the grid has {count:,} trials: up to {MOST_TRIALS} are allowed; search fewer values")
        for values in itertools.product(*choices.values()):
            yield dict(zip(choices, values, strict=True))

    def _drawn(self) -> Iterator[dict[str, Any]]:
        rng, seen = np.random.default_rng(self.how.seed), set()
        for _ in range(self.how.trials or 10):
            for _ in range(_DRAWS):
                values = {field: domain.draw(rng) for field, domain in self.fields.items()}
                if (text := json.dumps(values, sort_keys=True, default=str)) not in seen:
                    seen.add(text)
                    yield values
                    break
            else:
                return

    def _check_values(self, trials: list[dict[str, Any]]) -> None:
        """`UserError` naming the field where one of its values is in no recipe: whatever the others are."""
        for field, domain in self.fields.items():
            for value in domain.ends:
                problem: UserError | None = None
                for values in trials[:50]:
                    try:
                        self.recipe_of({**values, field: value})
                    except UserError as error:
                        problem = problem or error
                    else:
                        break
                else:
                    assert problem is not None
                    raise UserError(f"the values of {field}: {problem}")


def values_text(values: Mapping[str, Any]) -> str:
    """The values of a trial in a line."""
    return ", ".join(f"{field}={value_text(value)}" for field, value in values.items())


def value_text(value: Any) -> str:
    """A value as a command line has it."""
    if isinstance(value, dict):
        return " ".join(f"{key}={option_text(each)}" for key, each in value.items()) or "none"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else option_text(value)


def _object(document: Any, name: str) -> dict[str, Any]:
    if not isinstance(document, Mapping) or not all(isinstance(key, str) for key in document):
        raise UserError(f"{name} must hold names and their values")
    return dict(document)


def _field(name: str) -> str:
    if name.startswith(OPTION) and len(name) > len(OPTION):
        return name
    choose("recipe field", name, list(Recipe.model_fields))
    if name in COMMON:
        raise UserError(f"recipe field {name} cannot be searched: all trials are compared on the same pictures")
    return name


def _domain(field: str, value: Any, how: How) -> Domain:
    if isinstance(value, list):
        if not 1 <= len(value) <= MOST_CHOICES:
            raise UserError(f"the values of {field}: a list of 1 to {MOST_CHOICES}, not {len(value)}")
        texts = [json.dumps(each, default=str) for each in value]
        if twice := next((text for text in texts if texts.count(text) > 1), None):
            raise UserError(f"the values of {field}: {reprlib.repr(twice)} stands there twice")
        return Choice(tuple(value))
    if not isinstance(value, Mapping) or len(value) != 1:
        raise UserError(
            f"the values of {field}: write a list of choices, or one of {', '.join(RANGES)}, such as "
            f"{{uniform: [0.1, 0.9]}}; for one value write it under recipe"
        )
    ((kind, ends),) = value.items()
    choose(f"kind of range for {field}", str(kind), RANGES)
    if how.method == "grid":
        raise UserError(f"the values of {field}: method grid needs a list; a range has no end of values")
    if not isinstance(ends, list) or len(ends) != 2:
        raise UserError(f"the values of {field}: write {kind}: [lowest, highest]")
    low, high = (_number(field, end) for end in ends)
    if low >= high:
        raise UserError(f"the values of {field}: {low:g} is not below {high:g}; write [lowest, highest]")
    if kind == "log" and low <= 0:
        raise UserError(f"the values of {field}: a log range begins above 0")
    if kind == "integers" and (low != int(low) or high != int(high)):
        raise UserError(f"the values of {field}: integers are whole numbers")
    return Range(kind, low, high)


def _number(field: str, value: Any) -> float:
    """A finite number, also one that YAML takes for text."""
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number) or abs(number) > 2**53:
        raise UserError(f"the values of {field}: {reprlib.repr(value)} is no number")
    return number
