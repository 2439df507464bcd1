"""A model of the Hub, brought to this machine at one commit, and checked before it is used."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from segmodels.data.disk import Report, Stop, make_folder, megabytes
from segmodels.errors import UserError
from segmodels.files import replacing, write_json
from segmodels.hosted import check_pulling
from segmodels.hub.checkpoint import SPEC, load_checkpoint, read_spec
from segmodels.hub.contents import MOST_PREVIEWS, NEEDED, most_bytes
from segmodels.hub.names import COMMIT, ModelName, parse_model
from segmodels.hub.pulled import RECORD, Pulled, find_pulled, repository_folder, repository_lock
from segmodels.hub.repository import HubRepository, Listed, Unreachable, note_commit, sha256_of
from segmodels.training.reporter import Reporter

#: What huggingface_hub keeps in a folder that it downloads into.
_NOTES = ".cache"


def pull(
    name: str,
    revision: str | None = None,
    *,
    token: str | None = None,
    reporter: Reporter | None = None,
    stop: Stop | None = None,
    endpoint: str | None = None,
) -> Path:
    """Bring a model from the Hub at the commit that its revision is now; returns its checkpoint directory.

    Only the files of a checkpoint are brought, each compared with the hash that the commit lists; the network is built
    from the spec by this package's own code, and the weights must fit it. Nothing of the repository is run. What was
    pulled stays as it is: another commit goes into a folder of its own. A full commit that is there is found without a
    connection. Where the Hub cannot be reached, what is kept of the revision is returned, and `reporter` is told.

    Args:
        name: `owner/name`, or `hf://owner/name@revision`.
        revision: a branch, a tag, a full commit or `refs/pr/N`; `main` where neither says one.
        token: for private models; that of `HF_TOKEN` or of the login of huggingface_hub where None.
        stop: asked often; once it returns True this ends with `segmodels.data.disk.Stopped`.
        endpoint: of the Hub; `HF_ENDPOINT` by default.

    Raises:
        UserError: no such model or revision, no access, no network and nothing kept; no segmodels model, or one that is
            damaged, too large, more than is kept here, of a newer format, or whose parts do not fit each other; no
            space.
    """
    asked = parse_model(name, revision)
    reporter = reporter or Reporter()
    if COMMIT.fullmatch(asked.revision) and (kept := find_pulled(asked)):
        return kept.path
    report = Report(reporter.progress, stop)
    hub = HubRepository(asked.repository, asked.revision, str(asked), endpoint, report, kind="model", token=token)
    try:
        commit, _ = hub.resolved()
    except Unreachable as error:
        if (kept := find_pulled(asked)) is None:
            raise
        reporter.note(f"{error}. Until then: {_what(kept)}")
        return kept.path
    base = repository_folder(asked)
    make_folder(base.parent)
    with repository_lock(asked, lambda: report(0, 1, f"waiting for another pull of {asked}")):
        if (kept := find_pulled(ModelName(asked.owner, asked.name, commit))) is None:
            _bring(hub, asked, commit, base)
        note_commit(base, asked.revision, commit)
    return base / commit


def pulled_or_pull(name: str, reporter: Reporter | None = None) -> Path:
    """The checkpoint directory of `hf://owner/name@revision`: what is kept, without a connection, or else pulled."""
    kept = find_pulled(parse_model(name))
    return kept.path if kept else pull(name, reporter=reporter)


def newer(name: str, *, token: str | None = None, endpoint: str | None = None) -> str | None:
    """The commit that a revision is at the Hub now, where that is not the one that is kept; it is not brought.

    Raises:
        UserError: nothing is kept of it, or the Hub does not say.
    """
    asked = parse_model(name)
    if (kept := find_pulled(asked)) is None:
        raise UserError(f"{asked} is not here: bring it with `python -m segmodels pull {asked}`")
    hub = HubRepository(
        asked.repository, asked.revision, str(asked), endpoint, Report(None, None), kind="model", token=token
    )
    commit, _ = hub.resolved()
    return commit if commit != kept.commit else None


def _what(kept: Pulled) -> str:
    return f"commit {kept.commit[:12]}, pulled on {time.strftime('%Y-%m-%d', time.localtime(kept.pulled))}, is used"


def _bring(hub: HubRepository, name: ModelName, commit: str, base: Path) -> None:
    """Download a commit beside its place, check it, and let it appear; whatever goes wrong leaves nothing."""
    listed = hub.files(commit)
    if SPEC not in listed:
        is_keras = {"config.json", "metadata.json"} <= set(listed) or any(path.endswith(".keras") for path in listed)
        hint = f": import it with `python -m segmodels import {name}`" if is_keras else ": choose another"
        raise UserError(f"{name} is no segmodels model, it has no {SPEC}{hint}")
    files = chosen_files(listed, str(name))
    check_pulling(sum(file.size for file in files.values()))
    with replacing(base / commit) as beside:
        hub.brought_into(commit, files, beside)
        hub.report(0, 1, f"checking {name}")
        check_checkpoint(beside, str(name))
        shutil.rmtree(beside / _NOTES, ignore_errors=True)
        record = {"format": 1, "name": name.repository, "commit": commit, "pulled": time.time()}
        sums = {path: file.sha256 or sha256_of(beside / path) for path, file in files.items()}
        kept = {path: {"size": file.size, "sha256": sums[path]} for path, file in files.items()}
        write_json(beside / RECORD, {**record, "files": kept})


def chosen_files(listed: Mapping[str, Listed], name: str) -> dict[str, Listed]:
    """The files of a checkpoint among those of a folder, whose paths begin there; `UserError`, which calls it `name`,
    where it is none, or has too large a one."""
    if missing := [path for path in NEEDED if path not in listed]:
        raise UserError(f"{name} has no {missing[0]}: its upload is incomplete, ask its owner")
    found = {path: file for path, file in listed.items() if most_bytes(path) is not None}
    previews = sorted(path for path in found if path.startswith("previews/"))
    for path in previews[MOST_PREVIEWS:]:
        del found[path]
    for path, file in found.items():
        if file.size > (most := most_bytes(path) or 0):
            raise UserError(
                f"{name}: {path} has {megabytes(file.size)}, more than the {megabytes(most)} allowed; refused"
            )
    return found


def check_checkpoint(folder: Path, name: str) -> None:
    """`UserError` unless a folder is a checkpoint whose parts fit each other, in words that name the model."""
    try:
        read_spec(folder)
        load_checkpoint(folder)
    except UserError as error:
        raise UserError(f"{name}: {str(error).replace(f'{folder}/', '').replace(str(folder), 'it')}") from None
