"""`verify`: on a set made to have a defect, exactly that is found; on real sets, the defects they are known for."""

from __future__ import annotations

import io
import json
import re
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segmodels.data.dataset import ClassLabel, Dataset, Finding, Sample
from segmodels.data.datasets import open_dataset
from segmodels.data.disk import Stopped
from segmodels.data.verify import Report, kept_report, verify
from segmodels.data.verify.likeness import COARSE, DETAIL, alike, thumbnail
from segmodels.errors import UserError

HEIGHT, WIDTH = 48, 64
#: Pictures of a clean set, by split.
CLEAN = {"train": 12, "validation": 6, "test": 6}


class Folder(Dataset):
    """`SPLIT/images/*` with `SPLIT/masks/*.png`; the source is what stands before a "-" in the name."""

    name = "folder"
    title = description = licence = source = "made for a test"
    classes = (ClassLabel("ground", "#000000"), ClassLabel("tree", "#00FF00"), ClassLabel("house", "#FF0000"))
    odd: Callable[[Sample], list[Finding]] | None = None
    root: Path

    def listed(self, split: str) -> list[Sample]:
        return [
            Sample(
                f"{split}/{path.stem}",
                source=path.stem.split("-")[0] if "-" in path.stem else "",
                image_path=path,
                mask_path=self.root / split / "masks" / f"{path.stem}.png",
            )
            for path in sorted((self.root / split / "images").iterdir())
        ]

    def inspect(self, sample: Sample) -> list[Finding]:
        return self.odd(sample) if self.odd else []


def picture(number: int) -> np.ndarray:
    """Soft blotches that no other number has: uint8 `(48, 64, 3)`."""
    rng = np.random.default_rng([7, number])
    small = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    return np.asarray(small.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))


def mask(number: int = 0) -> np.ndarray:
    """A third of each class, in stripes that lie elsewhere for each number."""
    return np.broadcast_to(((np.arange(WIDTH) + number) // 4 % 3).astype(np.uint8), (HEIGHT, WIDTH)).copy()


def put(
    root: Path, sample: str, image: np.ndarray | None = None, labels: np.ndarray | None = None, **save: Any
) -> Path:
    """Write a sample "train/name.suffix"; returns its picture's path."""
    split, _, name = sample.partition("/")
    number = sum(sample.encode()) + 1000
    path, beside = root / split / "images" / name, root / split / "masks" / f"{Path(name).stem}.png"
    for place in (path, beside):
        place.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(number) if image is None else image).save(path, **save)
    Image.fromarray(mask(number) if labels is None else labels).save(beside)
    return path


def clean(root: Path) -> Path:
    number = 0
    for split, count in CLEAN.items():
        for index in range(count):
            number += 1
            put(root, f"{split}/{index}.png", picture(number), mask(number))
    return root


# Each of these adds one defect to a clean set and returns what must be found: kinds and files.
def truncated(root: Path) -> set[tuple[str, str]]:
    path = put(root, "train/cut.jpg")
    path.write_bytes(path.read_bytes()[:900])
    below = root / "train" / "masks" / "cut-mask.png"
    put(root, "train/cut-mask.png")
    below.write_bytes(below.read_bytes()[: below.stat().st_size // 2])
    put(root, "train/nothing.png").write_bytes(b"")
    return {
        ("truncated", "train/images/cut.jpg"),
        ("truncated", "train/masks/cut-mask.png"),
        ("truncated", "train/images/nothing.png"),
    }


def unreadable(root: Path) -> set[tuple[str, str]]:
    put(root, "test/text.png").write_text("this is not a picture")
    return {("unreadable", "test/images/text.png")}


def missing(root: Path) -> set[tuple[str, str]]:
    put(root, "validation/bare.png")
    (root / "validation" / "masks" / "bare.png").unlink()
    return {("missing", "validation/masks/bare.png")}


def wrong_suffix(root: Path) -> set[tuple[str, str]]:
    put(root, "train/gif.jpg", format="GIF")
    alpha = np.dstack([picture(901), np.full((HEIGHT, WIDTH), 255, np.uint8)])
    put(root, "test/alpha.jpg", alpha, format="PNG")
    (root / "elsewhere").mkdir()
    Image.fromarray(picture(902)).save(root / "elsewhere" / "in-no-split.png", format="JPEG")
    return {
        ("wrong-suffix", "train/images/gif.jpg"),
        ("wrong-suffix", "test/images/alpha.jpg"),
        ("wrong-suffix", "elsewhere/in-no-split.png"),
    }


def size_mismatch(root: Path) -> set[tuple[str, str]]:
    put(root, "train/small.png", labels=mask()[:-1])
    return {("size-mismatch", "train/masks/small.png")}


def wrong_value(root: Path) -> set[tuple[str, str]]:
    labels = mask()
    labels[0, :6] = 7
    put(root, "train/seven.png", labels=labels)
    return {("wrong-value", "train/masks/seven.png")}


def wrong_mask(root: Path) -> set[tuple[str, str]]:
    put(root, "train/coloured.png", labels=picture(903))
    return {("wrong-mask", "train/masks/coloured.png")}


def empty(root: Path) -> set[tuple[str, str]]:
    put(root, "train/ground.png", labels=np.zeros((HEIGHT, WIDTH), np.uint8))
    put(root, "test/ignored.png", labels=np.full((HEIGHT, WIDTH), 255, np.uint8))
    return {("empty-mask", "train/masks/ground.png"), ("empty-mask", "test/masks/ignored.png")}


def equal(root: Path) -> set[tuple[str, str]]:
    put(root, "train/copy.png", picture(1))
    put(root, "test/leak.png", picture(2))
    return {("duplicate", "train/images/copy.png"), ("duplicate-across-splits", "test/images/leak.png")}


def similar(root: Path) -> set[tuple[str, str]]:
    again = Image.fromarray(picture(3)).resize((WIDTH // 2, HEIGHT // 2))
    put(root, "validation/again.jpg", np.asarray(again), mask()[::2, ::2], quality=60)
    return {("near-duplicate-across-splits", "validation/images/again.jpg")}


def source(root: Path) -> set[tuple[str, str]]:
    for sample in ("train/anna-1.png", "train/anna-2.png", "test/anna-3.png", "test/berta-1.png", "test/berta-2.png"):
        put(root, sample)
    return {("source-across-splits", "anna")}


def clash(root: Path) -> set[tuple[str, str]]:
    put(root, "train/Tree.png")
    put(root, "train/tree.png")
    return {("name-clash", "train/tree")}


DEFECTS = [
    truncated, unreadable, missing, wrong_suffix, size_mismatch, wrong_value, wrong_mask, empty, equal, similar, source,
    clash,
]  # fmt: skip


def found(report: Report) -> list[tuple[str, str]]:
    return [(finding.kind, finding.where) for finding in report.findings]


def test_nothing_is_found_in_a_clean_set(tmp_path: Path, home: Path) -> None:
    report = verify(Folder(clean(tmp_path / "data")))
    assert report.findings == []
    assert report.samples == report.usable == CLEAN


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.__name__)
def test_each_defect_is_found_and_nothing_else(defect: Callable, tmp_path: Path, home: Path) -> None:
    root = clean(tmp_path / "data")
    expected = defect(root)
    report = verify(Folder(root))
    assert sorted(found(report)) == sorted(expected)
    assert all(finding.message and finding.action and "\n" not in finding.message for finding in report.findings)
    assert str(root) not in json.dumps([finding.message for finding in report.findings])


def test_all_defects_together_are_found_once(tmp_path: Path, home: Path) -> None:
    root = clean(tmp_path / "data")
    expected = set().union(*(defect(root) for defect in DEFECTS))
    report = verify(Folder(root))
    assert sorted(found(report)) == sorted(expected)
    assert report.counts["truncated"] == 3
    unusable = {"truncated", "unreadable", "missing", "size-mismatch", "wrong-value", "wrong-mask"}
    skipped = [finding for finding in report.findings if finding.action == "skipped"]
    assert {finding.kind for finding in skipped} == unusable
    for split, samples in report.samples.items():
        assert report.usable[split] == samples - len([one for one in skipped if one.split == split])


def test_classes_that_are_rare_absent_or_on_one_side(tmp_path: Path, home: Path) -> None:
    class Five(Folder):
        classes = (*Folder.classes, ClassLabel("speck", "#111111"), ClassLabel("never", "#222222"))

    root = clean(tmp_path / "data")
    for path in sorted(root.glob("*/masks/*.png")):
        labels = np.asarray(Image.open(path)).copy()
        labels[0, 0] = 3  # one of 3,072 pixels
        if path.parts[-3] == "test":
            labels[labels == 2] = 1
        Image.fromarray(labels).save(path)
    report = verify(Five(root))
    assert found(report) == [
        ("class-missing-in-split", "house"),
        ("rare-class", "speck"),
        ("absent-class", "never"),
    ]
    assert "0.033 %" in report.findings[1].message


def test_a_class_in_one_picture_of_many_is_rare(tmp_path: Path, home: Path) -> None:
    root = clean(tmp_path / "data")
    for path in sorted(root.glob("*/masks/*.png")):
        if path.name != "0.png":
            labels = np.asarray(Image.open(path)).copy()
            labels[labels == 2] = 1
            Image.fromarray(labels).save(path)
    assert found(verify(Folder(root))) == [("rare-class", "house")]


def test_the_data_sets_own_findings_are_told_too(tmp_path: Path, home: Path) -> None:
    root = clean(tmp_path / "data")
    wrong_value(root)

    class Odd(Folder):
        def inspect_files(self) -> list[Finding]:
            return [
                Finding("label-file", str(self.root / "labels.txt"), "two names for one colour", "the first is used")
            ]

        def inspect(self, sample: Sample) -> list[Finding]:
            if sample.id == "train/seven":
                return [Finding("special", "train/masks/seven.png", "a seven", "skipped", sample.id)]
            if sample.id == "test/1":
                raise ZeroDivisionError("on purpose")
            if sample.id == "test/2":
                raise UserError("test/2: on purpose too")
            return []

    report = verify(Odd(root))
    assert [(one.kind, one.where, one.split) for one in report.findings] == [
        ("label-file", "labels.txt", ""),
        ("special", "train/masks/seven.png", "train"),
        ("wrong-value", "train/masks/seven.png", "train"),
        ("unreadable", "test/1", "test"),
        ("unreadable", "test/2", "test"),
    ]
    assert "ZeroDivisionError" in report.findings[3].message

    class Broken(Folder):
        def inspect_files(self) -> list[Finding]:
            raise OSError("the disk is gone")

    assert found(verify(Broken(clean(tmp_path / "other")))) == [("unreadable", "folder")]


def test_a_report_is_json_and_is_kept_until_a_file_changes(tmp_path: Path, home: Path) -> None:
    root = clean(tmp_path / "data")
    wrong_value(root)
    dataset = Folder(root)
    assert kept_report(dataset) is None
    report = verify(dataset)
    assert Report.of(json.loads(json.dumps(report.document()))) == report
    assert report.document()["counts"] == {"wrong-value": 1}
    assert kept_report(Folder(root)) == report

    calls: list[tuple[int, int, str]] = []
    assert verify(dataset, progress=lambda *now: calls.append(now)) == report
    assert calls == []
    assert verify(dataset, progress=lambda *now: calls.append(now), again=True) == report
    assert calls[-1][0] == calls[-1][1] == sum(CLEAN.values()) + 1

    put(root, "train/seven.png")
    assert kept_report(dataset) is None
    assert verify(dataset).findings == []
    (next((home / "cache" / "verify").glob("*.json"))).write_text("{}")
    assert len(verify(dataset, again=True).findings) == 0


def test_a_check_can_be_stopped_and_leaves_no_thread_nor_file(tmp_path: Path, home: Path) -> None:
    root = clean(tmp_path / "data")
    before = threading.active_count()
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > 30

    with pytest.raises(Stopped):
        verify(Folder(root), stop=stop)
    assert threading.active_count() == before
    assert not home.exists()


def test_likeness_against_a_loop() -> None:
    """Two loops over all pairs with NumPy's own correlation, as the definition has it."""
    rng = np.random.default_rng(0)
    rows = [thumbnail(picture(number)) for number in range(30)]
    columns = [thumbnail(picture(number)) for number in range(20, 60)]
    for index in range(0, 10, 2):  # noise from faint to strong: on both sides of the thresholds
        noisy = columns[index].astype(float) + rng.normal(0, 2 + 6 * index, (32, 32))
        columns[index] = noisy.clip(0, 255).astype(np.uint8)
    rows.append(np.full((32, 32), 9, np.uint8))
    columns.append(np.full((32, 32), 9, np.uint8))

    def halved(small: np.ndarray) -> np.ndarray:
        return np.array([[small[y : y + 2, x : x + 2].mean() for x in range(0, 32, 2)] for y in range(0, 32, 2)])

    def detail(small: np.ndarray) -> np.ndarray:
        wide = np.pad(small.astype(float), 2, mode="edge")
        return small - np.array([[wide[y : y + 5, x : x + 5].mean() for x in range(32)] for y in range(32)])

    def correlation(one: np.ndarray, other: np.ndarray) -> float:
        return 0.0 if not one.std() or not other.std() else float(np.corrcoef(one.ravel(), other.ravel())[0, 1])

    expected = {}
    left = [(halved(row), detail(row)) for row in rows]
    right = [(halved(column), detail(column)) for column in columns]
    for i, row in enumerate(left):
        for j, column in enumerate(right):
            if correlation(row[0], column[0]) >= COARSE and correlation(row[1], column[1]) >= DETAIL:
                expected[i] = j
    assert {match.row: match.column for match in alike(rows, columns)} == expected
    assert 7 <= len(expected) < 10
    assert alike([], columns) == alike(rows, []) == []


#: Photos that stand in Oxford-IIIT Pet under another name too, in another size.
TWINS = {"Abyssinian_172", "Abyssinian_177", "Abyssinian_87", "Abyssinian_56", "Abyssinian_63", "Abyssinian_99"}


@pytest.mark.parametrize("change", ["compressed", "halved", "brightened"])
def test_altered_photos_are_recognised_and_others_are_not(change: str, data_folder: Path) -> None:
    paths = sorted((data_folder / "oxford-iiit-pet" / "images").glob("*.jpg"))[::8]
    paths = [path for path in paths if path.stem not in TWINS]
    kept, altered = [], []
    for path in paths:
        image = Image.open(path).convert("RGB")
        image.thumbnail((300, 300))
        kept.append(thumbnail(np.asarray(image)))
        if change == "compressed":
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=15)
            image = Image.open(buffer)
        elif change == "halved":
            image = image.resize((image.width // 2, image.height // 2))
        else:
            image = image.point(lambda value: min(255, int(1.2 * value + 8)))
        altered.append(thumbnail(np.asarray(image)))
    assert [(match.row, match.column) for match in alike(altered, kept)] == [(i, i) for i in range(len(paths))]
    half = len(paths) // 2
    assert alike(altered[:half], kept[half:]) == []


def test_thousands_of_equal_thumbnails_take_no_quadratic_list() -> None:
    same = thumbnail(picture(5))
    matches = alike([same] * 700, [same] * 900)
    assert len(matches) == 700
    assert all(match.found == 8 for match in matches)


def test_generated_sets_have_no_defect(home: Path) -> None:
    dataset = open_dataset("toy-nuclei")
    dataset.sizes = {"train": 30, "validation": 10, "test": 10}  # type: ignore[attr-defined]
    report = verify(dataset)
    assert report.findings == []
    assert report.root is None


def test_the_defects_that_oxford_pets_is_known_for(data_folder: Path, home: Path) -> None:
    report = verify(open_dataset("oxford-pets", data_folder / "oxford-iiit-pet"))
    by_place = {(finding.kind, finding.where): finding for finding in report.findings}
    gif = by_place["wrong-suffix", "images/Abyssinian_34.jpg"]
    assert "GIF" in gif.message
    assert gif.split == ""
    assert "in no list" in by_place["unlisted", "images/Abyssinian_34.jpg"].message
    assert "every pixel is 2" in by_place["unlisted", "annotations/trimaps/Abyssinian_34.png"].message
    png = by_place["wrong-suffix", "images/Abyssinian_5.jpg"]
    assert "PNG picture in mode RGBA" in png.message
    assert (png.split, png.sample) == ("test", "Abyssinian_5")
    # One photo on both sides of the official split, once with a watermark, as looking at the two shows.
    twin = by_place["near-duplicate-across-splits", "images/Abyssinian_99.jpg"]
    assert "Abyssinian_151 in train" in twin.message
    unlisted = {"Abyssinian_34", "Abyssinian_82"}
    assert {Path(where).stem for kind, where in by_place if kind == "unlisted"} == unlisted
    assert report.counts == {"unlisted": 4, "wrong-suffix": 2, "near-duplicate-across-splits": 1}
    assert report.usable == {"train": 228, "validation": 27, "test": 253}


def test_a_wrong_trimap_value_is_named_with_its_share(data_folder: Path, tmp_path: Path, home: Path) -> None:
    real, root = data_folder / "oxford-iiit-pet", tmp_path / "pets"
    (root / "images").mkdir(parents=True)
    (root / "annotations" / "trimaps").mkdir(parents=True)
    names = ["Abyssinian_100", "Abyssinian_101", "Bengal_100", "Bengal_101"]
    names = [name for name in names if (real / "images" / f"{name}.jpg").exists()]
    for name in names:
        shutil.copy(real / "images" / f"{name}.jpg", root / "images")
        shutil.copy(real / "annotations" / "trimaps" / f"{name}.png", root / "annotations" / "trimaps")
    (root / "annotations" / "trainval.txt").write_text("".join(f"{name} 1 1 1\n" for name in names[1:]))
    (root / "annotations" / "test.txt").write_text(f"{names[0]} 1 1 1\n")
    path = root / "annotations" / "trimaps" / f"{names[0]}.png"
    trimap = np.asarray(Image.open(path)).copy()
    trimap[: len(trimap) // 2] = 9
    Image.fromarray(trimap).save(path)
    wrong = [finding for finding in verify(open_dataset("oxford-pets", root)).findings if finding.sample == names[0]]
    assert [finding.kind for finding in wrong] == ["wrong-value"]
    assert "trimap values 9 on 50 %" in wrong[0].message or "on 49." in wrong[0].message


def test_monuseg_vertices_outside_of_the_picture(data_folder: Path, home: Path) -> None:
    report = verify(open_dataset("monuseg", data_folder / "monuseg"))
    beyond = set()
    for path in (data_folder / "monuseg").rglob("*.xml"):
        values = re.findall(r'<Vertex [^>]*?X="([^"]+)" Y="([^"]+)"', path.read_text())
        assert values
        if any(not 0 <= float(value) <= 1000 for pair in values for value in pair):
            beyond.add(path.name)
    told = {Path(finding.where).name for finding in report.findings if finding.kind == "over-the-edge"}
    assert told == beyond
    assert len(beyond) == 14
    assert set(report.counts) == {"over-the-edge", "bad-shape"}  # no slide is taken for another one
    assert report.usable == report.samples
    assert sum(report.usable.values()) == 19


def test_dubai_colours_modes_and_sizes(data_folder: Path, home: Path) -> None:
    report = verify(open_dataset("dubai-aerial", data_folder / "dubai-aerial"))
    black, pixels, total = set(), 0, 0
    for path in sorted((data_folder / "dubai-aerial").rglob("masks/*.png")):
        colours = np.asarray(Image.open(path).convert("RGB"))
        count = int((colours == 0).all(axis=2).sum())
        pixels, total = pixels + count, total + colours.shape[0] * colours.shape[1]
        if count:
            black.add(path.parts[-3:])
    assert 100 * pixels / total == pytest.approx(0.01, abs=0.005)
    unknown = [finding for finding in report.findings if finding.kind == "unknown-colour"]
    assert {Path(finding.where).parts[-3:] for finding in unknown} == black
    assert all("#000000" in finding.message and finding.action == "those pixels are ignored" for finding in unknown)
    by_kind = {finding.kind: finding for finding in report.findings}
    assert by_kind["label-file"].where.endswith("classes.json")
    assert "5 of its 6 colours" in by_kind["label-file"].message
    assert "P" in by_kind["mixed-modes"].message
    assert report.counts == {"mixed-sizes": 4, "unknown-colour": len(black), "label-file": 1, "mixed-modes": 1}
    # The same file names stand in every tile, and clash in none.
    assert sum(report.usable.values()) == 50


def test_via_regions_without_attributes(data_folder: Path, home: Path) -> None:
    report = verify(open_dataset(str(data_folder / "polygons" / "via-kudzu")))
    lacking = [finding for finding in report.findings if finding.kind == "no-class"]
    assert [Path(finding.where).parts[-2] for finding in lacking] == ["val"]
    regions = json.loads((data_folder / "polygons" / "via-kudzu" / "val" / "via_region_data.json").read_text())
    assert str(sum(len(picture["regions"]) for picture in regions.values())) in lacking[0].message
    assert set(report.counts) == {"no-class"}


def test_camvid_films_on_two_sides_and_no_false_alarm(data_folder: Path, home: Path) -> None:
    """Streets under skies look alike in the large; none of these frames is another one."""
    report = verify(open_dataset("camvid", data_folder / "camvid"))
    assert report.usable == {"train": 52, "validation": 22, "test": 25}
    assert not [finding for finding in report.findings if "duplicate" in finding.kind]
