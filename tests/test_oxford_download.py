"""Bringing the Oxford pets: a small made-up archive of them, from a server on this machine."""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from bad_server import Site, serving
from PIL import Image

from segmodels.data import disk
from segmodels.data.datasets.oxford_pets import OxfordPets
from segmodels.data.disk import Stopped
from segmodels.data.download import Archive
from segmodels.errors import UserError
from tests.test_archive import pack, visible


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as site:
        yield site


@pytest.fixture
def pets(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Archive, ...]:
    """A made-up Oxford-IIIT Pet in one archive on the server; `home()` is `tmp_path / "home"`."""
    monkeypatch.setenv("SEGMODELS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SEGMODELS_DATA", raising=False)
    image, mask = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (4, 3)).save(image, "JPEG")
    Image.fromarray(np.full((3, 4), 2, np.uint8)).save(mask, "PNG")
    members = []
    for index in range(1, 13):
        members.append((f"images/Sphynx_{index}.jpg", image.getvalue()))
        members.append((f"annotations/trimaps/Sphynx_{index}.png", mask.getvalue()))
    lines = [f"Sphynx_{index} 1 1 1\n" for index in range(1, 13)]
    members.append(("annotations/trainval.txt", "".join(lines[:10]).encode()))
    members.append(("annotations/test.txt", "".join(lines[10:]).encode()))
    site.content = pack(tmp_path / "served.tar.gz", *members).read_bytes()
    digest = hashlib.sha256(site.content).hexdigest()
    return (Archive(site.url, "pets.tar.gz", len(site.content), digest),)


def test_pets_are_downloaded_once_and_opened(site, pets, tmp_path):
    folder = OxfordPets.download(archives=pets)
    assert folder == tmp_path / "home" / "data" / "oxford-iiit-pet"
    opened = OxfordPets()
    assert opened.root == folder
    assert len(opened.samples("train")) == 9
    assert opened.read(opened.samples("test")[0])[1].tolist() == [[1] * 4] * 3
    assert visible(tmp_path / "home" / "data" / "downloads") == []
    assert OxfordPets.download(archives=pets) == folder
    assert len(site.requests) == 1


def test_an_incomplete_folder_of_somebody_else_is_left_and_named(site, pets, tmp_path):
    folder = OxfordPets.download(archives=pets)
    (folder / "images" / "Sphynx_3.jpg").unlink()
    with pytest.raises(
        UserError, match=r"1 of 24 listed files are missing, first images/Sphynx_3\.jpg; to download it"
    ):
        OxfordPets.download(archives=pets)
    assert (folder / "images" / "Sphynx_4.jpg").exists()


def test_an_empty_folder_is_filled(pets, tmp_path):
    (tmp_path / "home" / "data" / "oxford-iiit-pet").mkdir(parents=True)
    assert len(OxfordPets(OxfordPets.download(archives=pets)).samples("test")) == 2


def test_pets_stopped_midway_leave_no_folder(site, pets, tmp_path):
    with pytest.raises(Stopped):
        OxfordPets.download(archives=pets, stop=lambda: True)
    assert not (tmp_path / "home" / "data" / "oxford-iiit-pet").exists()
    OxfordPets.download(archives=pets)


def test_space_for_all_of_it_is_asked_for_first(site, pets, monkeypatch):
    need = len(site.content) * 9 // 4
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": disk.RESERVE + need - 2}))
    with pytest.raises(UserError, match="are needed on the disk of"):
        OxfordPets.download(archives=pets)
    assert not site.requests


def test_an_archive_without_the_data_set_is_not_taken_for_it(site, pets, tmp_path):
    site.content = pack(tmp_path / "other.tar.gz", ("readme", b"hello")).read_bytes()
    archive = Archive(site.url, "pets.tar.gz", len(site.content), hashlib.sha256(site.content).hexdigest())
    with pytest.raises(UserError, match="there is no folder images"):
        OxfordPets.download(archives=(archive,))
    assert not (tmp_path / "home" / "data" / "oxford-iiit-pet").exists()
