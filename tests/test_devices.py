"""Which devices there are, which a run may use, and what is said where one cannot be; with a make-believe driver."""

from __future__ import annotations

import json
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segmodels import nvidia
from segmodels.cli import main
from segmodels.device import (
    choose_devices,
    choose_for_this_process,
    choose_pool,
    claim,
    claim_all,
    devices,
    known_devices,
)
from segmodels.engines import chosen_engine
from segmodels.errors import UserError
from segmodels.recipe import Recipe
from segmodels.training.launch import launch
from segmodels.training.runs import Run
from tests.stand_in import go, times, wait

A100 = "GPU-aaaa1111-0000-0000-0000-000000000000, NVIDIA A100-SXM4-40GB, 40960, 40337, 550.54.15, 8.0, Disabled"
T4 = "GPU-bbbb2222-0000-0000-0000-000000000000, Tesla T4, 15360, 14910, 550.54.15, 7.5, [N/A]"
SHARED = "GPU-cccc3333-0000-0000-0000-000000000000, NVIDIA GB10, [N/A], [N/A], 580.95.05, 12.1, [N/A]"
SLICED = A100.replace("Disabled", "Enabled")
SLICES = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-aaaa1111-0000-0000-0000-000000000000)
  MIG 3g.20gb     Device  0: (UUID: MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f)
  MIG 1g.5gb+me   Device  1: (UUID: MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb)
GPU 1: Tesla T4 (UUID: GPU-bbbb2222-0000-0000-0000-000000000000)
  MIG 1g.5gb      Device  0: (UUID: MIG-00000000-9bed-5b25-b243-5985ef7c9beb)
"""
#: `nvidia-smi` as it answers; one of before 2021 refuses fields that it does not know.
SMI = """#!/bin/sh
case "$*" in
  -L) cat {folder}/list ;;
  *compute_cap*) [ -e {folder}/old ] && echo 'Field "compute_cap" is not a valid field to query.' && exit 2
     cat {folder}/cards ;;
  --query-gpu=uuid,name,memory.total,memory.free,driver_version*) cat {folder}/cards ;;
  *) exit 2 ;;
esac
"""

Driver = Callable[..., None]


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Driver:
    """Put an `nvidia-smi` on the path that lists these cards."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def lists(*cards: str, slices: str = "", old: bool = False) -> None:
        (folder / "nvidia-smi").write_text(SMI.format(folder=folder))
        (folder / "nvidia-smi").chmod(0o755)
        (folder / "cards").write_text("\n".join(cards))
        (folder / "list").write_text(slices)
        if old:
            (folder / "old").touch()

    return lists


@pytest.fixture
def cuda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JAX with its CUDA plugin seems installed, to other processes too."""
    packages = tmp_path / "packages"
    for name in ("jax", "jax_cuda12_plugin"):
        (packages / f"{name}-9.9.dist-info").mkdir(parents=True)
        (packages / f"{name}-9.9.dist-info" / "METADATA").write_text(f"Name: {name.replace('_', '-')}\nVersion: 9.9\n")
    monkeypatch.syspath_prepend(packages)
    monkeypatch.setenv("PYTHONPATH", str(packages))
    monkeypatch.setenv("KERAS_BACKEND", "jax")


@pytest.fixture
def without_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has loaded none yet."""
    for engine in ("tensorflow", "jax"):
        monkeypatch.delitem(sys.modules, engine, raising=False)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `claim` sets does not outlast the test."""
    for name in ("CUDA_VISIBLE_DEVICES", "JAX_PLATFORMS"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def tree(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root.joinpath(*name.split("__"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def one_line(text: str) -> str:
    assert text
    assert "\n" not in text
    return text


def test_cards_are_listed_with_what_matters_for_training(driver: Driver, cuda: None) -> None:
    driver(A100, T4, SHARED)
    first, second, third = devices()
    assert (first.kind, first.number, first.name) == ("gpu", 0, "NVIDIA A100-SXM4-40GB")
    assert (first.memory, first.free, first.driver) == (40960 * 2**20, 40337 * 2**20, "550.54.15")
    assert str(first) == "NVIDIA A100-SXM4-40GB, 40 GB"
    assert [found.capability for found in (first, second, third)] == [(8, 0), (7, 5), (12, 1)]
    assert [found.precision for found in (first, second, third)] == ["bfloat16", "float32", "bfloat16"]
    assert [found.xla for found in (first, second, third)] == [True, True, True]
    assert (third.memory, str(third)) == (0, "NVIDIA GB10"), "its memory is the machine's"


@pytest.mark.parametrize(
    ("order", "numbers"),
    [
        (None, [0, 1, 2]),
        ("2,0", [2, 0]),
        ("GPU-bbbb", [1]),
        (" 1 , GPU-aaaa1111-0000-0000-0000-000000000000", [1, 0]),
        ("0,7,1", [0]),
        ("0,-1,1", [0]),
        ("1,1", [1]),
        ("GPU-", []),
        ("NoDevFiles", []),
    ],
)
def test_only_what_cuda_shows_is_there(driver: Driver, order: str | None, numbers: list[int]) -> None:
    """CUDA's own rules: its programming guide's section on CUDA_VISIBLE_DEVICES."""
    driver(A100, T4, SHARED)
    cards = nvidia.cards()
    assert [cards.index(card) for card in nvidia.visible(cards, order)] == numbers


def test_numbers_count_within_what_cuda_shows(
    driver: Driver, cuda: None, monkeypatch: pytest.MonkeyPatch, environment: None, without_engine: None
) -> None:
    driver(A100, T4, SHARED)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,0")
    assert [(found.number, found.name) for found in devices()] == [(0, "NVIDIA GB10"), (1, "NVIDIA A100-SXM4-40GB")]
    (chosen,) = choose_devices("1")
    assert claim(chosen.key).name == "NVIDIA A100-SXM4-40GB"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == A100.partition(",")[0]
    assert [found.name for found in known_devices()] == ["NVIDIA A100-SXM4-40GB"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, [0, 1]),
        ("any", [0, 1]),
        ("all", [0, 1]),
        ("1", [1]),
        ("1,0", [1, 0]),
        ("0, 0", [0]),
        ("cpu", [None]),
    ],
)
def test_a_choice_is_of_devices_in_its_order(
    driver: Driver, cuda: None, text: str | None, expected: list[int | None]
) -> None:
    driver(A100, T4)
    found = choose_devices(text)
    assert [each.number for each in found] == expected
    keys = [each.key for each in found]
    assert choose_pool(text) == (keys if text in (None, "any") else [",".join(keys)])


def test_several_cards_are_claimed_at_once(driver: Driver, cuda: None, environment: None) -> None:
    driver(A100, T4, SHARED)
    (key,) = choose_pool("2,0")
    assert [(found.name, found.number) for found in claim_all(key)] == [
        ("NVIDIA GB10", 0),
        ("NVIDIA A100-SXM4-40GB", 1),
    ]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == key
    assert [found.name for found in devices()] == ["NVIDIA GB10", "NVIDIA A100-SXM4-40GB"]
    with pytest.raises(UserError, match=r"GPU-gone .* not here"):
        claim_all(f"{key},GPU-gone")


@pytest.mark.parametrize(
    ("text", "named"), [("2", "'2'"), ("0,5", "'5'"), ("", "'number'"), ("gpu", "'gpu'"), ("-1", "'-1'")]
)
def test_a_wrong_number_names_what_there_is(driver: Driver, cuda: None, text: str, named: str) -> None:
    driver(A100, T4)
    with pytest.raises(UserError, match=named) as caught:
        choose_devices(text)
    assert "0 (NVIDIA A100-SXM4-40GB), 1 (Tesla T4)" in one_line(str(caught.value))


@pytest.mark.parametrize("text", ["0", "all", "1,2"])
def test_without_a_gpu_none_can_be_chosen(
    text: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert main(["train", "--data", "toy-pets", "--devices", text]) == 2
    assert "there is no GPU to use here: leave devices out to train on the CPU" in capsys.readouterr().err
    assert not home.exists(), "no run was made"
    assert [found.kind for found in choose_devices(None)] == [found.kind for found in choose_devices("cpu")] == ["cpu"]


def test_the_processor_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia, "cards", list)
    info = "processor\t: 0\nmodel name\t: Xeon 8480\nflags\t\t: fpu avx512f avx512_bf16 amx_tile amx_bf16\n"
    (found,) = devices(tree(tmp_path, proc__cpuinfo=info))
    assert found.name.startswith("Xeon 8480, ")
    assert found.features == ("amx_bf16", "avx512_bf16")
    assert (found.kind, found.precision, found.xla, found.note) == ("cpu", "float32", False, "")
    (bare,) = devices(tmp_path / "nowhere")
    assert bare.features == ()


@pytest.mark.parametrize(
    ("files", "there"),
    [
        ({"dev__nvidia0": ""}, True),
        ({"sys__bus__pci__devices__01__vendor": "0x10de\n", "sys__bus__pci__devices__01__class": "0x030200\n"}, True),
        ({"sys__bus__pci__devices__01__vendor": "0x10de\n", "sys__bus__pci__devices__01__class": "0x040300\n"}, False),
        ({"sys__bus__pci__devices__01__vendor": "0x8086\n", "sys__bus__pci__devices__01__class": "0x030000\n"}, False),
        ({}, False),
    ],
    ids=["device file", "card on the bus", "its sound", "another maker's", "nothing"],
)
def test_a_card_without_a_driver_is_noticed(
    files: dict[str, str], there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nvidia, "cards", list)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (found,) = devices(tree(tmp_path, **files))
    assert found.kind == "cpu"
    assert ("no driver answers" in found.note) == there
    if there:
        assert "install NVIDIA's driver" in one_line(found.note)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
        assert devices(tmp_path)[0].note == "", "nobody wants it"


def test_what_keeps_an_engine_from_a_card_is_said(
    driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver(A100)
    installed: dict[str, str] = {}
    monkeypatch.setattr(nvidia, "_packages", lambda: list(installed))
    monkeypatch.setattr(nvidia, "package_version", installed.get)
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)

    def note() -> str:
        (found,) = devices(tmp_path)
        return "" if found.kind == "gpu" else one_line(found.note)

    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    installed["tensorflow-cpu"] = "2.21.0"
    assert "this TensorFlow is for the CPU" in note()
    assert "requirements-gpu.txt" in note()
    installed["tensorflow"] = installed.pop("tensorflow-cpu")
    assert (
        note() == "NVIDIA A100-SXM4-40GB is here, but the CUDA libraries are not: pip install -r requirements-gpu.txt"
    )
    tree(tmp_path, **{"usr__lib__x86_64-linux-gnu__libcudnn.so.9": ""})
    assert note() == "", "the system has them"
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    installed["jax"] = "0.10.2"
    assert 'pip install "jax[cuda12]"' in note()
    installed["jax-cuda12-plugin"] = "0.10.2"
    assert note() == ""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    assert "CUDA_VISIBLE_DEVICES=3 shows none of the 1 GPUs" in note()


def test_a_driver_that_is_too_old_is_said(driver: Driver, cuda: None, tmp_path: Path) -> None:
    driver("GPU-dddd, Tesla K80, 11441, 11000, 470.256.02", old=True)
    (found,) = devices(tmp_path)
    assert found.note == "Tesla K80 is here, but its driver 470.256.02 is too old: install 525 or a newer one"


def test_slices_of_a_card_are_devices(driver: Driver, cuda: None) -> None:
    driver(SLICED, T4, slices=SLICES)
    found = devices()
    assert [each.name for each in found] == [
        "NVIDIA A100-SXM4-40GB MIG 3g.20gb", "NVIDIA A100-SXM4-40GB MIG 1g.5gb+me", "Tesla T4"
    ]  # fmt: skip
    assert found[0].key == "MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f"
    assert [each.memory // 2**30 for each in found] == [20, 5, 15]
    assert found[1].precision == "bfloat16"


@pytest.mark.parametrize("answer", ["", "No devices were found", "NVIDIA-SMI has failed because", "a,b"])
def test_a_driver_that_answers_nonsense_is_no_driver(driver: Driver, answer: str) -> None:
    driver(answer)
    assert nvidia.cards() == []


def test_a_card_that_has_gone_is_said(driver: Driver, cuda: None, environment: None) -> None:
    driver(A100)
    with pytest.raises(UserError, match=r"GPU-gone .* not here any more"):
        claim("GPU-gone")
    assert claim("cpu").kind == "cpu"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "-1", "the engine is to see no card"
    assert devices()[0].kind == "cpu"


def test_an_engine_that_is_loaded_keeps_its_device(
    driver: Driver, cuda: None, without_engine: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver(A100, T4)
    assert [found.number for found in choose_for_this_process(None)] == [0, 1]
    monkeypatch.setitem(sys.modules, "jax", types.ModuleType("jax"))
    assert [found.number for found in choose_for_this_process(None)] == [0]
    assert [found.number for found in choose_for_this_process("any")] == [0]
    for text in ("1", "cpu", "1,0", "all"):
        with pytest.raises(UserError, match="start a new process"):
            choose_for_this_process(text)


def test_the_engine_in_use_is_the_one_that_keras_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = ["jax"]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name if name in installed else None)
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    assert chosen_engine() == "jax"
    installed.append("tensorflow")
    assert chosen_engine() == "tensorflow"
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert chosen_engine() == "jax"
    installed.clear()
    monkeypatch.setenv("KERAS_BACKEND", "")
    assert chosen_engine() is None


def test_the_verb_says_what_there_is(driver: Driver, cuda: None, home: Path, python: Callable) -> None:
    driver(A100, T4)
    found = json.loads(python("-m", "segmodels", "devices", "--json", PYTHONPATH=os.environ["PYTHONPATH"]).stdout)
    assert [(row["number"], row["key"], row["precision"], row["run"]) for row in found["devices"]] == [
        (0, A100.partition(",")[0], "bfloat16", None), (1, T4.partition(",")[0], "float32", None)
    ]  # fmt: skip
    assert found["engine"] == "jax"
    assert found["engines"]["jax"] == "9.9"
    assert found["notes"] == []
    shown = python("-m", "segmodels", "devices", PYTHONPATH=os.environ["PYTHONPATH"]).stdout
    assert "Tesla T4" in shown
    assert "jax 9.9 (in use)" in shown
    assert max(map(len, shown.splitlines())) < 200


def test_two_cards_train_two_runs_and_a_third_waits(driver: Driver, cuda: None, stand_ins: None) -> None:
    driver(A100, T4)
    recipe = Recipe(data="toy-pets")
    runs: list[Run] = [launch(recipe, devices) for devices in ("1", None, "1", "any")]
    wait(lambda: [run.state for run in runs] == ["running", "running", "queued", "queued"])
    wait(lambda: [run.status().get("waiting_for") for run in runs] == [None, None, runs[0].id, runs[2].id])
    go(runs[1])
    seen: list[dict[str, Any]] = [times(runs[1])]
    wait(lambda: runs[3].state == "running")
    assert runs[2].state == "queued", "its card is still at work; the other is none of its own"
    go(*runs)
    seen += [times(run) for run in runs]
    first, second = A100.partition(",")[0], T4.partition(",")[0]
    assert [each["gpu"] for each in seen] == [first, second, first, second, first]
