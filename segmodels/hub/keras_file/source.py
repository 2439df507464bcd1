"""The three files of a Keras model: out of a `.keras` archive, a folder, or a repository of the Hub. Loads no Keras."""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from segmodels.data.archive import Refused
from segmodels.data.disk import Report, need_space
from segmodels.data.members import Limits
from segmodels.data.zip_archive import ZipArchive
from segmodels.errors import UserError
from segmodels.files import explain_disk_errors, read_json
from segmodels.hub.names import is_model_name, parse_model
from segmodels.hub.weights_file import MOST_BYTES, check_weights_file

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"

#: The most bytes of each file; nothing else of a model is read.
MOST = {CONFIG: 16_000_000, METADATA: 100_000, WEIGHTS: MOST_BYTES}

#: An archive may hold a vocabulary and the like beside them, which is left where it is.
LIMITS = Limits(members=2_000, bytes=2 * MOST_BYTES, ratio=20)


@dataclass(frozen=True)
class KerasFiles:
    """What a model consists of.

    Attributes:
        name: what it is called, without its folder and suffix.
        config: the content of `config.json`, unchecked.
        weights: the file `model.weights.h5`, checked.
        shapes: of the arrays in it, by path.
    """

    name: str
    config: Any
    weights: Path
    shapes: dict[str, tuple[int, ...]]


@contextmanager
def opened(
    source: str | Path, beside: Path, report: Report, *, token: str | None = None, endpoint: str | None = None
) -> Iterator[KerasFiles]:
    """The files of a model, as long as the context lasts.

    Args:
        source: a `.keras` file, a folder with the three files, or `hf://owner/name@revision` with either.
        beside: an existing folder on a disk with room for the weights.

    Raises:
        UserError: none of these; an archive or a file that is damaged, too large or unsafe; of Keras 2.
    """
    with TemporaryDirectory(prefix=".import-", dir=beside) as temporary:
        folder = Path(temporary)
        if is_model_name(str(source)):
            name = parse_model(str(source)).name
            files = _from_hub(str(source), folder, report, token, endpoint)
        else:
            path = Path(source).expanduser()
            name = path.stem if path.suffix == ".keras" else path.resolve().name
            files = _from_disk(path, folder, report)
        if missing := [part for part in (CONFIG, WEIGHTS) if part not in files]:
            raise UserError(f"{source} has no {missing[0]}: it is no model as Keras 3 saves it")
        for part, path in files.items():
            if (size := path.stat().st_size) > MOST[part]:
                raise UserError(f"{source}: {part} has {size:,} bytes, more than the {MOST[part]:,} allowed: refused")
        if METADATA in files:
            _check_version(files[METADATA], source)
        yield KerasFiles(
            name, read_json(files[CONFIG], limit=MOST[CONFIG]), files[WEIGHTS], check_weights_file(files[WEIGHTS])
        )


def _from_disk(path: Path, folder: Path, report: Report) -> dict[str, Path]:
    if path.is_dir():
        return {part: path / part for part in MOST if (path / part).is_file()}
    if path.suffix in (".h5", ".hdf5", ".pb"):
        raise UserError(f"{path} is of an old form of Keras: load it there and save it as model.keras")
    if not path.is_file():
        raise UserError(f"{path}: no such file; give a .keras file, a folder, or hf://owner/name")
    return _unpacked(path, folder, report)


def _unpacked(path: Path, folder: Path, report: Report) -> dict[str, Path]:
    """The three files of an archive, written to a folder."""
    found: dict[str, Path] = {}
    size = path.stat().st_size
    with explain_disk_errors(folder), path.open("rb") as file:
        try:
            for member, pieces in ZipArchive(file, LIMITS).members():
                name = member.name
                if name not in MOST or member.is_folder:
                    continue
                if name in found:
                    raise Refused(f"it holds {name} twice")
                if member.size > MOST[name]:
                    raise Refused(f"its {name} has {member.size:,} bytes, more than the {MOST[name]:,} allowed")
                need_space(folder, member.size)
                with (folder / name).open("wb") as out:
                    for piece in pieces:
                        out.write(piece)
                        report(out.tell(), max(size, member.size), f"unpacking {path.name}")
                found[name] = folder / name
        except Refused as error:
            raise UserError(f"{path} is refused: {error}") from None
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, struct.error, ValueError, EOFError) as error:
            reason = " ".join(str(error).split())[:120]
            raise UserError(f"{path} is no .keras file, or damaged ({reason}): copy it again") from None
    return found


def _from_hub(source: str, folder: Path, report: Report, token: str | None, endpoint: str | None) -> dict[str, Path]:
    from segmodels.hub.repository import HubRepository

    asked = parse_model(source)
    hub = HubRepository(asked.repository, asked.revision, str(asked), endpoint, report, kind="model", token=token)
    commit, _ = hub.resolved()
    listed = hub.files(commit)
    chosen = [part for part in MOST if part in listed]
    if not {CONFIG, WEIGHTS} <= set(chosen):
        chosen = [path for path in listed if path.endswith(".keras")]
        if len(chosen) != 1:
            raise UserError(f"{asked} has neither a {CONFIG} with a {WEIGHTS} nor one .keras file: choose another")
    for path in chosen:
        if (size := listed[path].size) > MOST.get(path, MOST_BYTES):
            raise UserError(f"{asked}: {path} has {size:,} bytes, more than allowed: refused")
    hub.brought_into(commit, {path: listed[path] for path in chosen}, folder)
    files = {path: folder / path for path in chosen}
    if chosen[0] in MOST:
        return files
    return _unpacked(files[chosen[0]], folder, report)


def _check_version(path: Path, source: str | Path) -> None:
    """`UserError` where a model was written by another Keras than 3."""
    about = read_json(path, limit=MOST[METADATA])
    version = about.get("keras_version") if isinstance(about, dict) else None
    if not isinstance(version, str) or not re.match(r"3\.", version):
        raise UserError(f"{source} was written by Keras {str(version)[:20]!a}: load and save it with Keras 3")
