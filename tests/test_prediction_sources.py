"""Pictures from files, folders and zip archives: each once, by a name of its own, and hostile archives say why."""

from __future__ import annotations

import io
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segmodels.data.images import read_image
from segmodels.errors import UserError
from segmodels.prediction import sources
from segmodels.prediction.sources import Source, pictures_in, uploaded_pictures
from tests.test_upload import Entry, zipped


def picture(grey: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (3, 2), grey).save(file, "PNG")
    return file.getvalue()


def packed(content: dict[str, bytes]) -> bytes:
    with zipfile.ZipFile(file := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return file.getvalue()


def write(folder: Path, content: dict[str, bytes]) -> Path:
    for name, data in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def greys(found: list[Source]) -> dict[str, int]:
    """The name of each source and the grey of its picture."""
    return {source.name: int(read_image(source.read(), name=source.name)[0, 0, 0]) for source in found}


def failure(source: Source) -> str:
    with pytest.raises(UserError) as caught:
        read_image(source.read(), name=source.name)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    return str(caught.value)


PLATES = {
    "b.png": picture(2),
    "a.png": picture(1),
    "sub/deep/a.tif": picture(3),
    "notes.txt": b"no",
    "sub/c.PNG": picture(4),
}


def test_a_folder_gives_its_pictures_by_name_with_their_way_in_it(tmp_path: Path) -> None:
    write(tmp_path / "plates", PLATES | {".hidden.png": picture(9), ".git/x.png": picture(9)})
    found = pictures_in([tmp_path / "plates"])
    assert list(greys(found).items()) == [("a.png", 1), ("b.png", 2), ("sub-c.PNG", 4), ("sub-deep-a.tif", 3)]
    assert found[2].origin == str(tmp_path / "plates/sub/c.PNG")
    assert found[2].read() == tmp_path / "plates/sub/c.PNG"


def test_an_archive_gives_what_its_folder_would(tmp_path: Path) -> None:
    junk = {"__MACOSX/._a.png": b"junk", "._b.png": b"junk", "Thumbs.db": b"junk"}
    (tmp_path / "all.zip").write_bytes(packed(PLATES | junk))
    found = pictures_in([tmp_path / "all.zip"])
    assert greys(found) == {"b.png": 2, "a.png": 1, "sub-deep-a.tif": 3, "sub-c.PNG": 4}
    assert all(isinstance(source.read(), bytes) for source in found)
    assert found[0].origin == f"{tmp_path}/all.zip/b.png"
    top = uploaded_pictures([("x.zip", packed({f"top/{name}": data for name, data in PLATES.items()}))])
    assert greys(top) == greys(found)


def test_files_count_whatever_they_are_called_and_in_their_order(tmp_path: Path) -> None:
    write(tmp_path, {"z.dat": picture(1), "no-suffix": picture(2), "a.zip.png": picture(3)})
    found = pictures_in([tmp_path / "z.dat", tmp_path / "no-suffix", tmp_path / "a.zip.png"])
    assert list(greys(found).items()) == [("z.dat", 1), ("no-suffix", 2), ("a.zip.png", 3)]
    assert pictures_in([]) == []


def test_members_are_unpacked_in_any_order_and_as_often_as_wanted() -> None:
    content = {f"{number:03}.png": picture(number) for number in range(60)}
    found = uploaded_pictures([("many.zip", packed(content))])
    order = random.Random(0).choices(range(60), k=200)
    assert [found[number].read() for number in order] == [content[f"{number:03}.png"] for number in order]


def test_names_are_unique_whatever_the_suffix_and_the_case(tmp_path: Path) -> None:
    data = {
        "cat.png": picture(1),
        "cat.jpg": picture(2),
        "CAT.tif": picture(3),
        "cat-2.png": picture(4),
        "a/b.png": picture(5),
    }
    found = pictures_in([write(tmp_path / "x", data), *[tmp_path / "x/a/b.png"] * 2])
    stems = [Path(source.name).stem.casefold() for source in found]
    assert len(set(stems)) == len(stems) == 7
    shown = greys(found)
    assert shown["cat-2.png"] == 4  # its own name stays its own
    assert sorted(shown.values()) == [1, 2, 3, 4, 5, 5, 5]
    assert "a-b.png" in shown
    assert "b.png" in shown
    assert "b-2.png" in shown


def test_several_folders_are_told_apart(tmp_path: Path) -> None:
    for number, day in enumerate(("monday", "tuesday")):
        write(tmp_path / day, {"1.png": picture(number), "2.png": picture(number)})
    (tmp_path / "wednesday.zip").write_bytes(packed({"1.png": picture(7), "x/2.png": picture(8)}))
    found = pictures_in([tmp_path / "monday", tmp_path / "tuesday", tmp_path / "wednesday.zip"])
    assert greys(found) == {
        "monday-1.png": 0, "monday-2.png": 0, "tuesday-1.png": 1, "tuesday-2.png": 1,
        "wednesday-1.png": 7, "wednesday-x-2.png": 8,
    }  # fmt: skip


def test_names_are_fit_for_files(tmp_path: Path) -> None:
    long = "ü" * 120 + ".png"
    names = ["a\nb.png", "-rf.png", long, 'q"<>|?*.png', "tab\t.png"]
    found = pictures_in([write(tmp_path, {name: picture(1)}) / name for name in names])
    results = tmp_path / "results"
    results.mkdir()
    for source in found:
        assert source.name.isprintable()
        assert not set(source.name) & set('/\\:*?"<>|')
        assert not source.name.startswith("-")
        (results / f".{Path(source.name).stem}-overlay.png.01234567.part").touch()
    assert [source.name for source in found[:2]] == ["a_b.png", "rf.png"]
    assert found[2].name.endswith("üü.png")


def test_what_cannot_be_read_fails_alone(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"good.png": picture(5), "bad.png": b"no picture", "empty/notes.txt": b"", "bad.zip": packed({"a.txt": b"x"})},
    )
    (tmp_path / "mixed.zip").write_bytes(packed({"bad.png": picture(1)[:44], "good.png": picture(6)}))
    paths = [tmp_path / name for name in ("gone.png", "good.png", "bad.png", "empty", "bad.zip", "mixed.zip")]
    gone, good, bad, empty, without, mixed_bad, mixed_good = pictures_in(paths)
    assert "no such file" in failure(gone)
    assert read_image(good.read())[0, 0, 0] == 5
    assert "not a picture of a known kind" in failure(bad)
    assert "holds no picture" in failure(empty)
    assert "bad.zip holds no picture" in failure(without)
    assert "truncated or damaged" in failure(mixed_bad)
    assert read_image(mixed_good.read())[0, 0, 0] == 6


GOOD = Entry(b"good.png", picture(1))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (zipped(GOOD, Entry(b"../out.png", picture(1))), "outside the folder"),
        (zipped(GOOD, Entry(b"/etc/out.png", picture(1))), "outside the folder"),
        (zipped(GOOD, Entry(b"C:\\out.png", picture(1))), "outside the folder"),
        (zipped(GOOD, Entry(b"inner.zip", zipped(GOOD))), "archive within the archive"),
        (zipped(GOOD, Entry(b"locked.png", picture(1), flags=1)), "password"),
        (zipped(GOOD, Entry(b"link.png", b"/etc/passwd", mode=0o120777)), "is a link"),
        (zipped(GOOD, Entry(b"GOOD.png", picture(2))), "would be one on many disks"),
        (zipped(GOOD, Entry(b"shared.png", picture(1), offset=0, local_name=b"shared.png")), "shares its bytes"),
        (zipped(GOOD, Entry(b"a\x1b[2J.png", picture(1))), "control character"),
        (zipped(GOOD, Entry(b"huge.bmp", bytes(9), size=1 << 31)), "as a bomb does"),
        (zipped(GOOD, Entry(b"x.png", picture(1), method=12)), "bzip2"),
        (zipped(GOOD)[:-30], "not a whole archive"),
        (b"PK\x03\x04" + bytes(100), "not a whole archive"),
    ],
)
def test_a_hostile_archive_is_one_failure_that_says_why(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "evil.zip").write_bytes(data)
    (tmp_path / "good.png").write_bytes(picture(8))
    evil, good = pictures_in([tmp_path / "evil.zip", tmp_path / "good.png"])
    assert "evil.zip" in failure(evil)
    assert said in failure(evil)
    assert read_image(good.read())[0, 0, 0] == 8
    (uploaded,) = uploaded_pictures([("evil.zip", data)])
    assert said in failure(uploaded)
    assert list(tmp_path.parent.glob("out.png")) == []


def test_a_member_that_lies_about_itself_fails_and_the_next_does_not() -> None:
    liar = Entry(b"b.png", picture(2) * 40, size=len(picture(2)))
    wrong = Entry(b"c.png", picture(3), crc=7)
    found = uploaded_pictures(
        [("x.zip", zipped(Entry(b"a.png", picture(1)), liar, wrong, Entry(b"d.png", picture(4))))]
    )
    for _ in range(2):
        assert "unpacks to more than" in failure(found[1])
        assert "wrong checksum" in failure(found[2])
        assert greys([found[0], found[3]]) == {"a.png": 1, "d.png": 4}


def test_an_archive_that_changes_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(packed({"a.png": picture(1), "b.png": picture(2)}))
    first, second = pictures_in([path])
    path.write_bytes(packed({"a.png": picture(1), "c.png": picture(3)}))
    assert first.read() == picture(1)
    assert "changed after it was looked through" in failure(second)
    path.unlink()
    assert "x.zip cannot be read" in failure(first)


def test_counts_and_sizes_have_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    data = packed(
        {f"{number}.png": picture(number) for number in range(5)} | {"noise.png": np.random.default_rng(0).bytes(5000)}
    )
    monkeypatch.setattr(sources, "MAX_PICTURE_BYTES", 4000)
    found = uploaded_pictures([("x.zip", data)])
    assert len(greys(found[:5])) == 5
    assert "unpack the archive first" in failure(found[5])
    monkeypatch.setattr(sources, "MAX_MEMBERS", 5)
    (refused,) = uploaded_pictures([("x.zip", data)])
    assert "more than the 5 files" in failure(refused)


def test_what_is_sent_is_named_by_its_last_part() -> None:
    found = uploaded_pictures([("C:\\my\\cat.png", picture(1)), ("../../cat.png", picture(2)), ("", picture(3))])
    assert greys(found) == {"cat.png": 1, "cat-2.png": 2, "picture": 3}


def test_a_picture_that_ends_as_an_archive_is_a_picture() -> None:
    (found,) = uploaded_pictures([("both.gif", picture(7) + packed({"../evil.png": picture(1)}))])
    assert greys([found]) == {"both.gif": 7}
