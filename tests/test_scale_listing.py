"""What `predict --on ray` is to predict, and what of it is done: listed and kept without Ray."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from segmodels.cli import main
from segmodels.errors import UserError
from segmodels.hub.checkpoint import SPEC, WEIGHTS
from segmodels.prediction.export import Settings
from segmodels.prediction.picture_row import Wanted, check_free
from segmodels.prediction.postprocess import Components
from segmodels.prediction.result import Refinement
from segmodels.prediction.scale import bucket
from segmodels.prediction.scale.conduct import about_call
from segmodels.prediction.scale.listing import Item, item_of, key_of, pictures_at
from segmodels.prediction.scale.records import Records
from segmodels.prediction.sources import pictures_in


def png(shade: int) -> bytes:
    Image.new("RGB", (8, 6), (shade, 0, 0)).save(file := io.BytesIO(), "PNG")
    return file.getvalue()


@pytest.fixture
def given(tmp_path: Path) -> list[Path]:
    """A folder in which two pictures have one name and two files are none, an archive, and what is not there."""
    folder = tmp_path / "plates"
    for number, way in enumerate(("a/same.png", "b/same.png", ".hidden/no.png", "notes.txt")):
        (folder / way).parent.mkdir(parents=True, exist_ok=True)
        (folder / way).write_bytes(png(number))
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        archive.writestr("in/one.png", png(7))
        archive.writestr("two.png", png(8))
    return [folder, tmp_path / "some.zip", tmp_path / "gone.png"]


def test_paths_are_listed_as_for_this_machine_and_read_anywhere(given: list[Path]) -> None:
    expected, found = pictures_in(given), pictures_at(given)
    assert [(each.name, each.origin) for each in found] == [(each.name, each.origin) for each in expected]
    assert len(found) == 5
    for number, (source, there) in enumerate(zip(found, expected, strict=True)):
        if source.place is None:
            with pytest.raises(UserError, match=r"gone\.png: no such file"):
                source.read()
            continue
        item = item_of(Item(number, source.name, source.origin, "key", source.place).text())
        assert (item.number, item.name, item.origin, item.place) == (number, source.name, source.origin, source.place)
        with item.place.opened() as content:
            here = there.read()
            assert content == here


def test_a_bucket_is_listed_as_a_folder_is(given: list[Path], tmp_path: Path) -> None:
    folder = given[0]
    expected = pictures_in([folder])
    found = pictures_at([folder.as_uri()])
    assert [each.name for each in found] == [each.name for each in expected] == ["a-same.png", "b-same.png"]
    assert [each.origin for each in found] == [f"file://{each.origin}" for each in expected]
    for source, there in zip(found, expected, strict=True):
        assert source.place is not None
        item = item_of(Item(0, source.name, source.origin, "", source.place).text())
        with item.place.opened() as file:
            assert isinstance(file, Path)
            assert isinstance(path := there.read(), Path)
            assert file.read_bytes() == path.read_bytes()
            assert file != path
        assert not file.exists()
    (one,) = pictures_at([f"{folder.as_uri()}/a/same.png"])
    assert one.name == "same.png"


def test_what_cannot_be_read_in_a_bucket_says_so_in_a_line(given: list[Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    reasons = {
        (tmp_path / "none").as_uri(): "there is nothing of that name",
        (tmp_path / "empty").as_uri(): "holds no picture",
        given[1].as_uri(): "is an archive: unpack it in the bucket",
        "ftp://user:secret@host/folder": "ftp://host/folder cannot be read",
        "s3://key:secret@": "names no bucket",
    }
    for source, reason in zip(pictures_at(list(reasons)), reasons.values(), strict=True):
        assert source.place is None
        with pytest.raises(UserError, match=reason) as raised:
            source.read()
        assert "\n" not in str(raised.value)
        assert "secret" not in str(raised.value)


def test_secrets_of_an_address_are_not_shown() -> None:
    address = "s3://KEY:SECRET@bucket/a/b.png?endpoint_override=http://x&region=y"
    assert bucket.without_secrets(address) == "s3://bucket/a/b.png"
    assert bucket.without_secrets("gs://bucket/a") == "gs://bucket/a"


def test_a_picture_that_changed_while_it_lay_in_the_bucket_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(1))
    (source,) = pictures_at([tmp_path.as_uri()])
    (tmp_path / "a.png").write_bytes(png(1) + b"more")
    assert source.place is not None
    with pytest.raises(UserError, match="changed after it was listed"), source.place.opened():
        pass


def test_the_key_changes_with_the_picture_and_the_call(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"{number}.png").write_bytes(png(number))
    keys = {key_of(source, about) for source in pictures_at([tmp_path]) for about in ("call", "other")}
    assert len(keys) == 4
    assert keys == {key_of(source, about) for source in pictures_at([tmp_path]) for about in ("call", "other")}
    (tmp_path / "0.png").write_bytes(png(0) + b"x")
    assert len(keys & {key_of(source, "call") for source in pictures_at([tmp_path])}) == 1


def test_what_is_asked_for_changes_with_the_model_and_every_option(tmp_path: Path) -> None:
    for name in (SPEC, WEIGHTS):
        (tmp_path / name).write_bytes(b"1")
    plain = Wanted(("png",))
    asked = [
        plain, replace(plain, formats=("png", "csv")), replace(plain, page=1), replace(plain, tile=64),
        replace(plain, tta="flips"), replace(plain, refinement=Refinement(0.5)),
        replace(plain, settings=Settings(micrometres=0.5)), replace(plain, settings=Settings(method=Components())),
        replace(plain, settings=Settings(method=Components(smallest=3))),
    ]  # fmt: skip
    calls = {about_call(tmp_path, engine, wanted) for engine in ("auto", "onnx") for wanted in asked}
    assert len(calls) == 2 * len(asked)
    assert about_call(tmp_path, "auto", Wanted(("png",))) in calls
    (tmp_path / WEIGHTS).write_bytes(b"2")
    assert about_call(tmp_path, "auto", plain) not in calls


def test_a_picture_is_done_while_its_results_are_as_they_were_written(tmp_path: Path) -> None:
    records = Records(tmp_path)
    row = {"image": "a.png", "width": 8, "files": ["a-mask.png"], "error": None}
    with records.owned():
        assert records.row("a.png", "key") is None
        (tmp_path / "a-mask.png").write_bytes(png(1))
        records.keep("a.png", "key", row)
        assert records.row("a.png", "key") == row
        assert records.row("A.PNG", "key") == row
        assert records.row("a.png", "other options") is None
        assert records.row("b.png", "key") is None
        (tmp_path / "a-mask.png").write_bytes(png(2) + b"by another")
        assert records.row("a.png", "key") is None
        records.keep("a.png", "key", row)
        (tmp_path / "a-mask.png").unlink()
        assert records.row("a.png", "key") is None
        for damaged in ("{", "[]", "{}"):
            next(records.folder.glob("*.json")).write_text(damaged)
            assert records.row("a.png", "key") is None


def test_tries_are_counted_until_they_end_and_anew_in_another_call(tmp_path: Path) -> None:
    records = Records(tmp_path)
    with records.owned():
        assert [records.begin("a.png") for _ in range(3)] == [1, 2, 3]
        assert records.begin("b.png") == 1
        records.end("a.png")
        assert records.begin("a.png") == 1
        (tmp_path / ".a-mask.png.01234567.part").write_bytes(b"half")
        with pytest.raises(UserError, match="another prediction writes to"), Records(tmp_path).owned():
            pass
    assert sorted(path.name for path in tmp_path.rglob("*")) == [".predicted", "lock"]
    with records.owned():
        assert records.begin("a.png") == 1


def test_results_never_take_the_place_of_another(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(1))
    (source,) = pictures_at([tmp_path])
    wanted = Wanted(("png", "labelme"))
    names = [path.name for path in wanted.results("a", tmp_path)]
    assert names == ["a-mask.png", "a.json", "a.png"]
    check_free(source, tmp_path, wanted, {str(tmp_path / "b.png")})
    with pytest.raises(UserError, match="would replace a picture"):
        check_free(source, tmp_path, wanted, {str(tmp_path / "a.png")})


def test_options_of_a_cluster_and_buckets_need_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in {
        ("x.png", "--cpus", "2"): "--cpus is of a Ray cluster",
        ("s3://bucket/x",): "add --on ray",
        ("x.png", "--on", "rya"): "did you mean 'ray'",
    }.items():
        assert main(["predict", "model", *arguments, "--out", str(tmp_path)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line
