"""What the Markdown says: links lead somewhere, commands and names exist, pages on adding things can be followed."""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import segmodels
from segmodels.cli import parser
from segmodels.models.architectures import ARCHITECTURES
from segmodels.models.backbones import BACKBONES
from segmodels.prediction.result import Result
from segmodels.recipe import Recipe
from segmodels.training.losses import LOSSES
from segmodels.training.runs import Run
from tests.conftest import ROOT
from tests.markdown import anchors, blocks, documents, links, written

DOCUMENTS = documents()
#: What variables of the README's snippets are.
KNOWN: dict[str, type] = {"result": Result, "run": Run}


def names(paths: list[Path]) -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in paths]


@pytest.mark.parametrize("path", DOCUMENTS, ids=names(DOCUMENTS))
def test_links_and_pictures_lead_somewhere(path: Path) -> None:
    for link in links(path):
        if re.match(r"[a-z]+:", link):
            assert link.startswith("https://"), link
            continue
        target, _, anchor = link.partition("#")
        place = (path.parent / target).resolve() if target else path
        assert place.exists(), f"{path.name}: {link}"
        assert place.is_relative_to(ROOT), f"{path.name}: {link} leads out of the project"
        assert not anchor or anchor in anchors(place), f"{path.name}: {link}"


def test_every_document_and_picture_is_linked_from_one_at_the_top() -> None:
    reached, new = set(), [*ROOT.glob("*.md")]
    while new:
        path = new.pop()
        if path in reached:
            continue
        reached.add(path)
        if path.suffix == ".md":
            local = (link.partition("#")[0] for link in links(path) if not re.match(r"[a-z]+:", link))
            new += [(path.parent / link).resolve() for link in local if link]
    inside = {path for path in (ROOT / "docs").rglob("*") if path.suffix in (".md", ".png")}
    assert inside - reached == set()


def commands(path: Path) -> Iterator[list[str]]:
    """The words of each command in the `bash` blocks of a document."""
    for block in blocks(path):
        if block.language == "bash":
            for line in block.text.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words:
                    yield words


@pytest.mark.parametrize("path", DOCUMENTS, ids=names(DOCUMENTS))
def test_commands_are_understood(path: Path) -> None:
    """By the real parser; of others that the file or the target is there."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for words in commands(path):
        match words:
            case ["python", "-m", "segmodels", *arguments]:
                parser().parse_args(arguments)
            case ["python", "-m", module, *_]:
                assert importlib.util.find_spec(module), words
            case ["make", *goals]:
                assert {goal for goal in goals if "=" not in goal} <= targets, words
            case ["pip", "install", "-r", file, *_]:
                assert (ROOT / file).is_file(), words


def test_options_in_the_text_exist() -> None:
    """Every `--option` that a document names is one of some verb or of a benchmark."""
    benchmarks = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "benchmarks").glob("*.py"))
    known = set(re.findall(r"add_argument\(\s*\"(--[\w-]+)\"", benchmarks))

    def collect(one: argparse.ArgumentParser) -> None:
        for action in one._actions:
            known.update(action.option_strings)
            if isinstance(action, argparse._SubParsersAction):
                for other in action.choices.values():
                    collect(other)

    collect(parser())
    for path in DOCUMENTS:
        spans = re.findall(r"`([^`\n]*--[^`\n]*)`", path.read_text(encoding="utf-8"))
        ours = [
            span for span in spans if not re.match(r"(pip|docker|streamlit|npm|git|python -m (?!segmodels\b))", span)
        ]
        named = {option for span in ours for option in re.findall(r"(?<![\w-])--[a-z0-9][\w-]*", span)}
        assert named <= known, f"{path.name}: {named - known}"


def python_blocks() -> list[Any]:
    found = [(path, block) for path in DOCUMENTS for block in blocks(path) if block.language == "python"]
    # The parts of files are run in their places, below.
    whole = [(path, block) for path, block in found if not block.note.startswith("into ")]
    return [pytest.param(block.text, id=f"{path.relative_to(ROOT)}:{block.line}") for path, block in whole]


@pytest.mark.parametrize("text", python_blocks())
def test_snippets_name_what_exists(text: str) -> None:
    """They compile; what they import is there (but for files that the same page adds), and what they call of
    `segmodels` takes the keywords that they give."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module and "." in node.module:
            module = importlib.import_module(node.module)
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owner = node.value.id
            assert owner != "segmodels" or hasattr(segmodels, node.attr), f"segmodels.{node.attr}"
            if owner in KNOWN:
                fields = {name for each in KNOWN[owner].__mro__ for name in getattr(each, "__annotations__", {})}
                assert hasattr(KNOWN[owner], node.attr) or node.attr in fields, f"{owner}.{node.attr}"
        if isinstance(node, ast.Call):
            called, given = ast.unparse(node.func), {keyword.arg for keyword in node.keywords if keyword.arg}
            if re.fullmatch(r"segmodels\.\w+", called):
                check_keywords(getattr(segmodels, called.removeprefix("segmodels.")), given)
            elif re.fullmatch(r"segmodels\.Predictor\(.*\)", called):
                check_keywords(segmodels.Predictor.__call__, given)


def check_keywords(function: Any, given: set[str]) -> None:
    parameters = inspect.signature(function).parameters
    if function is Recipe:
        assert given <= set(Recipe.model_fields), given
    elif not any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        assert given <= set(parameters), given


def test_the_changelog_is_of_this_version_and_counts_right() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    latest = re.search(r"^## \[([\d.]+)\]", text, re.MULTILINE)
    assert latest
    assert latest[1] == segmodels.__version__
    words = {11: "eleven", 12: "twelve", 14: "fourteen", 15: "fifteen", 20: "twenty", 21: "twenty-one"}
    for table, of in ((ARCHITECTURES, "architectures"), (BACKBONES, "backbones"), (LOSSES, "losses")):
        assert f"{words[len(table)]} {of}" in text.lower()


@pytest.mark.slow
def test_the_reference_is_built_and_has_every_public_name(tmp_path: Path) -> None:
    from docs.api.build import MODULES

    done = subprocess.run(
        [sys.executable, "-m", "docs.api.build", str(tmp_path / "site")], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Warning" not in done.stderr, done.stderr
    page = (tmp_path / "site" / "segmodels.html").read_text()
    for name in segmodels.__all__:
        text = inspect.getdoc(getattr(segmodels, name))
        assert text, f"{name} has no docstring"
        assert f'id="{name}"' in page
        first = re.split(r"[`(:,.]", text.splitlines()[0])[0].strip()
        assert first in re.sub(r"<[^>]+>", "", page), name
    index = (tmp_path / "site" / "index.html").read_text()
    for module in MODULES:
        assert (tmp_path / "site" / f"{module.replace('.', '/')}.html").is_file()
        assert f"{module.replace('.', '/')}.html" in index or module != module.split(".")[0]


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "page", ["loss", *(pytest.param(name, marks=SLOW) for name in ("data_set", "backbone", "architecture"))]
)
@pytest.mark.timeout(1500)
def test_a_page_on_adding_can_be_followed(
    page: str, python: Callable, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a copy of the project: files and rows are written as the page says, and its commands run: those of the tests
    among them. The code is in the project's own style."""
    place = tmp_path / "project"
    for folder in ("segmodels", "tests"):
        shutil.copytree(ROOT / folder, place / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", place)
    source = ROOT / "docs" / "adding" / f"{page}.md"
    files = sorted({str(path) for path in written(source, place)})
    assert files
    monkeypatch.chdir(place)
    for tool in (("check",), ("format", "--check")):
        done = subprocess.run([sys.executable, "-m", "ruff", *tool, *files], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    done = python("-m", "tests.markdown", source, PYTHONPATH=place, timeout=1400)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-2000:]}"
    assert re.search(r"\d+ passed", done.stdout), done.stdout
