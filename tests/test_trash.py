"""Deleted runs: out of the list at once, back on demand, gone after a while; whatever their names and places."""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segmodels.cli import main
from segmodels.errors import UserError
from segmodels.recipe import Recipe
from segmodels.training import queue, trash
from segmodels.training.overview import overview
from segmodels.training.runs import Run, find_run, list_runs
from segmodels.training.tickets import tickets
from segmodels.training.trash import delete, deleted, purge, remove, restore, trash_folder

RECIPE = Recipe(data="toy-pets", image_size=32)
DAY = 86400


def ended(path: Path | None = None) -> Run:
    run = Run.create(RECIPE, path)
    run.write_status(state="finished")
    return run


def aged(seconds: float) -> None:
    """Let everything that is deleted have been deleted earlier."""
    for record in trash_folder().glob(f"*/{trash.RECORD}"):
        said = json.loads(record.read_text())
        record.write_text(json.dumps({**said, "when": said["when"] - seconds}))


def at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    """What `work` returns or raises in as many threads, begun together."""
    results: list[Any] = [None] * count
    begin = threading.Barrier(count)

    def one(number: int) -> None:
        begin.wait()
        try:
            results[number] = work(number)
        except Exception as error:
            results[number] = error

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_a_deleted_run_is_gone_from_every_list_and_comes_back_whole(home: Path) -> None:
    run, other = ended(), ended()
    (run.path / "best").mkdir()
    (run.path / "best" / "model.weights.h5").write_bytes(b"weights")
    before = sorted(path.relative_to(run.path) for path in run.path.rglob("*"))
    entry = delete(run)
    assert (entry.id, entry.origin) == (run.id, run.path)
    assert abs(entry.when - time.time()) < 5
    assert entry.path.is_dir()
    assert not run.path.exists()
    assert [each.id for each in list_runs()] == [row.id for row in overview()] == [other.id]
    with pytest.raises(UserError, match="no run"):
        find_run(run.id)
    assert deleted() == [entry]
    back = restore(run.id)
    assert back.path == run.path
    assert back.state == "finished"
    assert (back.best / "model.weights.h5").read_bytes() == b"weights"
    assert set(before) <= {path.relative_to(run.path) for path in run.path.rglob("*")}
    assert deleted() == []
    assert [path.name for path in trash_folder().iterdir()] == ["lock"], "nothing is left behind"


def test_the_newest_of_one_name_comes_back_first_and_nothing_is_overwritten(home: Path, tmp_path: Path) -> None:
    here, there = ended(tmp_path / "here" / "mine"), ended(tmp_path / "there" / "mine")
    delete(here)
    delete(there)
    assert [entry.origin for entry in deleted()] == [there.path, here.path]
    assert restore("mine").path == there.path
    again = ended(tmp_path / "here" / "mine")
    again.write_status(epoch=7)
    with pytest.raises(UserError, match=r"here/mine stands where run mine was: move it away first"):
        restore("mine")
    assert again.status()["epoch"] == 7
    delete(again)
    assert restore("mine").status()["epoch"] == 7
    assert len(deleted()) == 1
    with pytest.raises(UserError, match="no deleted run 'nothing'"):
        restore("nothing")


def test_a_run_whose_folder_is_gone_says_so(home: Path, tmp_path: Path) -> None:
    run = ended(tmp_path / "there" / "mine")
    delete(run)
    (tmp_path / "there").rmdir()
    with pytest.raises(UserError, match="make that folder again"):
        restore("mine")
    (tmp_path / "there").mkdir()
    assert restore("mine").state == "finished"


def test_a_run_on_another_disk_stays_there_hidden(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename

    def between_disks(source: Path, target: Path) -> Path:
        if source.is_relative_to(tmp_path / "disk") != Path(target).is_relative_to(tmp_path / "disk"):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", between_disks)
    run = ended(tmp_path / "disk" / "mine")
    entry = delete(run)
    assert entry.path.parent == tmp_path / "disk"
    assert entry.path.name.startswith(".mine.")
    assert not run.path.exists()
    assert restore("mine").path == run.path
    delete(run)
    assert len(deleted()) == 1
    assert purge(0).runs == 1
    assert list((tmp_path / "disk").iterdir()) == []
    ended(tmp_path / "disk" / "mine")
    assert remove(run).bytes > 0
    assert list((tmp_path / "disk").iterdir()) == []
    assert [path.name for path in trash_folder().iterdir()] == ["lock"]


def test_a_run_on_a_disk_that_is_away_is_not_forgotten(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = trash._rename

    def between_disks(source: Path, target: Path) -> None:
        if target.is_relative_to(trash_folder()) and source.is_relative_to(tmp_path / "disk"):
            raise trash.OtherDisk
        rename(source, target)

    monkeypatch.setattr(trash, "_rename", between_disks)
    delete(ended(tmp_path / "disk" / "mine"))
    (tmp_path / "disk").rename(tmp_path / "away")
    (tmp_path / "disk").mkdir()  # a place to mount it stays
    assert deleted() == []
    delete(ended())
    assert purge(0).runs == 1
    (tmp_path / "disk").rmdir()
    purge(0)
    (tmp_path / "away").rename(tmp_path / "disk")
    assert restore("mine").state == "finished"


@pytest.mark.parametrize("full", ["record", "folder"])
def test_on_a_full_disk_runs_can_be_deleted(home: Path, monkeypatch: pytest.MonkeyPatch, full: str) -> None:
    one, two = ended(), ended()

    def no_space(path: Path, *_: Any, **__: Any) -> None:
        if not path.is_dir():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for run in (one, two):
        (run.path / "lock").touch()  # of those that were trained
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text" if full == "record" else "mkdir", no_space)
        assert remove(one).runs == 1
        if full == "record":
            delete(two)
    left = [path.name for path in (home / "runs").iterdir() if path.name != ".deleted"]
    assert left == ([] if full == "record" else [two.id]), "nothing of it is left"
    if full == "record":
        (entry,) = deleted()
        assert (entry.id, entry.origin) == (two.id, two.path)
        assert abs(entry.when - time.time()) < 60
        assert restore(two.id).state == "finished"


def test_who_is_at_work_is_refused_and_who_waits_leaves_the_queue(home: Path) -> None:
    run, waits = ended(), Run.create(RECIPE)
    with run.lock():
        run.write_status(state="running")
        with pytest.raises(UserError, match=f"run {run.id} is running: stop it first"):
            delete(run)
        run.write_status(state="stopped")
        with pytest.raises(UserError, match="already being trained"):
            delete(run)
    assert run.path.exists()
    assert deleted() == []
    queue.join(waits.path, ["cpu"], launched=True)
    (ticket,) = tickets(waits.path)
    ticket.path.write_text(ticket.path.read_text().replace('"started": ', '"started": -'))  # its process is long gone
    delete(waits)
    assert tickets() == []
    assert restore(waits.id).state == "stopped"


def test_only_runs_are_deleted(home: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    RECIPE.save(tmp_path / "thesis" / "recipe.json")
    for path in (tmp_path / "thesis", tmp_path / "nothing", home / "runs", trash_folder()):
        with pytest.raises(UserError, match="no run"):
            delete(Run(path))
    assert (tmp_path / "thesis").exists()
    entry = delete(ended())
    with pytest.raises(UserError, match="deleted already"):
        delete(Run(entry.path))


def test_what_is_left_of_a_run_can_be_deleted(home: Path) -> None:
    run = ended()
    (run.path / "status.json").unlink()
    delete(run)
    assert overview() == []
    restore(run.id)
    assert [row.problem for row in overview()] == ["its status.json is missing"]
    assert main(["runs", "delete", run.id]) == 0
    assert overview() == []


def test_what_was_deleted_long_ago_goes_for_good(home: Path) -> None:
    names = (home / "runs" / name for name in ("old", "middle", "new"))
    old = delete(ended(next(names)))
    aged(6 * DAY)
    assert [entry.id for entry in deleted()] == [old.id]
    delete(ended(next(names)))
    assert len(deleted()) == 2, "not yet a week"
    aged(2 * DAY)
    new = delete(ended(next(names)))
    assert old.id not in [entry.id for entry in deleted()]
    assert len(deleted()) == 2
    assert purge(3600).runs == 1
    assert deleted() == [new]
    assert purge(0).runs == 1
    assert purge(0) == trash.Removed(0, 0)
    with pytest.raises(UserError, match="no deleted run"):
        restore(new.id)


def test_the_freed_disk_is_what_the_files_took(home: Path, tmp_path: Path) -> None:
    run = ended()
    (run.path / "last").mkdir()
    (run.path / "last" / "variables.npz").write_bytes(os.urandom(3_000_000))
    os.link(run.path / "last" / "variables.npz", run.path / "twin")
    (tmp_path / "kept").write_bytes(os.urandom(5_000_000))
    os.link(tmp_path / "kept", run.path / "kept")
    (run.path / "link").symlink_to(tmp_path / "kept")
    delete(run)
    freed = purge(0)
    assert freed.runs == 1
    assert 3_000_000 <= freed.bytes < 3_200_000, "once for both names; not what has a name elsewhere"
    assert (tmp_path / "kept").stat().st_size == 5_000_000


def test_a_removal_that_was_cut_off_offers_no_half_run_and_is_finished_later(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ended()
    with monkeypatch.context() as patch:
        patch.setattr(trash, "_finish", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            remove(run)
    assert deleted() == []
    assert not run.path.exists()
    assert len(list(trash_folder().iterdir())) == 2
    purge()
    assert [path.name for path in trash_folder().iterdir()] == ["lock"]


def test_a_deletion_that_was_cut_off_leaves_the_run(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ended()
    (trash_folder() / ("0" * 32)).mkdir(parents=True)
    (trash_folder() / ("0" * 32) / trash.RECORD).write_text('{"id": "x", "from": null, "when": 1e9}')
    assert deleted() == []
    with monkeypatch.context() as patch:
        patch.setattr(trash, "_rename", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            delete(run)
    assert [each.id for each in list_runs()] == [run.id]
    delete(run)
    assert [entry.id for entry in deleted()] == [run.id]
    assert len(list(trash_folder().iterdir())) == 2


@pytest.mark.parametrize(
    "record",
    [
        "", "[]", "nul", '{"when": "x", "from": 3}', '{"when": 1e999, "from": "/"}', '{"when": -5, "from": "a"}',
        '{"when": NaN, "from": "/tmp/other"}', '{"from": "/tmp/\\u0000"}', "[" * 5000,
    ],
)  # fmt: skip
def test_a_damaged_record_costs_only_its_knowledge(home: Path, record: str) -> None:
    run = ended()
    entry = delete(run)
    (entry.path.parent / trash.RECORD).write_text(record)
    (found,) = deleted()
    assert found.origin == run.path
    assert 0 <= found.when <= time.time()
    assert restore(run.id).path == run.path


def test_a_link_among_the_deleted_leads_nowhere(home: Path, tmp_path: Path) -> None:
    delete(ended())
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "years of work").touch()
    (trash_folder() / ("a" * 32)).symlink_to(tmp_path / "thesis")
    (trash_folder() / ("b" * 32)).mkdir()
    (trash_folder() / ("b" * 32) / "thesis").symlink_to(tmp_path / "thesis")
    (trash_folder() / f"{'c' * 32}.gone").symlink_to(tmp_path / "thesis")
    assert len(deleted()) == 1
    assert purge(0).runs == 1
    assert (tmp_path / "thesis" / "years of work").exists()


@pytest.mark.parametrize("name", ["<b>bold<img src=x onerror=alert(1)>", "[a](b) :red[x] `$1`", "two\nlines", "ü 名"])
def test_names_are_only_names(home: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = ended(home / "runs" / name)
    assert main(["runs", "delete", name]) == 0
    assert main(["runs", "restore"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2 + 3
    assert [entry.id for entry in deleted()] == [name]
    assert main(["runs", "restore", name]) == 0
    assert [row.id for row in overview()] == [name]
    assert run.state == "finished"


def test_twenty_delete_and_restore_at_once(home: Path) -> None:
    runs = [ended() for _ in range(20)]
    names = {run.id for run in runs}
    assert {entry.id for entry in at_once(20, lambda number: delete(runs[number]))} == names
    assert {entry.id for entry in deleted()} == names
    assert {run.id for run in at_once(20, lambda number: restore(runs[number].id))} == names
    assert {run.id for run in list_runs()} == names


def test_of_twenty_who_want_the_same_one_gets_it(home: Path) -> None:
    run = ended()
    for act in (lambda _: delete(run), lambda _: restore(run.id)):
        results = at_once(20, act)
        lost = [each for each in results if isinstance(each, Exception)]
        assert len(lost) == 19
        assert {type(each) for each in lost} == {UserError}, lost
    assert run.state == "finished"
    assert deleted() == []


def test_runs_are_deleted_restored_and_removed_while_they_are_listed(home: Path) -> None:
    runs = [ended() for _ in range(10)]
    stop = threading.Event()
    seen: list[Any] = []

    def look() -> None:
        try:
            while not stop.is_set():
                seen.append(len(overview()))
                deleted()
        except Exception as error:
            seen.append(error)

    watchers = [threading.Thread(target=look) for _ in range(2)]
    for watcher in watchers:
        watcher.start()
    for run in runs:
        delete(run)
        restore(run.id)
        remove(run)
    stop.set()
    for watcher in watchers:
        watcher.join()
    assert all(isinstance(each, int) and 0 <= each <= 10 for each in seen), seen
    assert overview() == []


def test_what_cannot_be_written_is_one_line(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ended()

    def refused(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", refused)
        with pytest.raises(UserError, match=f"no permission for {run.path}"):
            delete(run)
    assert run.state == "finished"
    trash_folder().joinpath("lock").unlink()
    trash_folder().rmdir()
    trash_folder().touch()
    with pytest.raises(UserError, match=r"\.deleted is a file"):
        delete(run)
    assert deleted() == []
    assert [each.id for each in list_runs()] == [run.id]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(home: Path) -> None:
    run = ended()
    (home / "runs").chmod(0o500)
    with pytest.raises(UserError, match="no permission"):
        delete(run)
    (home / "runs").chmod(0o700)
    assert run.state == "finished"


def test_the_verbs(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*words: object, code: int = 0) -> Any:
        assert main(["runs", *map(str, words), "--json"]) == code
        return json.loads(capsys.readouterr().out)

    one, two, three, busy = (ended() for _ in range(4))
    assert said("restore") == []
    assert said("delete", one.id) == {"run": one.id, "state": "deleted"}
    busy.write_status(state="running")
    with busy.lock():
        rows = said("delete", two.id, busy.id, three.id, two.path, code=2)
        assert [(row["run"], row["state"]) for row in rows] == [
            (two.id, "deleted"), (busy.id, "running"), (three.id, "deleted"),
        ]  # fmt: skip
        assert "stop it first" in rows[1]["error"]
        assert main(["runs", "delete", busy.id]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert main(["runs", "delete", one.id, busy.id]) == 2, "nothing is deleted where one is not known"
    assert busy.path.exists()
    assert {row["run"] for row in said("restore")} == {one.id, two.id, three.id}
    assert said("restore", two.id) == {"run": two.id, "path": str(two.path), "state": "finished"}
    assert main(["runs", "restore", two.id]) == 2
    capsys.readouterr()
    assert said("delete", "--for-good", two.id) == {"run": two.id, "state": "deleted"}
    assert {row["run"] for row in said("restore")} == {one.id, three.id}
    assert main(["runs", "empty"]) == 0
    assert capsys.readouterr().out.startswith("2 runs are removed for good, which freed 0.0")
    assert said("empty") == {"runs": 0, "bytes": 0}
    assert said("restore") == []
