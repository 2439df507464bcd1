"""What a training is called by, and its finished weights: found on a Hub on this machine, taken, or refused."""

from __future__ import annotations

import csv
import json
import shlex
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segmodels import cli_finished
from segmodels.data.split import write_split
from segmodels.errors import UserError
from segmodels.evaluation.compare import conduct as conducting
from segmodels.evaluation.compare.comparison import Comparison
from segmodels.evaluation.compare.conduct import conduct
from segmodels.evaluation.compare.members import architecture_members
from segmodels.evaluation.evaluate import evaluate
from segmodels.files import write_json
from segmodels.hub.checkpoint import SPEC, WEIGHTS
from segmodels.hub.finished import offers
from segmodels.hub.finished.fingerprint import fingerprint
from segmodels.hub.finished.offers import find, look_up, take
from segmodels.hub.finished.outbox import queue_finished, send
from segmodels.hub.finished.settings import hub_repository, set_hub_repository
from segmodels.hub.repository import Unreachable
from segmodels.recipe import Recipe
from segmodels.training.changes import ask_for_change
from segmodels.training.reporter import Reporter
from segmodels.training.runs import Run, list_runs
from segmodels.training.tickets import is_held
from segmodels.training.train import train
from segmodels.worker import Answer
from tests.conftest import TINY
from tests.hub_server import Hub, serving_hub
from tests.own_forms import write_form
from tests.stand_in import go, wait
from tests.test_app import opened, texts, widget
from tests.test_compare import Verbs

NAME = "someone/finished"


class Heard(Reporter):
    """Remembers the lines that it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


# What a training is called by.

SMALL: dict[str, Any] = {"options": {"width": 4, "depth": 2}, "image_size": 32, "epochs": 2}


@pytest.fixture
def cells(home: Path, tmp_path: Path) -> Path:
    """A small data set of one's own."""
    return write_form("masks", tmp_path / "cells")


def test_the_same_training_is_called_the_same_wherever_its_files_are(cells: Path, tmp_path: Path) -> None:
    first = fingerprint(Recipe(data=str(cells), **SMALL))
    assert len(first) == 64
    shutil.copytree(cells, tmp_path / "elsewhere" / "of another name")
    moved = Recipe(data=str(tmp_path / "elsewhere" / "of another name"), **SMALL)
    assert fingerprint(moved) == first
    assert fingerprint(moved) == first  # from the cache
    for same in (
        {"form": "masks"},
        {"snapshots": 0},
        {"xla": "off"},
        {"limit": 1000},
        {"options": {**SMALL["options"], "convs": 2}},  # the default, said
    ):
        assert fingerprint(Recipe(**{"data": str(cells), **SMALL, **same})) == first, same


def test_a_root_is_no_part_of_it(data_folder: Path, home: Path, tmp_path: Path) -> None:
    named = fingerprint(Recipe(data="monuseg", **SMALL))
    shutil.copytree(data_folder / "monuseg", tmp_path / "copy")
    assert fingerprint(Recipe(data="monuseg", root=str(tmp_path / "copy"), **SMALL)) == named


OTHER: list[dict[str, Any]] = [
    {"epochs": 3}, {"seed": 1}, {"image_size": 64}, {"batch_size": 4}, {"batch_size": "auto"}, {"loss": "dice"},
    {"class_weights": "median frequency"}, {"class_weights": (1, 2, 3)}, {"optimizer": "sgd"}, {"augment": "none"},
    {"learning_rate": 0.01}, {"schedule": "constant"}, {"precision": "float32"}, {"ema": 0.99}, {"clip_norm": 1.0},
    {"deterministic": True}, {"options": {"width": 8, "depth": 2}}, {"architecture": "segnet", "options": {}},
    {"limit": 3}, {"split_seed": 1}, {"sampling": "tiles"}, {"sampling": "tiles", "tile_stride": 16},
    {"early_stopping": 1}, {"accumulation": 2}, {"weight_decay": 0.1}, {"momentum": 0.8}, {"warm_up_epochs": 1},
]  # fmt: skip


def test_every_other_training_is_called_otherwise(cells: Path) -> None:
    recipes = [Recipe(**{"data": str(cells), **SMALL, **fields}) for fields in [{}, *OTHER]]
    assert len({fingerprint(recipe) for recipe in recipes}) == len(recipes)


def test_a_field_that_is_neither_hashed_nor_left_out_would_be_told() -> None:
    """A new field of a recipe makes every training another one: whoever adds it decides whether it is left out."""
    from segmodels.hub.finished.fingerprint import LEFT_OUT, YOUNGER, fields_of

    recipe = Recipe(data="toy-pets", **SMALL)
    assert set(fields_of(recipe)) | LEFT_OUT | YOUNGER == set(Recipe.model_fields)


def test_a_changed_picture_mask_or_class_is_another_training(cells: Path) -> None:
    def changed(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
        Image.fromarray(change(np.array(Image.open(path)))).save(path)

    recipe = Recipe(data=str(cells), **SMALL)
    known = [fingerprint(recipe)]
    parts = {split: recipe.dataset().samples(split)[0] for split in ("train", "validation", "test")}
    for split in ("train", "validation"):
        changed(parts[split].image_path, lambda picture: picture ^ 1)
        known.append(fingerprint(recipe))
    changed(parts["train"].mask_path, lambda mask: (mask + 1) % 3)
    known.append(fingerprint(recipe))
    (cells / "labels.txt").write_text("background\ncell\nduct\n")
    known.append(fingerprint(recipe))
    assert len(set(known)) == 5
    changed(parts["test"].image_path, lambda picture: picture ^ 1)
    assert fingerprint(recipe) == known[-1]  # no training sees it


def test_a_split_file_counts_by_what_it_says(cells: Path, tmp_path: Path) -> None:
    dataset = Recipe(data=str(cells), **SMALL).dataset()
    splits = {split: dataset.samples(split) for split in ("train", "validation", "test")}
    write_split(tmp_path / "same.json", splits, made="by hand")
    write_split(tmp_path / "other.json", {**splits, "train": splits["train"][1:]})

    def of(name: str | None) -> str:
        return fingerprint(Recipe(data=str(cells), split_file=str(tmp_path / name) if name else None, **SMALL))

    assert of("same.json") == of(None) != of("other.json")


def test_weights_count_by_their_content(cells: Path, tmp_path: Path, tiny_run: Run) -> None:
    for name in ("one.h5", "same.h5", "other.h5"):
        (tmp_path / name).write_bytes(name.encode() if name == "other.h5" else b"weights")
    encoder = {**SMALL, "options": {}, "architecture": "unet", "backbone": "mobilenetv2"}
    names = ("one", "same", "other")
    recipes = [Recipe(data="toy-pets", weights=str(tmp_path / f"{name}.h5"), **encoder) for name in names]
    one, same, other = map(fingerprint, recipes)
    assert one == same != other
    shutil.copytree(tiny_run.best, tmp_path / "begin")
    shutil.copytree(tiny_run.best, tmp_path / "begin-2")
    begun = [fingerprint(Recipe(**{**TINY, "start_from": str(tmp_path / name)})) for name in ("begin", "begin-2")]
    assert begun[0] == begun[1] != fingerprint(Recipe(**TINY))
    weights = tmp_path / "begin-2" / WEIGHTS
    weights.write_bytes(weights.read_bytes() + b"\0")
    assert fingerprint(Recipe(**{**TINY, "start_from": str(tmp_path / "begin-2")})) != begun[0]


def test_another_process_calls_it_the_same(python: Callable, cells: Path, tmp_path: Path) -> None:
    code = "import sys; from segmodels.recipe import Recipe\n"
    code += "from segmodels.hub.finished.fingerprint import fingerprint\n"
    code += "print(fingerprint(Recipe.load(sys.argv[1])))\nprint('tensorflow' in sys.modules)"
    recipe = Recipe(data=str(cells), **SMALL)
    recipe.save(tmp_path / "recipe.json")
    told = python("-c", code, tmp_path / "recipe.json", SEGMODELS_HOME=tmp_path / "other", PYTHONHASHSEED=7)
    assert told.stdout.split() == [fingerprint(recipe), "False"], told.stderr


# Which repository.


def test_the_environment_goes_before_the_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEGMODELS_HUB", raising=False)
    assert hub_repository() is None
    set_hub_repository("hf://me/mine")
    assert hub_repository() == "me/mine"
    monkeypatch.setenv("SEGMODELS_HUB", "others/theirs")
    assert hub_repository() == "others/theirs"
    monkeypatch.setenv("SEGMODELS_HUB", "nonsense")
    with pytest.raises(UserError, match="SEGMODELS_HUB is 'nonsense': give a repository of the Hub as owner/name"):
        hub_repository()
    monkeypatch.delenv("SEGMODELS_HUB")
    with pytest.raises(UserError, match="leave out the revision"):
        set_hub_repository("me/mine@v1")
    (home / "settings.json").write_text("[")
    with pytest.raises(UserError, match="damaged"):
        hub_repository()
    set_hub_repository(None)
    assert hub_repository() is None


# Looked up and taken.


@pytest.fixture
def hub(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr("segmodels.hub.finished.outbox.start_sender", lambda at_once=False: False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(home / "no-token"))
    monkeypatch.setenv("HF_TOKEN", "hf_writing0000")
    monkeypatch.setenv("SEGMODELS_HUB", NAME)
    monkeypatch.setenv("HF_HOME", str(home / "hf"))
    with serving_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        hub.tokens = {"hf_writing0000": "write"}
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)  # as HF_ENDPOINT does in a new process
        template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield hub


@pytest.fixture
def sent(hub: Hub, tiny_run: Run) -> Recipe:
    """The recipe of a run whose weights are on the Hub."""
    queue_finished(tiny_run, Reporter())
    (done,) = send(endpoint=hub.url)
    assert (done.outcome, done.said[-2:]) == ("sent", "MB"), done.said
    return tiny_run.recipe


def files_of(hub: Hub, key: str) -> dict[str, bytes]:
    below = f"finished/{key}/"
    return {name.removeprefix(below): data for name, data in hub.files(NAME).items() if name.startswith(below)}


def test_finished_weights_become_a_finished_run(hub: Hub, sent: Recipe, tiny_run: Run, tmp_path: Path) -> None:
    key = fingerprint(sent)
    there = files_of(hub, key)
    assert set(there) == {
        SPEC, WEIGHTS, "metrics.json", "history.csv", "README.md", "finished.json",
        *(f"previews/{number}.png" for number in range(4)),
    }  # fmt: skip
    offer = look_up(sent)
    assert offer is not None
    best = json.loads((tiny_run.best / "metrics.json").read_text())
    assert (offer.commit, offer.epoch, offer.size) == (hub.head(NAME), best["epoch"], sum(map(len, there.values())))
    assert offer.mean_iou == best["validation"]["mean_iou"]
    run = take(offer, sent)
    assert [each.id for each in list_runs()] == [run.id]
    assert run.recipe == sent
    assert run.history() == tiny_run.history()
    assert (run.best / WEIGHTS).read_bytes() == (tiny_run.best / WEIGHTS).read_bytes()
    assert sorted(path.name for path in run.best.iterdir()) == sorted(path.name for path in tiny_run.best.iterdir())
    status, first = run.status(), tiny_run.status()
    for name in ("state", "epoch", "epochs", "best", "device", "backend", "precision", "parameters"):
        assert status[name] == first[name], name
    assert f"taken from hf://{NAME} at commit {hub.head(NAME)[:12]}" in run.log()
    assert json.loads((run.path / "split.json").read_text()) == json.loads((tiny_run.path / "split.json").read_text())
    assert not (run.path / "steps.csv").exists()  # nothing was trained
    ask_for_change(run, epochs=9)
    with pytest.raises(UserError, match="was taken finished from the Hub: it cannot go on, start a new run from it"):
        train(resume=run)
    figures = [evaluate(each.best, split="validation", at="model")["confusion_matrix"] for each in (run, tiny_run)]
    assert figures[0] == figures[1]
    assert not list((tmp_path / "home" / "finished").glob(".coming*"))


def test_of_another_training_nothing_is_found(hub: Hub, sent: Recipe) -> None:
    assert look_up(sent.model_copy(update={"seed": 1})) is None
    assert look_up(sent.model_copy(update={"snapshots": 0})) is not None


def test_without_a_repository_nobody_is_asked(hub: Hub, sent: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEGMODELS_HUB")
    asked = len(hub.requests)
    assert look_up(sent) is None
    assert len(hub.requests) == asked


def test_a_hub_that_is_silent_or_away_holds_nobody_up(hub: Hub, sent: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offers, "PATIENCE", 0.5)
    hub.seconds = 3
    heard, began = Heard(), time.monotonic()
    assert look_up(sent, reporter=heard) is None
    assert time.monotonic() - began < 2
    assert heard.notes == [
        f"not looked up whether this was trained already: {NAME}: the Hub gave no answer in 0.5 seconds; "
        "try again later"
    ]
    with pytest.raises(Unreachable, match="cannot be reached"):
        find(fingerprint(sent), endpoint="http://127.0.0.1:9")


def of_another_network(files: dict[str, bytes]) -> None:
    spec = json.loads(files[SPEC])
    spec["architecture"]["options"]["width"] = 8
    files[SPEC] = json.dumps(spec).encode()


def of_another_recipe(files: dict[str, bytes]) -> None:
    spec = json.loads(files[SPEC])
    spec["recipe"]["learning_rate"] = 0.5
    files[SPEC] = json.dumps(spec).encode()


def of_other_classes(files: dict[str, bytes]) -> None:
    spec = json.loads(files[SPEC])
    spec["classes"].reverse()
    files[SPEC] = json.dumps(spec).encode()


def cut_short(files: dict[str, bytes]) -> None:
    files[WEIGHTS] = files[WEIGHTS][:-500]


HOSTILE = {
    of_another_network: "damaged or does not fit",
    of_another_recipe: "was trained with learning_rate 0.5, not 0.01",
    of_other_classes: "of another network or of other classes",
    cut_short: "weights",
}


@pytest.mark.parametrize("harm", HOSTILE, ids=lambda harm: harm.__name__)
def test_what_is_not_this_training_is_refused(harm: Callable[[dict[str, bytes]], None], hub: Hub, sent: Recipe) -> None:
    key = fingerprint(sent)
    files = files_of(hub, key)
    harm(files)
    hub.commit(NAME, {f"finished/{key}/{name}": data for name, data in files.items()}, kind="model")
    offer = look_up(sent)
    assert offer is not None
    with pytest.raises(UserError, match=HOSTILE[harm]) as refused:
        take(offer, sent)
    assert str(refused.value).startswith(f"{NAME}, finished/{key[:12]}…")
    assert "\n" not in str(refused.value)
    assert list_runs() == []
    heard = Heard()
    assert cli_finished.taken_instead(sent, "take", path=None, reporter=heard) is None  # then it is trained
    assert heard.notes[-1].startswith("not taken, training instead: ")


def test_what_arrives_damaged_is_refused(hub: Hub, sent: Recipe) -> None:
    offer = look_up(sent)
    assert offer is not None
    hub.damaged = {f"{offer.path}/{WEIGHTS}"}
    with pytest.raises(UserError, match=f"{WEIGHTS} is not what its commit lists"):
        take(offer, sent)
    assert list_runs() == []
    hub.damaged = {f"{offer.path}/metrics.json"}
    heard = Heard()
    assert look_up(sent, reporter=heard) is None
    assert "metrics.json is not what its commit lists" in heard.notes[0]


@pytest.mark.parametrize("text", ["[]", "{", '{"epoch": -1, "validation": {"mean_iou": 0.5}}', '{"epoch": 1}'])
def test_figures_that_are_none_are_refused(text: str, hub: Hub, sent: Recipe) -> None:
    key = fingerprint(sent)
    files = {**files_of(hub, key), "metrics.json": text.encode()}
    hub.commit(NAME, {f"finished/{key}/{name}": data for name, data in files.items()}, kind="model")
    with pytest.raises(UserError, match=r"metrics\.json is damaged; refused"):
        find(key)


# At the command line, in processes of their own.


@pytest.fixture
def homes(hub: Hub, python: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable:
    """Run a verb in a home of its own, against the Hub."""
    monkeypatch.undo()

    def run(name: str, *words: object, **variables: object) -> Any:
        usual = {
            "SEGMODELS_HOME": tmp_path / name, "SEGMODELS_HUB": NAME, "HF_ENDPOINT": hub.url,
            "HF_HOME": tmp_path / "hf", "HF_TOKEN": "hf_writing0000", "HF_HUB_DISABLE_XET": 1, "no_proxy": "127.0.0.1",
        }  # fmt: skip
        return python("-m", "segmodels", *words, **{**usual, **variables})

    return run


def words_of(recipe: dict[str, Any]) -> list[str]:
    return shlex.split(Recipe(**recipe).command())[3:]


def settled(home: Path, seconds: float = 60) -> None:
    """Wait until the sender of a home is done."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not list((home / "outbox").glob("*.json")) and not is_held(home / "outbox" / "lock"):
            return
        time.sleep(0.1)
    raise AssertionError((home / "outbox" / "log.txt").read_text())


def test_one_home_trains_and_another_takes_it(hub: Hub, homes: Callable, tmp_path: Path) -> None:
    recipe = {**TINY, "epochs": 2}
    trained = homes("first", *words_of(recipe), "--json")
    assert trained.returncode == 0, trained.stderr
    assert f"its best weights are sent to {NAME} in the background" in trained.stderr
    settled(tmp_path / "first")
    assert len(hub.pushes) == 1
    assert f"models/{NAME}" in hub.private
    assert b"# Finished trainings" in hub.files(NAME)["README.md"]

    told = homes("second", "cache", "find", *words_of(recipe)[1:], "--json")
    first = Run(json.loads(trained.stdout)["path"])
    assert json.loads(told.stdout)["offer"]["mean_iou"] == pytest.approx(first.status()["best"]["mean_iou"])

    taken = homes("second", *words_of(recipe), "--finished", "take", "--json")
    assert taken.returncode == 0, taken.stderr
    run = Run(json.loads(taken.stdout)["path"])
    assert run.path.parent == tmp_path / "second" / "runs"
    assert run.state == "finished"
    assert not (run.path / "steps.csv").exists()
    assert not (tmp_path / "second" / "prepared").exists()
    assert (run.best / WEIGHTS).read_bytes() == (first.best / WEIGHTS).read_bytes()
    assert not (tmp_path / "second" / "outbox").exists()  # what was taken is not sent back
    with (run.path / "metrics.csv").open() as rows:
        assert [row["epoch"] for row in csv.DictReader(rows)] == ["1", "2"]


def test_asked_without_a_terminal_it_says_so_and_trains(hub: Hub, sent: Recipe) -> None:
    heard = Heard()
    assert cli_finished.taken_instead(sent, "ask", path=None, reporter=heard) is None
    assert len(heard.notes) == 1
    assert f"this training was finished already: {NAME} has the weights (mean IoU 0." in heard.notes[0]
    assert heard.notes[0].endswith("; --finished take takes it instead of training again")
    assert cli_finished.taken_instead(sent, "ignore", path=None, reporter=heard) is None
    assert cli_finished.taken_instead(sent.model_copy(update={"seed": 1}), "ask", path=None, reporter=heard) is None
    assert len(heard.notes) == 1
    recipes = [sent.model_copy(update={"seed": seed}) for seed in (0, 1, 2)]
    assert not cli_finished.all_wanted(recipes, heard)
    assert heard.notes[-1].startswith("1 of 3 trainings were finished already")


@pytest.mark.parametrize(("answer", "taken"), [("y\n", True), ("Yes\n", True), ("\n", False), ("n\n", False)])
def test_in_a_terminal_it_asks(
    answer: str, taken: bool, hub: Hub, sent: Recipe, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    import io
    import sys

    typed = io.StringIO(answer)
    typed.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdin", typed)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    run = cli_finished.taken_instead(sent, "ask", path=None, reporter=Reporter())
    assert (run is not None) is taken
    assert "take it instead of training again? [y/N] " in capsys.readouterr().err


def test_take_needs_a_repository(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    from segmodels.cli import main

    monkeypatch.delenv("SEGMODELS_HUB", raising=False)
    assert main(["train", "--data", "toy-pets", "--finished", "take"]) == 2
    assert "--finished take needs a repository to look in: set SEGMODELS_HUB=owner/name" in capsys.readouterr().err
    assert main(["train", "--data", "toy-pets", "--finished", "steal"]) == 2
    assert main(["cache", "find", "--data", "toy-pets"]) == 2
    write_json(home / "settings.json", {"hub": "a/b/c"})
    assert main(["cache", "find", "--data", "toy-pets"]) == 2
    assert "give a repository of the Hub as owner/name" in capsys.readouterr().err


def test_a_comparison_takes_what_is_finished_and_trains_the_rest(
    sent: Recipe, tiny_run: Run, stand_ins: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Evaluations, timings and trainers are stand-ins; who takes is a process of its own."""
    verbs, ask = Verbs(tmp_path / "reports"), conducting._ask
    monkeypatch.setattr(conducting, "_ask", lambda words, look: (ask if words[0] == "cache" else verbs)(words, look))
    monkeypatch.setattr(conducting, "checkpoint_of", lambda entry, member: entry.run.best)
    monkeypatch.setattr(conducting, "LOOK", 0.05)
    comparison = Comparison.create(architecture_members(["unet:none"], sent, seeds=2), data="toy-pets")
    assert comparison.to_train() == [sent, sent.model_copy(update={"seed": 1})]
    heard = Heard()
    work = threading.Thread(target=lambda: conduct(comparison, take_finished=True, reporter=heard), daemon=True)
    work.start()
    wait(lambda: len([entry for entry in comparison.entries() if entry.run]) == 2)
    taken, trained = (entry.run for entry in comparison.entries())
    assert taken is not None
    assert trained is not None
    assert taken.state == "finished"
    assert trained.state in ("queued", "running")
    assert (taken.best / WEIGHTS).read_bytes() == (tiny_run.best / WEIGHTS).read_bytes()
    go(trained)
    work.join(60)
    assert comparison.state == "finished"
    assert heard.notes[:5] == [
        "queueing the runs",
        "looking for finished weights of unet",
        f"unet is taken as {taken.id}",
        "looking for finished weights of unet",
        "unet is trained",
    ]
    assert not (taken.path / "times.json").exists()
    first, second = comparison.entries()
    assert (first.state, second.state) == ("evaluated", "evaluated")
    assert first.training["device"] == tiny_run.status()["device"]
    assert first.training["epochs"] == TINY["epochs"]
    assert first.history == tiny_run.history()


def test_a_comparison_waits_once_for_a_hub_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def ask(words: list[str], look: Callable[[], None]) -> dict[str, Any]:
        asked.append(words)
        return {"run": None, "path": None, "reachable": False}

    monkeypatch.setattr(conducting, "_ask", ask)
    found = conducting.Finished(Reporter(), lambda: None)
    recipe = Recipe(**TINY)
    assert [found.run_of(recipe, "unet") for _ in range(3)] == [None] * 3
    assert asked == [["cache", "take", *words_of(TINY)[1:]]]


def test_a_comparison_in_a_process_of_its_own_knows_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(conducting, "start", lambda words, **_: started.append(words))
    comparison = Comparison.create(architecture_members(["unet:none"], Recipe(**TINY), 1), data="toy-pets")
    conducting.begin(comparison, take_finished=True)
    assert started[0][-2:] == ["--finished", "take"]


# On the pages.


def test_the_train_page_offers_and_takes(home: Path, tiny_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What looks and takes are stand-ins."""
    offer: dict[str, Any] = {"mean_iou": 0.78912, "bytes": 16_000_000}
    asked: list[tuple[str, ...]] = []

    def ask(kind: str, words: tuple[str, ...], **_: Any) -> Answer:
        if words[0] != "cache":
            return Answer("running")
        asked.append(words[:4])
        if words[1] == "find":
            return Answer("done", {"offer": offer})
        if not (home / "runs" / "taken").exists():
            without = shutil.ignore_patterns("samples", "steps.csv", "confusion.csv", "settled.json", "last", "lock")
            shutil.copytree(tiny_run.path, home / "runs" / "taken", ignore=without)
        return Answer("done", {"run": "taken"})

    monkeypatch.setattr("segmodels.worker.ask", ask)
    monkeypatch.delenv("SEGMODELS_HUB", raising=False)
    assert "inished weights" not in texts(opened("2_Train", part="New run"))
    assert asked == []
    monkeypatch.setenv("SEGMODELS_HUB", NAME)
    app = opened("2_Train", part="New run")
    assert asked[0] == ("cache", "find", "--data", "toy-pets")
    said = next(element.value for element in app.success)
    assert said == f"Finished weights of this recipe are at **{NAME}**: mean IoU 0.7891, 16.0 MB."
    widget(app.button, "Take them").click().run()
    assert not app.exception
    assert asked[-1][:2] == ("cache", "take")
    assert app.session_state["part"] == "Watch"
    assert app.session_state["run"] == "taken"


def test_the_form_of_a_comparison_says_that_they_are_taken(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[dict[str, Any]] = []
    monkeypatch.setattr("ui.comparison_form.begin", lambda comparison, *place, **more: begun.append(more))
    monkeypatch.setenv("SEGMODELS_HUB", NAME)
    app = opened("3_Compare")
    assert app.toggle(key="compare-finished").value
    assert any(block.value.endswith("--finished take") for block in app.code)
    app.toggle(key="compare-finished").set_value(False).run()
    assert not any("--finished" in block.value for block in app.code)
    app.toggle(key="compare-finished").set_value(True).run()
    app.button(key="compare-start").click().run()
    assert not app.exception
    assert begun == [{"take_finished": True}]
