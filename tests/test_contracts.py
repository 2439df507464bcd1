"""What may import what, and what the first import costs."""

from __future__ import annotations

import ast
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from segmodels.models.architectures import ARCHITECTURES

ROOT = Path(__file__).parents[1]
ENGINES = {"tensorflow", "keras", "keras_cv", "jax", "torch"}
HEAVY = sorted({*ENGINES, "streamlit"})
#: Modules that the server and the light verbs of the command line import.
LIGHT = (
    "recipe", "cli", "cli_runs", "device", "engines", "nvidia", "errors", "files", "home", "terminal",
    "hub.checkpoint", "hub.card", "hub.names", "hub.repository", "hub.push", "hub.pull", "hosted",
    "training.runs", "training.launch", "training.queue", "training.losses",
    "training.train", "data.dataset", "data.images",
    "data.split", "data.prepare", "data.loader", "data.augment",
    "data.download", "data.datasets",
    "data.ahead", "data.tiles", "data.prepared",
    "data.datasets.oxford_pets", "data.datasets.own", "data.datasets.imported", "data.datasets.parquet",
    "data.datasets.hub", "data.datasets.tfds", "data.own_data", "data.add_upload", "data.verify",
    "data.datasets.toy_pets", "data.datasets.toy_nuclei", "models.architectures", "models.backbones",
    "models.features", "models.options", "models.voc", "models.weights",
    *(f"models.{row.module}" for row in ARCHITECTURES.values()),
    "evaluation.confusion", "evaluation.evaluate", "evaluation.instances", "prediction.masks", "prediction.resize",
    "prediction.predictor", "prediction.postprocess", "prediction.tiling", "prediction.write", "worker",
    "models.summary_text",
)  # fmt: skip


def imported(path: Path) -> set[str]:
    """Every module that a file imports, at any level and in any function."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def tops(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported(path)}


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


PACKAGE = sorted((ROOT / "segmodels").rglob("*.py"))
FRONT = sorted([*(ROOT / "pages").glob("*.py"), *(ROOT / "ui").rglob("*.py"), *ROOT.glob("app.py")])


def test_import_of_the_package_loads_no_engine(python: Callable) -> None:
    code = f"import segmodels, sys, json; print(json.dumps([m for m in {HEAVY} if m in sys.modules]))"
    assert json.loads(python("-c", code).stdout) == []


def test_light_modules_load_no_engine(python: Callable) -> None:
    code = (
        "import importlib, json, sys\n"
        "loaded = {}\n"
        f"for name in {LIGHT!r}:\n"
        "    importlib.import_module('segmodels.' + name)\n"
        f"    loaded[name] = [m for m in {HEAVY} if m in sys.modules]\n"
        "print(json.dumps({name: found for name, found in loaded.items() if found}))"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {}


def test_import_of_the_package_is_quick(python: Callable) -> None:
    def best(code: str) -> float:
        times = []
        for _ in range(5):
            began = time.perf_counter()
            assert python("-c", code).returncode == 0
            times.append(time.perf_counter() - began)
        return min(times)

    assert best("import segmodels") - best("pass") < 0.3


def test_public_names_are_there_at_first_use() -> None:
    import segmodels

    for name in segmodels.__all__:
        assert callable(getattr(segmodels, name)), name
    assert set(segmodels.__all__) <= set(dir(segmodels))
    with pytest.raises(AttributeError, match="nonsense"):
        segmodels.nonsense  # noqa: B018


@pytest.mark.parametrize("path", PACKAGE, ids=relative)
def test_the_package_does_not_know_streamlit(path: Path) -> None:
    assert not tops(path) & {"streamlit", "ui", "pages"}


@pytest.mark.parametrize("path", PACKAGE, ids=relative)
def test_keras_comes_through_one_module(path: Path) -> None:
    """So that the backend is chosen and configured before Keras starts."""
    if path.name != "backend.py":
        assert "keras" not in tops(path)


def test_engines_are_named_in_their_own_modules_only_at_the_top() -> None:
    """Elsewhere TensorFlow and JAX are imported in the function that needs them, so that either may be missing."""
    found = set()
    for path in PACKAGE:
        body = ast.parse(path.read_text(encoding="utf-8")).body
        for node in body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found |= {path.name for name in names if name.partition(".")[0] in ("tensorflow", "jax", "keras_cv")}
    assert found <= {
        "step_tensorflow.py", "step_jax.py", "adversarial_tensorflow.py", "adversarial_jax.py", "adam_tensorflow.py",
        "batch_norm_tensorflow.py", "parallel_tensorflow.py", "parallel_jax.py", "parallel_hosts.py",
    }  # fmt: skip


def test_pages_are_found() -> None:
    assert any(path.parent.name == "pages" for path in FRONT)
    assert any(path.parent.name == "ui" for path in FRONT)


@pytest.mark.parametrize("path", FRONT, ids=relative)
def test_the_front_knows_no_engine(path: Path) -> None:
    assert not tops(path) & ENGINES
    loads_keras = {
        "segmodels.backend",
        "segmodels.training.trainer",
        "segmodels.models.layers",
        "segmodels.models.build",
    }
    assert not imported(path) & loads_keras


def test_python_is_one_that_the_project_supports() -> None:
    assert (3, 11) <= sys.version_info < (3, 13)
