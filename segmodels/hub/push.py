"""A checkpoint, put on the Hub in one commit."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from segmodels.data.dataset import Progress
from segmodels.data.disk import Report, Stop, Stopped, locked, make_folder
from segmodels.errors import UserError
from segmodels.home import home
from segmodels.hosted import check_pushing
from segmodels.hub.card import write_card
from segmodels.hub.checkpoint import SPEC, WEIGHTS, Spec, read_spec
from segmodels.hub.contents import check_contents, contents_of, most_bytes
from segmodels.hub.lineage import BEGAN_WITH_MEAN, mean_before, metrics_of, trainings_before
from segmodels.hub.linked import link_checkpoint
from segmodels.hub.names import COMMIT, ModelName, parse_model
from segmodels.hub.repository import HubRepository
from segmodels.hub.upload import commit, sizes_of
from segmodels.hub.weights_file import check_weights_file
from segmodels.training.runs import Run, find_checkpoint

#: Files that say nothing of what a repository holds: one that has no others is free for a model.
PLAIN = re.compile(r"(readme|licen[cs]e|notice|citation)(\.\w+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Pushed:
    """What a push came to.

    Attributes:
        repository: `owner/name`.
        commit: that holds the checkpoint now; the one that was there where nothing had changed.
        url: a page to look at.
        pull_request: its page, where one was opened.
        files: how many the commit wrote or deleted; 0 where nothing had changed, and there is no new commit.
        size: of what it wrote, in bytes. What the Hub had of that was not sent again.
    """

    repository: str
    commit: str
    url: str
    pull_request: str | None
    files: int
    size: int


def push(
    model: str | Path | Run,
    repository: str,
    *,
    private: bool | None = None,
    revision: str | None = None,
    pull_request: bool = False,
    message: str | None = None,
    token: str | None = None,
    progress: Progress | None = None,
    stop: Stop | None = None,
    endpoint: str | None = None,
) -> Pushed:
    """Put a checkpoint on the Hub in one commit, with a card made for it; the repository is made where there is none.

    The commit holds the files of the checkpoint as they are when this begins, so a run that goes on training can be
    pushed. Files of an earlier checkpoint that this one has not are deleted in it; a licence and other files that
    people put there stay. What the Hub has already is not sent: a push that was cut off or stopped goes on with the
    files that are missing, and where nothing has changed there is no commit.

    Args:
        model: a checkpoint directory, a run, or `hf://owner/name@revision`.
        repository: `owner/name`.
        private: whether a repository that is made can be seen by its owner only; as the owner's settings have it where
            None.
        revision: a branch, made from the main one where there is none; `main` by default.
        pull_request: propose the commit instead of making it, which needs no right to write there.
        message: of the commit, in a line.
        token: with the right to write; that of `HF_TOKEN` or of the login of huggingface_hub where None.
        progress: called with bytes done, bytes in all, and what is done. With `hf_xet` installed files are counted when
            they have been sent.
        stop: asked often; once it returns True this ends with `segmodels.data.disk.Stopped`. With `hf_xet` installed
            that is after the file that is being sent.
        endpoint: of the Hub; `HF_ENDPOINT` by default.

    Raises:
        UserError: no checkpoint, or a damaged one; no token, one that is wrong or may not write there; a name that is
            none, or that holds something else than a model of segmodels; no network.
    """
    check_pushing()
    name = parse_model(repository, revision)
    if COMMIT.fullmatch(name.revision):
        raise UserError(f"{name.revision[:12]} is a commit, which nothing can be added to: name a branch")
    checkpoint = model.checkpoint() if isinstance(model, Run) else find_checkpoint(model)
    read_spec(checkpoint)  # what is no checkpoint is said before anything about the Hub
    token = _token(token)
    report = Report(progress, stop)
    folder = home() / "cache" / "push" / f"{name.owner}--{name.name}"
    make_folder(folder.parent)
    try:
        with locked(
            folder.with_name(f".{folder.name}.lock"), lambda: report(0, 1, f"waiting for another push to {name}")
        ):
            try:
                spec = _taken(checkpoint, folder)
                _write_card(folder, spec, checkpoint, name)
                hub = HubRepository(
                    name.repository, name.revision, str(name), endpoint, report, kind="model", token=token
                )
                return _push(hub, folder, private, pull_request, _line(message) or _message(spec, folder))
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    except Stopped:
        raise Stopped(f"stopped while sending {name}: push again, and only what is missing is sent") from None
    except UserError as error:  # whatever it quotes
        raise type(error)(str(error).replace(token, "[token]")) from None


def _token(given: str | None) -> str:
    from huggingface_hub import get_token

    token = (given or get_token() or "").strip()
    if not token:
        raise UserError("there is no token to write to the Hub with: set HF_TOKEN, or run `hf auth login`")
    if not re.fullmatch(r"[!-~]{1,4000}", token):  # a header would be refused in words that quote it
        raise UserError("the token has letters in it that no token has: copy it again from your settings at the Hub")
    return token


def _taken(checkpoint: Path, folder: Path) -> Spec:
    """Fill a folder with the files of a checkpoint but for its card, and check them."""

    def files(source: Path) -> list[str]:
        return [path for path in contents_of(source) if path != "README.md"]

    link_checkpoint(lambda: checkpoint, folder, files, called=checkpoint)
    try:
        spec = read_spec(folder)
        check_contents(folder, checkpoint)
        check_weights_file(folder / WEIGHTS)
    except UserError as error:
        raise UserError(str(error).replace(str(folder), str(checkpoint))) from None
    return spec


def _write_card(folder: Path, spec: Spec, checkpoint: Path, name: ModelName) -> None:
    from segmodels.evaluation.reports import kept_report

    data, root = spec.recipe.get("data"), spec.recipe.get("root")
    metrics, report = metrics_of(folder), None
    if isinstance(data, str) and isinstance(root, str | None):
        found = (kept_report(checkpoint, data, root, "test", at) for at in ("native", "model"))
        report = next((each.document for each in found if each), None)
    if report is None and isinstance(released := metrics.get("test"), dict):  # measured by `release`
        report = {**released, "split": "test"}
    if names := mean_before(checkpoint):
        metrics[BEGAN_WITH_MEAN] = names
    write_card(folder, spec, metrics, repository=str(name), report=report, before=trainings_before(checkpoint))


def _line(text: str | None) -> str:
    return " ".join((text or "").split())[:200]


def _message(spec: Spec, folder: Path) -> str:
    on = "" if spec.architecture.backbone == "none" else f" on {spec.architecture.backbone}"
    epoch = metrics_of(folder).get("epoch")
    return f"{spec.architecture.name}{on}" + (f", epoch {epoch}" if type(epoch) is int else "")


def _push(hub: HubRepository, folder: Path, private: bool | None, pull_request: bool, message: str) -> Pushed:
    """Compare the folder with what is there, send what differs, and commit."""
    hub.report(0, 1, f"asking for {hub.repository}")
    head = _prepared(hub, private, pull_request)
    there, sizes = hub.files(head), sizes_of(folder)
    if SPEC not in there and (others := [path for path in there if not PLAIN.fullmatch(path)]):
        raise UserError(
            f"{hub.repository} holds something else, such as {others[0][:80]}, and no {SPEC}: choose another name"
        )
    changed = [path for path in sizes if path not in there or not there[path].is_of(folder / path)]
    gone = [path for path in there if path not in sizes and most_bytes(path) is not None]
    size = sum(sizes[path] for path in changed)
    page = hub.page if hub.revision == "main" else f"{hub.page}/tree/{hub.revision}"
    if not changed and not gone:
        return Pushed(hub.repository, head, page, None, 0, 0)
    to_send = {path: sizes[path] for path in changed}
    info = commit(hub, folder, to_send, gone, parent=head, message=message, pull_request=pull_request)
    where = str(info.pr_url) if pull_request else None
    return Pushed(hub.repository, str(info.oid), where or page, where, len(changed) + len(gone), size)


def _prepared(hub: HubRepository, private: bool | None, pull_request: bool) -> str:
    """Make repository and branch where they are missing; returns the commit to begin from."""
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    api, name = hub.api, hub.repository
    with hub.explained():
        try:
            about = api.model_info(name, expand=["sha", "private"], timeout=30)
            if private and about.private is False:
                raise UserError(f"{name} is there and public: make it private in its settings, or choose another name")
        except RepositoryNotFoundError:
            if pull_request:
                raise UserError(f"{name} is not there, so nothing can be proposed to it: push without one") from None
            api.create_repo(name, private=private, exist_ok=True)
        try:
            if hub.revision != "main":
                api.model_info(name, revision=hub.revision, expand=["sha"], timeout=30)
        except RevisionNotFoundError:
            if pull_request or hub.revision.startswith("refs/"):
                raise
            api.create_branch(name, branch=hub.revision, exist_ok=True)
    return hub.resolved()[0]
