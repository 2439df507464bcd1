"""Checkpoints: the same model in a fresh process, one line for whatever is wrong, and nothing that can run."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segmodels.data.datasets import dataset_type
from segmodels.errors import UserError
from segmodels.hub.checkpoint import (
    SPEC,
    WEIGHTS,
    ArchitectureSpec,
    ClassSpec,
    InputSpec,
    Spec,
    load_checkpoint,
    read_spec,
    write_checkpoint,
)

FRESH = """
import json, sys
import numpy as np
import keras
from segmodels.backend import keras
import segmodels.hub.checkpoint, segmodels.models.build  # only what loading itself does is watched
unpickled = []
sys.addaudithook(lambda event, arguments: unpickled.append(str(arguments)) if event.startswith("pickle.") else None)
model, spec = segmodels.hub.checkpoint.load_checkpoint(sys.argv[1])
found = list(unpickled)
np.save(sys.argv[3], np.asarray(model(np.load(sys.argv[2]), training=False)))
print(json.dumps({"unpickled": found, "classes": [label.name for label in spec.labels]}))
"""


def make(folder: Path, *, backbone: str = "none", **options: Any) -> Path:
    """A checkpoint of an untrained network whose running statistics are not the initial ones."""
    from segmodels.models.build import build

    labels = dataset_type("toy-pets").classes
    spec = Spec(
        format=1,
        architecture=ArchitectureSpec(name="unet", backbone=backbone, classes=3, options=options),
        classes=[ClassSpec(name=label.name, colour=label.colour) for label in labels],
        input=InputSpec(mode="resize", size=32),
        recipe={"data": "toy-pets"},
    )
    model = build("unet", classes=3, backbone=backbone, **options)
    rng = np.random.default_rng(0)
    for variable in model.variables:
        if "float" in str(variable.dtype):
            variable.assign(np.abs(rng.normal(0.3, 0.2, variable.shape)).astype(np.float32))
    folder.mkdir(parents=True)
    write_checkpoint(folder, model, spec)
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("whole") / "checkpoint", width=4, depth=3)


@pytest.fixture
def checkpoint(whole: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(whole, tmp_path / "checkpoint"))


def change(folder: Path, **changes: Any) -> None:
    document = json.loads((folder / SPEC).read_text())
    for key, value in changes.items():
        part = document
        *path, last = key.split("__")
        for name in path:
            part = part[name]
        part[last] = value
    (folder / SPEC).write_text(json.dumps(document))


def refusal(folder: Path, load: Callable = load_checkpoint) -> str:
    with pytest.raises(UserError) as caught:
        load(folder)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 2000
    return text


@pytest.mark.parametrize(
    ("backbone", "options"),
    [
        ("none", {"width": 8, "depth": 3, "norm": "group", "upsample": "bilinear", "dropout": 0.3}),
        pytest.param("mobilenetv2", {"widths": (8, 8, 8, 8, 8)}, marks=pytest.mark.slow),
    ],
)
def test_a_fresh_process_gives_the_same_logits(
    tmp_path: Path, python: Callable, backbone: str, options: dict[str, Any]
) -> None:
    folder = make(tmp_path / "model", backbone=backbone, **options)
    model, spec = load_checkpoint(folder)
    images = np.random.default_rng(1).integers(0, 256, (2, 45, 37, 3), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    done = python("-c", FRESH, folder, tmp_path / "images.npy", tmp_path / "logits.npy")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report == {"unpickled": [], "classes": [label.name for label in spec.labels]}
    expected = np.asarray(model(images, training=False))
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(
        np.load(tmp_path / "logits.npy"), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max()
    )


def test_the_spec_is_read_without_building(whole: Path) -> None:
    spec = read_spec(whole)
    assert spec.architecture.options == {"width": 4, "depth": 3}
    assert [label.name for label in spec.labels] == [label.name for label in dataset_type("toy-pets").classes]
    assert spec.input.size == 32


@pytest.mark.parametrize("contract", [{"mode": "resize", "size": 32}, {"mode": "tiles", "size": 32, "overlap": 8}])
def test_the_input_contract_is_written_as_it_is(checkpoint: Path, contract: dict[str, Any]) -> None:
    change(checkpoint, input=contract)
    assert read_spec(checkpoint).model_dump(mode="json")["input"] == contract


@pytest.mark.parametrize(
    ("contract", "words"),
    [
        ({"mode": "tiles", "size": 32}, "need an overlap of 0 to 16"),
        ({"mode": "tiles", "size": 32, "overlap": 17}, "need an overlap of 0 to 16"),
        ({"mode": "tiles", "size": 32, "overlap": -1}, "input.overlap=-1"),
        ({"mode": "resize", "size": 32, "overlap": 8}, "resized have no overlap"),
        ({"mode": "crop", "size": 32}, "'resize' or 'tiles'"),
    ],
)
def test_an_input_contract_that_cannot_be(checkpoint: Path, contract: dict[str, Any], words: str) -> None:
    change(checkpoint, input=contract)
    assert words in refusal(checkpoint, read_spec)


def test_a_folder_without_a_spec(tmp_path: Path, checkpoint: Path) -> None:
    assert SPEC in refusal(tmp_path)
    assert "gone" in refusal(tmp_path / "gone")
    (checkpoint / SPEC).unlink()
    assert "no checkpoint directory" in refusal(checkpoint)


@pytest.mark.parametrize("found", [2, "1", None, 1.5, [], 0, -1, True])
def test_an_unknown_format(checkpoint: Path, found: Any) -> None:
    change(checkpoint, format=found)
    assert f"format {found!r}" in refusal(checkpoint, read_spec)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"code": "import os"}, ["unknown", "'code'"]),
        ({"architecture__custom_objects": {}}, ["custom_objects"]),
        ({"architecture__classes": 4}, ["3 classes", "4"]),
        ({"architecture__classes": 300}, ["300"]),
        ({"architecture__name": "x" * 60}, ["architecture"]),
        ({"architecture__name": "os.system"}, ["architecture 'os.system'"]),
        ({"architecture__backbone": "evil"}, ["'evil'"]),
        ({"architecture__options": {"depth": 90}}, ["depth=90", "at most 7"]),
        ({"architecture__options": {"shell": 1}}, ["'shell'"]),
        ({"architecture__options": [1]}, ["options"]),
        ({"classes": []}, ["classes"]),
        ({"classes": [{"name": "a", "colour": "red"}] * 3}, ["red"]),
        ({"input__size": 100_000}, ["input"]),
        ({"input__mode": "stretch"}, ["input"]),
        ({"recipe": "none"}, ["recipe"]),
        ({"classes": "x" * 900_000}, ["classes"]),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_spec_that_is_wrong(checkpoint: Path, changes: dict[str, Any], words: list[str]) -> None:
    change(checkpoint, **changes)
    text = refusal(checkpoint)
    for word in words:
        assert word in text


@pytest.mark.parametrize(
    "options",
    [
        {"weights": "/etc/passwd"},
        {"auxiliary": True},
        {"norm_momentum": 0.5},
        {"classes": 3},
        {"backbone": "mobilenet"},
        {"architecture": "unet"},
    ],
    ids=str,
)
def test_options_reach_the_architecture_and_nothing_else(checkpoint: Path, options: dict[str, Any]) -> None:
    """A spec comes from strangers: its options must not become other arguments of `build`."""
    change(checkpoint, architecture__options={"width": 4, "depth": 3, **options})
    text = refusal(checkpoint)
    assert next(iter(options)) in text
    assert "option" in text


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b"{}"], ids=lambda c: str(c[:9])
)
def test_a_damaged_spec(checkpoint: Path, content: bytes) -> None:
    (checkpoint / SPEC).write_bytes(content)
    assert SPEC in refusal(checkpoint)


def test_a_huge_spec_is_not_read(checkpoint: Path) -> None:
    with (checkpoint / SPEC).open("wb") as file:
        file.truncate(10**9)
    assert "1,000,000,000 bytes" in refusal(checkpoint)


def test_weights_that_are_missing(checkpoint: Path) -> None:
    (checkpoint / WEIGHTS).unlink()
    assert f"has no {WEIGHTS}" in refusal(checkpoint)


def test_weights_that_are_damaged(checkpoint: Path) -> None:
    data = (checkpoint / WEIGHTS).read_bytes()
    for content in (b"", b"no weights at all", data[: len(data) // 2], data[:100]):
        (checkpoint / WEIGHTS).write_bytes(content)
        assert "damaged or does not fit" in refusal(checkpoint)


@pytest.mark.parametrize(
    "options",
    [
        {"width": 8, "depth": 3},
        {"width": 4, "depth": 2},
        {"width": 4, "depth": 4},
        {"width": 4, "depth": 3, "norm": "none"},
        {"width": 4, "depth": 3, "convs": 1},
        {"width": 4, "depth": 3, "convs": 3},
        {"width": 4, "depth": 3, "upsample": "bilinear"},
    ],
    ids=str,
)
def test_weights_of_another_network(checkpoint: Path, options: dict[str, Any]) -> None:
    change(checkpoint, architecture__options=options)
    assert "damaged or does not fit" in refusal(checkpoint)


@pytest.mark.parametrize(
    ("options", "backbone"),
    [({"width": 512, "depth": 7}, "none"), ({"widths": [4096] * 5}, "mobilenetv2")],
    ids=["plain", "on a backbone"],
)
def test_a_network_of_any_size_takes_no_memory_before_its_weights_are_seen(
    checkpoint: Path, options: dict[str, Any], backbone: str
) -> None:
    """Some 40 billion parameters, and one billion."""
    change(checkpoint, architecture__options=options, architecture__backbone=backbone)
    text = refusal(checkpoint)
    assert "parameters, but its weights file holds" in text
    assert "damaged or does not fit" in text


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise SystemExit('a pickle was run')",))


def test_a_pickle_in_place_of_the_weights_is_not_run(checkpoint: Path) -> None:
    (checkpoint / WEIGHTS).write_bytes(pickle.dumps(Bomb()))
    assert "damaged or does not fit" in refusal(checkpoint)


def test_a_checkpoint_whose_swap_was_cut_off_is_found(checkpoint: Path) -> None:
    checkpoint.rename(checkpoint.with_name(".checkpoint.previous"))
    assert load_checkpoint(checkpoint)[1].input.size == 32


def test_a_class_named_twice_is_refused(checkpoint: Path) -> None:
    document = json.loads((checkpoint / "segmodels.json").read_text())
    document["classes"][1]["name"] = document["classes"][0]["name"]
    (checkpoint / "segmodels.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match="twice"):
        read_spec(checkpoint)
