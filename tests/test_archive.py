"""Unpacking archives that are whole, damaged and wicked."""

from __future__ import annotations

import gzip
import io
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from segmodels.data import archive as archives
from segmodels.data import disk
from segmodels.data.archive import unpack
from segmodels.data.disk import Stopped
from segmodels.errors import UserError


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def pack(path: Path, *members: tuple[str | tarfile.TarInfo, bytes]) -> Path:
    """Write a .tar.gz of members as given, however wicked."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members:
            member = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            if member.type == tarfile.REGTYPE:
                member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def refused(tmp_path: Path, *archives: Path, **limits: Any) -> str:
    """The line with which unpacking fails, after which nothing stands anywhere that was not there before."""
    before = tree(tmp_path)
    with pytest.raises(UserError) as caught:
        unpack(archives, tmp_path / "deep" / "out", **limits)
    assert "\n" not in str(caught.value)
    assert tree(tmp_path) == before
    assert not (tmp_path / "deep" / "out").exists()
    assert [path for path in (tmp_path / "deep").iterdir() if path.is_dir()] == []
    return str(caught.value)


def test_archives_unpack_over_each_other(tmp_path):
    one = pack(tmp_path / "one.tar.gz", (special("images", tarfile.DIRTYPE), b""), ("images/a.jpg", b"A"))
    two = pack(
        tmp_path / "two.tar.gz", ("./annotations/list.txt", b"L"), ("images/b.jpg", b"B"), ("images/._b.jpg", b"?")
    )
    heard = []
    out = unpack([one, two], tmp_path / "out", lambda *said: heard.append(said))
    assert tree(out) == {"annotations/list.txt": b"L", "images/a.jpg": b"A", "images/b.jpg": b"B"}
    total = one.stat().st_size + two.stat().st_size
    assert heard[-1] == (total, total, "unpacking two.tar.gz")
    assert {said[2].split()[0] for said in heard} == {"checking", "unpacking"}
    assert all(0 <= done <= whole == total for done, whole, _ in heard)


def test_a_folder_that_is_there_is_replaced_as_a_whole(tmp_path):
    archive = pack(tmp_path / "a.tar.gz", ("new", b"new"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_bytes(b"old")
    assert tree(unpack([archive], tmp_path / "out")) == {"new": b"new"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../escaped", "would be written outside"),
        ("in/../../escaped", "would be written outside"),
        ("in/..", "would be written outside"),
        ("/tmp/segmodels-escaped", "would be written outside"),
        ("..\\escaped", "would be written outside"),
        ("C:escaped", "would be written outside"),
        ("bell\a", "is no usable file name"),
        ("x" * 300, "is no usable file name"),
        ("d/" * 600 + "x", "is no usable file name"),
    ],
)
def test_paths_that_climb_are_refused(tmp_path, name, said):
    message = refused(tmp_path, pack(tmp_path / "evil.tar.gz", ("fine", b"1"), (name, b"2")))
    assert message.startswith("evil.tar.gz: ")
    assert said in message
    assert not Path("/tmp/segmodels-escaped").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("target", ["..", "/etc", "fine"])
def test_links_are_refused(tmp_path, kind, target):
    evil = pack(tmp_path / "evil.tar.gz", ("fine", b"1"), (special("way", kind, target), b""), ("way/escaped", b"2"))
    assert "'way' is a link; refused" in refused(tmp_path, evil)


@pytest.mark.parametrize(
    "kind", [tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE, b"Z"]
)
def test_devices_and_pipes_are_refused(tmp_path, kind):
    evil = pack(tmp_path / "evil.tar.gz", ("fine", b"1"), (special("odd", kind), b""))
    assert "is neither a plain file nor a folder" in refused(tmp_path, evil)


def test_a_file_that_is_also_a_folder_is_refused(tmp_path):
    assert "a file and a folder at once" in refused(tmp_path, pack(tmp_path / "a.tar.gz", ("x", b"1"), ("x/y", b"2")))


def test_bombs_are_refused(tmp_path):
    large = pack(tmp_path / "large.tar.gz", ("fine", b"1"), ("zeros", bytes(3_000_000)))
    assert "unpacks to more than the 2,000,000 bytes allowed" in refused(tmp_path, large, max_bytes=2_000_000)
    many = pack(tmp_path / "many.tar.gz", *[(f"m{index}", b"") for index in range(101)])
    assert "more than the 100 members allowed" in refused(tmp_path, many, max_members=100)
    half = pack(tmp_path / "half.tar.gz", *[(f"n{index}", b"") for index in range(60)])
    assert "more than the 100 members allowed" in refused(tmp_path, half, half, max_members=100)


def test_a_size_that_is_only_claimed_is_refused_without_reading_it(tmp_path):
    member = tarfile.TarInfo("huge")
    member.size = 1 << 50
    (tmp_path / "claim.tar.gz").write_bytes(gzip.compress(member.tobuf() + bytes(4096)))
    assert "unpacks to more than" in refused(tmp_path, tmp_path / "claim.tar.gz")


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_header_of_many_megabytes_is_refused(tmp_path, kind):
    member = special("././@LongLink", kind)
    member.size = 40_000_000
    (tmp_path / "header.tar.gz").write_bytes(gzip.compress(member.tobuf() + b"a" * member.size, 1))
    assert "more data than its members account for" in refused(tmp_path, tmp_path / "header.tar.gz")


def test_an_endless_tail_is_refused(tmp_path):
    with tarfile.open(fileobj=(packed := io.BytesIO()), mode="w") as tar:
        tar.addfile(tarfile.TarInfo("fine"))
    (tmp_path / "tail.tar.gz").write_bytes(gzip.compress(packed.getvalue() + bytes(40_000_000), 1))
    assert "more data than its members account for" in refused(tmp_path, tmp_path / "tail.tar.gz")


def test_too_little_space_is_said_before_unpacking(tmp_path, monkeypatch):
    archive = pack(tmp_path / "a.tar.gz", ("x", bytes(100_000)))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": disk.RESERVE + 100_000}))
    assert "are needed on the disk of" in refused(tmp_path, archive)


def test_damaged_archives_are_named(tmp_path):
    noise = random.Random(1).randbytes(200_000)
    whole = pack(tmp_path / "whole.tar.gz", ("x", noise), ("y", b"1")).read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 255
    for number, content in enumerate(
        (b"", b"no archive", whole[: len(whole) // 2], bytes(flipped), gzip.compress(noise))
    ):
        path = tmp_path / f"{number}.tar.gz"
        path.write_bytes(content)
        assert f"{path}: not a whole .tar.gz archive" in refused(tmp_path, path), number
    assert "gone.tar.gz: no such file" in refused(tmp_path, tmp_path / "gone.tar.gz")


def test_stopping_leaves_nothing_but_the_archives(tmp_path):
    archive = pack(
        tmp_path / "a.tar.gz", *[(f"m{index}", random.Random(index).randbytes(20_000)) for index in range(20)]
    )
    heard: list[str] = []

    def stop() -> bool:
        return "unpacking a.tar.gz" in heard

    with pytest.raises(Stopped, match=r"stopped while unpacking a\.tar\.gz; the archives are kept"):
        unpack([archive], tmp_path / "out", lambda *said: heard.append(said[2]), stop)
    assert visible(tmp_path) == ["a.tar.gz"]


def test_a_failed_check_leaves_nothing(tmp_path):
    def check(folder: Path) -> None:
        assert tree(folder) == {"x": b"1"}
        raise UserError("something is missing")

    with pytest.raises(UserError, match="something is missing"):
        unpack([pack(tmp_path / "a.tar.gz", ("x", b"1"))], tmp_path / "out", check=check)
    assert visible(tmp_path) == ["a.tar.gz"]


def test_a_killed_unpacking_leaves_no_folder_and_the_next_one_cleans_up(tmp_path):
    archive = pack(tmp_path / "a.tar.gz", *[(f"m{index}", b"1") for index in range(50)])
    script = (
        "import os, signal, sys; from pathlib import Path; from segmodels.data.archive import unpack\n"
        "def check(folder): os.kill(os.getpid(), signal.SIGKILL)\n"
        "unpack([Path(sys.argv[1])], Path(sys.argv[2]), check=check)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(archives.__file__).parents[2])}
    killed = subprocess.run([sys.executable, "-c", script, str(archive), str(tmp_path / "out")], env=environment)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    assert [name for name in visible(tmp_path) if name.endswith(".part")]
    unpack([archive], tmp_path / "out")
    assert visible(tmp_path) == ["a.tar.gz", "out"]
    assert len(tree(tmp_path / "out")) == 50
