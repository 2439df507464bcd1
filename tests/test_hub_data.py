"""Data sets of the Hub, from a Hub on this machine."""

from __future__ import annotations

import io
import json
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_server import Hub, serving_hub
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from segmodels.data import disk
from segmodels.data.datasets import hub as hub_module
from segmodels.data.datasets.hub import download_hub, hub_names, open_hub, parse
from segmodels.data.datasets.imported import ImportedDataset, class_values
from segmodels.data.datasets.own import OwnDataset
from segmodels.data.disk import Stopped
from segmodels.errors import UserError

NAME = "hf://datasets/someone/cells"
REPOSITORY = "someone/cells"
CELL = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
COLUMNS = {"image": CELL, "label": CELL}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: Path) -> Iterator[Hub]:
    """A Hub; the cache of huggingface_hub is of this test alone."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    with serving_hub() as server:
        yield server


def encoded(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def picture(seed: int) -> bytes:
    return encoded(np.random.default_rng(seed).integers(0, 256, (12, 16, 3), np.uint8), "JPEG")


def mask(seed: int, values: int = 3) -> np.ndarray:
    return np.random.default_rng(seed + 1000).integers(0, values, (12, 16), np.uint8)


def parquet(rows: list[dict], columns: dict[str, pa.DataType] = COLUMNS, **options: object) -> bytes:
    file = io.BytesIO()
    table = pa.table({name: pa.array([row.get(name) for row in rows], kind) for name, kind in columns.items()})
    pq.write_table(table, file, **options)
    return file.getvalue()


def row(seed: int, values: int = 3) -> dict:
    """A row whose picture and mask are made from a number."""
    return {
        "image": {"bytes": picture(seed), "path": f"slide_{seed}.jpg"},
        "label": {"bytes": encoded(mask(seed, values)), "path": None},
    }


def splits() -> dict[str, bytes]:
    return {
        "data/train-00000-of-00002.parquet": parquet([row(seed) for seed in range(20)], row_group_size=3),
        "data/train-00001-of-00002.parquet": parquet([row(seed) for seed in range(20, 25)]),
        "data/validation-00000-of-00001.parquet": parquet([row(seed) for seed in range(30, 33)]),
        "data/test-00000-of-00001.parquet": parquet([row(seed) for seed in range(40, 44)]),
        "README.md": b"a card",
        "cells.py": b"raise SystemExit",
        "model.pkl": b"\x80\x04N.",
    }


def bring(server: Hub, name: str = NAME, **options: object) -> Path:
    return download_hub(name, endpoint=server.url, **options)


def no_half(home: Path) -> bool:
    """Whether nothing of an import stands in the home but locks."""
    return not [path for path in home.rglob("*") if path.is_file() and not path.name.endswith(".lock")]


def test_parquet_is_brought_once_and_opened_without_a_network(server: Hub, home: Path):
    sha = server.commit(REPOSITORY, splits())
    server.card = {"license": "cc-by-4.0"}
    told: list[tuple[int, int, str]] = []
    folder = bring(server, progress=lambda *step: told.append(step))
    assert folder == home / "data" / "hub" / "someone--cells" / sha
    parquet_bytes = sum(len(content) for path, content in splits().items() if path.endswith(".parquet"))
    assert (parquet_bytes, parquet_bytes, "downloading someone/cells") in told
    assert told[-1] == (32, 32, "writing someone/cells")
    assert not server.asked("README.md")
    assert not server.asked("cells.py")
    assert not server.asked("model.pkl")
    server.status = 500
    opened = open_hub(NAME)
    assert [len(opened.samples(split)) for split in ("train", "validation", "test")] == [25, 3, 4]
    for split in ("train", "validation", "test"):
        for sample in opened.samples(split):
            seed = int(sample.id.removeprefix("slide_"))
            assert sample.image_path.read_bytes() == picture(seed)
            image, ids = opened.read(sample)
            assert image.tolist() == np.asarray(Image.open(io.BytesIO(picture(seed)))).tolist()
            assert ids.tolist() == mask(seed).tolist()
            assert opened.inspect(sample) == []
    assert (opened.name, opened.licence, opened.source) == (NAME, "cc-by-4.0", f"{server.url}/datasets/{REPOSITORY}")
    assert [label.name for label in opened.classes] == ["class 0", "class 1", "class 2"]
    assert hub_names() == [NAME]
    assert open_hub(f"{NAME}@{sha}").samples("test") == opened.samples("test")
    assert download_hub(f"{NAME}@{sha}", endpoint=server.url) == folder  # no question asked


def test_the_environment_names_the_hub(server: Hub, home: Path, tmp_path: Path, python: Callable):
    server.commit(REPOSITORY, splits())
    code = (
        "import sys\n"
        "from segmodels.data.datasets.hub import download_hub, open_hub\n"
        f"print(download_hub({NAME!r}), len(open_hub({NAME!r}).samples('test')))\n"
        "assert not {'tensorflow', 'datasets', 'streamlit'} & sys.modules.keys()"
    )
    done = python("-c", code, HF_ENDPOINT=server.url, HF_HOME=tmp_path / "hf", no_proxy="127.0.0.1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "4"
    offline = python("-c", code, HF_ENDPOINT=server.url, HF_HOME=tmp_path / "hf", HF_HUB_OFFLINE=1)
    assert offline.stderr.splitlines()[-1].endswith(
        "the Hub is not asked while HF_HUB_OFFLINE is set; unset it and try again"
    )


def test_a_repository_that_changes_is_never_mixed(server: Hub, monkeypatch: pytest.MonkeyPatch):
    old = server.commit(REPOSITORY, {"data/test.parquet": parquet([row(1)]), "data/train.parquet": parquet([row(2)])})
    newer = {"data/test.parquet": parquet([row(3)]), "data/train.parquet": parquet([row(4), row(5)])}
    listed = hub_module.HubRepository.listed

    def changing(self: hub_module.HubRepository, commit: str) -> dict[str, int]:
        found = listed(self, commit)
        server.commit(REPOSITORY, newer)
        return found

    monkeypatch.setattr(hub_module.HubRepository, "listed", changing)
    assert bring(server).name == old
    ids = [sample.id for split in ("train", "test") for sample in open_hub(NAME).samples(split)]
    assert ids == ["slide_2", "slide_1"]
    before = open_hub(NAME).fingerprint(open_hub(NAME).samples("test"))
    assert bring(server).name == server.refs[f"{REPOSITORY}@main"] != old
    assert [sample.id for sample in open_hub(NAME).samples("test")] == ["slide_3"]
    assert [sample.id for sample in open_hub(f"{NAME}@{old}").samples("test")] == ["slide_1"]
    assert open_hub(NAME).fingerprint(open_hub(NAME).samples("test")) != before


def test_revisions_are_kept_side_by_side(server: Hub):
    server.commit(REPOSITORY, {"train.parquet": parquet([row(1)])}, "v1.0")
    server.commit(REPOSITORY, {"default/train/0000.parquet": parquet([row(2)])}, "refs/convert/parquet")
    bring(server, f"{NAME}@v1.0")
    bring(server, f"{NAME}@refs/convert/parquet")
    assert open_hub(f"{NAME}@v1.0").samples("train")[0].id == "slide_1"
    assert open_hub(f"{NAME}@refs/convert/parquet").samples("train")[0].id == "slide_2"
    with pytest.raises(UserError, match="is not here yet: bring it with `python -m segmodels datasets download"):
        open_hub(NAME)
    assert hub_names() == [f"{NAME}@refs/convert/parquet", f"{NAME}@v1.0"]


def test_of_several_configurations_one_is_named(server: Hub):
    server.commit(
        REPOSITORY,
        {
            "nuclei/train-0.parquet": parquet([row(1)]),
            "glands/test/0.parquet": parquet([row(2)]),
            "id2label.json": b"{}",
        },
    )
    with pytest.raises(UserError, match=r"several data sets \(glands, nuclei\): name one, as \S+cells@main/glands"):
        bring(server)
    bring(server, f"{NAME}@main/glands")
    assert open_hub(f"{NAME}@main/glands").samples("test")[0].id == "slide_2"
    assert hub_names() == [f"{NAME}@main/glands"]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("id2label.json", '{"0": "tissue", "1": "nucleus", "7": "gland"}'),
        (
            "data/classes.json",
            '[{"name": "tissue", "id": 0}, {"name": "nucleus", "id": 1}, {"name": "gland", "id": 7}]',
        ),
        ("labels.txt", "0 tissue\n1 nucleus\n7 gland\n"),
    ],
)
def test_class_names_come_from_a_label_file(server: Hub, file: str, content: str):
    sparse = np.array([[0, 1, 7], [2, 255, 7]], np.uint8)
    files = {"data/train.parquet": parquet([row(1) | {"label": {"bytes": encoded(sparse), "path": None}}])}
    server.commit(REPOSITORY, files | {file: content.encode()})
    bring(server)
    opened = open_hub(NAME)
    assert [label.name for label in opened.classes] == ["tissue", "nucleus", "class 2", "gland"]
    assert opened.read_mask(opened.samples("train")[0]).tolist() == [[0, 1, 3], [2, 255, 3]]


def test_a_wrong_label_file_is_told_and_passed_over(server: Hub):
    server.commit(REPOSITORY, {"data/train.parquet": parquet([row(1)]), "id2label.json": b'{"0": ["a"]'})
    bring(server)
    opened = open_hub(NAME)
    assert len(opened.classes) == 3
    (finding,) = opened.inspect_files()
    assert (finding.kind, finding.where) == ("left-out", "id2label.json")
    assert "not valid JSON" in finding.message


@pytest.mark.parametrize("column", ["mask", "Annotation", "labels", "segmentation_mask"])
def test_columns_are_found_by_name_and_type(server: Hub, column: str):
    kind = pa.large_binary()
    columns = {"id": pa.int64(), "label": pa.int64(), "Pixel_Values": CELL, column: kind, "file_name": pa.string()}
    rows = [
        {"Pixel_Values": row(seed)["image"], column: encoded(mask(seed)), "file_name": f"a/b/{seed}.v2.png", "label": 3}
        for seed in range(3)
    ]
    server.commit(REPOSITORY, {"train.parquet": parquet(rows, columns)})
    bring(server)
    opened = open_hub(NAME)
    (sample,) = [
        sample for split in ("train", "validation", "test") for sample in opened.samples(split) if sample.id[0] == "1"
    ]
    assert sample.id == "1.v2"
    assert opened.read_mask(sample).tolist() == mask(1).tolist()


def test_wrong_columns_are_named(server: Hub, home: Path):
    columns = {"image": CELL, "label": pa.int64(), "text": pa.string()}
    server.commit(
        REPOSITORY, {"train.parquet": parquet([{"image": row(1)["image"], "label": 1, "text": "x"}], columns)}
    )
    with pytest.raises(UserError) as caught:
        bring(server)
    assert str(caught.value) == (
        f"{NAME}: not one picture with a mask was found in it; the first was left out because train.parquet: no column "
        "of masks among its columns image (pictures), label (int64), text (text)"
    )
    assert no_half(home)


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes that claims to be large."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


def test_bad_rows_are_left_out_and_told(server: Hub):
    colours = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    large = Image.fromarray(np.full((12, 16), 300, np.uint16))
    file = io.BytesIO()
    large.save(file, "PNG")
    bad = {
        "the picture has over 64 megapixels": row(1) | {"image": {"bytes": bomb(60000, 60000), "path": "x"}},
        "the picture has over 64 megapixels ": row(1) | {"image": {"bytes": bomb(9000, 9000), "path": "x"}},
        "the mask has over 64 megapixels": row(1) | {"label": {"bytes": bomb(60000, 60000), "path": "x"}},
        "the mask: the picture is truncated or damaged": row(1) | {"label": {"bytes": bomb(100, 100), "path": "x"}},
        "the picture is no picture of a known kind": row(1) | {"image": {"bytes": b"\x80\x04N.", "path": "x.jpg"}},
        "the picture is not there": row(1) | {"image": {"bytes": None, "path": "http://127.0.0.1/x.jpg"}},
        "the mask is not there": row(1) | {"label": None},
        "the mask: a mask holds one class id a pixel": row(1) | {"label": {"bytes": encoded(colours), "path": ""}},
        "the mask has the value 300": row(1) | {"label": {"bytes": file.getvalue(), "path": ""}},
    }
    server.commit(REPOSITORY, {"test.parquet": parquet([row(5), *bad.values(), row(6)]), "train.parquet": b"PAR1" * 9})
    bring(server)
    opened = open_hub(NAME)
    assert [sample.id for sample in opened.samples("test")] == ["slide_5", "slide_6"]
    findings = opened.inspect_files()
    assert [finding.where for finding in findings] == [
        "train.parquet",
        *(f"test.parquet, row {i}" for i in range(1, 10)),
    ]
    for finding, begins in zip(findings[1:], bad, strict=True):
        assert finding.message.startswith(begins.strip())
        assert (finding.kind, finding.action) == ("left-out", "not imported")
    assert "not a whole Parquet file" in findings[0].message


def test_names_in_rows_never_leave_the_folder(server: Hub, home: Path):
    names = ["../../../escaped.png", "/etc/passwd", "C:\\windows\\x.png", "..", "", "\0", ".hidden", "a" * 300, "A.png",
             "b/a.png", "con|x", "ü.png"]  # fmt: skip
    rows = [row(1) | {"image": {"bytes": picture(number), "path": name}} for number, name in enumerate(names)]
    server.commit(REPOSITORY, {"data/test.parquet": parquet(rows)})
    folder = bring(server)
    opened = open_hub(NAME)
    samples = [sample for split in ("train", "validation", "test") for sample in opened.samples(split)]
    assert len(samples) == len(names) == len({sample.id.casefold() for sample in samples})
    for sample in samples:
        assert sample.image_path.resolve().parent == folder / "images"
        assert opened.read_image(sample).shape == (12, 16, 3)
    assert {"escaped", "passwd", "x", "A", "ü"} <= {sample.id for sample in samples}
    assert {path.name for path in home.iterdir()} == {"data"}


def test_climbing_file_names_are_refused(server: Hub, home: Path):
    server.commit(REPOSITORY, splits())
    for path in ("../../x.parquet", "/etc/x.parquet", "a\\..\\x.parquet", "data/../../x.png", "C:/x.png"):
        server.listed = [{"type": "file", "path": path, "size": 3, "oid": "0" * 40}]
        with pytest.raises(UserError, match="would be written outside the folder; refused"):
            bring(server)
    assert no_half(home)


@pytest.mark.parametrize("size", [-1, "9", None, 1.5, True, [1]])
def test_sizes_that_are_none_are_refused(server: Hub, home: Path, size: object):
    server.commit(REPOSITORY, splits())
    server.listed = [{"type": "file", "path": "data/x.parquet", "size": size, "oid": "0" * 40}]
    if size is None:  # a folder has none
        bring(server)
    else:
        with pytest.raises(UserError, match=r"data/x\.parquet claims a size of"):
            bring(server)
        assert no_half(home)


def test_huge_sizes_are_refused_before_anything_comes(server: Hub, home: Path, monkeypatch: pytest.MonkeyPatch):
    server.commit(REPOSITORY, splits())
    server.sizes = {"data/train-00000-of-00002.parquet": 10**15}
    with pytest.raises(UserError, match="has 1,000,000 GB of pictures, more than the 69 allowed"):
        bring(server)
    server.sizes = {"data/train-00000-of-00002.parquet": 10**9}
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": disk.RESERVE + 2 * 10**9}))
    with pytest.raises(UserError, match="are needed on the disk of"):
        bring(server)
    assert not server.asked("resolve")
    assert no_half(home)


def test_more_bytes_than_listed_are_not_taken(server: Hub, home: Path):
    server.commit(REPOSITORY, splits())
    server.sizes = {"data/train-00000-of-00002.parquet": 1000}
    with pytest.raises(UserError, match=r"train-00000-of-00002\.parquet is larger than the 1,000 bytes listed"):
        bring(server)
    server.sizes = {"data/train-00000-of-00002.parquet": 10**7}
    with pytest.raises(UserError, match="bytes, not the 10,000,000 listed"):
        bring(server)
    assert no_half(home)


def test_too_many_files_are_refused(server: Hub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("segmodels.hub.repository.MAX_FILES", 3)
    server.commit(REPOSITORY, splits())
    with pytest.raises(UserError, match="has more than the 3 files allowed"):
        bring(server)


def test_a_stop_keeps_what_has_come_and_leaves_no_folder(server: Hub, home: Path):
    server.commit(REPOSITORY, splits())
    writing: list[str] = []
    with pytest.raises(Stopped):
        bring(
            server, progress=lambda _, __, what: writing.append(what), stop=lambda: "writing someone/cells" in writing
        )
    assert no_half(home)
    came = server.asked("GET /datasets/someone/cells/resolve")
    assert came == 4
    bring(server)
    assert server.asked("GET /datasets/someone/cells/resolve") == came
    newer = server.commit(REPOSITORY, {"train.parquet": parquet([row(77)])})
    with pytest.raises(Stopped):
        bring(server, stop=lambda: server.asked("GET /datasets/someone/cells/resolve") > came)
    assert server.asked("GET /datasets/someone/cells/resolve") == came + 1
    assert not (home / "data" / "hub" / "someone--cells" / newer).exists()


ERRORS = {
    "gated; ask for access at": {"gated": True},
    "answers with HTTP 418; try again later": {"status": 418},
    "the Hub names no commit of it": {"commit_named": "../../x"},
}


@pytest.mark.parametrize("message", ERRORS)
def test_answers_of_the_hub_are_one_line(server: Hub, home: Path, message: str):
    server.commit(REPOSITORY, splits())
    for key, value in ERRORS[message].items():
        setattr(server, key, value)
    with pytest.raises(UserError, match=message) as caught:
        bring(server)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(NAME)
    assert no_half(home)


def test_what_is_not_there_is_said(server: Hub, home: Path):
    server.commit(REPOSITORY, splits())
    with pytest.raises(UserError, match="no such data set, or a private one"):
        bring(server, "hf://datasets/someone/nothing")
    with pytest.raises(UserError, match="there is no revision 'v9'; leave it out, or see http"):
        bring(server, f"{NAME}@v9")
    server.listed = [{"type": "file", "path": "data/test-9.parquet", "size": 10, "oid": "0" * 40}]
    with pytest.raises(UserError, match="a file that is listed is not there"):
        bring(server)
    server.listed = [{"type": "file", "size": 10}]
    with pytest.raises(UserError, match="is not understood"):
        bring(server)
    with pytest.raises(UserError, match=r"cannot be reached.*; check the connection and try again"):
        download_hub(NAME, endpoint="http://127.0.0.1:9")
    assert no_half(home)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"data.zip": b"PK"}, "it has archives: fetch and unpack them yourself"),
        ({"cells.py": b"import os"}, "it is made by a script, which is not run"),
        ({"train.csv": b"a,b"}, "holds neither Parquet files nor pictures"),
        ({"pictures/1.png": b"x", "notes.txt": b"x"}, "its files have no known form of a data set"),
    ],
)
def test_repositories_of_no_pictures_are_refused(server: Hub, home: Path, files: dict[str, bytes], message: str):
    server.commit(REPOSITORY, files)
    with pytest.raises(UserError, match=message):
        bring(server)
    assert no_half(home)


def test_plain_files_are_opened_as_ones_own(server: Hub):
    files = {"classes.json": json.dumps(["tissue", "nucleus", "gland"]).encode(), "run.py": b"raise SystemExit"}
    for split, seeds in (("train", range(6)), ("val", range(10, 12)), ("test", range(20, 23))):
        for seed in seeds:
            files[f"set/{split}/images/{seed}.jpg"] = picture(seed)
            files[f"set/{split}/masks/{seed}.png"] = encoded(mask(seed))
    files["set/.git/config"] = files["set/weights.pkl"] = b"x"
    server.commit(REPOSITORY, files)
    folder = bring(server)
    opened = open_hub(NAME)
    assert isinstance(opened, OwnDataset)
    assert [len(opened.samples(split)) for split in ("train", "validation", "test")] == [6, 2, 3]
    assert opened.name == NAME
    assert [label.name for label in opened.classes] == ["tissue", "nucleus", "gland"]
    assert opened.read(opened.samples("test")[0])[1].tolist() == mask(20).tolist()
    assert not {".py", ".pkl", ""} & {path.suffix for path in folder.rglob("*") if path.is_file()}
    below = bring(server, f"{NAME}@main/set")
    assert (below / "files" / "train" / "images" / "0.jpg").read_bytes() == picture(0)
    assert len(open_hub(f"{NAME}@main/set").samples("test")) == 3


def test_a_folder_of_somebody_else_is_left(server: Hub, home: Path):
    sha = server.commit(REPOSITORY, splits())
    mine = home / "data" / "hub" / "someone--cells" / sha / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(UserError, match="is in the way and is no import of this program"):
        bring(server)
    assert mine.read_text() == "mine"


def test_a_damaged_index_is_said(server: Hub):
    server.commit(REPOSITORY, splits())
    index = bring(server) / "index.json"
    document = json.loads(index.read_text())
    for change in (
        {"format": 2}, {"classes": 3}, {"samples": [{}]},
        {"samples": [document["samples"][0] | {"image": "images/../../x"}]},
        {"classes": [{"name": "a", "colour": "#000000", "value": "x"}]},
    ):  # fmt: skip
        index.write_text(json.dumps(document | change))
        with pytest.raises(UserError, match="download it again"):
            ImportedDataset(index.parent)


@pytest.mark.parametrize(
    "name",
    ["hf://datasets/owner", "hf://datasets/a/b/c", "hf://datasets/../b", "hf://datasets/a/b@", "hf://datasets/a/b@v/../c",
     "hf://datasets/a--b/c", "hf://datasets/a/b.", "hf://models/a/b", "hf://datasets/a/b@main/", "hf://datasets/a/b c",
     "hf://datasets/a/b@main//etc", "hf://datasets/" + "a" * 97 + "/b"],
)  # fmt: skip
def test_names_that_are_none(name: str):
    with pytest.raises(UserError, match="is no data set of the Hub: write hf://datasets/owner/name"):
        parse(name)


@given(st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_after_the_prefix_is_a_place_or_an_error(text: str):
    try:
        place = parse(f"hf://datasets/{text}")
    except UserError:
        return
    assert place.base.parent.name == "hub"
    assert place.at("0" * 40).parent == place.base


def counts(**pixels: int) -> np.ndarray:
    found = np.zeros(256, np.int64)
    for value, count in pixels.items():
        found[int(value[1:])] = count
    return found


def test_classes_of_mask_values():
    def names(pixels: np.ndarray) -> dict[int, str]:
        return {value: label.name for value, label in class_values(pixels)[0]}

    two = {0: "background", 255: "foreground"}
    assert names(counts(_0=5, _255=5)) == two
    assert names(counts(_0=500, _255=400, **{f"_{value}": 1 for value in range(1, 60)})) == two
    assert names(counts(_0=5, _1=5)) == names(counts(_0=5)) == {0: "background", 1: "foreground"}
    assert names(counts(_0=5, _2=5, _255=5)) == {0: "class 0", 1: "class 1", 2: "class 2"}
    assert len(names(counts(_0=5, _150=5))) == 151


def test_masks_smoothed_by_jpeg_have_two_classes(server: Hub):
    shape = np.zeros((64, 64), np.uint8)
    shape[20:44, 20:44] = 255
    rows = [row(1) | {"label": {"bytes": encoded(shape, "JPEG"), "path": None}}]
    server.commit(REPOSITORY, {"train.parquet": parquet(rows)})
    bring(server)
    opened = open_hub(NAME)
    assert [label.name for label in opened.classes] == ["background", "foreground"]
    ids = opened.read_mask(opened.samples("train")[0])
    assert ((ids == 1) == (shape == 255)).mean() > 0.99
