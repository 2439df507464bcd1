"""Which repository of the Hub keeps the weights of finished runs: `SEGMODELS_HUB`, or what was set in this home."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from segmodels.errors import UserError
from segmodels.files import read_json, write_json
from segmodels.home import home
from segmodels.hub.names import parse_model

#: The variable of the environment, which goes before what the home says.
VARIABLE = "SEGMODELS_HUB"


def hub_repository() -> str | None:
    """The `owner/name` that finished runs are sent to and looked up in; None where none is set.

    Raises:
        UserError: what is set names no repository, or the home's `settings.json` is damaged.
    """
    if named := os.environ.get(VARIABLE, "").strip():
        return _checked(named, VARIABLE)
    kept = _settings().get("hub")
    return _checked(str(kept), str(_file())) if kept else None


def set_hub_repository(name: str | None) -> None:
    """Keep in the home which repository it is, or with None that there is none; `SEGMODELS_HUB` still goes before it.

    Raises:
        UserError: no name of a repository, or the home cannot be written.
    """
    checked = _checked(name, "the repository") if name and name.strip() else None
    try:
        before = _settings()
    except UserError:  # damaged: this is how it is put right
        before = {}
    write_json(_file(), {**before, "hub": checked})


def _file() -> Path:
    return home() / "settings.json"


def _settings() -> dict[str, Any]:
    path = _file()
    if not path.is_file():
        return {}
    found = read_json(path, limit=100_000)
    if not isinstance(found, dict):
        raise UserError(f"{path}: not the settings of a home; delete it, and set them again")
    return found


def _checked(text: str, where: str) -> str:
    try:
        name = parse_model(text)
    except UserError:
        raise UserError(f"{where} is {text[:80]!r}: give a repository of the Hub as owner/name") from None
    if "@" in text:
        raise UserError(f"{where} is {text[:80]!r}: leave out the revision, runs are kept on the main branch")
    return name.repository
