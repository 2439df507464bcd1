"""Sets of TensorFlow Datasets: its own Oxford pets, prepared by it from archives made here, are the official ones."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, needed

from segmodels.data.datasets.oxford_pets import OxfordPets
from segmodels.data.datasets.tfds import download_tfds, open_tfds, tfds_names
from segmodels.errors import UserError

#: TensorFlow Datasets encodes these anew, "mostly wrong format", so their pixels are nearly the same.
ENCODED_ANEW = {"Abyssinian_5"}

#: Run in a process of its own, where TensorFlow may load. As in the tests of TensorFlow Datasets itself, only its
#: download is replaced: what it would have downloaded is extracted from the archives in the folder given.
BRING = """
import contextlib, json, sys
from pathlib import Path
from unittest import mock
import numpy as np
from segmodels.data.datasets import tfds as sets
from segmodels.errors import UserError

archives, report = Path(sys.argv[1]), {"steps": [], "errors": {}}
library = sets._library("a test")

def extracted(manager, urls):
    return manager.extract({key: str(archives / Path(url).name) for key, url in urls.items()})

class TinyScenes(library.core.GeneratorBasedBuilder):
    VERSION = library.core.Version("1.2.3")
    def _info(self):
        features = library.features.FeaturesDict({
            "left": library.features.Image(shape=(4, 6, 3)),
            "depth": library.features.Image(shape=(4, 6, 1)),
            "seen": library.features.LabeledImage(labels=["sky", "road", "car"], shape=(4, 6, 1)),
            "objects": library.features.Sequence({"area": library.features.Scalar(np.int64)}),
        })
        return library.core.DatasetInfo(builder=self, features=features, description="Scenes,\\nsmall.")
    def _split_generators(self, manager):
        return {"train": self._generate_examples(5), "validation": self._generate_examples(2)}
    def _generate_examples(self, count):
        for number in range(count):
            pixels = np.full((4, 6, 3), 10 * number, np.uint8)
            yield number, {"left": pixels, "depth": pixels[..., :1], "seen": pixels[..., :1] // 10 % 3,
                           "objects": [{"area": 1}]}

def error_of(name, **options):
    try:
        sets.download_tfds(name, **options)
    except UserError as error:
        report["errors"][name] = str(error)

with mock.patch("tensorflow_datasets.core.download.DownloadManager.download_and_extract", extracted):
    error_of("tfds:oxford_iiit_pet:4.0.0", stop=lambda: True)
    report["left"] = [str(path) for path in Path(sys.argv[2]).rglob("*") if path.is_file() and path.suffix != ".lock"]
    if sys.argv[3] == "tfrecord":  # what somebody has prepared before, in the library's own default
        with contextlib.redirect_stdout(sys.stderr):
            library.builder("oxford_iiit_pet").download_and_prepare()
    report["folder"] = str(sets.download_tfds("tfds:oxford_iiit_pet", lambda *step: report["steps"].append(step)))
    stated = Path(report["folder"], "index.json").stat().st_mtime_ns
    sets.download_tfds("tfds:oxford_iiit_pet")
    report["once"] = Path(report["folder"], "index.json").stat().st_mtime_ns == stated
sets.download_tfds("tfds:tiny_scenes:1.2.3")
for name in ("tfds:mnist", "tfds:no_such_set", "tfds:cityscapes", "tfds:oxford_iiit_pet:0.0.1"):
    error_of(name)
print("written by the library")
Path(sys.argv[2], "report.json").write_text(json.dumps(report))
"""


def subset(official: Path, folder: Path, step: int) -> Path:
    """A part of the official pets in their own layout: every `step`-th picture, and those encoded anew."""
    annotations = folder / "annotations"
    for part in ("images", "annotations/trimaps", "annotations/xmls"):
        (folder / part).mkdir(parents=True)
    for name in ("trainval.txt", "test.txt"):
        lines = (official / "annotations" / name).read_text().splitlines()
        kept = [line for i, line in enumerate(lines) if i % step == 0 or line.split(" ")[0] in ENCODED_ANEW]
        (annotations / name).write_text("".join(f"{line}\n" for line in kept))
        for line in kept:
            pet = line.split(" ")[0]
            shutil.copy(official / "images" / f"{pet}.jpg", folder / "images")
            shutil.copy(official / "annotations" / "trimaps" / f"{pet}.png", annotations / "trimaps")
            if (outline := official / "annotations" / "xmls" / f"{pet}.xml").is_file():
                shutil.copy(outline, annotations / "xmls")
    return folder


def brought(folder: Path, official: Path, step: int, prepared: str) -> dict:
    """The report of `BRING` on a subset of the pets, with all it writes in `folder`; the pets are in `folder/pets`."""
    pets = subset(official, folder / "pets", step)
    for part in ("images", "annotations"):
        with tarfile.open(folder / f"{part}.tar.gz", "w:gz", compresslevel=1) as archive:
            archive.add(pets / part, part)
    places = {"SEGMODELS_HOME": str(folder / "home"), "TFDS_DATA_DIR": str(folder / "tfds"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", BRING, str(folder), str(folder / "home"), prepared],
        capture_output=True, text=True, env={**os.environ, **places}, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == "written by the library\n"  # a verb with --json prints its document alone
    return json.loads((folder / "home" / "report.json").read_text())


def assert_equal_pets(pets: Path, split_seed: int, *, pixels: bool) -> None:
    ours, theirs = OxfordPets(pets, split_seed=split_seed), open_tfds("tfds:oxford_iiit_pet", split_seed=split_seed)
    assert theirs.classes == ours.classes
    anew = set()
    for split in ("train", "validation", "test"):
        assert theirs.samples(split) == ours.samples(split)
        for mine, other in zip(ours.samples(split), theirs.samples(split), strict=True) if pixels else ():
            (image, mask), (their_image, their_mask) = ours.read(mine), theirs.read(other)
            np.testing.assert_array_equal(their_mask, mask)
            if not np.array_equal(their_image, image):
                anew.add(mine.id)
                assert np.abs(their_image.astype(int) - image).mean() < 4
            assert theirs.inspect(other) == []
    assert anew <= ENCODED_ANEW
    assert theirs.inspect_files() == []


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """A tenth of the pets brought through TensorFlow Datasets once for all tests here, and what was noted then."""
    folder = tmp_path_factory.mktemp("tfds")
    return folder, brought(folder, needed("SEGMODELS_DATA") / "oxford-iiit-pet", 10, "nothing")


@pytest.fixture
def pets(imported: tuple[Path, dict], monkeypatch: pytest.MonkeyPatch) -> tuple[Path, dict]:
    monkeypatch.setenv("SEGMODELS_HOME", str(imported[0] / "home"))
    return imported


def test_the_pets_of_tensorflow_datasets_are_the_official_ones(pets: tuple[Path, dict]):
    folder, report = pets
    assert report["folder"] == str(folder / "home" / "data" / "tfds" / "oxford_iiit_pet")
    assert_equal_pets(folder / "pets", 0, pixels=True)
    assert_equal_pets(folder / "pets", 7, pixels=False)


def test_stored_bytes_are_kept(pets: tuple[Path, dict]):
    folder, _ = pets
    opened = open_tfds("tfds:oxford_iiit_pet")
    for sample in opened.samples("test"):
        official = folder / "pets" / "annotations" / "trimaps" / f"{sample.id}.png"
        assert sample.mask_path.read_bytes() == official.read_bytes()
        if sample.id not in ENCODED_ANEW:
            assert sample.image_path.read_bytes() == (folder / "pets" / "images" / f"{sample.id}.jpg").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("prepared", ["nothing", "tfrecord"])
def test_all_pets_at_hand(data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prepared: str):
    brought(tmp_path, data_folder / "oxford-iiit-pet", 1, prepared)
    monkeypatch.setenv("SEGMODELS_HOME", str(tmp_path / "home"))
    assert len(open_tfds("tfds:oxford_iiit_pet").samples("test")) == 253
    assert_equal_pets(tmp_path / "pets", 0, pixels=True)


def test_opening_loads_no_tensorflow(pets: tuple[Path, dict], python: Callable):
    code = (
        "import sys\n"
        "from segmodels.data.datasets.tfds import open_tfds\n"
        "data = open_tfds('tfds:oxford_iiit_pet')\n"
        "print(data.read(data.samples('test')[0])[1].max())\n"
        "print(sorted(name for name in sys.modules if name.partition('.')[0] in "
        "('tensorflow', 'tensorflow_datasets', 'keras', 'array_record', 'pyarrow')))"
    )
    assert python("-c", code, SEGMODELS_HOME=pets[0] / "home").stdout.split("\n")[:2] == ["2", "[]"]


def test_progress_is_told_and_an_import_is_made_once(pets: tuple[Path, dict]):
    steps = pets[1]["steps"]
    count = len(list((pets[0] / "pets" / "images").iterdir()))
    assert steps[-1] == [count, count, "copying tfds:oxford_iiit_pet"]
    assert any(what == "generating the examples" for _, _, what in steps)
    assert all(0 <= done <= total for done, total, _ in steps)
    assert pets[1]["once"]


def test_a_stop_leaves_nothing(pets: tuple[Path, dict]):
    assert pets[1]["errors"]["tfds:oxford_iiit_pet:4.0.0"].startswith("stopped while ")
    assert pets[1]["left"] == []


def test_features_tell_picture_mask_and_classes(pets: tuple[Path, dict]):
    opened = open_tfds("tfds:tiny_scenes:1.2.3")
    assert [label.name for label in opened.classes] == ["sky", "road", "car"]
    assert [len(opened.samples(split)) for split in ("train", "validation", "test")] == [5, 2, 0]
    seen = sorted(
        (opened.read_image(s)[0, 0, 0].item(), opened.read_mask(s)[0, 0].item()) for s in opened.samples("train")
    )
    assert seen == [(0, 0), (10, 1), (20, 2), (30, 0), (40, 1)]
    assert opened.description == "Scenes, small."
    assert tfds_names() == ["tfds:oxford_iiit_pet", "tfds:tiny_scenes:1.2.3"]


def test_what_cannot_be_brought_is_one_line(pets: tuple[Path, dict]):
    errors = pets[1]["errors"]
    assert errors["tfds:mnist"] == "tfds:mnist has no masks (its features are image, label): choose a segmentation set"
    assert errors["tfds:no_such_set"].startswith(
        "TensorFlow Datasets has no set 'no_such_set': its names are listed at"
    )
    assert errors["tfds:cityscapes"].startswith("tfds:cityscapes has to be fetched by hand: Manual directory /")
    assert "https://www.cityscapes-dataset.com/login/" in errors["tfds:cityscapes"]
    assert "cannot prepare or read it" in errors["tfds:oxford_iiit_pet:0.0.1"]
    assert not any("\n" in error for error in errors.values())


def test_what_was_not_brought_says_how(home: Path):
    with pytest.raises(UserError) as caught:
        open_tfds("tfds:oxford_iiit_pet")
    assert str(caught.value) == (
        "tfds:oxford_iiit_pet is not here yet: "
        "bring it with `python -m segmodels datasets download tfds:oxford_iiit_pet`"
    )  # fmt: skip
    assert tfds_names() == []


def test_without_the_library_its_package_is_named(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(UserError, match="needs TensorFlow Datasets: pip install tensorflow-datasets"):
        download_tfds("tfds:oxford_iiit_pet")


@pytest.mark.parametrize(
    "name",
    ["tfds:", "oxford_iiit_pet", "tfds:huggingface:mnist", "tfds:kaggle:x", "tfds:../x", "tfds:a/../b", "tfds:a:1",
     "tfds:a/b=1", "tfds:a,b=1", "tfds:A b", "tfds:a/"],
)  # fmt: skip
def test_names_that_are_none(home: Path, name: str):
    with pytest.raises(UserError, match="is no name of TensorFlow Datasets: write tfds:NAME"):
        open_tfds(name)
