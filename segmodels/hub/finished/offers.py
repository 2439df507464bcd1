"""Weights of trainings that somebody finished elsewhere: looked up on the Hub by the training's fingerprint, and taken
as a finished run instead of training again.

A repository of models holds `finished/FINGERPRINT/`, each a checkpoint directory with `finished.json` beside, which
says how it was trained; `outbox` puts them there.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from segmodels.data.disk import Report, Stop, locked, make_folder, megabytes
from segmodels.errors import UserError
from segmodels.files import explain_disk_errors, read_json, replacing, sweep
from segmodels.home import home
from segmodels.hub.checkpoint import SPEC, Spec, read_spec
from segmodels.hub.finished.fingerprint import fields_of, fingerprint
from segmodels.hub.finished.settings import hub_repository
from segmodels.hub.pull import check_checkpoint, chosen_files
from segmodels.hub.repository import HubRepository, Listed, Unreachable
from segmodels.models.architectures import NAMED_WEIGHTS, checked_options
from segmodels.recipe import Recipe
from segmodels.training.notes import plain
from segmodels.training.reporter import Log, Reporter
from segmodels.training.rows import read_rows
from segmodels.training.runs import Run
from segmodels.training.start import make_run

#: The folder of a repository that holds them, and what says how one was trained.
FOLDER, RECORD = "finished", "finished.json"
#: The most bytes of that file.
RECORD_BYTES = 1 << 20
#: Seconds within which the Hub has to say whether there is one: a training does not wait for a network longer.
PATIENCE = 5.0

T = TypeVar("T")


@dataclass(frozen=True)
class Offer:
    """Finished weights that are on the Hub.

    Attributes:
        repository: `owner/name`.
        commit: at which they were found.
        fingerprint: of the training.
        mean_iou: on the validation part, of the epoch that is kept.
        epoch: that epoch.
        size: of the files, in bytes.
        files: those to bring, by their path in the checkpoint directory.
    """

    repository: str
    commit: str
    fingerprint: str
    mean_iou: float
    epoch: int
    size: int
    files: Mapping[str, Listed] = field(repr=False, compare=False)

    @property
    def path(self) -> str:
        """Where they are in the repository."""
        return f"{FOLDER}/{self.fingerprint}"

    @property
    def figures(self) -> str:
        """What they are, in a few words."""
        return f"mean IoU {self.mean_iou:.4f}, {megabytes(self.size)}"

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        names = ("repository", "commit", "path", "fingerprint", "mean_iou", "epoch")
        return {**{name: getattr(self, name) for name in names}, "bytes": self.size}


def look_up(recipe: Recipe, *, reporter: Reporter | None = None, endpoint: str | None = None) -> Offer | None:
    """Finished weights of a recipe and its data, as `find` finds them; None also where the Hub cannot be asked, which
    `reporter` is told.

    Raises:
        UserError: the recipe's data is not there, or what is set as repository is no name of one.
    """
    if hub_repository() is None:
        return None
    key = fingerprint(recipe)
    try:
        return find(key, endpoint=endpoint)
    except UserError as error:
        (reporter or Reporter()).note(f"not looked up whether this was trained already: {error}")
        return None


def find(key: str, *, repository: str | None = None, endpoint: str | None = None) -> Offer | None:
    """Finished weights by the fingerprint of their training; None where there are none, or no repository is set.

    Args:
        repository: `owner/name`; the one that is set by default.
        endpoint: of the Hub; `HF_ENDPOINT` by default.

    Raises:
        UserError: no such repository or no access, or what is there is damaged; `Unreachable` where the Hub does not
            answer within `PATIENCE`.
    """
    if (repository := repository or hub_repository()) is None:
        return None
    late = threading.Event()
    hub = _hub(repository, endpoint, Report(None, late.is_set))
    return _within(
        PATIENCE, lambda: _found(hub, key), late, f"{repository}: the Hub gave no answer in {PATIENCE:g} seconds"
    )


def take(
    offer: Offer,
    recipe: Recipe,
    *,
    path: str | Path | None = None,
    reporter: Reporter | None = None,
    stop: Stop | None = None,
    endpoint: str | None = None,
) -> Run:
    """Bring finished weights and make a finished run of them, as if the recipe had been trained here.

    Every file is compared with the hash that its commit lists, the network is built from the spec by this package's own
    code, the weights must fit it, and it must be the network that the recipe trains, on these classes, by these fields.
    How good they are is taken on trust of who may write to the repository: only an evaluation could tell.

    Args:
        offer: as `look_up` gives it for the recipe.
        path: where to make the run; by default a new folder in the home's `runs/`.
        stop: asked often; once it returns True this ends with `segmodels.data.disk.Stopped`.

    Raises:
        UserError: what is there is damaged, or of another training; no network, no space. Nothing is left then.
    """
    told = reporter or Reporter()
    hub = _hub(offer.repository, endpoint, Report(told.progress, stop))
    base = home() / FOLDER
    make_folder(base)
    what = f"{offer.repository}, {offer.path[: len(FOLDER) + 13]}…"
    with (
        locked(base / ".lock", lambda: hub.report(0, 1, "waiting for another one who takes finished weights")),
        _beside(base) as beside,
    ):
        files = {f"{offer.path}/{name}": file for name, file in offer.files.items()}
        hub.brought_into(
            offer.commit, files, Path(beside), lambda name: f"{what}: {name.removeprefix(f'{offer.path}/')}"
        )
        folder = Path(beside, offer.path)
        hub.report(0, 1, f"checking {offer.repository}")
        check_checkpoint(folder, what)
        _check_same(read_spec(folder), recipe, what)
        _figures(folder, what)
        return _made(folder, offer, recipe, path, told)


@contextmanager
def _beside(base: Path) -> Iterator[str]:
    """A folder below `base` for the block; for who holds the lock on it."""
    sweep(base)  # what killed processes left
    with tempfile.TemporaryDirectory(dir=base, prefix=".coming.", suffix=".part", ignore_cleanup_errors=True) as beside:
        yield beside


def _hub(repository: str, endpoint: str | None, report: Report) -> HubRepository:
    return HubRepository(repository, "main", repository, endpoint, report, kind="model")


def _found(hub: HubRepository, key: str) -> Offer | None:
    commit, _ = hub.resolved()
    below = f"{FOLDER}/{key}"
    listed = {
        name.removeprefix(f"{below}/"): file
        for name, file in hub.files(commit, below).items()
        if name.startswith(f"{below}/")
    }
    if SPEC not in listed:
        return None
    what = f"{hub.repository}, {below[: len(FOLDER) + 13]}…"
    files = chosen_files(listed, what)
    if "metrics.json" not in files:
        raise UserError(f"{what} has no metrics.json: its upload is incomplete")
    if (record := listed.get(RECORD)) and record.size <= RECORD_BYTES:
        files[RECORD] = record
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        metrics = {f"{below}/metrics.json": files["metrics.json"]}
        hub.brought_into(commit, metrics, Path(folder), lambda _: f"{what}: metrics.json")
        epoch, mean_iou = _figures(Path(folder, below), what)
    return Offer(hub.repository, commit, key, mean_iou, epoch, sum(file.size for file in files.values()), files)


def _within(seconds: float, work: Callable[[], T], late: threading.Event, said: str) -> T:
    """What `work` gives, or after so many seconds `Unreachable` with what is `said`; its thread then ends by itself, at
    a time out or as `late` has it stop."""
    given: Future[T] = Future()

    def run() -> None:
        try:
            given.set_result(work())
        except BaseException as error:
            given.set_exception(error)

    threading.Thread(target=run, name="look-up", daemon=True).start()
    try:
        return given.result(seconds)
    except TimeoutError:
        late.set()
        raise Unreachable(f"{said}; try again later") from None


def _figures(folder: Path, what: str) -> tuple[int, float]:
    """Epoch and mean IoU of a checkpoint's `metrics.json`; `UserError` where it does not say them."""
    try:
        document = read_json(folder / "metrics.json")
        epoch, mean_iou = document["epoch"], document["validation"]["mean_iou"]
        if type(epoch) is not int or not 0 < epoch <= 10_000 or not 0 <= float(mean_iou) <= 1:
            raise ValueError
        return epoch, float(mean_iou)
    except (UserError, KeyError, TypeError, ValueError):
        raise UserError(f"{what}: its metrics.json is damaged; refused") from None


def _check_same(theirs: Spec, recipe: Recipe, what: str) -> None:
    """`UserError` where a checkpoint is not of this recipe's training: its own spec says so."""
    from segmodels.training.networks import spec_of  # these load Keras
    from segmodels.training.settle import open_fields

    ours = spec_of(recipe, recipe.dataset().classes)
    before = [label.name for label in theirs.classes], theirs.input, _network(theirs)
    if before != ([label.name for label in ours.classes], ours.input, _network(ours)):
        raise UserError(f"{what} is of another network or of other classes than the recipe's; refused")
    # What was open was settled there, by that device and by the masks; a file's name says nothing elsewhere.
    told = ("start_from", "teacher_weight")  # by the digest alone: a spec names no other checkpoint
    open_ = {*open_fields(recipe), *told, *([] if recipe.weights in NAMED_WEIGHTS else ["weights"])}
    try:
        wanted, found = fields_of(recipe), fields_of(Recipe(**{**theirs.recipe, "data": recipe.data}))
    except UserError as error:
        raise UserError(f"{what}: the recipe in its {SPEC} is none ({error}); refused") from None
    for name in wanted:
        if name not in open_ and wanted[name] != found.get(name):
            raise UserError(f"{what} was trained with {name} {str(found.get(name))[:40]}, not {wanted[name]}; refused")


def _network(spec: Spec) -> tuple[Any, ...]:
    of = spec.architecture
    return of.name, of.backbone, of.classes, checked_options(of.name, of.backbone, of.options).model_dump()


def _made(folder: Path, offer: Offer, recipe: Recipe, path: str | Path | None, told: Reporter) -> Run:
    """The run of a checkpoint that was checked; its state is written last."""
    from segmodels.training.training_set import in_kept_split  # loads Keras

    epoch, mean_iou = _figures(folder, offer.repository)
    about = _about(folder / RECORD)
    (folder / RECORD).unlink(missing_ok=True)
    run = make_run(recipe, path)
    try:
        in_kept_split(recipe, run.split)
        if (folder / "history.csv").is_file():
            with replacing(run.path / "metrics.csv") as part:
                shutil.copyfile(folder / "history.csv", part)
        with explain_disk_errors(run.best), replacing(run.best) as part:
            shutil.move(folder, part)
        where = f"hf://{offer.repository} at commit {offer.commit[:12]}, {offer.path}"
        trained = " on ".join(filter(None, ("trained elsewhere", about.get("device"))))
        Log(run.path / "log.txt", told).note(f"taken from {where}: {trained}, epoch {epoch}, mean IoU {mean_iou:.4f}")
        last = [row["epoch"] for row in read_rows(run.path / "metrics.csv") if type(row.get("epoch")) is int]
        now = time.time()
        run.write_status(
            state="finished", phase="finished", error=None, epoch=max([epoch, *last[-1:]]), started=now, ended=now,
            seconds_left=0, best={"epoch": epoch, "mean_iou": mean_iou}, taken=where, **about,
        )  # fmt: skip
    except BaseException:
        shutil.rmtree(run.path, ignore_errors=True)
        raise
    return run


def _about(path: Path) -> dict[str, Any]:
    """How and where it was trained, as the one who sent it says: short texts and whole numbers."""
    try:
        found = read_json(path, limit=RECORD_BYTES)
    except UserError:
        return {}
    found = found if isinstance(found, dict) else {}
    texts = {name: found.get(name) for name in ("device", "backend", "precision")}
    counts = {name: found.get(name) for name in ("parameters", "batch_size", "images", "validation_images")}
    return {
        **{name: " ".join(plain(text).split())[:200] for name, text in texts.items() if isinstance(text, str)},
        **{name: count for name, count in counts.items() if type(count) is int and 0 <= count < 1 << 53},
    }
