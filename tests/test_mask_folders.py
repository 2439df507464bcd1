"""Folders of mask pictures: how pictures and masks are paired, which form a folder has, and what the masks become."""

from __future__ import annotations

import shutil
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from segmodels.data.class_table import TOLERANCE, ColourTable, NumberTable
from segmodels.data.dataset import SPLITS
from segmodels.data.datasets.colour_masks import ColourMaskFolder
from segmodels.data.datasets.integer_masks import IntegerMaskFolder
from segmodels.data.datasets.mask_values import mask_values
from segmodels.data.datasets.oxford_pets import OxfordPets
from segmodels.data.datasets.voc_masks import VOC_CLASSES, VocFolder, voc_colour
from segmodels.data.images import read_mask_values
from segmodels.data.mask_pairs import find_pairs
from segmodels.errors import UserError

pytestmark = pytest.mark.usefixtures("home")

SHAPE = (6, 8)


def picture(path: Path, shape: tuple[int, int] = SHAPE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*shape, 3), 90, np.uint8)).save(path)


def mask(path: Path, values: np.ndarray, *, palette: list[int] | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values)
    if palette is not None:
        image.putpalette(palette)
    image.save(path)


def striped(*values: int | tuple[int, int, int]) -> np.ndarray:
    """A mask of `SHAPE` with a stripe of each value, equal in width but for the last."""
    places = np.minimum(np.arange(SHAPE[1]) * len(values) // SHAPE[1], len(values) - 1)
    return np.broadcast_to(np.array(values, np.uint8)[places], (*SHAPE, *np.shape(values)[1:])).copy()


def folder(root: Path, *masks: np.ndarray, suffix: str = ".png") -> Path:
    """`images/` and `masks/` with these masks."""
    for number, values in enumerate(masks):
        picture(root / f"images/{number}.jpg")
        mask(root / f"masks/{number}{suffix}", values)
    return root


def forms(root: Path) -> list[str]:
    return [form.form for form in (VocFolder, ColourMaskFolder, IntegerMaskFolder) if form.recognise(root)]


def all_samples(data) -> list:
    return sorted((sample for split in SPLITS for sample in data.samples(split)), key=lambda sample: sample.id)


def masks_of(data) -> list[np.ndarray]:
    return [data.read(sample)[1] for sample in all_samples(data)]


# Pairs


@pytest.mark.parametrize(
    ("image", "label", "wanted"),
    [
        ("images/a.jpg", "masks/a.png", ("a", "", "")),
        ("Images/a.JPG", "Masks/a.PNG", ("a", "", "")),
        ("a.jpg", "labels/a.png", ("a", "", "")),
        ("images/a.jpg", "annotations/trimaps/a.png", ("a", "", "")),
        ("JPEGImages/a.jpg", "SegmentationClass/a.png", ("a", "", "")),
        ("img_dir/val/a.jpg", "ann_dir/val/a.png", ("a", "", "validation")),
        ("val/images/a.jpg", "val/masks/a.png", ("a", "", "validation")),
        ("images/training/a.jpg", "annotations/training/a.png", ("a", "", "train")),
        ("test/a.png", "testannot/a.png", ("a", "", "test")),
        ("test/a.png", "test_labels/a_L.png", ("a", "", "test")),
        ("train_images/a.jpg", "train_masks/a.png", ("a", "", "train")),
        ("Original images/a.tif", "Ground Truth/a.png", ("a", "", "")),
        ("701_StillsRaw_full/a.png", "LabeledApproved_full/a_L.png", ("a", "", "")),
        ("images_2/a.png", "masks_2/a.png", ("a", "", "")),
        ("images_2/a.png", "masks_3/a.png", None),
        ("a.jpg", "a_mask.png", ("a", "", "")),
        ("a.png", "a_seg.png", ("a", "", "")),
        ("a.png", "a_L.png", ("a", "", "")),
        ("images/a_seg.png", "masks/a_seg.png", ("a_seg", "", "")),
        ("images/a.jpg", "masks/a_label.png", ("a", "", "")),
        ("Tile 1/images/a.jpg", "Tile 2/masks/a.png", None),
        ("images/a.jpg", "masks/b.png", None),
        ("photos_L/a.png", "photos_R/a.png", None),
        (".hidden/images/a.jpg", ".hidden/masks/a.png", None),
    ],
)
def test_pairs(tmp_path: Path, image: str, label: str, wanted: tuple[str, str, str] | None) -> None:
    picture(tmp_path / image)
    picture(tmp_path / label)
    found = find_pairs(tmp_path).pairs
    if wanted is None:
        assert found == []
    else:
        # What all have in common is no part of the id.
        assert [(pair.id, pair.folder, pair.split) for pair in found] == [wanted]
        assert (found[0].image_path, found[0].mask_path) == (tmp_path / image, tmp_path / label)


def test_folders_with_numbers_are_sources_and_others_are_kinds(tmp_path: Path) -> None:
    for name in ("set of masks/Tile 1", "set of masks/Tile 2", "set of masks/flat"):
        picture(tmp_path / name / "images/a.jpg")
        picture(tmp_path / name / "masks/a.png")
    found = find_pairs(tmp_path)
    assert [(pair.id, pair.folder, found.source(pair)) for pair in found.pairs] == [
        ("Tile 1/a", "Tile 1", "Tile 1"), ("Tile 2/a", "Tile 2", "Tile 2"), ("flat/a", "flat", ""),
    ]  # fmt: skip


def test_what_does_not_fit_is_told(tmp_path: Path) -> None:
    for name in ("images/a.jpg", "images/a.png", "images/b.jpg", "masks/a.png", "masks/a.tif", "masks/c.png"):
        picture(tmp_path / name)
    found = find_pairs(tmp_path)
    assert [pair.image_path.name for pair in found.pairs] == ["a.jpg"]
    assert [(f.kind, f.where) for f in found.findings] == [
        ("name-clash", "images/a.png"), ("name-clash", "masks/a.tif"),
        ("no-mask", "images/b.jpg"), ("no-picture", "masks/c.png"),
    ]  # fmt: skip


def test_list_files(tmp_path: Path) -> None:
    for name in "abcdefg":
        picture(tmp_path / f"images/{name}.jpg")
        picture(tmp_path / f"masks/{name}.png")
    picture(tmp_path / "images/p.jpg")
    picture(tmp_path / "masks/q.png")
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "train.txt").write_text(
        "a\nb.jpg\n/far/away/images/c.jpg /far/away/masks/c.png\n../../../etc/passwd\nx 1 1 1\n"
        "C:\\data\\images\\p.jpg,C:\\data\\masks\\q.png\n"
    )
    (lists / "val.txt").write_text("# a comment\nd 1 2 3\n\n")
    (lists / "test.txt").write_text("e\nb\n")
    found = find_pairs(tmp_path)
    assert {pair.id: pair.split for pair in found.pairs} == {
        "a": "train", "b": "test", "c": "train", "d": "validation", "e": "test", "images/p": "train",
    }  # fmt: skip
    assert found.pairs[-1].mask_path == tmp_path / "masks/q.png"
    told = {finding.kind: finding.message for finding in found.findings}
    assert told.pop("not-there") == (
        "the list of train names 2 pictures without picture or mask, first '../../../etc/passwd'"
    )
    told = {kind: message for kind, message in told.items() if kind[:3] != "no-"}
    assert told == {
        "listed-twice": "it is in the lists of train and of test",
        "unlisted": "2 pictures are in no list of a split, first 'f'",
    }


def test_bad_lists_are_passed_over(tmp_path: Path) -> None:
    folder(tmp_path, striped(0, 1), striped(0, 1))
    (tmp_path / "train.txt").write_bytes(b"\xff\xfe0")
    (tmp_path / "test.txt").write_text("notes on the test\n")
    found = find_pairs(tmp_path)
    assert {pair.split for pair in found.pairs} == {""}
    assert [finding.kind for finding in found.findings] == ["bad-list"]


# Tables


@given(
    st.dictionaries(st.integers(0, 255), st.sampled_from([0, 1, 2, 255]), min_size=1, max_size=9),
    arrays(np.int32, (4, 5), elements=st.integers(-2, 300)),
)
def test_number_table_is_the_plain_loop(numbers: dict[int, int], values: np.ndarray) -> None:
    known = sorted(numbers)
    near = min(TOLERANCE, *[(b - a) // 4 for a, b in pairwise(known)]) if len(known) > 1 else 0
    wanted = []
    for value in values.ravel().tolist():
        nearest = min(known, key=lambda k: (abs(k - value), k))
        wanted.append(numbers[nearest] if abs(nearest - value) <= near and 0 <= value <= 255 else 255)
    table = NumberTable(numbers)
    np.testing.assert_array_equal(table.ids(values).ravel(), wanted)
    unknown = table.unknown(values)
    assert sum(u.pixels for u in unknown) == sum(value not in numbers for value in values.ravel().tolist())


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(st.tuples(*[st.integers(0, 255)] * 3), st.sampled_from([0, 1, 254, 255]), min_size=1, max_size=6),
    arrays(np.uint8, (4, 5, 3)),
    st.integers(0, 40),
)
def test_colour_table_is_the_plain_loop(colours: dict, values: np.ndarray, shift: int) -> None:
    table = ColourTable({"#%02X%02X%02X" % colour: class_id for colour, class_id in colours.items()})  # noqa: UP031
    values[0] = np.clip(np.array([*colours][0]) + shift, 0, 255)  # noqa: RUF015
    values[1] = [*colours][-1]
    for _ in range(2):  # the second time it knows them all
        for (y, x), found in np.ndenumerate(table.ids(values)):
            away = [float(np.linalg.norm(np.array(colour, float) - values[y, x])) for colour in colours]
            near = [class_id for distance, class_id in zip(away, colours.values(), strict=True)
                    if distance <= min(away) + 1e-4]  # fmt: skip
            assert found in (near if min(away) <= TOLERANCE else [255])
    pixels = [tuple(pixel) for pixel in values.reshape(-1, 3).tolist()]
    assert sum(u.pixels for u in table.unknown(values)) == sum(pixel not in colours for pixel in pixels)


def test_values_are_counted_once(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    mask(paths[0], striped(0, 1))
    mask(paths[1], striped(1, 7))
    paths[2].write_text("no picture")
    read: list[Path] = []
    told: list[tuple[int, int]] = []

    def reading(path: Path) -> np.ndarray:
        read.append(path)
        return read_mask_values(path)

    for _ in range(2):
        found = mask_values(paths, reading, paths, kind="t", progress=lambda done, total, _: told.append((done, total)))
        assert (found.pixels, found.masks) == ({0: 24, 1: 48, 7: 24}, {0: 1, 1: 2, 7: 1})
        assert found.total == 96
        assert list(found.problems) == [2]
    assert sorted(read) == paths
    assert told == [(1, 3), (2, 3), (3, 3)]
    mask(paths[1], striped(1, 7, 8))
    assert 8 in mask_values(paths, reading, paths, kind="t").pixels


# Masks of class numbers


def test_numbers_without_a_label_file(tmp_path: Path) -> None:
    data = IntegerMaskFolder(folder(tmp_path, striped(1, 2), striped(2, 5, 255)))
    assert [label.name for label in data.classes] == ["class 1", "class 2", "class 5"]
    np.testing.assert_array_equal(masks_of(data), [striped(0, 1), striped(1, 2, 255)])
    assert data.inspect_files() == []


def test_numbers_with_a_label_file(tmp_path: Path) -> None:
    folder(tmp_path, striped(0, 1, 2, 7), striped(2, 255))
    (tmp_path / "labels.txt").write_text("sky\nvoid\nroad\n")
    data = IntegerMaskFolder(tmp_path)
    assert [label.name for label in data.classes] == ["sky", "road"]
    np.testing.assert_array_equal(masks_of(data), [striped(0, 255, 1, 255), striped(1, 255)])
    (finding,) = data.inspect(all_samples(data)[0])
    assert finding.kind == "unknown-value"
    assert finding.message.startswith("25.00% of the pixels have 1 value of no class, most 7 (25.00%)")
    assert finding.action == "those pixels are ignored"


@pytest.mark.parametrize(
    ("labels", "names"),
    [(None, ["background", "foreground"]), ("cell", ["background", "cell"]), ("no\nyes", ["no", "yes"])],
)
def test_0_and_255_are_0_and_1(tmp_path: Path, labels: str | None, names: list[str]) -> None:
    folder(tmp_path, striped(0, 255), striped(0, 0))
    if labels:
        (tmp_path / "labels.txt").write_text(labels)
    data = IntegerMaskFolder(tmp_path)
    assert [label.name for label in data.classes] == names
    np.testing.assert_array_equal(masks_of(data), [striped(0, 1), striped(0, 0)])
    assert [finding.kind for finding in data.inspect_files()] == ["0-and-255"]


def test_255_by_its_id_is_a_class(tmp_path: Path) -> None:
    folder(tmp_path, striped(0, 100, 255))
    (tmp_path / "labels.txt").write_text("0 no\n255 yes\n100 void\n")
    data = IntegerMaskFolder(tmp_path)
    np.testing.assert_array_equal(masks_of(data), [striped(0, 255, 1)])


def test_jpeg_masks_of_0_and_255(tmp_path: Path) -> None:
    """What JPEG leaves of a clean mask: every pixel the right class or ignored."""
    clean = np.zeros((64, 64), np.uint8)
    clean[10:40, 13:50] = 255
    picture(tmp_path / "images/a.jpg", (64, 64))
    (tmp_path / "masks").mkdir()
    Image.fromarray(clean).save(tmp_path / "masks/a.jpg", quality=60)
    data = IntegerMaskFolder(tmp_path)
    assert [label.name for label in data.classes] == ["background", "foreground"]
    ids = masks_of(data)[0]
    right = ids == clean // 255
    assert (right | (ids == 255)).all()
    assert right.mean() > 0.97
    assert [finding.kind for finding in data.inspect(all_samples(data)[0])] == ["anti-aliased"]


@pytest.mark.parametrize("lowest", [0, 1])
def test_names_are_counted_from_1_where_the_numbers_are(tmp_path: Path, lowest: int) -> None:
    folder(tmp_path, striped(*range(lowest, 4)))
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    data = IntegerMaskFolder(tmp_path)
    assert [label.name for label in data.classes] == ["background"] * (1 - lowest) + ["a", "b", "c"]
    np.testing.assert_array_equal(masks_of(data), [striped(*range(4 - lowest))])
    assert [finding.kind for finding in data.inspect_files()] == ["numbers-from-1"]


def test_grey_in_every_mode(tmp_path: Path) -> None:
    values = striped(0, 1, 3)
    grey = np.repeat(values[..., None], 3, axis=-1)
    with_alpha = np.concatenate([grey, striped(9, 0, 200)[..., None]], axis=-1)
    folder(tmp_path, values, grey, with_alpha, values.astype(np.uint16))
    mask(tmp_path / "masks/4.png", values, palette=[9, 8, 7, 250, 0, 0, 0, 250, 0, 0, 0, 250])
    picture(tmp_path / "images/4.jpg")
    (tmp_path / "labels.txt").write_text("a\nb\nc\nd\n")
    assert forms(tmp_path) == ["masks"]
    np.testing.assert_array_equal(masks_of(IntegerMaskFolder(tmp_path)), [values] * 5)


def test_damaged_masks_do_not_stop_the_rest(tmp_path: Path) -> None:
    folder(tmp_path, striped(0, 1), striped(0, 1))
    (tmp_path / "masks/1.png").write_bytes(b"\x89PNG no more")
    picture(tmp_path / "images/2.jpg", (5, 5))
    mask(tmp_path / "masks/2.png", striped(0, 1))
    data = IntegerMaskFolder(tmp_path)
    first, damaged, unequal = all_samples(data)
    np.testing.assert_array_equal(data.read(first)[1], striped(0, 1))
    with pytest.raises(UserError, match=r"1\.png"):
        data.read(damaged)
    assert data.inspect(damaged) == []
    with pytest.raises(UserError, match="5x5 but its mask is 8x6"):
        data.read(unequal)
    (tmp_path / "masks/0.png").write_bytes(b"")
    (tmp_path / "masks/2.png").write_bytes(b"")
    with pytest.raises(UserError, match="no mask of 3 can be read"):
        IntegerMaskFolder(tmp_path)


def test_reading_belongs_to_the_fingerprint(tmp_path: Path) -> None:
    folder(tmp_path, striped(0, 1, 2))
    before = IntegerMaskFolder(tmp_path)
    (tmp_path / "labels.txt").write_text("a\nvoid\nc")
    after = IntegerMaskFolder(tmp_path)
    assert before.fingerprint(all_samples(before)) != after.fingerprint(all_samples(after))


def test_pets_are_found_by_value(data_folder: Path, tmp_path: Path) -> None:
    """The trimaps' 1, 2, 3 become the same ids as in the named set."""
    root = data_folder / "oxford-iiit-pet"
    assert forms(root) == ["masks"]
    data, pets = IntegerMaskFolder(root), OxfordPets(root)
    assert [label.name for label in data.classes] == ["class 1", "class 2", "class 3"]
    assert {sample.id for sample in data.samples("test")} == {sample.id for sample in pets.samples("test")}
    assert len(all_samples(data)) == 508
    for sample in data.samples("test")[:5]:
        np.testing.assert_array_equal(data.read(sample)[1], pets.read(sample)[1])


# Masks in colours

RED, GREEN, BLUE = (200, 0, 0), (0, 200, 0), (0, 0, 200)


def test_colours_in_every_mode(tmp_path: Path) -> None:
    values = striped(RED, GREEN, BLUE)
    with_alpha = np.concatenate([values, striped(9, 0, 200)[..., None]], axis=-1)
    folder(tmp_path, values, with_alpha)
    mask(tmp_path / "masks/2.png", striped(7, 3, 0), palette=[*BLUE, 1, 1, 1, 2, 2, 2, *GREEN, *[0] * 9, *RED])
    picture(tmp_path / "images/2.jpg")
    (tmp_path / "label_colors.txt").write_text("0 0 200\tvoid\n200 0 0\tred\n0 200 0\tgreen\n")
    assert forms(tmp_path) == ["colours"]
    data = ColourMaskFolder(tmp_path)
    assert [(label.name, label.colour) for label in data.classes] == [("red", "#C80000"), ("green", "#00C800")]
    np.testing.assert_array_equal(masks_of(data), [striped(0, 1, 255)] * 3)
    assert data.inspect_files() == []


def test_colours_without_a_label_file(tmp_path: Path) -> None:
    data = ColourMaskFolder(folder(tmp_path, striped(RED, GREEN), striped(BLUE, GREEN)))
    assert [label.name for label in data.classes] == ["#0000C8", "#00C800", "#C80000"]
    np.testing.assert_array_equal(masks_of(data), [striped(2, 1), striped(0, 1)])


def test_unknown_colours_are_told_with_the_nearest(tmp_path: Path) -> None:
    folder(tmp_path, striped(RED, GREEN, (200, 3, 4), (90, 90, 90)))
    (tmp_path / "labels.csv").write_text("name,r,g,b\nred,200,0,0\ngreen,0,200,0\n")
    data = ColourMaskFolder(tmp_path)
    np.testing.assert_array_equal(masks_of(data), [striped(0, 1, 0, 255)])
    (finding,) = data.inspect(all_samples(data)[0])
    assert finding.kind == "unknown-colour"
    assert finding.message == (
        "50.00% of the pixels have 2 colours of no class, most #5A5A5A (25.00%), "
        "whose nearest is #C80000 at a distance of 168"
    )
    assert finding.action == "25.00% taken as the nearest colour, 25.00% ignored"


def test_smoothed_colour_masks(tmp_path: Path) -> None:
    clean = np.zeros((40, 60, 3), np.uint8)
    clean[:, 20:] = RED
    clean[10:30, 30:50] = GREEN
    picture(tmp_path / "images/a.jpg", (200, 300))
    (tmp_path / "masks").mkdir()
    Image.fromarray(clean).resize((300, 200), Image.Resampling.BILINEAR).save(tmp_path / "masks/a.png")
    (tmp_path / "labels.txt").write_text("0 0 0 none\n200 0 0 red\n0 200 0 green\n")
    data = ColourMaskFolder(tmp_path)
    truth = np.asarray(Image.fromarray(clean).resize((300, 200), Image.Resampling.NEAREST))
    truth = (truth[..., 0] > 0) + 2 * (truth[..., 1] > 0)
    ids = masks_of(data)[0]
    assert ((ids == truth) | (ids == 255)).all()
    assert 0 < (ids == 255).mean() < 0.2
    assert data.inspect(all_samples(data)[0])[0].kind == "anti-aliased"


def test_a_palette_of_the_label_files_colours_at_other_numbers_means_its_colours(tmp_path: Path) -> None:
    picture(tmp_path / "images/a.jpg")
    mask(tmp_path / "masks/a.png", striped(0, 1), palette=[*GREEN, *RED])
    assert forms(tmp_path) == ["masks"]
    (tmp_path / "labels.txt").write_text("0 200 0 green\n200 0 0 red\n")
    assert forms(tmp_path) == ["masks"]
    (tmp_path / "labels.txt").write_text("200 0 0 red\n0 200 0 green\n")
    assert forms(tmp_path) == ["colours"]
    np.testing.assert_array_equal(masks_of(ColourMaskFolder(tmp_path)), [striped(1, 0)])


def test_label_files_that_do_not_fit(tmp_path: Path) -> None:
    folder(tmp_path, striped(RED, GREEN, RED))
    (tmp_path / "labels.txt").write_text("a\nb\n")
    data = ColourMaskFolder(tmp_path)
    assert [finding.kind for finding in data.inspect_files()] == ["label-file"]
    assert [label.name for label in data.classes] == ["#00C800", "#C80000"]
    (tmp_path / "labels.txt").write_text("1 2 3 a\n0 200 0 green\n")
    data = ColourMaskFolder(tmp_path)
    assert [label.name for label in data.classes] == ["green", "#C80000"]
    (tmp_path / "labels.txt").write_text("1 2 3 a\n1 2 3 b\n")
    with pytest.raises(UserError, match=r"labels.txt, line 2: the colour #010203"):
        ColourMaskFolder(tmp_path)
    assert forms(tmp_path) == ["colours"]


# Pascal VOC


def test_voc_numbers_and_colours(tmp_path: Path) -> None:
    values = striped(0, 1, 20, 255)
    colours = [bytes.fromhex(voc_colour(number)[1:]) for number in range(21)]
    assert voc_colour(1) == "#800000"
    assert voc_colour(20) == "#004080"  # tvmonitor, as VOC's devkit has it
    for name in ("a", "b", "c"):
        picture(tmp_path / f"VOC2012/JPEGImages/{name}.jpg")
    mask(tmp_path / "VOC2012/SegmentationClass/a.png", values, palette=[*b"".join(colours)])
    shown = striped(*[tuple(colours[i]) for i in (0, 1, 20)], (224, 224, 192))
    mask(tmp_path / "VOC2012/SegmentationClass/b.png", shown)
    picture(tmp_path / "VOC2012/SegmentationObject/a.png")
    lists = tmp_path / "VOC2012/ImageSets/Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a\n")
    (lists / "val.txt").write_text("b\n")
    (lists / "trainval.txt").write_text("a\nb\n")
    (tmp_path / "VOC2012/ImageSets/Main").mkdir()
    (tmp_path / "VOC2012/ImageSets/Main/train.txt").write_text("c 1\n")
    assert forms(tmp_path) == ["voc"]
    data = VocFolder(tmp_path)
    assert tuple(label.name for label in data.classes) == VOC_CLASSES
    assert {split: [sample.id for sample in data.samples(split)] for split in SPLITS} == {
        "train": ["a"], "validation": ["b"], "test": [],
    }  # fmt: skip
    np.testing.assert_array_equal(masks_of(data), [values, values])
    assert [data.inspect(sample) for sample in all_samples(data)] == [[], []]
    assert Counter(finding.kind for finding in data.inspect_files()) == {"no-mask": 1}


def test_labelmes_voc_tree(data_folder: Path, tmp_path: Path) -> None:
    source = data_folder / "polygons/labelme/semantic_segmentation"
    assert forms(source) == []
    shutil.copytree(source / "data_dataset_voc", tmp_path / "voc")
    (tmp_path / "voc/JPEGImages").mkdir()
    for path in (source / "data_annotated").glob("*.jpg"):
        shutil.copy(path, tmp_path / "voc/JPEGImages")
    assert forms(tmp_path / "voc") == ["voc"]
    data = VocFolder(tmp_path / "voc")
    assert [label.name for label in data.classes[:3]] == ["background", "aeroplane", "bicycle"]
    assert (data.classes[20].name, len(data.classes)) == ("tv/monitor", 21)
    assert len(all_samples(data)) == 2
    for sample in all_samples(data):
        np.testing.assert_array_equal(data.read(sample)[1], np.asarray(Image.open(sample.mask_path)))
        assert data.inspect(sample) == []


def test_cvats_labelmap(tmp_path: Path) -> None:
    picture(tmp_path / "JPEGImages/a.jpg")
    mask(tmp_path / "SegmentationClass/a.png", striped((0, 0, 0), RED, GREEN))
    (tmp_path / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\nr:200,0,0::\ng:0,200:::::\n"
    )
    with pytest.raises(UserError, match="line 4: expected `label:color_rgb:parts:actions` as"):
        VocFolder(tmp_path)
    (tmp_path / "labelmap.txt").write_text("background:0,0,0::\nr:200,0,0::\ng:0,200,0::\n")
    np.testing.assert_array_equal(masks_of(VocFolder(tmp_path)), [striped(0, 1, 2)])


# Which form a folder has


@pytest.mark.parametrize(
    ("folder", "wanted"),
    [
        ("camvid/CamVid", ["masks"]),
        ("camvid/colour_labels_derived", []),
        ("dubai-aerial", ["colours"]),
        ("oxford-iiit-pet", ["masks"]),
        ("monuseg", []),
        ("polygons/labelme", []),
        ("polygons/coco-dried-fruit", []),
        ("polygons/via-kudzu", []),
    ],
)
def test_forms_of_real_data(data_folder: Path, folder: str, wanted: list[str]) -> None:
    assert forms(data_folder / folder) == wanted


def test_nothing_of_the_form(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    for form in (VocFolder, ColourMaskFolder, IntegerMaskFolder):
        assert form.recognise(tmp_path) is None
        assert form.recognise(tmp_path / "missing") is None
        with pytest.raises(UserError, match="no picture with"):
            form(tmp_path)
