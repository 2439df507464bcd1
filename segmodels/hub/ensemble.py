"""`ensemble`: several models as one, whose answer is the mean of theirs."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from segmodels.errors import UserError
from segmodels.evaluation.evaluated_data import kept_split
from segmodels.files import replacing, user_path, write_json
from segmodels.hub.average import label_of, of_one_kind
from segmodels.hub.card import write_card
from segmodels.hub.checkpoint import (
    MOST_MEMBERS,
    ArchitectureSpec,
    Spec,
    load_checkpoint,
    write_checkpoint,
)
from segmodels.hub.contents import check_target
from segmodels.hub.lineage import MEMBERS, recipes_of
from segmodels.models.architectures import ARCHITECTURES, ENSEMBLE
from segmodels.training.reporter import Reporter
from segmodels.training.runs import SPLIT


def ensemble(models: Sequence[str | Path], out: str | Path, *, reporter: Reporter | None = None) -> Path:
    """Write a checkpoint directory that sees a picture through several networks, and answers with the mean of their
    probabilities (Lakshminarayanan et al. 2017, arXiv:1612.01474). It is a model like any other.

    It helps where they err in other places, as networks of other architectures do, and takes the time and the bytes of
    all. Which to take is best decided on the validation split: `evaluate DIR --split validation`. How the data was
    split for the last one's training is kept beside the weights: they are evaluated on nothing that it has seen.

    Args:
        models: two to eight runs, `RUN@EPOCH`, checkpoint directories, `hf://owner/name@revision`; of other networks,
            but of the same classes and the same input contract but for views, of which those of the last one count.
        out: the folder; what lay there before is replaced at the end, where it was a checkpoint directory.
        reporter: told how it goes; by default nobody.

    Returns:
        The folder.

    Raises:
        UserError: too few or too many models, other classes or pictures seen at another scale, damaged weights, or a
            folder that holds something else.
    """
    told, target = reporter or Reporter(), user_path(out)
    if not 2 <= len(models) <= MOST_MEMBERS:
        raise UserError(f"{len(models)} models are no ensemble: name 2 to {MOST_MEMBERS}")
    sources, specs = of_one_kind(models, _check_fits, told)
    check_target(target)
    members = [spec.architecture.model_dump(include={"name", "backbone", "options"}) for spec in specs]
    network = ArchitectureSpec(
        name=ENSEMBLE, backbone="none", classes=len(specs[-1].classes), options={"members": members}
    )
    spec = specs[-1].model_copy(update={"architecture": network})
    metrics = {MEMBERS: [{"name": label_of(source), "recipes": recipes_of(source)} for source in sources]}
    with replacing(target) as beside:
        beside.mkdir()
        networks = []
        for number, source in enumerate(sources, start=1):
            networks.append(load_checkpoint(source)[0])
            told.progress(number, len(sources), "reading the weights")
        from segmodels.models.ensemble import join  # loads Keras

        write_checkpoint(beside, join(networks), spec)
        write_json(beside / "metrics.json", metrics)
        if (split := kept_split(sources[-1])).is_file():
            shutil.copyfile(split, beside / SPLIT)
        write_card(beside, spec, metrics)
    return target


def _check_fits(spec: Spec, last: Spec, name: str, other: str) -> None:
    if spec.architecture.name not in ARCHITECTURES:
        raise UserError(f"{name} is {spec.architecture.described}, which can be no part of an ensemble")
    if [label.name for label in spec.classes] != [label.name for label in last.classes]:
        raise UserError(f"{name} and {other} have other classes: an ensemble is of models of the same classes")
    if (spec.input.mode, spec.input.size) != (last.input.mode, last.input.size):
        raise UserError(
            f"{name} sees pictures by {spec.input.mode} at {spec.input.size} pixels, and {other} by {last.input.mode} "
            f"at {last.input.size}: the members of an ensemble see the same pictures"
        )
