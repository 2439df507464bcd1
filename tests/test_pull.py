"""Models of the Hub, pulled from a Hub on this machine."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import segmodels
from segmodels.cli import main
from segmodels.data.disk import Stopped
from segmodels.errors import UserError
from segmodels.hub.checkpoint import SPEC, WEIGHTS, ArchitectureSpec, ClassSpec, Spec, input_spec, write_checkpoint
from segmodels.hub.names import is_model_name, parse_model
from segmodels.hub.pull import newer, pull
from segmodels.hub.pulled import RECORD, delete_pulled, find_pulled, pulled_models
from segmodels.terminal import Terminal
from segmodels.training.reporter import Reporter
from segmodels.training.runs import find_checkpoint
from tests.hub_server import Hub, serving_hub

NAME = "someone/pets"


class Heard(Reporter):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.bytes: list[tuple[int, int]] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def progress(self, done: int, total: int, what: str) -> None:
        if what.startswith("downloading"):
            self.bytes.append((done, total))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny network with its spec, and the files that training writes beside."""
    folder = tmp_path_factory.mktemp("pets")
    options = {"width": 4, "depth": 2}
    model = segmodels.build("unet", classes=2, **options)
    classes = [ClassSpec(name="background", colour="#000000"), ClassSpec(name="pet", colour="#ff8800")]
    architecture = ArchitectureSpec(name="unet", backbone="none", classes=2, options=options)
    write_checkpoint(
        folder,
        model,
        Spec(format=1, architecture=architecture, classes=classes, input=input_spec("resize", 32)),
    )
    (folder / "metrics.json").write_text('{"epoch": 3}')
    (folder / "README.md").write_text("# A card\n")
    (folder / "previews").mkdir()
    (folder / "previews" / "0.png").write_bytes(b"\x89PNG, of a kind")
    return folder


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, home: Path) -> Iterator[Hub]:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(home / "no-token"))
    with serving_hub() as hub:
        name_endpoint(monkeypatch, hub.url)
        yield hub


def name_endpoint(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """As HF_ENDPOINT does in a new process."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", url)
    template = f"{url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def shared(hub: Hub, checkpoint: Path, revision: str = "main", **changed: bytes | None) -> str:
    """Put a checkpoint on the Hub; `changed` by the names of files, None leaves one out."""
    files = {**files_of(checkpoint), **changed}
    return hub.commit(NAME, {name: data for name, data in files.items() if data is not None}, revision, kind="model")


def left(home: Path) -> list[Path]:
    """All files of models in the home but locks."""
    return [path for path in (home / "models").rglob("*") if path.is_file() and path.suffix != ".lock"]


def refused(words: str, **settings: Any) -> None:
    """A pull ends in one line that has these words, and nothing can be found afterwards."""
    with pytest.raises(UserError) as caught:
        pull(NAME, **settings)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"hf://{NAME}")
    assert pulled_models() == []
    assert find_pulled(parse_model(NAME)) is None


def test_pulled_model_predicts_as_the_one_that_was_pushed(hub: Hub, home: Path, checkpoint: Path):
    sha = shared(hub, checkpoint, **{"train.py": b"raise SystemExit", "model.onnx": b"no", "previews/x.html": b"no"})
    heard = Heard()
    folder = segmodels.pull(NAME, reporter=heard)
    assert folder == home / "models" / "someone--pets" / sha
    assert set(files_of(folder)) == {*files_of(checkpoint), RECORD}
    assert {name: data for name, data in files_of(folder).items() if name != RECORD} == files_of(checkpoint)
    total = sum(map(len, files_of(checkpoint).values()))
    assert heard.bytes[-1] == (total, total)
    record = json.loads((folder / RECORD).read_text())
    assert (record["name"], record["commit"]) == (NAME, sha)
    assert record["files"]["metrics.json"]["size"] == 12
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    ours, theirs = (segmodels.Predictor(name, engine="keras")(image) for name in (f"hf://{NAME}", checkpoint))
    assert np.array_equal(ours.logits, theirs.logits)
    assert [label.name for label in ours.labels] == ["background", "pet"]


def test_second_pull_of_a_commit_opens_no_connection(hub: Hub, checkpoint: Path):
    sha = shared(hub, checkpoint)
    first = pull(NAME, sha)
    asked = len(hub.requests)
    assert pull(NAME, sha) == pull(f"hf://{NAME}@{sha}") == first
    assert find_checkpoint(f"hf://{NAME}@{sha}") == first
    assert len(hub.requests) == asked


def test_name_of_a_model_that_is_here_asks_nobody_and_never_changes_it(hub: Hub, checkpoint: Path):
    old = shared(hub, checkpoint)
    assert find_checkpoint(f"hf://{NAME}").name == old  # pulled at first use
    new = shared(hub, checkpoint, **{"README.md": b"# Better"})
    asked = len(hub.requests)
    assert find_checkpoint(f"hf://{NAME}").name == old
    assert len(hub.requests) == asked
    assert newer(NAME) == new
    assert find_checkpoint(f"hf://{NAME}").name == old  # only said
    assert pull(NAME).name == new
    assert newer(NAME) is None
    assert find_checkpoint(f"hf://{NAME}").name == new
    assert find_checkpoint(f"hf://{NAME}@{old}").name == old  # it is kept
    assert [(each.commit, each.revisions) for each in pulled_models()] == [(new, ("main",)), (old, ())]


def test_branches_tags_and_pull_requests(hub: Hub, checkpoint: Path):
    commits = {
        revision: shared(hub, checkpoint, revision, **{"README.md": revision.encode()})
        for revision in ("main", "v1.0", "trial", "refs/pr/3")
    }
    for revision, commit in commits.items():
        assert pull(NAME, revision).name == pull(f"{NAME}@{revision}").name == commit
    refused_name = f"hf://{NAME}@v1.0"
    with pytest.raises(UserError, match="names a revision already"):
        pull(refused_name, "trial")
    with pytest.raises(UserError, match="there is no revision 'v9'; leave it out"):
        pull(NAME, "v9")


def test_without_a_network_what_is_kept_serves_and_that_is_said(
    hub: Hub, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = pull_once(hub, checkpoint)
    heard = Heard()
    name_endpoint(monkeypatch, "http://127.0.0.1:9")
    assert pull(NAME, reporter=heard) == folder
    assert "cannot be reached" in heard.notes[0]
    assert f"commit {folder.name[:12]}, pulled on {time.strftime('%Y-%m-%d')}, is used" in heard.notes[0]
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert pull(NAME, reporter=heard) == folder
    assert "HF_HUB_OFFLINE" in heard.notes[1]
    with pytest.raises(UserError, match="HF_HUB_OFFLINE"):
        pull("someone/else", reporter=heard)
    with pytest.raises(UserError, match="HF_HUB_OFFLINE"):
        newer(NAME)


def pull_once(hub: Hub, checkpoint: Path) -> Path:
    shared(hub, checkpoint)
    return pull(NAME)


def test_private_model_needs_its_token_which_is_kept_nowhere(
    hub: Hub, home: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
):
    shared(hub, checkpoint)
    hub.private.add(f"models/{NAME}")
    hub.tokens = {"hf_goodgoodgood": "read"}
    refused("no such model, or a private one; see")
    refused("does not accept the token", token="hf_wrongwrong")
    folder = pull(NAME, token="hf_goodgoodgood")
    assert all(b"hf_goodgoodgood" not in data for data in files_of(home).values())
    delete_pulled(NAME)
    monkeypatch.setenv("HF_TOKEN", "hf_goodgoodgood")
    assert pull(NAME) == folder


def test_missing_model(hub: Hub):
    refused("no such model, or a private one; see")


def test_answers_of_a_hub_that_is_unwell(hub: Hub, checkpoint: Path):
    shared(hub, checkpoint)
    hub.gated = True
    refused("gated; ask for access")
    hub.gated, hub.status = False, 503
    refused("answers with HTTP 503; try again later")


def test_download_that_is_cut_off(hub: Hub, home: Path, checkpoint: Path):
    sha = shared(hub, checkpoint)
    hub.cuts[WEIGHTS] = -1
    with pytest.raises(UserError, match=r"cannot be reached \(.*\); check the connection and try again"):
        pull(NAME)
    assert pulled_models() == []
    assert left(home) == []
    hub.cuts[WEIGHTS] = 1  # once: it is asked for the rest
    assert pull(NAME).name == sha


def test_pull_can_be_stopped(hub: Hub, home: Path, checkpoint: Path):
    shared(hub, checkpoint)
    hub.seconds = 0.05
    heard = Heard()
    with pytest.raises(Stopped):
        pull(NAME, reporter=heard, stop=lambda: bool(heard.bytes) and heard.bytes[-1][0] > 0)
    assert left(home) == []
    hub.seconds = 0
    assert pull(NAME).is_dir()


def test_wrong_bytes_are_found_and_not_kept(hub: Hub, home: Path, checkpoint: Path):
    shared(hub, checkpoint)
    for name in (WEIGHTS, SPEC):  # one is compared by SHA-256, one by git's name for it
        hub.damaged = {name}
        refused(f"{name} is not what its commit lists: try again")
        assert left(home) == []
    hub.damaged = set()
    assert pull(NAME).is_dir()


def test_wrong_hash_listed(hub: Hub, checkpoint: Path):
    shared(hub, checkpoint)
    hub.hashes[WEIGHTS] = "0" * 64
    refused(f"{WEIGHTS} is not what its commit lists")


def test_file_that_is_longer_than_listed(hub: Hub, home: Path, checkpoint: Path):
    shared(hub, checkpoint)
    hub.sizes[WEIGHTS] = 100
    refused("")
    assert left(home) == []


def test_full_disk(hub: Hub, checkpoint: Path, monkeypatch: pytest.MonkeyPatch):
    shared(hub, checkpoint)
    usage = shutil.disk_usage("/")
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda _: usage._replace(free=1000))
        with pytest.raises(UserError, match="are needed on the disk of"):
            pull(NAME)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("segmodels.hub.pull.write_json", full)
        with pytest.raises(UserError, match="no space left on the disk"):
            pull(NAME)
    assert pulled_models() == []
    assert pull(NAME).is_dir()


def spec_with(checkpoint: Path, **changed: Any) -> bytes:
    return json.dumps({**json.loads((checkpoint / SPEC).read_text()), **changed}).encode()


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({SPEC: None}, "is no segmodels model, it has no segmodels.json: choose another"),
        (
            {SPEC: None, "config.json": b"{}", "metadata.json": b"{}"},
            "import it with `python -m segmodels import hf://",
        ),
        ({WEIGHTS: None}, f"has no {WEIGHTS}: its upload is incomplete"),
        ({SPEC: b"{"}, "not a valid JSON file"),
        ({SPEC: {"format": 2}}, "segmodels.json has format 2, but this version reads 1: update segmodels"),
        ({SPEC: {"loader": "os.system"}}, "'loader'"),
        ({SPEC: {"classes": []}}, "classes"),
        ({WEIGHTS: b"\x89HDF\r\n\x1a\n" + b"\0" * 500}, WEIGHTS),
        ({WEIGHTS: "half"}, WEIGHTS),
        ({WEIGHTS: b"pickle"}, WEIGHTS),
        ({"architecture": "wider"}, "is damaged or does not fit"),
        ({SPEC: b" " * (5 << 20)}, "more than the 4.2 MB allowed; refused"),
    ],
)
def test_hostile_repositories(hub: Hub, home: Path, checkpoint: Path, files: dict[str, Any], words: str):
    changed: dict[str, bytes | None] = {}
    for name, data in files.items():
        if name == "architecture":
            wider = {"name": "unet", "backbone": "none", "classes": 2, "options": {"width": 8, "depth": 2}}
            changed[SPEC] = spec_with(checkpoint, architecture=wider)
        elif isinstance(data, dict):
            changed[name] = spec_with(checkpoint, **data)
        elif data == "half":
            whole = (checkpoint / WEIGHTS).read_bytes()
            changed[name] = whole[: len(whole) // 2]
        else:
            changed[name] = data
    shared(hub, checkpoint, **changed)
    refused(words)
    assert left(home) == []


def test_listing_with_names_that_would_leave_the_folder(hub: Hub, checkpoint: Path):
    shared(hub, checkpoint)
    for path in ("../../evil.png", "previews/../../x.png", "/etc/passwd", "C:/x", "previews\\x.png"):
        hub.listed = [{"type": "file", "path": path, "size": 3, "oid": "0" * 40}]
        refused("refused")
    hub.listed = [{"type": "file", "path": "x.bin", "size": -3, "oid": "0" * 40}]
    refused("claims a size of -3; refused")


def test_commit_that_is_none(hub: Hub, checkpoint: Path):
    shared(hub, checkpoint)
    hub.commit_named = "../../../home"
    refused("the Hub names no commit of it")


def test_two_pulls_at_once_bring_it_once(hub: Hub, checkpoint: Path):
    sha = shared(hub, checkpoint)
    hub.seconds = 0.02
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(pull(NAME))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {path.name for path in found} == {sha}
    assert len(found) == 3
    assert hub.sent[WEIGHTS] == (checkpoint / WEIGHTS).stat().st_size


def test_model_that_was_damaged_on_the_disk_is_not_listed_and_comes_anew(hub: Hub, checkpoint: Path):
    folder = pull_once(hub, checkpoint)
    (folder / WEIGHTS).write_bytes(b"cut")
    assert pulled_models() == []
    assert pull(NAME) == folder
    assert files_of(folder)[WEIGHTS] == files_of(checkpoint)[WEIGHTS]


def test_delete(hub: Hub, home: Path, checkpoint: Path):
    old = shared(hub, checkpoint, "v1")
    pull(NAME, "v1")
    new = shared(hub, checkpoint, **{"README.md": b"# Better"})
    pull(NAME)
    size = sum(len(data) for data in files_of(checkpoint).values())
    assert [each.size for each in pulled_models()] == [size - 1, size]
    assert [each.commit for each in delete_pulled(f"{NAME}@v1")] == [old]
    assert [each.commit for each in pulled_models()] == [new]
    with pytest.raises(UserError, match=f"nothing is kept of {NAME}@v1"):
        delete_pulled(f"{NAME}@v1")
    delete_pulled(f"hf://{NAME}")
    assert left(home) == []
    with pytest.raises(UserError, match="cache list"):
        delete_pulled(NAME)


def test_what_is_being_pulled_is_not_deleted(hub: Hub, home: Path, checkpoint: Path):
    shared(hub, checkpoint, "v1")
    pull(NAME, "v1")
    new = shared(hub, checkpoint, **{"README.md": b"# Better"})
    refusals = []

    class Deleting(Reporter):
        def progress(self, done: int, total: int, what: str) -> None:
            for doomed in (NAME, f"{NAME}@v1"):
                with pytest.raises(UserError, match=f"{doomed} is being pulled or deleted just now") as caught:
                    delete_pulled(doomed)
                refusals.append(caught)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("segmodels.data.disk.time.monotonic", lambda: 0.0)  # it is told once of each thing
        assert pull(NAME, reporter=Deleting()).name == new
    assert refusals
    assert len(pulled_models()) == 2


def test_what_killed_processes_left_goes_with_the_next(
    hub: Hub, home: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
):
    shared(hub, checkpoint)
    folder = pull(NAME)
    shutil.copytree(folder, folder.with_name(".abc.01234567.part"))  # as a pull leaves it
    with monkeypatch.context() as patch:
        patch.setattr("segmodels.files.shutil.rmtree", lambda *_, **__: None)  # and a deletion
        delete_pulled(NAME)
    assert pulled_models() == []
    assert left(home) != []
    pull(NAME)
    assert {path.parent.name for path in left(home)} == {folder.name, folder.parent.name, "previews"}
    delete_pulled(NAME)
    (folder.parent / ".abc.01234567.part").mkdir(parents=True)
    (folder.parent / ".abc.01234567.part" / WEIGHTS).write_bytes(b"half")
    assert delete_pulled(NAME) == []  # of a model that was never there whole
    assert left(home) == []


@pytest.mark.parametrize("when", ["NaN", "Infinity", "1e300", "-1", "null", '"x"'])
def test_a_note_of_a_time_that_is_none(hub: Hub, checkpoint: Path, capsys: pytest.CaptureFixture[str], when: str):
    shared(hub, checkpoint)
    path = pull(NAME) / RECORD
    path.write_text(re.sub(r'"pulled": [\d.]+', f'"pulled": {when}', path.read_text()))
    assert main(["cache", "list"]) == 0
    assert NAME not in capsys.readouterr().out
    pull(NAME)
    assert main(["cache", "list"]) == 0
    assert NAME in capsys.readouterr().out


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pets",
        "hf://pets",
        "a/b/c",
        "../x",
        "a/..",
        "a/b@",
        "a/b@../x",
        "a/b@-x",
        "a/--b",
        "hf://a/b@x y",
        "a/b\n@c",
    ],
)
def test_names_that_are_none(text: str):
    with pytest.raises(UserError, match="is no model of the Hub: write hf://owner/name"):
        parse_model(text)


def test_names():
    name = parse_model(" hf://some-one/my.model_2@refs/pr/7 ")
    assert (name.repository, name.revision, str(name)) == (
        "some-one/my.model_2", "refs/pr/7", "hf://some-one/my.model_2@refs/pr/7",
    )  # fmt: skip
    assert str(parse_model("a/b@main")) == "hf://a/b"
    assert is_model_name("hf://a/b")
    assert not is_model_name("hf://datasets/a/b")
    assert not is_model_name("runs/hf")


def test_command_line(hub: Hub, home: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]):
    sha = shared(hub, checkpoint)
    assert main(["pull", NAME, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == {"model": NAME, "commit": sha, "path": str(home / "models" / "someone--pets" / sha)}
    assert main(["pull", NAME, "--check"]) == 0
    assert "what is kept is the newest" in capsys.readouterr().out
    new = shared(hub, checkpoint, **{"README.md": b"# Better"})
    assert main(["pull", NAME, "--check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"model": NAME, "newer": new}
    assert main(["cache", "list", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["model"], row["commit"], row["bytes"]) == (f"hf://{NAME}", sha, pulled_models()[0].size)
    assert main(["cache", "list"]) == 0
    assert f"hf://{NAME}  {sha[:12]}" in capsys.readouterr().out
    assert main(["cache", "delete", NAME]) == 0
    assert f"deleted {NAME}, commit {sha[:12]}" in capsys.readouterr().out
    assert main(["cache", "delete", NAME]) == 2
    assert main(["pull", "nobody/nothing"]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("segmodels: hf://nobody/nothing: no such model, or a private one")


def test_what_a_stranger_wrote_moves_no_cursor(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """A class of a pulled model may be called so, or what the Hub says of an error."""
    hostile = "\x1b[2Jpet\x9b31m\r\x07"
    monkeypatch.setattr("segmodels.models.architectures.backbone_list", lambda: [{"name": hostile}])
    assert main(["backbones"]) == 0
    Terminal().note(hostile)
    monkeypatch.setattr("segmodels.hub.pull.pull", lambda *_, **__: refuse(hostile))
    assert main(["pull", NAME]) == 2
    for written in capsys.readouterr():
        assert "[2J" in written
        assert all(letter.isprintable() or letter == "\n" for letter in written)


def refuse(text: str) -> None:
    raise UserError(text)
