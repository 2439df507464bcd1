"""Pretrained weights of backbones: where they are found, how they come, and how a network is filled with them."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Any

from segmodels.errors import UserError
from segmodels.home import weights_folder
from segmodels.models.backbones import Backbone, unpublished


def load_weights(network: Any, row: Backbone, weights: str | Path) -> None:
    """Fill a backbone from "imagenet" or a file; `UserError` names the file and both ways to get it."""
    path = imagenet_weights(row) if str(weights) == "imagenet" else given_file(weights)
    if row.transformer:
        from segmodels.models.mit_presets import load_imagenet

        load_imagenet(network, path)
        return
    assert path is not None  # only transformers come without a file
    fill(network, path, f"weights of {row.title} without its top")


def fill(network: Any, path: Path, what: str) -> None:
    """Read a weights file into a network; `UserError` where it does not hold `what`."""
    try:
        network.load_weights(str(path))
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} does not hold {what} ({reason})") from None


def given_file(weights: str | Path) -> Path:
    """A weights file that a user named, or a folder of arrays; `UserError` where there is none."""
    path = Path(weights).expanduser()
    if not path.exists():
        raise UserError(f"weights file {path} does not exist: give an existing file, or 'imagenet', or 'none'")
    return path


def imagenet_weights(row: Backbone) -> Path | None:
    """A backbone's file of ImageNet weights: from `SEGMODELS_WEIGHTS_DIR` by name, else Keras' cache or download; None
    where another package brings them."""
    if not row.weights:
        raise UserError(unpublished(row))
    if found := in_weights_folder(row.weights):
        return found
    if row.url.startswith("kaggle:"):
        return None
    return download(row.weights[0], row.url, row.checksum, f"ImageNet weights of {row.title}")


def in_weights_folder(names: tuple[str, ...]) -> Path | None:
    """The first of these files or folders that is in `SEGMODELS_WEIGHTS_DIR`."""
    folder = weights_folder()
    return next((folder / name for name in names if (folder / name).exists()), None) if folder else None


def download(name: str, folder_url: str, checksum: str, what: str) -> Path:
    """A file from Keras' cache, or into it; `UserError` names the file and both ways to get it."""
    from segmodels.backend import keras

    cache = Path(os.environ.get("KERAS_HOME", "~/.keras")) / "models"
    whole = cache.expanduser() / name
    if whole.is_file():
        return whole
    part = whole.with_name(f"{name}.part")
    part.unlink(missing_ok=True)  # Keras would take what a killed download left for the whole
    url = f"{folder_url}/{name}"
    try:
        with contextlib.redirect_stdout(sys.stderr):  # where Keras draws its bar; standard output is for results
            fetched = keras.utils.get_file(part.name, url, cache_subdir="models", file_hash=checksum or None)
            Path(fetched).replace(whole)
        return whole
    except Exception:
        raise UserError(
            f"{what} are not here and cannot be downloaded: fetch {url} into {cache}, "
            f"or put {name} in a folder named by SEGMODELS_WEIGHTS_DIR"
        ) from None
