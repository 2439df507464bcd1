"""Label files: every format, what is refused and in which words, and that nothing else is ever raised."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmodels.data.label_files import Label, LabelFile, find_label_file, read_label_file
from segmodels.errors import UserError


def read(folder: Path, name: str, text: str | bytes) -> LabelFile:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_label_file(path)


SKY_ROAD = (Label("Sky", colour="#808080"), Label("Road marking", colour="#804080"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("label_colors.txt", "128 128 128\tSky\n128 64 128\t\tRoad marking\n"),
        ("Labels.txt", "128 128 128 Sky\r\n\r\n128 64 128 Road marking"),
        ("labels.txt", "Sky 128 128 128\nRoad marking 128 64 128\n"),
        ("class_dict.csv", "name,r,g,b\nSky,128,128,128\nRoad marking,128,64,128\n"),
        ("class_dict.csv", "\ufeffr, g, b, name\n128, 128, 128, Sky\n128, 64, 128, Road marking\n"),
        ("label_colors.txt", "r,g,b,name\n128 128 128\tSky\n128 64 128\tRoad marking\n"),
        ("classes.csv", "Sky;#808080\nRoad marking;#804080\n"),
        ("labels.txt", "#808080 Sky\n#804080 Road marking\n"),
        ("labelmap.txt", "# label:color_rgb:parts:actions\nSky:128,128,128::\nRoad marking:128,64,128::\n"),
        ("classes.json", '[{"name": "Sky", "color": "#808080"}, {"name": "Road marking", "color": [128, 64, 128]}]'),
        ("classes.json", '{"Sky": [128, 128, 128], "Road marking": [128, 64, 128]}'),
        ("classes.json", '{"#808080": "Sky", "(128, 64, 128)": "Road marking"}'),
        ("classes.json", '{"classes": [{"title": "Sky", "color": "#808080", "id": 99887766}, '
         '{"title": "Road marking", "color": "#804080", "id": 99887767}], "tags": []}'),
        ("classes.yaml", "names: [Sky, Road marking]\ncolors: [[128, 128, 128], [128, 64, 128]]\n"),
        ("classes.yaml", "classes:\n - {name: Sky, colour: '#808080'}\n - {name: Road marking, rgb: [128, 64, 128]}\n"),
        ("data.yml", "Sky: [128, 128, 128]\nRoad marking: [128, 64, 128]\n"),
        ("data.yml", "names: [Sky, Road marking]\ncolors: {Sky: '#808080', Road marking: '#804080'}\n"),
    ],
)  # fmt: skip
def test_names_and_colours(tmp_path: Path, name: str, text: str) -> None:
    found = read(tmp_path, name, text)
    assert found.labels == SKY_ROAD
    assert found.has_colours
    assert found.numbers() == dict(enumerate(SKY_ROAD))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.txt", "3 no\n7 class 1\n"),
        ("labels.txt", "3: no\n7: class 1\n"),
        ("labels.csv", "no,3\nclass 1,7\n"),
        ("labels.csv", "label_id,label_name,note\n3,no,x\n7,class 1,y\n"),
        ("labels.json", '{"3": "no", "7": "class 1"}'),
        ("labels.json", '{"no": 3, "class 1": 7}'),
        ("labels.json", '{"3": {"name": "no"}, "7": {"name": "class 1"}}'),
        ("labels.yaml", "names:\n  3: no\n  7: class 1\n"),
    ],
)
def test_names_and_numbers(tmp_path: Path, name: str, text: str) -> None:
    """`no` is a name, not YAML's false."""
    assert read(tmp_path, name, text).numbers() == {3: Label("no", 3), 7: Label("class 1", 7)}


def test_numbers_and_colours_together(tmp_path: Path) -> None:
    wanted = (Label("Sky", 4, "#010203"), Label("a b", 5, "#040506"))
    assert read(tmp_path, "a.txt", "4 Sky 1 2 3\n5 a b 4 5 6\n").labels == wanted
    assert read(tmp_path, "b.txt", "4 1 2 3 Sky\n5 4 5 6 a b\n").labels == wanted
    assert read(tmp_path, "c.csv", "id,name,color\n4,Sky,#010203\n5,a b,#040506\n").labels == wanted


def test_a_list_of_names_is_taken_word_by_word(tmp_path: Path) -> None:
    found = read(tmp_path, "labels.txt", "tv, monitor\nclass 1\n3 wheeler\n# a comment\nroad\n")
    assert [label.name for label in found.labels] == ["tv, monitor", "class 1", "3 wheeler", "road"]


def test_what_is_ignored(tmp_path: Path) -> None:
    names = ["Void", "Unlabelled", "unlabeled", "IGNORE", "__ignore__", "don't care", "Avoid", "background"]
    assert [Label(name).ignored for name in names] == [True] * 6 + [False] * 2


def test_real_label_files(data_folder: Path) -> None:
    camvid = read_label_file(data_folder / "camvid/colour_labels_derived/label_colors.txt")
    assert len(camvid.labels) == 12
    assert camvid.labels[2] == Label("Column_Pole", colour="#C0C080")
    assert [label.name for label in camvid.labels if label.ignored] == ["Void"]
    dubai = read_label_file(find_label_file(data_folder / "dubai-aerial") or Path())
    assert dubai.labels[1] == Label("Land (unpaved area)", colour="#F5A623")
    assert [label.name for label in dubai.labels if label.ignored] == ["Unlabeled"]
    # LabelMe's first line stands for -1, the next for 0.
    voc = read_label_file(data_folder / "polygons/labelme/semantic_segmentation/labels.txt").numbers()
    assert (voc[0].name, voc[1].name, voc[20].name, len(voc)) == ("_background_", "aeroplane", "tv/monitor", 21)


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("labels.txt", "1 2 3 a\n1 2 3 b\n", "line 2: the colour #010203 is there already, for a"),
        ("labels.txt", "a\nb\na\n", "line 3: the name a is there already"),
        ("labels.txt", "1 a\n1 b\n", "line 2: the number 1 is there already, for a"),
        ("labels.txt", "1 2 3 a\n1 2 300 b\n", "line 2: a colour channel must be 0 to 255, got 300"),
        ("labels.txt", "1 2 3 a\n1 2 x b\n", "line 2: a colour channel must be 0 to 255, got 'x'"),
        ("labels.txt", "1 2 3 a\n1 2\n", "line 2: expected `r g b name` as in the first line, got '1 2'"),
        ("labels.txt", "1 2 3 a\n\n-1 2 3 b\n", "line 3: a colour channel must be 0 to 255"),
        ("labels.txt", "256 a\n", "line 1: a class's number must be 0 to 255"),
        ("labels.txt", b"a\nb\xff\xfe\n", "line 2: not UTF-8 text"),
        ("labels.txt", "\n".join(f"name {i}" for i in range(300)), "line 256: more than 255 classes"),
        ("labels.txt", "x" * 1_000_001, "over 1000 kB is no label file"),
        ("labels.txt", "x" * 101, "line 1: 'xxx"),
        ("labels.csv", "x" * 200_000 + ",1,2,3", "line 1: not a line of a table"),
        ("labels.txt", "", "names no class"),
        ("labels.txt", "Void\n", "names no class"),
        ("labels.txt", "a\x00b\n", "is no name of a class"),
        ("a.json", "[1, 2]", "entry 1: expected the name of a class, got 1"),
        ("a.json", '{"a": [1, 2, 3], "a": [2, 3, 4]}', "'a' stands there twice"),
        ("a.json", '{"a": [1, 2]}', "entry 'a': expected a colour"),
        ("a.json", '{"a": [1, 2, 1e400]}', "entry 'a': a colour channel must be 0 to 255, got inf"),
        ("a.json", '{"a": [1, 2, true]}', "a colour channel must be 0 to 255"),
        ("a.json", '[{"name": "a", "id": 1}, "b"]', "'b' has no number although others have one"),
        ("a.json", "3", "no list of classes"),
        ("a.json", "[\n{]", "line 2: not valid JSON"),
        ("a.json", "[" * 100_000, "not a valid JSON"),
        ("a.yaml", "a: [1, 2, 3]\nb: }\n", "line 2: not valid YAML"),
        ("a.yaml", "a: 1\na: 2\n", "'a' stands there twice"),
        ("a.yaml", "? [x, y]\n: 1\n", "line 1: not valid YAML (a key that is no text)"),
        ("a.yaml", "- !!python/object/apply:os.system [x]\n", "entry 1: expected the name of a class"),
        ("a.yaml", "a" * 100_001, "over 100 kB"),
    ],
)
def test_what_is_refused_in_one_line(tmp_path: Path, name: str, text: str | bytes, wanted: str) -> None:
    with pytest.raises(UserError) as caught:
        read(tmp_path, name, text)
    message = str(caught.value)
    assert wanted in message
    assert name in message
    assert "\n" not in message


def test_yaml_of_many_aliases_is_refused_at_once(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 30)]
    with pytest.raises(UserError):
        read(tmp_path, "a.yaml", "\n".join(lines))


def test_finding_the_file(tmp_path: Path) -> None:
    assert find_label_file(tmp_path) is None
    below = tmp_path / "set"
    below.mkdir()
    (below / "Classes.JSON").write_text("{}")
    assert find_label_file(tmp_path) == below / "Classes.JSON"
    (tmp_path / "labels.txt").write_text("a")
    assert find_label_file(tmp_path) == tmp_path / "labels.txt"
    (tmp_path / "Label_Colors.txt").write_text("1 2 3 a")
    assert find_label_file(tmp_path) == tmp_path / "Label_Colors.txt"
    assert find_label_file(tmp_path / "missing") is None


NAMES = st.text(st.characters(min_codepoint=97, max_codepoint=122), min_size=1, max_size=8)
COLOURS = st.tuples(*[st.integers(0, 255)] * 3)


@given(st.dictionaries(NAMES, COLOURS, min_size=1, max_size=30))
def test_what_is_written_is_read_in_every_format(tmp_path_factory: pytest.TempPathFactory, table: dict) -> None:
    table = {f"x{name}": colour for colour, name in {colour: name for name, colour in table.items()}.items()}
    folder = tmp_path_factory.mktemp("labels")
    wanted = tuple(Label(name, colour="#%02X%02X%02X" % colour) for name, colour in table.items())  # noqa: UP031
    rows = [(name, *map(str, colour)) for name, colour in table.items()]
    texts = {
        "a.txt": "\n".join(" ".join([*row[1:], row[0]]) for row in rows),
        "b.txt": "\n".join(" ".join(row) for row in rows),
        "c.csv": "name,r,g,b\n" + "\n".join(",".join(row) for row in rows),
        "d.txt": "\n".join(f"{row[0]}:{','.join(row[1:])}::" for row in rows),
        "e.json": json.dumps(table),
        "f.json": json.dumps({"classes": [{"title": label.name, "color": label.colour} for label in wanted]}),
        "g.yaml": "\n".join(f"{name}: {list(colour)}" for name, colour in table.items()),
    }
    for name, text in texts.items():
        assert read(folder, name, text).labels == wanted, name


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["name", "id", "color", "1"]), inner),
    max_leaves=12,
)


@settings(max_examples=200)
@given(
    suffix=st.sampled_from([".txt", ".csv", ".json", ".yaml"]),
    content=st.binary(max_size=80)
    | st.text("0123 #,;:ab\t\n\"'[]{}-é", max_size=60).map(str.encode)
    | JSON.map(lambda value: json.dumps(value).encode()),
)
def test_anything_else_is_one_line(tmp_path_factory: pytest.TempPathFactory, suffix: str, content: bytes) -> None:
    try:
        found = read(tmp_path_factory.mktemp("labels"), f"labels{suffix}", content)
    except UserError as error:
        found, message = None, str(error)
    if found is None:
        assert "\n" not in message
        assert len(message) < 400
        return
    names = [label.name for label in found.labels]
    assert len(names) == len(set(names))
    assert all(label.id is None or 0 <= label.id <= 255 for label in found.labels)
