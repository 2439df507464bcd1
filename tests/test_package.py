"""The package: what its metadata asks for, what a wheel holds, and that it works where nothing else is."""

from __future__ import annotations

import email
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from segmodels import __version__, serve
from segmodels.errors import UserError
from tests.conftest import ROOT, Process

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
#: A finder that stands before all others and knows no engine.
WITHOUT_ENGINES = """
import sys
class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("tensorflow", "jax", "torch", "streamlit"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refused())
import importlib.util as finder
finder.find_spec = lambda name, package=None, found=finder.find_spec: (
    None if name in ("tensorflow", "jax", "torch", "streamlit") else found(name, package)
)
"""


def listed(name: str) -> dict[str, Requirement]:
    """The packages of a requirements file by their names, without those of the files that it includes."""
    lines = [line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    found = [Requirement(line) for line in lines if line and not line.startswith("-")]
    return {canonicalize_name(each.name): each for each in found}


def asked(lines: list[str]) -> dict[str, Requirement]:
    found = [Requirement(line) for line in lines]
    return {canonicalize_name(each.name): each for each in found if each.name != "segmodels"}


def test_the_core_is_what_its_requirements_say() -> None:
    assert set(asked(PROJECT["project"]["dependencies"])) == set(listed("requirements-core.txt"))


def test_the_extras_are_what_the_requirements_say() -> None:
    assert {"app", "jax", "ray", "onnx", "dev"} <= set(EXTRAS)
    assert set(asked(EXTRAS["app"])) == set(listed("requirements-app.txt"))
    engines = {"tensorflow", "tensorflow-cpu"}
    assert set(asked(EXTRAS["onnx"])) == set(listed("requirements.txt")) - engines
    assert set(asked(EXTRAS["jax"])) == set(listed("requirements-jax.txt"))
    assert set(asked(EXTRAS["openvino"])) == set(listed("requirements-openvino.txt"))
    assert set(asked(EXTRAS["ray"])) >= set(listed("requirements-ray.txt"))
    assert set(listed("requirements-test.txt")) - {"openvino", "ray", "setuptools"} <= set(asked(EXTRAS["dev"]))


def test_the_versions_that_are_tested_are_among_those_asked_for() -> None:
    pinned = {name: next(iter(each.specifier)).version for name, each in listed("constraints.txt").items()}
    lines = [*PROJECT["project"]["dependencies"], *(line for extra in EXTRAS.values() for line in extra)]
    for name, each in asked(lines).items():
        if name in pinned:
            assert each.specifier.contains(pinned[name]), name


def test_every_version_of_the_app_is_pinned() -> None:
    for file in ("requirements.txt", "requirements-core.txt", "requirements-app.txt", "requirements-test.txt"):
        for name, each in listed(file).items():
            assert re.fullmatch(r"==[\w.]+", str(each.specifier)), f"{file}: {name}"


def test_the_versions_of_the_package_agree() -> None:
    assert PROJECT["project"]["version"] == __version__


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the project, made of a copy, so that nothing is left in it."""
    folder = tmp_path_factory.mktemp("wheel")
    kept = shutil.ignore_patterns("__pycache__", "*.egg-info", "secrets.toml")
    for name in (".streamlit", "pages", "segmodels", "ui", "tests"):
        shutil.copytree(ROOT / name, folder / "project" / name, ignore=kept)
    for name in ("app.py", "pyproject.toml", "setup.py", "README.md"):
        shutil.copyfile(ROOT / name, folder / "project" / name)
    import setuptools

    alone = ["--no-build-isolation"] if Version(setuptools.__version__) >= Version("77") else []
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", *alone, "-w", folder, folder / "project"],
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode and not alone and re.search("NewConnectionError|No matching distribution", done.stderr):
        pytest.skip("without a network, building needs setuptools 77 beside this Python")
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder)
    return folder


def test_a_wheel_holds_the_package_and_the_app_and_nothing_else(unpacked: Path) -> None:
    held = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()}
    files = {f"segmodels/{path.relative_to(ROOT / 'segmodels')}" for path in (ROOT / "segmodels").rglob("*.py")}
    files |= {
        f"segmodels_app/{path.relative_to(ROOT)}" for part in ("pages", "ui") for path in (ROOT / part).rglob("*.py")
    }
    files |= {
        f"segmodels_app/{path.relative_to(ROOT)}" for path in (ROOT / "ui").rglob("*") if path.suffix in (".js", ".css")
    }
    files |= {"segmodels/py.typed", "segmodels_app/app.py", "segmodels_app/.streamlit/config.toml"}
    assert {name for name in held if ".dist-info/" not in name} == files
    for name in files - {"segmodels/py.typed"}:
        source = ROOT / name.removeprefix("segmodels_app/")
        assert (unpacked / name).read_bytes() == source.read_bytes(), name


def test_its_metadata(unpacked: Path) -> None:
    info = next(unpacked.glob("*.dist-info"))
    told = email.message_from_string((info / "METADATA").read_text())
    assert told["Name"] == "segmodels"
    assert set(told.get_all("Provides-Extra") or []) == set(EXTRAS)
    assert "Typing :: Typed" in (told.get_all("Classifier") or [])
    assert "segmodels = segmodels.cli:main" in (info / "entry_points.txt").read_text()


@pytest.fixture
def alone(unpacked: Path, tmp_path: Path, python: Callable[..., Process]) -> Callable[..., Process]:
    """Run words of the command line of the wheel, in an empty folder, where no engine and no Streamlit is found."""
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_ENGINES)

    def run(module: str, *words: str) -> Process:
        there = f"import os, runpy; os.chdir({str(tmp_path)!r})"
        code = f"{there}; runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
        places = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{unpacked}", "SEGMODELS_HOME": tmp_path / "home"}
        return python("-c", code, *words, **places, KERAS_BACKEND="")  # which Keras sets once it is loaded here

    return run


def test_the_command_line_needs_no_engine(alone: Callable[..., Process]) -> None:
    done = alone("segmodels", "architectures", "--json")
    assert done.returncode == 0, done.stderr
    names = [row["name"] for row in json.loads(done.stdout)]
    assert {"unet", "unet++", "segnet", "deeplabv3+", "segformer"} <= set(names)
    assert "toy-pets" in alone("segmodels", "datasets", "list").stdout


@pytest.mark.parametrize("words", [("summary", "--architecture", "unet"), ("train", "--data", "toy-pets")])
def test_what_needs_an_engine_says_so_in_one_line(words: tuple[str, ...], alone: Callable[..., Process]) -> None:
    done = alone("segmodels", *words)
    assert done.returncode == 2
    assert "neither TensorFlow nor JAX is installed: pip install" in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_the_app_without_streamlit_says_what_to_install(alone: Callable[..., Process]) -> None:
    done = alone("segmodels.serve")
    assert (done.returncode, done.stderr) == (
        2, "segmodels: the app needs Streamlit, which is not installed: pip install 'segmodels[app]'\n",
    )  # fmt: skip


def test_the_app_of_a_wheel_is_found(unpacked: Path, python: Callable[..., Process]) -> None:
    there = f"import os; os.chdir({str(unpacked)!r})\n"  # not in the project, which would be found first
    done = python("-c", f"{there}from segmodels.serve import app_script; print(app_script())", PYTHONPATH=unpacked)
    assert Path(done.stdout.strip()) == unpacked / "segmodels_app" / "app.py"
    draw = (
        "from streamlit.testing.v1 import AppTest; import ui, sys\n"
        f"app = AppTest.from_file({str(unpacked / 'segmodels_app' / 'app.py')!r}, default_timeout=60).run()\n"
        "print(ui.__file__); assert not app.exception, app.exception[0].message"
    )
    places = os.pathsep.join(map(str, (unpacked, unpacked / "segmodels_app")))
    done = python("-c", there + draw, PYTHONPATH=places)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(unpacked / "segmodels_app" / "ui" / "__init__.py")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_it_installs_into_a_clean_environment(wheel: Path, tmp_path: Path) -> None:
    """With what it asks for itself, from an index."""
    venv.create(tmp_path / "clean", with_pip=True)
    programs = tmp_path / "clean" / "bin"
    subprocess.run([programs / "python", "-m", "pip", "install", "--quiet", wheel], check=True, cwd=tmp_path)
    environment = {"PATH": "/usr/bin:/bin", "SEGMODELS_HOME": str(tmp_path / "home")}
    run = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True}
    done = subprocess.run([programs / "segmodels", "architectures"], **run)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    assert "unet++" in done.stdout
    assert subprocess.run([programs / "python", "-c", "import tensorflow"], **run).returncode == 1  # type: ignore[call-overload]


def test_a_port_in_use_is_one_line(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert serve.main(["--port", str(port), "--address", "127.0.0.1"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"segmodels: port {port} is in use: ")
    assert f"make app PORT={port + 1}" in said
    assert said.count("\n") == 1
    serve.check_port("127.0.0.1", port)
    with pytest.raises(UserError, match="port 70000"):
        serve.check_port("", 70000)


def test_models_that_ship_come_into_a_home_elsewhere_once(home: Path, tmp_path: Path) -> None:
    shipped = tmp_path / "checkpoints"
    for name in ("pets", "runs/some/best", ".part"):
        (shipped / name).mkdir(parents=True)
        (shipped / name / "segmodels.json").write_text("{}")
    serve.add_shipped_models(shipped)
    assert [str(path.relative_to(home)) for path in home.rglob("*.json")] == ["pets/segmodels.json"]
    (home / "pets" / "segmodels.json").write_text("own")
    serve.add_shipped_models(shipped)
    assert (home / "pets" / "segmodels.json").read_text() == "own"


MAKE = shutil.which("make")


def made(folder: Path, *words: str, **variables: str) -> str:
    """The line in which `make` says what stands in the way."""
    assert MAKE, "the Makefile needs make"
    for path in [ROOT / "Makefile", ROOT / "constraints.txt", *ROOT.glob("requirements*.txt")]:
        shutil.copyfile(path, folder / path.name)
    # A `make test` around this hands its flags and its depth down, and both change what make prints.
    around = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL"}
    environment = {name: value for name, value in os.environ.items() if name not in around} | variables
    done = subprocess.run([MAKE, "app", *words], cwd=folder, capture_output=True, text=True, env=environment)
    assert done.returncode == 2
    return next(line for line in reversed((done.stdout + done.stderr).splitlines()) if not line.startswith("make: "))


def program(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_make_without_a_fitting_python(tmp_path: Path) -> None:
    old = program(tmp_path / "python3.9", "exit 1")
    assert made(tmp_path, f"PYTHON={old}").startswith(f"{old} is not Python 3.11 or 3.12: install one, or name it")
    assert made(tmp_path, "PYTHON=").startswith("Python 3.11 or 3.12 is needed: install one")


def test_make_where_no_environment_can_be_made(tmp_path: Path) -> None:
    without = program(tmp_path / "python3.12", 'test "$1" = -c')
    assert "install its venv package (Debian: apt install python3-venv)" in made(tmp_path, f"PYTHON={without}")


@pytest.mark.parametrize(
    ("pip", "said"),
    [
        ("OSError: [Errno 28] No space left on device", "the disk is full: free about 4 GB"),
        (
            "Retrying after connection broken by 'NewConnectionError'",
            "packages cannot be fetched: connect to the network",
        ),
        ("error: command 'gcc' failed", "requirements.txt cannot be installed: see the end of .venv/install.log"),
    ],
)
def test_make_says_why_nothing_was_installed(pip: str, said: str, tmp_path: Path) -> None:
    """By what pip said, which is kept."""
    inside = f'mkdir -p .venv/bin && printf "#!/bin/sh\\necho \\"{pip}\\" >&2; exit 1\\n" > .venv/bin/python'
    text = f'test "$1" = -c && exit 0\n{inside} && chmod +x .venv/bin/python'
    line = made(tmp_path, f"PYTHON={program(tmp_path / 'python3.12', text)}", "REQUIREMENTS=requirements.txt")
    assert line.startswith(said)
    assert (tmp_path / ".venv" / "install.log").read_text() == f"{pip}\n"
    assert not (tmp_path / ".venv" / ".installed").exists()
