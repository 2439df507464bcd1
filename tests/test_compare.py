"""Conducting a comparison, with stand-ins for trainers and for what evaluates: whoever is killed meanwhile."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segmodels import cli
from segmodels.data.dataset import Sample
from segmodels.data.datasets import open_dataset
from segmodels.errors import UserError
from segmodels.evaluation.compare import conduct as conducting
from segmodels.evaluation.compare.comparison import Comparison, find_comparison, list_comparisons
from segmodels.evaluation.compare.conduct import conduct
from segmodels.evaluation.compare.entries import Member
from segmodels.evaluation.compare.members import architecture_members, model_members, recipe_members
from segmodels.evaluation.compare.table import comparison_table
from segmodels.evaluation.picture_counts import PictureCounts
from segmodels.recipe import Recipe
from segmodels.training.launch import launch
from segmodels.training.reporter import Reporter
from segmodels.training.runs import Run, list_runs
from tests.stand_in import go, wait

RECIPE = Recipe(data="toy-pets", image_size=32, limit=8, epochs=1, options={"width": 4, "depth": 2})


_NAMES = ("pet", "background", "border")


class Verbs:
    """In place of the processes that evaluate and time a model; `failing` has what they say instead, by a run's id."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked, self.failing = folder, [], {}  # type: ignore[var-annotated]

    def __call__(self, words: list[str], look: Callable[[], None]) -> dict[str, Any]:
        look()
        run = Path(words[1]).parent.name
        self.asked.append((words[0], run))
        if run in self.failing:
            raise UserError(self.failing[run])
        if words[0] == "speed":
            return {"parameters": 1000, "keras_milliseconds": 2.5}
        assert words[2:] == ["--data", "toy-pets", "--split", "test", "--at", "native", "--masks"]
        counts = PictureCounts(3)
        for sample in open_dataset("toy-pets").samples("test"):
            counts.add(sample.id, np.eye(3, dtype=np.int64) * 50, np.zeros((3, 7), np.int64), None)
        place = self.folder / run
        counts.save(place / "pictures.npz")
        figures = ("iou", "dice", "precision", "recall", "boundary_iou", "boundary_f1")
        classes = [{"name": name, **dict.fromkeys(figures, 1.0), "pixels": 2000} for name in _NAMES]
        whole = ("loss", "pixel_accuracy", "mean_iou", "mean_dice", "precision", "recall", "f1", "mse")
        document = {
            **dict.fromkeys(whole, 1.0), "images_per_second": 9.0,
            "model": words[1], "data": "toy-pets", "split": "test", "at": "native", "images": len(counts),
            "classes": classes, "confusion_matrix": counts.total.tolist(), "instances": None,
            "boundary": {"width": None, "iou": 1.0, "f1": 1.0}, "calibration": {"ece": 0.0, "bins": []},
            "report": str(place),
        }  # fmt: skip
        (place / "report.json").write_text(json.dumps(document))
        return document


@pytest.fixture
def verbs(stand_ins: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Verbs:
    made = Verbs(tmp_path / "reports")
    monkeypatch.setattr(conducting, "_ask", made)
    monkeypatch.setattr(conducting, "checkpoint_of", lambda entry, member: entry.run.best)
    monkeypatch.setattr(conducting, "LOOK", 0.05)
    return made


def compared(architectures: tuple[str, ...] = ("unet", "segnet", "pspnet"), seeds: int = 1) -> Comparison:
    return Comparison.create(architecture_members(architectures, RECIPE, seeds), data="toy-pets", title="Three")


class Conducting(threading.Thread):
    """`conduct` at work beside the test."""

    def __init__(self, comparison: Comparison) -> None:
        super().__init__(daemon=True)
        self.comparison, self.asked, self.phases, self.result = comparison, threading.Event(), [], None  # type: ignore[var-annotated]
        self.start()

    def run(self) -> None:
        phases = self.phases

        class Phases(Reporter):
            def note(self, text: str) -> None:
                phases.append(text)

        self.result = conduct(self.comparison, reporter=Phases(), stop=self.asked.is_set)

    def end(self) -> Any:
        self.join(60)
        return self.result


@pytest.fixture
def conducted() -> Iterator[list[Conducting]]:
    made: list[Conducting] = []
    yield made
    for each in made:
        each.asked.set()
        each.join(60)


def begin(comparison: Comparison, conducted: list[Conducting]) -> Conducting:
    conducted.append(Conducting(comparison))
    return conducted[-1]


def runs_of(comparison: Comparison) -> list[Run]:
    return [entry.run for entry in comparison.entries() if entry.run]


def test_all_runs_are_queued_trained_evaluated_and_timed(verbs: Verbs, conducted: list[Conducting]) -> None:
    comparison = compared(("unet", "segnet"), seeds=2)
    work = begin(comparison, conducted)
    wait(lambda: len(runs_of(comparison)) == 4)
    wait(lambda: comparison.status().get("phase", "").startswith("training unet"))
    assert comparison.state == "running"
    assert comparison.locked()
    runs = runs_of(comparison)
    assert [run.recipe.seed for run in runs] == [RECIPE.seed, RECIPE.seed + 1] * 2
    assert [run.recipe.architecture for run in runs] == ["unet", "unet", "segnet", "segnet"]
    assert {run.recipe.epochs for run in runs} == {1}
    with pytest.raises(UserError, match="conducted by another process"):
        conduct(comparison)
    assert verbs.asked == [], "nothing is evaluated while something trains"
    go(*runs)
    assert work.end() == "finished"
    assert [phase for phase in work.phases if phase.startswith(("evaluating", "timing"))] == [
        "evaluating unet", "evaluating segnet", "timing unet", "timing segnet",
    ]  # fmt: skip
    assert [entry.state for entry in comparison.entries()] == ["evaluated"] * 4
    ids = [run.id for run in runs]
    assert verbs.asked == [*[("evaluate", run) for run in ids], ("speed", ids[0]), ("speed", ids[2])], "once a member"
    first = comparison.entry(0, 0)
    assert first.report is not None
    assert first.report.counts.ids == [f"test-{number:04d}" for number in range(40)]
    assert first.speed["parameters"] == 1000
    assert first.training["run"] == ids[0]
    assert first.recipe["architecture"] == "unet"
    assert first.checkpoint == runs[0].best
    assert comparison.state == "finished"
    assert conduct(comparison) == "finished"
    assert len(verbs.asked) == 6, "what is done is not done again"


def finished(verbs: Verbs, conducted: list[Conducting]) -> Comparison:
    comparison = compared(("unet",))
    work = begin(comparison, conducted)
    wait(lambda: runs_of(comparison))
    go(*runs_of(comparison))
    assert work.end() == "finished"
    return comparison


def model(name: str) -> Member:
    return Member(name, None, name)


def test_one_that_fails_is_a_row_with_its_reason(verbs: Verbs, conducted: list[Conducting]) -> None:
    comparison = compared()
    work = begin(comparison, conducted)
    wait(lambda: len(runs_of(comparison)) == 3)
    first, second, third = runs_of(comparison)
    verbs.failing[second.id] = "no usable picture in the test split of toy-pets"
    wait(lambda: third.status().get("waiting_for"))
    third.request("stop")
    go(first, second)
    assert work.end() == "finished"
    found = comparison.entries()
    assert [entry.state for entry in found] == ["evaluated", "failed", "failed"]
    assert found[1].said == "no usable picture in the test split of toy-pets"
    assert "its training was" in found[2].said
    assert "go on with the comparison" in found[2].said
    verbs.failing.clear()
    go(third)
    assert begin(comparison, conducted).end() == "finished"  # what failed is tried again
    assert [entry.state for entry in comparison.entries()] == ["evaluated"] * 3
    assert len(list_runs()) == 3, "and no run is made a second time"


def test_it_is_stopped_and_goes_on(verbs: Verbs, conducted: list[Conducting]) -> None:
    comparison = compared(("unet", "segnet"))
    work = begin(comparison, conducted)
    wait(lambda: len(runs_of(comparison)) == 2 and runs_of(comparison)[0].state == "running")
    comparison.request_stop()
    assert work.end() == "stopped"
    assert comparison.state == "stopped"
    assert not comparison.locked()
    assert [run.state for run in runs_of(comparison)] == ["paused", "paused"]
    with pytest.raises(UserError, match="nothing to stop"):
        comparison.request_stop()
    go(*runs_of(comparison))
    assert begin(comparison, conducted).end() == "finished"
    assert [entry.state for entry in comparison.entries()] == ["evaluated"] * 2
    assert len(list_runs()) == 2


def test_a_process_that_is_gone_leaves_runs_that_go_on(
    verbs: Verbs, conducted: list[Conducting], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a SIGKILL: the trainers go on by themselves, and the next process takes up what it finds."""
    comparison = compared(("unet", "segnet"))

    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(conducting, "revive", die)
        with pytest.raises(Killed):
            conduct(comparison)
    assert comparison.state == "interrupted"
    runs = runs_of(comparison)
    assert len(runs) == 2
    go(*runs)
    wait(lambda: all(run.state == "finished" for run in runs))
    assert conduct(find_comparison(comparison.id)) == "finished"
    assert [run.path for run in runs_of(comparison)] == [run.path for run in runs]


def test_a_run_that_was_made_but_not_queued_is_not_made_again(verbs: Verbs, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = compared(("unet",))

    class Killed(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("segmodels.training.launch._queue", die)
        with pytest.raises(Killed):
            conduct(comparison)
    (run,) = runs_of(comparison)
    go(run)
    assert conduct(comparison) == "finished"
    assert len(list_runs()) == 1
    assert comparison.entry(0, 0).state == "evaluated"


def test_a_run_that_is_still_going_is_a_row_with_its_reason(verbs: Verbs) -> None:
    run = launch(RECIPE)
    wait(lambda: run.state == "running")
    comparison = Comparison.create([Member("mine", None, str(run.path))], data="toy-pets")
    # A run has no best epoch before its first: here it has.
    (run.best).mkdir()
    (run.best / "segmodels.json").write_text("{}")
    assert conduct(comparison) == "finished"
    (entry,) = comparison.entries()
    assert entry.state == "failed"
    assert "compare it once it has ended" in entry.said
    go(run)


def test_members_of_one_recipe_differ_in_nothing_but_the_network(home: Path) -> None:
    base = Recipe(data="toy-pets", architecture="unet", epochs=7, image_size=256, learning_rate=0.02, loss="dice")
    members = architecture_members(["unet", "deeplabv3+:mobilenetv2", "segformer", "pix2pix"], base, 3)
    assert [member.name for member in members] == [
        "unet", "deeplabv3+ on mobilenetv2", "segformer on mit-b0", "pix2pix",
    ]  # fmt: skip
    recipes = [Recipe(**member.recipe) for member in members]  # type: ignore[arg-type]
    for recipe in recipes:
        assert (recipe.epochs, recipe.image_size, recipe.learning_rate, recipe.loss) == (7, 256, 0.02, "dice")
    assert [recipe.weights for recipe in recipes] == ["none", "imagenet", "imagenet", "none"]
    assert recipes[3].adversarial_weight == 1.0
    assert recipes[0].adversarial_weight == 0.0
    assert {len(member.runs) for member in members} == {3}


def test_models_are_called_by_their_network_unless_two_have_the_same(tiny_run: Run, tmp_path: Path) -> None:
    other = Path(shutil.copytree(tiny_run.best, tmp_path / "other"))
    assert [member.name for member in model_members([str(other), str(other)])] == ["unet"]
    names = [member.name for member in model_members([str(tiny_run.path), str(other)])]
    assert names == [f"unet ({tiny_run.path})", f"unet ({other})"]
    assert model_members([str(other)], [model("unet")])[0].name == f"unet ({other})"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: architecture_members(["unett"], RECIPE, 1), "did you mean 'unet'"),
        (lambda: architecture_members(["unet:resnet5"], RECIPE, 1), "resnet5"),
        (lambda: recipe_members(["pets-best"], "toy-nuclei", None, 1), "whose classes are not those of toy-nuclei"),
        (lambda: recipe_members(["pets-bst"], "toy-pets", None, 1), "did you mean 'pets-best'"),
        (lambda: model_members(["nowhere"]), "neither a checkpoint directory nor a run"),
        (lambda: Comparison.create([], data="toy-pets"), "nothing to compare"),
        (lambda: Comparison.create([model("a"), model("a")], data="toy-pets"), "two of the compared"),
        (lambda: Comparison.create([model("a")], data="toy-pet"), "did you mean 'toy-pets'"),
        (lambda: Comparison.create([model("a")], data="toy-pets", split="tests"), "did you mean 'test'"),
        (lambda: Comparison.create([Member("a", None, "m", (None,) * 21)], data="toy-pets"), "up to 64 members"),
        (lambda: find_comparison("20200101-nothing"), "there is no comparison"),
        (lambda: find_comparison("../../etc"), "there is no comparison"),
    ],
)
def test_what_cannot_be_compared(home: Path, make: Callable[[], Any], words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_a_copy_that_was_cut_off_is_made_anew(verbs: Verbs, conducted: list[Conducting]) -> None:
    comparison = finished(verbs, conducted)
    entry = comparison.entry(0, 0)
    for name in ("pictures.npz", "report.json"):
        file = entry.folder / name
        file.write_bytes(file.read_bytes()[:100])
        before = len(verbs.asked)
        assert conduct(comparison) == "finished"
        assert verbs.asked[before:] == [("evaluate", entry.run.id)]  # type: ignore[union-attr]
        assert entry.report is not None
        assert len(entry.report.counts) == 40


def test_a_timing_that_failed_is_tried_again(verbs: Verbs, conducted: list[Conducting]) -> None:
    comparison = finished(verbs, conducted)
    entry = comparison.entry(0, 0)
    (entry.folder / "speed.json").write_text('{"error": "its process was killed"}')
    before = len(verbs.asked)
    assert conduct(comparison) == "finished"
    assert verbs.asked[before:] == [("speed", entry.run.id)]  # type: ignore[union-attr]
    assert entry.speed["parameters"] == 1000


def test_a_comparison_that_was_deleted_is_not_made_again(home: Path) -> None:
    comparison = compared(("unet",))
    entry = comparison.entry(0, 0)
    shutil.rmtree(comparison.path)
    acts: list[Callable[[], object]] = [lambda: comparison.fail(entry, "x"), lambda: conduct(comparison)]
    for act in (*acts, lambda: comparison.write_status(state="x")):
        with pytest.raises(UserError, match="there is no comparison"):
            act()
    assert not comparison.path.exists()


def test_a_stop_while_it_starts_holds(
    verbs: Verbs, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    comparison = compared(("unet",))
    monkeypatch.setattr(conducting, "start", lambda *_, **__: None)
    conducting.begin(comparison)
    comparison.request_stop()
    assert cli.main(["compare", "--resume", comparison.id]) == 0
    assert comparison.state == "stopped"
    assert "stopped: python -m segmodels compare --resume" in capsys.readouterr().out


def test_it_is_split_as_the_first_of_its_members(home: Path) -> None:
    recipe = RECIPE.model_copy(update={"split_seed": 7})
    comparison = Comparison.create(architecture_members(["unet"], recipe, 1), data="toy-pets")
    assert find_comparison(comparison.id).dataset().split_seed == 7


def test_a_run_of_another_split_is_said_to_be(
    verbs: Verbs, conducted: list[Conducting], monkeypatch: pytest.MonkeyPatch
) -> None:
    comparison = compared(("unet",))

    class Less:
        def samples(self, split: str) -> list[Sample]:
            return open_dataset("toy-pets").samples(split)[:30]

    with monkeypatch.context() as patch:
        patch.setattr(Comparison, "dataset", lambda _: Less())
        work = begin(comparison, conducted)
        wait(lambda: runs_of(comparison))
        go(*runs_of(comparison))
        assert work.end() == "finished"
    assert comparison.entry(0, 0).other_pictures == 10
    (row,) = comparison_table(comparison).rows
    assert row.said.startswith("evaluated on 10 pictures of its own split")


def test_a_path_of_a_model_means_the_same_from_anywhere(tiny_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGMODELS_HOME", str(tiny_run.path.parents[1]))
    monkeypatch.chdir(tiny_run.path.parent)
    (by_path,) = model_members([f"./{tiny_run.id}"])
    assert by_path.model == str(tiny_run.path)
    monkeypatch.chdir("/")
    names = [tiny_run.id, f"{tiny_run.id}@3"]
    assert [member.model for member in model_members(names)] == names


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--architectures", "unet", "--devices", "nonsense"], "nonsense"),
        (["--architectures", "unet", "--report", "/"], "cannot be written"),
        (["--architectures", "unet", "--report", "/dev/null/x.html"], "cannot be written"),
        (["--architectures", "unet", "--seeds", "0"], "from 1 to 20"),
        (["--architecture", "unet"], "write --architectures"),
        (["--resume", "x", "--seeds", "2"], "leave --seeds out"),
        (["--resume", "x", "--at", "model"], "leave --at out"),
        ([], "nothing to compare"),
    ],
)
def test_mistakes_of_the_command_are_one_line(
    home: Path, capsys: pytest.CaptureFixture[str], words: list[str], expected: str
) -> None:
    data = [] if "--resume" in words else ["--data", "toy-pets"]
    assert cli.main(["compare", *data, *words]) == 2
    said = capsys.readouterr().err
    assert expected in said
    assert said.count("\n") == 1
    assert list_comparisons() == []


@pytest.mark.parametrize(
    "change",
    [
        {"runs": [5]}, {"runs": []}, {"runs": "ab\0"}, {"model": 3}, {"model": "x"}, {"recipe": "x"}, {"recipe": []},
        {"recipe": {"seed": "abc"}}, {"recipe": None}, {"name": 4}, {"extra": 1}, {"runs": [None] * 21},
    ],
    ids=str,
)  # fmt: skip
def test_members_that_make_no_sense_are_damage(home: Path, change: dict[str, Any]) -> None:
    comparison = compared(("unet",))
    document = json.loads((comparison.path / "comparison.json").read_text())
    document["members"][0].update(change)
    (comparison.path / "comparison.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match="is damaged"):
        find_comparison(comparison.id)
    assert list_comparisons() == []


def test_a_foreign_comparison_reaches_nothing_outside_of_it(home: Path, tmp_path: Path) -> None:
    run = Run.create(RECIPE, tmp_path / "mine")
    comparison = compared(("unet",))
    document = json.loads((comparison.path / "comparison.json").read_text())
    document["members"][0]["runs"] = [str(run.path)]
    (comparison.path / "comparison.json").write_text(json.dumps(document))
    assert find_comparison(comparison.id).entry(0, 0).run is None
    elsewhere = Path(shutil.copytree(comparison.path, tmp_path / "elsewhere"))
    link = comparison.path.parent / "link"
    link.symlink_to(elsewhere)
    for name in (str(elsewhere), "link"):
        with pytest.raises(UserError, match="not among the comparisons of this home"):
            find_comparison(name).delete()
    assert (elsewhere / "comparison.json").is_file()


@pytest.mark.parametrize("damage", ["{}", "[]", "nothing", '{"title": 1, "created": "x"}'])
def test_a_damaged_comparison_is_said_and_does_not_hide_the_others(home: Path, damage: str) -> None:
    first, second = compared(), compared()
    (first.path / "comparison.json").write_text(damage)
    assert [comparison.id for comparison in list_comparisons()] == [second.id]
    with pytest.raises(UserError, match=r"damaged|not a valid JSON"):
        find_comparison(first.id)
    (second.path / "status.json").write_text(damage)
    assert second.state == "interrupted"
    second.delete()
    assert list_comparisons() == []
