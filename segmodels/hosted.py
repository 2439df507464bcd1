"""What visitors may do where the app is hosted for everybody, as in a Space of the Hugging Face Hub.

On one's own computer nothing is limited. `SPACE_ID`, which a Space sets, turns the hosted mode on; `SEGMODELS_HOSTED`
does so elsewhere, or turns it off in a Space of one's own.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from segmodels.errors import UserError
from segmodels.home import home

if TYPE_CHECKING:
    from segmodels.recipe import Recipe

ON, OFF = ("1", "on", "true", "yes"), ("0", "off", "false", "no")


@dataclass(frozen=True)
class Limits:
    """How much is allowed; None where there is no limit.

    Attributes:
        hosted: whether the app is for visitors, who do not own the computer.
        training: whether they may train at all.
        pushing: whether they may push to the Hub.
        folders: whether they may name folders and files of the computer.
        own_data: whether they may add data sets of their own, which all others would see, or correct masks.
        epochs, pictures, image_size, batch_size: the most of a recipe that they train.
        minutes: of training, after which a run is stopped and its best epoch kept.
        runs: that train or wait at a time, of all visitors together.
        session_runs: that one visitor starts, until the page is loaded anew.
        upload_megabytes: of one file.
        pictures_at_once: that are predicted together.
        session_pictures: that one visitor uploads to be predicted, until the page is loaded anew.
        pull_megabytes: of one model that is pulled from the Hub.
        pulled_models: that are kept of the Hub, of all visitors together.
        jobs: that pull, check or export a model at a time, of all visitors together.
    """

    hosted: bool = False
    training: bool = True
    pushing: bool = True
    folders: bool = True
    own_data: bool = True
    epochs: int | None = None
    pictures: int | None = None
    image_size: int | None = None
    batch_size: int | None = None
    minutes: int | None = None
    runs: int | None = None
    session_runs: int | None = None
    upload_megabytes: int | None = None
    pictures_at_once: int | None = None
    session_pictures: int | None = None
    pull_megabytes: int | None = None
    pulled_models: int | None = None
    jobs: int | None = None


#: One's own computer, and a Space with two cores and 16 GB.
OPEN = Limits()
HOSTED = Limits(
    hosted=True,
    pushing=False,
    folders=False,
    own_data=False,
    epochs=10,
    pictures=320,
    image_size=128,
    batch_size=16,
    minutes=10,
    runs=2,
    session_runs=2,
    upload_megabytes=50,
    pictures_at_once=50,
    session_pictures=200,
    pull_megabytes=500,
    pulled_models=20,
    jobs=2,
)


def limits() -> Limits:
    """Those that hold here.

    Each limit of the hosted mode has a variable that overrides it, such as `SEGMODELS_HOSTED_EPOCHS=5` or
    `SEGMODELS_HOSTED_TRAINING=off`; `none` stands for no limit.

    Raises:
        UserError: a variable that is no such value.
    """
    if not _is_hosted():
        return OPEN
    kinds = get_type_hints(Limits)
    given: dict[str, Any] = {}
    for field in fields(Limits)[1:]:
        variable = f"SEGMODELS_HOSTED_{field.name.upper()}"
        if text := os.environ.get(variable, "").strip().lower():
            given[field.name] = _switch(variable, text) if kinds[field.name] is bool else _number(variable, text)
    return replace(HOSTED, **given)


def _is_hosted() -> bool:
    if text := os.environ.get("SEGMODELS_HOSTED", "").strip().lower():
        return _switch("SEGMODELS_HOSTED", text)
    return bool(os.environ.get("SPACE_ID"))


def _switch(variable: str, text: str) -> bool:
    if text not in ON + OFF:
        raise UserError(f"{variable}={text[:80]!r}: write on or off")
    return text in ON


def _number(variable: str, text: str) -> int | None:
    if text == "none":
        return None
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:18]) < 10**9):
        raise UserError(f"{variable}={text[:80]!r}: write a whole number from 1 on, or none")
    return int(text)


def check_training(recipe: Recipe) -> None:
    """`UserError` where a recipe is more than what may be trained here; the data set must be there."""
    from segmodels.hub.names import is_model_name, parse_model
    from segmodels.hub.pulled import find_pulled

    allowed = limits()
    if not allowed.hosted:
        return
    if not allowed.training:
        raise UserError("hosted demo: nothing is trained here; run segmodels on a computer of your own for that")
    if not allowed.folders:
        models = [("start_from", recipe.start_from), *(("teachers", name) for name in recipe.teachers or ())]
        files = [(field, getattr(recipe, field)) for field in ("data", "root", "split_file", "weights")]
        for field, name in [*files, *models]:
            path = Path(name or "")
            if path.is_absolute() and not path.is_relative_to(home()):  # a fork has the split of its run
                raise UserError(f"hosted demo: {field} names a file of this computer: leave it out")
        for _, name in models:
            if name and is_model_name(name) and not find_pulled(parse_model(name)):
                raise UserError(f"hosted demo: {name} is not here yet: pull it on the Models page first")
    for field in ("epochs", "image_size", "batch_size"):
        most, value = getattr(allowed, field), getattr(recipe, field)
        if most is not None and (not isinstance(value, int) or value > most):
            raise UserError(f"hosted demo: {field}={value} is over what is trained here: choose at most {most}")
    if allowed.pictures is not None:
        there = len(recipe.dataset().samples("train"))
        if min(there, recipe.limit or there) > allowed.pictures:
            raise UserError(
                f"hosted demo: {recipe.data} has {there} training pictures: set limit to {allowed.pictures} or less"
            )


def check_pulling(size: int) -> None:
    """`UserError` where a model of so many bytes may not be pulled to here, beside those that are kept."""
    from segmodels.hub.pulled import pulled_models

    allowed = limits()
    if allowed.pull_megabytes is not None and size > allowed.pull_megabytes * 1_000_000:
        raise UserError(
            f"hosted demo: it has {size / 1e6:,.0f} MB, and models of up to {allowed.pull_megabytes} MB are pulled here"
        )
    if allowed.pulled_models is not None and len(pulled_models()) >= allowed.pulled_models:
        raise UserError(
            f"hosted demo: {allowed.pulled_models} models of the Hub are kept here, which is all that there is room for"
        )


def check_pushing() -> None:
    """`UserError` where nothing may be pushed to the Hub from here."""
    if not limits().pushing:
        raise UserError("hosted demo: nothing is pushed from here; do so on a computer of your own")
