"""`predict_at_scale`: pictures are listed here, and predicted by the workers of a Ray cluster."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import segmodels
from segmodels.cluster.connection import connected, missing_ray
from segmodels.cluster.nodes import Share, check_nodes, environment, nodes, share
from segmodels.data.disk import Stop, Stopped, make_folder
from segmodels.errors import UserError, choose
from segmodels.files import explain_disk_errors, whole
from segmodels.hub.checkpoint import SPEC, WEIGHTS, read_spec
from segmodels.prediction.engines import ENGINES
from segmodels.prediction.export import FORMATS, Settings
from segmodels.prediction.picture_row import NOTHING, PLAIN, Wanted, check_free
from segmodels.prediction.predictor import AUTO
from segmodels.prediction.result import Refinement
from segmodels.prediction.scale.bucket import InBucket
from segmodels.prediction.scale.listing import Item, key_of, pictures_at
from segmodels.prediction.scale.quiet import quiet_core, quiet_data
from segmodels.prediction.scale.records import Records
from segmodels.prediction.scale.worker import PictureWorker
from segmodels.prediction.sources import Source
from segmodels.training.reporter import Reporter
from segmodels.training.runs import find_checkpoint

#: Changes when the same call writes other files.
VERSION = 1
#: A task is of so many pictures at most, and a worker has so many tasks at least: what comes back late, or is done
#: again where a worker dies, is little, and so is what Ray does for each.
MOST_PICTURES, LEAST_TASKS = 16, 16
#: Tasks that wait at a worker, so that it never does.
WAITING = 2


def predict_at_scale(
    model: str | Path,
    sources: Sequence[str | Path],
    out: str | Path,
    formats: Sequence[str],
    *,
    page: int = 0,
    tile: int | None = None,
    tta: str | None = None,
    refinement: Refinement = NOTHING,
    settings: Settings = PLAIN,
    engine: str = AUTO,
    address: str | None = None,
    cpus: int | None = None,
    gpus: int | None = None,
    reporter: Reporter | None = None,
    stop: Stop | None = None,
) -> list[dict[str, Any]]:
    """Predict pictures on a Ray cluster into a folder that all nodes see: the files and rows of `predict_files`.

    Each worker loads the model once and writes its results itself, as they come. A call that was cut off, or that is
    made again with more pictures, goes on: those that are done, by exactly these options and this model, and have not
    changed since, are skipped. A picture that fails never stops the rest, nor does a worker that dies: its pictures
    are predicted again, and one that three workers died over becomes a failed row.

    Args:
        model: a checkpoint directory, a run or its id, or `hf://owner/name@revision`.
        sources: files, folders and zip archives of pictures, on storage that all nodes see; addresses of buckets and
            of folders and pictures in them, such as `s3://bucket/folder`, to which all nodes have the keys.
        out, formats, page, tile, tta, refinement, settings: as `predict_files` takes them.
        engine: as `Predictor` takes it; with "auto" the first worker on a processor makes the file of ONNX Runtime.
        address: of the cluster, as `connected` takes it.
        cpus, gpus: of each worker; by default a GPU and its part of the processors, or all of a node.
        reporter: told how many pictures are done.
        stop: asked whenever some are done.

    Returns:
        a row a picture, in the order of the sources.

    Raises:
        UserError: as `predict_files`; no Ray, no such cluster, nodes that do not see the folders or have too little.
        Stopped: by `stop`; what was written until then stays, and counts for the next call.
    """
    for name in formats:
        choose("format", name, list(FORMATS))
    choose("engine", engine, [AUTO, *ENGINES])
    if said := missing_ray():
        raise UserError(said)
    out, reporter = Path(out), reporter or Reporter()
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file: name a folder for the masks")
    folder = find_checkpoint(model, reporter).absolute()
    read_spec(whole(folder))
    wanted = Wanted(tuple(formats), page, tile, tta, refinement, settings)
    pictures = pictures_at(sources)
    if not pictures:
        raise UserError(f"no picture in {', '.join(map(str, sources))}: name pictures, folders or zip archives of them")
    make_folder(out)
    records = Records(out.absolute())
    with records.owned():
        call = _Call(pictures, out, reporter, stop)
        left = call.begin(records, wanted, about_call(whole(folder), engine, wanted))
        if left:
            with ExitStack() as stack:
                with quiet_core():
                    ray = stack.enter_context(connected(address))
                each = share(ray, cpus, gpus)
                check_nodes(ray, [out.absolute(), *([folder] if os.access(folder, os.W_OK) else [])])
                worker = {
                    "model": str(folder),
                    "engine": engine,
                    "out": str(out.absolute()),
                    "wanted": wanted,
                    "environment": {**environment(each.cpus), "OMP_NUM_THREADS": str(each.cpus)},
                }
                call.finish(_answers(ray, left, each, worker))
    return call.rows()


class _Call:
    """The rows of a call as they come."""

    def __init__(self, pictures: Sequence[Source], out: Path, reporter: Reporter, stop: Stop | None) -> None:
        self.pictures, self.out, self.reporter, self.stop = pictures, out, reporter, stop
        self._rows: dict[int, dict[str, Any]] = {}

    def begin(self, records: Records, wanted: Wanted, about: str) -> list[Item]:
        """Settle what needs no worker: pictures that are done, that cannot be read at all, or whose results have no
        place of their own. Returns the others."""
        taken = {os.path.realpath(_path_of(source)) for source in self.pictures}
        left, done = [], 0
        for number, source in enumerate(self.pictures):
            try:
                if source.place is None:
                    source.read()
                    raise UserError(f"{source.origin} cannot be read")
                check_free(source, self.out, wanted, taken)
            except UserError as error:
                self._rows[number] = {"image": source.origin, "files": [], "error": str(error)}
                continue
            taken.update(map(os.path.realpath, wanted.results(Path(source.name).stem, self.out)))
            item = Item(number, source.name, source.origin, key_of(source, about), source.place)
            if row := records.row(item.name, item.key):
                self._rows[number] = self._as_here(row)
                done += 1
            else:
                left.append(item)
        if done:
            self.reporter.note(f"{done} of {len(self.pictures)} pictures are done already")
        if left:
            self.reporter.note(f"{len(left)} of {len(self.pictures)} pictures go to Ray")
        return left

    def finish(self, answers: Iterator[dict[str, Any]]) -> None:
        """Take the answers of the workers as they come.

        Raises:
            UserError: what a worker says of the model or the folder.
            Stopped: by `stop`.
        """
        again = 0
        for answer in answers:
            if fatal := answer.get("fatal"):
                raise UserError(fatal)
            self._rows[answer["number"]] = self._as_here(answer["row"])
            again += answer["tries"] > 1
            self.reporter.progress(len(self._rows), len(self.pictures), "predicting")
            if self.stop and self.stop() and len(self._rows) < len(self.pictures):
                raise Stopped(
                    f"stopped after {len(self._rows)} of {len(self.pictures)} pictures, which are in {self.out}"
                )
        if again:
            self.reporter.note(f"{again} pictures were begun again, as workers had died over them")

    def rows(self) -> list[dict[str, Any]]:
        """A row a picture, in their order."""
        lost = {"files": [], "error": "its worker was lost: run the same again"}
        return [
            self._rows.get(number, {"image": source.origin, **lost, "error": f"{source.origin}: {lost['error']}"})
            for number, source in enumerate(self.pictures)
        ]

    def _as_here(self, row: dict[str, Any]) -> dict[str, Any]:
        """A worker's row with the paths as they were given here."""
        error = row["error"] and row["error"].replace(str(self.out.absolute()), str(self.out))
        return {**row, "files": [str(self.out / file) for file in row["files"]], "error": error}


def _answers(ray: Any, left: Sequence[Item], each: Share, worker: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What the workers say of every picture, as soon as it is done."""
    room = sum(min(n.cpus // each.cpus, n.gpus // each.gpus if each.gpus else n.cpus) for n in nodes(ray))
    most = max(1, min(MOST_PICTURES, len(left) // (LEAST_TASKS * max(1, room))))
    tasks = -(-len(left) // most)
    with quiet_data():
        import ray.data

        rows = ray.data.from_items([{"item": item.text()} for item in left], override_num_blocks=tasks)
        answers = rows.map_batches(
            PictureWorker,
            fn_constructor_kwargs=worker,
            batch_size=None,
            batch_format="numpy",
            num_cpus=each.cpus,
            num_gpus=each.gpus,
            compute=ray.data.ActorPoolStrategy(size=max(1, min(room, tasks)), max_tasks_in_flight_per_actor=WAITING),
        )
        for answer in answers.iter_rows():
            yield json.loads(answer["row"])


def about_call(folder: Path, engine: str, wanted: Wanted) -> str:
    """A name for what is asked of every picture: the content of the model in a folder, and all options."""
    digest = hashlib.blake2b(digest_size=16)
    with explain_disk_errors(folder):
        for name in (SPEC, WEIGHTS):
            with (folder / name).open("rb") as file:
                digest.update(hashlib.file_digest(file, "blake2b").digest())
    method = wanted.settings.method
    digest.update(
        repr(
            (
                VERSION,
                segmodels.__version__,
                engine,
                wanted.formats,
                wanted.page,
                wanted.tile,
                wanted.tta,
                wanted.refinement,
                wanted.settings.micrometres,
                method and (type(method).name, method.model_dump_json()),
            )
        ).encode()
    )
    return digest.hexdigest()


def _path_of(source: Source) -> str:
    """The path of a picture, where it has one on this machine."""
    place = source.place
    return place.path if isinstance(place, InBucket) and place.address.startswith("file:") else source.origin
