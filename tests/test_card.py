"""The model card: figures as they were measured, metadata that the Hub takes, and names that stay names."""

from __future__ import annotations

import copy
import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import eval_results_to_model_index
from PIL import Image

from segmodels import __version__
from segmodels.hub.card import SQUARES, card, inert, write_card
from segmodels.hub.card_metadata import licence_id
from segmodels.hub.checkpoint import Spec
from segmodels.recipe import Recipe

NAMES = ("background", "border", "pet")
#: Names that would be more than names in Markdown, HTML or YAML.
HOSTILE = (
    "a|b", "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "[x](javascript:alert(1))", "`code` ``` x",
    "a\n---\n# title", "x\\|<b>y", "![p](http://evil/p.png)", "http://evil.example/a", "@someone", "&lt;b&gt;",
    "**b** _i_", "{{ 7 * 7 }}", "- item: [1, 2", "'\"", "$x$", "\u202egnp.exe", "|", "`", "\\", "<!-- ",
    "\r\n| a | b |\r\n| - | - |",
)  # fmt: skip


def spec(names: tuple[str, ...] = NAMES, **changes: Any) -> Spec:
    recipe = Recipe(data="oxford-pets", architecture="unet", backbone="mobilenetv2", image_size=128, seed=7)
    document: dict[str, Any] = {
        "format": 1,
        "architecture": {"name": "unet", "backbone": "mobilenetv2", "classes": len(names), "options": {}},
        "classes": [{"name": name, "colour": f"#{40 * (i % 6):02x}9F00"} for i, name in enumerate(names)],
        "input": {"mode": "resize", "size": 128},
        "recipe": recipe.model_dump(mode="json"),
    }
    return Spec(**{**document, **changes})


def measured(names: tuple[str, ...] = NAMES, shift: float = 0.0) -> dict[str, Any]:
    """Figures as training writes them."""
    rows = [
        {
            "name": name, "iou": 0.71234567 + shift + 0.001 * i, "dice": 0.8 + shift + 0.001 * i,
            "precision": 0.6 + 0.001 * i, "recall": None if i == 1 else 0.9, "pixels": 100,
        }
        for i, name in enumerate(names)
    ]  # fmt: skip
    whole = {
        "loss": 0.4321, "pixel_accuracy": 0.91, "mean_iou": 0.7123 + shift, "mean_dice": 0.82, "precision": 0.6,
        "recall": 0.9, "f1": 0.7,
    }  # fmt: skip
    return {"epoch": 12, "validation": whole, "classes": rows, "train_images": 2944, "validation_images": 736}


def evaluated(names: tuple[str, ...] = NAMES) -> dict[str, Any]:
    """The document of an evaluation on the test split."""
    found = measured(names, shift=-0.05)
    objects = {"dice": 0.81, "aji": 0.58, "aji_plus": 0.6, "pq": 0.55}
    about = {"data": "oxford-pets", "split": "test", "at": "native", "images": 3669, "instances": objects}
    return {**found["validation"], **about, "classes": found["classes"]}


def front_matter(text: str) -> dict[str, Any]:
    return yaml.safe_load(text.split("---\n")[1])


def body(text: str) -> str:
    return text.split("---\n", 2)[2]


def tables(text: str) -> list[list[list[str]]]:
    """The tables of the Markdown, each by its rows and cells."""
    found = re.findall(r"(?:^\|.*\|$\n?)+", body(text), re.MULTILINE)
    return [[line.strip("|\n").split("|") for line in table.splitlines()] for table in found]


def test_the_hub_reads_the_metadata_as_it_was_written():
    text = card(spec(), measured(), [], report=evaluated())
    read = ModelCard(text, ignore_metadata_errors=False).data
    assert (read.library_name, read.pipeline_tag, read.license) == (
        "segmodels", "image-segmentation", "cc-by-sa-4.0",
    )  # fmt: skip
    assert read.tags == ["image-segmentation", "semantic-segmentation", "keras", "unet", "mobilenetv2"]
    found = read.eval_results
    assert {(each.dataset_type, each.dataset_name, each.dataset_split) for each in found} == {
        ("oxford-pets", "Oxford-IIIT Pet", "test"), ("oxford-pets", "Oxford-IIIT Pet", "validation"),
    }  # fmt: skip
    values = {(each.dataset_split, each.metric_name): each.metric_value for each in found}
    for split, document in (("test", evaluated()), ("validation", measured()["validation"])):
        for name, key in (("mean IoU", "mean_iou"), ("mean Dice", "mean_dice"), ("pixel accuracy", "pixel_accuracy")):
            assert values[split, name] == round(document[key], 4)
    for split, rows in (("test", evaluated()["classes"]), ("validation", measured()["classes"])):
        for row in rows:
            assert values[split, f"IoU of {row['name']}"] == round(row["iou"], 4)
            assert values[split, f"Dice of {row['name']}"] == round(row["dice"], 4)
    # There and back: the library's own form of the same figures is what stands in the card.
    assert eval_results_to_model_index(read.model_name, found) == front_matter(text)["model-index"]
    assert str(ModelCard(str(ModelCard(text)))) == str(ModelCard(text))


def test_figures_are_those_of_the_files():
    text = card(spec(), measured(), [], report=evaluated())
    test, validation = [table for table in tables(text) if "IoU" in " ".join(table[0])]
    for table, document, whole in (
        (test, evaluated(), evaluated()), (validation, measured(), measured()["validation"]),
    ):  # fmt: skip
        for cells, row in zip(table[2:], document["classes"], strict=False):
            said = [
                f"{value:.4f}" if value is not None else "–"
                for value in map(row.get, ("iou", "dice", "precision", "recall"))
            ]
            assert [cell.strip() for cell in cells] == [f"`{row['name']}`", *said]
        assert [cell.strip() for cell in table[-1]] == [
            "**mean**", *(f"{whole[key]:.4f}" for key in ("mean_iou", "mean_dice", "precision", "recall")),
        ]  # fmt: skip
    said = body(text)
    assert "test split of Oxford-IIIT Pet (3,669 pictures), compared at each mask's own size" in said
    assert "validation split of Oxford-IIIT Pet (736 pictures), compared at the model's size" in said
    assert "weights of epoch 12, which were chosen by these figures" in said
    assert "pixel accuracy 0.9100, loss 0.4321" in said
    assert "AJI 0.5800, AJI+ 0.6000, PQ 0.5500" in said
    assert "Oxford-IIIT Pet, 2,944 pictures" in said
    assert "CC BY-SA 4.0" in said


def test_the_recipe_of_the_card_is_the_recipe():
    text = card(spec(), measured(), [])
    command = re.search(r"^python -m segmodels train .*$", text, re.MULTILINE)
    assert command is not None
    assert command[0] == Recipe(**spec().recipe).command()
    assert ["seed", "`7`"] in [[cell.strip() for cell in row] for table in tables(text) for row in table]


def test_paths_of_this_machine_are_not_told():
    about = {
        **spec().recipe, "data": "/home/alice/secret study/Cells", "root": "/home/alice/data",
        "weights": "/home/alice/w/encoder.weights.h5", "split_file": "/home/alice/split.csv",
    }  # fmt: skip
    text = card(spec(recipe=about), measured(), [])
    assert "alice" not in text
    assert "secret" not in text
    assert "own:cells" in text
    assert "encoder.weights.h5" in text
    assert "license" not in front_matter(text)


def test_use_names_where_it_is():
    for name, said in ((None, "path/to/this/folder"), ("hf://someone/pets@dev", "hf://someone/pets@dev")):
        text = card(spec(), measured(), [], repository=name)
        lines = re.search(r"```python\n(.*?)\n```", text, re.DOTALL)
        assert lines is not None
        assert len([line for line in lines[1].splitlines() if line]) == 3
        compile(lines[1], "use", "exec")
        assert f'segmodels.Predictor("{said}")' in lines[1]
        assert f"python -m segmodels predict {said} photo.jpg --out masks" in text
    assert f"segmodels {__version__}, Keras " in text


def inert_only(text: str, names: tuple[str, ...]) -> None:
    """Outside code spans and fences there is nothing of the names, and what is left is our own Markdown."""
    plain = re.sub(r"^(`{3,})\w*\n.*?^\1$", "", body(text), flags=re.DOTALL | re.MULTILINE)
    assert all(line.count("`") % 2 == 0 for line in plain.splitlines())
    outside = re.sub(r"`[^`\n]*`", "", plain)
    for sign in ("<", "](java", "evil", "@", "&lt", "alert", "{{", "\u202e", "\r", "onerror", "<!--", "\\"):
        assert sign not in outside, sign
    headings = [line for line in plain.splitlines() if line.startswith("#")]
    assert [line for line in headings if not line.startswith("# ")] == [
        f"## {title}" for title in ("Use", "Classes", "Figures", "Training data", "Recipe", "Limits", "Versions")
    ]
    assert len([line for line in headings if line.startswith("# ")]) == 1
    legend, *_ = tables(text)
    assert len(legend) == len(names) + 2
    for table in tables(text):
        assert {len(row) for row in table} == {len(table[0])}


def test_hostile_names_stay_names():
    data = "hf://datasets/x/<script>`|\n# y"
    about = {**spec().recipe, "data": data, "loss": "`|<b>", "augment": "```\n# z"}
    made = spec(HOSTILE, recipe=about)
    architecture = made.architecture.model_copy(update={"name": "<b>`|\nx", "backbone": "[x](javascript:y)|`"})
    made = made.model_copy(update={"architecture": architecture})
    text = card(
        made, measured(HOSTILE), [Path("previews/x](y).png"), Path("previews/0.png")], report=evaluated(HOSTILE)
    )
    inert_only(text, HOSTILE)
    assert "![picture, truth, prediction](previews/0.png)" in text
    assert "x](y)" not in text
    read = ModelCard(text).data
    assert read.eval_results is not None
    assert "IoU of <script>alert(1)</script>" in {each.metric_name for each in read.eval_results}
    assert front_matter(text)["library_name"] == "segmodels"
    assert "license" not in front_matter(text)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_one_code_span(name: str):
    assert re.fullmatch(r"`[^`|\n\r]+`", inert(name))


@pytest.mark.parametrize(
    "metrics",
    [
        {}, {"validation": None}, {"validation": [1]}, {"validation": {"mean_iou": "0.9</td>", "loss": float("nan")}},
        {"validation": {"mean_iou": 0.5}, "classes": [{"name": "x", "iou": 3}], "epoch": "<b>", "train_images": -1},
        {"validation": {"mean_iou": 10**400}, "classes": "many"}, {"validation": {"<b>": 1.0}},
    ],
)  # fmt: skip
def test_figures_that_are_none_are_left_out(metrics: dict[str, Any]):
    text = card(spec(), metrics, [])
    assert "<" not in body(text)
    assert "nan" not in text.lower().replace("background", "")
    ModelCard(text)
    for result in front_matter(text).get("model-index", [{"results": []}])[0]["results"]:
        assert all(isinstance(each["value"], float) for each in result["metrics"])


def test_limits_say_what_to_watch_for():
    pets = card(spec(), measured(), [])
    assert "resized to 128 x 128 pixels" in pets
    assert "`border` is a thin class" in pets
    assert "diagnosis" not in pets
    cells = {**spec().recipe, "data": "monuseg", "sampling": "tiles"}
    seen = {"mode": "tiles", "size": 256, "overlap": 64}
    text = card(spec(("background", "nucleus"), recipe=cells, input=seen), {}, [])
    assert "tiles of 256 x 256 pixels" in text
    assert "one scale with those" in text
    assert "not for diagnosis" in text
    assert "border" not in body(text).partition("## Limits")[2]
    assert front_matter(text)["license"] == "cc-by-nc-sa-4.0"
    assert "It has not been evaluated yet." in text
    assert front_matter(card(spec(recipe={**cells, "data": "hf://datasets/a/b@v1"}), {}, []))["datasets"] == ["a/b"]


def test_licences_are_named_as_the_hub_names_them():
    names = ("oxford-pets", "monuseg", "camvid", "toy-pets", "dubai-aerial", "own:cells")
    assert [licence_id(name) for name in names] == [
        "cc-by-sa-4.0", "cc-by-nc-sa-4.0", "cc-by-nc-4.0", "cc0-1.0", None, None,
    ]  # fmt: skip


def test_the_legend_shows_the_colours():
    classes = [{"name": f"c{i}", "colour": f"#{bytes(rgb).hex().upper()}"} for i, rgb in enumerate(SQUARES.values())]
    architecture = {"name": "unet", "backbone": "none", "classes": len(classes), "options": {}}
    text = card(spec(classes=classes, architecture=architecture), {}, [])
    rows = [[cell.strip() for cell in row] for row in tables(text)[0][2:]]
    assert rows == [
        [str(i), f"`{each['name']}`", f"{square} `{each['colour']}`"]
        for i, (each, square) in enumerate(zip(classes, SQUARES, strict=True))
    ]


def test_it_is_written_quickly_and_the_same_each_time(tmp_path: Path):
    (tmp_path / "previews").mkdir()
    for number in (1, 0):
        Image.new("RGB", (96, 32)).save(tmp_path / "previews" / f"{number}.png")
    many = tuple(f"class {number}" for number in range(150))
    large, figures = spec(many), measured(many)
    write_card(tmp_path, large, figures)
    first = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert first.index("previews/0.png") < first.index("previews/1.png")
    start = time.perf_counter()
    write_card(tmp_path, large, copy.deepcopy(figures))
    assert time.perf_counter() - start < 2  # 0.05 s on an idle machine
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == first
    assert "and 142 more" in first
