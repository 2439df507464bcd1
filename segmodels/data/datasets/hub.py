"""Image and mask sets of the Hugging Face Hub: `hf://datasets/owner/name[@revision[/folder]]`.

`download_hub` brings one commit of a repository into `home()/data/hub/owner--name/COMMIT` and notes which commit the
revision was; to open it needs no network. A repository is either Parquet files with a column of pictures and one of
masks, or files in any form of `segmodels.data.datasets.own`. Nothing of it is ever run, and nothing is unpickled.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from segmodels.data.archive import Refused, check_name
from segmodels.data.dataset import Dataset, Progress
from segmodels.data.datasets.imported import FORMAT, INDEX, Import, ImportedDataset, is_import, read_index
from segmodels.data.datasets.own import SPLIT_NAMES, open_own, recognise
from segmodels.data.datasets.parquet import ParquetPairs
from segmodels.data.disk import Report, Stop, Stopped, locked, make_folder
from segmodels.data.label_files import FILE_NAMES, Label, read_label_file
from segmodels.errors import UserError
from segmodels.files import replacing, sweep, write_json
from segmodels.home import home
from segmodels.hub.names import COMMIT, WORD
from segmodels.hub.repository import HubRepository, note_commit, noted_commits

PREFIX = "hf://datasets/"

#: More bytes than this in the files that are wanted are refused.
MAX_BYTES = 64 << 30

#: A larger file that is no picture is not asked for.
MAX_TEXT_BYTES = 1 << 30

#: Files that are brought, beside Parquet. Code, pickles and archives are not.
PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
TEXTS = (".json", ".geojson", ".txt", ".csv", ".yaml", ".yml", ".xml")

#: Where the class names stand beside Parquet files, the likeliest first.
LABEL_FILES = ("id2label.json", *FILE_NAMES)

_NAME = re.compile(
    rf"(?P<owner>{WORD})/(?P<name>{WORD})(?:@(?P<revision>refs/convert/\w+|refs/pr/\d+|[\w.-]+)(?:/(?P<folder>.+))?)?",
    re.ASCII,
)

#: Where in the folder of a commit the files are that are read as they came.
_PLAIN = "files"


@dataclass(frozen=True)
class Place:
    """What a name says: the repository, the revision and the folder in it ("" for all of it)."""

    owner: str
    name: str
    revision: str
    folder: str

    @property
    def repository(self) -> str:
        return f"{self.owner}/{self.name}"

    @property
    def base(self) -> Path:
        """Where its commits are kept."""
        return home() / "data" / "hub" / f"{self.owner}--{self.name}"

    def at(self, commit: str) -> Path:
        """Where one commit is kept."""
        return self.base / "--".join([commit, *(part for part in self.folder.split("/") if part)])


def parse(name: str) -> Place:
    """What a name says. As everywhere on the Hub, a revision is a branch without "/", a tag, a commit or
    `refs/convert/parquet`; without one it is `main`.

    Raises:
        UserError: not `hf://datasets/owner/name[@revision[/folder]]`.
    """
    found = _NAME.fullmatch(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else None
    folder = (found["folder"] or "").rstrip("/") if found else ""
    try:
        check_name(folder or "_")
    except Refused:
        found = None
    if found is None:
        raise UserError(f"{name[:80]!r} is no data set of the Hub: write {PREFIX}owner/name[@revision[/folder]]")
    return Place(found["owner"], found["name"], found["revision"] or "main", folder)


def open_hub(name: str, *, split_seed: int = 0, form: str | None = None) -> Dataset:
    """Open what `download_hub` brought, without the network.

    Args:
        split_seed: chooses the splits that the repository does not have.
        form: how its files are read, one of `own.FORMS`; recognised where None. Parquet files have one of their own.

    Raises:
        UserError: no such name, it has not been brought yet, or what `open_own` raises.
    """
    place = parse(name)
    commit = noted_commits(place.base).get(place.revision, place.revision)
    folder = place.at(commit)
    if not COMMIT.fullmatch(commit) or not is_import(folder):
        raise UserError(f"{name} is not here yet: bring it with `python -m segmodels datasets download {name}`")
    index = read_index(folder)
    if index.get("files") is not True:
        if form is not None:
            raise UserError(f"{name} is of Parquet files: leave out the form {form!r}")
        imported = ImportedDataset(folder, split_seed=split_seed)
        imported.name = name
        return imported
    dataset = open_own(folder / _PLAIN, form=form, split_seed=split_seed, name=name)
    dataset.licence, dataset.source = str(index.get("licence")), str(index.get("source"))
    return dataset


def hub_names() -> list[str]:
    """The sets that have been brought, by the names they are opened with, sorted."""
    found = set()
    for path in (home() / "data" / "hub").glob(f"[!.]*/[!.]*/{INDEX}"):
        with contextlib.suppress(UserError, KeyError):
            name = str(read_index(path.parent)["name"])
            place = parse(name)
            if is_import(place.at(noted_commits(place.base).get(place.revision, place.revision))):
                found.add(name)
    return sorted(found)


def download_hub(
    name: str, progress: Progress | None = None, stop: Stop | None = None, *, endpoint: str | None = None
) -> Path:
    """Bring a data set from the Hub at the commit that its revision is now; returns the folder of that commit.

    What is there already is not brought again: files stay in the cache of huggingface_hub (`HF_HOME`), a commit in the
    home. A full commit that is there is found without the network.

    Args:
        progress: told the bytes that came, then the pictures that were written.
        stop: asked often; once it returns True this ends with `segmodels.data.disk.Stopped`.
        endpoint: of the Hub; `HF_ENDPOINT` by default.

    Raises:
        UserError: no such repository or revision, no access, no network, no space, more files or bytes than allowed, or
            nothing in it that can be read as pictures with masks.
    """
    place = parse(name)
    if COMMIT.fullmatch(place.revision) and is_import(place.at(place.revision)):
        return place.at(place.revision)
    report = Report(progress, stop)
    hub = HubRepository(place.repository, place.revision, name, endpoint, report)
    commit, licence = hub.resolved()
    folder = place.at(commit)
    make_folder(place.base)
    with locked(place.base / ".lock", lambda: report(0, 1, f"waiting for another import of {name}")):
        if not is_import(folder):
            chosen = _chosen(name, place, hub.listed(commit))
            paths = hub.brought(commit, chosen, place.base)
            sweep(place.base, folder.name)
            about = {"name": name, "title": place.name, "licence": licence, "source": hub.page}
            about["description"] = f"A data set of the Hugging Face Hub, at commit {commit[:12]}."
            with replacing(folder) as beside:
                if any(_is_parquet(path) for path in paths):
                    _write_pairs(paths, place, beside, report, about)
                else:
                    _write_files(paths, place, beside, report, about)
        note_commit(place.base, place.revision, commit)
    return folder


def _chosen(name: str, place: Place, listed: Mapping[str, int]) -> dict[str, int]:
    """The files to bring and their sizes: all Parquet files of one folder and label files, or else all pictures and
    annotations.

    Raises:
        UserError: nothing of the kind, several folders of Parquet files, or too many bytes.
    """
    below = {path: size for path, size in listed.items() if path.startswith(f"{place.folder}/" if place.folder else "")}
    parquet: dict[str, list[str]] = {}
    for path in below:
        if _is_parquet(path):
            parquet.setdefault(_configuration(path), []).append(path)
    if parquet:
        likely = [each for each in ("", "data", "default", *parquet) if each in parquet]
        configuration = likely[0]
        if len(parquet) > 1 and configuration not in ("", "data", "default"):
            first = f"{PREFIX}{place.repository}@{place.revision}/{min(parquet)}"
            raise UserError(f"{name} holds several data sets ({', '.join(sorted(parquet))}): name one, as {first}")
        chosen = {path: below[path] for path in parquet[configuration]}
        beside = ("", place.folder, configuration)
        for path, size in listed.items():
            folder, _, file = path.rpartition("/")
            if file.lower() in LABEL_FILES and folder in beside and size <= 1_000_000:
                chosen[path] = size
    else:
        suffixes = {path: PurePosixPath(path).suffix.lower() for path in below}
        chosen = {
            path: size
            for path, size in below.items()
            if suffixes[path] in PICTURES or (suffixes[path] in TEXTS and size <= MAX_TEXT_BYTES)
        }
        if not any(suffixes[path] in PICTURES for path in chosen):
            raise UserError(f"{name} holds neither Parquet files nor pictures{_hint(below)}")
    if (total := sum(chosen.values())) > MAX_BYTES:
        raise UserError(f"{name} has {total / 1e9:,.0f} GB of pictures, more than the {MAX_BYTES / 1e9:,.0f} allowed")
    return chosen


def _configuration(path: str) -> str:
    """The folder of a Parquet file, without those that stand for a split: "default" of "default/train/0000.parquet"."""
    return "/".join(part for part in path.split("/")[:-1] if part.lower() not in SPLIT_NAMES)


def _hint(files: Mapping[str, int]) -> str:
    if any(path.lower().endswith((".zip", ".tar", ".gz", ".tgz", ".7z", ".rar")) for path in files):
        return "; it has archives: fetch and unpack them yourself and name the folder"
    if any(path.endswith(".py") for path in files):
        return "; it is made by a script, which is not run: try its Parquet version, @refs/convert/parquet"
    return ": choose an image and mask set"


def _is_parquet(path: str) -> bool:
    return path.lower().endswith(".parquet")


def _write_pairs(
    paths: Mapping[str, Path], place: Place, folder: Path, report: Report, about: Mapping[str, str]
) -> None:
    """Write the pictures and masks of Parquet files; a damaged file is left out."""
    imported = Import(folder)
    rows: dict[str, int] = {}
    for path in filter(_is_parquet, paths):
        try:
            with contextlib.closing(ParquetPairs(paths[path])) as pairs:
                rows[path] = pairs.rows
        except UserError as error:
            imported.leave_out(path, str(error))
    done, total = 0, sum(rows.values())
    for path in rows:
        try:
            with contextlib.closing(ParquetPairs(paths[path])) as pairs:
                for number, row in enumerate(pairs):
                    where = f"{path}, row {number}"
                    imported.add(name=row.name, split=path, image=row.image, mask=row.mask, where=where)
                    done += 1
                    report(done, total, f"writing {place.repository}")
        except Stopped:
            raise
        except UserError as error:
            imported.leave_out(path, str(error))
    labels = _labels(paths, imported)
    imported.finish(
        name=about["name"], title=about["title"], description=about["description"], licence=about["licence"],
        source=about["source"], labels=labels,
    )  # fmt: skip


def _labels(paths: Mapping[str, Path], imported: Import) -> Mapping[int, Label] | None:
    """The labels by mask value, of the likeliest label file that can be read."""
    found = [path for path in paths if not _is_parquet(path)]
    for path in sorted(found, key=lambda path: (LABEL_FILES.index(path.rpartition("/")[2].lower()), -len(path))):
        try:
            return read_label_file(paths[path]).numbers()
        except UserError as error:
            imported.leave_out(path, str(error).replace(str(paths[path]), path))
    return None


def _write_files(
    paths: Mapping[str, Path], place: Place, folder: Path, report: Report, about: Mapping[str, str]
) -> None:
    """Copy the files in their folders; `UserError` where no form of a data set is recognised in them."""
    files = folder / _PLAIN
    cut = len(place.folder) + 1 if place.folder else 0
    for done, (path, source) in enumerate(paths.items(), start=1):
        target = files / path[cut:]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        report(done, len(paths), f"writing {place.repository}")
    if not recognise(files):
        raise UserError(f"{about['name']}: its files have no known form of a data set, such as images/ and masks/")
    write_json(folder / INDEX, {"format": FORMAT, **about, "files": True})
