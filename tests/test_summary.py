"""What a network costs: against TensorFlow's own count, against sums by hand, on the command line and on the page."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from segmodels import worker
from segmodels.errors import UserError
from segmodels.models.architectures import ARCHITECTURES
from segmodels.models.summary_text import summary_text
from ui.figures import compact, memory
from ui.network_chart import architecture_drawing, said

ROOT = Path(__file__).parents[1]
SMALL = {"width": 4, "depth": 3}
#: What the summary counts, by the names that TensorFlow's kernels have.
PRODUCTS = {"Conv2D", "DepthwiseConv2dNative", "Conv2DBackpropInput", "MatMul", "BatchMatMulV2", "Einsum"}


def summarised(architecture: str = "unet", classes: int = 3, **fields: Any) -> dict[str, Any]:
    from segmodels.models.summary import summarise

    return summarise(architecture, classes=classes, **fields)


@pytest.fixture(scope="module")
def small() -> dict[str, Any]:
    return summarised(image_size=64, **SMALL)


def profiled(model: Any, size: int) -> dict[str, int]:
    """Floating-point operations by kernel, as TensorFlow's profiler counts them in the frozen graph."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2_as_graph

    called = tf.function(lambda images: model(images, training=False))
    concrete = called.get_concrete_function(tf.TensorSpec((1, size, size, 3)))
    frozen, _ = convert_variables_to_constants_v2_as_graph(concrete)
    profiler = tf.compat.v1.profiler
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(frozen.graph.as_graph_def(), name="")
        options = profiler.ProfileOptionBuilder(profiler.ProfileOptionBuilder.float_operation())
        found = profiler.profile(
            graph=graph,
            run_meta=tf.compat.v1.RunMetadata(),
            cmd="op",
            options=options.with_empty_output().order_by("float_ops").build(),
        )
    counts: dict[str, int] = {}

    def collect(node: Any) -> None:
        counts[node.name] = node.float_ops
        for child in node.children:
            collect(child)

    collect(found)
    return {**counts, "total": found.total_float_ops}


@pytest.mark.parametrize(
    ("architecture", "backbone", "size"),
    [
        ("unet", "none", 64),
        ("unet", "mobilenetv2", 64),
        ("unet", "mobilenetv2", 70),
        pytest.param("pix2pix", "none", 256, marks=pytest.mark.slow),
        ("segformer", "mit-b0", 64),
    ],
)
def test_operations_are_those_that_tensorflow_counts(architecture: str, backbone: str, size: int) -> None:
    from segmodels.models.build import build

    model = build(architecture, classes=3, backbone=backbone)
    summary = summarised(architecture, backbone=backbone, image_size=size)
    counts = profiled(model, size)
    assert 2 * summary["multiply_adds"] == sum(counts.get(kernel, 0) for kernel in PRODUCTS)
    assert 1e9 * summary["gflops"] == pytest.approx(counts["total"], rel=0.02)
    assert summary["parameters"]["total"] == model.count_params()
    assert summary["parameters"]["total"] == sum(layer["parameters"] for layer in summary["layers"])
    assert summary["uncounted"] == []


def test_a_network_by_hand() -> None:
    """conv 3 to 4, conv 4 to 4, their sum, on 8 x 8 pixels."""
    from segmodels.backend import keras
    from segmodels.models.summary_cost import multiply_adds
    from segmodels.models.summary_graph import execution, live_elements

    images = keras.Input((None, None, 3))
    first = keras.layers.Conv2D(4, 3, padding="same", name="first")(images)
    second = keras.layers.Conv2D(4, 3, padding="same", name="second")(first)
    dropped = keras.layers.Dropout(0.5, name="dropped")(second)
    model = keras.Model(images, keras.layers.Add(name="sum")([first, dropped]))
    steps = execution(model, 8)
    assert [step.name for step in steps] == ["first", "second", "dropped", "sum"]
    assert [step.inputs for step in steps] == [(-1,), (0,), (1,), (0, 2)]
    costs = [multiply_adds(step.layer, step.input_shapes, step.output_shapes) for step in steps]
    assert costs == [64 * 9 * 3 * 4, 64 * 9 * 4 * 4, 0, 0]
    # While `sum` runs there are first, second (a dropout hands it on) and the sum; the picture went with `first`.
    assert live_elements(steps, picture=64 * 3) == 3 * 64 * 4


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (lambda k: k.layers.SeparableConv2D(5, 3, padding="same"), (8, 8, 4), 64 * (9 * 4 + 4 * 5)),
        (lambda k: k.layers.DepthwiseConv2D(3, strides=2, padding="same"), (8, 8, 4), 16 * 9 * 4),
        (lambda k: k.layers.Conv2D(6, 1, groups=2), (8, 8, 4), 64 * 2 * 6),
        (lambda k: k.layers.Conv2DTranspose(5, 2, strides=2), (8, 8, 4), 64 * 4 * 4 * 5),
        (lambda k: k.layers.Dense(7), (8, 8, 4), 64 * 4 * 7),
        (lambda k: k.layers.EinsumDense("...x,xy->...y", output_shape=7), (8, 8, 4), 64 * 4 * 7),
        (lambda k: k.layers.BatchNormalization(), (8, 8, 4), 0),
        (lambda k: k.layers.MultiHeadAttention(2, 2), (64, 4), None),
    ],
)
def test_each_layer_by_hand(layer: Callable, shape: tuple[int, ...], expected: int | None) -> None:
    from segmodels.backend import keras
    from segmodels.models.summary_cost import multiply_adds

    made, given = layer(keras), keras.Input(shape, batch_size=1)
    result = made(given, given) if isinstance(made, keras.layers.MultiHeadAttention) else made(given)
    assert multiply_adds(made, (given.shape,), (result.shape,)) == expected


@pytest.mark.parametrize("architecture", list(ARCHITECTURES))
def test_every_architecture_is_summed_up_and_drawn(architecture: str) -> None:
    row = ARCHITECTURES[architecture]
    for backbone in {row.backbones[0], row.shown_on}:
        summary = summarised(architecture, backbone=backbone)
        assert json.loads(json.dumps(summary)) == summary
        assert summary["note"] == row.note(backbone)
        assert summary["uncounted"] == []
        names = {stage["name"] for stage in summary["stages"]}
        assert {layer["stage"] for layer in summary["layers"]} == names
        known = {layer["name"] for layer in summary["layers"]} | {"images"}
        assert len(known) == len(summary["layers"]) + 1
        assert {name for layer in summary["layers"] for name in layer["inputs"]} <= known
        for edge in summary["edges"]:
            assert edge["from"] in names
            assert edge["to"] in names
        assert names - {edge["to"] for edge in summary["edges"]} == {"input"}, "all else is fed by something"
        assert names - {edge["from"] for edge in summary["edges"]} == {"logits"}, "and feeds something"
        assert sum(stage["multiply_adds"] for stage in summary["stages"]) == summary["multiply_adds"]
        assert {stage["part"] for stage in summary["stages"]} == {"encoder", "decoder", "head"}
        assert {trace.name for trace in architecture_drawing(summary).data} >= {"encoder", "decoder", "head"}
        assert summary["title"] in summary_text(summary)


def test_a_u_net_is_a_u(small: dict[str, Any]) -> None:
    assert [(stage["name"], stage["height"], stage["channels"]) for stage in small["stages"]] == [
        ("input", 64, 3), ("down0", 64, 4), ("down1", 32, 8), ("down2", 16, 16), ("up1", 32, 8), ("up0", 64, 4),
        ("logits", 64, 3),
    ]  # fmt: skip
    skips = [(edge["from"], edge["to"]) for edge in small["edges"] if edge["kind"] == "skip"]
    assert sorted(skips) == [("down0", "up0"), ("down1", "up1")]
    assert "down0 to up0" in said(small)
    held = small["memory"]
    assert held["inference_bytes"] == held["weights_bytes"] + held["inference_peak_bytes"]
    assert held["inference_peak_bytes"] < held["activations_bytes"]
    # The widest moment: the picture, skip, enlarged map and both beside each other at full size.
    assert held["inference_peak_bytes"] == 4 * 64 * 64 * (3 + 4 + 4 + 8)


def test_sizes_are_those_after_padding() -> None:
    summary = summarised(image_size=70, **SMALL)
    assert (summary["image_size"], summary["padded_size"]) == (70, 72)
    assert summary["stages"][0]["height"] == 72
    assert "padded to 72 x 72" in summary_text(summary)


def test_a_network_too_large_for_the_machine_is_summed_up_all_the_same() -> None:
    began = time.perf_counter()
    assert summarised(width=512, depth=7)["parameters"]["total"] > 30e9
    assert time.perf_counter() - began < 20


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"image_size": 31}, "image_size=31: must be a whole number from 32 to 4096"),
        ({"image_size": 5000}, "image_size=5000"),
        ({"image_size": 64.5}, "image_size=64.5"),
        ({"classes": 0}, "classes=0"),
        ({"architecture": "unett"}, "did you mean 'unet'"),
        ({"backbone": "mobilenetv3"}, "did you mean 'mobilenetv2'"),
        ({"depth": 99}, "depth=99"),
        ({"colour": 1}, "'colour'"),
    ],
    ids=str,
)
def test_mistakes_are_one_line(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        summarised(**fields)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


# The command line.


def test_the_command_prints_stages_layers_or_json(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from segmodels.cli import main

    words = ["summary", "--option", "width=4", "--option", "depth=3", "--image-size", "64"]

    def printed(*more: str) -> str:
        assert main([*words, *more]) == 0
        return capsys.readouterr().out

    text = printed()
    assert "GFLOPs" in text
    assert "down2" in text
    assert "down2_1_conv" not in text
    assert "down2_1_conv" in printed("--layers")
    assert json.loads(printed("--json"))["options"] == {"width": 4, "depth": 3}
    assert not home.exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--architecture", "unett"], "did you mean 'unet'"),
        (["--option", "depth=99"], "depth='99'"),
        (["--option", "depth"], "KEY=VALUE"),
        (["--option", "image_size=64"], "'image_size'"),
        (["--image-size", "9"], "image_size=9"),
        (["--classes", "0"], "classes=0"),
    ],
)
def test_the_commands_mistakes_exit_with_2(
    words: list[str], expected: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from segmodels.cli import main

    assert main(["summary", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert expected in captured.err


# The worker.


def test_worker_and_text_load_no_engine(python: Callable) -> None:
    code = (
        "import sys, segmodels.worker, segmodels.models.summary_text\n"
        "print([name for name in ('tensorflow', 'keras', 'jax', 'streamlit') if name in sys.modules])"
    )
    assert python("-c", code).stdout == "[]\n"


WORDS = ("summary", "--option", "width=4", "--option", "depth=3", "--image-size", "64")


def answer(words: tuple[str, ...], seconds: float = 60) -> worker.Answer:
    for _ in range(int(seconds / 0.05)):
        if (found := worker.ask("summaries", words)).state != "running":
            return found
        time.sleep(0.05)
    raise AssertionError("no answer")


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "worker-summaries"]


def test_an_answer_is_made_once_and_kept(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    real = worker.subprocess.Popen
    monkeypatch.setattr(worker.subprocess, "Popen", lambda *a, **k: started.append(a) or real(*a, **k))
    asked = [worker.ask("summaries", WORDS).state for _ in range(5)]
    assert asked == ["running"] * 5
    assert (worker.count_at_work("summaries"), worker.count_at_work("models")) == (1, 0)
    assert answer(WORDS).document["padded_size"] == 64
    assert worker.count_at_work("summaries") == 0
    assert len(started) == 1
    assert len(list((home / "cache" / "summaries").glob("*.json"))) == 1
    assert worker.ask("summaries", WORDS).state == "done"
    assert len(started) == 1
    next((home / "cache" / "summaries").glob("*.json")).write_text("{ damaged")
    assert answer(WORDS).state == "done"
    assert len(started) == 2


def test_a_mistake_is_its_line_until_it_is_asked_anew(home: Path) -> None:
    words = ("summary", "--option", "depth=99")
    failed = answer(words)
    assert failed.state == "failed"
    assert failed.error == "unet option depth='99': must be a whole number, at least 2 and at most 7"
    assert worker.ask("summaries", words).state == "failed"
    worker.cancel("summaries", words)
    assert worker.ask("summaries", words).state == "running"
    worker.cancel("summaries", words)


@pytest.mark.parametrize("how", ["cancelled", "forgotten", "late"])
def test_a_process_ends_when_it_should(how: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    processes: list[Any] = []
    real = worker.subprocess.Popen

    def sleeper(command: list[str], **fields: Any) -> Any:
        processes.append(real([command[0], "-c", "import time; time.sleep(600)"], **fields))
        return processes[-1]

    monkeypatch.setattr(worker.subprocess, "Popen", sleeper)
    monkeypatch.setattr(worker, "PATIENCE", 0.5 if how == "forgotten" else 60)
    monkeypatch.setattr(worker, "LIMIT", 0.5 if how == "late" else 60)
    assert worker.ask("summaries", WORDS).state == "running"
    if how == "cancelled":
        worker.cancel("summaries", WORDS)
    for _ in range(200):
        if not threads():
            break
        time.sleep(0.05)
    assert not threads()
    assert all(process.returncode for process in processes)
    if how == "late":
        assert "no answer within" in worker.ask("summaries", WORDS).error
    else:
        monkeypatch.setattr(worker.subprocess, "Popen", real)
        assert worker.ask("summaries", WORDS).state == "running", "asking again starts again"
    worker.cancel("summaries", WORDS)


# The page.


def opened(**state: Any) -> AppTest:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    for key, value in state.items():
        app.session_state[key] = value
    return app.switch_page("pages/2_Train.py").run()


def test_a_closed_expander_builds_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "ask", lambda kind, words: pytest.fail("nobody has opened it"))
    app = opened()
    assert not app.exception
    assert any(expander.label == "The network" for expander in app.expander)


def test_the_page_shows_progress_then_figures_and_a_drawing(
    home: Path, monkeypatch: pytest.MonkeyPatch, small: dict[str, Any]
) -> None:
    asked: list[tuple[str, ...]] = []
    answers = [worker.Answer("running", seconds=2.0)] * 2

    def ask(kind: str, words: tuple[str, ...]) -> worker.Answer:
        asked.append(words)
        return answers.pop() if answers else worker.Answer("done", small)

    monkeypatch.setattr(worker, "ask", ask)
    app = opened(**{"network-open": True})
    assert not app.exception
    assert any(button.label == "Stop" for button in app.button)
    app = app.run()
    assert not app.exception
    assert {"summary", "--backbone", "none", "width=16", "96"} <= set(asked[0])
    figures = {metric.label: metric.value for metric in app.metric}
    assert figures["Parameters"] == compact(small["parameters"]["total"])
    assert figures["Predicting"] == memory(small["memory"]["inference_bytes"])
    held = small["memory"]
    assert figures["Training"] == memory(held["training_bytes"] + 7 * held["activations_bytes"]), "a batch of 8"
    assert len(app.get("plotly_chart")) == 1
    assert list(app.dataframe[0].value["Stage"])[:2] == ["input", "down0"]
    table = next(group for group in app.button_group if group.label == "Table")
    app = table.set_value("layers").run()
    assert "down0_1_conv" in list(app.dataframe[0].value["Layer"])


def test_a_failure_is_shown_in_place_and_stop_closes(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cancelled: list[Any] = []
    state = worker.Answer("failed", error="no space left")
    monkeypatch.setattr(worker, "ask", lambda kind, words: state)
    monkeypatch.setattr(worker, "cancel", lambda kind, words: cancelled.append(words))
    app = opened(**{"network-open": True})
    assert not app.exception
    assert "no space left" in app.error[0].value
    next(button for button in app.button if button.label == "Try again").click().run()
    assert len(cancelled) == 1
    state = worker.Answer("running")
    app = opened(**{"network-open": True})
    app = next(button for button in app.button if button.label == "Stop").click().run()
    assert not app.exception
    assert len(cancelled) >= 2
    assert not app.session_state["network-open"]


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0"), (999, "999"), (1_500, "1.50 k"), (31_049_539, "31.0 M"), (142e9, "142 G")]
)
def test_large_numbers_are_short(count: float, text: str) -> None:
    assert compact(count) == text
