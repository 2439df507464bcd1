"""The Compare page in Streamlit's own test runner: how a comparison begins, is steered, and what its views show."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st
from PIL import Image
from streamlit.testing.v1 import AppTest

from segmodels import cli, cli_compare
from segmodels.errors import UserError
from segmodels.evaluation.compare.comparison import COUNTS, DOCUMENT, Comparison, find_comparison, list_comparisons
from segmodels.evaluation.compare.differences import real_differences
from segmodels.evaluation.compare.entries import HISTORY, RECIPE, SPEED, TRAINING, Member
from segmodels.evaluation.compare.table import comparison_table
from segmodels.home import home as home_folder
from segmodels.models.architectures import ARCHITECTURES
from segmodels.prediction.stored import StoredPredictions
from segmodels.recipe import Recipe
from segmodels.training.runs import Run, list_runs
from tests.made_comparison import made_comparison
from tests.test_app import opened, texts, widget
from ui import comparison_apart
from ui.comparison_apart import masks_apart, share_apart
from ui.comparison_cost import cost_points
from ui.comparison_differences import interval_points
from ui.comparison_found import PictureScores, comparison_dataset, entry_name, evaluated, picture_scores
from ui.comparison_pictures import APART, MASKS_APART, NAME, WORST, sorted_ids
from ui.comparison_protocol import FIRST, MORE, NETWORK
from ui.comparison_recipes import differing_fields
from ui.comparison_table import BEST, styled
from ui.comparison_view import VIEWS


@pytest.fixture(autouse=True)
def _nothing_cached() -> None:
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The comparisons that a process was asked to conduct; none is started."""
    found: list[str] = []
    for module in ("ui.comparison_form", "ui.comparison_view"):
        monkeypatch.setattr(f"{module}.begin", lambda comparison, *place, **more: found.append(comparison.id))
    return found


def words(app: AppTest) -> str:
    return texts(app).replace("\\", "")


def command(app: AppTest) -> str:
    return next(block.value for block in app.code if block.value.startswith("python -m segmodels compare"))


def made_by(line: str) -> Comparison:
    """What the command line makes of a command."""
    return cli_compare._create(cli.parser().parse_args(shlex.split(line)[3:]))


def chart(app: AppTest, number: int = 0) -> dict[str, Any]:
    return json.loads(app.get("plotly_chart")[number].proto.spec)


def said(comparison: Comparison) -> dict[str, Any]:
    """All that was asked for, but for when."""
    return {name: value for name, value in vars(comparison).items() if name not in ("path", "created")}


# How one begins


def test_a_fresh_home_opens_the_form_and_names_a_comparison_that_is_gone(home: Path) -> None:
    app = opened("3_Compare")
    assert not app.exception
    assert not app.error
    assert "**3** runs to train" in texts(app)
    assert widget(app.button, "Start the comparison").disabled is False
    app = opened("3_Compare", comparison="gone")
    assert not app.exception
    assert "There is no comparison gone any more" in words(app)


def test_every_field_of_a_recipe_is_in_the_form_or_left_to_the_networks() -> None:
    assert len(set(FIRST + MORE + NETWORK)) == len(FIRST + MORE + NETWORK)
    left = set(Recipe.model_fields) - set(FIRST + MORE + NETWORK)
    assert left == {"data", "root", "form", "split_file", "norm_momentum", "xla", "snapshots"}


def test_what_the_form_starts_is_what_its_command_makes(home: Path, begun: list[str]) -> None:
    app = opened("3_Compare")
    app = widget(app.multiselect, "Architectures").set_value(["unet", "segformer", "fpn"]).run()
    app = widget(app.number_input, "Image size").set_value(64).run()
    app = widget(app.number_input, "Limit").set_value(16).run()
    app = widget(app.selectbox, "Loss").set_value("focal").run()
    app = widget(app.number_input, "Seeds").set_value(3).run()
    app = widget(app.text_input, "Title").set_value("mine & yours").run()
    app = widget(app.button_group, "Split").set_value("validation").run()
    app = widget(app.button_group, "Compared at").set_value("model").run()
    assert not app.exception
    assert not app.error
    line = command(app)
    assert "**9** runs to train" in texts(app)
    assert "- segformer on mit-b0 x 3" in words(app), "which cannot have the encoder of the others"
    app = widget(app.button, "Start the comparison").click().run()
    assert not app.exception
    (comparison,) = list_comparisons()
    assert begun == [comparison.id]
    assert app.query_params["comparison"] == comparison.id
    assert "mine & yours" in words(app)
    assert said(made_by(line)) == said(comparison)
    assert [(member.name, len(member.runs)) for member in comparison.members] == [
        ("unet on mobilenetv2", 3), ("segformer on mit-b0", 3), ("fpn on mobilenetv2", 3),
    ]  # fmt: skip
    recipes = [Recipe(**(member.recipe or {})) for member in comparison.members]
    assert {(r.image_size, r.limit, r.loss, r.weights) for r in recipes} == {(64, 16, "focal", "imagenet")}


@pytest.mark.parametrize(("backbone", "pretrained"), [("none", True), ("resnet50", False), ("mit-b0", True)])
def test_all_architectures_on_any_encoder_are_one_command(home: Path, backbone: str, pretrained: bool) -> None:
    app = opened("3_Compare")
    app = widget(app.selectbox, "Encoder").set_value(backbone).run()
    app = widget(app.toggle, "Begin with pretrained encoders").set_value(pretrained).run()
    app = widget(app.number_input, "Image size").set_value(256).run()  # as Pix2Pix needs it
    app = widget(app.multiselect, "Architectures").set_value(list(ARCHITECTURES)).run()
    assert not app.exception
    assert not app.error
    comparison = made_by(command(app))
    for member, (name, row) in zip(comparison.members, ARCHITECTURES.items(), strict=True):
        assert member.recipe is not None
        assert member.recipe["architecture"] == name
        assert member.recipe["backbone"] == (backbone if backbone in row.backbones else row.backbones[0])
        assert f"- {member.name}" in words(app)
        if not pretrained:
            assert member.recipe["weights"] == "none"


def test_settings_are_those_of_a_run(home: Path, begun: list[str]) -> None:
    fields = {"epochs": 7, "optimizer": "adamw", "schedule": "plateau", "plateau_patience": 2, "snapshots": 5}
    recipe = Recipe(data="toy-pets", architecture="segnet", options={"width": 8}, image_size=64, **fields)
    Run.create(recipe, home / "runs" / "mine").write_status(state="stopped")
    app = opened("3_Compare")
    app = widget(app.selectbox, "Settings of").set_value("mine").run()
    assert not app.exception
    assert not app.error
    line = command(app)
    assert "--option" not in line, "which are of its network"
    members = made_by(line).members
    assert len(members) == 3
    for member in members:
        assert {name: (member.recipe or {})[name] for name in fields} == fields
        assert (member.recipe or {})["weight_decay"] == 1e-4


def test_named_recipes_keep_their_own_settings(data_folder: Path, home: Path) -> None:
    app = opened("3_Compare", **{"compare-data": "camvid"})
    app = widget(app.button_group, "Protocol").set_value("own").run()
    assert not app.exception
    assert not app.error
    comparison = made_by(command(app))
    assert comparison.protocol == "own"
    assert [member.name for member in comparison.members] == ["camvid", "classic-colour-unet"]


def test_models_that_are_there_are_added_and_those_of_other_classes_marked(
    tiny_run: Run, home: Path, begun: list[str]
) -> None:
    shutil.copytree(tiny_run.path, home / "runs" / "mine")
    other = Path(shutil.copytree(tiny_run.path, home / "runs" / "other"))
    spec = json.loads((other / "best" / "segmodels.json").read_text())
    spec["classes"][0]["name"] = "dog"
    (other / "best" / "segmodels.json").write_text(json.dumps(spec))
    app = opened("3_Compare")
    app = widget(app.multiselect, "Architectures").set_value([]).run()
    assert widget(app.button, "Start the comparison").disabled
    box = widget(app.multiselect, "Models that are there already")
    assert ["other classes" in option for option in box.options] == [False, True]
    app = box.set_value(["mine", "other"]).run()
    assert not app.exception
    assert "other: of other classes than toy-pets" in words(app)
    assert "**2** models that are there" in texts(app)
    line = command(app)
    assert line == "python -m segmodels compare --data toy-pets --models mine,other"
    app = widget(app.button, "Start the comparison").click().run()
    assert not app.exception
    assert [(m.model, m.recipe) for m in list_comparisons()[0].members] == [("mine", None), ("other", None)]


def test_a_field_that_is_wrong_is_said_and_nothing_can_be_started(home: Path) -> None:
    app = opened("3_Compare")
    app = widget(app.number_input, "Epochs").set_value(2).run()
    app = widget(app.number_input, "Freeze epochs").set_value(2).run()
    assert not app.exception
    assert "freeze_epochs=2: must be fewer than the 2 epochs" in words(app)
    assert not [button for button in app.button if button.label == "Start the comparison"]


# How one is steered


def test_stop_go_on_and_delete(home: Path, begun: list[str]) -> None:
    comparison = made_comparison(home, members=2, waiting=[(1, 0)], state="stopped")
    run = Run.create(Recipe(data="toy-pets"), home / "runs" / "its")
    run.write_status(state="paused")
    comparison.keep_run(1, 0, run)
    app = opened("3_Compare")
    assert "1 of 2 evaluated" in words(app)
    app = widget(app.button, "Go on with it").click().run()
    assert begun == [comparison.id]
    with comparison.lock():
        comparison.write_status(state="running", phase="training", done=1, total=2)
        app = opened("3_Compare")
        assert not app.exception
        assert not [button for button in app.button if button.label in ("Yes, delete it", "Go on with it")]
        widget(app.button, "Stop").click().run()
        assert comparison.take_request()
    comparison.write_status(state="stopped", phase="stopped")
    app = opened("3_Compare", comparison=comparison.id)
    app = widget(app.button, "Yes, delete it").click().run()
    assert not app.exception
    assert "is deleted; its runs are still there" in app.success[0].value
    assert list_comparisons() == []
    assert [each.id for each in list_runs()] == ["its"]
    assert "comparison" not in app.query_params


def test_one_that_is_deleted_while_it_is_looked_at_gives_way_to_another(home: Path) -> None:
    first = made_comparison(home, members=2, title="first")
    second = made_comparison(home, members=2, title="second")
    app = opened("3_Compare", comparison=second.id)
    second.delete()
    app = app.run()
    assert not app.exception
    assert f"There is no comparison {second.id} any more" in words(app)
    assert widget(app.selectbox, "Comparison").value == first.id


def test_the_way_to_a_run_leads_to_it(home: Path) -> None:
    """What the tabs of one page have chosen must not choose those of the next."""
    comparison = made_comparison(home, members=2)
    run = Run.create(Recipe(data="toy-pets"), home / "runs" / "its")
    run.write_status(state="stopped")
    comparison.keep_run(0, 0, run)
    app = opened("3_Compare", comparison=comparison.id)
    (link,) = [each.proto for each in app.get("page_link") if each.proto.label == comparison.members[0].name]
    assert link.query_string == "run=its&part=Watch"
    app.switch_page("pages/2_Train.py")
    app.query_params["run"], app.query_params["part"] = "its", "Watch"
    app = app.run()
    assert not app.exception
    assert widget(app.selectbox, "Run").value == "its"


def test_a_problem_of_a_button_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = made_comparison(home, members=2, waiting=[(1, 0)], state="interrupted")

    def refuse(*_: object) -> None:
        raise UserError("no space left")

    monkeypatch.setattr("ui.comparison_view.begin", refuse)
    app = widget(opened("3_Compare").button, "Go on with it").click().run()
    assert not app.exception
    assert [error.value for error in app.error] == ["no space left"]
    assert find_comparison(comparison.id).state == "interrupted"


# What its views show


def test_the_table_has_the_figures_and_marks_the_best(home: Path) -> None:
    comparison = made_comparison(home, members=3, seeds=2, failed={(2, 0): "out of memory", (2, 1): "out of memory"})
    app = opened("3_Compare", comparison=comparison.id)
    assert not app.exception
    table = comparison_table(comparison)
    shown = app.dataframe[0].value
    assert shown["Model"].tolist() == [row.name for row in table.rows]
    assert shown["State"].tolist() == ["evaluated", "evaluated", "failed"]
    for column in table.columns:
        if column.group in ("quality", "cost"):
            expected = [row.values[column.key] for row in table.rows]
            np.testing.assert_allclose(shown[column.title], np.array(expected, float))
    assert "out of memory" in app.error[0].value
    app = widget(app.button_group, "Columns").set_value(["class"]).run()
    assert set(app.dataframe[0].value) == {"Model", "Seeds", "State", "IoU pet", "IoU background", "IoU border"}
    app = widget(app.text_input, "Search").set_value("RESNET fpn").run()
    assert app.dataframe[0].value["Model"].tolist() == ["fpn on resnet50"]
    app = widget(app.text_input, "Search").set_value("nothing").run()
    assert "No model is called so" in texts(app)


def test_cells_are_shown_with_their_spread_and_the_best_of_each_column(home: Path) -> None:
    comparison = made_comparison(home, members=3, seeds=3)
    table = comparison_table(comparison)
    columns = [table.column(key) for key in ("mean_iou", "loss", "parameters")]
    style = styled(table, table.rows, columns)
    style._compute()
    for place, row in enumerate(table.rows):
        for number, column in enumerate(columns, start=style.data.columns.get_loc(columns[0].title)):
            values = [each.values[column.key] or 0 for each in table.rows]
            best = max(values) if column.key == "mean_iou" else min(values)
            marked = any("background-color" in part[0] for part in style.ctx.get((place, number), []))
            assert marked == (row.values[column.key] == best), (row.name, column.key)
            spread = row.spread[column.key]
            text = format(row.values[column.key], column.format)
            expected = text if spread is None else f"{text} ± {format(spread, column.format)}"
            assert style._display_funcs[place, number](style.data.iat[place, number]) == expected
    assert BEST.startswith("background-color")


def test_differences_are_drawn_as_they_are_found(home: Path) -> None:
    comparison = made_comparison(home, members=4)
    app = opened("3_Compare", view="Differences")
    assert not app.exception
    found = real_differences(comparison.entries())
    assert found is not None
    for key in ("mean_iou", "mse"):
        app = widget(app.selectbox, "Figure").set_value(key).run()
        column, boot = found.bootstrap.figures.index(key), found.bootstrap
        (dots,) = chart(app)["data"]
        order = np.argsort(boot.values[:, column] * (1 if key == "mse" else -1))
        assert dots["y"] == [boot.models[place] for place in order]
        np.testing.assert_allclose(dots["x"], boot.values[order, column])
        np.testing.assert_allclose(np.add(dots["x"], dots["error_x"]["array"]), boot.high[order, column])
        np.testing.assert_allclose(np.subtract(dots["x"], dots["error_x"]["arrayminus"]), boot.low[order, column])
        rows = app.dataframe[0].value
        pairs = {(pair.first, pair.second): pair for pair in boot.pairs(key)}
        assert len(rows) == len(pairs) == 6
        for _, row in rows.iterrows():
            pair = pairs[row["One"], row["The other"]]
            assert row["p, Holm"] == pytest.approx(pair.p_corrected)
            assert row["Told apart"] == pair.different
    assert "of the 40 pictures" in texts(app)


def test_models_that_are_alike_are_one_group_in_words(home: Path) -> None:
    comparison = made_comparison(home, members=2)
    one, other = (entry.folder for entry in comparison.entries())
    shutil.copyfile(one / COUNTS, other / COUNTS)
    shutil.copyfile(one / DOCUMENT, other / DOCUMENT)
    app = opened("3_Compare", view="Differences")
    assert not app.exception
    assert "**none** of these models can be told apart" in texts(app)
    marks = [note["text"] for note in chart(app)["layout"]["annotations"]]
    assert marks == ["<b>a</b>", "<b>a</b>"]


def test_a_model_without_a_figure_is_not_drawn(home: Path) -> None:
    found = real_differences(made_comparison(home, members=2).entries())
    assert found is not None
    found.bootstrap.values[0, found.bootstrap.figures.index("mean_iou")] = np.nan
    assert [point.name for point in interval_points(found.bootstrap, "mean_iou")] == [found.bootstrap.models[1]]


def test_pictures_are_sorted_by_disagreement() -> None:
    generator = np.random.default_rng(0)
    values = generator.random((3, 20))
    values[:, 7] = np.nan
    ids = [f"p{number:02d}" for number in generator.permutation(20)]
    scores = PictureScores(["a", "b", "c"], ids, {"mean_iou": values})
    spread = {ids[i]: -np.sqrt(np.mean((values[:2, i] - values[:2, i].mean()) ** 2)) for i in range(20) if i != 7}
    mean = {ids[i]: (values[0, i] + values[2, i]) / 2 for i in range(20) if i != 7}
    assert sorted_ids(scores, ["a", "b"], "mean_iou", APART) == [*sorted(spread, key=spread.__getitem__), ids[7]]
    assert sorted_ids(scores, ["c", "a"], "mean_iou", WORST) == [*sorted(mean, key=mean.__getitem__), ids[7]]
    assert sorted_ids(scores, ["a"], "mean_iou", NAME) == sorted(ids)
    assert sorted_ids(scores, ["gone"], "mean_iou", APART) == sorted(ids)
    far = {ids[2]: 0.5, ids[7]: 0.75, ids[0]: 0.25}
    others = [name for name in sorted(spread, key=spread.__getitem__) if name not in far]
    expected = [ids[7], ids[2], ids[0], *others]
    assert sorted_ids(scores, ["a", "b"], "mean_iou", MASKS_APART, far) == expected


def test_scores_of_pictures_are_those_of_each_seed(home: Path) -> None:
    comparison = made_comparison(home, members=2, seeds=2, pictures=6)
    entries = comparison.entries()
    scores = picture_scores(entries)
    assert scores.names == [f"{member.name}, seed {seed}" for member in comparison.members for seed in (1, 2)]
    for row, entry in enumerate(entries):
        assert entry.report is not None
        np.testing.assert_array_equal(scores.scores["mean_iou"][row], entry.report.counts.scores()["mean_iou"])
    one, two = scores.scores["mean_iou"][:2]
    spread = dict(zip(scores.ids, np.abs(one - two), strict=True))
    ids = sorted_ids(scores, scores.names[:2], "mean_iou", APART)
    assert ids == sorted(scores.ids, key=spread.__getitem__, reverse=True)
    assert spread[ids[0]] > 0
    (entries[3].folder / COUNTS).write_bytes(b"damaged")
    assert picture_scores(entries).names == scores.names[:3], "as they were called before"


def test_below_each_seed_stands_its_own_figure(home: Path) -> None:
    comparison = made_comparison(home, members=1, seeds=2, pictures=6, masks=True)
    app = opened("3_Compare", view="Pictures")
    names = [f"{comparison.members[0].name}, seed {seed}" for seed in (1, 2)]
    app = widget(app.multiselect, "Models").set_value(names).run()
    assert not app.exception
    scores = picture_scores(comparison.entries())
    (at,) = [place for place, name in enumerate(scores.ids) if f"**{name}**, 1 of 6" in words(app)]
    values = scores.scores["mean_iou"][:, at]
    assert values[0] != values[1]
    shown = [caption.value for caption in app.caption if caption.value.startswith("mean IoU")]
    assert shown == [f"mean IoU {value:.3f}" for value in values]


def stored_masks(comparison: Comparison) -> list[StoredPredictions]:
    dataset = comparison.dataset()
    return [StoredPredictions(path, dataset) for entry in comparison.entries() if (path := entry.checkpoint)]


def brute_force(stores: list[StoredPredictions], comparison: Comparison, pictures: int) -> dict[str, float]:
    """Pixel by pixel, of the files as another reader reads them."""
    shares = {}
    for sample in comparison.dataset().samples(comparison.split)[:pictures]:
        files = [store.folder / "masks" / f"{store.dataset.state(sample)}.png" for store in stores]
        pixels = [np.asarray(Image.open(file)).ravel().tolist() for file in files]
        apart = [len(set(values)) > 1 for values in zip(*pixels, strict=True)]
        shares[sample.id] = sum(apart) / len(apart)
    return shares


def test_the_share_of_pixels_on_which_two_masks_differ() -> None:
    masks = list(np.random.default_rng(0).integers(0, 3, (4, 9, 7), dtype=np.uint8))
    for one, other in itertools.combinations(masks, 2):
        assert share_apart([one, other]) == np.mean(one != other)
    assert share_apart(masks[:1]) == share_apart([masks[1]] * 3) == 0
    differ = np.array([[len(set(values)) > 1 for values in row] for row in np.stack(masks, axis=-1).tolist()])
    assert share_apart(masks) == differ.mean()


def test_pictures_are_sorted_by_how_far_their_masks_are_apart(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = made_comparison(home, members=4, pictures=12, masks=True)
    stores = stored_masks(comparison)
    names = [member.name for member in comparison.members]
    read: list[str] = []
    share = comparison_apart._share
    monkeypatch.setattr(
        comparison_apart, "_share", lambda stores, sample: (read.append(sample.id), share(stores, sample))[1]
    )
    app = opened("3_Compare", view="Pictures")
    assert not read, "nothing is compared before it is asked for"
    app = widget(app.button_group, "Order").set_value(MASKS_APART).run()
    assert not app.exception
    expected = brute_force(stores[:3], comparison, 12)
    ids = sorted(expected, key=expected.__getitem__, reverse=True)
    assert len(set(expected.values())) == 12
    assert f"**{ids[0]}**, 1 of 12" in words(app)
    assert f"not all alike on {100 * expected[ids[0]]:.1f} % of its pixels" in words(app)
    app = widget(app.slider, "Picture").set_value(12).run()
    assert f"**{ids[11]}**, 12 of 12" in words(app)
    assert sorted(read) == sorted(expected), "each picture once"
    app = widget(app.multiselect, "Models").set_value(names[2:]).run()
    expected = brute_force(stores[2:], comparison, 12)
    ids = sorted(expected, key=expected.__getitem__, reverse=True)
    assert f"**{ids[11]}**, 12 of 12" in words(app)
    app = widget(app.multiselect, "Models").set_value(names[:1]).run()
    assert not app.exception
    assert "It takes two models" in words(app)


def test_pictures_without_all_masks_come_last_and_what_is_written_since_counts(home: Path) -> None:
    comparison = made_comparison(home, members=2, pictures=6, masks=True)
    stores, dataset = stored_masks(comparison), comparison.dataset()
    samples = dataset.samples(comparison.split)[:6]
    whole = brute_force(stores, comparison, 6)
    assert masks_apart(stores, samples) == whole
    (stores[1].folder / "masks" / f"{dataset.state(samples[0])}.png").unlink()
    (stores[0].folder / "masks" / f"{dataset.state(samples[1])}.png").write_bytes(b"damaged")
    assert masks_apart(stores, samples) == {sample.id: whole[sample.id] for sample in samples[2:]}
    app = opened("3_Compare", view="Pictures")
    app = widget(app.button_group, "Order").set_value(MASKS_APART).run()
    app = widget(app.slider, "Picture").set_value(6).run()
    assert not app.exception
    assert "Of 2 of 6 pictures not all masks are kept" in words(app)
    assert any(f"**{sample.id}**, 6 of 6" in words(app) for sample in samples[:2])
    truth = dataset.read_mask(samples[0])
    stores[1].keep(samples[0], truth, (truth + 1) % 3, dataset.classes)
    shares = masks_apart(stores, samples)
    assert set(shares) == {sample.id for sample in samples} - {samples[1].id}
    mask = stores[0].mask(samples[0])
    assert mask is not None
    assert shares[samples[0].id] == np.mean(mask != (truth + 1) % 3)


def test_the_data_set_is_opened_once_for_a_comparison_as_its_file_is(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    comparison = made_comparison(home, members=1)
    made: list[str] = []
    dataset = Comparison.dataset
    monkeypatch.setattr(Comparison, "dataset", lambda self: (made.append(self.id), dataset(self))[1])
    first = comparison_dataset(comparison)
    assert comparison_dataset(find_comparison(comparison.id)) is first
    os.utime(comparison.path / "comparison.json", (1, 1))
    assert comparison_dataset(comparison) is not first
    assert made == [comparison.id] * 2
    for view in ("Pictures", "Reports"):
        assert not opened("3_Compare", view=view).exception
    assert made == [comparison.id] * 2


@pytest.mark.parametrize("created", [1e300, float("nan"), float("inf"), -1e300, 1e18])
def test_a_time_that_is_none_is_not_shown(home: Path, monkeypatch: pytest.MonkeyPatch, created: float) -> None:
    comparison = made_comparison(home, members=1, title="mine")
    other = made_comparison(home, members=1, title="other")
    monkeypatch.setattr(
        "ui.comparison_list.list_comparisons", lambda: [changed(each, created) for each in (comparison, other)]
    )
    app = opened("3_Compare", comparison=other.id)
    assert not app.exception
    assert widget(app.selectbox, "Comparison").options == ["mine", "other"]


def changed(comparison: Comparison, created: float) -> Comparison:
    comparison.created = created
    return comparison


def test_pictures_are_gone_through_side_by_side(home: Path) -> None:
    comparison = made_comparison(home, members=8, pictures=12, masks=True)
    app = opened("3_Compare", view="Pictures")
    assert not app.exception
    assert not app.error
    names = [entry_name(entry, comparison.entries()) for entry in evaluated(comparison.entries())]
    ids = sorted_ids(picture_scores(comparison.entries()), names[:3], "mean_iou", APART)
    assert f"**{ids[0]}**, 1 of 12" in words(app)
    assert widget(app.button, "Before").disabled
    app = widget(app.button, "Next").click().run()
    assert f"**{ids[1]}**, 2 of 12" in words(app)
    app = widget(app.slider, "Picture").set_value(12).run()
    assert f"**{ids[11]}**, 12 of 12" in words(app)
    assert widget(app.button, "Next").disabled
    app = widget(app.multiselect, "Models").set_value([member.name for member in comparison.members[:6]]).run()
    assert not app.exception
    assert len(app.get("bidi_component")) == 7
    for mode in ("errors", "two against each other"):
        app = widget(app.button_group, "Show").set_value(mode).run()
        assert not app.exception
        assert not app.error
    assert len(app.get("bidi_component")) == 1
    assert "Not predicted" not in texts(app)


def test_masks_that_are_not_kept_are_named_and_can_be_made(home: Path) -> None:
    comparison = made_comparison(home, members=2, pictures=40, masks=True)
    checkpoint = comparison.entries()[1].checkpoint
    assert checkpoint is not None
    (checkpoint / "model.weights.h5").write_bytes(b"trained on since")
    app = opened("3_Compare", view="Pictures")
    assert not app.exception
    assert f"Not predicted, or not any more: {comparison.members[1].name}" in words(app)
    assert widget(app.button, "Predict 40 pictures")
    shutil.rmtree(checkpoint)
    app = opened("3_Compare", view="Pictures")
    assert not app.exception
    assert not [button for button in app.button if button.label.startswith("Predict")]
    assert "its checkpoint was deleted" in words(app)


def test_cost_has_the_front_that_brute_force_finds(home: Path) -> None:
    table = comparison_table(made_comparison(home, members=6))
    cost = table.column("gflops")
    for key in ("mean_iou", "loss"):
        score = table.column(key)
        sign = 1 if score.better == "higher" else -1
        points = cost_points(table, cost, score, {})
        assert len(points) == 6
        for point in points:
            beaten = any(
                other.cost <= point.cost
                and sign * other.score >= sign * point.score
                and (other.cost, other.score) != (point.cost, point.score)
                for other in points
            )
            assert point.front == (not beaten)


def test_cost_is_drawn_with_intervals(home: Path) -> None:
    comparison = made_comparison(home, members=3)
    app = opened("3_Compare", view="Cost")
    assert not app.exception
    found = real_differences(comparison.entries())
    assert found is not None
    column = found.bootstrap.figures.index("mean_iou")
    marks = [trace for trace in chart(app)["data"] if trace["mode"] == "markers"]
    for trace in marks:
        row = found.bootstrap.models.index(trace["name"])
        assert trace["y"][0] + trace["error_y"]["array"][0] == pytest.approx(found.bootstrap.high[row, column])
    app = widget(app.selectbox, "Cost").set_value("onnx_milliseconds").run()
    app = widget(app.toggle, "Logarithmic axis").set_value(True).run()
    assert not app.exception
    assert chart(app)["layout"]["xaxis"]["type"] == "log"


def test_classes_curves_and_recipes_are_those_of_the_files(home: Path) -> None:
    comparison = made_comparison(home, members=3, models=1, recipes=[{}, {"epochs": 9, "loss": "dice"}])
    table = comparison_table(comparison)
    app = opened("3_Compare", view="Classes")
    heat = chart(app)["data"][0]
    names = [f"iou: {name}" for name in heat["x"]]
    packed = np.frombuffer(base64.b64decode(heat["z"]["bdata"]), heat["z"]["dtype"])
    for row, values in zip(table.rows, packed.reshape(3, -1), strict=True):
        np.testing.assert_allclose(values, [100 * (row.values[name] or 0) for name in names])
    app = opened("3_Compare", view="Curves")
    assert not app.exception
    trained = [member.name for member in comparison.members if member.recipe]
    assert widget(app.multiselect, "Runs").value == trained
    assert f"Without curves: {comparison.members[2].name}" in words(app)
    drawn = [trace for trace in chart(app)["data"] if trace["name"] == f"{trained[1]}, validation"]
    assert drawn
    app = opened("3_Compare", view="Recipes")
    assert not app.exception
    rows = app.dataframe[0].value.set_index("Field")
    assert rows.loc["epochs", trained].tolist() == ["5", "9"]
    assert rows.loc["loss", trained].tolist() == [Recipe().loss, "dice"]


def test_fields_that_differ_have_the_value_of_every_recipe() -> None:
    recipes = {
        name: Recipe(data="toy-pets", **fields).model_dump(mode="json")
        for name, fields in {"a": {"epochs": 3}, "b": {"epochs": 3, "seed": 4}, "c": {"epochs": 5}}.items()
    }
    assert differing_fields(recipes) == [
        {"Field": "seed", "a": "0", "b": "4", "c": "0"},
        {"Field": "epochs", "a": "3", "b": "3", "c": "5"},
    ]


def test_one_model_is_shown_in_full(home: Path) -> None:
    comparison = made_comparison(home, members=2, masks=True)
    app = opened("3_Compare", view="Reports")
    app = widget(app.selectbox, "Report of").set_value(comparison.members[1].name).run()
    assert not app.exception
    assert not app.error
    assert len(app.get("plotly_chart")) >= 2


# What is damaged or gone

DAMAGES: dict[str, tuple[str, bytes | None]] = {
    "no counts": (COUNTS, None),
    "counts that are none": (COUNTS, b"PK\x03\x04 none"),
    "a report that is no JSON": (DOCUMENT, b"{"),
    "a report of another kind": (DOCUMENT, b"[1, 2]"),
    "a speed of wrong types": (SPEED, b'{"parameters": "many", "gflops": [1], "keras_milliseconds": null}'),
    "a training of wrong types": (TRAINING, b'{"seconds": "long", "best_epoch": "x", "device": 3, "epochs": {}}'),
    "curves that are none": (HISTORY, b"epoch,loss\nx,y\n\x00\n"),
    "a recipe of a newer version": (RECIPE, b'{"of_tomorrow": 1, "epochs": "x"}'),
}


def test_damaged_results_are_told_and_the_rest_shown(home: Path) -> None:
    comparison = made_comparison(home, members=2 + len(DAMAGES), pictures=8, masks=True)
    for entry, (name, content) in zip(comparison.entries()[1:], DAMAGES.values(), strict=False):
        path = entry.folder / name
        path.unlink() if content is None else path.write_bytes(content)
    for view in VIEWS:
        app = opened("3_Compare", view=view)
        assert not app.exception, view
        assert all("\n" not in error.value for error in app.error if view != "Table"), view
        if view == "Differences":
            names = chart(app)["data"][0]["y"]
            whole = {comparison.members[place].name for place in (0, 5, 6, 7, 8, 9)}
            assert set(names) == whole, "those whose report and counts are there"


def test_a_data_set_that_is_gone_leaves_all_but_the_pictures(home: Path) -> None:
    comparison = made_comparison(home, members=2)
    document = json.loads((comparison.path / "comparison.json").read_text())
    (comparison.path / "comparison.json").write_text(json.dumps({**document, "data": str(home_folder() / "gone")}))
    for view in VIEWS:
        app = opened("3_Compare", view=view)
        assert not app.exception, view
        assert bool(app.error) == (view in ("Pictures", "Reports")), view


def test_a_comparison_without_results_says_that_it_waits(home: Path) -> None:
    members = [Member("one", Recipe(data="toy-pets").model_dump(mode="json"), None, (None,))]
    comparison = Comparison.create(members, data="toy-pets", title="<script>")
    comparison.write_status(state="stopped", phase="stopped")
    app = opened("3_Compare")
    assert not app.exception
    assert "The table begins with the first model that is evaluated" in texts(app)
    assert "<script>" in words(app)
