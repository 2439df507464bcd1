"""What several files share: a home of one's own, real data where it is, fresh processes, and one small trained run."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import configuration

from tests.served import browser, page, server  # noqa: F401 (fixtures for every file)
from tests.stand_in import stand_ins  # noqa: F401

if TYPE_CHECKING:
    from segmodels.training.runs import Run

ROOT = Path(__file__).parents[1]

# Hypothesis keeps the examples that failed: not in the project's folder.
configuration.set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "segmodels-hypothesis")

#: A network that trains in seconds on two cores.
TINY: dict[str, Any] = {
    "data": "toy-pets",
    "options": {"width": 4, "depth": 3},
    "image_size": 32,
    "batch_size": 8,
    "limit": 32,
    "epochs": 5,
    "learning_rate": 0.01,
}

Process = subprocess.CompletedProcess[str]


def needed(variable: str) -> Path:
    """The path in an environment variable; a test without it is skipped, and fails in continuous integration."""
    place = os.environ.get(variable)
    if place and Path(place).exists():
        return Path(place)
    reason = f"{variable} names no existing path: {place}" if place else f"{variable} is not set"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def data_folder() -> Path:
    """The folder of real data sets."""
    return needed("SEGMODELS_DATA")


@pytest.fixture
def weights_folder() -> Path:
    """The folder of backbone weights."""
    return needed("SEGMODELS_WEIGHTS_DIR")


@pytest.fixture
def jax_python() -> Path:
    """A Python with Keras and JAX, and without TensorFlow."""
    return needed("SEGMODELS_JAX_PYTHON")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home for runs and prepared data."""
    folder = tmp_path / "home"
    monkeypatch.setenv("SEGMODELS_HOME", str(folder))
    return folder


@pytest.fixture
def tiny() -> dict[str, Any]:
    """Recipe fields of a training that takes seconds."""
    return {**TINY, "options": dict(TINY["options"])}


@pytest.fixture(scope="session")
def compiled_by_jax(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables by which JAX's processes of all workers share what they compile: most begin with the same programs."""
    base = tmp_path_factory.getbasetemp()
    place = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "compiled-by-jax"
    return {
        "JAX_COMPILATION_CACHE_DIR": str(place),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


@pytest.fixture
def python(compiled_by_jax: dict[str, str]) -> Callable[..., Process]:
    """Run `python ARGUMENTS…` in a fresh process that finds the package; keywords are environment variables, but for
    `interpreter` and `timeout`, in seconds."""

    def run(
        *arguments: object, interpreter: Path | str = sys.executable, timeout: float = 300, **variables: object
    ) -> Process:
        shared = {} if str(interpreter) == sys.executable else compiled_by_jax
        given = {key: str(value) for key, value in variables.items()}
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **shared, **given}
        return subprocess.run(
            [str(interpreter), *map(str, arguments)],
            capture_output=True, text=True, env=environment, timeout=timeout, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    return run


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One finished training on toy-pets, in a home of its own. Read it only."""
    from segmodels.recipe import Recipe
    from segmodels.training.train import train

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEGMODELS_HOME", str(tmp_path_factory.mktemp("tiny") / "home"))
        return train(Recipe(**TINY))
