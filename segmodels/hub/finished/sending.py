"""Sending a finished run's best weights to the Hub, under the fingerprint of their training. Loads no Keras."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import segmodels
from segmodels.data.datasets import portable_name
from segmodels.data.disk import Report, make_folder, megabytes
from segmodels.errors import UserError
from segmodels.files import read_json, whole, write_json, write_text
from segmodels.home import home
from segmodels.hosted import check_pushing
from segmodels.hub.checkpoint import SPEC
from segmodels.hub.contents import check_contents, contents_of
from segmodels.hub.finished.offers import FOLDER, RECORD
from segmodels.hub.linked import link_checkpoint
from segmodels.hub.repository import HubRepository
from segmodels.hub.upload import Overtaken, commit, sizes_of
from segmodels.training.changes import changes_of
from segmodels.training.runs import Run, is_run

#: How often a commit is made anew where somebody else's came first.
TRIES = 8
#: What the repository says of itself.
README = f"""---
library_name: segmodels
pipeline_tag: image-segmentation
tags: [image-segmentation, keras]
---
# Finished trainings

Weights of trainings that are done, kept by `segmodels` so that nobody trains the same again. Each folder of
`{FOLDER}/` is called by the fingerprint of a recipe and its data and holds a checkpoint with its model card;
`{RECORD}` in it says how it was trained.

They are found by themselves where this repository is set:

```
export SEGMODELS_HUB=OWNER/NAME
python -m segmodels train --data … --finished take
```
"""


def send_run(
    run: Run, repository: str, fingerprint: str, about: dict[str, Any], *, endpoint: str | None = None
) -> tuple[Literal["sent", "there"], str]:
    """Send the best checkpoint of a run in one commit, unless weights of the same training are there: the first stay.

    The repository is made where there is none, as a private one.

    Args:
        about: what `finished.json` says beside it.

    Returns:
        What became of it, and a line on it.

    Raises:
        UserError: no token, no right to write, no network, or a checkpoint that lacks something.
    """
    from huggingface_hub import get_token

    check_pushing()
    if not get_token():
        raise UserError(f"{repository}: sending needs a token that may write there; set HF_TOKEN")
    hub = HubRepository(repository, "main", repository, endpoint, Report(None, None), kind="model")
    with hub.explained():
        if not hub.api.repo_exists(repository):
            hub.api.create_repo(repository, private=True, exist_ok=True)
    below = f"{FOLDER}/{fingerprint}"
    title = f"{run.recipe.architecture} trained on {about.get('data', 'data')}, {fingerprint[:12]}"
    with _beside() as folder:
        checkpoint, readme = folder / below, folder / "README.md"
        make_folder(checkpoint.parent)
        link_checkpoint(lambda: run.best, checkpoint, contents_of, called=f"run {run.id}")
        check_contents(checkpoint, f"the checkpoint of run {run.id}")
        write_json(checkpoint / RECORD, about)
        for _ in range(TRIES):
            parent, _licence = hub.resolved()
            if f"{below}/{SPEC}" in hub.files(parent, below):
                return "there", "finished weights of this training are there already; they stay"
            with hub.explained():
                has_readme = hub.api.file_exists(repository, readme.name, revision=parent)
            readme.unlink(missing_ok=True) if has_readme else write_text(readme, README)
            sizes = sizes_of(folder)
            try:
                commit(hub, folder, sizes, [], parent=parent, message=title)
                return "sent", megabytes(sum(sizes.values()))
            except Overtaken:
                time.sleep(random.uniform(0.1, 1.0))  # both do not come again together
    raise UserError(f"{repository}: others wrote to it at the same time, again and again; try again later")


@contextmanager
def _beside() -> Iterator[Path]:
    """A folder for the block, which `sweep` finds where this process is killed."""
    base = home() / "outbox"
    make_folder(base)
    with tempfile.TemporaryDirectory(dir=base, prefix=".sending.", suffix=".part", ignore_cleanup_errors=True) as made:
        yield Path(made)


def unfit(run: Run, epoch: int | None = None) -> str:
    """Why the best weights of a run are not those of its recipe, or not of an epoch; empty where they are."""
    if not is_run(run.path):
        return "the run was deleted"
    if (state := run.state) != "finished":
        return f"the run is {state}"
    if not run.has_best:
        return "the run has no checkpoint"
    if changes_of(run.path):
        return "its learning rate or its epochs were changed while it went"
    found = read_json(whole(run.best) / "metrics.json")
    same = isinstance(found, dict) and epoch in (None, found.get("epoch"))
    return "" if same else "the run went on after it was queued"


def about_run(run: Run) -> dict[str, Any]:
    """How it was trained: what is not part of the fingerprint."""
    status = run.status()
    names = ("device", "backend", "precision", "parameters", "batch_size", "images", "validation_images")
    return {
        "format": 1,
        "data": portable_name(run.recipe.data),
        "segmodels": segmodels.__version__,
        **{name: status[name] for name in names if name in status},
        "ended": status.get("ended"),
    }
