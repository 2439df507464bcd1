"""Which engines are installed, and which of them Keras will run on, told without loading any."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os

#: The engines in the order in which they are taken, each with the packages that bring it.
ENGINES = {"tensorflow": ("tensorflow", "tensorflow-cpu"), "jax": ("jax",)}


def chosen_engine() -> str | None:
    """What `KERAS_BACKEND` names, else the first engine that is installed; None where none is."""
    if chosen := os.environ.get("KERAS_BACKEND"):
        return chosen
    return next((name for name in ENGINES if importlib.util.find_spec(name)), None)


def engine_versions() -> dict[str, str | None]:
    """The version of each engine, None of one that is not installed."""
    return {
        name: next((version for package in packages if (version := package_version(package))), None)
        for name, packages in ENGINES.items()
    }


def package_version(package: str) -> str | None:
    """The version of an installed package; None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
