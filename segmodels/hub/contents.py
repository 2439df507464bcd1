"""What a checkpoint directory may hold when it travels: these files and no others."""

from __future__ import annotations

import re

from segmodels.hub.checkpoint import SPEC, WEIGHTS

#: The files by name, and the most bytes that one may have.
CONTENTS = {
    SPEC: 4 << 20,
    WEIGHTS: 4 << 30,
    "metrics.json": 16 << 20,
    "history.csv": 16 << 20,
    "README.md": 1 << 20,
}
#: Pictures beside them: how they are called, the most bytes of one, and how many there may be.
PREVIEW = re.compile(r"previews/[\w.-]{1,100}\.png", re.ASCII)
PREVIEW_BYTES, MOST_PREVIEWS = 16 << 20, 50
#: Without these it is no checkpoint.
NEEDED = (SPEC, WEIGHTS)


def most_bytes(path: str) -> int | None:
    """The most bytes that a file of a checkpoint may have; None where it belongs to none."""
    return CONTENTS.get(path, PREVIEW_BYTES if PREVIEW.fullmatch(path) else None)
