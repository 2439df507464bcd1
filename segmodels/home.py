"""Where things are kept: one rule for the app, the command line and Python."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def home() -> Path:
    """The folder for runs, prepared data, downloads and pulled weights.

    `SEGMODELS_HOME` if set; else `checkpoints/` of the project that the working directory lies in (a folder that holds
    both `app.py` and `segmodels/`); else the user's cache directory. Not created here.
    """
    if chosen := os.environ.get("SEGMODELS_HOME"):
        return Path(chosen).expanduser().resolve()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "app.py").is_file() and (folder / "segmodels").is_dir():
            return folder / "checkpoints"
    return user_cache() / "segmodels"


def user_cache() -> Path:
    """The operating system's folder for things that can be made again."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def data_folder() -> Path | None:
    """`SEGMODELS_DATA`, the folder of data sets, or None where it is not set."""
    chosen = os.environ.get("SEGMODELS_DATA")
    return Path(chosen).expanduser().resolve() if chosen else None


def data_folders() -> list[Path]:
    """Where data sets are looked up: `SEGMODELS_DATA` where it is set, then the folder of downloads."""
    chosen = data_folder()
    return [*([chosen] if chosen else []), home() / "data"]


def weights_folder() -> Path | None:
    """`SEGMODELS_WEIGHTS_DIR`, where backbone weights are looked up before any download, or None."""
    chosen = os.environ.get("SEGMODELS_WEIGHTS_DIR")
    return Path(chosen).expanduser().resolve() if chosen else None
