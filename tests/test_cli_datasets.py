"""`python -m segmodels datasets …`: documents, tables, exit codes, and split files that other verbs take."""

from __future__ import annotations

import json
import shutil
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from segmodels.cli import main
from segmodels.data.dataset import SPLITS
from segmodels.data.datasets import open_dataset
from tests.own_forms import write_form
from tests.small_pets import write_small_pets


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    return write_small_pets(tmp_path / "pets")


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def document(capsys: pytest.CaptureFixture[str], *words: object) -> Any:
    code, out, err = run(capsys, *words, "--json")
    assert code == 0, err
    return json.loads(out)


def test_verify_tells_every_finding_and_is_no_failure(
    pets: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pets / "images" / "Xyz_0.jpg").write_bytes(b"")
    found = document(capsys, "datasets", "verify", "oxford-pets", "--root", pets)
    assert {(row["kind"], row["where"]) for row in found["findings"]} == {
        ("unlisted", "images/Xyz_10.jpg"),
        ("unlisted", "annotations/trimaps/Xyz_10.png"),
        ("truncated", "images/Xyz_0.jpg"),
    }
    assert found["counts"] == {"unlisted": 2, "truncated": 1}
    assert (found["samples"]["test"], found["usable"]["test"]) == (3, 2)
    code, out, err = run(capsys, "datasets", "verify", "oxford-pets", "--root", pets)
    assert code == 0
    assert out.splitlines()[0].split() == ["split", "kind", "file", "what", "action"]
    assert "2 of 3 in test" in out
    assert err == ""  # kept from the first time: nothing to wait for
    code, _, err = run(capsys, "datasets", "verify", "oxford-pets", "--root", pets, "--again")
    assert code == 0
    assert "checking pictures: done" in err


def test_verify_fails_only_where_nothing_is_usable(pets: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (pets / "images").iterdir():
        path.write_bytes(b"")
    code, out, _ = run(capsys, "datasets", "verify", "oxford-pets", "--root", pets, "--json")
    assert code == 2
    assert json.loads(out)["usable"] == {"train": 0, "validation": 0, "test": 0}
    code, out, err = run(capsys, "datasets", "statistics", "oxford-pets", "--root", pets)
    assert code == 0
    assert "0 of 5 train pictures" in out
    assert "not used" in out
    assert "Traceback" not in err


def test_statistics_of_a_split(pets: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "datasets", "statistics", "oxford-pets", "--root", pets, "--split", "test")
    assert (found["split"], found["samples"], found["pixels"]) == ("test", 3, 3600)
    assert [row["share"] for row in found["classes"]] == [0.25, 0.5, 0.25]
    weights = [row["weights"]["inverse frequency"] for row in found["classes"]]
    assert weights == pytest.approx([1.2, 0.6, 1.2])
    code, out, _ = run(capsys, "datasets", "statistics", "oxford-pets", "--root", pets)
    assert code == 0
    assert "width 40 to 40" in out
    assert "1.2000" in out


def test_split_by_expression_is_a_file_that_verify_takes(
    pets: Path, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "split.json"
    words = ("datasets", "split", "oxford-pets", "--root", pets, "--out", out)
    found = document(capsys, *words, "--by", "^[A-Za-z]+", "--shares", "0.5,0,0.5")
    assert [(row["split"], row["pictures"], row["sources"]) for row in found["splits"]] == [
        ("train", 5, 1), ("test", 5, 1)
    ]  # fmt: skip
    written = json.loads(out.read_text())
    assert (written["by"], written["seed"], written["data"]) == ("^[A-Za-z]+", 0, "oxford-pets")
    assert {name.partition("_")[0] for name in written["splits"]["train"]} in ({"Abc"}, {"Xyz"})
    dataset = open_dataset("oxford-pets", pets, split_file=out)
    assert [len(dataset.samples(split)) for split in SPLITS] == [5, 0, 5]
    report = document(capsys, "datasets", "verify", "oxford-pets", "--root", pets, "--split-file", out)
    assert report["samples"] == {"train": 5, "validation": 0, "test": 5}

    first = document(capsys, *words, "--by", "image")
    assert [row["pictures"] for row in first["splits"]] == [8, 1, 1]
    before = out.read_bytes()
    document(capsys, *words, "--by", "image")
    assert out.read_bytes() == before
    document(capsys, *words, "--by", "image", "--seed", 1)
    assert out.read_bytes() != before


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["verify", "toy-pet"], "did you mean 'toy-pets'"),
        (["verify", "/no/such/folder"], "/no/such/folder"),
        (["statistics", "toy-pets", "--split", "tests"], "did you mean 'test'"),
        (["split", "toy-pets"], "--out"),
        (["split", "toy-pets", "--out", "split.json", "--shares", "1"], "--shares 1"),
        (["split", "toy-pets", "--out", "split.json", "--shares", "0,1,0"], "--shares 0,1,0"),
        (["split", "toy-pets", "--out", "split.json", "--shares", "nan,1,1"], "--shares nan"),
        (["split", "toy-pets", "--out", "split.json", "--seed", "-1"], "seed"),
        (["split", "toy-pets", "--out", "split.json", "--by", "("], "'('"),
        (["split", "toy-pets", "--out", "split.json", "--by", "nowhere"], "finds no source"),
        (["split", "toy-pets", "--out", "."], "is a folder"),
        (["verify", "toy-pets", "--split-file", "gone.json"], "gone.json"),
        (["convert", "toy-pets", "out"], "--to"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_one_line(
    words: list[str], expected: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, "datasets", *words)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert expected in err
    assert not list(tmp_path.glob("*.json"))


def test_convert_hands_over_what_was_asked(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The converting has its own tests; here it is only the call."""
    asked: list[Any] = []

    def convert(dataset: Any, out: Path, to: str, *, progress: Any = None, stop: Any = None) -> dict[str, Any]:
        progress(1, 1, "writing")
        asked.append((dataset.name, out, to))
        return {"form": to}

    module = types.ModuleType("segmodels.data.convert")
    module.convert = convert  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "segmodels.data.convert", module)
    assert document(capsys, "datasets", "convert", "toy-pets", tmp_path / "out", "--to", "coco") == {"form": "coco"}
    assert asked == [("toy-pets", tmp_path / "out", "coco")]


def test_list_and_prepare_as_before(pets: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = {row["name"]: row for row in document(capsys, "datasets", "list")}
    assert rows["toy-nuclei"]["train"] == 240
    found = document(capsys, "datasets", "prepare", "oxford-pets", "--root", pets, "--image-size", 32)
    assert [(row["split"], row["pictures"]) for row in found["splits"]] == [
        ("train", 5), ("validation", 2), ("test", 3)
    ]  # fmt: skip
    shutil.rmtree(home)


def test_slides_are_prepared_at_their_own_size(
    home: Path, data_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = data_folder / "monuseg"
    found = document(capsys, "datasets", "prepare", "monuseg", "--root", root, "--image-size", 256)
    # Slides of 1000 x 1000 pixels: 4 x 4 tiles each.
    assert [(row["split"], row["pictures"], row["tiles"]) for row in found["splits"]] == [
        ("train", 11, 176), ("validation", 2, 32), ("test", 6, 96)
    ]  # fmt: skip
    stored = sum(path.stat().st_size for path in (home / "prepared").rglob("images.bin"))
    assert stored == 19 * 1000 * 1000 * 3, "every pixel once"


def test_a_form_is_converted_and_back(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_form("via", tmp_path / "via")
    for form, made in (("labelme", "a"), ("coco", "b"), ("voc", "c"), ("masks", "d")):
        report = document(capsys, "datasets", "convert", folder, tmp_path / made, "--to", form)
        assert (report["form"], report["left_out"]) == (form, [])
        folder = tmp_path / made
    first, last = open_dataset(str(tmp_path / "via")), open_dataset(str(tmp_path / "d"))
    assert [label.name for label in last.classes] == ["background", "cell", "gland"]
    for split in SPLITS:
        pairs = zip(first.samples(split), last.samples(split), strict=True)
        assert all((first.read_mask(a) == last.read_mask(b)).all() for a, b in pairs)
