"""A person's own archive: good ones land whole, wicked and damaged ones leave one line and nothing else."""

from __future__ import annotations

import bz2
import gzip
import io
import random
import shutil
import stat
import struct
import subprocess
import tarfile
import tempfile
import time
import tracemalloc
import unicodedata
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segmodels.data import disk, members, upload
from segmodels.data.disk import Stopped
from segmodels.data.upload import unpack_upload
from segmodels.errors import UserError

NOISE = random.Random(1).randbytes(50_000)


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every file with its bytes and every folder, as None, by its path below `folder`."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if path.name != "locks" and path.suffix != ".lock"
    }


def files(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in tree(folder).items() if content is not None}


@dataclass
class Entry:
    """A member of a zip as it is to be written, true or not; what is None is worked out from `data`."""

    name: bytes
    data: bytes = b""
    method: int = 8
    flags: int = 0
    mode: int = 0
    size: int | None = None
    packed_size: int | None = None
    crc: int | None = None
    packed: bytes | None = None
    local_name: bytes | None = None
    offset: int | None = None
    directory_extra: bytes = b""
    at: int = field(default=0, init=False)


def deflate(data: bytes) -> bytes:
    deflating = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflating.compress(data) + deflating.flush()


def zipped(*entries: Entry, gap: bytes = b"") -> bytes:
    """A zip made field by field (PKWARE's APPNOTE.TXT, sections 4.3.7, 4.3.12 and 4.3.16)."""
    body, directory = b"", b""
    for entry in entries:
        packed = entry.packed
        if packed is None:
            packed = deflate(entry.data) if entry.method == 8 else entry.data
        size = len(entry.data) if entry.size is None else entry.size
        packed_size = len(packed) if entry.packed_size is None else entry.packed_size
        crc = zlib.crc32(entry.data) if entry.crc is None else entry.crc
        fields = (20, entry.flags, entry.method, 0, 33, crc, packed_size, size)
        entry.at = len(body) if entry.offset is None else entry.offset
        name = entry.name if entry.local_name is None else entry.local_name
        if entry.offset is None:
            body += struct.pack("<4s5H3L2H", b"PK\3\4", *fields, len(name), 0) + name + packed + gap
        directory += struct.pack("<4s6H3L5H2L", b"PK\1\2", 20 | 3 << 8, *fields, len(entry.name),
                                 len(entry.directory_extra), 0, 0, 0, entry.mode << 16, entry.at)  # fmt: skip
        directory += entry.name + entry.directory_extra
    count = len(entries)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(directory), len(body), 0)
    return body + directory + end


def tarred(*content: tuple[str | tarfile.TarInfo, bytes], mode: str = "w") -> bytes:
    with tarfile.open(fileobj=(packed := io.BytesIO()), mode=mode) as tar:  # type: ignore[call-overload]
        for name, data in content:
            member = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            if member.type == tarfile.REGTYPE:
                member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def packed_as(kind: str, content: dict[str, bytes]) -> bytes:
    """An honest archive, made by the standard library."""
    if kind != "zip":
        return tarred(*content.items(), mode={"tar": "w", "tar.gz": "w:gz"}[kind])
    with zipfile.ZipFile(packed := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return packed.getvalue()


def refused(tmp_path: Path, content: bytes, name: str = "evil.zip", **limits: Any) -> str:
    """The line with which unpacking fails, after which nothing stands anywhere that was not there before."""
    (tmp_path / "deep").mkdir(exist_ok=True)
    (tmp_path / "deep" / "beside").write_bytes(b"untouched")
    before = tree(tmp_path)
    with pytest.raises(UserError) as caught:
        unpack_upload(io.BytesIO(content), tmp_path / "deep" / "out", name=name, **limits)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(name)
    assert tree(tmp_path) == before
    return str(caught.value)


def unpacked(tmp_path: Path, content: bytes, **limits: Any) -> dict[str, bytes]:
    return files(unpack_upload(io.BytesIO(content), tmp_path / "out", name="good.zip", **limits))


# What is good


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
@pytest.mark.parametrize("as_path", [False, True])
def test_a_good_archive_lands_whole_whatever_its_suffix(tmp_path, kind, as_path):
    content = {"images/a.png": NOISE, "images/deep/b ü.png": bytes(3_000_000), "masks/a.png": b"", "Labels.txt": b"1"}
    packed = packed_as(kind, content)
    (tmp_path / "data.bin").write_bytes(packed)
    file = io.BytesIO(packed)
    file.seek(7)
    heard: list[tuple[int, int, str]] = []
    out = unpack_upload(
        tmp_path / "data.bin" if as_path else file, tmp_path / "out", name="my data.bin",
        progress=lambda *said: heard.append(said),
    )  # fmt: skip
    assert out == tmp_path / "out"
    assert files(out) == content
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.bin", "out"]
    total = sum(map(len, content.values()))
    assert heard[-1] == (total, total, "unpacking my data.bin")
    assert {said[2] for said in heard} == {"checking my data.bin", "unpacking my data.bin"}
    assert all(0 <= done <= whole for done, whole, _ in heard)
    assert not file.closed


@pytest.mark.skipif(not shutil.which("tar"), reason="needs tar")
@pytest.mark.parametrize("form", ["gnu", "pax", "ustar", "v7"])
@pytest.mark.parametrize("options", ["-c", "-cz"])
def test_what_tar_writes_is_read(tmp_path, form, options):
    source = tmp_path / "source"
    # The two older forms know no names as long as this.
    name = "ü" * 100 + ".png" if form in ("gnu", "pax") else "a.png"
    (source / "images").mkdir(parents=True)
    (source / "images" / name).write_bytes(NOISE)
    (source / "empty").mkdir()
    subprocess.run(["tar", options, f"--format={form}", "-f", "../it.tar", "."], cwd=source, check=True)
    out = unpack_upload(tmp_path / "it.tar", tmp_path / "out", name="it.tar")
    assert tree(out) == {"images": None, f"images/{name}": NOISE, "empty": None}


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_one_folder_around_everything_is_taken_off(tmp_path, kind):
    junk = {"__MACOSX/my data/._a.png": b"?", "my data/.DS_Store": b"?"}
    content = {"my data/images/a.png": b"A", "my data/masks/a.png": b"B", **junk}
    assert unpacked(tmp_path, packed_as(kind, content)) == {"images/a.png": b"A", "masks/a.png": b"B"}
    two = {"images/a.png": b"A", "masks/a.png": b"B"}
    assert unpacked(tmp_path, packed_as(kind, two)) == two
    beside = {"images/a.png": b"A", "readme": b"B"}
    assert unpacked(tmp_path, packed_as(kind, beside)) == beside


def test_what_file_managers_leave_behind_is_left_out(tmp_path):
    junk = ["__MACOSX/x", "in/__MACOSX/x", "._a", "in/._a", ".DS_Store", "in/Thumbs.db", "thumbs.DB", "in/desktop.ini",
            "in/Icon\r", "__MACOSX/inner.zip"]  # fmt: skip
    kept = {"in/.hidden": b"1", "in/a": b"2", "DS_Store": b"3"}
    assert unpacked(tmp_path, packed_as("zip", {**dict.fromkeys(junk, b"?"), **kept})) == kept
    assert "holds no file" in refused(tmp_path, packed_as("zip", dict.fromkeys(junk, b"?")))


def test_folders_stored_members_and_dots_are_read(tmp_path):
    entries = [
        Entry(b"./images/"), Entry(b"images", mode=stat.S_IFDIR | 0o755), Entry(b"./images//a.png", NOISE, method=0),
        Entry(b"empty/", mode=stat.S_IFDIR), Entry(b"b", b"B", mode=stat.S_IFREG | 0o4777),
    ]  # fmt: skip
    out = unpack_upload(io.BytesIO(zipped(*entries, gap=b"PK\7\b")), tmp_path / "out", name="good.zip")
    assert tree(out) == {"images": None, "images/a.png": NOISE, "empty": None, "b": b"B"}
    assert not (out / "b").stat().st_mode & 0o7111


def test_an_archive_with_large_fields_is_read(tmp_path):
    with zipfile.ZipFile(packed := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("a", "w", force_zip64=True) as file:
            file.write(NOISE)
        archive.writestr("b", b"B")
        archive.comment = b"a comment"
    assert unpacked(tmp_path, packed.getvalue()) == {"a": NOISE, "b": b"B"}


def test_a_folder_that_is_there_is_replaced_only_by_a_good_archive(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_bytes(b"old")
    with pytest.raises(UserError):
        unpacked(tmp_path, zipped(Entry(b"new", b"new", crc=1)))
    assert tree(tmp_path) == {"out": None, "out/old": b"old"}
    assert unpacked(tmp_path, zipped(Entry(b"new", b"new"))) == {"new": b"new"}


# Names


@pytest.mark.parametrize(
    ("raw", "flags", "name"),
    [
        ("naïve/Ü.png".encode(), 0, "naïve/Ü.png"),  # macOS and Linux often forget the flag
        ("naïve/Ü.png".encode(), 1 << 11, "naïve/Ü.png"),
        ("Übung.png".encode("cp437"), 0, "Übung.png"),
        ("画像.png".encode("shift-jis"), 0, "画像.png".encode("shift-jis").decode("cp437")),
        (b"in\\a.png", 0, "in/a.png"),  # packed by older .NET
        ("12 30\u202fPM\u3000.png".encode(), 0, "12 30\u202fPM\u3000.png"),  # spaces of other widths are letters
        ("\u202egnp.exe.png".encode(), 0, "file-0001.png"),
        ("in/\ue000\u200b".encode(), 0, "in/file-0001"),
        ("\x85.p g".encode(), 0, "file-0001"),
    ],
)  # fmt: skip
def test_names_of_any_encoding_are_read(tmp_path, raw, flags, name):
    archive = zipped(Entry(raw, b"A", flags=flags), Entry(b"zzz", b"B"))
    assert unpacked(tmp_path, archive) == {name: b"A", "zzz": b"B"}


def test_a_picture_and_its_mask_stay_a_pair_under_a_new_name(tmp_path):
    raw = [b"images/\xe2\x80\xae1.jpg", b"images/\xe2\x80\xae2.jpg", b"masks/\xe2\x80\xae2.png", b"masks/x.png"]
    names = unpacked(tmp_path, zipped(*(Entry(name, name) for name in raw)))
    assert names == dict(
        zip(["images/file-0001.jpg", "images/file-0002.jpg", "masks/file-0002.png", "masks/x.png"], raw, strict=True)
    )


def test_names_in_a_tar_that_are_not_utf_8(tmp_path):
    member = tarfile.TarInfo("caf\udce9.png")  # Latin-1 é
    with tarfile.open(fileobj=(packed := io.BytesIO()), mode="w", errors="surrogateescape") as tar:
        tar.addfile(member)
        tar.addfile(tarfile.TarInfo("b"))
    assert unpacked(tmp_path, packed.getvalue()) == {"café.png": b"", "b": b""}


def test_a_name_that_only_claims_to_be_utf_8_is_refused(tmp_path):
    assert "not a whole archive" in refused(tmp_path, zipped(Entry(b"\xff.png", flags=1 << 11)))


CLIMBING = ["../escaped", "in/../../escaped", "in/..", "/tmp/segmodels-escaped", "..\\escaped", "in\\..\\..\\escaped",
            "\\\\server\\share", "C:escaped", "c:\\escaped", "__MACOSX/../../escaped", "//escaped"]  # fmt: skip


@pytest.mark.parametrize("name", CLIMBING)
def test_paths_that_climb_are_refused(tmp_path, name):
    for evil in (zipped(Entry(b"fine", b"1"), Entry(name.encode(), b"2")), tarred(("fine", b"1"), (name, b"2"))):
        assert "would be written outside the folder" in refused(tmp_path, evil)
    assert not Path("/tmp/segmodels-escaped").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (b"a\nb", "a control character (10)"),
        (b"a\0.png", "a control character (0)"),
        (b"bell\a/x", "a control character (7)"),
        (b"\x1b[2J", "a control character (27)"),
        (b"x" * 256, "is no usable file name"),
        ("ü".encode() * 128, "is no usable file name"),
        (b"d/" * 600 + b"x", "is no usable file name"),
        (b"d/" * 40 + b"x", "lies more than 32 folders deep"),
        (b"at 12:30.png", "is no usable file name"),
        (b".", "is no usable file name"),
        (b"", "is no usable file name"),
    ],
)
def test_names_that_no_disk_should_have_are_refused(tmp_path, name, said):
    assert said in refused(tmp_path, zipped(Entry(b"fine", b"1"), Entry(name, b"2")))


@pytest.mark.parametrize(
    ("one", "two", "said"),
    [
        ("a.png", "a.png", "'a.png' is in it twice"),
        ("a.png", "./a.png", "'a.png' is in it twice"),
        ("a.png", "A.PNG", "would be one on many disks"),
        ("straße", "STRASSE", "would be one on many disks"),
        ("é.png", unicodedata.normalize("NFD", "é.png"), "would be one on many disks"),
        ("É.png", unicodedata.normalize("NFD", "é.png"), "would be one on many disks"),
        ("Images/a", "images/b", "would be one on many disks"),
        ("x", "x/y", "is a file and a folder at once"),
        ("x/y", "x", "is a file and a folder at once"),
        ("X/y", "x", "is a file and a folder at once"),
    ],
)
def test_members_that_would_be_one_file_are_refused(tmp_path, one, two, said):
    assert said in refused(tmp_path, zipped(Entry(one.encode(), b"1"), Entry(two.encode(), b"2")))
    assert said in refused(tmp_path, tarred((one, b"1"), (two, b"2")))


# Kinds of members


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("target", ["..", "/etc", "fine", "x" * 300])
def test_links_are_refused(tmp_path, kind, target):
    evil = (("fine", b"1"), (special("way", kind, target), b""), ("way/escaped", b"2"))
    assert "'way' is a link" in refused(tmp_path, tarred(*evil))
    assert "'way' is a link" in refused(tmp_path, tarred(*evil, mode="w:gz"))
    link = Entry(b"way", target.encode(), mode=stat.S_IFLNK | 0o777)
    assert "'way' is a link" in refused(tmp_path, zipped(Entry(b"fine"), link, Entry(b"way/escaped", b"2")))


@pytest.mark.parametrize(
    "kind", [tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE, b"Z"]
)
def test_devices_and_pipes_in_a_tar_are_refused(tmp_path, kind):
    evil = tarred(("fine", b"1"), (special("odd", kind), b""))
    assert "'odd' is neither a plain file nor a folder" in refused(tmp_path, evil)


@pytest.mark.parametrize("kind", [stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK])
def test_devices_and_pipes_in_a_zip_are_refused(tmp_path, kind):
    evil = zipped(Entry(b"fine", b"1"), Entry(b"odd", mode=kind | 0o666))
    assert "'odd' is neither a plain file nor a folder" in refused(tmp_path, evil)


@pytest.mark.parametrize("suffix", [".zip", ".ZIP", ".tar", ".gz", ".tar.gz", ".tgz", ".7z", ".rar", ".tar.xz"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_archives_within_the_archive_are_refused(tmp_path, kind, suffix):
    evil = packed_as(kind, {"fine": b"1", f"in/ner{suffix}": packed_as("zip", {"a": b"1"})})
    assert f"'in/ner{suffix}' is an archive within the archive" in refused(tmp_path, evil)


@pytest.mark.parametrize(("flags", "method"), [(1, 8), (1 | 1 << 6, 8), (1 << 13, 8), (0, 99)])
def test_passwords_are_refused_with_what_to_do(tmp_path, flags, method):
    evil = zipped(Entry(b"fine"), Entry(b"secret", b"2", flags=flags, method=method))
    assert "'secret' is locked with a password: make the archive anew without one" in refused(tmp_path, evil)


@pytest.mark.parametrize(
    ("method", "name"), [(9, "Deflate64"), (12, "bzip2"), (14, "LZMA"), (93, "Zstandard"), (77, "method 77")]
)
def test_other_compressions_are_refused_by_name(tmp_path, method, name):
    evil = zipped(Entry(b"fine"), Entry(b"odd", bz2.compress(b"2"), method=method))
    assert f"'odd' is compressed with {name}: make the archive anew" in refused(tmp_path, evil)


@pytest.mark.parametrize(
    ("start", "name"),
    [(b"7z\xbc\xaf\x27\x1c", "7-Zip"), (b"Rar!\x1a\x07\x01\x00", "RAR"), (b"\xfd7zXZ\x00", "xz"), (b"BZh9", "bzip2")],
)
def test_other_archives_are_refused_by_name(tmp_path, start, name):
    assert f"is a {name} archive: pack the files as zip, tar or tar.gz" in refused(tmp_path, start + NOISE)


# Bombs and lies


def test_limits_are_kept(tmp_path):
    for evil in (packed_as(kind, {"fine": b"1", "zeros": bytes(3_000_000)}) for kind in ("zip", "tar", "tar.gz")):
        assert "unpacks to more than the 2,000,000 bytes allowed" in refused(tmp_path, evil, max_bytes=2_000_000)
    many = {f"m{index}": b"" for index in range(101)}
    for evil in (packed_as(kind, many) for kind in ("zip", "tar", "tar.gz")):
        assert "more than the 100 files and folders allowed" in refused(tmp_path, evil, max_members=100)
    for evil in (packed_as(kind, {"a": b"", **{f"._{name}": b"" for name in many}}) for kind in ("zip", "tar")):
        assert "more than the 100 files and folders allowed" in refused(tmp_path, evil, max_members=100)
    # Folders that only names make count too.
    deep = packed_as("zip", {f"m{index}/" + "d/" * 20 + "x": b"" for index in range(10)})
    assert "more than the 100 files and folders allowed" in refused(tmp_path, deep, max_members=100)


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_a_ratio_that_only_bombs_have_is_refused(tmp_path, kind, monkeypatch):
    bomb = packed_as(kind, {"a": b"1", "zeros": bytes(5_000_000)})
    assert len(unpacked(tmp_path, bomb)["zeros"]) == 5_000_000  # small enough to be harmless
    shutil.rmtree(tmp_path / "out")
    monkeypatch.setattr(members, "HARMLESS", 1_000_000)
    assert "unpacks to more than 500 times its size, as a bomb does" in refused(tmp_path, bomb)
    assert "more than 100 times" in refused(tmp_path, bomb, max_ratio=100)
    many = packed_as(kind, {f"zeros{index}": bytes(400_000) for index in range(20)})
    assert "it unpacks to more than 300 times its size" in refused(tmp_path, many, max_ratio=300)
    mixed = packed_as(kind, {"noise": NOISE, "zeros": bytes(400_000)})
    assert len(unpacked(tmp_path, mixed)) == 2


def test_members_that_share_their_bytes_are_refused(tmp_path):
    kernel = Entry(b"0", bytes(100_000))
    shared = [Entry(b"%d" % number, bytes(100_000), offset=0, local_name=b"0") for number in range(1, 50)]
    assert "shares its bytes with another member" in refused(tmp_path, zipped(kernel, *shared))
    same = [Entry(b"0", bytes(100_000), offset=0) for _ in range(50)]
    assert "shares its bytes with another member" in refused(tmp_path, zipped(kernel, *same))


def test_a_member_quoted_in_another_is_refused(tmp_path):
    """David Fifield's construction: each member's data hold the next one's header, as a stored block of deflate."""
    inner = zipped(Entry(b"inner", bytes(100_000)))
    inner = inner[: inner.index(b"PK\1\2")]
    header = inner[: 30 + 5]
    quoted = b"\x00" + struct.pack("<HH", len(header), len(header) ^ 0xFFFF) + header
    packed = quoted + inner[35:]
    data = header + bytes(100_000)
    assert zlib.decompress(packed, -15) == data
    outer = Entry(b"outer", data, packed=packed)
    second = Entry(b"inner", bytes(100_000), offset=30 + 5 + 5)
    evil = zipped(outer, second)
    with zipfile.ZipFile(io.BytesIO(evil)) as archive:  # its directory alone does not give it away
        assert archive.namelist() == ["outer", "inner"]
    assert "'inner' shares its bytes with another member" in refused(tmp_path, evil)


@pytest.mark.parametrize("claimed", [0, 1, 99_999, 100_001, 1 << 20])
def test_a_size_that_is_a_lie_is_refused(tmp_path, claimed):
    data = bytes(100_000)
    for crc in (zlib.crc32(data), zlib.crc32(data[:claimed])):  # `zipfile` would cut it off and find the latter right
        message = refused(tmp_path, zipped(Entry(b"fine"), Entry(b"liar", data, size=claimed, crc=crc)))
        assert ("more than the" in message and "it claims" in message) if claimed < len(data) else "wrong" in message


def test_a_huge_output_of_a_member_that_claims_little_is_never_held(tmp_path):
    deflating = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = b"".join(deflating.compress(bytes(1 << 20)) for _ in range(200)) + deflating.flush()
    evil = zipped(Entry(b"liar", packed=packed, size=1000, crc=0))
    tracemalloc.start()
    try:
        assert "unpacks to more than the 1,000 bytes it claims" in refused(tmp_path, evil)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_two_descriptions_of_a_member_are_refused(tmp_path):
    evil = zipped(Entry(b"fine"), Entry(b"a.png", b"1", local_name=b"../../a.png"))
    assert "contradict each other" in refused(tmp_path, evil)
    assert "claims two sizes" in refused(tmp_path, zipped(Entry(b"a", b"12345", method=0, size=3)))
    assert "a file and a folder at once" in refused(tmp_path, zipped(Entry(b"a/", b"12345"), Entry(b"b")))


def test_a_directory_larger_than_the_members_need_is_not_read(tmp_path):
    evil = zipped(*(Entry(b"%d" % number, directory_extra=struct.pack("<HH", 9, 60_000) + bytes(60_000))
                    for number in range(40)))  # fmt: skip
    assert "its directory is longer than 100 files and folders need" in refused(tmp_path, evil, max_members=100)


def test_a_directory_of_too_many_members_costs_no_memory(tmp_path):
    evil = zipped(Entry(b"fine"), *(Entry(b"", offset=0) for _ in range(20_000)))
    tracemalloc.start()
    try:
        assert "more than the 100 files and folders allowed" in refused(tmp_path, evil, max_members=100)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_header_of_many_megabytes_is_refused(tmp_path, kind):
    member = special("././@LongLink", kind)
    member.size = 40_000_000
    evil = gzip.compress(member.tobuf() + b"a" * member.size, 1)
    assert "a header of 40,000,000 bytes" in refused(tmp_path, evil)


def test_headers_that_slow_down_tarfile_are_read_at_once(tmp_path):
    """A million digits, over which a pattern of `tarfile` takes minutes (CVE-2024-6232), and headers without end."""
    digits = special("x", tarfile.XHDTYPE)
    digits.size = 1_000_000
    start = time.perf_counter()
    refused(tmp_path, digits.tobuf() + b"1" * 1_000_448 + tarred(("a", b"1")))
    chain = special("x", tarfile.XHDTYPE).tobuf() * 20_000
    assert unpacked(tmp_path, chain + tarred(("a", b"1"), ("b", b"2"))) == {"a": b"1", "b": b"2"}
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("records", [b"5 a=1\n", b"99999 a=1\n", b"0 a=\n", b"6 a=1\n7", b"-6 a=1\n", b"nothing"])
def test_extended_headers_that_are_none_are_refused(tmp_path, records):
    header = special("x", tarfile.XHDTYPE)
    header.size = len(records)
    assert "not a whole archive" in refused(tmp_path, header.tobuf() + records.ljust(512, b"\0") + tarred(("a", b"1")))


def test_sizes_in_a_tar_that_are_lies_are_refused(tmp_path):
    member = tarfile.TarInfo("huge")
    member.size = 1 << 50
    assert "'huge' unpacks to more than" in refused(tmp_path, gzip.compress(member.tobuf(tarfile.GNU_FORMAT)))
    member.size = 1_000_000
    assert "not a whole archive" in refused(tmp_path, member.tobuf() + bytes(4096))
    negative = bytearray(tarred(("a", b"1")))
    negative[124:136] = b"\xff" * 12
    negative[148:156] = b"        "
    negative[148:156] = b"%06o\0 " % sum(negative[:512])
    assert "a negative size" in refused(tmp_path, bytes(negative))
    member.size, member.pax_headers = 1, {"size": "1e3"}
    assert "not a whole archive" in refused(tmp_path, member.tobuf(tarfile.PAX_FORMAT) + bytes(2048))
    member.pax_headers = {"GNU.sparse.map": "0,1"}
    assert "neither a plain file" in refused(tmp_path, member.tobuf(tarfile.PAX_FORMAT) + bytes(2048))


def test_several_tars_in_one_are_refused(tmp_path):
    assert "goes on behind its end" in refused(tmp_path, tarred(("a", b"1")) + tarred(("b", b"2")))


def test_what_changes_between_check_and_writing_is_refused(tmp_path, monkeypatch):
    file = io.BytesIO(tarred(("a", b"1"), ("b", b"2")))

    def other(*_: Any) -> None:
        file.getbuffer()[:] = tarred(("a", b"1"), (special("b", tarfile.DIRTYPE), b"")).ljust(
            len(file.getvalue()), b"\0"
        )

    monkeypatch.setattr(upload, "need_space", other)
    with pytest.raises(UserError, match="it changes while it is read"):
        unpack_upload(file, tmp_path / "out", name="it")
    assert tree(tmp_path) == {}


# Damage


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_truncated_archives_are_refused_wherever_they_end(tmp_path, kind):
    whole = packed_as(kind, {"x": NOISE[:3000], "y": b"1", "z": NOISE[:700]})
    if kind == "tar":
        whole = whole.rstrip(b"\0")  # what follows is padding, which may be missing
    for length in [0, 1, 100, *range(512, len(whole), 257), len(whole) - 1]:
        refused(tmp_path, whole[:length])
    if kind == "tar":
        for length in range(512, len(whole), 512):
            assert "ends early" in refused(tmp_path, whole[:length])


def test_wrong_checksums_are_refused(tmp_path):
    for method in (0, 8):
        evil = zipped(Entry(b"fine", b"1"), Entry(b"odd", NOISE, method=method, crc=1))
        assert "'odd' has a wrong checksum" in refused(tmp_path, evil)
    flipped = bytearray(packed_as("tar.gz", {"a": NOISE}))
    flipped[-6] ^= 1
    assert "not a whole archive" in refused(tmp_path, bytes(flipped), "evil.tgz")


@pytest.mark.parametrize("content", [b"", b"no archive", NOISE, gzip.compress(NOISE), b"PK\3\4" + NOISE, b"PK\5\6"])
def test_what_is_no_archive_is_said(tmp_path, content):
    refused(tmp_path, content, "\u65e5.zip")


def test_an_empty_archive_is_said(tmp_path):
    assert "holds no file" in refused(tmp_path, packed_as("zip", {}))
    assert "holds no file" in refused(tmp_path, packed_as("tar.gz", {}))
    assert "is no zip, tar or tar.gz archive" in refused(tmp_path, packed_as("tar", {}))  # nothing but zeros


def test_data_that_go_on_or_end_early_are_refused(tmp_path):
    packed = deflate(NOISE)
    for wrong in (packed + b"more", packed[:-10], b"\xff" + packed):
        refused(tmp_path, zipped(Entry(b"a", NOISE, packed=wrong)))
    assert "reach into the directory" in refused(
        tmp_path, zipped(Entry(b"a", packed=b"12", method=0, size=99, packed_size=99))
    )
    for offset in (1 << 31, 0xFFFFFFFF, 10_000):
        refused(tmp_path, zipped(Entry(b"fine"), Entry(b"a", b"1", offset=offset)))
    far = struct.pack("<HHQ", 1, 8, (1 << 64) - 1)
    evil = zipped(Entry(b"fine"), Entry(b"a", b"1", offset=0xFFFFFFFF, directory_extra=far))
    assert "no data of 'a'" in refused(tmp_path, evil)


def test_files_that_cannot_be_read_are_named(tmp_path):
    for source in (tmp_path / "gone.zip", tmp_path):
        with pytest.raises(UserError, match=r"^mine\.zip cannot be read"):
            unpack_upload(source, tmp_path / "out", name="mine.zip")


def test_a_hostile_name_of_the_archive_stays_one_line(tmp_path):
    with pytest.raises(UserError) as caught:
        unpack_upload(io.BytesIO(b""), tmp_path / "out", name="a\nb\x1b[2J" + "x" * 500)
    assert str(caught.value).startswith("a?b?[2Jxxx")
    assert len(str(caught.value)) < 200


# The disk


def test_too_little_space_is_said_before_unpacking(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": disk.RESERVE + 1_000_000}))
    (tmp_path / "deep").mkdir()
    for kind in ("zip", "tar", "tar.gz"):
        with pytest.raises(UserError, match="are needed on the disk of"):
            unpack_upload(
                io.BytesIO(packed_as(kind, {"x": bytes(1_000_000)})), tmp_path / "deep" / "out", name="x", stop=None
            )
        # Small files take whole blocks.
        with pytest.raises(UserError, match="are needed on the disk of"):
            unpack_upload(
                io.BytesIO(packed_as(kind, {f"{n}": b"1" for n in range(200)})), tmp_path / "deep" / "out", name="x"
            )
    assert tree(tmp_path) == {"deep": None}


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
@pytest.mark.parametrize("when", ["checking", "unpacking"])
def test_stopping_leaves_nothing(tmp_path, kind, when):
    content = packed_as(kind, {f"m{index}": random.Random(index).randbytes(5000) for index in range(20)})
    heard: list[str] = []
    with pytest.raises(Stopped, match=f"stopped while {when} a"):
        unpack_upload(
            io.BytesIO(content), tmp_path / "out", name="a",
            progress=lambda *said: heard.append(said[2]), stop=lambda: f"{when} a" in heard,
        )  # fmt: skip
    assert tree(tmp_path) == {}


def test_twenty_thousand_files_are_unpacked_in_reasonable_time(tmp_path):
    content = {f"data/{'images' if n % 2 else 'masks'}/{n // 2:05d}.png": b"%d" % n * 50 for n in range(20_000)}
    packed = packed_as("zip", content)
    start = time.perf_counter()
    out = unpack_upload(io.BytesIO(packed), tmp_path / "out", name="many.zip")
    seconds = time.perf_counter() - start
    assert sum(1 for _ in out.rglob("*.png")) == 20_000
    assert (out / "images" / "00007.png").read_bytes() == b"15" * 50
    assert seconds < 60


# Random ones

LETTERS = st.characters(codec="utf-8", exclude_categories=("C", "Zl", "Zp"), exclude_characters="/\\:")
PART = st.text(LETTERS, min_size=1, max_size=12)
NAMES = st.lists(PART, min_size=1, max_size=4).map("/".join)


def ordinary(name: str) -> bool:
    """Whether no part of a name has a meaning of its own."""
    known = {".", "..", "__macosx", ".ds_store", "thumbs.db", "desktop.ini"}
    suffixes = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".tbz", ".xz", ".txz", ".zst", ".7z", ".rar")
    return all(
        part.casefold() not in known and not part.startswith("._") and not part.casefold().endswith(suffixes)
        for part in name.split("/")
    )


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(NAMES.filter(ordinary), st.binary(max_size=2000)), min_size=2, max_size=8),
    st.sampled_from(["zip", "tar", "tar.gz"]),
)
def test_any_tree_round_trips(listed, kind):
    # A number in front keeps the names apart, and more than one folder at the top.
    content = {f"{number}{name}": data for number, (name, data) in enumerate(listed)}
    with tempfile.TemporaryDirectory() as place:
        out = unpack_upload(io.BytesIO(packed_as(kind, content)), Path(place) / "out", name="any")
        assert files(out) == content


WHOLE = {
    kind: packed_as(kind, {"images/a.png": NOISE[:300], "masks/ü.png": bytes(5000), "x": b"1"})
    for kind in ("zip", "tar", "tar.gz")
} | {"links": tarred((special("way", tarfile.SYMTYPE, ".."), b""), ("way/x", b"1"), ("ü" * 200, b"2"))}


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(sorted(WHOLE)),
    st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=6),
    st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 1 << 20), st.integers(0, 1 << 20)), max_size=2),
    st.binary(max_size=40),
)
def test_mutated_archives_raise_nothing_but_user_errors(kind, changes, moves, tail):
    data = bytearray(WHOLE[kind])
    for at, value in changes:
        data[at % len(data)] = value
    for start, length, target in moves:  # headers come to stand elsewhere, twice, or no more
        start, target = start % len(data), target % len(data)
        data[target:target] = data[start : start + length % 200]
    _harmless(bytes(data) + tail)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([b"", b"PK\3\4", b"\x1f\x8b\x08\0", b"PK\5\6" + bytes(8)]), st.binary(max_size=1500))
def test_garbage_raises_nothing_but_user_errors(start, garbage):
    _harmless(start + garbage)
    _harmless(gzip.compress(garbage))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_fields_of_a_zip_that_are_anything_raise_nothing_but_user_errors(data):
    number = st.none() | st.integers(0, 300) | st.sampled_from([0x7FFFFFFF, 0xFFFFFFFF])
    large = st.binary(min_size=24, max_size=24).map(lambda fields: struct.pack("<HH", 1, 24) + fields)  # of zip64
    extra = st.just(b"") | st.binary(max_size=30) | large
    entries = [
        Entry(
            data.draw(st.binary(max_size=20) | st.sampled_from([b"a", b"b/c", b"b/", b"../x"])),
            data.draw(st.binary(max_size=100)),
            method=data.draw(st.sampled_from([0, 8, 8, 12, 14])),
            flags=data.draw(st.sampled_from([0, 0, 1, 8, 1 << 11])),
            mode=data.draw(st.sampled_from([0, 0o100644, 0o40755, 0o120777])),
            size=data.draw(number), packed_size=data.draw(number), offset=data.draw(number),
            directory_extra=data.draw(extra),
        )
        for _ in range(data.draw(st.integers(1, 3)))
    ]  # fmt: skip
    _harmless(zipped(*entries))


def _harmless(content: bytes) -> None:
    """Unpacking ends well or with one line, and writes nowhere but to its folder."""
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "in").mkdir()
        said = None
        try:
            unpack_upload(io.BytesIO(content), Path(place) / "in" / "out", name="any", max_bytes=10_000_000)
        except UserError as error:
            said = str(error)
        if said is not None:
            assert "\n" not in said
            assert tree(Path(place)) == {"in": None}
        assert all(name == "in" or name.startswith("in/out") for name in tree(Path(place)))
        assert not any(path.is_symlink() for path in Path(place).rglob("*"))
