"""MoNuSeg on its real files, Aperio XML of one's own, and XML that is wrong or hostile."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from segmodels.data.aperio import read_labels, read_regions
from segmodels.data.dataset import SPLITS
from segmodels.data.datasets import dataset_type, open_dataset
from segmodels.data.datasets.aperio import AperioFolder
from segmodels.data.datasets.monuseg import BORDER, ORGANS, MoNuSeg, MoNuSegNuclei
from segmodels.data.datasets.own import open_own
from segmodels.errors import UserError
from tests.own_forms import write_form

TRAIN = "MoNuSeg 2018 Training Data"


@pytest.fixture
def monuseg(data_folder: Path) -> MoNuSeg:
    return MoNuSeg(data_folder / "monuseg")


def test_official_layout_and_splits(monuseg: MoNuSeg) -> None:
    splits = {split: monuseg.samples(split) for split in SPLITS}
    assert {split: len(samples) for split, samples in splits.items()} == {"train": 11, "validation": 2, "test": 6}
    assert [sample.id for sample in splits["test"]] == [
        "TCGA-69-7764-01A-01-TS1", "TCGA-A6-6782-01A-01-BS1", "TCGA-AO-A0J2-01A-01-BSA",
        "TCGA-EJ-A46H-01A-03-TSC", "TCGA-HC-7209-01A-01-TS1", "TCGA-ZF-A9R5-01A-01-TS1",
    ]  # fmt: skip
    assert [sample.group for sample in splits["test"]] == ["lung", "colon", "breast", "prostate", "prostate", "bladder"]
    assert splits["test"][0].source == "TCGA-69-7764"
    sources = [{sample.source for sample in samples} for samples in splits.values()]
    assert not sources[0] & sources[1]
    other = MoNuSeg(monuseg.root, split_seed=1)
    assert [s.id for s in other.samples("validation")] != [s.id for s in splits["validation"]]
    assert other.samples("test") == splits["test"]
    assert sorted(len(patients) for patients in ORGANS.values()) == [2, 2, 2, 3, 4, 6, 8, 8, 9]  # 30 + 14 pictures


def test_every_picture_is_read(monuseg: MoNuSeg) -> None:
    """Three TIFF codecs; regions without area and outlines beyond the edge; classes that fit the nuclei."""
    counts, findings, codecs = {}, {}, set()
    for split in SPLITS:
        for sample in monuseg.samples(split):
            image, mask = monuseg.read(sample)
            instances = monuseg.read_instances(sample)
            assert image.shape == (1000, 1000, 3)
            assert instances.dtype == np.int32
            counts[sample.id] = int(instances.max())
            assert np.array_equal(np.unique(instances), np.arange(counts[sample.id] + 1))
            assert np.array_equal(mask > 0, instances > 0)
            findings[sample.id] = {finding.kind: finding.message for finding in monuseg.inspect(sample)}
            assert sample.image_path is not None
            with Image.open(sample.image_path) as picture:
                codecs.add(picture.info["compression"])
    assert min(counts.values()) == 294
    assert max(counts.values()) == 475
    assert sum(counts.values()) == 7453
    assert codecs == {"tiff_adobe_deflate", "tiff_lzw", "packbits"}
    assert {name for name, found in findings.items() if "bad-shape" in found} == {
        "TCGA-50-5931-01Z-00-DX1", "TCGA-E2-A1B5-01Z-00-DX1",
    }  # fmt: skip
    assert "region 180: a polygon of 2 points" in findings["TCGA-50-5931-01Z-00-DX1"]["bad-shape"]
    assert "15 of 294 shapes" in findings["TCGA-CH-5767-01Z-00-DX1"]["over-the-edge"]
    assert monuseg.inspect_files() == []


def filled(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """The pixels whose centres are inside a polygon by counting crossings: bool `(height, width)`."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    inside = np.zeros((height, width), bool)
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        if y0 != y1:
            crosses = (y0 > y) != (y1 > y)
            inside ^= crosses & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
    return inside


def on_lines(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """The pixels within one of a polygon's outline: bool `(height, width)`."""
    near = np.zeros((height, width), bool)
    for start, end in zip(points, np.roll(points, -1, axis=0), strict=True):
        for place in np.linspace(start, end, 2 + 2 * int(np.abs(end - start).max())):
            x, y = np.round(place).astype(int)
            near[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2] = True
    return near


def test_nuclei_are_drawn_as_outlined(monuseg: MoNuSeg) -> None:
    """Against even-odd filling: all that is inside the pixels of the outline, and beside it those pixels alone."""
    for split, place in (("train", 4), ("test", 5)):
        sample = monuseg.samples(split)[place]
        assert sample.mask_path is not None
        regions, _ = read_regions(sample.mask_path)
        instances = monuseg.read_instances(sample)
        assert instances.max() == len(regions)
        for number in range(5, len(regions) + 1, 23):
            points = np.trunc(regions[number - 1].points)
            low = np.maximum(points.min(axis=0).astype(int) - 2, 0)
            high = np.minimum(points.max(axis=0).astype(int) + 3, 1000)
            window = instances[low[1] : high[1], low[0] : high[0]]
            inside = filled(points - low, *window.shape)
            assert inside.sum() > 20
            assert (window >= number)[inside].all()  # or covered by a later one
            assert not (window == number)[~inside & ~on_lines(points - low, *window.shape)].any()


def test_border_is_two_pixels_inside_each_nucleus(monuseg: MoNuSeg) -> None:
    sample = monuseg.samples("validation")[0]
    instances, mask = monuseg.read_instances(sample), monuseg.read_mask(sample)
    padded = np.pad(instances, 2, mode="edge")
    # Two steps to a neighbour of another number: the diamond of radius two around a pixel.
    near = np.zeros(instances.shape, bool)
    for dy in range(-2, 3):
        for dx in range(-2 + abs(dy), 3 - abs(dy)):
            near |= padded[2 + dy : 1002 + dy, 2 + dx : 1002 + dx] != instances
    border = mask == BORDER
    assert not (border & ~near).any()
    assert (near & (instances > 0) & ~border).sum() == 0
    # Without the border, touching nuclei fall apart: nearly as many pieces as nuclei, where before many were joined.
    cores = ndimage.label(mask == 1)[0]
    count = ndimage.label(instances > 0)[1]
    assert cores.max() > 1.1 * count
    assert abs(cores.max() - instances.max()) < 0.1 * instances.max()


def test_two_classes(monuseg: MoNuSeg) -> None:
    two = MoNuSegNuclei(monuseg.root)
    sample = monuseg.samples("test")[0]
    assert [label.name for label in two.classes] == ["background", "nucleus"]
    assert np.array_equal(two.read_mask(sample), monuseg.read_mask(sample) > 0)
    assert two.fingerprint([sample]) != monuseg.fingerprint([sample])
    assert dataset_type("monuseg") is MoNuSeg
    assert dataset_type("monuseg-2") is MoNuSegNuclei


def test_found_below_segmodels_data(data_folder: Path) -> None:
    assert open_dataset("monuseg").root == (data_folder / "monuseg").resolve()
    assert open_dataset("monuseg-2", data_folder).root == (data_folder / "monuseg").resolve()


def test_missing_files_are_told(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEGMODELS_DATA", raising=False)
    page = "https://monuseg.grand-challenge.org/Data/"
    with pytest.raises(UserError, match=page) as caught:
        MoNuSeg.download()
    assert str(home / "data" / "monuseg") in str(caught.value)
    with pytest.raises(UserError, match="no such folder"):
        MoNuSeg(tmp_path / "none")
    root = home / "data" / "monuseg"
    (root / TRAIN / "Tissue Images").mkdir(parents=True)
    with pytest.raises(UserError, match=f"no folder {TRAIN}/Annotations.*{page}"):
        MoNuSeg()
    (root / TRAIN / "Annotations").mkdir()
    with pytest.raises(UserError, match="no folder MoNuSegTestData"):
        MoNuSeg()
    (root / "MoNuSegTestData").mkdir()
    with pytest.raises(UserError, match="no picture in it"):
        MoNuSeg()
    for place in (f"{TRAIN}/Tissue Images/TCGA-UZ-A9PJ-01Z-00-DX1.tif", "MoNuSegTestData/a.tif"):
        Image.new("RGB", (20, 10)).save(root / place)
    (root / "MoNuSegTestData" / "b.xml").write_text("<Annotations/>")
    monuseg = MoNuSeg()
    assert MoNuSeg.download() == root
    sample = monuseg.samples("train")[0]
    assert (sample.group, sample.source) == ("hospital UZ", "TCGA-UZ-A9PJ")
    with pytest.raises(UserError, match="image has no outlines: expected"):
        monuseg.read(sample)
    assert [finding.where for finding in monuseg.inspect_files()] == ["MoNuSegTestData/b.xml"]


def region(points: str, **attributes: object) -> str:
    vertices = "".join('<Vertex X="{}" Y="{}"/>'.format(*pair.split(",")) for pair in points.split())
    said = "".join(f' {name}="{value}"' for name, value in attributes.items())
    return f"<Region{said}><Vertices>{vertices}</Vertices></Region>"


def layer(*regions: str, name: str = "", attributes: str = "") -> str:
    inside = f"<Attributes>{attributes}</Attributes><Regions>{''.join(regions)}</Regions>"
    return f'<Annotation Id="1" Name="{name}">{inside}</Annotation>'


def write(folder: Path, *layers: str, name: str = "a", size: tuple[int, int] = (40, 30)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(folder / f"{name}.tif")
    (folder / f"{name}.xml").write_text(f'<Annotations MicronsPerPixel="0.25">{"".join(layers)}</Annotations>')


SQUARE, INNER, OTHER = "2,2 20,2 20,20 2,20", "8,8 12,8 12,12 8,12", "15,15 30,15 30,25 15,25"


def test_layers_become_classes_and_negative_regions_erase(tmp_path: Path, home: Path) -> None:
    write(
        tmp_path / "set",
        layer(region(INNER, NegativeROA=1), region(SQUARE), name="gland"),
        layer(region(OTHER), attributes='<Attribute Name="Epithelial" Id="0" Value=""/>'),
        layer(attributes='<Attribute Name="Empty" Value=""/>'),
    )
    data = AperioFolder(tmp_path / "set")
    assert [label.name for label in data.classes] == ["background", "gland", "Epithelial"]
    sample = data.samples("train")[0]
    expected = np.zeros((30, 40), np.uint8)
    expected[2:21, 2:21] = 1
    expected[8:13, 8:13] = 0
    expected[15:26, 15:31] = 2
    assert np.array_equal(data.read(sample)[1], expected)
    assert np.array_equal(data.read_instances(sample), expected)


def test_a_folder_of_ones_own(tmp_path: Path, home: Path) -> None:
    data = open_own(write_form("monuseg", tmp_path / "set"), form="monuseg")
    assert [label.name for label in data.classes] == ["background", "cell", "gland"]
    assert sum(len(data.samples(split)) for split in SPLITS) == 12


def test_the_official_layout_as_a_folder_of_ones_own(data_folder: Path, home: Path, monuseg: MoNuSeg) -> None:
    evidence = AperioFolder.recognise(data_folder / "monuseg")
    assert evidence == "19 XML files of Aperio's with pictures of the same names"
    data = AperioFolder(data_folder / "monuseg")
    assert {split: len(data.samples(split)) for split in SPLITS} == {"train": 12, "validation": 1, "test": 6}
    assert [sample.id.rpartition("/")[2] for sample in data.samples("test")] == [s.id for s in monuseg.samples("test")]
    sample = data.samples("test")[0]
    assert sample.source == "TCGA-69-7764"
    assert np.array_equal(data.read_instances(sample), monuseg.read_instances(monuseg.samples("test")[0]))


def test_defects_of_a_folder(tmp_path: Path, home: Path) -> None:
    root = tmp_path / "set"
    far, beyond = "100,100 110,100 110,110", "-3,2 5,2 5,50"
    bad = [region("1,1 2,2", Id=7), region("1,1 nan,2 3,3"), region("1,1 x,2 3,3"), region("")]
    write(root, layer(region(SQUARE), region(far), region(beyond), *bad))
    write(root, layer(region(SQUARE)), name="b")
    (root / "b.xml").write_text("<Annotations><Annotation>")
    (root / "c.xml").write_text("<Annotations/>")
    (root / "d.xml").write_text("<other/>")
    data = AperioFolder(root)
    told = {(finding.where, finding.kind, finding.action) for finding in data.inspect_files()}
    assert told == {("c.xml", "no-picture", "left out"), ("b.xml", "annotation", "skipped")}
    samples = {sample.id: sample for split in SPLITS for sample in data.samples(split)}
    assert {finding.kind: finding.message for finding in data.inspect(samples["a"])} == {
        "bad-shape": "region 7: a polygon of 2 points; it needs 3 or more, and 3 more",
        "outside": "1 of 3 shapes lie outside of the picture of 40x30",
        "over-the-edge": "1 of 3 shapes run over the edge (-3.0 to 50.0)",
    }
    assert data.read_instances(samples["a"]).max() == 3
    with pytest.raises(UserError, match=r"b\.xml: not valid XML"):
        data.read(samples["b"])
    assert data.inspect(samples["b"]) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not valid XML"),
        (b"<Annotations>", "not valid XML"),
        (b"\x00\x01", "not valid XML"),
        (b'<?xml version="1.0" encoding="klingon"?><Annotations/>', "not valid XML"),
        (b'<?xml version="1.0" encoding="utf-7"?><Annotations/>', "not valid XML"),
        (b"<Annotations><Annotation Name='&lol;'/></Annotations>", "not valid XML"),
        (b"<!DOCTYPE Annotations><Annotations/>", "document type"),
        (b'<!DOCTYPE a [<!ENTITY lol "lol"><!ENTITY b "&lol;&lol;">]><a>&b;</a>', "document type"),
        (b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', "document type"),
        (b'<!DOCTYPE a SYSTEM "http://example.com/a.dtd"><a/>', "document type"),
    ],
)
def test_hostile_xml(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes(content)
    for read in (read_regions, read_labels):
        with pytest.raises(UserError, match=message) as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_xml_that_is_large_or_deep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.xml"
    path.write_text("<a>" * 200_000 + "</a>" * 200_000)
    assert read_regions(path) == ([], [])
    monkeypatch.setattr("segmodels.data.aperio.LARGEST", 1000)
    with pytest.raises(UserError, match="more than the 1,000 allowed"):
        read_regions(path)
    with pytest.raises(UserError, match="no such file"):
        read_regions(tmp_path / "none.xml")


def test_two_byte_letters_are_read(tmp_path: Path, home: Path) -> None:
    write(tmp_path / "set", layer(region(SQUARE), name="Drüse"))
    path = tmp_path / "set" / "a.xml"
    path.write_bytes(('<?xml version="1.0" encoding="utf-16"?>' + path.read_text()).encode("utf-16"))
    assert [label.name for label in AperioFolder(tmp_path / "set").classes] == ["background", "Drüse"]


GOOD = "<Annotations>" + layer(region(SQUARE), region(INNER, NegativeROA=1), name="gland") + "</Annotations>"


@given(
    st.lists(
        st.tuples(
            st.integers(0, len(GOOD)),
            st.integers(0, 12),
            st.sampled_from(["", "<", ">", '"', "<Region>", "</Region>", "&#0;", "1e999", "-", "Vertex", "\0", "é"]),
        ),
        max_size=4,
    )
)
@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_changed_xml_is_read_or_a_user_error(tmp_path: Path, home: Path, changes: list[tuple[int, int, str]]) -> None:
    text = GOOD
    for place, length, by in changes:
        text = text[:place] + by + text[place + length :]
    root = tmp_path / "fuzz"
    root.mkdir(exist_ok=True)
    Image.new("RGB", (40, 30)).save(root / "a.tif")
    (root / "a.xml").write_text(text)
    with contextlib.suppress(UserError):
        data = AperioFolder(root)
        data.inspect_files()
        for sample in data.samples("train"):
            data.inspect(sample)
            data.read(sample)
            data.read_instances(sample)
