"""Checkpoints put on a Hub of the tests' own by the real client of huggingface_hub."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

import segmodels
from segmodels.cli import main
from segmodels.data.disk import Stopped
from segmodels.errors import UserError
from segmodels.hub import upload
from segmodels.hub.checkpoint import read_spec, write_checkpoint
from segmodels.hub.push import Pushed, push
from segmodels.hub.release import release
from segmodels.recipe import Recipe
from segmodels.training.runs import Run
from tests.conftest import ROOT
from tests.hub_server import Hub, serving_hub

NAME = "someone/cells"
TOKEN, READER = "hf_token_that_writes", "hf_token_that_reads"
FILES = {
    "segmodels.json", "model.weights.h5", "metrics.json", "history.csv", "README.md",
    "previews/0.png", "previews/1.png",
}  # fmt: skip


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: Path) -> Iterator[Hub]:
    """A Hub with two tokens; the machine's own login is not seen, and nobody waits before a second try."""
    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "hf" / "token"))
    monkeypatch.setattr("huggingface_hub.utils._http.time", types.SimpleNamespace(sleep=lambda _: None, time=time.time))
    with serving_hub() as hub:
        hub.tokens = {TOKEN: "write", READER: "read"}
        yield hub


def made(folder: Path, floats: int = 5_000, seed: int = 0, previews: int = 2) -> Path:
    """A checkpoint directory whose weights are so many numbers of no network."""
    rng = np.random.default_rng(seed)
    (folder / "previews").mkdir(parents=True)
    spec = {
        "format": 1,
        "architecture": {"name": "unet", "backbone": "none", "classes": 2, "options": {}},
        "classes": [{"name": "background", "colour": "#56606B"}, {"name": "pet", "colour": "#E69F00"}],
        "input": {"mode": "resize", "size": 64},
        "recipe": {"data": "toy-pets", "architecture": "unet", "image_size": 64},
    }
    (folder / "segmodels.json").write_text(json.dumps(spec))
    with h5py.File(folder / "model.weights.h5", "w") as file:
        file["layers/conv/vars/0"] = rng.standard_normal(floats, dtype=np.float32)
    metrics = {"epoch": seed + 1, "validation": {"loss": 0.5, "mean_iou": 0.75}}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "history.csv").write_text("epoch,loss\n1,0.5\n")
    for number in range(previews):
        Image.fromarray(rng.integers(0, 256, (32, 96, 3), np.uint8)).save(folder / "previews" / f"{number}.png")
    return folder


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return made(tmp_path / "checkpoint")


def send(server: Hub, model: str | Path | Run, name: str = NAME, **options: Any) -> Pushed:
    return push(model, name, endpoint=server.url, **{"token": TOKEN, **options})


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def there(server: Hub, revision: str = "main", name: str = NAME) -> dict[str, bytes]:
    """The files at the Hub without the hidden ones that it makes itself."""
    return {path: content for path, content in server.files(name, revision).items() if path[0] != "."}


def test_one_commit_holds_exactly_the_checkpoint(server: Hub, checkpoint: Path, home: Path):
    (checkpoint / "model.onnx").write_bytes(b"made here, not sent")
    (checkpoint / "notes.txt").write_text("private")
    (checkpoint / "evaluations").mkdir()
    pushed = send(server, checkpoint, private=True, message="A first\ntry")
    files = there(server)
    assert files.keys() == FILES
    assert all(files[path] == (checkpoint / path).read_bytes() for path in FILES - {"README.md"})
    assert '("photo.jpg")' in (card := files["README.md"].decode())
    assert 'segmodels.Predictor("hf://someone/cells")' in card
    assert not (checkpoint / "README.md").exists()  # the folder itself stays as it is
    size = sum(map(len, files.values()))
    assert pushed == Pushed(NAME, server.head(NAME), f"{server.url}/{NAME}", None, len(FILES), size)
    assert [each["commit"] for each in server.pushes] == [pushed.commit]
    assert server.pushes[0]["lines"][0]["value"]["summary"] == "A first try"
    assert server.private == {f"models/{NAME}"}
    assert [path.name for path in home.rglob("*") if path.is_file()] == [".someone--cells.lock"]


@pytest.mark.parametrize("part_size", [None, 10_000_000])
def test_thirty_megabytes_are_sent_once_and_then_never(server: Hub, tmp_path: Path, part_size: int | None):
    checkpoint = made(tmp_path / "large", 7_500_000)
    server.part_size = part_size
    told: list[tuple[int, int, str]] = []
    pushed = send(server, checkpoint, progress=lambda *step: told.append(step))
    weights = checkpoint / "model.weights.h5"
    assert weights.stat().st_size > 30_000_000
    assert server.received[sha256(weights)] == weights.stat().st_size
    assert sum(server.received.values()) == pushed.size == sum(map(len, there(server).values()))
    sending = [done for done, total, what in told if what == f"sending {NAME}"]
    assert sending == sorted(sending)
    assert sending[-1] == pushed.size
    assert {total for _, total, what in told if what == f"sending {NAME}"} == {pushed.size}
    requests = len(server.requests)
    again = send(server, checkpoint)
    assert (again.files, again.size, again.commit) == (0, 0, pushed.commit)
    assert sum(server.received.values()) == pushed.size
    assert all(request.startswith("GET") for request in server.requests[requests:])
    assert len(server.pushes) == 1


def test_progress_follows_the_bytes(server: Hub, tmp_path: Path):
    server.seconds = 0.01
    steps: list[int] = []
    checkpoint = made(tmp_path / "slow", 3_000_000)
    send(server, checkpoint, progress=lambda done, total, what: steps.append(done))
    size = (checkpoint / "model.weights.h5").stat().st_size
    assert len({step for step in steps if step > 0.1 * size}) > 5  # ten a second


def test_a_push_that_is_cut_off_goes_on_with_what_is_missing(server: Hub, tmp_path: Path):
    checkpoint = made(tmp_path / "large", 1_000_000)
    weights, pictures = checkpoint / "model.weights.h5", sorted((checkpoint / "previews").glob("*.png"))
    small = sum(picture.stat().st_size for picture in pictures)
    server.refuse_after = small + 1_000_000
    with pytest.raises(UserError, match=r"cannot be reached \(.+\); check the connection and try again"):
        send(server, checkpoint)
    assert server.pushes == []
    assert server.received[sha256(weights)] == 1_000_000
    server.refuse_after = None
    send(server, checkpoint)
    assert [server.received[sha256(picture)] for picture in pictures] == [each.stat().st_size for each in pictures]
    assert server.received[sha256(weights)] == 1_000_000 + weights.stat().st_size
    assert there(server).keys() == FILES


def test_what_was_uploaded_before_a_failed_commit_is_not_sent_again(
    server: Hub, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        patch.setattr("huggingface_hub.HfApi.create_commit", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            send(server, checkpoint)
    before = sum(server.received.values())
    assert before > (checkpoint / "model.weights.h5").stat().st_size
    puts = server.asked("PUT /lfs/")
    send(server, checkpoint)
    assert server.asked("PUT /lfs/") == puts
    assert there(server).keys() == FILES


def test_stop_ends_it_in_the_middle_of_a_file(server: Hub, tmp_path: Path, home: Path):
    checkpoint = made(tmp_path / "large", 3_000_000)
    server.seconds = 0.005
    far: list[int] = []
    size = (checkpoint / "model.weights.h5").stat().st_size
    with pytest.raises(Stopped, match="push again, and only what is missing is sent"):
        send(server, checkpoint, progress=lambda done, *_: far.append(done), stop=lambda: bool(far) and far[-1] > 1e6)
    assert 0 < server.received[sha256(checkpoint / "model.weights.h5")] < size
    assert server.pushes == []
    assert [path.name for path in home.rglob("*") if path.is_file()] == [".someone--cells.lock"]
    server.seconds = 0
    assert send(server, checkpoint).files == len(FILES)


def test_a_later_checkpoint_replaces_what_is_ours_and_leaves_what_is_not(server: Hub, tmp_path: Path):
    send(server, made(tmp_path / "first", previews=2))
    others = {"LICENSE": b"MIT", "examples/use.ipynb": b"{}", "model.onnx": b"by someone"}
    server.commit(NAME, {**server.files(NAME), **others}, kind="model")
    head = server.head(NAME)
    second = made(tmp_path / "second", seed=1, previews=1)
    (second / "history.csv").unlink()
    pushed = send(server, second)
    files = there(server)
    assert files.keys() == (FILES | others.keys()) - {"history.csv", "previews/1.png"}
    assert files["model.weights.h5"] == (second / "model.weights.h5").read_bytes()
    assert {path: files[path] for path in others} == others
    assert server.pushes[-1]["parent"] == head
    kinds = [line["key"] for line in server.pushes[-1]["lines"]]
    assert pushed.files == len(kinds) - 1 == 6  # weights, metrics, card, a picture; two deleted
    assert kinds.count("deletedFile") == 2


def test_branches_are_made_and_pull_requests_opened(server: Hub, checkpoint: Path, tmp_path: Path):
    main = send(server, checkpoint)
    other = made(tmp_path / "other", seed=3)
    branch = send(server, other, revision="feature/wider")
    assert server.head(NAME) == main.commit
    assert server.head(NAME, "feature/wider") == branch.commit
    assert branch.url == f"{server.url}/{NAME}/tree/feature/wider"
    assert b"hf://someone/cells@feature/wider" in there(server, "feature/wider")["README.md"]
    server.foreign = {f"models/{NAME}"}  # from here on nobody may write to it
    with pytest.raises(UserError, match="needs the right to write here"):
        send(server, made(tmp_path / "third", seed=4))
    proposed = send(server, other, pull_request=True)
    assert server.head(NAME) == main.commit
    assert server.head(NAME, "refs/pr/1") == proposed.commit
    assert proposed.pull_request == proposed.url == f"{server.url}/{NAME}/discussions/1"
    assert there(server, "refs/pr/1")["model.weights.h5"] == (other / "model.weights.h5").read_bytes()


@pytest.mark.parametrize("file", ["pytorch_model.bin", "config.json", "data/train.parquet"])
def test_a_repository_of_something_else_is_left_alone(server: Hub, checkpoint: Path, file: str):
    head = server.commit(NAME, {"README.md": b"# Theirs", file: b"\0"}, kind="model")
    with pytest.raises(UserError, match=f"someone/cells holds something else, such as {file}, .*: choose another name"):
        send(server, checkpoint)
    assert server.head(NAME) == head
    assert sum(server.received.values()) == 0


def test_a_repository_that_says_nothing_yet_is_free(server: Hub, checkpoint: Path):
    server.commit(NAME, {"README.md": b"# Soon", "LICENSE": b"MIT", ".gitattributes": b""}, kind="model")
    send(server, checkpoint)
    assert there(server).keys() == FILES | {"LICENSE"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"token": "hf_unknown"}, "does not accept the token: make a new one"),
        ({"token": READER}, "does not let this token do that: it needs the right to write here"),
        ({"token": None}, "no token to write to the Hub with: set HF_TOKEN, or run `hf auth login`"),
        ({"token": "hf_two\nlines"}, "the token has letters in it that no token has"),
        ({"token": "hf_schlüssel"}, "the token has letters in it that no token has"),
        ({"name": "cells"}, "'cells' is no model of the Hub: write hf://owner/name"),
        ({"name": "../cells"}, "is no model of the Hub"),
        ({"name": f"{NAME}@v1", "revision": "v2"}, "names a revision already"),
        ({"revision": "0" * 40}, "000000000000 is a commit, which nothing can be added to: name a branch"),
        ({"pull_request": True}, "is not there, so nothing can be proposed to it"),
        ({"endpoint": "http://127.0.0.1:9"}, "cannot be reached"),
    ],
)
def test_mistakes_are_one_line(server: Hub, checkpoint: Path, options: dict[str, Any], words: str):
    name = options.pop("name", NAME)
    with pytest.raises(UserError, match=words) as caught:
        push(checkpoint, name, **{"token": TOKEN, "endpoint": server.url, **options})
    assert "\n" not in str(caught.value)
    assert (options.get("token") or TOKEN) not in str(caught.value)
    assert server.pushes == []


def test_faults_of_the_hub_are_one_line(server: Hub, checkpoint: Path, monkeypatch: pytest.MonkeyPatch):
    server.commit("someone/open", {"README.md": b""}, kind="model")
    with pytest.raises(UserError, match="is there and public: make it private in its settings"):
        send(server, checkpoint, "someone/open", private=True)
    server.commit("someone/ignores", {".gitignore": b"*.h5\n"}, kind="model")
    with pytest.raises(UserError, match=r"has a \.gitignore that leaves out model\.weights\.h5"):
        send(server, checkpoint, "someone/ignores")
    server.commit("someone/moves", {"README.md": b""}, kind="model")
    commit = upload.commit

    def moved(*given: Any, **options: Any) -> Any:
        server.commit("someone/moves", {"README.md": b"changed"}, kind="model")
        return commit(*given, **options)

    with monkeypatch.context() as patch:
        patch.setattr("segmodels.hub.push.commit", moved)
        with pytest.raises(UserError, match="someone/moves was changed by someone meanwhile: push again"):
            send(server, checkpoint, "someone/moves")
    with monkeypatch.context() as patch:
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        with pytest.raises(UserError, match="the Hub is not asked while HF_HUB_OFFLINE is set"):
            send(server, checkpoint)
    server.status = 500
    with pytest.raises(UserError, match="answers with HTTP 500"):
        send(server, checkpoint)
    assert server.pushes == []


def test_full_disk(server: Hub, checkpoint: Path, home: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def on_another_disk(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    with monkeypatch.context() as patch:
        patch.setattr("segmodels.hub.linked.os.link", on_another_disk)
        patch.setattr("segmodels.hub.linked.shutil.copyfile", full)
        with pytest.raises(UserError, match="no space left"):
            send(server, checkpoint)
    with monkeypatch.context() as patch:
        patch.setattr("segmodels.files.Path.write_text", full)  # the card
        with pytest.raises(UserError, match="no space left"):
            send(server, checkpoint)
    assert [path.name for path in (home / "cache" / "push").iterdir() if path.suffix != ".lock"] == []
    assert server.requests == []
    assert send(server, checkpoint).files > 0


def test_what_is_no_checkpoint_is_not_sent(server: Hub, tmp_path: Path):
    cut, newer, without = (made(tmp_path / name) for name in ("cut", "newer", "without"))
    weights = (cut / "model.weights.h5").read_bytes()
    (cut / "model.weights.h5").write_bytes(weights[: len(weights) // 2])
    (newer / "segmodels.json").write_text('{"format": 2}')
    (without / "model.weights.h5").unlink()
    cases = {
        cut: r"cut/model\.weights\.h5", newer: "update segmodels", without: r"has no model\.weights\.h5",
        tmp_path / "nothing": "neither a checkpoint directory nor a run", tmp_path: "neither a checkpoint",
    }  # fmt: skip
    for folder, words in cases.items():
        with pytest.raises(UserError, match=words) as caught:
            send(server, folder)
        assert "cache/push" not in str(caught.value)
    assert server.requests == []


def test_a_training_may_go_on_meanwhile(server: Hub, tmp_path: Path):
    old = made(tmp_path / "run" / "best", 1_000_000)
    newer = made(tmp_path / "newer", 1_000_000, seed=9)
    expected = {path: (old / path).read_bytes() for path in FILES - {"README.md"}}

    def replace(done: int, total: int, what: str) -> None:
        if done and newer.exists():
            old.rename(tmp_path / "gone")
            newer.rename(old)
            for path in (tmp_path / "gone").rglob("*.*"):
                path.unlink()

    send(server, old, progress=replace)
    assert not newer.exists()
    files = there(server)
    assert {path: files[path] for path in expected} == expected
    assert b"of epoch 1," in files["README.md"]


def test_a_run_is_pushed_and_pulled_again(
    server: Hub, home: Path, tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run = Run.create(Recipe(**tiny))
    with pytest.raises(UserError, match="has no checkpoint yet"):
        send(server, run)
    made(run.best)
    network = segmodels.build("unet", classes=2, **tiny["options"])
    spec = read_spec(run.best)
    architecture = spec.architecture.model_copy(update={"options": tiny["options"]})
    write_checkpoint(run.best, network, spec.model_copy(update={"architecture": architecture}))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    pushed = segmodels.push(run, NAME, private=True, endpoint=server.url)
    pulled = segmodels.pull(NAME, endpoint=server.url)
    assert pulled.name == pushed.commit
    assert {path: (pulled / path).read_bytes() for path in FILES} == there(server)
    again = push(str(pulled), NAME, endpoint=server.url)
    assert (again.files, again.commit) == (0, pushed.commit)


def test_the_command_line_and_the_token_that_is_nowhere(
    server: Hub,
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
):
    log, name = io.StringIO(), "huggingface_hub"
    caplog.set_level(logging.DEBUG, name)
    monkeypatch.setattr(logging.getLogger(name), "handlers", [logging.StreamHandler(log)])
    monkeypatch.setattr("huggingface_hub.constants.HF_DEBUG", True)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.url)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert main(["push", str(checkpoint), NAME, "--private", "--json"]) == 0
    said = [capsys.readouterr()]
    document = json.loads(said[0].out)
    assert document["commit"] == server.head(NAME)
    assert (document["repository"], document["files"]) == (NAME, len(FILES))
    assert main(["push", str(checkpoint), NAME]) == 0
    said.append(capsys.readouterr())
    assert said[1].out.startswith(f"{NAME} has this checkpoint already, commit {server.head(NAME)[:12]}: ")
    assert main(["push", str(checkpoint), NAME, "--revision", "dev", "--message", "Try"]) == 0
    said.append(capsys.readouterr())
    assert said[2].out.startswith(f"{NAME}, commit {server.head(NAME, 'dev')[:12]}, 1 file, ")
    assert server.pushes[-1]["lines"][0]["value"]["summary"] == "Try"
    for token in (READER, f"{TOKEN}é", f"{TOKEN}X"):
        monkeypatch.setenv("HF_TOKEN", token)
        assert main(["push", str(checkpoint), "someone/else"]) == 2
        said.append(capsys.readouterr())
        assert [line for line in said[-1].err.splitlines() if line.startswith("segmodels: ")]
    text = log.getvalue() + "".join(each.out + each.err for each in said)
    assert "/api/models/someone/cells/commit/main" in text  # it was listened to
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    sent = [content for files in server.commits.values() for content in files.values()]
    for token in (TOKEN, READER):
        assert token not in text
        assert not [content for content in [*written, *sent] if token.encode() in content]
        assert not server.asked(token)


def test_ctrl_c_ends_it_cleanly(server: Hub, tmp_path: Path, home: Path):
    checkpoint = made(tmp_path / "large", 3_000_000)
    server.seconds = 0.05
    process = subprocess.Popen(
        [sys.executable, "-m", "segmodels", "push", str(checkpoint), NAME],
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_ENDPOINT": server.url, "HF_TOKEN": TOKEN},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
        # Whoever runs the tests in the background has it ignored, and so would the process.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    end = time.monotonic() + 60
    while not server.received[sha256(checkpoint / "model.weights.h5")] and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "segmodels: stopped"
    assert "Traceback" not in err
    assert server.pushes == []
    assert not list(home.rglob("*.h5"))


def test_no_engine_is_loaded(server: Hub, checkpoint: Path, home: Path, python: Callable):
    code = (
        "import sys\nimport segmodels\n"
        f"segmodels.push({str(checkpoint)!r}, {NAME!r}, endpoint={server.url!r})\n"
        "assert not {'tensorflow', 'keras', 'jax', 'streamlit', 'pandas'} & sys.modules.keys()"
    )
    done = python("-c", code, HF_TOKEN=TOKEN, SEGMODELS_HOME=home)
    assert done.returncode == 0, done.stderr
    assert there(server).keys() == FILES


def test_the_card_that_is_pushed_says_what_that_of_the_release_said(
    server: Hub, tiny_run: Run, home: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(tiny_run.path, home / "runs" / "second"))
    shutil.copytree(tiny_run.best, run / "start")
    recipe = json.loads((run / "recipe.json").read_text())
    (run / "recipe.json").write_text(json.dumps({**recipe, "start_from": str(tiny_run.path)}))
    out = release(run, tmp_path / "out")
    send(server, out)
    card, before = there(server)["README.md"].decode(), (out / "README.md").read_text()
    assert "On the test split of Toy pets" in card
    assert card.count("python -m segmodels train") == before.count("python -m segmodels train") == 2


def test_a_forged_split_is_inert_in_the_card(server: Hub, checkpoint: Path) -> None:
    metrics = {"test": {"split": "<img src=//e.vil/x>", "mean_iou": 0.5, "images": 3}}
    (checkpoint / "metrics.json").write_text(json.dumps(metrics))
    send(server, checkpoint)
    assert b"e.vil" not in there(server)["README.md"]
