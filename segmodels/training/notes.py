"""A person's note on a run, and its tags, in the run's `notes.json`. Loads no Keras.

Anyone may write it, at any time: it is replaced as a whole, and the trainer never touches it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from segmodels.errors import UserError
from segmodels.files import read_json
from segmodels.training.runs import Run, is_run

#: The file in the run directory.
FILE = "notes.json"
#: The most characters of a note; the most tags, and characters of one.
NOTE, TAGS, TAG = 10_000, 20, 40
#: The most bytes of the file.
LIMIT = 200_000


@dataclass(frozen=True)
class Notes:
    """What a person wrote about a run; empty where nobody did."""

    note: str = ""
    tags: tuple[str, ...] = ()


def read_notes(run: Run) -> Notes:
    """The note and the tags of a run; of a damaged file none."""
    try:
        return notes_of(read_json(run.path / FILE, limit=LIMIT))
    except UserError:
        return Notes()


def notes_of(document: Any) -> Notes:
    """What a `notes.json` says, cut to what it may hold."""
    if not isinstance(document, dict):
        return Notes()
    note, tags = document.get("note"), document.get("tags")
    named = [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []
    return Notes(plain(note)[:NOTE] if isinstance(note, str) else "", _different(named, most=TAGS))


def write_notes(run: Run, note: str | None = None, tags: Iterable[str] | None = None) -> Notes:
    """Replace a run's note, its tags or both; None leaves what is there.

    Returns:
        What stands there now: without spaces around and control characters, each tag once.

    Raises:
        UserError: a note or a tag that is too long, too many tags, a run that is gone, or a folder that cannot be
            written.
    """
    before = read_notes(run)
    note = before.note if note is None else plain(note).strip()
    tags = before.tags if tags is None else _different(tags)
    if len(note) > NOTE:
        raise UserError(f"a note of {len(note):,} characters is too long: it may have {NOTE:,}")
    if long := [tag for tag in tags if len(tag) > TAG]:
        raise UserError(f"the tag {long[0][:TAG]!r}… is too long: it may have {TAG} characters")
    if len(tags) > TAGS:
        raise UserError(f"{len(tags)} tags are too many: a run may have {TAGS}")
    if not is_run(run.path):  # or else writing would make the folder of a deleted run again
        raise UserError(f"there is no run {run.id} any more")
    run.write(FILE, {"note": note, "tags": list(tags)})
    return Notes(note, tuple(tags))


def _different(tags: Iterable[str], most: int | None = None) -> tuple[str, ...]:
    """The tags that say something, each once whatever its case; with `most` so many, each cut to its length."""
    found: dict[str, str] = {}
    for tag in tags:
        name = " ".join(plain(tag).split())
        name = name if most is None else name[:TAG].strip()
        if name and (most is None or len(found) < most):
            found.setdefault(name.casefold(), name)
    return tuple(found.values())


def plain(text: str) -> str:
    """A text without what no screen shows: control characters but for tabs and new lines, and halves of characters."""
    if text.isprintable():
        return text
    return "".join(letter for letter in text if letter in "\n\t" or unicodedata.category(letter) not in ("Cc", "Cs"))
