"""The project's Markdown: its links, its code, and a document run as a reader would, block by block.

`python -m tests.markdown FILE` runs the `python` and `bash` blocks of a document in the working directory, in their
order. The Python blocks share their names. A comment above a block, which readers do not see, says what is other:

- `<!-- needs VARIABLE … -->`: run only where these are set in the environment;
- `<!-- not run: REASON -->`: shown only;
- `<!-- file: PATH -->` and `<!-- into PATH after: LINE -->`: the code of a file, or of a part of one that comes below
  the line that begins so (`written`).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

_FENCE = re.compile(r"^```(\w*)\s*$")
_NOTE = re.compile(r"^<!-- (.*) -->$")
_LINK = re.compile(r"!?\[[^\]]*\]\(<?([^)\s>]+)>?[^)]*\)|<(?:img|a)\b[^>]*?(?:src|href)=\"([^\"]+)\"")


@dataclass(frozen=True)
class Block:
    """A block of code: its language, its text, the number of its first line, and the comment above it."""

    language: str
    text: str
    line: int
    note: str = ""


def documents() -> list[Path]:
    """All Markdown files of the project but the cards of models."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "checkpoints" / "README.md"])


def blocks(path: Path) -> list[Block]:
    """The blocks of code of a document."""
    found: list[Block] = []
    language, note, start, text = None, "", 0, []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        fence = _FENCE.match(line)
        if language is not None and fence:
            found.append(Block(language, "".join(f"{each}\n" for each in text), start, note))
            language, note = None, ""
        elif language is not None:
            text.append(line)
        elif fence:
            language, start, text = fence[1], number + 1, []
        elif line.strip():
            comment = _NOTE.match(line)
            note = comment[1] if comment else ""
    assert language is None, f"{path.name}: the block of line {start} has no end"
    return found


def prose(path: Path) -> str:
    """A document without its code."""
    return re.sub(r"`[^`\n]*`", "", _unfenced(path))


def _unfenced(path: Path) -> str:
    return re.sub(r"^```.*?^```\s*$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def links(path: Path) -> list[str]:
    """Where the links and pictures of a document lead."""
    return [first or second for first, second in _LINK.findall(prose(path))]


def anchors(path: Path) -> set[str]:
    """What may stand behind `#` in a link to a document: its headings as GitHub writes them."""
    titles = re.findall(r"^#+ +(.*)$", _unfenced(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def is_run(block: Block) -> bool:
    """Whether a block is run on this machine."""
    if block.language not in ("python", "bash") or block.note.startswith(("not run", "file: ", "into ")):
        return False
    needed = block.note.removeprefix("needs ").split() if block.note.startswith("needs ") else []
    return all(os.environ.get(variable) for variable in needed)


def run(path: Path) -> None:
    """Run a document in the working directory; a block that fails ends it."""
    names: dict[str, Any] = {"__name__": "__main__"}
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for block in blocks(path):
        if not is_run(block):
            continue
        print(f"--- {path.name}, line {block.line}", flush=True)
        if block.language == "bash":
            subprocess.run(["bash", "-euo", "pipefail", "-c", block.text], env=environment, check=True)
        else:  # errors then name the line of the document
            exec(compile("\n" * (block.line - 1) + block.text, str(path), "exec"), names)


def written(path: Path, root: Path) -> list[Path]:
    """Write the code of a document into a copy of the project, as its comments say; returns the files."""
    files = []
    for block in blocks(path):
        if block.note.startswith("file: "):
            file = root / block.note.removeprefix("file: ")
            assert not file.exists(), f"{path.name}: {file.name} is there already"
            file.write_text(block.text, encoding="utf-8")
        elif found := re.fullmatch(r"into (\S+) after: (.*)", block.note):
            file = root / found[1]
            lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
            places = [number for number, line in enumerate(lines, start=1) if line.startswith(found[2])]
            assert len(places) == 1, f"{path.name}: {found[2]!r} begins {len(places)} lines of {found[1]}"
            file.write_text("".join([*lines[: places[0]], block.text, *lines[places[0] :]]), encoding="utf-8")
        else:
            continue
        files.append(file)
    return files


if __name__ == "__main__":
    run(Path(sys.argv[1]))
