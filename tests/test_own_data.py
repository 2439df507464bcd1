"""One's own data in every form: recognised, read alike, split; added, renamed, overridden and removed."""

from __future__ import annotations

import io
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from segmodels.data.add_upload import add_upload
from segmodels.data.dataset import SPLITS
from segmodels.data.datasets import data_name, list_datasets, open_dataset, portable_name
from segmodels.data.datasets.own import FORMS, open_own, recognise
from segmodels.data.datasets.pictures import files_below
from segmodels.data.own_data import add_folder, own_data, own_folder, own_names, remove, set_form, short_name
from segmodels.data.split import source_of
from segmodels.errors import UserError
from segmodels.files import being_written, replacing
from tests.own_forms import pictures, write_form


@pytest.mark.parametrize("form", list(FORMS))
def test_every_form_is_recognised_alone_and_read_alike(form: str, home: Path, tmp_path: Path) -> None:
    folder = write_form(form, tmp_path / "data")
    assert list(recognise(folder)) == [form]
    dataset = open_own(folder)
    named = [label.name for label in dataset.classes]
    assert len(named) == 3
    if form != "arrays":  # which hold no names
        assert named[1:] == ["cell", "gland"]
    samples = [sample for split in SPLITS for sample in dataset.samples(split)]
    assert len({sample.id for sample in samples}) == len(samples) == 12
    sides = [{source_of(sample) for sample in dataset.samples(split)} for split in SPLITS]
    assert [len(side) > 0 for side in sides] == [True, True, True]
    assert not sides[0] & sides[1]
    assert not sides[0] & sides[2]
    expected = pictures()
    for number, sample in enumerate(sorted(samples, key=lambda sample: sample.id)):
        image, mask = dataset.read(sample)
        _, painted, _, truth = expected[number]
        np.testing.assert_array_equal(mask, truth)
        if form != "voc":  # JPEG
            np.testing.assert_array_equal(image, painted)
        if dataset.has_instances:
            assert set(np.unique(dataset.read_instances(sample))) <= {0, 1, 2}
            np.testing.assert_array_equal(dataset.read_instances(sample) > 0, truth > 0)


def test_a_mixed_folder_asks_which(home: Path, tmp_path: Path) -> None:
    folder = write_form("masks", tmp_path / "data")
    write_form("coco", tmp_path / "coco")
    write_form("labelme", tmp_path / "labelme")
    for other in ("coco", "labelme"):
        shutil.copytree(tmp_path / other, folder, dirs_exist_ok=True)
    with pytest.raises(UserError, match=r"holds more than one form.*--form labelme|coco|masks"):
        open_own(folder)
    assert open_own(folder, form="masks").form == "masks"
    assert open_own(folder, form="coco").form == "coco"


def test_no_form_at_all(home: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing to see")
    with pytest.raises(UserError, match="no known form of a data set in it"):
        open_own(tmp_path)
    with pytest.raises(UserError, match=r"unknown form 'cocoa'.*did you mean 'coco'"):
        open_own(tmp_path, form="cocoa")
    with pytest.raises(UserError, match="no such folder"):
        open_own(tmp_path / "nowhere")


def test_a_folder_that_was_added_has_a_name(home: Path, tmp_path: Path) -> None:
    folder = write_form("via", tmp_path / "My Cells")
    name = add_folder(folder, folder.name)
    assert name == "own:my-cells"
    assert add_folder(folder, folder.name) == "own:my-cells-2"
    assert own_names() == ["own:my-cells", "own:my-cells-2"]
    dataset = open_dataset(name)
    assert (dataset.name, dataset.root) == (name, folder)
    row = next(row for row in list_datasets() if row["name"] == name)
    assert row["classes"] == ["background", "cell", "gland"]
    assert row["train"] + row["validation"] + row["test"] == 12
    remove(name)
    assert own_names() == ["own:my-cells-2"]
    assert (folder / "via_region_data.json").is_file(), "a folder of this machine is never deleted"
    with pytest.raises(UserError, match=r"no data set own:my-cells was added here \(own:my-cells-2\)"):
        open_dataset(name)


def test_an_upload_is_kept_and_removed_with_its_files(home: Path, tmp_path: Path) -> None:
    folder = write_form("labelme", tmp_path / "cells")
    archive = tmp_path / "Cells (1).zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(folder.iterdir()):
            packed.write(path, f"cells/{path.name}")
    with archive.open("rb") as file:
        name = add_upload(file, archive.name)
    assert name == "own:cells-1"
    assert own_data(name).folder == own_folder() / "cells-1"
    assert len(open_dataset(name).samples("train")) == 10
    set_form(name, "coco")
    with pytest.raises(UserError, match="no picture with COCO JSON"):
        open_dataset(name)
    set_form(name, None)
    assert open_dataset(name).description == "LabelMe JSON"
    remove(name)
    assert [path.name for path in own_folder().iterdir()] == [".lock"]


def test_an_upload_of_nothing_known_leaves_nothing(home: Path, tmp_path: Path) -> None:
    archive = tmp_path / "notes.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("notes.txt", "nothing to see")
    with pytest.raises(UserError, match=r"notes.zip holds no data set in a known form"):
        add_upload(archive, archive.name)
    assert not own_folder().exists() or not [p for p in own_folder().iterdir() if p.name != ".lock"]


def test_what_a_killed_upload_left_goes_after_a_day(home: Path, tmp_path: Path) -> None:
    left, at_work = own_folder() / ".0123.part", own_folder() / ".4567.part"
    for folder in (left, at_work):
        folder.mkdir(parents=True)
    os.utime(left, (0, 0))
    with pytest.raises(UserError, match=r"^nothing.zip"):
        add_upload(io.BytesIO(b"nothing"), "nothing.zip")
    assert not left.exists()
    assert at_work.exists()


def test_files_are_listed_as_paths_are_sorted_and_links_in_a_circle_are_passed_over(tmp_path: Path) -> None:
    for name in ("b/1.png", "b-2/1.png", "b.png", "a/é.png", "a/b/c.png", ".hidden/1.png", "__MACOSX/1.png", "a/.x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "loop").symlink_to("loop")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    names = ("b/1.png", "b-2/1.png", "b.png", "a/é.png", "a/b/c.png")
    assert files_below(tmp_path) == sorted(tmp_path / name for name in names)
    assert files_below(tmp_path / "nowhere") == []


@pytest.mark.parametrize("name", ["cells", "a**b", "[x]", "ü" * 120])
def test_what_is_being_written_is_known_by_its_name(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    assert not being_written(path)
    with replacing(path) as part:
        part.mkdir()
        assert being_written(path)
        assert not being_written(tmp_path / f"x{name[1:]}")
    assert path.is_dir()
    assert not being_written(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("con.zip", "con-data"),
        ("My Cells (2).zip", "my-cells-2"),
        ("Zellkerne_groß.tar.gz", "zellkerne-gro"),
        ("../../etc/passwd", "etc-passwd"),
        ("细胞", "data"),
        ("", "data"),
        ("x" * 500, "x" * 60),
    ],
)
def test_short_names(text: str, expected: str) -> None:
    assert short_name(text) == expected


def test_names_of_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kudzu").mkdir()
    monkeypatch.chdir(tmp_path)
    assert data_name("toy-pets") == portable_name("toy-pets") == "toy-pets"
    assert data_name("kudzu") == data_name("./kudzu") == str(tmp_path / "kudzu")
    assert data_name("/gone/My Cells") == "/gone/My Cells", "a run outlives its data"
    assert portable_name("/gone/My Cells") == "own:my-cells"
    for name in ("own:kudzu", "tfds:oxford_iiit_pet", "hf://datasets/owner/name@main"):
        assert data_name(name) == portable_name(name) == name
    for wrong in ("own:a b", "own:../x", "hf://datasets/owner", "tfds:"):
        with pytest.raises(UserError, match=r"is no name of a data set; write"):
            data_name(wrong)
    with pytest.raises(UserError, match=r"did you mean 'toy-pets'.*or name a folder of your own data"):
        data_name("toy-petz")
