"""Finished runs on their way to the Hub: queued, sent in the background, kept where they cannot be sent."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from segmodels.errors import UserError
from segmodels.files import write_json
from segmodels.hub.finished import outbox, sending
from segmodels.hub.finished.fingerprint import fingerprint
from segmodels.hub.finished.outbox import Waiting, outbox_folder, queue_finished, send, start_sender, waiting
from segmodels.hub.finished.sending import send_run
from segmodels.hub.repository import HubRepository
from segmodels.recipe import Recipe
from segmodels.training.launch import revive
from segmodels.training.reporter import Reporter
from segmodels.training.runs import Run
from segmodels.training.tickets import is_held
from segmodels.training.train import train
from tests.conftest import TINY
from tests.hub_server import Hub, serving_hub

NAME = "someone/finished"
TOKEN = "hf_writing0000"
AWAY = "http://127.0.0.1:9"


class Heard(Reporter):
    """Remembers the lines that it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def run(home: Path, tiny_run: Run) -> Run:
    """A finished run in this home."""
    shutil.copytree(tiny_run.path, home / "runs" / tiny_run.id)
    return Run(home / "runs" / tiny_run.id)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The words of the senders that would have been started, none of which is."""
    words: list[list[str]] = []

    class Process:
        def wait(self) -> int:
            return 0

    def start(asked: list[str], **_: Any) -> Process:
        words.append(asked)
        return Process()

    monkeypatch.setattr(outbox, "start", start)
    return words


@pytest.fixture
def hub(home: Path, started: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(home / "no-token"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("SEGMODELS_HUB", NAME)
    with serving_hub() as hub:
        hub.tokens = {TOKEN: "write", "hf_reading0000": "read"}
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)  # as HF_ENDPOINT does in a new process
        template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield hub


def queued(run: Run) -> Waiting:
    queue_finished(run, Reporter())
    (entry,) = waiting()
    return entry


# Queued.


def test_a_training_that_is_finished_is_queued(hub: Hub, started: list[list[str]], home: Path) -> None:
    heard = Heard()
    run = train(Recipe(**{**TINY, "epochs": 1}), reporter=heard)
    assert run.state == "finished"
    (entry,) = waiting()
    assert entry.fingerprint == fingerprint(run.recipe)
    assert (entry.repository, entry.run, entry.epoch, entry.tried, entry.error) == (NAME, str(run.path), 1, 0, "")
    assert entry.path.name == f"{entry.fingerprint}.json"
    assert started == [["cache", "send", "--due"]]
    assert heard.notes[-1].startswith(f"its best weights are sent to {NAME} in the background")
    assert hub.requests == []  # by that process, not by the trainer
    about = entry.about
    assert about["device"] == run.status()["device"]
    assert about["backend"] == run.status()["backend"]
    assert about["trained"]["recipe"]["learning_rate"] == 0.01
    assert str(home) not in json.dumps(about)


def test_without_a_repository_nothing_is_queued(run: Run, started: list, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEGMODELS_HUB", raising=False)
    heard = Heard()
    queue_finished(run, heard)
    assert (waiting(), started, heard.notes) == ([], [], [])
    assert not outbox_folder().exists()


def test_what_is_not_the_result_of_its_recipe_is_not_queued(hub: Hub, run: Run) -> None:
    heard = Heard()
    write_json(run.path / "changes.json", [{"epoch": 1, "step": 0, "learning_rate": 0.5}])
    queue_finished(run, heard)
    (run.path / "changes.json").unlink()
    run.write_status(state="stopped")
    queue_finished(run, heard)
    run.write_status(state="finished")
    metrics = json.loads((run.best / "metrics.json").read_text())
    write_json(run.best / "metrics.json", {**metrics, "data_fingerprint": "of other pictures"})
    queue_finished(run, heard)
    assert heard.notes == [
        f"not sent to {NAME}: its learning rate or its epochs were changed while it went",
        f"not sent to {NAME}: the run is stopped",
        f"not sent to {NAME}: the data was changed while it was trained on",
    ]
    assert waiting() == []


@pytest.mark.parametrize("error", [RuntimeError("boom\nboom"), UserError("boom boom"), OSError(28, "no space")])
def test_nothing_in_the_way_fails_a_training(
    error: Exception, hub: Hub, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(outbox, "described", fails)
    heard = Heard()
    queue_finished(run, heard)
    assert len(heard.notes) == 1
    assert heard.notes[0].startswith("its best weights were not queued for the Hub: ")
    assert "\n" not in heard.notes[0]


# Sent.


def test_sent_in_one_commit_and_only_once(hub: Hub, run: Run) -> None:
    entry = queued(run)
    (done,) = send(endpoint=hub.url)
    assert (done.outcome, done.run, waiting()) == ("sent", str(run.path), [])
    assert len(hub.pushes) == 1
    below = f"finished/{entry.fingerprint}/"
    there = {name.removeprefix(below): data for name, data in hub.files(NAME).items() if name.startswith(below)}
    for path in (path for path in run.best.rglob("*") if path.is_file()):
        assert there.pop(path.relative_to(run.best).as_posix()) == path.read_bytes()
    assert json.loads(there.pop("finished.json")) == entry.about
    assert not there
    assert f"models/{NAME}" in hub.private

    queued(run)  # by another home, as it were
    (done,) = send(endpoint=hub.url)
    assert (done.outcome, waiting(), len(hub.pushes)) == ("there", [], 1)


def test_nothing_but_what_belongs_to_a_checkpoint_is_sent(hub: Hub, run: Run) -> None:
    (run.best / "model.onnx").write_bytes(b"made here")
    (run.best / "previews" / "notes.txt").write_text("mine")
    queued(run)
    send(endpoint=hub.url)
    assert not [name for name in hub.files(NAME) if name.endswith((".onnx", ".txt"))]


def test_a_commit_that_comes_between_is_kept(hub: Hub, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.commit(NAME, {"README.md": b"# Ours\n"}, kind="model")
    resolved, others = HubRepository.resolved, iter(range(2))

    def overtaken(self: HubRepository) -> tuple[str, str]:
        found = resolved(self)
        for number in others:
            hub.commit(NAME, {**hub.files(NAME), f"finished/other-{number}/README.md": b"#"}, kind="model")
            break
        return found

    monkeypatch.setattr(HubRepository, "resolved", overtaken)
    monkeypatch.setattr(sending.random, "uniform", lambda low, high: 0)
    entry = queued(run)
    (done,) = send(endpoint=hub.url)
    assert done.outcome == "sent", done.said
    names = set(hub.files(NAME))
    assert {"finished/other-0/README.md", "finished/other-1/README.md"} < names
    assert f"finished/{entry.fingerprint}/model.weights.h5" in names
    assert hub.files(NAME)["README.md"] == b"# Ours\n"
    assert hub.asked("POST /api/models/someone/finished/commit") == 3


def test_of_two_homes_that_send_the_same_at_once_the_first_stays(
    hub: Hub, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = queued(run)
    resolved, other = HubRepository.resolved, iter([{"segmodels.json": b"{}"}])
    hub.commit(NAME, {}, kind="model")

    def overtaken(self: HubRepository) -> tuple[str, str]:
        found = resolved(self)
        for files in other:
            hub.commit(
                NAME, {f"finished/{entry.fingerprint}/{name}": data for name, data in files.items()}, kind="model"
            )
        return found

    monkeypatch.setattr(HubRepository, "resolved", overtaken)
    (done,) = send(endpoint=hub.url)
    assert done.outcome == "there"
    assert hub.files(NAME)[f"finished/{entry.fingerprint}/segmodels.json"] == b"{}"


# What cannot be sent stays.


def test_without_a_network_it_waits(hub: Hub, run: Run) -> None:
    entry = queued(run)
    heard, before = Heard(), time.time()
    (done,) = send(reporter=heard, endpoint=AWAY)
    assert done.outcome == "waiting"
    assert "cannot be reached" in done.said
    (kept,) = waiting()
    assert kept == replace(entry, tried=kept.tried, error=done.said)
    assert before <= kept.tried <= time.time()
    assert not kept.due
    assert send(due=True, endpoint=hub.url) == []  # not again so soon in the background
    replace(kept, tried=time.time() - outbox.AGAIN - 1).save()
    assert [each.outcome for each in send(due=True, endpoint=hub.url)] == ["sent"]
    assert waiting() == []


def test_of_a_hub_that_is_away_it_is_asked_once(hub: Hub, run: Run) -> None:
    entry = queued(run)
    for letter in "ab":
        replace(entry, fingerprint=letter * 64).save()
    asked = []

    def counted(*arguments: Any, **named: Any) -> Any:
        asked.append(arguments)
        return send_run(*arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outbox, "send_run", counted)
        done = send(endpoint=AWAY)
    assert [each.outcome for each in done] == ["waiting"] * 3
    assert len(asked) == 1
    assert len({entry.error for entry in waiting()}) == 1


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("hf_wrong000000", "does not accept the token"),
        ("hf_reading0000", "does not let this token do that"),
        ("", "sending needs a token that may write there; set HF_TOKEN"),
    ],
)
def test_a_token_that_may_not_is_one_line_and_it_waits(
    token: str, words: str, hub: Hub, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.commit(NAME, {"README.md": b"#"}, kind="model")
    monkeypatch.setenv("HF_TOKEN", token)
    queued(run)
    (done,) = send(endpoint=hub.url)
    assert done.outcome == "waiting"
    assert words in done.said
    assert "\n" not in done.said
    assert not token or token not in "".join(path.read_text() for path in outbox_folder().glob("*.json"))
    assert (run.state, hub.pushes) == ("finished", [])
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert [each.outcome for each in send(endpoint=hub.url)] == ["sent"]


def test_no_token_gets_into_an_error(hub: Hub, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError(f"header Bearer {TOKEN} and hf_ofsomebodyelse")

    monkeypatch.setattr(outbox, "send_run", fails)
    queued(run)
    (done,) = send(endpoint=hub.url)
    assert done.said == "RuntimeError: header Bearer … and hf_…"


def test_what_is_gone_or_went_on_is_dropped(hub: Hub, run: Run) -> None:
    entry = queued(run)
    metrics = json.loads((run.best / "metrics.json").read_text())
    write_json(run.best / "metrics.json", {**metrics, "epoch": 99})
    (done,) = send(endpoint=hub.url)
    assert (done.outcome, done.said) == ("dropped", "the run went on after it was queued")
    entry.save()
    run.write_status(state="running")
    (done,) = send(endpoint=hub.url)
    assert (done.outcome, done.said) == ("dropped", "the run is interrupted")
    entry.save()
    shutil.rmtree(run.path)
    (done,) = send(endpoint=hub.url)
    assert (done.outcome, done.said) == ("dropped", "the run was deleted")
    assert (waiting(), hub.pushes) == ([], [])


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:-20],
        lambda text: "[]",
        lambda text: json.dumps({**json.loads(text), "repository": "../../etc"}),
        lambda text: json.dumps({**json.loads(text), "run": 7}),
        lambda text: json.dumps({**json.loads(text), "tried": "yesterday"}),
        lambda text: json.dumps({**json.loads(text), "fingerprint": "0" * 64}),
        lambda text: json.dumps({**json.loads(text), "more": 1}),
    ],
)
def test_a_damaged_entry_is_dropped(change: Callable[[str], str], hub: Hub, run: Run) -> None:
    path = queued(run).path
    path.write_text(change(path.read_text()))
    assert waiting() == []
    again = replace(Waiting("f" * 64, NAME, str(run.path), -1))
    again.save()  # something to do
    heard = Heard()
    send(reporter=heard, endpoint=hub.url)
    assert heard.notes[0].startswith("dropped: ")
    assert "damaged" in heard.notes[0] or "valid JSON" in heard.notes[0]
    assert not path.exists()
    assert hub.pushes == []


# Who sends.


def test_one_sender_is_started_where_something_is_due(hub: Hub, run: Run, started: list[list[str]]) -> None:
    assert not start_sender()
    assert revive() == []
    assert started == []
    entry = queued(run)
    assert len(started) == 1
    assert not start_sender()  # it is on its way
    (outbox_folder() / "started").unlink()
    assert revive() == []
    assert len(started) == 2
    (outbox_folder() / "started").unlink()
    replace(entry, tried=time.time()).save()
    assert not start_sender()
    assert len(started) == 2


def test_a_repository_that_is_set_to_nonsense_disturbs_nobody(
    home: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGMODELS_HUB", "nonsense")
    heard = Heard()
    queue_finished(run, heard)
    assert heard.notes == [
        "its best weights were not queued for the Hub: SEGMODELS_HUB is 'nonsense': give a repository of the Hub as "
        "owner/name"
    ]


def test_a_long_log_is_shortened(hub: Hub, run: Run) -> None:
    queued(run)
    log = outbox_folder() / "log.txt"
    log.write_text("".join(f"line {number:06d}\n" for number in range(100_000)))
    send(endpoint=hub.url)
    lines = log.read_text().splitlines()
    assert lines[-1] == "line 099999"
    assert lines[0].startswith("line ")
    assert log.stat().st_size <= outbox.END


def test_queued_without_a_network_and_sent_later_by_a_process(hub: Hub, run: Run, python: Callable) -> None:
    entry = queued(run)
    usual = {"HF_HOME": run.path / "hf", "no_proxy": "127.0.0.1", "HF_HUB_DISABLE_XET": 1}
    told = python("-m", "segmodels", "cache", "send", "--json", HF_ENDPOINT=AWAY, **usual)
    assert told.returncode == 2
    (document,) = json.loads(told.stdout)
    assert (document["outcome"], document["fingerprint"]) == ("waiting", entry.fingerprint)
    told = python("-m", "segmodels", "cache", "send", "--due", HF_ENDPOINT=hub.url, **usual)
    assert (told.returncode, told.stdout.strip()) == (0, "nothing waits to be sent")
    told = python("-m", "segmodels", "cache", "send", HF_ENDPOINT=hub.url, **usual)
    assert (told.returncode, told.stdout.strip()) == (0, f"sent: {run.id} to {NAME}"), told.stderr
    assert len(hub.pushes) == 1
    assert not is_held(outbox_folder() / "lock")
    log = (outbox_folder() / "log.txt").read_text().splitlines()
    assert f"waiting: {run.id} to {NAME}: " in log[0]
    assert f"sent: {run.id} to {NAME}: " in log[1]
    assert TOKEN not in "".join(log)


def test_the_background_process_sends_and_ends(
    home: Path, run: Run, python: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving_hub() as hub:
        hub.tokens = {TOKEN: "write"}
        for name, value in {"HF_TOKEN": TOKEN, "SEGMODELS_HUB": NAME, "HF_ENDPOINT": hub.url}.items():
            monkeypatch.setenv(name, value)
        queue_finished(run, Reporter())
        end = time.monotonic() + 60
        while (waiting() or is_held(outbox_folder() / "lock")) and time.monotonic() < end:
            time.sleep(0.05)
        assert (waiting(), len(hub.pushes)) == ([], 1), (outbox_folder() / "log.txt").read_text()
