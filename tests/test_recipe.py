"""Recipes: what they refuse and how they say it, files, and the command line that means the same."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from segmodels import cli
from segmodels.cli_recipes import recipe_of
from segmodels.data.datasets.toy_nuclei import ToyNuclei
from segmodels.data.tiles import Tiling
from segmodels.errors import UserError
from segmodels.models.architectures import checked_options
from segmodels.recipe import Recipe


def refusal(**fields: Any) -> str:
    with pytest.raises(UserError) as caught:
        Recipe(**fields)
    assert "\n" not in str(caught.value)
    return str(caught.value)


BOUNDS = {
    "image_size": ((31, 2049), "at least 32 and at most 2048"),
    "epochs": ((0, 10_001), "at least 1 and at most 10000"),
    "batch_size": ((0, 1025), "at least 1 and at most 1024"),
    "learning_rate": ((0, -1.0, 11.0), "greater than 0 and at most 10"),
    "norm_momentum": ((-0.1, 1.0), "at least 0 and less than 1"),
    "tile_foreground": ((-0.1, 1.1), "at least 0 and at most 1"),
    "seed": ((-1, 2**31), "at least 0 and at most 2147483647"),
    "split_seed": ((-1, 2**31), "at least 0 and at most 2147483647"),
    "limit": ((0, -5), "at least 1"),
}
CHOICES = {
    "sampling": ("crop", "'resize' or 'tiles'"),
    "tile_edge": ("cut", "'pad', 'shift' or 'drop'"),
    "optimizer": ("adagrad", "'adam', 'adamw', 'sgd', 'rmsprop' or 'lion'"),
    "schedule": ("step", "'cosine', 'constant', 'polynomial', 'one_cycle' or 'plateau'"),
    "precision": ("float16", "'auto', 'float32' or 'bfloat16'"),
    "xla": ("yes", "'auto', 'on' or 'off'"),
}


@pytest.mark.parametrize("field", BOUNDS)
def test_numbers_out_of_range_name_field_value_and_range(field: str) -> None:
    values, allowed = BOUNDS[field]
    for value in (*values, float("nan"), "many", [1], None if field != "limit" else "none"):
        text = refusal(**{field: value})
        assert f"{field}={value!r}" in text
        assert allowed in text


@pytest.mark.parametrize("field", ["image_size", "epochs", "batch_size", "seed", "split_seed", "limit"])
def test_whole_numbers_are_whole(field: str) -> None:
    assert "whole number" in refusal(**{field: 64.5})


@pytest.mark.parametrize("field", CHOICES)
def test_choices_name_what_there_is(field: str) -> None:
    value, allowed = CHOICES[field]
    text = refusal(**{field: value})
    assert f"{field}={value!r}" in text
    assert allowed in text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"data": "oxford-pet"}, ["data set 'oxford-pet'", "did you mean 'oxford-pets'", "toy-nuclei"]),
        ({"architecture": "u-net"}, ["architecture 'u-net'", "did you mean 'unet'"]),
        ({"backbone": "resnet"}, ["backbone", "'resnet'", "mobilenetv2"]),
        ({"loss": "dise"}, ["'dise'", "did you mean 'dice'"]),
        ({"augment": "lite"}, ["augmentation 'lite'", "did you mean 'light'", "histology", "cutmix"]),
        ({"augment": "flip+rotate(degrees=200)"}, ["rotate", "degrees=200", "at most 180"]),
        ({"augment": 3}, ["augment=3"]),
        ({"loss": ""}, ["loss ''", "cross_entropy+0.5*dice"]),
        ({"weights": "imagenet"}, ["weights='imagenet'", "backbone"]),
        ({"class_weights": (1, -1, 1)}, ["class_weights", "0 or more"]),
        ({"class_weights": (0, 0, 0)}, ["class_weights", "not all 0"]),
        ({"class_weights": ()}, ["class_weights"]),
        ({"class_weights": "heavy"}, ["class_weights='heavy'"]),
        ({"deterministic": "maybe"}, ["deterministic='maybe'"]),
        ({"options": {"depth": 9}}, ["depth=9", "at least 2 and at most 7"]),
        ({"options": {"dept": 4}}, ["'dept'", "did you mean 'depth'"]),
        ({"options": {"widths": (8, 8, 8, 8, 8)}}, ["widths", "width and depth"]),
        ({"options": 4}, ["options=4"]),
        ({"root": 4}, ["root=4"]),
        ({"tile_stride": 64}, ["tile_stride=64", "sampling resize has no tiles"]),
        ({"tile_edge": "pad"}, ["tile_edge='pad'", "sampling resize has no tiles"]),
        ({"tile_foreground": 0.5, "sampling": "resize"}, ["tile_foreground=0.5", "sampling resize has no tiles"]),
        ({"tile_stride": 300, "sampling": "tiles"}, ["tile_stride=300", "image_size of 256", "gaps"]),
        ({"tile_stride": 0, "sampling": "tiles"}, ["tile_stride=0", "at least 1"]),
        ({"start_from": ""}, ["start_from=''", "leave it out"]),
        ({"start_from": "  "}, ["start_from='  '", "leave it out"]),
        ({"start_from": "a" * 300}, ["is no path"]),
        ({"start_from": "a" * 300 + "@2"}, ["is no path"]),
        ({"start_from": "a\0b"}, ["is no path"]),
        ({"teachers": ""}, ["teachers=''", "leave it out"]),
        ({"teachers": []}, ["teachers", "name one at least"]),
        ({"teachers": "a,,b"}, ["teachers='a,,b'", "leave it out"]),
        ({"teachers": "a," * 9 + "a"}, ["teachers", "at most 8"]),
        ({"teachers": 4}, ["teachers=4"]),
        ({"teacher_weight": 0.5}, ["teacher_weight=0.5", "needs teachers"]),
        ({"teachers": "a", "teacher_weight": 0}, ["teacher_weight=0", "greater than 0"]),
        ({"teachers": "a", "teacher_weight": 1.5}, ["teacher_weight=1.5", "at most 1"]),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_in_one_line(fields: dict[str, Any], words: list[str]) -> None:
    text = refusal(**fields)
    for word in words:
        assert word in text


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_are_finite(value: float) -> None:
    assert "class_weights" in refusal(class_weights=(value, 1.0, 1.0))


def test_an_option_may_not_stand_for_a_field() -> None:
    """`backbone` is a field of the recipe, and a keyword that the options are checked with."""
    assert "backbone" in refusal(options={"backbone": "mobilenet"})


def test_long_values_are_cut() -> None:
    assert len(refusal(epochs=list(range(100_000)))) < 1000


def test_unknown_fields_name_the_nearest() -> None:
    assert "did you mean 'epochs'?" in refusal(epoch=3)
    assert "there are data, root" in refusal(zzz=3)
    assert "self" in refusal(**{"self": 1})


def test_weights_default_to_what_the_network_can_have() -> None:
    assert Recipe().weights == "none"
    assert Recipe(backbone="mobilenetv2").weights == "imagenet"
    assert Recipe(backbone="mobilenetv2", weights="none").weights == "none"


def test_sampling_defaults_to_what_suits_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Recipe(data="toy-nuclei").sampling == Recipe(data="toy-nuclei", sampling=None).sampling == "resize"
    assert Recipe(data=str(tmp_path)).sampling == "resize"
    monkeypatch.setattr(ToyNuclei, "sampling", "tiles")
    recipe = Recipe(data="toy-nuclei")
    assert recipe.sampling == "tiles"
    assert recipe.tiling == Tiling(256, 256, "shift", 0.0)
    assert "--sampling" not in recipe.command()
    assert Recipe(data="toy-nuclei", sampling="resize").tiling is None


def test_recipes_do_not_change() -> None:
    with pytest.raises(Exception, match="frozen"):
        Recipe().epochs = 3  # type: ignore[misc]


CASES: list[dict[str, Any]] = [
    {},
    {"data": "toy-pets", "options": {"width": 8, "depth": 3}, "deterministic": True, "limit": 5},
    {"options": {"dropout": 1e-05, "norm": "group", "upsample": "bilinear", "convs": 3}},
    {"backbone": "mobilenetv2", "options": {"widths": (64, 32, 16, 8, 8)}, "class_weights": (1.0, 0.5, 2e-07)},
    {"backbone": "mobilenet", "weights": "none", "learning_rate": 1e-05},
    {"backbone": "mobilenet", "weights": "/a folder/it's.h5", "root": "/data sets/my 'pets'", "loss": "0.5*dice"},
    {"architecture": "deeplabv3", "backbone": "mobilenetv2", "weights": "voc"},
    {"architecture": "deeplabv3+", "backbone": "resnet50", "options": {"output_stride": 8, "separable": True}},
    {"architecture": "deeplabv3", "backbone": "resnet50", "options": {"aspp_rates": (12,)}},
    {"architecture": "segformer", "backbone": "mit-b0", "weights": "imagenet", "options": {"width": None}},
    {"architecture": "unet++", "options": {"deep_supervision": True, "head": 2, "widths": (8, 16, 32)}},
    {"augment": "flip + rotate(degrees=15, probability=0.5)+blur"},
    {"data": "toy-nuclei", "sampling": "tiles", "tile_stride": 144, "tile_edge": "drop", "tile_foreground": 0.05},
    {"root": "/daten/Tiere äöü", "seed": 2**31 - 1, "norm_momentum": 0.0, "precision": "bfloat16"},
    {
        "optimizer": "sgd",
        "schedule": "constant",
        "augment": "none",
        "split_seed": 7,
        "image_size": 32,
        "epochs": 10_000,
    },
    {"optimizer": "adamw", "weight_decay": 0.0},
    {"backbone": "mobilenet", "weights": "none", "backbone_rate": 0.2, "ema": 0.99, "batch_size": "auto"},
    {"class_weights": "median frequency", "loss": "focal(gamma=3)+0.01*boundary", "schedule": "plateau"},
]


def by_command_line(command: str) -> Recipe:
    words = shlex.split(command)
    assert words[:4] == ["python", "-m", "segmodels", "train"]
    return recipe_of(cli.parser().parse_args(words[3:]))


@pytest.mark.parametrize("fields", CASES, ids=str)
def test_the_command_line_means_the_same(fields: dict[str, Any]) -> None:
    recipe = Recipe(**fields)
    assert by_command_line(recipe.command()) == recipe


@pytest.mark.parametrize("fields", CASES, ids=str)
@pytest.mark.parametrize("name", ["recipe.json", "recipe.yaml", "recipe.yml"])
def test_files_hold_everything(tmp_path: Path, fields: dict[str, Any], name: str) -> None:
    recipe = Recipe(**fields)
    recipe.save(tmp_path / name)
    assert Recipe.load(tmp_path / name) == recipe
    text = (tmp_path / name).read_text(encoding="utf-8")
    document = json.loads(text) if name.endswith("json") else yaml.safe_load(text)
    assert set(document) == set(Recipe.model_fields)


@settings(max_examples=60, deadline=None)
@given(
    rate=st.floats(1e-12, 10, exclude_min=True),
    weights=st.none() | st.lists(st.floats(0.001, 1e6), min_size=1, max_size=4),
    depth=st.integers(2, 7),
    dropout=st.floats(0, 0.99),
    root=st.none() | st.text("abc '\"$äö\\", min_size=1, max_size=12).map(lambda text: f"/x{text}y"),
    limit=st.none() | st.integers(1, 10**9),
)
def test_any_recipe_survives_its_command_line(
    rate: float, weights: list[float] | None, depth: int, dropout: float, root: str | None, limit: int | None
) -> None:
    recipe = Recipe(
        learning_rate=rate, class_weights=weights, root=root, limit=limit, options={"depth": depth, "dropout": dropout}
    )
    assert by_command_line(recipe.command()) == recipe


def test_options_are_the_same_however_they_were_written() -> None:
    assert Recipe(options={"depth": "3"}) == Recipe(options={"depth": 3})
    assert Recipe(backbone="mobilenet", options={"widths": [8, 8, 8, 8, 8]}) == Recipe(
        backbone="mobilenet", options={"widths": ("8", 8, 8, 8, 8)}
    )


def test_options_of_the_command_line_win_over_the_file(tmp_path: Path) -> None:
    start = Recipe(data="toy-pets", backbone="mobilenetv2", epochs=3, options={"convs": 3})
    start.save(tmp_path / "recipe.yaml")
    words = ["train", "--recipe", str(tmp_path / "recipe.yaml"), "--epochs", "9", "--option", "dropout=0.5"]
    recipe = recipe_of(cli.parser().parse_args(words))
    assert (recipe.data, recipe.backbone, recipe.epochs) == ("toy-pets", "mobilenetv2", 9)
    assert recipe.options == {"convs": 3, "dropout": 0.5}
    plain = recipe_of(cli.parser().parse_args([*words, "--backbone", "none"]))
    assert plain.weights == "none", "the weights of the file were for its own network"


@pytest.mark.parametrize(
    "content",
    [b"", b"[1, 2]", b"\xff\xfe\x00", b"{unclosed", b"a: b: c", b"3: 4", b"{}\n---\n{}", b"[" * 5000, b"\x00"],
    ids=str,
)
def test_damaged_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"recipe\.yaml") as caught:
        Recipe.load(path)
    assert "\n" not in str(caught.value)


def test_missing_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "gone.json", tmp_path, tmp_path / "file" / "below.json"):
        with pytest.raises(UserError, match="recipe file"):
            Recipe.load(path)


def test_json_with_tabs_is_json(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text(json.dumps({"data": "toy-pets", "epochs": 3}, indent="\t"))
    assert Recipe.load(tmp_path / "recipe.json") == Recipe(data="toy-pets", epochs=3)


def test_the_default_backbone_is_the_architectures_own() -> None:
    assert Recipe(architecture="unet").backbone == Recipe(architecture="segnet").backbone == "none"
    assert Recipe(architecture="pspnet").backbone == Recipe(architecture="pspnet", backbone=None).backbone == "resnet50"
    assert (Recipe(architecture="segformer").weights, Recipe(architecture="fcn8").weights) == ("imagenet", "none")
    assert Recipe(architecture="segformer", backbone="mit-b3").weights == "none"


def test_weights_bring_the_options_that_they_need() -> None:
    voc = Recipe(architecture="deeplabv3", backbone="mobilenetv2", weights="voc")
    assert voc.options == {"aspp_rates": [], "output_stride": 8, "width": 256}
    assert Recipe(architecture="segformer", weights="imagenet").options == {"token_order": "keras-cv"}
    assert Recipe(architecture="segformer", weights="none").options == {}
    copied = Recipe(architecture="deeplabv3", backbone="mobilenetv2", weights="/x/deeplabv3-mobilenetv2-voc")
    assert copied.options == voc.options


def test_a_changed_network_leaves_what_only_the_old_weights_needed(tmp_path: Path) -> None:
    Recipe(architecture="segformer", weights="imagenet", options={"width": 64}).save(tmp_path / "segformer.json")
    Recipe(architecture="deeplabv3", backbone="mobilenetv2", weights="voc").save(tmp_path / "voc.json")

    def changed(file: str, *words: str) -> Recipe:
        return recipe_of(cli.parser().parse_args(["train", "--recipe", str(tmp_path / file), *words]))

    assert changed("segformer.json", "--backbone", "mit-b3").options == {"width": 64}
    assert changed("segformer.json", "--weights", "none").options == {"width": 64}
    assert changed("segformer.json", "--epochs", "3").options == {"width": 64, "token_order": "keras-cv"}
    assert changed("voc.json", "--architecture", "unet").options == {}
    assert changed("voc.json", "--weights", "imagenet").options == {}


@pytest.mark.parametrize("stride", [8, 8.0, "8", " 8", "08"])
def test_rates_follow_the_stride_however_it_is_written(stride: object) -> None:
    recipe = Recipe(architecture="deeplabv3", options={"output_stride": stride})
    assert recipe.options == {"output_stride": 8}
    assert checked_options("deeplabv3", "resnet50", {"output_stride": stride}).aspp_rates == (12, 24, 36)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"architecture": "pix2pix", "image_size": 128}, ["image_size=128", "at least 256"]),
        ({"options": {"depth": 7}, "image_size": 32}, ["image_size=32", "at least 64"]),
        ({"architecture": "deeplabv3", "backbone": ["resnet50"]}, ["backbone"]),
        ({"architecture": "segformer", "backbone": "mit-b3", "weights": "imagenet"}, ["MiT-B3", "mit-b0"]),
        (
            {"architecture": "deeplabv3", "backbone": "mobilenetv2", "weights": "voc", "options": {"width": 128}},
            ["width=256"],
        ),
    ],
    ids=str,
)
def test_networks_that_cannot_be_are_refused_with_what_fits(fields: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        Recipe(**fields)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)
