"""Every tutorial, run as it stands in an empty folder, and what comes of it against a second way to know it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from PIL import Image, ImageDraw

from segmodels.data.dataset import SPLITS
from segmodels.data.datasets import open_dataset
from segmodels.hub.checkpoint import load_checkpoint
from tests.conftest import ROOT
from tests.hub_server import Hub, serving_hub

TUTORIALS = ROOT / "docs" / "tutorials"
TOKEN = "hf_token_that_writes"


@pytest.fixture
def follow(
    python: Callable, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Path, str]]:
    """Run a tutorial; returns the folder that it wrote and what it printed."""
    place = tmp_path / "project"
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.delenv("HF_TOKEN", raising=False)

    def run(name: str, **variables: object) -> tuple[Path, str]:
        done = python("-m", "tests.markdown", TUTORIALS / name, timeout=1500, **variables)
        assert done.returncode == 0, f"{done.stdout[-1000:]}\n{done.stderr[-3000:]}"
        return place / "tutorial", done.stdout

    return run


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving_hub() as served:
        served.tokens = {TOKEN: "write"}
        yield served


def report_of(run: Path, data: str) -> dict[str, Any]:
    """What `evaluate` kept beside a run."""
    return json.loads((run / "evaluations" / f"{data}-test-native" / "report.json").read_text())


def mean_iou(report: dict[str, Any]) -> float:
    """From the confusion matrix, by the definition."""
    counts = np.array(report["confusion_matrix"], np.float64)
    right = np.diag(counts)
    return float((right / (counts.sum(0) + counts.sum(1) - right)).mean())


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_pets_in_five_minutes(follow: Callable, data_folder: Path, weights_folder: Path) -> None:
    made, printed = follow("1_pets_in_five_minutes.md")
    report = report_of(made / "pets", "toy-pets")
    assert report["mean_iou"] == pytest.approx(mean_iou(report), abs=1e-9)
    assert report["mean_iou"] > 0.5
    assert f"mean IoU {report['mean_iou']:.3f}" in printed

    data = open_dataset("toy-pets")
    image, mask = data.read(data.samples("test")[2])
    found = np.asarray(Image.open(made / "masks" / "photo-mask.png"))
    right = float((found == mask).mean())
    assert right > 0.7
    # ONNX Runtime wrote the file and Keras answered in Python: they differ by rounding alone.
    said = float(printed.split("right: ")[1].partition("%")[0]) / 100
    assert right == pytest.approx(said, abs=0.002)
    assert Image.open(made / "pets.png").size == (3 * image.shape[1], image.shape[0])
    np.testing.assert_array_equal(np.asarray(Image.open(made / "pets.png"))[:, : image.shape[1]], image)

    real = report_of(made / "real-pets", "oxford-pets")
    assert real["mean_iou"] == pytest.approx(mean_iou(real), abs=1e-9)
    assert real["mean_iou"] > 0.5


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_nuclei_with_instances(follow: Callable, data_folder: Path) -> None:
    made, printed = follow("2_nuclei_with_instances.md")
    assert report_of(made / "nuclei", "toy-nuclei")["instances"]["aji"] > 0.6
    data = open_dataset("toy-nuclei")
    nuclei = data.read_instances(data.samples("test")[1]).max()
    with (made / "objects" / "tissue.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert abs(len(rows) - nuclei) <= nuclei / 4
    for row in rows:
        assert float(row["area_um2"]) == pytest.approx(int(row["area"]) * 0.25**2, abs=1e-4)
    outlines = json.loads((made / "objects" / "tissue.geojson").read_text())
    kinds = [feature["properties"]["objectType"] for feature in outlines["features"]]
    assert kinds.count("detection") == len(rows)
    assert f" of {nuclei};" in printed
    assert "usable: " in printed  # the real slides


def test_your_own_labels(follow: Callable) -> None:
    made, printed = follow("3_your_own_labels.md")
    assert "table-09-3.json" in printed

    parts = json.loads((made / "split.json").read_text())["splits"]
    tables = [{name.split("-")[1] for name in parts[split]} for split in SPLITS]
    assert all(tables)
    assert len(set.union(*tables)) == sum(map(len, tables)) == 10  # each on one side
    assert float(printed.split("mean IoU ")[1].split()[0]) > 0.8

    written = open_dataset(str(made / "leaves-coco"))
    numbers = {label.name: number for number, label in enumerate(written.classes)}
    read = {sample.id.rpartition("/")[2]: sample for split in SPLITS for sample in written.samples(split)}
    files = sorted(path for path in (made / "leaves").glob("*.json") if path.with_suffix(".png").exists())
    assert set(read) == {path.stem for path in files}
    assert len(read) == 39 + 2
    for path in files[:39]:  # as LabelMe fills them, one over the other
        drawn = Image.new("L", (64, 64))
        for shape in json.loads(path.read_text())["shapes"]:
            points = [tuple(point) for point in shape["points"]]
            ImageDraw.Draw(drawn).polygon(points, outline=numbers[shape["label"]], fill=numbers[shape["label"]])
        np.testing.assert_array_equal(written.read(read[path.stem])[1], np.asarray(drawn), err_msg=path.stem)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_compare_and_publish(follow: Callable, hub: Hub, tmp_path: Path) -> None:
    made, printed = follow(
        "4_compare_and_publish.md", HF_ENDPOINT=hub.url, HF_TOKEN=TOKEN, HF_HOME=tmp_path / "hf", HF_HUB_OFFLINE=0
    )
    narrow, wide = (report_of(made / name, "toy-pets") for name in ("narrow", "wide"))
    page = (made / "comparison.html").read_text()
    for report in (narrow, wide):
        assert report["mean_iou"] == pytest.approx(mean_iou(report), abs=1e-9)
        assert f"{report['mean_iou']:.3f}" in page
    assert "http://" not in page.replace("http://www.w3.org/", "")

    assert len(hub.pushes) == 1
    there = hub.files("someone/toy-pets-unet")
    for name in ("segmodels.json", "model.weights.h5"):
        assert there[name] == (made / "wide" / "best" / name).read_bytes()
    assert f"{wide['mean_iou']:.3f}"[:4] in there["README.md"].decode()
    assert hub.head("someone/toy-pets-unet") in printed
    assert "the same mask: True" in printed

    session = onnxruntime.InferenceSession(str(made / "pets.onnx"), providers=["CPUExecutionProvider"])
    data = open_dataset("toy-pets")
    image = data.read_at(data.samples("test")[0], 32)[0]
    expected = np.asarray(load_checkpoint(made / "wide" / "best")[0](image[None]))
    (given,) = session.get_inputs()
    kind = np.uint8 if "uint8" in given.type else np.float32
    found = session.run(None, {given.name: image[None].astype(kind)})[0]
    np.testing.assert_allclose(found, expected, atol=1e-3)
