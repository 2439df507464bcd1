"""How repositories of the Hugging Face Hub are named: `owner/name`, and `hf://owner/name@revision` for a model."""

from __future__ import annotations

import re
from dataclasses import dataclass

from segmodels.errors import UserError

PREFIX = "hf://"

#: An owner or a name as the Hub allows it: no "--" nor "..", no dash or dot at an end, at most 96 letters.
WORD = r"(?![\w.-]*(?:--|\.\.))[A-Za-z0-9_](?:[\w.-]{0,94}[A-Za-z0-9_])?"

#: A commit, in full.
COMMIT = re.compile(r"[0-9a-f]{40}")

_NAME = re.compile(rf"(?P<owner>{WORD})/(?P<name>{WORD})(?:@(?P<revision>\w[\w./-]{{0,199}}))?", re.ASCII)


@dataclass(frozen=True)
class ModelName:
    """A model repository at a revision: a branch, a tag, a full commit, or `refs/pr/N`."""

    owner: str
    name: str
    revision: str = "main"

    @property
    def repository(self) -> str:
        return f"{self.owner}/{self.name}"

    def __str__(self) -> str:
        return f"{PREFIX}{self.repository}" + (f"@{self.revision}" if self.revision != "main" else "")


def is_model_name(text: str) -> bool:
    """Whether a text names a model of the Hub, well or badly, and no file."""
    return text.startswith(PREFIX) and not text.startswith(f"{PREFIX}datasets/")


def parse_model(text: str, revision: str | None = None) -> ModelName:
    """What `hf://owner/name[@revision]` says, with or without `hf://`; `revision`, where given, instead of its own.

    Raises:
        UserError: another form, or a revision in two places.
    """
    found = _NAME.fullmatch(text.strip().removeprefix(PREFIX))
    if found is None or ".." in (found["revision"] or ""):
        raise UserError(
            f"{text[:80]!r} is no model of the Hub: write {PREFIX}owner/name or {PREFIX}owner/name@revision"
        )
    if revision is not None:
        if found["revision"]:
            raise UserError(f"{text[:80]} names a revision already: leave out {revision[:40]!r}")
        return parse_model(f"{found['owner']}/{found['name']}@{revision}")
    return ModelName(found["owner"], found["name"], found["revision"] or "main")
