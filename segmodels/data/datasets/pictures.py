"""The pictures of a folder, and which of them an annotation file speaks of."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from segmodels.data.dataset import Finding
from segmodels.data.datasets.own import split_of
from segmodels.errors import UserError

#: What picture files are called; their content decides when they are read.
SUFFIXES = frozenset((".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"))

#: Words in the name of a folder whose pictures are no photographs but what was made of them.
_DERIVED = re.compile(r"mask|label|annot|segment|overlay|class|instance|preview|viz")


def files_below(root: Path) -> list[Path]:
    """Every file below a folder, sorted by path; hidden ones, and what macOS adds to archives, are left out."""
    found: list[str] = []
    waiting = [os.fspath(root)]
    while waiting:
        for entry in _entries(waiting.pop()):
            with suppress(OSError):  # a link in a circle
                if entry.is_dir(follow_symlinks=False):
                    waiting += [entry.path] if entry.name != "__MACOSX" else []
                elif entry.is_file():  # files alone: a pipe would be read for ever
                    found.append(entry.path)
    # As paths are sorted, part by part, which among ten thousand takes seconds with paths themselves.
    return [Path(path) for path in sorted(found, key=lambda path: path.replace(os.sep, "\0"))]


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """What is in a folder and not hidden; nothing where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError:
        return []


class Pictures:
    """The pictures among some files below a root. Only these are ever named, whatever an annotation says."""

    def __init__(self, root: Path, files: Iterable[Path]) -> None:
        self.root = root
        self.paths = [path for path in files if path.suffix.lower() in SUFFIXES]
        self._known = {str(path): path for path in self.paths}
        self._named: dict[str, list[Path]] = {}
        for path in self.paths:
            for name in {path.name.lower(), path.stem.lower(), path.stem.lower().removesuffix(".ome")}:
                self._named.setdefault(name, []).append(path)

    def has(self, name: str) -> bool:
        """Whether any picture has this name, with or without its suffix."""
        return name.lower() in self._named

    def called(self, name: str, annotation: Path) -> Path | None:
        """The picture that an annotation file calls `name`, or None.

        A relative path counts from the annotation's folder or from the root; where nothing is there, and for the paths
        of another machine, the file name decides.

        Raises:
            UserError: a name that climbs out of the root, or one that several pictures have.
        """
        text = name.replace("\\", "/")
        if not text.startswith("/") and not re.match(r"[A-Za-z]+:", text):
            places = [os.path.normpath(folder / text) for folder in (annotation.parent, self.root)]
            for place in places:
                if place in self._known:
                    return self._known[place]
            if not any(place.startswith(f"{self.root}{os.sep}") for place in places):
                raise UserError(f"{name[:80]!a} is outside of the data set's folder")
        parts = text.lower().split("/")
        return self._likeliest(self._named.get(parts[-1], []) if parts[-1] else [], annotation, parts)

    def beside(self, annotation: Path) -> Path | None:
        """The picture of the same name as an annotation file ("a.xml" or "a.tif.xml" of "a.tif"), or None.

        Raises:
            UserError: several pictures have the name, and none is nearer than the others.
        """
        return self._likeliest(self._named.get(annotation.stem.lower(), []), annotation, [])

    def _likeliest(self, found: list[Path], annotation: Path, parts: list[str]) -> Path | None:
        """The one that agrees with most of the path named, then in its split, then lies nearest to the annotation."""

        def merit(path: Path) -> tuple[int, bool, int, bool]:
            own = path.relative_to(self.root)
            return (
                _common(reversed([part.lower() for part in own.parts]), reversed(parts)),
                split_of(own) == split_of(annotation.relative_to(self.root) / "in"),
                _common(path.parts, annotation.parts),
                not _DERIVED.search(path.parent.name.lower()),
            )

        if len(found) < 2:
            return found[0] if found else None
        best, second = sorted(found, key=merit, reverse=True)[:2]
        if merit(best) == merit(second):
            names = " and ".join(str(path.relative_to(self.root)) for path in (best, second))
            raise UserError(f"{names} have the same name: it is not clear which is meant")
        return best


def pair(annotations: Iterable[Path], pictures: Pictures) -> tuple[dict[Path, Path], list[Finding]]:
    """The annotation file of each picture that has one, by the picture, and a finding for each that is left out."""
    paired: dict[Path, Path] = {}
    problems = []
    for path in annotations:
        try:
            picture = pictures.beside(path)
            wrong = "" if picture else "no picture has the same name"
        except UserError as error:
            picture, wrong = None, str(error)
        if picture in paired:
            wrong = f"{paired[picture].relative_to(pictures.root)} is for the same picture"
        elif picture is not None:
            paired[picture] = path
        if wrong:
            problems.append(Finding("no-picture", path.relative_to(pictures.root).as_posix(), wrong, "left out"))
    return paired, problems


def ids_of(paths: Iterable[Path], root: Path) -> dict[Path, str]:
    """The sample ids of pictures: their paths below the root without suffix, or with it where two would be the same."""
    paths = list(paths)
    whole = {path: path.relative_to(root).as_posix() for path in paths}
    short = {path: path.relative_to(root).with_suffix("").as_posix() for path in paths}
    taken = Counter([*short.values(), *whole.values()])
    return {path: name if taken[name] == 1 else whole[path] for path, name in short.items()}


def _common(one: Iterable[str], other: Iterable[str]) -> int:
    """How many parts two paths share from the start on."""
    count = 0
    for mine, theirs in zip(one, other, strict=False):
        if mine != theirs:
            break
        count += 1
    return count
